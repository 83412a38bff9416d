"""What every pack shares: stop what is in progress, say it again, hand the customer to a human agent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from bot.events import (
    ActiveLoopChanged,
    BotUttered,
    ConversationPaused,
    Event,
    FollowupAction,
    Restarted,
    SlotSet,
    UserUttered,
)
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


class ActionGoodbye(Action):
    """Says goodbye; a form that still runs is left, and said to be."""

    def name(self) -> str:
        return "action_goodbye"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        if tracker.active_loop is not None:
            dispatcher.utter_message(response="utter_cancelled")
        dispatcher.utter_message(response="utter_goodbye")
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


class ActionRestart(Action):
    """The conversation begins afresh. While a human agent has it, only a bare "restart" brings the bot back.

    "The app keeps restarting" is said to the agent, and must not throw the bot in.
    """

    def name(self) -> str:
        return "action_restart"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        text = (tracker.latest_message.text or "") if tracker.latest_message else ""
        if tracker.paused and not _is_bare(text):
            return [FollowupAction(name="action_listen")]
        dispatcher.utter_message(response="utter_restart")
        return [Restarted()]


def _is_bare(text: str) -> bool:
    """At most four words, or eight characters of a script without spaces."""
    return len(text.split()) <= 4 if text.isascii() else len(text.strip()) <= 8


BARE_ANSWERS = {
    "affirm": ("utter_what_next", "utter_not_an_answer"),
    "deny": ("utter_all_right", "utter_rather_not"),
    "inform": ("utter_please_rephrase", "utter_not_an_answer"),
}
"""What is said to a yes, a no or a bare answer: when no form runs, and when one asked for something else."""


class ActionBareAnswer(Action):
    """Answers a yes, a no or a bare answer that answers nothing."""

    def name(self) -> str:
        return "action_bare_answer"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        intent = (tracker.latest_message.intent_name if tracker.latest_message else None) or "inform"
        alone, in_form = BARE_ANSWERS.get(intent, BARE_ANSWERS["inform"])
        dispatcher.utter_message(response=alone if tracker.active_loop is None else in_form)
        return []


class ActionRepeat(Action):
    """Says again what the bot said last; a running form asks its question again by itself."""

    def name(self) -> str:
        return "action_repeat"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> Sequence[Event]:
        said = _said_last(tracker.events)
        if tracker.active_loop is None and not said:
            dispatcher.utter_message(response="utter_nothing_to_repeat")
        return [BotUttered.of(event.message) for event in said]


def _said_last(events: Sequence[Event]) -> list[BotUttered]:
    """The bot's messages of the latest turn that has any, without a form's question at its end."""
    said: list[BotUttered] = []
    has_spoken = False
    for event in reversed(events):
        match event:
            case BotUttered():
                said.append(event)
                has_spoken = True
            case SlotSet(name="requested_slot", value=str()):
                said = []
            case UserUttered() if has_spoken:
                break
    return said[::-1]
