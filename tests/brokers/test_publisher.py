"""Nothing that was committed is missing in the event stream, whatever dies or is away in between."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from bot.brokers import Publisher, streamed
from bot.brokers.redis import RedisBroker
from bot.domain import Domain, SlotSpec
from bot.errors import EndpointError, StoreUnavailable
from bot.events import Event, SlotSet, UserUttered
from bot.interfaces import Published, Store, StreamedEvent, Turn
from bot.messages import UserMessage
from bot.stores.memory import MemoryStore
from bot.stores.postgresql import PostgreSQLStore
from bot.stores.redis import RedisStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker import Tracker
from bot.worker import Worker
from tests.brokers.servers import RedisServer
from tests.conftest import make_assistant
from tests.stores.postgres_server import PostgresServer, postgres
from tests.stores.redis_servers import Cluster, cluster

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"amount": SlotSpec("amount")})
ANNA = "rest:anna"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    with postgres() as server:
        yield server


OPENINGS: dict[str, Callable[[pytest.FixtureRequest, Path], Callable[[], Store]]] = {
    "memory": lambda request, folder: memory_opening(),
    "sqlite": lambda request, folder: lambda: SQLiteStore(folder / "frontdesk.db", feed=True),
    "redis": lambda request, folder: redis_opening(request.getfixturevalue("redis_server")),
    "postgresql": lambda request, folder: postgresql_opening(request.getfixturevalue("postgresql")),
    "redis-cluster": lambda request, folder: cluster_opening(request.getfixturevalue("redis_cluster")),
}
"""How a store with a feed is opened; a second time, too, for a process that shares it or comes after."""


def memory_opening() -> Callable[[], Store]:
    store = MemoryStore(feed=True)
    return lambda: store


def unique() -> str:
    return f"t{secrets.token_hex(4)}"


def cluster_opening(servers: Cluster) -> Callable[[], Store]:
    prefix = unique()
    return lambda: RedisStore(servers.url, cluster=True, key_prefix=prefix, feed=True, lease=1.0)


def postgresql_opening(server: PostgresServer) -> Callable[[], Store]:
    schema = unique()
    return lambda: PostgreSQLStore(url=server.url(), schema=schema, feed=True, lease=2.0)


def redis_opening(server: RedisServer) -> Callable[[], Store]:
    prefix = unique()
    return lambda: RedisStore(port=server.port, host="127.0.0.1", key_prefix=prefix, feed=True, lease=1.0)


@pytest.fixture(params=sorted(OPENINGS))
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    return OPENINGS[request.param](request, tmp_path)


@pytest.fixture
async def store(opening: Callable[[], Store]) -> AsyncIterator[Store]:
    store = opening()
    yield store
    await store.close()


async def commit(store: Store, *events: Event, conversation_id: str = ANNA) -> Tracker:
    async with store.lease(conversation_id) as lease:
        tracker = await store.resume(lease, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, events), tracker)
    return tracker


def amount(value: int) -> SlotSet:
    return SlotSet(name="amount", value=value)


def shown(turns: Sequence[Published]) -> list[tuple[str, int, list[Any]]]:
    return [(turn.conversation_id, turn.first, [event.value for event in turn.events]) for turn in turns]  # type: ignore[attr-defined]


# ---- the feed of a store -------------------------------------------------------------------------


async def test_the_feed_shows_what_was_committed_until_it_is_struck_off(store: Store) -> None:
    await commit(store, amount(1), amount(2))
    await commit(store, amount(3))
    first = await store.feed()
    assert shown(first) == [(ANNA, 0, [1, 2]), (ANNA, 2, [3])]
    assert shown(await store.feed()) == shown(first)
    await store.published(first[:1])
    assert shown(await store.feed()) == [(ANNA, 2, [3])]


async def test_the_feed_shows_no_more_than_it_is_asked_for(store: Store) -> None:
    for number in range(5):
        await commit(store, amount(number))
    found = await store.feed(2)
    assert [turn.first for turn in found] == [0, 1]
    await store.published(found)
    assert [turn.first for turn in await store.feed(2)] == [2, 3]


async def test_the_feed_waits_until_there_is_something(store: Store) -> None:
    await commit(store, amount(1))
    await store.published(await store.feed())
    waiting = asyncio.create_task(store.feed())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    await commit(store, amount(2))
    assert shown(await asyncio.wait_for(waiting, 10)) == [(ANNA, 1, [2])]


async def test_the_feed_keeps_every_conversation_in_order(store: Store) -> None:
    names = [f"rest:{number}" for number in range(8)]
    for number in range(6):
        await asyncio.gather(*(commit(store, amount(number), conversation_id=name) for name in names))
    seen: dict[str, list[Any]] = {name: [] for name in names}
    while sum(map(len, seen.values())) < 48:
        turns = await store.feed(7)
        for turn in turns:
            seen[turn.conversation_id] += [event.value for event in turn.events]  # type: ignore[attr-defined]
        await store.published(turns)
    assert all(values == list(range(6)) for values in seen.values())


async def test_a_replaced_history_goes_out_behind_what_it_replaces(store: Store) -> None:
    await commit(store, amount(1))
    async with store.lease(ANNA) as lease:
        tracker = Tracker.new(ANNA, DOMAIN)
        tracker.apply_all([amount(7), amount(8)])
        await store.replace(lease, Turn(ANNA, (amount(7), amount(8))), tracker)
    assert shown(await store.feed()) == [(ANNA, 0, [1]), (ANNA, 0, [7, 8])]


async def test_what_was_erased_is_in_no_feed(store: Store) -> None:
    await commit(store, amount(1))
    before = await store.feed()
    await store.delete(ANNA)
    await commit(store, amount(2))
    await store.published(before)
    assert shown(await store.feed()) == [(ANNA, 0, [2])]


async def test_a_turn_without_events_is_in_no_feed(store: Store) -> None:
    await commit(store)
    await commit(store, amount(1))
    assert shown(await store.feed()) == [(ANNA, 0, [1])]


async def test_a_long_turn_is_in_the_feed_whole(store: Store) -> None:
    await commit(store, amount(0))
    await commit(store, *map(amount, range(1, 300)))
    seen: list[Any] = []
    while len(seen) < 300:
        turns = await store.feed(2)
        for turn in turns:
            assert turn.first == len(seen)
            seen += [event.value for event in turn.events]  # type: ignore[attr-defined]
        await store.published(turns)
    assert seen == list(range(300))


@pytest.mark.parametrize("opening", sorted({*OPENINGS} - {"memory"}), indirect=True)
async def test_what_one_process_has_left_is_another_ones_to_publish(opening: Callable[[], Store]) -> None:
    first = opening()
    await commit(first, amount(1))
    assert len(await first.feed()) == 1
    second = None
    if isinstance(first, RedisStore | PostgreSQLStore):
        second = opening()
        waiting = asyncio.create_task(second.feed())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "two have the same in hand"
        await first.close()
        left = await asyncio.wait_for(waiting, 10)
    else:
        await first.close()
        second = opening()
        left = await second.feed()
    assert shown(left) == [(ANNA, 0, [1])]
    await second.close()


async def test_the_feeds_process_hears_at_once_of_what_another_one_commits(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would look by itself, in a minute.
    monkeypatch.setattr("bot.stores.redis_feed._PERIOD", 60.0)
    open_store = redis_opening(redis_server)
    feeding, other = open_store(), open_store()
    await commit(feeding, amount(1))
    await feeding.published(await feeding.feed())
    waiting = asyncio.create_task(feeding.feed())
    await commit(other, amount(2))
    assert shown(await asyncio.wait_for(waiting, 20)) == [(ANNA, 1, [2])]
    await feeding.close()
    await other.close()


# ---- the publisher -------------------------------------------------------------------------------


class Broker:
    """Takes events, or does not. `taken` has what it was sent, repeats, too."""

    def __init__(self) -> None:
        self.taken: list[StreamedEvent] = []
        self.trouble: Exception | None = None
        self.is_stuck = False
        self.asked = asyncio.Event()
        self.has_more = asyncio.Event()
        self.is_closed = False

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        self.asked.set()
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.trouble:
            # Half of it has arrived.
            self.taken += events[: len(events) // 2]
            raise self.trouble
        self.taken += events
        self.has_more.set()

    async def close(self) -> None:
        self.is_closed = True

    async def has(self, *expected: Any) -> None:
        """Wait until these values have arrived: each once when repeats are dropped, in this order."""
        async with asyncio.timeout(20):
            while len({event.id for event in self.taken}) < len(expected):
                self.has_more.clear()
                await self.has_more.wait()
        kept = {event.id: json.loads(event.body)["value"] for event in self.taken}
        assert list(kept.values()) == list(expected)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def memory(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryStore]:
    """A store whose events are published to `broker`, with short pauses."""
    monkeypatch.setattr("bot.brokers.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("bot.brokers.MOST_PAUSE", 0.01)
    store = MemoryStore(feed=True)
    publisher = Publisher(store, broker)
    publisher.start()
    yield store
    await publisher.stop()
    await store.close()


async def test_what_is_committed_goes_out(memory: MemoryStore, broker: Broker) -> None:
    await commit(memory, amount(1), amount(2))
    await broker.has(1, 2)
    await commit(memory, amount(3))
    await broker.has(1, 2, 3)
    assert len(broker.taken) == 3


async def test_a_broker_that_is_away_gets_all_of_it_later_in_order(
    memory: MemoryStore, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.trouble = EndpointError("RabbitMQ at localhost:5672 cannot be used: it is gone")
    for number in range(10):
        await commit(memory, amount(number), amount(number + 100))
        broker.asked.clear()
        await asyncio.wait_for(broker.asked.wait(), 10)
    broker.trouble = None
    expected = [value for number in range(10) for value in (number, number + 100)]
    await broker.has(*expected)
    await commit(memory, amount(1000))
    await broker.has(*expected, 1000)
    assert [record.message for record in caplog.records] == [
        "the event broker is away, events wait in the store and go out later: "
        "RabbitMQ at localhost:5672 cannot be used: it is gone",
        "events go out again, those that were kept first",
    ]


async def test_a_broker_that_takes_for_ever_is_tried_again(
    memory: MemoryStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.brokers.LONGEST", 0.02)
    broker.is_stuck = True
    await commit(memory, amount(1))
    await asyncio.wait_for(broker.asked.wait(), 10)
    broker.is_stuck = False
    await broker.has(1)


async def test_a_bug_of_a_broker_ends_no_stream_and_tells_nothing_that_was_said(
    memory: MemoryStore, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.trouble = ValueError("my card number is 4929")
    await commit(memory, amount(1))
    await asyncio.wait_for(broker.asked.wait(), 10)
    broker.trouble = None
    await broker.has(1)
    assert "ValueError" in caplog.text
    assert "4929" not in caplog.text


async def test_a_store_that_is_away_is_asked_again(
    memory: MemoryStore, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    strike_off = memory.published
    tried = asyncio.Event()

    async def away(turns: Sequence[Published]) -> None:
        tried.set()
        raise StoreUnavailable("Redis does not answer")

    monkeypatch.setattr(memory, "published", away)
    await commit(memory, amount(1))
    await asyncio.wait_for(tried.wait(), 10)
    monkeypatch.setattr(memory, "published", strike_off)
    await commit(memory, amount(2))
    await broker.has(1, 2)
    assert caplog.records[0].message.startswith("the store is away")


async def test_a_publisher_that_is_stopped_closes_its_broker_and_leaves_the_rest_in_the_store(broker: Broker) -> None:
    store = MemoryStore(feed=True)
    publisher = Publisher(store, broker)
    publisher.start()
    broker.is_stuck = True
    await commit(store, amount(1))
    await asyncio.wait_for(broker.asked.wait(), 10)
    await publisher.stop()
    assert broker.is_closed
    assert len(await store.feed()) == 1


async def test_a_worker_publishes_what_its_turns_commit(broker: Broker) -> None:
    assistant = make_assistant(MemoryStore(feed=True))
    worker = Worker(assistant, broker)
    worker.start()
    await assistant.handle(UserMessage("hello", sender_id="anna"))
    async with asyncio.timeout(20):
        await broker.has_more.wait()
    await worker.stop(1.0)
    bodies = [json.loads(event.body) for event in broker.taken]
    assert [(body["event"], body["text"]) for body in bodies if "text" in body] == [
        ("user", "hello"),
        ("bot", "Hello from the shop."),
    ]
    assert [key for event in broker.taken if (key := int(event.id.split("/")[1]))] == list(range(1, len(bodies)))


# ---- the events ----------------------------------------------------------------------------------


def test_an_events_id_says_which_one_it_is_and_no_other_has_it() -> None:
    first, second = streamed(Published("1", "telegram:4711", 7, (amount(1), amount(1))))
    again = streamed(Published("9", "telegram:4711", 7, (first_event := amount(1),)))
    assert first.id.startswith("telegram:4711/7/")
    assert second.id.startswith("telegram:4711/8/")
    assert again[0].id != first.id, "another event took the number, after the history was replaced"
    assert streamed(Published("5", "telegram:4711", 7, (first_event,)))[0].id == again[0].id


@pytest.mark.parametrize("sender_id", ["x" * 5000, "客" * 100, "\ud800", "a b/c\n"])
def test_an_id_is_short_and_text_whoever_the_customer_is(sender_id: str) -> None:
    [event] = streamed(Published("1", f"rest:{sender_id}", 0, (UserUttered(text="\ud83d"),)))
    assert len(event.id.encode()) <= 255
    assert json.loads(event.body)["event_id"] == event.id


# ---- with everything real ------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from bot.brokers import Publisher
from bot.brokers.redis import RedisBroker
from bot.domain import Domain, SlotSpec
from bot.errors import StoreError
from bot.events import SlotSet
from bot.interfaces import Turn
from bot.stores.redis import RedisStore

store_port, broker_port, name = sys.argv[1:]
domain = Domain(slots={"amount": SlotSpec("amount")})

async def talk(store, conversation_id):
    while True:
        try:
            async with store.lease(conversation_id) as lease:
                tracker = await store.resume(lease, domain)
                count = tracker.event_count
                events = tuple(SlotSet(name="amount", value=count + number) for number in range(3))
                tracker.apply_all(events)
                await store.commit(lease, Turn(conversation_id, events), tracker)
            print(conversation_id, flush=True)
        except StoreError:
            await asyncio.sleep(0.01)

async def main():
    store = RedisStore(host="127.0.0.1", port=int(store_port), feed=True, lease=1.0)
    Publisher(store, RedisBroker(url="127.0.0.1", port=int(broker_port))).start()
    await asyncio.gather(*(talk(store, f"rest:{name}{number}") for number in range(4)))

asyncio.run(main())
"""


async def test_nothing_is_missing_whatever_dies(tmp_path: Path) -> None:
    kept, stream = RedisServer(tmp_path / "store"), RedisServer(tmp_path / "stream")
    kept.start()
    stream.start()

    async def child(name: str) -> asyncio.subprocess.Process:
        arguments = (sys.executable, "-c", CHILD, str(kept.port), str(stream.port), name)
        return await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)

    async def turns(process: asyncio.subprocess.Process, count: int) -> None:
        assert process.stdout is not None
        for _ in range(count):
            assert await asyncio.wait_for(process.stdout.readline(), 30)

    try:
        for seed in range(3):
            # Both talk; one publishes, until it is killed in the middle of it, or has lost its broker for a while.
            one, other = await child("a"), await child("b")
            await turns(one, 20 + 7 * seed)
            await turns(other, 5)
            one.kill()
            await asyncio.to_thread(stream.kill)
            await turns(other, 40)
            await asyncio.to_thread(stream.start)
            await turns(other, 10 + 3 * seed)
            other.kill()
            await asyncio.gather(one.wait(), other.wait())
        store = RedisStore(host="127.0.0.1", port=kept.port, feed=True, lease=1.0)
        publisher = Publisher(store, RedisBroker(url="127.0.0.1", port=stream.port))
        publisher.start()
        names = await store.conversation_ids()
        expected = {name: len(await store.events(name)) for name in names}
        assert len(expected) == 8
        seen: dict[str, dict[str, Any]] = {}
        async with asyncio.timeout(30):
            while sum(map(len, seen.values())) < sum(expected.values()):
                await asyncio.sleep(0.05)
                seen = received(stream)
        assert {name: list(values.values()) for name, values in seen.items()} == {
            name: list(range(count)) for name, count in expected.items()
        }
        await publisher.stop()
        await store.close()
    finally:
        kept.kill()
        stream.kill()


def received(server: RedisServer) -> dict[str, dict[str, Any]]:
    """By conversation: the values of its events, in the order in which they came first."""
    found: dict[str, dict[str, Any]] = {}
    with redis.Redis(port=server.port, decode_responses=True) as client:
        entries: Any = client.xrange("frontdesk:events")
    for _, fields in entries:
        found.setdefault(fields["conversation_id"], {}).setdefault(fields["id"], json.loads(fields["event"])["value"])
    return found
