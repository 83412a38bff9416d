"""Where conversations live: one file per store, all under the contract of `Store` in bot/interfaces.py.

Here is what the stores share: the JSON that they keep, and the turns of one process waiting for each other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import orjson

from bot.domain import Domain
from bot.errors import DataError, LeaseLost, StoreError
from bot.events import BotUttered, Event, event_from_json, event_to_json
from bot.interfaces import Lease, Turn
from bot.messages import Attachment, BotMessage, UserMessage
from bot.tracker import SNAPSHOT_VERSION, Tracker

log = logging.getLogger(__name__)

# ---- what is kept, as JSON -----------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """JSON. Lone surrogates, which UTF-8 cannot hold, become U+FFFD; what is no JSON at all is a `StoreError`."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        pass
    try:
        return orjson.dumps(_clean(value), default=_plain)
    except TypeError as error:
        raise StoreError(f"this value cannot be stored as JSON: {error}") from error


def encode_events(events: Iterable[Event]) -> bytes:
    """A JSON array of events in Rasa's shape; an event that is no JSON is a `StoreError` that names it."""
    rows = [event_to_json(event) for event in events]
    try:
        return orjson.dumps(rows, default=_plain)
    except TypeError:
        pass
    for row in rows:
        try:
            encode(row)
        except StoreError as error:
            name = f" of '{row['name']}'" if row.get("name") else ""
            raise StoreError(f"the event '{row['event']}'{name} cannot be stored: {error}") from error
    return encode(rows)


def decode_events(bodies: Sequence[bytes], key: str) -> list[Event]:
    """The events of several `encode_events`, in order. Damage is a `StoreError` that names the conversation."""
    try:
        rows = [row for rows in orjson.loads(b"[" + b",".join(bodies) + b"]") for row in rows]
        return [event_from_json(row, keep_unknown=True) for row in rows]
    except (ValueError, TypeError, DataError) as error:
        raise StoreError(f"the stored events of '{key}' are damaged: {error}") from error


def decode_tracker(snapshot: bytes, recent: Sequence[Event], key: str, domain: Domain) -> Tracker | None:
    """The tracker of a snapshot; `recent` are the latest `RECENT_EVENTS` events, oldest first.

    None when a later Frontdesk wrote it, and the events alone are to be gone by (see `fold`).
    """
    try:
        data = orjson.loads(snapshot)
        if data.get("version", SNAPSHOT_VERSION) > SNAPSHOT_VERSION:
            log.warning("conversation %s: a later version wrote its state, which is made anew of its events", key)
            return None
        return Tracker.from_json(data, domain, recent)
    except (ValueError, TypeError, KeyError, AttributeError, DataError) as error:
        raise StoreError(f"the stored state of '{key}' is damaged: {type(error).__name__}: {error}") from error


def fold(events: Sequence[Event], key: str, domain: Domain) -> Tracker:
    """The tracker that all events of a conversation make, oldest first."""
    tracker = Tracker.new(key, domain)
    tracker.apply_all(events)
    return tracker


def decode_replies(body: bytes, key: str) -> list[BotMessage]:
    """What the bot said in a stored turn."""
    return [event.message for event in decode_events([body], key) if isinstance(event, BotUttered)]


def encode_message(message: UserMessage) -> bytes:
    """A message of the inbox."""
    return encode({field.name: getattr(message, field.name) for field in dataclasses.fields(message)})


def decode_message(body: bytes, key: str) -> UserMessage:
    """What `encode_message` wrote. Damage is a `StoreError` that names the conversation."""
    try:
        data = orjson.loads(body)
        data["attachments"] = tuple(Attachment(**attachment) for attachment in data["attachments"])
        return UserMessage(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"a stored message of '{key}' is damaged: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case Mapping():
            return {_clean(str(key)): _clean(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_clean(inner) for inner in value]
        case _:
            return value


# ---- one turn at a time --------------------------------------------------------------------------


class Leases:
    """The leases of one process: one holder per conversation, the others wait in the order of asking."""

    def __init__(self, last_token: int = 0) -> None:
        self._last_token = last_token
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._holders: dict[str, int] = {}

    @asynccontextmanager
    async def lease(self, conversation_id: str) -> AsyncIterator[Lease]:
        """The right to commit, until the block is left."""
        lock = self._locks.get(conversation_id)
        if lock is None:
            lock = self._locks[conversation_id] = asyncio.Lock()
        async with lock:
            self._last_token += 1
            lease = Lease(conversation_id, self._last_token)
            self._holders[conversation_id] = lease.token
            try:
                yield lease
            finally:
                if self._holders.get(conversation_id) == lease.token:
                    del self._holders[conversation_id]

    def check(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        """`LeaseLost` unless this lease is the one in force; `StoreError` when the three do not belong together."""
        if not lease.conversation_id == turn.conversation_id == tracker.conversation_id:
            raise StoreError(f"a turn of '{turn.conversation_id}' was to be stored under '{lease.conversation_id}'")
        if self._holders.get(lease.conversation_id) != lease.token:
            raise LeaseLost(f"the lease on '{lease.conversation_id}' is over: this turn must not be stored")

    def revoke(self, conversation_id: str) -> None:
        """The turn under way, if there is one, can no longer be committed."""
        self._holders.pop(conversation_id, None)
