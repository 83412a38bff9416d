"""The actions that every bot has, one function each, named as in Rasa.

Each takes the tracker and the bot's actions and returns its events. A project's own action of the same
name takes its place. Source: https://rasa.com/docs/rasa/default-actions
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bot.errors import ActionError
from bot.events import (
    ActionExecuted,
    ActiveLoopChanged,
    BotUttered,
    Event,
    Restarted,
    SessionStarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
)
from bot.joining import action_join_code, action_leave
from bot.messages import BotMessage
from bot.slot_filling import extractions
from bot.tracker import LISTEN, Tracker

if TYPE_CHECKING:
    from bot.action_execution import Actions

DefaultAction = Callable[[Tracker, "Actions"], Awaitable[list[Event]]]

FALLBACK_INTENTS = ("nlu_fallback", "out_of_scope")


async def action_listen(tracker: Tracker, actions: Actions) -> list[Event]:
    """The bot waits."""
    return []


async def action_session_start(tracker: Tracker, actions: Actions) -> list[Event]:
    """A new session; the slots go on into it when the domain says so."""
    events: list[Event] = [SessionStarted()]
    if actions.domain.session.carry_over_slots:
        initial = Tracker.new(tracker.conversation_id, actions.domain).slots
        events += [
            SlotSet(name=name, value=value)
            for name, value in tracker.slots.items()
            if name in tracker.slots_set and value != initial.get(name)
        ]
    return [*events, ActionExecuted(name=LISTEN)]


async def action_restart(tracker: Tracker, actions: Actions) -> list[Event]:
    """Everything is forgotten."""
    return [*await actions.utter("utter_restart", tracker), Restarted()]


async def action_back(tracker: Tracker, actions: Actions) -> list[Event]:
    """As if the customer's last message (and the word "back") had not been."""
    return [*await actions.utter("utter_back", tracker), UserUtteranceReverted(), UserUtteranceReverted()]


async def action_default_fallback(tracker: Tracker, actions: Actions) -> list[Event]:
    """Says that it did not understand, and forgets the message."""
    return [*await actions.utter("utter_default", tracker), UserUtteranceReverted()]


async def action_deactivate_loop(tracker: Tracker, actions: Actions) -> list[Event]:
    """Leaves the running form."""
    return [ActiveLoopChanged(name=None), SlotSet(name="requested_slot", value=None)]


async def action_revert_fallback_events(tracker: Tracker, actions: Actions) -> list[Event]:
    """Kept for Rasa's sake: nothing to take back."""
    return []


async def action_unlikely_intent(tracker: Tracker, actions: Actions) -> list[Event]:
    """A mark in the dialogue, nothing more."""
    return []


async def action_default_ask_affirmation(tracker: Tracker, actions: Actions) -> list[Event]:
    """Asks whether the likeliest intent was meant, with two buttons."""
    latest = tracker.latest_message
    intent = latest.intent_name if latest else None
    ranking = latest.parse_data.get("intent_ranking") or [] if latest else []
    if intent == "nlu_fallback" and len(ranking) > 1:
        intent = ranking[1]["name"]
    message = BotMessage(
        text=f"Did you mean '{intent}'?",
        buttons=({"title": "Yes", "payload": f"/{intent}"}, {"title": "No", "payload": "/out_of_scope"}),
        metadata={"utter_action": "action_default_ask_affirmation"},
    )
    return [BotUttered.of(message)]


async def action_default_ask_rephrase(tracker: Tracker, actions: Actions) -> list[Event]:
    """Asks the customer to say it in other words."""
    return [*await actions.utter("utter_ask_rephrase", tracker)]


async def action_two_stage_fallback(tracker: Tracker, actions: Actions) -> list[Event]:
    """First "did you mean", then "say it again", then the default fallback."""
    name = "action_two_stage_fallback"
    events: list[Event] = []
    just_started = tracker.active_loop_name != name
    if just_started:
        events.append(ActiveLoopChanged(name=name))
    latest = tracker.latest_message.intent_name if tracker.latest_message else None
    said = _latest_intents(tracker, 3)
    gives_up = said[:2] == ["nlu_fallback"] * 2 or said == ["out_of_scope", "nlu_fallback", "out_of_scope"]
    if latest in FALLBACK_INTENTS and not gives_up:
        ask_first = just_started or latest == "nlu_fallback"
        action = "action_default_ask_affirmation" if ask_first else "action_default_ask_rephrase"
        return events + await actions.run(action, tracker)
    events.append(ActiveLoopChanged(name=None))
    if gives_up:
        return events + await actions.run("action_default_fallback", tracker)
    return [*events, UserUtteranceReverted(), ActionExecuted(name=LISTEN), *_confirmed(tracker)]


def _latest_intents(tracker: Tracker, most: int) -> list[str | None]:
    """The intents of the latest messages, newest first; a reverted message counts as none."""
    found: list[str | None] = []
    for event in reversed(tracker.events):
        if len(found) == most:
            break
        if isinstance(event, UserUttered):
            found.append(event.intent_name)
        elif isinstance(event, UserUtteranceReverted):
            found.append(None)
    return found


def _confirmed(tracker: Tracker) -> list[Event]:
    """The latest message again, now certain."""
    message = tracker.latest_message
    if message is None:
        return []
    intent: dict[str, Any] = {**(message.parse_data.get("intent") or {}), "confidence": 1.0}
    return [dataclasses.replace(message, parse_data={**message.parse_data, "intent": intent})]


async def action_extract_slots(tracker: Tracker, actions: Actions) -> list[Event]:
    """Runs after each message: mappings fill slots, the project's own actions extract and validate.

    What an extracting action says is not heard, as in Rasa; what the validating one says is.
    """
    found: list[SlotSet] = []
    for one in extractions(tracker, actions.domain):
        events = await _attempt(one, tracker, actions) if isinstance(one, str) else [one]
        found += [event for event in events if isinstance(event, SlotSet)]
    if not actions.has("action_validate_slot_mappings"):
        return [*found]
    candidates = tracker.copy()
    candidates.apply_all(found)
    validated = [
        event
        for event in await _attempt("action_validate_slot_mappings", candidates, actions)
        if isinstance(event, SlotSet | BotUttered)
    ]
    names = {event.name for event in validated if isinstance(event, SlotSet)}
    return [*validated, *(event for event in found if event.name not in names)]


async def _attempt(name: str, tracker: Tracker, actions: Actions) -> list[Event]:
    """The events of an action that extracts or validates slots; none when it fails."""
    try:
        return await actions.run(name, tracker)
    except ActionError as error:
        actions.log_failure(error, tracker)
        return []


ALL: dict[str, DefaultAction] = {
    function.__name__: function
    for function in (
        action_listen,
        action_session_start,
        action_restart,
        action_back,
        action_default_fallback,
        action_deactivate_loop,
        action_revert_fallback_events,
        action_unlikely_intent,
        action_default_ask_affirmation,
        action_default_ask_rephrase,
        action_two_stage_fallback,
        action_extract_slots,
        action_join_code,
        action_leave,
    )
}
