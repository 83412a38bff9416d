"""The event stream: every committed event goes out to the event broker. One file per broker.

The store hands out what was committed and not yet published (its `feed`), and keeps it until the broker has it: a turn
goes out at least once, whatever dies in between. A receiver drops what it has had by the event's id.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from bot.errors import EndpointError, FrontdeskError, StoreError, StoreUnavailable, describe
from bot.events import event_to_json
from bot.interfaces import EventBroker, Published, Store, StreamedEvent
from bot.registry import construct, load_class
from bot.stores import encode

if TYPE_CHECKING:
    from bot.project import Project

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Turns that are published together."""
LONGEST = 30.0
"""Seconds that a broker may take for them."""
FIRST_PAUSE = 1.0
MOST_PAUSE = 30.0
"""Seconds until a broker or a store that does not answer is tried again: 1, 2, 4 and so on up to this."""
LONGEST_ID = 200
"""Bytes of an id that shows its conversation. AMQP carries 255."""


def open_broker(project: Project) -> EventBroker | None:
    """The event broker that the configuration names; None without one. It connects when it first publishes."""
    config = project.config.event_broker
    if config is None:
        return None
    cls = load_class("event broker", config.name, config.source)
    broker: EventBroker = construct(cls, config.options, config.source, root=project.root)
    return broker


class Publisher:
    """Publishes what the store's feed has, for as long as it runs. The store is one that was made with `feed=True`."""

    def __init__(self, store: Store, broker: EventBroker) -> None:
        self._store = store
        self._broker = broker
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        """What is wrong, and has been said to be."""
        self._pause = FIRST_PAUSE

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End. What is being published is in the feed still, and goes out again later."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._broker.close()

    async def _run(self) -> None:
        while True:
            try:
                turns = await self._store.feed(AT_ONCE)
                await self._publish([event for turn in turns for event in streamed(turn)])
                await self._store.published(turns)
            except StoreUnavailable as error:
                await self._wait("the store is away", error)
            except StoreError as error:
                await self._wait("the store's feed cannot be read", error)
            except FrontdeskError as error:
                await self._wait("the event broker is away", error)
            except Exception as error:
                # A broker of the user's own, or a bug: the stream must not end by it.
                await self._wait("the event broker has failed", error)
            else:
                self._pause = FIRST_PAUSE
                if self._trouble:
                    log.warning("events go out again, those that were kept first")
                    self._trouble = ""

    async def _publish(self, events: Sequence[StreamedEvent]) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                await self._broker.publish(events)
        except TimeoutError as error:
            raise EndpointError(f"it did not take {len(events)} events within {LONGEST:g} s") from error

    async def _wait(self, trouble: str, error: Exception) -> None:
        """Until it is worth another try. An outage is said once, however long it is."""
        if trouble != self._trouble:
            told = error if isinstance(error, FrontdeskError) else describe(error)
            log.error("%s, events wait in the store and go out later: %s", trouble, told)
            self._trouble = trouble
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, MOST_PAUSE)


def streamed(turn: Published) -> list[StreamedEvent]:
    """The turn's events as they go out: Rasa's JSON with `sender_id`, and with `conversation_id` and `event_id`."""
    # A lone surrogate, which no broker could carry, is a question mark.
    conversation_id = turn.conversation_id.encode("utf-8", "replace").decode()
    sender_id = conversation_id.split(":", 1)[-1]
    events = []
    for number, event in enumerate(turn.events, turn.first):
        body = encode(event_to_json(event))
        key = _id(conversation_id, number, body)
        whose = encode({"sender_id": sender_id, "conversation_id": conversation_id, "event_id": key})
        events.append(StreamedEvent(key, conversation_id, sender_id, body[:-1] + b"," + whose[1:]))
    return events


def _id(conversation_id: str, number: int, body: bytes) -> str:
    """`telegram:4711/17/9f…`: the conversation, the event's number, and a digest of it.

    The digest tells it from an event that had the number before: of a conversation that was deleted, or replaced.
    """
    digest = hashlib.blake2b(body, digest_size=6).hexdigest()
    if len(conversation_id.encode()) > LONGEST_ID:
        conversation_id = hashlib.blake2b(conversation_id.encode(), digest_size=16).hexdigest()
    return f"{conversation_id}/{number}/{digest}"


async def in_order(events: Sequence[StreamedEvent], send: Callable[[StreamedEvent], Awaitable[None]]) -> None:
    """Send all: the events of one conversation one after the other, those of different ones at the same time.

    The first error ends it. What is on its way then may arrive; nothing behind it in its conversation is sent.
    """
    lanes: dict[str, list[StreamedEvent]] = {}
    for event in events:
        lanes.setdefault(event.conversation_id, []).append(event)

    async def send_lane(lane: list[StreamedEvent]) -> None:
        for event in lane:
            await send(event)

    tasks = [asyncio.create_task(send_lane(lane)) for lane in lanes.values()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fitting(event: StreamedEvent, largest: int) -> StreamedEvent:
    """The event, or a note in its place that there was one: a broker takes no body of more than `largest` bytes.

    Without the note, nothing that comes after it could ever go out.
    """
    if len(event.body) <= largest:
        return event
    import orjson

    row = orjson.loads(event.body)
    note = {key: row.get(key) for key in ("event", "timestamp", "sender_id", "conversation_id", "event_id")}
    size = len(event.body)
    log.error(
        "event %s has %d bytes, the event broker takes %d: a note that it was 'too_large' goes out in its place",
        event.id,
        size,
        largest,
    )
    return StreamedEvent(event.id, event.conversation_id, event.sender_id, encode({**note, "too_large": size}))
