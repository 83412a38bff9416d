"""Slots: values that cannot be, and mappings that never fill them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.domain import NOWHERE, Domain, SlotMapping, SlotSpec
from bot.errors import suggest
from bot.training_data import Rule, SlotStep
from bot.validation.finding import Finding, warning
from bot.validation.names import all_dialogues, all_steps, called, known_actions
from bot.validation.rules import possible

if TYPE_CHECKING:
    from bot.project import Project


def check_slots(project: Project) -> Iterator[Finding]:
    """What a slot is, begins with, and is filled by."""
    domain = project.domain
    for slot in domain.slots.values():
        if slot.source == NOWHERE:
            continue
        yield from _values(slot)
        for mapping in slot.mappings:
            yield from _mapping(slot, mapping, domain)


def check_slot_steps(project: Project) -> Iterator[Finding]:
    """Values that stories and the steps of rules give to slots that cannot have them."""
    for dialogue in all_dialogues(project):
        conditions = dialogue.condition if isinstance(dialogue, Rule) else ()
        for step in all_steps(dialogue):
            slot = project.domain.slots.get(step.name) if isinstance(step, SlotStep) else None
            if isinstance(step, SlotStep) and slot and step not in conditions and not possible(slot, step):
                values = ", ".join(map(str, slot.values)) or "true, false"
                message = f"{called(dialogue)} sets the slot '{slot.name}' to '{step.value}'. It is one of: {values}."
                yield warning("slot-value", message, step.source)


def _values(slot: SlotSpec) -> Iterator[Finding]:
    first = slot.initial_value
    if slot.type == "categorical":
        names = [str(value).lower() for value in slot.values]
        if None in slot.values:
            message = f"slot '{slot.name}': null means that it is empty: take another word for this value"
            yield warning("slot", message, slot.source)
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield warning("slot", f"slot '{slot.name}' has the value '{name}' twice", slot.source)
        if first is not None and str(first).lower() not in names:
            message = (
                f"slot '{slot.name}' begins with '{first}', which is none of its values.{suggest(str(first), names)}"
            )
            yield warning("slot", message, slot.source)
    if slot.type == "float" and first is not None:
        if isinstance(first, bool) or not isinstance(first, int | float):
            yield warning("slot", f"slot '{slot.name}' is a float and begins with '{first}'", slot.source)
        elif not slot.min_value <= first <= slot.max_value:
            message = (
                f"slot '{slot.name}' begins with {first}, which is not from {slot.min_value} to {slot.max_value}: set "
                "`min_value` and `max_value`"
            )
            yield warning("slot", message, slot.source)
    if slot.type == "bool" and first is not None and not isinstance(first, bool):
        yield warning("slot", f"slot '{slot.name}' is true or false and begins with '{first}'", slot.source)


def _mapping(slot: SlotSpec, mapping: SlotMapping, domain: Domain) -> Iterator[Finding]:
    both = sorted(set(mapping.intent) & set(mapping.not_intent))
    if both:
        message = f"slot '{slot.name}' is filled by the intent '{both[0]}' and by anything but it: take out one of them"
        yield warning("slot-mapping", message, mapping.source)
    entity = domain.entities.get(mapping.entity or "")
    for kind, label, known in (
        ("role", mapping.role, entity.roles if entity else ()),
        ("group", mapping.group, entity.groups if entity else ()),
    ):
        if entity and label and label not in known:
            message = (
                f"slot '{slot.name}' is filled by the {kind} '{label}' of entity '{entity.name}', which the domain "
                f"does not give it.{suggest(label, known)}"
            )
            yield warning("slot-mapping", message, mapping.source, entity.source)
    if mapping.action and mapping.action not in known_actions(domain):
        message = f"slot '{slot.name}' is filled by the action '{mapping.action}', which the domain does not have."
        yield warning("slot-mapping", f"{message}{suggest(mapping.action, domain.actions)}", mapping.source)
    value = SlotStep(slot.name, mapping.value)
    if mapping.type in ("from_intent", "from_trigger_intent") and not possible(slot, value):
        values = ", ".join(map(str, slot.values)) or "true, false"
        message = f"slot '{slot.name}' is filled with '{mapping.value}'. It is one of: {values}."
        yield warning("slot-mapping", message, mapping.source)
    for condition in mapping.conditions:
        form = domain.forms.get(condition.active_loop or "")
        if form is None:
            continue
        if form.required_slots and slot.name not in form.required_slots and mapping.type != "from_trigger_intent":
            message = (
                f"slot '{slot.name}' is filled while form '{form.name}' runs, which does not ask for it: add it to the "
                "form's 'required_slots'"
            )
            yield warning("slot-mapping", message, mapping.source, form.source)
        asked = condition.requested_slot
        if asked and form.required_slots and asked not in form.required_slots:
            message = f"slot '{slot.name}' is filled when form '{form.name}' asks for '{asked}', which it never does."
            yield warning(
                "slot-mapping", f"{message}{suggest(asked, form.required_slots)}", mapping.source, form.source
            )
