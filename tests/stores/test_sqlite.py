"""What SQLite promises beyond the contract: durability, one process at a time, clear errors."""

import asyncio
import gc
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bot.domain import Domain, SlotSpec
from bot.errors import LeaseLost, StoreError, StoreUnavailable, UnknownName
from bot.events import BotUttered, Event, SlotSet, UserUttered
from bot.interfaces import Turn
from bot.messages import UserMessage
from bot.stores.sqlite import SCHEMA_VERSION, SQLiteStore

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"n": SlotSpec("n")})
ANNA = "rest:anna"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.db"


async def take_turn(store: SQLiteStore, number: int, conversation_id: str = ANNA) -> None:
    events: tuple[Event, ...] = (UserUttered(text=str(number)), BotUttered(text="ok"), SlotSet(name="n", value=number))
    async with store.lease(conversation_id) as lease:
        tracker = await store.load(conversation_id, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, events, f"m{number}"), tracker)


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


async def test_a_damaged_message_is_named(path: Path) -> None:
    store = SQLiteStore(path)
    await store.accept(UserMessage("hi", sender_id="anna"))
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE inbox SET body = '[]'")
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match="message of 'rest:anna' is damaged"):
        await store.pending()
    await store.close()


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
    slow = asyncio.ensure_future(store._submit(lambda connection: disk.wait()))
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
        slow = asyncio.ensure_future(store._submit(lambda connection: disk.wait()))
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

    store._reader.set_progress_handler(count, 1)
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


async def test_idle_conversations_leave_no_locks_behind(path: Path) -> None:
    store = SQLiteStore(path)
    await asyncio.gather(*(take_turn(store, turn, f"rest:c{n}") for n in range(20) for turn in range(3)))
    gc.collect()
    assert (len(store._leases._locks), len(store._leases._holders)) == (0, 0)
    await store.close()


async def test_the_words_of_a_deleted_customer_are_in_no_file(path: Path) -> None:
    store = SQLiteStore(path)
    words = "my cat is called Wolfgang"
    for number in range(30):
        async with store.lease(ANNA) as lease:
            tracker = await store.load(ANNA, DOMAIN)
            tracker.apply_all([UserUttered(text=words), SlotSet(name="n", value=words * number * 50)])
            await store.commit(lease, Turn(ANNA, tuple(tracker.events[-2:]), f"m{number}"), tracker)
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
