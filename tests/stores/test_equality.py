"""Whatever is done in whatever order, SQLite (with a tiny cache, reopened now and then) answers like the memory."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import Domain, SlotSpec
from bot.errors import StoreError
from bot.events import BotUttered, Event, SlotSet, event_to_json
from bot.interfaces import Store, Turn
from bot.messages import UserMessage
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore

DOMAIN = Domain(slots={"n": SlotSpec("n")})
Step = tuple[str, tuple[Any, ...]]

senders = st.sampled_from(["anna", "ben", "c:d"])
message_ids = st.sampled_from(["m1", "m2", "m3"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
steps = st.one_of(
    st.tuples(st.just("accept"), st.tuples(senders, message_ids, st.text(max_size=9))),
    st.tuples(st.just("turn"), st.tuples(senders, st.none() | message_ids, st.lists(values, max_size=25))),
    st.tuples(st.just("load"), st.tuples(senders)),
    st.tuples(st.just("events"), st.tuples(senders, st.integers(0, 30), st.none() | st.integers(0, 30))),
    st.tuples(st.just("replies"), st.tuples(senders, message_ids)),
    st.tuples(st.just("pending"), st.tuples()),
    st.tuples(st.just("delete"), st.tuples(senders)),
    st.tuples(st.just("reopen"), st.tuples()),
)


async def accept(store: Store, sender: str, message_id: str, text: str) -> bool:
    return await store.accept(UserMessage(text, sender_id=sender, message_id=message_id, timestamp=1.0))


async def turn(store: Store, sender: str, message_id: str | None, said: Sequence[Any]) -> None:
    key = f"rest:{sender}"
    events: list[Event] = [SlotSet(name="n", value=value, timestamp=1.0) for value in said]
    events.append(BotUttered(text=str(said), timestamp=1.0))
    async with store.lease(key) as lease:
        tracker = await store.load(key, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(key, tuple(events), message_id), tracker)


async def load(store: Store, sender: str) -> Any:
    tracker = await store.load(f"rest:{sender}", DOMAIN)
    return tracker.to_json(), [event_to_json(event) for event in tracker.events]


async def events(store: Store, sender: str, after: int, limit: int | None) -> Any:
    return [event_to_json(event) for event in await store.events(f"rest:{sender}", after=after, limit=limit)]


async def replies(store: Store, sender: str, message_id: str) -> Any:
    return await store.replies(f"rest:{sender}", message_id)


async def pending(store: Store) -> Any:
    return await store.pending()


async def delete(store: Store, sender: str) -> None:
    await store.delete(f"rest:{sender}")


DO: dict[str, Callable[..., Awaitable[Any]]] = {
    function.__name__: function for function in (accept, turn, load, events, replies, pending, delete)
}


async def outcome(store: Store, step: Step) -> Any:
    try:
        return await DO[step[0]](store, *step[1])
    except StoreError as error:
        return type(error)


async def compare(path: Path, done: Sequence[Step]) -> None:
    memory, sqlite = MemoryStore(), SQLiteStore(path, synchronous="OFF", cache_size=1)
    for step in done:
        if step[0] == "reopen":
            await sqlite.close()
            sqlite = SQLiteStore(path, synchronous="OFF", cache_size=1)
        else:
            assert await outcome(sqlite, step) == await outcome(memory, step), step
    await sqlite.close()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(steps, max_size=25))
def test_sqlite_answers_like_the_memory(done: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(Path(folder) / "frontdesk.db", done))
