"""What API callers do with a conversation: read it, add to it, replace it, act in it.

Each is one commit under the store's lease, as a turn is, and does what Rasa's endpoint of that name does.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.assistant import Assistant
from bot.domain import DEFAULT_ACTIONS, Domain
from bot.errors import DataError, UnknownName
from bot.events import (
    ActionExecuted,
    BotUttered,
    Event,
    ReminderCancelled,
    ReminderScheduled,
    SessionStarted,
    UserUttered,
)
from bot.interfaces import Prediction, Turn
from bot.messages import BotMessage, UserMessage
from bot.reminders import timers_ahead
from bot.tracker import MOST_REMINDERS, Tracker
from bot.tracker_state import tracker_state


@dataclass(frozen=True, slots=True)
class Outcome:
    """A conversation after something was done in it, and what the bot said meanwhile."""

    tracker: Tracker
    replies: tuple[BotMessage, ...] = ()

    @staticmethod
    def since(tracker: Tracker, before: int) -> Outcome:
        said = (event.message for event in tracker.events_since(before) if isinstance(event, BotUttered))
        return Outcome(tracker, tuple(said))


async def find(assistant: Assistant, name: str) -> str:
    """The conversation id for what a caller names: `telegram:42` as it is, a bare sender as the REST channel's.

    What nobody has begun yet belongs to REST, unless it names a channel that is open.
    """
    if (await assistant.tracker(name)).event_count:
        return name
    channel, colon, _ = name.partition(":")
    bare = f"rest:{name}"
    if not colon or channel not in assistant.channels or (await assistant.tracker(bare)).event_count:
        return bare
    return name


async def exists(assistant: Assistant, conversation_id: str) -> bool:
    return (await assistant.tracker(conversation_id)).event_count > 0


async def state(assistant: Assistant, tracker: Tracker, include_events: str) -> dict[str, Any]:
    """Rasa's tracker state of a conversation as the tracker has it, with its history from the store."""
    events = await assistant.store.events(tracker.conversation_id, limit=tracker.event_count)
    return tracker_state(tracker, events, include_events)


def state_at(
    assistant: Assistant, tracker: Tracker, events: Sequence[Event], until: float
) -> tuple[Tracker, list[Event]]:
    """The conversation as it was at a time (seconds since 1970), and its events up to then."""
    earlier: list[Event] = []
    for event in events:
        if event.timestamp > until:
            break
        earlier.append(event)
    then = Tracker.new(tracker.conversation_id, assistant.domain)
    then.apply_all(earlier)
    return then, earlier


async def begun(assistant: Assistant, conversation_id: str) -> Tracker:
    """The conversation; where there is none, its first session is begun."""
    tracker = await assistant.tracker(conversation_id)
    if tracker.event_count:
        return tracker
    async with assistant.turn(conversation_id) as (now, tracker):
        if not tracker.event_count:
            await now.start_session_if_due(tracker)
    return tracker


async def append(
    assistant: Assistant, conversation_id: str, events: Sequence[Event], channel: str | None = None
) -> Tracker:
    """Add events. A new conversation gets its session first, unless the events begin one.

    `channel` sends what the bot says in them; here as below, replies are left to the caller where it is None.
    """
    async with assistant.turn(conversation_id, channel=channel) as (now, tracker):
        if not tracker.event_count and not _begin_a_session(events):
            await now.start_session_if_due(tracker)
        await now.take_in(tracker, events)
    return tracker


def _begin_a_session(events: Sequence[Event]) -> bool:
    match events[:2]:
        case [ActionExecuted(name="action_session_start"), SessionStarted()]:
            return True
    return False


async def replace(assistant: Assistant, conversation_id: str, events: Sequence[Event]) -> Tracker:
    """These events and no others are the conversation from now on."""
    async with assistant.store.lease(conversation_id) as lease:
        tracker = Tracker.new(conversation_id, assistant.domain)
        tracker.apply_all(events)
        timers = timers_ahead(tracker, assistant.domain)
        await assistant.store.replace(lease, Turn(conversation_id, tuple(events), timers=timers), tracker)
    return tracker


async def trigger_intent(
    assistant: Assistant,
    conversation_id: str,
    intent: str,
    entities: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
    channel: str | None = None,
) -> Outcome:
    """As if the customer had said something with this intent; nothing of it is shown to them but the replies."""
    async with assistant.turn(conversation_id, channel=channel) as (now, tracker):
        before = tracker.event_count
        await now.start_session_if_due(tracker)
        uttered = UserUttered.external(intent, entities, tracker.latest_input_channel)
        await now.answer(tracker, uttered, _message(tracker, ""))
    return Outcome.since(tracker, before)


async def execute(
    assistant: Assistant, conversation_id: str, prediction: Prediction, channel: str | None = None
) -> Outcome:
    """Run one action, as if a policy had predicted it. `UnknownName` when there is none of that name."""
    async with assistant.turn(conversation_id, channel=channel) as (now, tracker):
        if not now.actions.has(prediction.action):
            raise UnknownName("action", prediction.action, action_names(now.domain))
        before = tracker.event_count
        await now.start_session_if_due(tracker)
        await now.execute(prediction, tracker, _message(tracker, ""))
    return Outcome.since(tracker, before)


async def schedule(assistant: Assistant, conversation_id: str, reminder: ReminderScheduled) -> None:
    """Let an action run by itself later. `UnknownName` when there is none of that name, `DataError` when it is full."""
    async with assistant.turn(conversation_id) as (now, tracker):
        if not now.actions.has(reminder.action or ""):
            raise UnknownName("action", reminder.action or "", action_names(now.domain))
        if reminder.key not in tracker.reminders and len(tracker.reminders) >= MOST_REMINDERS:
            raise DataError(
                f"there are {MOST_REMINDERS} reminders and scheduled messages in '{conversation_id}' already"
            )
        if not tracker.event_count:
            await now.start_session_if_due(tracker)
        tracker.apply(reminder)


async def unschedule(assistant: Assistant, conversation_id: str, name: str) -> bool:
    """Cancel a reminder or scheduled message; False when there is none of this name."""
    async with assistant.turn(conversation_id) as (_, tracker):
        if name not in tracker.reminders:
            return False
        tracker.apply(ReminderCancelled(name=name))
    return True


async def hear(assistant: Assistant, conversation_id: str, text: str, parse_data: Mapping[str, Any] | None) -> Tracker:
    """Take a message down, with the slots that it fills. The bot does not answer it."""
    async with assistant.turn(conversation_id) as (now, tracker):
        await now.start_session_if_due(tracker)
        message = _message(tracker, text)
        if parse_data is None:
            parse_data = (await now.hear(message, tracker)).parse_data
        tracker.apply(UserUttered(text=text, parse_data=parse_data, message_id=message.message_id))
        tracker.apply_all(await now.actions.run("action_extract_slots", tracker))
    return tracker


async def predict(assistant: Assistant, conversation_id: str) -> tuple[dict[str, Any], Tracker]:
    """What the bot would do next (see `prediction_of`); a session that is over is begun anew."""
    async with assistant.turn(conversation_id) as (now, tracker):
        await now.start_session_if_due(tracker)
    return prediction_of(now, tracker), tracker


def prediction_of(assistant: Assistant, tracker: Tracker) -> dict[str, Any]:
    """What the bot would do next: every action with its score, and the policy that decides."""
    prediction = assistant.decide(tracker.copy())
    return {
        "scores": [
            {"action": name, "score": prediction.confidence if name == prediction.action else 0.0}
            for name in action_names(assistant.domain)
        ],
        "policy": prediction.policy or None,
        "confidence": prediction.confidence,
    }


def action_names(domain: Domain) -> list[str]:
    """Every action of the bot, the default ones first, as Rasa orders them."""
    own = [name for name in DEFAULT_ACTIONS if name != "action_validate_slot_mappings" or name in domain.actions]
    return list(
        dict.fromkeys([*own, *sorted({*domain.actions, *domain.responses}), *domain.forms, *domain.action_texts])
    )


def _message(tracker: Tracker, text: str) -> UserMessage:
    """What an API caller says here; an intent's payload counts, for callers of the API may command."""
    channel, _, sender = tracker.conversation_id.partition(":")
    return UserMessage(
        text=text,
        sender_id=sender,
        channel=channel,
        message_id=uuid.uuid4().hex,
        payload=text if text.startswith("/") else None,
    )
