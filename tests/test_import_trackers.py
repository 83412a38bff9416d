"""Conversations of real Rasa's go on here: from its Redis, its SQL store, its export and its tracker dumps."""

import asyncio
import json
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from bot.assistant import Assistant
from bot.cli import app
from bot.domain import Domain
from bot.errors import ConfigError, DataError, StoreUnavailable
from bot.events import event_to_json
from bot.interfaces import Store
from bot.messages import UserMessage
from bot.project import Project, load_project
from bot.rasa_trackers import RasaConversation, read_conversations
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker_import import Did, Outcome, conversation_id_of, import_conversations, read_events
from bot.training import load_assistant, train

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent / "tracker_import"
RECORDED = HERE / "recorded"
IDS = ["rest:anna", "telegram:42", "webchat:ben"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with which real Rasa held the recorded conversations, trained here."""
    folder = tmp_path_factory.mktemp("import") / "project"
    shutil.copytree(HERE / "project", folder)
    project = load_project(folder)
    train(project)
    return project


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "frontdesk.db")
    yield store
    await store.close()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis with the very texts that Rasa's store wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)], stdout=-3)
    client = redis.Redis(port=port)
    try:
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                threading.Event().wait(0.02)
        for key, text in json.loads((RECORDED / "redis.json").read_text()).items():
            client.set(key, text)
        client.set("bank:lock:anna", "[]")
        client.set("tracker:zoe", b"\xff\xfe")
        client.rpush("tracker:list", "x")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sql") / "rasa.db"
    with sqlite3.connect(file) as connection:
        connection.executescript((RECORDED / "rasa.sql").read_text())
    connection.close()
    return f"sqlite:///{file}"


def places(redis_url: str, database: str) -> dict[str, dict[str, str]]:
    return {
        "redis": {"place": redis_url, "key_prefix": "bank"},
        "sql": {"place": database},
        "export": {"place": str(RECORDED / "export.jsonl")},
    }


async def imported(found: Any, store: Store, domain: Domain, **options: Any) -> list[Outcome]:
    return [outcome async for outcome in import_conversations(found, store, domain, **options)]


async def say(assistant: Assistant, text: str, sender: str = "anna", channel: str = "rest") -> list[str | None]:
    return [reply.text for reply in await assistant.handle(UserMessage(text, sender_id=sender, channel=channel))]


def dump(**changes: Any) -> RasaConversation:
    """Anna's tracker as Rasa dumps it, with changes to its events by their number."""
    events = json.loads((RECORDED / "tracker.json").read_text())["events"]
    for number, change in changes.items():
        events[int(number[1:])].update(change)
    return RasaConversation("anna", events)


# ---- it goes on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["redis", "sql", "export"])
async def test_a_half_filled_form_goes_on_with_its_next_question(
    kind: str, store: Store, project: Project, redis_url: str, database: str
) -> None:
    source = places(redis_url, database)[kind]
    outcomes = await imported(read_conversations(**source), store, project.domain)
    assert sorted((one.conversation_id, one.did) for one in outcomes) == [(name, Did.IMPORTED) for name in IDS]
    assistant = load_assistant(project, store=store)
    assert await say(assistant, "20 euro") == ["What shall the statement say?"]
    assert await say(assistant, "rent") == ['20 euro for Ben ("rent") is on its way.']
    assert await say(assistant, "to Carla", "42", "telegram") == ["How much?"]
    # Ben's transfer was finished: his next one begins anew, with the slots that Rasa keeps, too.
    assert await say(assistant, "hello", "ben", "webchat") == ["Hello!"]
    assistant.understanding.close()


async def test_the_state_is_that_of_rasa(store: Store, project: Project) -> None:
    state = json.loads((RECORDED / "tracker.json").read_text())
    await imported(read_conversations(str(RECORDED / "tracker.json")), store, project.domain)
    ours = await load_assistant(project, store=store).state("rest:anna", "ALL")
    slots = {name: value for name, value in state["slots"].items() if name != "session_started_metadata"}
    assert {name: ours["slots"].get(name) for name in slots} == slots
    for key in ("sender_id", "paused", "followup_action", "latest_event_time", "latest_action_name", "active_loop"):
        assert ours[key] == state[key], key
    assert ours["latest_input_channel"] == "rest"
    assert ours["latest_message"]["text"] == state["latest_message"]["text"]
    events = [{key: value for key, value in event.items() if value is not None} for event in state["events"]]
    stored = [{key: value for key, value in event.items() if value is not None} for event in ours["events"]]
    assert [one["event"] for one in stored] == [one["event"] for one in events]
    assert [one["timestamp"] for one in stored] == [one["timestamp"] for one in events]


# ---- again ---------------------------------------------------------------------------------------


async def test_a_second_import_changes_nothing(store: Store, project: Project, redis_url: str, database: str) -> None:
    for source in places(redis_url, database).values():
        await imported(read_conversations(**source), store, project.domain)
        before = {name: [event_to_json(one) for one in await store.events(name)] for name in IDS}
        again = await imported(read_conversations(**source), store, project.domain)
        assert {one.did for one in again} <= {Did.UNCHANGED, Did.LEFT}
        assert before == {name: [event_to_json(one) for one in await store.events(name)] for name in IDS}


async def test_what_rasa_added_since_is_added(store: Store, project: Project) -> None:
    whole = dump()
    await imported([RasaConversation("anna", whole.events[:11])], store, project.domain)
    outcome = (await imported([whole], store, project.domain))[0]
    assert (outcome.did, outcome.events) == (Did.CONTINUED, 11)
    assert await say(load_assistant(project, store=store), "20 euro") == ["What shall the statement say?"]


async def test_a_conversation_that_has_gone_on_here_is_left_alone(store: Store, project: Project) -> None:
    await imported([dump()], store, project.domain)
    assistant = load_assistant(project, store=store)
    await say(assistant, "20 euro")
    count = len(await store.events("rest:anna"))
    assert [one.did for one in await imported([dump()], store, project.domain)] == [Did.LEFT]
    assert len(await store.events("rest:anna")) == count


async def test_a_dry_run_stores_nothing(store: Store, project: Project) -> None:
    outcomes = await imported([dump()], store, project.domain, dry_run=True)
    assert [(one.did, one.events) for one in outcomes] == [(Did.IMPORTED, 22)]
    assert await store.conversation_ids() == []


# ---- what is wrong, or gone ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        ("_3", {"text": {"secret": 1}}, "event 4: 'text' of the event 'user' must be a text, not an object"),
        ("_3", {"event": None}, "event 4: an event needs its kind"),
        ("_3", {"timestamp": None}, "event 4 ('user') has no timestamp"),
        ("_3", {"timestamp": "secret"}, "event 4: 'timestamp' of the event 'user' must be a number, not a text"),
        ("_3", {"timestamp": 4e9}, "event 4 ('user') is of 2096-10-02, which is ahead of this machine's clock"),
        ("_3", {"timestamp": 1e13}, "event 4 ('user') is of 10000000000000 seconds after 1970, which is ahead"),
        ("_3", {"parse_data": {"entities": ["secret"]}}, "event 4: 'parse_data' of the event 'user'"),
    ],
)
async def test_a_broken_conversation_is_named_and_the_others_are_imported(
    number: str, change: Mapping[str, Any], words: str, project: Project
) -> None:
    store = MemoryStore()
    good = RasaConversation("ben", dump().events)
    outcomes = await imported([dump(**{number: change}), good], store, project.domain)
    assert [one.did for one in outcomes] == [Did.FAILED, Did.IMPORTED]
    assert outcomes[0].problem.startswith(f"conversation 'anna': {words}")
    assert "secret" not in outcomes[0].problem
    assert await store.conversation_ids() == ["rest:ben"]


async def test_events_of_the_future_are_kept_and_have_no_effect(store: Store, project: Project) -> None:
    whole = dump()
    future = {"event": "flow_started", "timestamp": whole.events[-1]["timestamp"], "flow_id": "transfer"}
    outcome = (await imported([RasaConversation("anna", [*whole.events, future])], store, project.domain))[0]
    assert (outcome.did, outcome.gone) == (Did.IMPORTED, ("events of the kind 'flow_started'",))
    assert await say(load_assistant(project, store=store), "20 euro") == ["What shall the statement say?"]
    assert event_to_json((await store.events("rest:anna"))[22]) == future


async def test_a_form_that_is_gone_is_left_and_all_that_is_gone_is_said(store: Store, project: Project) -> None:
    events = json.loads(json.dumps(dump().events).replace("transfer_form", "old_form"))
    at = events[-1]["timestamp"]
    events += [{"event": "slot", "name": "old_slot", "value": 1, "timestamp": at}]
    events[3]["parse_data"]["intent"]["name"] = "old_intent"
    outcome = (await imported([RasaConversation("anna", events)], store, project.domain))[0]
    assert outcome.gone == ("the intent 'old_intent'", "the form 'old_form'", "the slot 'old_slot'")
    assistant = load_assistant(project, store=store)
    assert await say(assistant, "hello") == ["Hello!"]
    assert await say(assistant, "send money") == ["How much?"]
    assert [one.did for one in await imported([RasaConversation("anna", events)], store, project.domain)] == [Did.LEFT]


async def test_a_turn_that_rasa_did_not_finish_is_finished_by_the_next_message(store: Store, project: Project) -> None:
    await imported([RasaConversation("anna", dump().events[:-1])], store, project.domain)
    assert await say(load_assistant(project, store=store), "20 euro") == ["What shall the statement say?"]


# ---- whose it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "heard", "channel", "expected"),
    [
        ("anna", "rest", None, "rest:anna"),
        ("anna", "socketio", None, "webchat:anna"),
        ("anna", "my_own", None, "my_own:anna"),
        ("anna", None, None, "rest:anna"),
        ("anna", "rest", "telegram", "telegram:anna"),
        ("anna", "rest", "socketio", "webchat:anna"),
        ("b:c", "rest", None, "rest:b:c"),
    ],
)
def test_a_conversation_is_the_channels_where_the_customer_last_wrote(
    sender: str, heard: str | None, channel: str | None, expected: str
) -> None:
    events = read_events([{"event": "user", "text": "hi", "input_channel": heard, "timestamp": 1.0}])
    assert conversation_id_of(RasaConversation(sender, []), events, channel) == expected


@pytest.mark.parametrize("sender", ["", "a\nb", "a" * 300])
def test_a_sender_id_that_can_be_no_key_is_refused(sender: str) -> None:
    with pytest.raises(DataError, match="1 to 255 printable characters"):
        conversation_id_of(RasaConversation(sender, []), [])


# ---- where it is read ----------------------------------------------------------------------------


def test_redis_values_that_are_none_of_rasas_are_named(redis_url: str) -> None:
    found = sorted(str(one) for one in read_conversations(redis_url))
    assert found == [
        "the key 'tracker:list' holds no text: is it one of Rasa's?",
        "the key 'tracker:zoe' holds no JSON: is it one of Rasa's?",
    ]


def test_a_prefix_is_taken_by_the_letter(redis_url: str) -> None:
    assert list(read_conversations(redis_url, key_prefix="*")) == []


def test_events_of_conversations_that_alternate_are_sorted(tmp_path: Path) -> None:
    rows = [{"event": "pause", "timestamp": n, "sender_id": "ab"[n % 2]} for n in range(4)]
    for name, text in (
        ("lines.jsonl", "\n".join(json.dumps(row) for row in rows)),
        ("array.json", json.dumps(rows, indent=2)),
        ("short.json", json.dumps(rows)),
    ):
        (tmp_path / name).write_text(text)
        found = [one for one in read_conversations(str(tmp_path / name)) if isinstance(one, RasaConversation)]
        assert [(one.sender_id, [event["timestamp"] for event in one.events]) for one in found] == [
            ("a", [0, 2]),
            ("b", [1, 3]),
        ]


def test_a_long_array_is_read_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.rasa_trackers._CHUNK", 7)
    trackers = [{"sender_id": f"s{n}", "events": [{"event": "pause", "text": "é, ]" * n}]} for n in range(20)]
    (tmp_path / "all.json").write_text(json.dumps(trackers, indent=1, ensure_ascii=False))
    found = list(read_conversations(str(tmp_path / "all.json")))
    assert found == [RasaConversation(one["sender_id"], one["events"]) for one in trackers]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"sender_id": "a", "events": []}\n{"sender_id": ', r"f\.json:2: this line is no JSON"),
        ('[{"sender_id": "a", "events": []},\n {"sender_id": ', r"f\.json:2: the file is no JSON from here on"),
        ('{\n "sender_id": "a",\n "events": [\n', r"f\.json:4: the file is no JSON from here on"),
        ('{"sender_id": "a", "events": null}', r"f\.json:1: the tracker has no events: .*include_events=ALL"),
        ('{"event": "pause"}', r"f\.json:1: this is neither a tracker nor an event with a 'sender_id'"),
        ("[1]", r"f\.json:1: this is neither a tracker nor an event"),
        ("<html>", r"f\.json:1: this line is no JSON"),
    ],
)
def test_what_a_file_holds_otherwise_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "f.json").write_text(text)
    problems = [one for one in read_conversations(str(tmp_path / "f.json")) if isinstance(one, DataError)]
    with pytest.raises(DataError, match=words):
        raise problems[0]


@pytest.mark.parametrize(
    ("place", "kind", "words"),
    [
        ("nowhere.json", ConfigError, "there is no file 'nowhere.json'"),
        ("sqlite:///nowhere.db", ConfigError, r"there is no file 'nowhere\.db'"),
        ("ftp://x/y", ConfigError, "'ftp://' is not read: name a file, or a URL"),
        ("redis://u:secret@127.0.0.1:1/0", StoreUnavailable, r"redis://127\.0\.0\.1:1/0 cannot be read"),
        ("redis://127.0.0.1:port", ConfigError, "is no URL of Redis"),
        (
            "postgresql://u:secret@127.0.0.1:1/rasa",
            StoreUnavailable,
            "127.0.0.1:1/rasa cannot be read",
        ),
        ("mysql://u:secret@127.0.0.1/rasa", ConfigError, "the driver 'MySQLdb' is not installed"),
    ],
)
def test_a_place_that_is_none_is_one_line_without_its_password(
    place: str, kind: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words) as caught:
        list(read_conversations(place))
    assert "secret" not in str(caught.value)


def test_a_database_of_something_else_is_said(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "other.db").touch()
    with pytest.raises(StoreUnavailable, match="cannot be read: no such table: events"):
        list(read_conversations(f"sqlite:///{tmp_path / 'other.db'}"))


# ---- the command ---------------------------------------------------------------------------------


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["import-trackers", *words])


def test_the_command_sums_up_and_says_what_failed(project: Project, tmp_path: Path) -> None:
    lines = (RECORDED / "export.jsonl").read_text()
    late = {"event": "pause", "timestamp": time.time() + 9e6, "sender_id": "zoe"}
    (tmp_path / "export.jsonl").write_text(lines + json.dumps(late) + "\n")
    words = ["--from", str(tmp_path / "export.jsonl"), "--project", str(project.root)]
    try:
        first = run(*words, "--dry-run")
        assert first.stdout == "3 conversations would be imported (70 events), 1 failed.\n"
        assert (run(*words).stdout, run(*words).stdout) == (
            "3 conversations imported (70 events), 1 failed.\n",
            "0 conversations imported (0 events), 3 there already, 1 failed.\n",
        )
        assert first.exit_code == 1
        assert "error: conversation 'zoe': event 1 ('pause') is of" in first.stderr
    finally:
        (project.root / "frontdesk.db").unlink()


def test_a_channel_that_can_be_none_is_refused(project: Project) -> None:
    result = run("--from", "x.json", "--channel", "a:b", "--project", str(project.root))
    assert "'a:b' is no channel's name" in str(result.exception)


def test_a_source_without_conversations_says_so(project: Project, redis_url: str) -> None:
    result = run("--from", redis_url, "--key-prefix", "shop", "--project", str(project.root))
    assert result.exit_code == 1
    assert "There are no keys 'shop:tracker:…' there. Is --key-prefix that of Rasa's endpoints.yml?" in result.stderr
    assert asyncio.run(_ids(project)) == []


async def _ids(project: Project) -> list[str]:
    store = SQLiteStore(project.root / "frontdesk.db")
    try:
        return await store.conversation_ids()
    finally:
        await store.close()
