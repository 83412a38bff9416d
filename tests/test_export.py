"""Conversations leave as Rasa's event JSON, and come back as they were."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.domain import Domain, SlotSpec
from bot.events import ActionExecuted, BotUttered, Event, SlotSet, UserUttered, event_to_json
from bot.interfaces import Store, Turn
from bot.messages import BotMessage
from bot.rasa_trackers import read_conversations
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker_export import exported_events
from bot.tracker_import import Did, import_conversations

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"size": SlotSpec("size")})
PROJECT = Path(__file__).parent / "tracker_import" / "project"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def turn(text: str, at: float, channel: str | None = "rest") -> tuple[Event, ...]:
    return (
        UserUttered(text=text, input_channel=channel, parse_data={"intent": {"name": "greet"}}, timestamp=at),
        SlotSet(name="size", value={"cm": [1, 2]}, timestamp=at + 1),
        BotUttered.of(BotMessage(text="Grüezi 👋"), timestamp=at + 2),
        ActionExecuted(name="action_listen", timestamp=at + 3),
    )


async def store_turns(store: Store, conversation_id: str, *turns: tuple[Event, ...]) -> None:
    for events in turns:
        async with store.lease(conversation_id) as lease:
            tracker = await store.load(conversation_id, DOMAIN)
            tracker.apply_all(events)
            await store.commit(lease, Turn(conversation_id, events), tracker)


async def talk(store: Store) -> None:
    await store_turns(store, "rest:42", turn("hello", 100), turn("bye", 200))
    await store_turns(store, "telegram:42", turn("hi", 150, "telegram"))
    await store_turns(store, "my_own:7", turn("hi", 150, "my_own"))
    # Nobody has written there yet: an API caller began it.
    await store_turns(store, "sms:+49", (SlotSet(name="size", value="L", timestamp=1),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("config.yml", "domain.yml"):
        (tmp_path / name).write_text((PROJECT / name).read_text())

    async def fill() -> None:
        store = SQLiteStore(tmp_path / "frontdesk.db")
        await talk(store)
        await store.close()

    asyncio.run(fill())
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["export", *words])


async def test_what_is_exported_comes_back_as_it_was(tmp_path: Path) -> None:
    store, again = MemoryStore(), MemoryStore()
    await talk(store)
    rows = [event async for event in exported_events(store)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_conversations(str(tmp_path / "events.jsonl"))
    outcomes = [one.did async for one in import_conversations(found, again, DOMAIN)]
    assert outcomes == [Did.IMPORTED] * 4
    ids = await store.conversation_ids()
    assert await again.conversation_ids() == ids == ["my_own:7", "rest:42", "sms:+49", "telegram:42"]
    for name in ids:
        assert [event_to_json(one) for one in await again.events(name)] == [
            event_to_json(one) for one in await store.events(name)
        ]
        assert (await again.load(name, DOMAIN)).to_json() == (await store.load(name, DOMAIN)).to_json()


def test_the_lines_have_rasas_shape(root: Path) -> None:
    result = run("--project", str(root))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert (len(rows), result.stderr) == (17, "17 events of 4 conversations exported.\n")
    first = next(row for row in rows if row["conversation_id"] == "rest:42")
    expected = {"event": "user", "timestamp": 100.0, "text": "hello", "input_channel": "rest", "sender_id": "42"}
    assert expected.items() <= first.items()
    assert [row["timestamp"] for row in rows if row["conversation_id"] == "rest:42"] == [
        100,
        101,
        102,
        103,
        200,
        201,
        202,
        203,
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--conversation-ids", "telegram:42, 7"], {"telegram:42", "my_own:7"}),
        (["--minimum-timestamp", "200"], {"rest:42"}),
        (["--maximum-timestamp", "100"], {"sms:+49"}),
    ],
)
def test_a_part_may_be_asked_for(root: Path, words: list[str], expected: set[str]) -> None:
    rows = [json.loads(line) for line in run("--project", str(root), *words).stdout.splitlines()]
    assert {row["conversation_id"] for row in rows} == expected


def test_a_file_is_written_for_its_owner_and_never_over_another(root: Path) -> None:
    out = root / "events.jsonl"
    assert run("--project", str(root), "--out", str(out)).exit_code == 0
    assert len(out.read_text().splitlines()) == 17
    assert out.stat().st_mode & 0o777 == 0o600
    assert "is there already" in str(run("--project", str(root), "--out", str(out)).exception)
    assert len(out.read_text().splitlines()) == 17


def test_a_conversation_that_is_not_there_is_said(root: Path) -> None:
    result = run("--project", str(root), "--conversation-ids", "rest:42,zoe")
    assert "warning: there is no conversation 'zoe'" in result.stderr
    assert len(result.stdout.splitlines()) == 8
    assert "none of these conversations is there" in str(
        run("--project", str(root), "--conversation-ids", "x").exception
    )


def test_times_the_wrong_way_round_are_said(root: Path) -> None:
    result = run("--project", str(root), "--minimum-timestamp", "5", "--maximum-timestamp", "5")
    assert "--minimum-timestamp must be before --maximum-timestamp" in str(result.exception)
