"""Nothing that was committed is missing in the event stream, whatever dies or is away in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.brokers import Publisher, streamed
from bot.domain import Domain, SlotSpec
from bot.errors import EndpointError
from bot.events import Event, SlotSet
from bot.interfaces import Published, Store, StreamedEvent, Turn
from bot.stores.memory import MemoryStore
from bot.stores.redis import RedisStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker import Tracker
from tests.brokers.servers import RedisServer

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


OPENINGS: dict[str, Callable[[pytest.FixtureRequest, Path], Callable[[], Store]]] = {
    "memory": lambda request, folder: memory_opening(),
    "sqlite": lambda request, folder: lambda: SQLiteStore(folder / "frontdesk.db", feed=True),
    "redis": lambda request, folder: redis_opening(request.getfixturevalue("redis_server"), folder),
}
"""How a store with a feed is opened; a second time, too, for a process that shares it or comes after."""


def memory_opening() -> Callable[[], Store]:
    store = MemoryStore(feed=True)
    return lambda: store


def redis_opening(server: RedisServer, folder: Path) -> Callable[[], Store]:
    prefix = folder.name.replace("[", "-").replace("]", "")
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
