"""What every pack shares: stop what is in progress, and hand the customer to a human agent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from bot.events import ActiveLoopChanged, ConversationPaused, Event, SlotSet
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker


def leave_form(tracker: Tracker, domain: Mapping[str, Any]) -> list[Event]:
    """Leave the running form and forget what was said in it; nothing when none runs."""
    if tracker.active_loop is None:
        return []
    form = (domain.get("forms") or {}).get(tracker.active_loop.name) or {}
    slots: dict[str, Any] = dict.fromkeys(form.get("required_slots") or ())
    return [
        *(SlotSet(name=slot, value=None) for slot in slots),
        ActiveLoopChanged(name=None),
        SlotSet(name="requested_slot", value=None),
    ]


class ActionCancel(Action):
    """Stops the running form. Without one there is nothing to stop, and nothing is claimed to be undone."""

    def name(self) -> str:
        return "action_cancel"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        in_progress = tracker.active_loop is not None
        dispatcher.utter_message(response="utter_cancelled" if in_progress else "utter_nothing_to_cancel")
        return leave_form(tracker, domain)


class ActionHandoff(Action):
    """Gives the conversation to a human agent: the bot keeps quiet until it is resumed or restarted."""

    def name(self) -> str:
        return "action_handoff"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        # From the turn's key, so that a turn that is taken again says the same number.
        digest = hashlib.sha256(tracker.idempotency_key.encode()).hexdigest()
        dispatcher.utter_message(response="utter_handoff", reference=f"H-{digest[:6].upper()}")
        return [*leave_form(tracker, domain), ConversationPaused()]
