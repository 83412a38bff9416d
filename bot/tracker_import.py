"""Takes over conversations from Rasa 3: each goes on here where it was, a half-filled form with its next question.

A conversation is stored whole or not at all. To import the same again changes nothing; what Rasa has added meanwhile
is added; and a conversation that has gone on here is left alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from bot.domain import DEFAULT_INTENTS, REQUESTED_SLOT, Domain, is_loop
from bot.errors import ConfigError, DataError, StoreError, StoreUnavailable
from bot.event_reading import read_event
from bot.events import ActiveLoopChanged, Event, SlotSet, UnknownEvent, UserUttered, event_to_json
from bot.http import LONGEST_ID
from bot.interfaces import Store, Turn
from bot.rasa_trackers import RasaConversation
from bot.reminders import timers_ahead
from bot.stores import fold
from bot.tracker import Tracker

CHANNELS = {"socketio": "webchat"}
"""Rasa's channels that have another name here."""
CLOCKS_DIFFER = 300.0
"""Seconds by which the clock of Rasa's machine may be ahead of ours."""
_AT_ONCE = 64


class Did(Enum):
    """What became of a conversation."""

    IMPORTED = "imported"
    CONTINUED = "continued"
    UNCHANGED = "unchanged"
    EMPTY = "empty"
    LEFT = "left alone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`events` were added; `gone` is what the domain no longer has ("the slot 'x'"); `problem` says why it failed."""

    did: Did
    conversation_id: str = ""
    events: int = 0
    gone: tuple[str, ...] = ()
    problem: str = ""


async def import_conversations(
    found: Iterable[RasaConversation | DataError],
    store: Store,
    domain: Domain,
    *,
    channel: str | None = None,
    dry_run: bool = False,
) -> AsyncIterator[Outcome]:
    """What became of each conversation, as it is done. Nothing is stored in a dry run.

    `channel` is that of all of them; else it is where the customer last wrote.
    """
    there = iter(found)
    while True:
        # A store writes many conversations at the price of one.
        batch = [one for one in (next(there, None) for _ in range(_AT_ONCE)) if one is not None]
        if not batch:
            return
        jobs = [_import(one, store, domain, channel, dry_run) for one in batch]
        for outcome in await asyncio.gather(*jobs):
            yield outcome


async def _import(
    one: RasaConversation | DataError, store: Store, domain: Domain, channel: str | None, dry_run: bool
) -> Outcome:
    if isinstance(one, DataError):
        return Outcome(Did.FAILED, problem=str(one))
    try:
        events = read_events(one.events)
        conversation_id = conversation_id_of(one, events, channel)
    except (DataError, ConfigError) as error:
        return Outcome(Did.FAILED, one.sender_id, problem=f"conversation '{one.sender_id}': {error}")
    if not events:
        return Outcome(Did.EMPTY, conversation_id)
    try:
        return await _store(continued(events, conversation_id, domain), store, domain, dry_run)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return Outcome(Did.FAILED, conversation_id, problem=f"conversation '{conversation_id}': {error}")


async def _store(tracker: Tracker, store: Store, domain: Domain, dry_run: bool) -> Outcome:
    conversation_id, gone = tracker.conversation_id, what_is_gone(tracker.events, domain)
    async with store.lease(conversation_id) as lease:
        known = (await store.load(conversation_id, domain)).event_count
        if known and not _begins_with(tracker.events, await store.events(conversation_id, limit=known), known):
            return Outcome(Did.LEFT, conversation_id)
        added = tuple(tracker.events[known:])
        if not added:
            return Outcome(Did.UNCHANGED, conversation_id, gone=gone)
        if not dry_run:
            await store.commit(lease, Turn(conversation_id, added, timers=timers_ahead(tracker, domain)), tracker)
    return Outcome(Did.CONTINUED if known else Did.IMPORTED, conversation_id, len(added), gone)


def _begins_with(events: Sequence[Event], stored: Sequence[Event], known: int) -> bool:
    first = [event_to_json(event) for event in events[:known]]
    return len(stored) == known and first == [event_to_json(event) for event in stored]


def read_events(rows: Sequence[object]) -> list[Event]:
    """Rasa's events as ours. An event of a kind that is not known here is kept as it is, without effect.

    `DataError` names the event that is none, or that is ahead of the clock.
    """
    latest = time.time() + CLOCKS_DIFFER
    events = []
    for number, row in enumerate(rows, 1):
        try:
            event = read_event(row, keep_unknown=True)
        except (DataError, ConfigError) as error:
            raise DataError(f"event {number}: {error}") from error
        if not isinstance(row, dict) or row.get("timestamp") is None:
            raise DataError(f"event {number} ('{event.kind}') has no timestamp")
        if event.timestamp > latest:
            raise DataError(
                f"event {number} ('{event.kind}') is of {_day(event.timestamp)}, which is ahead of this machine's clock"
            )
        events.append(event)
    return events


def _day(timestamp: float) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{timestamp:.0f} seconds after 1970"


def conversation_id_of(one: RasaConversation, events: Sequence[Event], channel: str | None = None) -> str:
    """`channel:sender`, where the channel is the one given, or the one where the customer last wrote."""
    sender_id = one.sender_id
    if not sender_id or len(sender_id) > LONGEST_ID or not sender_id.isprintable():
        raise DataError(f"the sender id must have 1 to {LONGEST_ID} printable characters")
    if one.conversation_id and one.conversation_id.endswith(f":{sender_id}") and one.conversation_id.isprintable():
        return one.conversation_id
    if channel is None:
        heard = (event.input_channel for event in reversed(events) if isinstance(event, UserUttered))
        channel = next((one for one in heard if one), "rest")
    return f"{CHANNELS.get(channel, channel)}:{sender_id}"


def continued(events: Sequence[Event], conversation_id: str, domain: Domain) -> Tracker:
    """The tracker of these events, ready to go on: out of a form that the domain does not have, it is led."""
    tracker = fold(events, conversation_id, domain)
    loop = tracker.active_loop_name
    if loop and not is_loop(loop, domain):
        at = events[-1].timestamp
        tracker.apply(ActiveLoopChanged(name=None, timestamp=at))
        tracker.apply(SlotSet(name=REQUESTED_SLOT, value=None, timestamp=at))
    return tracker


def what_is_gone(events: Sequence[Event], domain: Domain) -> tuple[str, ...]:
    """What the events speak of and the domain does not have: a policy or an action may miss it."""
    found: dict[str, None] = {}
    for event in events:
        match event:
            case SlotSet(name=name) if name not in domain.slots and name not in (
                REQUESTED_SLOT,
                "session_started_metadata",
            ):
                found[f"the slot '{name}'"] = None
            case ActiveLoopChanged(name=str(name)) if not is_loop(name, domain):
                found[f"the form '{name}'"] = None
            case UserUttered() if event.intent_name and not _is_known(event.intent_name, domain):
                found[f"the intent '{event.intent_name}'"] = None
            case UnknownEvent(data=data):
                found[f"events of the kind '{data['event']}'"] = None
    return tuple(found)


def _is_known(intent: str, domain: Domain) -> bool:
    return intent in domain.intents or intent in DEFAULT_INTENTS
