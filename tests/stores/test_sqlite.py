"""What SQLite promises beyond the contract: durability, one process at a time, clear errors."""

import asyncio
import dataclasses
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.domain import Domain, SlotSpec
from bot.errors import LeaseLost, StoreError, StoreUnavailable, UnknownName
from bot.events import BotUttered, Event, SlotSet, UserUttered
from bot.interfaces import Delivery, Lease, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores.sqlite import SQLiteStore
from bot.stores.sqlite_file import SCHEMA_VERSION

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"n": SlotSpec("n")})
ANNA = "rest:anna"
DELIVERY = Delivery("rest:tom", "d1", "rest", "tom", BotMessage(text="ok"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.db"


async def take_turn(store: SQLiteStore, number: int, conversation_id: str = ANNA, **more: Any) -> None:
    events: tuple[Event, ...] = (UserUttered(text=str(number)), BotUttered(text="ok"), SlotSet(name="n", value=number))
    async with store.lease(conversation_id) as lease:
        tracker = await store.load(conversation_id, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, events, (f"m{number}",), **more), tracker)


async def finish(store: SQLiteStore, lease: Lease) -> Lease | None:
    """The turn of the first message of a lease."""
    tracker = await store.resume(lease, DOMAIN)
    tracker.apply(UserUttered(text=lease.messages[0].text))
    turn = Turn(lease.conversation_id, tuple(tracker.events[-1:]), (lease.messages[0].message_id,))
    return await store.commit(lease, turn, tracker)


COMMIT_FOREVER = """
import asyncio, sys
from pathlib import Path
from tests.stores.test_sqlite import SQLiteStore, take_turn

async def main():
    store = SQLiteStore(Path(sys.argv[1]))
    for number in range(100_000):
        await take_turn(store, number)
        print(number, flush=True)

asyncio.run(main())
"""


def start(program: str, path: Path) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


async def test_what_was_committed_survives_a_kill(path: Path) -> None:
    process = start(COMMIT_FOREVER, path)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 40:
            break
    process.kill()
    # Not `communicate`, which would pass over the lines that were read ahead.
    reported = 40 + len(process.stdout.read().splitlines())
    process.communicate()
    store = SQLiteStore(path)
    tracker = await store.load(ANNA, DOMAIN)
    assert tracker.slots["n"] in (reported, reported + 1)
    assert tracker.event_count == len(await store.events(ANNA)) == 3 * (tracker.slots["n"] + 1)
    await store.close()


HOLD = """
import asyncio, sys
from pathlib import Path
from tests.stores.test_sqlite import ANNA, DELIVERY, SQLiteStore, UserMessage, finish, take_turn

async def main():
    store = SQLiteStore(Path(sys.argv[1]))
    await store.accept(UserMessage("claimed", sender_id="anna", message_id="m1"))
    await store.claim(ANNA)
    await store.begin(UserMessage("begun", sender_id="ben", message_id="m1"))
    begun = await store.begin(UserMessage("one", sender_id="eva", message_id="m1"))
    await store.accept(UserMessage("gone on with", sender_id="eva", message_id="m2"))
    assert await finish(store, begun.lease)
    await store.accept(UserMessage("given back", sender_id="zoe", message_id="m1"))
    await store.release(await store.claim("rest:zoe"))
    await take_turn(store, 1, "rest:tom", deliveries=(DELIVERY,))
    await store.claim_outbox("rest:tom")
    print("in hand", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_what_was_in_hand_at_a_kill_is_ready_and_its_attempt_counts(path: Path) -> None:
    process = start(HOLD, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "in hand\n"
    process.kill()
    process.communicate()
    store = SQLiteStore(path)
    told = [await asyncio.wait_for(store.ready(), 5) for _ in range(5)]
    assert told == [
        *(Work("inbox", f"rest:{name}") for name in ("anna", "ben", "eva", "zoe")),
        Work("outbox", "rest:tom"),
    ]
    leases = [await store.claim(work.conversation_id) for work in told[:4]]
    assert [(lease.messages[0].text, lease.attempts) for lease in leases if lease] == [
        ("claimed", 1),
        ("begun", 1),
        ("gone on with", 1),
        ("given back", 0),
    ]
    lease = await store.claim_outbox("rest:tom")
    assert lease is not None
    assert lease.deliveries == (DELIVERY,)
    await store.close()


async def test_a_second_process_is_turned_away_until_the_first_is_gone(path: Path) -> None:
    process = start(COMMIT_FOREVER, path)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(StoreUnavailable, match=r"bank\.db is in use by another process"):
        SQLiteStore(path)
    process.kill()
    process.communicate()
    await SQLiteStore(path).close()


FILL_THE_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from bot.errors import StoreUnavailable
from tests.stores.test_sqlite import ANNA, DOMAIN, SQLiteStore, take_turn

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = SQLiteStore(Path(sys.argv[1]))
    await take_turn(store, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    stored = 0
    try:
        for number in range(1, 100):
            await take_turn(store, number)
            stored = number
    except StoreUnavailable as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (await store.load(ANNA, DOMAIN)).slots["n"] == stored
    await take_turn(store, stored + 1)
    assert len(await store.events(ANNA)) == 3 * (stored + 2)
    await store.close()
    print("went on")

asyncio.run(main())
"""


async def test_a_full_disk_refuses_the_turn_and_the_store_goes_on_when_there_is_room(path: Path) -> None:
    out, err = start(FILL_THE_DISK, path).communicate()
    assert "bank.db cannot" in out, err
    assert out.endswith("went on\n"), err


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_text("These are my notes.\n" * 100)
    with pytest.raises(StoreError, match=r"bank\.db is not a database: move it away"):
        SQLiteStore(path)
    assert path.read_text().startswith("These")


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SQLiteStore(path)
    assert path.read_bytes() == before


async def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    await SQLiteStore(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match=f"newer Frontdesk .version {SCHEMA_VERSION + 1}"):
        SQLiteStore(path)


def version_1(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(Path(__file__).with_name("version_1.sql").read_text())


async def test_a_file_of_version_1_goes_on(path: Path) -> None:
    version_1(path)
    for _ in range(2):
        store = SQLiteStore(path)
        tracker = await store.load(ANNA, DOMAIN)
        assert (tracker.slots["n"], tracker.event_count, len(tracker.events)) == (3, 9, 9)
        assert await store.conversation_ids() == [ANNA, "rest:ben"]
        said = [event.text for event in await store.events(ANNA) if isinstance(event, UserUttered)]
        assert said == ["1", "2", "3"]
        assert not await store.accept(UserMessage("2", sender_id="anna", message_id="m2"))
        assert await store.replies(ANNA, "m2") == [BotMessage(text="ok")]
        await store.close()
    store = SQLiteStore(path)
    await take_turn(store, 4)
    assert (await store.load(ANNA, DOMAIN)).event_count == 12
    await store.close()


async def test_what_version_1_did_not_answer_is_for_a_person_to_decide(path: Path) -> None:
    version_1(path)
    store = SQLiteStore(path)
    assert await store.pending() == []
    first, second = await store.dead_letters()
    assert "earlier version" in first.reason
    assert [letter.content.message_id for letter in (first, second) if isinstance(letter.content, UserMessage)] == [
        "m9",
        "m8",
    ]
    assert await store.revive(second.id)
    assert await store.ready() == Work("inbox", ANNA)
    await store.close()


def test_a_file_whose_migration_fails_is_as_it_was(path: Path) -> None:
    version_1(path)
    with sqlite3.connect(path) as connection:
        # A table that the new version wants to make.
        connection.execute("CREATE TABLE timers (mine TEXT)")
    before = list(connection.iterdump())
    with pytest.raises(StoreError, match=r"bank\.db: table timers already exists"):
        SQLiteStore(path)
    with sqlite3.connect(path) as connection:
        assert list(connection.iterdump()) == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"nowhere/bank\.db cannot be opened: No such file or directory"):
        SQLiteStore(tmp_path / "nowhere" / "bank.db")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE turns SET body = '[{'", "events of 'rest:anna' are damaged"),
        ("""UPDATE turns SET body = '[{"event": "nonsense"}]'""", "events of 'rest:anna' are damaged"),
        ("UPDATE conversations SET snapshot = '{}'", "state of 'rest:anna' is damaged"),
        ("UPDATE conversations SET snapshot = x'00ff'", "state of 'rest:anna' is damaged"),
    ],
)
async def test_a_damaged_row_is_named_and_the_others_are_served(path: Path, damage: str, words: str) -> None:
    store = SQLiteStore(path)
    await take_turn(store, 1)
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match=words):
        await store.load(ANNA, DOMAIN)
    await take_turn(store, 1, "rest:ben")
    await store.close()


@pytest.mark.parametrize("body", ["[]", "{}", "not JSON", "null", '{"text": 1, "attachments": 5}'])
async def test_what_waits_and_is_damaged_is_named_and_left_and_the_others_go_on(
    path: Path, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = SQLiteStore(path)
    messages = [UserMessage("hi", sender_id="anna", message_id=f"m{number}") for number in range(3)]
    for message in messages:
        await store.accept(message)
    delivery = Delivery("rest:eva", "d1", "rest", "eva", BotMessage(text="ok"))
    later = dataclasses.replace(delivery, key="d2")
    timer = Timer("tea", 0.0, UserMessage("tea", sender_id="ben"))
    await take_turn(store, 1, "rest:eva", deliveries=(delivery, later), timers=(timer,))
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE inbox SET body = ? WHERE message_id = 'm1'", (body,))
        connection.execute("UPDATE outbox SET body = ? WHERE delivery_key = 'd1'", (body,))
        connection.execute("UPDATE timers SET body = ?", (body,))
    store = SQLiteStore(path)
    for what in ("message of 'rest:anna'", "reply of 'rest:eva'", "message of 'rest:eva'"):
        assert f"a stored {what} is damaged" in caplog.text
    assert await store.pending() == [messages[0], messages[2]]
    assert not await store.accept(messages[1])
    with pytest.raises(StoreError, match="message 'm1' of 'rest:anna' was deleted a moment ago, or is damaged"):
        await store.begin(messages[1])
    lease = await store.claim_outbox("rest:eva")
    assert lease is not None
    assert lease.deliveries == (later,)
    assert await store.delivered(lease) is None
    await store.close()
    with sqlite3.connect(path) as connection:
        left = [connection.execute(f"SELECT body FROM {table}").fetchall() for table in ("outbox", "timers")]
        assert left == [[(body,)]] * 2
        assert (body,) in connection.execute("SELECT body FROM inbox").fetchall()


async def test_one_refused_turn_does_not_spoil_those_that_are_stored_with_it(path: Path) -> None:
    store = SQLiteStore(path)
    await take_turn(store, 0, "rest:c3")
    outcomes = await asyncio.gather(
        *(take_turn(store, 0, f"rest:c{number}") for number in range(8)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [LeaseLost if n == 3 else type(None) for n in range(8)]
    assert [len(await store.events(f"rest:c{number}")) for number in range(8)] == [3] * 8
    await store.close()


async def test_a_turn_is_refused_when_a_higher_token_has_been_in_the_file(path: Path) -> None:
    store = SQLiteStore(path)
    await take_turn(store, 1)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE conversations SET token = token + (1 << 40)")
    with pytest.raises(LeaseLost, match="has moved on"):
        await take_turn(store, 2)
    assert len(await store.events(ANNA)) == 3
    await store.close()


async def test_a_cancelled_turn_is_stored_whole_or_not_at_all(path: Path) -> None:
    store = SQLiteStore(path)
    disk = threading.Event()
    slow = asyncio.ensure_future(store._write(lambda connection: disk.wait()))
    task = asyncio.ensure_future(take_turn(store, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    disk.set()
    await slow
    with pytest.raises(asyncio.CancelledError):
        await task
    await take_turn(store, 2)
    assert (await store.load(ANNA, DOMAIN)).event_count == len(await store.events(ANNA)) == 6
    await store.close()


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    await store.close()


async def cancelled_while_writing(store: SQLiteStore, doing: Coroutine[Any, Any, Any]) -> None:
    """The caller goes away when the file is to be written, which is then done all the same."""
    disk = threading.Event()
    slow = asyncio.ensure_future(store._write(lambda connection: disk.wait()))
    task = asyncio.ensure_future(doing)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    disk.set()
    await slow
    with pytest.raises(asyncio.CancelledError):
        await task


def message(number: int = 1) -> UserMessage:
    return UserMessage(f"message {number}", sender_id="anna", message_id=f"m{number}", timestamp=1.0)


async def test_a_message_whose_sender_goes_away_is_accepted(store: SQLiteStore) -> None:
    await cancelled_while_writing(store, store.accept(message()))
    assert not await store.accept(message())
    assert await store.ready() == Work("inbox", ANNA)


async def test_a_lease_that_nobody_waits_for_any_more_is_free(store: SQLiteStore) -> None:
    await cancelled_while_writing(store, store.begin(message()))
    assert await store.ready() == Work("inbox", ANNA)
    await cancelled_while_writing(store, store.claim(ANNA))
    lease = await store.claim(ANNA)
    assert lease is not None
    assert lease.attempts == 0


async def test_the_next_message_of_a_turn_whose_holder_goes_away_is_ready(store: SQLiteStore) -> None:
    begun = await store.begin(message(1))
    await store.accept(message(2))
    assert begun.lease is not None
    await cancelled_while_writing(store, finish(store, begun.lease))
    assert len(await begun.answer) == 0
    lease = await store.claim(ANNA)
    assert lease is not None
    assert (lease.messages, lease.attempts) == ((message(2),), 0)


async def test_the_next_delivery_of_one_who_goes_away_is_ready(store: SQLiteStore) -> None:
    later = dataclasses.replace(DELIVERY, key="d2")
    await take_turn(store, 1, "rest:tom", deliveries=(DELIVERY, later))
    lease = await store.claim_outbox("rest:tom")
    assert lease is not None
    await cancelled_while_writing(store, store.delivered(lease))
    left = await store.claim_outbox("rest:tom")
    assert left is not None
    assert left.deliveries == (later,)


@pytest.fixture
def full_disk(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def full() -> Iterator[None]:
        def refuse(jobs: object) -> list[Any]:
            raise StoreUnavailable("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(store._file, "_transaction", refuse)
            yield

    return full


Full = Callable[[], AbstractContextManager[None]]


async def test_nothing_is_in_hand_that_could_not_be_written_down(store: SQLiteStore, full_disk: Full) -> None:
    with full_disk():
        for attempt in (store.begin(message()), store.accept(message())):
            with pytest.raises(StoreUnavailable, match="the disk is full"):
                await attempt
    assert await store.pending() == []
    assert await store.accept(message())
    with full_disk(), pytest.raises(StoreUnavailable):
        await store.claim(ANNA)
    lease = await store.claim(ANNA)
    assert lease is not None
    assert lease.attempts == 0


async def test_a_turn_that_could_not_be_written_down_is_taken_again(store: SQLiteStore, full_disk: Full) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    with full_disk():
        with pytest.raises(StoreUnavailable):
            await finish(store, begun.lease)
        await store.release(begun.lease)
    assert await store.events(ANNA) == []
    lease = await store.claim(ANNA)
    assert lease is not None
    assert lease.attempts == 0
    assert await finish(store, lease) is None
    assert await begun.answer == []


async def test_a_delivery_that_could_not_be_struck_off_is_made_again(store: SQLiteStore, full_disk: Full) -> None:
    await take_turn(store, 1, "rest:tom", deliveries=(DELIVERY,))
    for step in (store.delivered, lambda lease: store.postpone(lease, 0.0), lambda lease: store.give_up(lease, "no")):
        while (work := await asyncio.wait_for(store.ready(), 5)) != Work("outbox", "rest:tom"):
            assert work.kind == "outbox"
        lease = await store.claim_outbox("rest:tom")
        assert lease is not None
        with full_disk(), pytest.raises(StoreUnavailable):
            await step(lease)
    await asyncio.wait_for(store.ready(), 5)
    lease = await store.claim_outbox("rest:tom")
    assert lease is not None
    assert await store.delivered(lease) is None
    assert await store.dead_letters() == []


async def test_a_timer_that_could_not_become_a_message_does_so_later(store: SQLiteStore, full_disk: Full) -> None:
    await take_turn(store, 1, timers=(Timer("tea", 0.0, message(2)),))
    with full_disk(), pytest.raises(StoreUnavailable):
        await store.ready()
    assert await asyncio.wait_for(store.ready(), 5) == Work("inbox", ANNA)
    assert await store.pending() == [message(2)]


async def test_a_conversation_that_could_not_be_deleted_goes_on(store: SQLiteStore, full_disk: Full) -> None:
    await take_turn(store, 1, deliveries=(DELIVERY,))
    await store.accept(message(2))
    with full_disk(), pytest.raises(StoreUnavailable):
        await store.delete(ANNA)
    assert (await store.load(ANNA, DOMAIN)).event_count == 3
    assert await store.claim(ANNA) is not None
    assert await store.claim_outbox(ANNA) is not None


async def test_an_attempt_does_not_wait_for_the_disk_and_a_message_does(store: SQLiteStore) -> None:
    def mode() -> int:
        return int(store._file._writer.execute("PRAGMA synchronous").fetchone()[0])

    full, normal = 2, 1
    await store.accept(message())
    assert mode() == full
    lease = await store.claim(ANNA)
    assert lease is not None
    assert mode() == normal
    await finish(store, lease)
    assert mode() == full


async def test_a_conversation_that_left_the_cache_is_read_from_the_file(path: Path) -> None:
    store = SQLiteStore(path, cache_size=2)
    for number in range(3):
        for customer in range(5):
            await take_turn(store, number, f"rest:c{customer}")
    for customer in range(5):
        tracker = await store.load(f"rest:c{customer}", DOMAIN)
        assert (tracker.slots["n"], len(tracker.events)) == (2, 9)
    assert len(store._cache) == 2
    await store.close()


async def test_what_is_read_during_a_commit_is_not_taken_for_the_new_state(path: Path) -> None:
    store = SQLiteStore(path, cache_size=1)
    await take_turn(store, 1)
    disk = threading.Event()
    async with store.lease(ANNA) as lease:
        tracker = await store.load(ANNA, DOMAIN)
        await take_turn(store, 1, "rest:ben")
        slow = asyncio.ensure_future(store._write(lambda connection: disk.wait()))
        tracker.apply(SlotSet(name="n", value=2))
        commit = asyncio.ensure_future(store.commit(lease, Turn(ANNA, tuple(tracker.events[-1:])), tracker))
        await asyncio.sleep(0)
        assert (await store.load(ANNA, DOMAIN)).slots["n"] == 1
        disk.set()
        await asyncio.gather(slow, commit)
    after = await store.load(ANNA, DOMAIN)
    assert (after.slots["n"], len(after.events)) == (2, 4)
    await store.close()


async def test_a_load_of_ten_thousand_events_takes_as_many_steps_as_one_of_a_hundred(path: Path) -> None:
    store = SQLiteStore(path, cache_size=0)
    steps: list[int] = []

    def count() -> int:
        steps.append(1)
        return 0

    async def cost() -> int:
        steps.clear()
        await store.load(ANNA, DOMAIN)
        return len(steps)

    store._file.reader.set_progress_handler(count, 1)
    for number in range(40):
        await take_turn(store, number)
    early = await cost()
    async with store.lease(ANNA) as lease:
        tracker = await store.load(ANNA, DOMAIN)
        many = (SlotSet(name="n", value=0),) * 10_000
        tracker.apply_all(many)
        await store.commit(lease, Turn(ANNA, many), tracker)
    for number in range(40, 80):
        await take_turn(store, number)
    assert (await store.load(ANNA, DOMAIN)).event_count > 10_000
    assert await cost() <= early + 20
    await store.close()


async def test_idle_conversations_leave_nothing_behind(path: Path) -> None:
    store = SQLiteStore(path)
    await asyncio.gather(*(take_turn(store, turn, f"rest:c{n}") for n in range(20) for turn in range(3)))
    for number in range(20):
        begun = await store.begin(UserMessage("hi", sender_id=f"c{number}", message_id="m9"))
        assert begun.lease is not None
        await finish(store, begun.lease)
    assert store._desk._conversations == {}
    await store.close()


async def test_the_words_of_a_deleted_customer_are_in_no_file(path: Path) -> None:
    store = SQLiteStore(path)
    words = "my cat is called Wolfgang"
    for number in range(30):
        async with store.lease(ANNA) as lease:
            tracker = await store.load(ANNA, DOMAIN)
            tracker.apply_all([UserUttered(text=words), SlotSet(name="n", value=words * number * 50)])
            await store.commit(lease, Turn(ANNA, tuple(tracker.events[-2:]), (f"m{number}",)), tracker)
        await take_turn(store, number, "rest:ben")
    await store.accept(UserMessage(words, sender_id="anna"))
    await store.delete(ANNA)
    await store.close()
    assert {file.name: words.encode() in file.read_bytes() for file in path.parent.iterdir()} == {
        "bank.db": False,
        "bank.db.lock": False,
    }


async def test_only_its_owner_may_read_the_file(path: Path) -> None:
    store = SQLiteStore(path)
    await take_turn(store, 1)
    assert {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {
        file.name: 0 for file in path.parent.iterdir()
    }
    await store.close()


def test_a_misspelt_setting_is_named(path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'FUL'\. Did you mean 'FULL'"):
        SQLiteStore(path, synchronous="FUL")


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SQLiteStore(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.accept(UserMessage("hi"))


def test_a_cache_of_less_than_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache_size"):
        SQLiteStore(tmp_path / "x.db", cache_size=-1)
