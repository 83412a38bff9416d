"""`frontdesk dead-letters`: what was given up is listed without what was said, tried again, or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.domain import Domain
from bot.errors import ConfigError, FrontdeskError, StoreUnavailable
from bot.interfaces import Delivery, Turn
from bot.messages import BotMessage, UserMessage
from bot.stores.sqlite import SQLiteStore

SAID = UserMessage("my PIN is 4711\x1b[31m\nreally", "anna", message_id="m1")
REPLY = Delivery("sms:+49", "k1", "sms", "+49", BotMessage("Your tea is here."))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose store has two dead letters: a customer's message, and a reply."""
    (tmp_path / "config.yml").write_text("language: en\n")
    (tmp_path / "domain.yml").write_text("intents: [greet]\n")
    asyncio.run(_fill(tmp_path / "frontdesk.db"))
    return tmp_path


async def _fill(file: Path) -> None:
    store = SQLiteStore(file)
    domain = Domain()
    lease = (await store.begin(SAID)).lease
    assert lease
    aside = Turn("rest:anna", (), ("m1",), set_aside="it failed 3 times")
    await store.commit(lease, aside, await store.resume(lease, domain))
    async with store.lease("sms:+49") as right:
        await store.commit(right, Turn("sms:+49", (), deliveries=(REPLY,)), await store.resume(right, domain))
    outbox = await store.claim_outbox("sms:+49")
    assert outbox
    await store.give_up(outbox, "the number\nis not in use")
    await store.close()


@pytest.fixture
def run(root: Path) -> Callable[..., Any]:
    return lambda *words: CliRunner().invoke(app, ["dead-letters", *words, "--project", str(root)])


def ids(run: Any) -> list[str]:
    return [line.split()[0] for line in run("list").stdout.splitlines()[1:]]


async def _state(root: Path) -> tuple[list[str], list[str]]:
    """The texts that wait to be answered and to be delivered."""
    store = SQLiteStore(root / "frontdesk.db")
    outbox = await store.claim_outbox("sms:+49")
    messages = [one.text for one in await store.pending()]
    await store.close()
    return messages, [one.message.text or "" for one in outbox.deliveries] if outbox else []


def test_they_are_listed_the_oldest_first_without_what_was_said(run: Any) -> None:
    result = run("list")
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["id", "when", "what", "conversation", "reason"]
    assert first.split()[3:] == ["message", "rest:anna", "it", "failed", "3", "times"]
    assert second.split()[3:] == ["reply", "sms:+49", "the", "number", "is", "not", "in", "use"]
    assert run().stdout == result.stdout


def test_what_was_said_is_shown_to_whoever_asks_and_cannot_command_the_terminal(run: Any) -> None:
    lines = run("list", "--show").stdout.splitlines()
    assert [line.strip() for line in lines[2::2]] == ["my PIN is 4711 [31m really", "Your tea is here."]


def test_they_are_tried_again(run: Any, root: Path) -> None:
    assert run("retry", *ids(run)).stdout == "2 dead letters will be tried again.\n"
    assert asyncio.run(_state(root)) == ([SAID.text], ["Your tea is here."])
    assert run().stdout == "There are no dead letters.\n"


def test_all_can_be_dropped(run: Any) -> None:
    assert run("drop", "--all").stdout == "2 dead letters dropped.\n"
    assert run().stdout == "There are no dead letters.\n"


def test_one_that_is_not_there_is_named_and_the_others_are_done(run: Any) -> None:
    first, second = ids(run)
    result = run("drop", first, "gone")
    assert isinstance(result.exception, FrontdeskError)
    told = "there is no dead letter gone: tried again or dropped before"
    assert str(result.exception) == f"{told}; with the 1 other it was done"
    assert ids(run) == [second]
    assert str(run("drop", "gone").exception) == told


@pytest.mark.parametrize("words", [("retry",), ("drop",), ("drop", "1", "--all")])
def test_it_must_be_said_which_ones(run: Any, words: tuple[str, ...]) -> None:
    assert "Name their ids" in str(run(*words).exception)


def test_a_store_that_its_server_holds_is_asked_for_by_the_api(run: Any, root: Path) -> None:
    store = SQLiteStore(root / "frontdesk.db")
    error = run("list").exception
    asyncio.run(store.close())
    assert isinstance(error, StoreUnavailable)
    assert "is in use by another process" in str(error)
    assert "curl localhost:5005/dead-letters" in str(error)


def test_a_store_in_memory_is_asked_for_by_the_api(run: Any, root: Path) -> None:
    (root / "config.yml").write_text("language: en\nstore: memory\n")
    error = run("list").exception
    assert isinstance(error, ConfigError)
    assert "curl localhost:5005/dead-letters" in str(error)
