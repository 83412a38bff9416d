"""Which slots a customer's message fills: Rasa's slot mappings, decided without side effects.

Source: https://rasa.com/docs/rasa/domain/#slot-mappings
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bot.domain import DEFAULT_INTENTS, REQUESTED_SLOT, Domain, SlotMapping, SlotSpec
from bot.events import SlotSet
from bot.tracker import Tracker


def extractions(tracker: Tracker, domain: Domain) -> list[SlotSet | str]:
    """What the latest message calls for, in the domain's order: slots to set, and names of custom actions to run."""
    found: list[SlotSet | str] = []
    for slot in domain.slots.values():
        if slot.name == REQUESTED_SLOT:
            continue
        for mapping in slot.mappings:
            if not mapping_holds(slot, mapping, tracker, domain):
                continue
            if mapping.type == "custom":
                if mapping.action and mapping.action not in found:
                    found.append(mapping.action)
                continue
            values = _values(mapping, tracker)
            if not values:
                continue
            value = values if slot.type == "list" else values[-1]
            if value is not None or tracker.slots.get(slot.name) is not None:
                found.append(SlotSet(name=slot.name, value=value))
                break
    return found


def mapping_holds(slot: SlotSpec, mapping: SlotMapping, tracker: Tracker, domain: Domain) -> bool:
    """Whether names, intent, conditions and (inside a form) uniqueness let this mapping fill the slot now."""
    return (
        _is_known(mapping, domain)
        and _intent_fits(mapping, tracker, domain)
        and _conditions_fit(slot, mapping, tracker)
        and not _is_ambiguous(slot, mapping, tracker, domain)
    )


def _is_known(mapping: SlotMapping, domain: Domain) -> bool:
    """Whether the domain has the entity, or the intents, that the mapping speaks of."""
    if mapping.type == "from_entity":
        return mapping.entity in domain.entities
    if mapping.type == "from_intent":
        return all(intent in domain.intents or intent in DEFAULT_INTENTS for intent in mapping.intent)
    return True


def _intent_fits(mapping: SlotMapping, tracker: Tracker, domain: Domain) -> bool:
    intent = tracker.latest_message.intent_name if tracker.latest_message else None
    excluded = set(mapping.not_intent)
    form = domain.forms.get(tracker.active_loop_name or "")
    if form and (not mapping.conditions or form.name in {one.active_loop for one in mapping.conditions}):
        excluded.update(form.ignored_intents)
    return intent in mapping.intent or (not mapping.intent and intent not in excluded)


def _conditions_fit(slot: SlotSpec, mapping: SlotMapping, tracker: Tracker) -> bool:
    if not mapping.conditions or mapping.type == "from_trigger_intent":
        return True
    requested = tracker.slots.get(REQUESTED_SLOT)
    if tracker.active_loop and tracker.active_loop.rejected and requested == slot.name:
        return False
    for condition in mapping.conditions:
        if condition.active_loop is None:
            if tracker.active_loop is None:
                return True
        elif condition.active_loop == tracker.active_loop_name and condition.requested_slot in (None, requested):
            return True
    return False


def _is_ambiguous(slot: SlotSpec, mapping: SlotMapping, tracker: Tracker, domain: Domain) -> bool:
    """Inside a form, an entity that could fill two of its slots fills only the one that was asked for."""
    form = domain.forms.get(tracker.active_loop_name or "")
    if mapping.type != "from_entity" or form is None:
        return False
    if tracker.slots.get(REQUESTED_SLOT) == slot.name or slot.name not in form.required_slots:
        return False
    alike = dataclasses.replace(mapping, source=slot.source)
    same = [
        other
        for name in form.required_slots
        if name in domain.slots
        for other in domain.slots[name].mappings
        if dataclasses.replace(other, source=slot.source) == alike
    ]
    return len(same) > 1


def _values(mapping: SlotMapping, tracker: Tracker) -> list[Any]:
    match mapping.type:
        case "from_entity":
            return list(tracker.get_latest_entity_values(mapping.entity or "", mapping.role, mapping.group))
        case "from_intent":
            return [mapping.value]
        case "from_text":
            return [tracker.latest_message.text if tracker.latest_message else None]
        case "from_trigger_intent":
            loops = {condition.active_loop for condition in mapping.conditions}
            running = tracker.active_loop_name
            return [mapping.value] if running and (not loops or running in loops) else []
        case _:
            return []
