"""The project that `rasa init` makes (tests/projects/rasa_init, from the wheel of rasa 3.6.21) runs unmodified."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.app import create_app
from bot.evaluation import evaluate
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train
from bot.validation import validate


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("rasa") / "project"
    shutil.copytree(Path(__file__).parent / "projects" / "rasa_init", folder)
    loaded = load_project(folder)
    train(loaded)
    return loaded


def test_its_own_test_stories_pass(project: Project) -> None:
    report = asyncio.run(evaluate(project, load_assistant(project, store=MemoryStore())))
    assert (report.stories, report.failures) == (7, [])


def test_it_is_valid(project: Project) -> None:
    assert [finding for finding in validate(project) if finding.severity == "error"] == []


def test_it_is_served_over_rest_as_rasa_serves_it(project: Project, serve: Callable[[Any], str]) -> None:
    address = serve(create_app(load_assistant(project, store=MemoryStore())))

    def say(text: str) -> Any:
        return httpx.post(f"{address}/webhooks/rest/webhook", json={"sender": "anna", "message": text}).json()

    assert say("hello") == [{"recipient_id": "anna", "text": "Hey! How are you?"}]
    assert say("I am sad") == [
        {"recipient_id": "anna", "text": "Here is something to cheer you up:"},
        {"recipient_id": "anna", "image": "https://i.imgur.com/nGF1K8f.jpg"},
        {"recipient_id": "anna", "text": "Did that help you?"},
    ]
    assert say("yes") == [{"recipient_id": "anna", "text": "Great, carry on!"}]
    tracker = httpx.get(f"{address}/conversations/anna/tracker").json()
    assert tracker["latest_message"]["intent"]["name"] == "affirm"
    assert [event["event"] for event in tracker["events"]][:4] == ["action", "session_started", "action", "user"]
