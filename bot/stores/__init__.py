"""Where conversations live: one file per store, all under the contract of `Store` in bot/interfaces.py.

Here is the JSON that they keep. What the stores of one process share beside it is in desk.py.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from bot.domain import Domain
from bot.errors import DataError, StoreError, UnknownName
from bot.events import BotUttered, Event, event_from_json, event_to_json
from bot.interfaces import Delivery, Turn
from bot.messages import Attachment, BotMessage, UserMessage
from bot.tracker import SNAPSHOT_VERSION, Tracker

log = logging.getLogger(__name__)

# ---- what is kept, as JSON -----------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """JSON, of dataclasses too. Lone surrogates, which UTF-8 cannot hold, become U+FFFD; no JSON is a `StoreError`."""
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
    except (ValueError, TypeError, DataError, UnknownName) as error:
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
    return replies_in(decode_events([body], key))


def replies_in(events: Iterable[Event]) -> list[BotMessage]:
    """What the bot says in these events."""
    return [event.message for event in events if isinstance(event, BotUttered)]


def answers_of(turn: Turn) -> Iterator[tuple[str, list[BotMessage]]]:
    """What each message that a turn has consumed is answered with: the last one with the replies, those before not."""
    for message_id in turn.message_ids[:-1]:
        yield message_id, []
    for message_id in turn.message_ids[-1:]:
        yield message_id, replies_in(turn.events)


def encode_message(message: UserMessage) -> bytes:
    """A message of the inbox. A `StoreError` when an id in it is no text that UTF-8 can hold."""
    try:
        message.conversation_id.encode()
        message.message_id.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"a message was refused, as its ids cannot be stored: {error.reason}") from error
    return encode(message)


_OF_MESSAGE = frozenset(field.name for field in dataclasses.fields(UserMessage))


def decode_message(body: bytes, key: str) -> UserMessage:
    """What `encode_message` wrote, and what a later Frontdesk may have added passed over.

    Damage is a `StoreError` that names the conversation.
    """
    try:
        data = {name: value for name, value in orjson.loads(body).items() if name in _OF_MESSAGE}
        data["attachments"] = tuple(Attachment(**attachment) for attachment in data["attachments"])
        return UserMessage(**data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"a stored message of '{key}' is damaged: {error}") from error


def encode_delivery(delivery: Delivery) -> bytes:
    """A reply of the outbox."""
    return encode(delivery)


def decode_delivery(body: bytes, key: str) -> Delivery:
    """What `encode_delivery` wrote. Damage is a `StoreError` that names the conversation."""
    try:
        data = orjson.loads(body)
        message = data["message"]
        for name in ("buttons", "elements", "quick_replies"):
            message[name] = tuple(message[name])
        data["message"] = BotMessage(**message)
        return Delivery(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"a stored reply of '{key}' is damaged: {error}") from error


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
        case UserMessage() | Delivery() | BotMessage() | Attachment():
            return {field.name: _clean(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value
