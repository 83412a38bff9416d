"""One run of a form: take in and validate what the customer said, then ask for the next slot.

The order of the steps and of the events is Rasa's (https://rasa.com/docs/rasa/forms).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.domain import REQUESTED_SLOT, FormSpec
from bot.errors import ActionRejected
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    ActiveLoopChanged,
    Event,
    SlotSet,
    UserUttered,
)
from bot.tracker import LISTEN, Tracker

if TYPE_CHECKING:
    from bot.action_execution import Actions


async def run_form(form: FormSpec, tracker: Tracker, actions: Actions) -> list[Event]:
    """The events of this run. `ActionRejected` when the customer's message answers nothing of the form."""
    events: list[Event] = []
    if tracker.active_loop_name != form.name:
        events += await _activate(form, tracker, actions)
    if not _is_done(events):
        events += await _go_on(form, tracker, actions, events)
    if _is_done(events):
        events.append(ActiveLoopChanged(name=None))
    return events


async def _activate(form: FormSpec, tracker: Tracker, actions: Actions) -> list[Event]:
    """Start: slots that are filled already are validated, too."""
    events: list[Event] = [ActiveLoopChanged(name=form.name)]
    started = tracker.copy()
    started.apply_all(events)
    extracted = await actions.run("action_extract_slots", started)
    started.apply_all(extracted)
    filled = {name: started.slots[name] for name in form.required_slots if started.slots.get(name) is not None}
    validated = await _validate(form, started, actions, filled)
    names = {event.name for event in validated if isinstance(event, SlotSet)}
    kept = [event for event in extracted if isinstance(event, SlotSet) and event.name not in names]
    return [*events, *validated, *kept]


async def _go_on(form: FormSpec, tracker: Tracker, actions: Actions, so_far: Sequence[Event]) -> list[Event]:
    events: list[Event] = []
    if not [event for event in so_far if not isinstance(event, ActiveLoopChanged)]:
        events += await _take_in(form, tracker, actions)
    if not any(isinstance(event, ActionExecutionRejected) for event in events):
        events += await _ask_next(form, tracker, actions, [*so_far, *events])
    return events


async def _take_in(form: FormSpec, tracker: Tracker, actions: Actions) -> list[Event]:
    loop = tracker.active_loop
    answers = loop is None or (tracker.latest_action_name == LISTEN and not loop.is_interrupted)
    if not answers:
        return await _validate(form, tracker, actions, {})
    extracted = _said_since_latest_message(form, tracker)
    events = await _validate(form, tracker, actions, extracted)
    validated = any(isinstance(event, SlotSet) and event.name != REQUESTED_SLOT for event in events)
    rejected = any(isinstance(event, ActionExecutionRejected) for event in events)
    if _requested(form, tracker) and not extracted and not validated and not rejected:
        raise ActionRejected(form.name)
    return events


def _requested(form: FormSpec, tracker: Tracker) -> str | None:
    """The slot this form asked for; what another form asked for does not count."""
    return tracker.slots.get(REQUESTED_SLOT) if tracker.active_loop_name == form.name else None


def _said_since_latest_message(form: FormSpec, tracker: Tracker) -> dict[str, object]:
    wanted = {*form.required_slots, _requested(form, tracker)}
    values: dict[str, object] = {}
    since: list[SlotSet] = []
    for event in reversed(tracker.events):
        if isinstance(event, UserUttered):
            break
        if isinstance(event, SlotSet):
            since.append(event)
    for event in reversed(since):
        if event.name in wanted:
            values[event.name] = event.value
    return values


async def _validate(form: FormSpec, tracker: Tracker, actions: Actions, values: dict[str, object]) -> list[Event]:
    """The custom validation's verdict on `values`; without one they stand as they are."""
    name = f"validate_{form.name}"
    if not actions.has(name):
        return []
    asked = _seen_by_action(form, tracker, [SlotSet(name=slot, value=value) for slot, value in values.items()])
    return await actions.run(name, asked)


def _seen_by_action(form: FormSpec, tracker: Tracker, events: Sequence[Event]) -> Tracker:
    """A copy in which the new events stand clearly after the form's own action."""
    seen = tracker.copy()
    seen.apply(SlotSet(name=REQUESTED_SLOT, value=_requested(form, tracker)))
    seen.apply(ActionExecuted(name=form.name))
    seen.apply_all(events)
    return seen


async def _ask_next(form: FormSpec, tracker: Tracker, actions: Actions, so_far: Sequence[Event]) -> list[Event]:
    if _is_done(so_far):
        return [SlotSet(name=REQUESTED_SLOT, value=None)]
    asked_by_action = [e.value for e in so_far if isinstance(e, SlotSet) and e.name == REQUESTED_SLOT]
    seen = _seen_by_action(form, tracker, so_far)
    slot = asked_by_action[0] if asked_by_action else None
    events: list[Event] = []
    if not slot:
        slot = next((name for name in form.required_slots if seen.slots.get(name) is None), None)
        events.append(SlotSet(name=REQUESTED_SLOT, value=slot))
    if slot is None:
        return [SlotSet(name=REQUESTED_SLOT, value=None)]
    return events + await ask(form, slot, seen, actions)


async def ask(form: FormSpec, slot: str, tracker: Tracker, actions: Actions) -> list[Event]:
    """The question for a slot: the form's own, or the slot's; by an action or a response."""
    for name in (
        f"action_ask_{form.name}_{slot}",
        f"utter_ask_{form.name}_{slot}",
        f"action_ask_{slot}",
        f"utter_ask_{slot}",
    ):
        if actions.has(name):
            return await actions.run(name, tracker)
    return []


def _is_done(events: Sequence[Event]) -> bool:
    """A form ends when nothing is left to ask, or when a validation says so."""
    if any(isinstance(event, ActionExecutionRejected) for event in events):
        return False
    asked = [event.value for event in events if isinstance(event, SlotSet) and event.name == REQUESTED_SLOT]
    loops = [event.name for event in events if isinstance(event, ActiveLoopChanged)]
    return (bool(asked) and asked[-1] is None) or (bool(loops) and loops[-1] is None)
