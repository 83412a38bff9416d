"""The answers of real Rasa 3.6.21, recorded, against ours: see exchanges.py. What differs on purpose says why."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bot.app import create_app, open_channels
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

_spec = importlib.util.spec_from_file_location("exchanges", Path(__file__).with_name("exchanges.py"))
assert _spec
assert _spec.loader
exchanges = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exchanges)

RECORDED = json.loads(exchanges.RECORDED.read_text())


@pytest.fixture(scope="module")
def answers(running: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Ours, asked the same in the same order."""
    root = tmp_path_factory.mktemp("api") / "project"
    shutil.copytree(exchanges.PROJECT, root, ignore=shutil.ignore_patterns("models"))
    project = load_project(root)
    model = train(project)
    app = create_app(
        load_assistant(project, store=MemoryStore()),
        open_channels({"rest": {}}),
        auth_token="secret",
        project=project,
        model_file=str(model),
    )
    headers = {"Authorization": "Bearer secret"}
    with running(app) as address, httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        yield [exchanges.ask(client, one) for one in exchanges.exchanges()]


ASKED = list(exchanges.exchanges())
OURS_ALONE = ("language", "intent_ranking", "text_tokens")
"""Keys of a parse result that we always give, and Rasa where it has them."""
RASAS_ALONE = ("model_id", "assistant_id")
"""Keys of an event's metadata that we do not give."""


def test_the_recording_is_of_what_is_asked() -> None:
    assert [one["request"] for one in RECORDED] == [list(one[:2]) for one in ASKED]


@pytest.mark.parametrize("number", range(len(ASKED)), ids=[f"{one.method} {one.path}" for one in ASKED])
def test_as_rasa(answers: list[dict[str, Any]], number: int) -> None:
    asked, rasas, ours = ASKED[number], RECORDED[number]["answer"], answers[number]
    if asked.differs is None:
        assert without_own(ours, rasas) == without_rasas(rasas)
        return
    status, _ = asked.differs
    assert ours["status"] == status
    assert ours != rasas, "this does not differ any more: take `differs` away"
    if status >= 400:
        assert set(ours["body"]) == {"version", "status", "message", "reason", "details", "help", "code"}
    elif isinstance(rasas["body"], dict) and rasas["status"] == 200:
        assert set(ours["body"]) == set(rasas["body"])


def without_own(ours: Any, rasas: Any) -> Any:
    """Our answer without what Rasa's has not, of that which only we give."""
    match ours, rasas:
        case dict(), dict():
            given = {key: one for key, one in ours.items() if key in rasas or key not in OURS_ALONE}
            return {key: without_own(one, rasas.get(key)) for key, one in given.items()}
        case list(), list() if len(ours) == len(rasas):
            return [without_own(one, other) for one, other in zip(ours, rasas, strict=True)]
        case str(), str() if "\nintents:" in rasas:
            return yaml.safe_load(ours)
    return ours


def without_rasas(rasas: Any) -> Any:
    match rasas:
        case dict():
            kept = {key: without_rasas(one) for key, one in rasas.items()}
            metadata = rasas.get("metadata") or {}
            if any(key in metadata for key in RASAS_ALONE):
                kept["metadata"] = {key: one for key, one in metadata.items() if key not in RASAS_ALONE}
                if not kept["metadata"] and rasas.get("event") not in ("user", "bot"):
                    del kept["metadata"]
            return kept
        case list():
            return [without_rasas(one) for one in rasas]
        case str() if "\nintents:" in rasas:
            return yaml.safe_load(rasas)
    return rasas
