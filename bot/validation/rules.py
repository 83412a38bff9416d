"""Rules that never apply: their condition cannot hold, or nothing leads to where they begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.domain import DEFAULT_ACTIONS, REQUESTED_SLOT, Domain, SlotSpec
from bot.training_data import ActionStep, LoopStep, OrStep, Rule, SlotStep, UserStep
from bot.validation.code import names_in_code
from bot.validation.finding import Finding, warning
from bot.validation.names import all_steps

if TYPE_CHECKING:
    from bot.project import Project


def check_rules(project: Project) -> Iterator[Finding]:
    """Rules that nothing in the project can bring about."""
    started = _started(project)
    for rule in project.rules:
        yield from _conditions(rule, project.domain)
        yield from _first_action(rule, started)
        yield from _in_form(rule, project.domain)


def _conditions(rule: Rule, domain: Domain) -> Iterator[Finding]:
    slots: dict[str, SlotStep] = {}
    loops: list[LoopStep] = []
    for step in rule.condition:
        if isinstance(step, LoopStep):
            loops.append(step)
            continue
        other = slots.setdefault(step.name, step)
        if (other.value, other.any_value) != (step.value, step.any_value):
            message = f"rule '{rule.name}' never applies: its condition wants the slot '{step.name}' to be two things"
            yield warning("condition", message, step.source, other.source)
        elif step.name in domain.slots:
            yield from _slot_condition(rule, step, domain.slots[step.name])
    if len({loop.name for loop in loops}) > 1:
        message = f"rule '{rule.name}' never applies: its condition wants two active loops at once"
        yield warning("condition", message, loops[1].source, loops[0].source)
    elif loops and loops[0].name and rule.conversation_start:
        message = f"rule '{rule.name}' never applies: no form is running at the start of a conversation"
        yield warning("condition", message, loops[0].source)


def _slot_condition(rule: Rule, step: SlotStep, slot: SlotSpec) -> Iterator[Finding]:
    if not slot.influence_conversation:
        if slot.name == REQUESTED_SLOT:
            hint = "declare it as a categorical slot whose values are the slots that are asked for"
        elif slot.type == "any":
            hint = "give it another type than any"
        else:
            hint = "leave out `influence_conversation: false`"
        message = (
            f"the condition of rule '{rule.name}' has no effect: the slot '{slot.name}' influences no rule; {hint}"
        )
        yield warning("condition", message, step.source)
    elif not possible(slot, step):
        values = ", ".join(str(value) for value in slot.values) or "true, false"
        message = f"rule '{rule.name}' never applies: the slot '{slot.name}' is never '{_shown(step.value)}'."
        yield warning("condition", f"{message} It is one of: {values}.", step.source)


def possible(slot: SlotSpec, step: SlotStep) -> bool:
    """Whether a slot can have the value that a step tells of."""
    if step.any_value or step.value is None:
        return True
    if slot.type == "categorical":
        return str(step.value).lower() in [str(value).lower() for value in (*slot.values, "__other__")]
    return slot.type != "bool" or str(step.value).lower() in ("true", "false", "1", "0")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _started(project: Project) -> set[str]:
    """Every action that something other than the rule that begins with it leads to."""
    found = {*DEFAULT_ACTIONS, *project.domain.forms, *names_in_code(project).whole}
    for policy in project.config.policies:
        found.add(str(policy.options.get("core_fallback_action_name", "")))
    for story in project.stories:
        found |= {step.name or step.text or "" for step in all_steps(story) if isinstance(step, ActionStep)}
    for rule in project.rules:
        steps = rule.steps if rule.conversation_start else rule.steps[1:]
        found |= {step.name or "" for step in steps if isinstance(step, ActionStep)}
    return found


def _first_action(rule: Rule, started: set[str]) -> Iterator[Finding]:
    first = next((step for step in rule.steps if not isinstance(step, SlotStep | LoopStep)), None)
    if isinstance(first, ActionStep) and first is rule.steps[0] and first.name and first.name not in started:
        message = (
            f"rule '{rule.name}' never applies: it begins after '{first.name}', which no story, rule, policy or code "
            "of the project leads to. Begin with the customer's message that it answers."
        )
        yield warning("unreachable-rule", message, first.source)


def _in_form(rule: Rule, domain: Domain) -> Iterator[Finding]:
    """A message inside a form that the form takes as the answer to whatever it asks."""
    loop = next((step.name for step in rule.condition if isinstance(step, LoopStep)), None)
    form = domain.forms.get(loop or "")
    if form is None or not form.required_slots:
        return
    first = rule.steps[0] if rule.steps else None
    for message in first.choices if isinstance(first, OrStep) else (first,):
        if not isinstance(message, UserStep) or not message.intent:
            continue
        intent = message.intent.split("/")[0]
        if intent not in form.ignored_intents and all(
            _takes_any_text(domain.slots[name], intent, form.name)
            for name in form.required_slots
            if name in domain.slots
        ):
            yield warning(
                "unreachable-rule",
                f"rule '{rule.name}' never applies: form '{form.name}' takes the text of '{intent}' as its answer. Add "
                f"'{intent}' to the form's `ignored_intents`, or to `not_intent` of the mappings.",
                message.source,
                form.source,
            )


def _takes_any_text(slot: SlotSpec, intent: str, form: str) -> bool:
    return any(
        mapping.type == "from_text"
        and intent not in mapping.not_intent
        and (not mapping.intent or intent in mapping.intent)
        and (not mapping.conditions or any(one.active_loop == form for one in mapping.conditions))
        for mapping in slot.mappings
    )
