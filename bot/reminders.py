"""What a conversation has to do later: reminders, scheduled messages, and the end of its session.

They stand in the tracker, as events; the store keeps a timer for each. Its message comes into the inbox when it is due,
and says which one it is: if that no longer stands by then, nothing happens.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.domain import Domain
from bot.errors import UnknownName
from bot.events import ActionExecuted, ReminderScheduled, SessionEnded, UserUttered
from bot.interfaces import Timer
from bot.messages import UserMessage
from bot.tracker import LISTEN, Tracker

if TYPE_CHECKING:
    from bot.assistant import Assistant

SESSION = "session"
"""The timer of a session's end. Those of reminders are `reminder:` and their key."""


def timers(before: Mapping[str, ReminderScheduled], after: Tracker, domain: Domain) -> tuple[Timer, ...]:
    """What the store is to set and cancel with a turn; `before` are the reminders that its tracker was loaded with."""
    found = [_timer(after, one) for key, one in after.reminders.items() if before.get(key) is not one]
    found += [Timer(f"reminder:{key}") for key in before if key not in after.reminders]
    session = _end_of_session(after, domain)
    if session:
        # What was said long ago, and is only now taken over from elsewhere, ended at a time that nobody waits for.
        if session.due > time.time():
            found.append(session)
    elif after.session_ended or after.latest_message is None:
        found.append(Timer(SESSION))
    return tuple(found)


def timers_ahead(tracker: Tracker, domain: Domain) -> tuple[Timer, ...]:
    """For a conversation that comes from elsewhere: what was due before is not made up for."""
    now = time.time()
    return tuple(timer for timer in timers({}, tracker, domain) if timer.message is None or timer.due > now)


async def take(assistant: Assistant, tracker: Tracker, message: UserMessage) -> None:
    """All that follows when a timer is due. The tracker takes it in; nothing is stored yet.

    An action that fails is an `ActionError`: the message is tried again, and in the end set aside for the operator.
    """
    name = str(message.metadata.get("timer", ""))
    if name == SESSION:
        session = _end_of_session(tracker, assistant.domain)
        if _is_of(message, session):
            tracker.apply(SessionEnded())
        return
    reminder = tracker.reminders.get(name.removeprefix("reminder:"))
    if reminder is None or not _is_of(message, _timer(tracker, reminder)):
        return
    await assistant.start_session_if_due(tracker)
    if reminder.action:
        await _run(assistant, tracker, message, reminder, reminder.action)
        return
    mark = {"reminder": reminder.key}
    uttered = UserUttered.external(reminder.intent, reminder.entities, tracker.latest_input_channel, mark)
    await assistant.answer(tracker, uttered, message)


async def _run(
    assistant: Assistant, tracker: Tracker, message: UserMessage, reminder: ReminderScheduled, action: str
) -> None:
    """Run the action of a scheduled message, and listen again. Stories and their policies do not see it."""
    if not assistant.actions.has(action):
        raise UnknownName("action", action, assistant.domain.actions)
    tracker.idempotency_key = f"{message.message_id}-1"
    events = await assistant.actions.run(action, tracker)
    mark = {"reminder": reminder.key}
    tracker.apply(ActionExecuted(name=action, confidence=1.0, hide_rule_turn=True, metadata=mark))
    await assistant.take_in(tracker, events)
    tracker.apply(ActionExecuted(name=LISTEN, confidence=1.0, hide_rule_turn=True))


# ---- timers --------------------------------------------------------------------------------------


def _timer(tracker: Tracker, reminder: ReminderScheduled) -> Timer:
    kind = "scheduled" if reminder.action else "reminder"
    return _of(tracker, kind, f"reminder:{reminder.key}", reminder.due, f"{reminder.timestamp} {reminder.date_time}")


def _end_of_session(tracker: Tracker, domain: Domain) -> Timer | None:
    """When the session is over unless the customer says more; None when it has no end, or nothing was said in it."""
    minutes, heard = domain.session.expiration_minutes, tracker.latest_message
    if minutes <= 0 or heard is None or tracker.session_ended:
        return None
    return _of(tracker, "session_end", SESSION, heard.timestamp + minutes * 60, str(heard.timestamp))


def _of(tracker: Tracker, kind: str, name: str, due: float, which: str) -> Timer:
    """A timer whose message has an id of its own, the same whenever it is made of the same tracker."""
    channel, _, sender = tracker.conversation_id.partition(":")
    key = hashlib.sha256(f"{tracker.conversation_id}\n{name}\n{which}".encode("utf-8", "replace")).hexdigest()
    message = UserMessage(
        sender_id=sender, channel=channel, message_id=key, metadata={"timer": name}, timestamp=due, kind=kind
    )
    return Timer(name, due, message)


def _is_of(message: UserMessage, timer: Timer | None) -> bool:
    return timer is not None and timer.message is not None and timer.message.message_id == message.message_id
