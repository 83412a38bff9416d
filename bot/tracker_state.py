"""A conversation as Rasa's API and its action servers show it (contract: tracker state)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.events import ActionExecuted, BotUttered, Event, Restarted, UserUttered, event_to_json
from bot.tracker import Tracker, applied_events

VERBOSITIES = ("NONE", "APPLIED", "AFTER_RESTART", "ALL")


def tracker_state(tracker: Tracker, events: Sequence[Event], include_events: str = "AFTER_RESTART") -> dict[str, Any]:
    """Rasa's keys. `events` is the history to choose from; None in the result for `NONE`."""
    match include_events.upper():
        case "ALL":
            shown: Sequence[Event] | None = events
        case "APPLIED":
            shown = applied_events(events)
        case "AFTER_RESTART":
            restarts = [index for index, event in enumerate(events) if isinstance(event, Restarted)]
            shown = events[restarts[-1] + 1 :] if restarts else events
        case _:
            shown = None
    return {
        "sender_id": tracker.sender_id,
        "slots": tracker.slots,
        "latest_message": latest_message(tracker.latest_message),
        "latest_event_time": tracker.latest_event_time,
        "followup_action": tracker.followup_action,
        "paused": tracker.paused,
        "events": [_event(event) for event in shown] if shown is not None else None,
        "latest_input_channel": tracker.latest_input_channel,
        "active_loop": tracker.active_loop.to_json() if tracker.active_loop else {},
        "latest_action": _latest_action(tracker),
        "latest_action_name": tracker.latest_action_name,
    }


def _event(event: Event) -> dict[str, Any]:
    """With all of Rasa's keys, also those that say nothing."""
    out = event_to_json(event)
    match event:
        case ActionExecuted():
            out.setdefault("hide_rule_turn", False)
        case UserUttered():
            out["parse_data"] = latest_message(event)
            out.setdefault("metadata", {})
        case BotUttered():
            out.setdefault("metadata", {})
        case _:
            pass
    return out


def latest_message(message: UserUttered | None) -> dict[str, Any]:
    """The parse result with message id and metadata; empty values before the first message."""
    if message is None:
        return {"intent": {}, "entities": [], "text": None, "message_id": None, "metadata": {}}
    parse: Mapping[str, Any] = message.parse_data
    return {
        **parse,
        "intent": parse.get("intent") or {},
        "entities": parse.get("entities") or [],
        "text": message.text,
        "message_id": message.message_id,
        "metadata": dict(message.metadata),
    }


def _latest_action(tracker: Tracker) -> dict[str, Any]:
    action = tracker.latest_action
    if action is None:
        return {}
    return {"action_name": action.name} if action.name else {"action_text": action.action_text}
