"""Forms that ask in vain, never start, or end in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.domain import FormSpec, SlotSpec
from bot.training_data import ActionStep, LoopStep, Rule
from bot.validation.code import names_in_code
from bot.validation.finding import Finding, warning
from bot.validation.names import all_dialogues, known_actions

if TYPE_CHECKING:
    from bot.project import Project


def check_forms(project: Project) -> Iterator[Finding]:
    """How each form starts, asks, is answered and ends."""
    known = known_actions(project.domain)
    started, ended = _told(project)
    for form in project.domain.forms.values():
        # A form's own validation may ask for other slots, and fill what nobody asks for.
        validated = f"validate_{form.name}" in known
        if not form.required_slots and not validated:
            message = f"form '{form.name}' asks for nothing: name its 'required_slots'"
            yield warning("form", message, form.source)
        for name in () if validated else form.required_slots:
            slot = project.domain.slots.get(name)
            yield from _question(form, name, known)
            if slot and not _is_filled(slot, form, project.domain.actions):
                message = (
                    f"form '{form.name}' asks for '{name}', and no mapping of the slot takes the answer: give the slot "
                    f"one for this form, or list an action 'validate_{form.name}'"
                )
                yield warning("form", message, slot.source, form.source)
        if form.name not in started:
            message = f"form '{form.name}' is never started: no story, rule or code of the project names it"
            yield warning("form", message, form.source)
        elif form.name not in ended:
            message = (
                f"nothing says what follows when form '{form.name}' has all it asks for: write a rule with "
                f"`condition: [active_loop: {form.name}]` and the steps `action: {form.name}`, `active_loop: null`"
            )
            yield warning("form", message, form.source)


def _question(form: FormSpec, slot: str, known: tuple[str, ...]) -> Iterator[Finding]:
    names = (f"{kind}_ask_{of}{slot}" for kind in ("utter", "action") for of in ("", f"{form.name}_"))
    if not any(name in known for name in names):
        message = f"form '{form.name}' has no question for '{slot}': write the response 'utter_ask_{slot}'"
        yield warning("form", message, form.source)


def _is_filled(slot: SlotSpec, form: FormSpec, actions: tuple[str, ...]) -> bool:
    """Whether anything may fill the slot while the form runs."""
    asks = (f"action_ask_{slot.name}", f"action_ask_{form.name}_{slot.name}", "action_validate_slot_mappings")
    if any(name in actions for name in asks):
        return True
    return any(
        (not mapping.conditions or any(one.active_loop == form.name for one in mapping.conditions))
        and (mapping.type != "custom" or mapping.action is not None)
        for mapping in slot.mappings
    )


def _told(project: Project) -> tuple[set[str], set[str]]:
    """The forms that something starts, and those of which something says that they end."""
    started = set(names_in_code(project).whole)
    ended: set[str] = set()
    for dialogue in all_dialogues(project):
        # A rule for a form that runs does not start it.
        conditions = dialogue.condition if isinstance(dialogue, Rule) else ()
        running = next((step.name for step in conditions if isinstance(step, LoopStep)), None)
        for step in dialogue.steps:
            if isinstance(step, ActionStep) and step.name in project.domain.forms:
                started |= {str(step.name)} - {running or ""}
                running = step.name
            elif isinstance(step, LoopStep) and step.name is None:
                ended |= {running or ""}
            elif isinstance(step, LoopStep):
                started |= {step.name or ""} - {running or ""}
                running = step.name
    return started, ended
