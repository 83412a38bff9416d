"""What makes a rule wrong by itself: two messages of the customer, or silence about what its action sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.domain import Domain
from bot.errors import DataError, Source
from bot.events import ActionExecuted, ActiveLoopChanged, SlotSet, UserUttered
from bot.policies.training_dialogues import SNIPPET, TrainingDialogue
from bot.slots import featurize
from bot.states import State
from bot.tracker import Tracker
from bot.training_data import Rule, UserStep

Told = dict[str, dict[str | None, TrainingDialogue]]
"""By action: the slots (or active loops) that a rule says it sets, with the first rule that says so."""


class WrongRule(DataError):
    """`rule` is where the rule begins."""

    def __init__(self, message: str, source: Source, rule: Source) -> None:
        self.rule = rule
        super().__init__(message, source)


def too_long(rules: Sequence[Rule]) -> Iterator[WrongRule]:
    """Rules with more than one message of the customer."""
    for rule in rules:
        messages = [step for step in rule.steps if isinstance(step, UserStep)]
        if len(messages) > 1:
            message = (
                f"rule '{rule.name}' has {len(messages)} messages of the customer; a rule has at most one. "
                "Make it a story."
            )
            yield WrongRule(message, messages[1].source, rule.source)


def incomplete(rules: Sequence[TrainingDialogue], domain: Domain) -> list[WrongRule]:
    """What one rule says an action sets, every rule with this action says, or that it is null."""
    slots, loops = _set_by_actions(rules, domain)
    at_first = set(Tracker.new("", domain).state().get("slots", ()))
    found: dict[tuple[Source, str], WrongRule] = {}
    for rule in rules:
        for step in rule.steps:
            action = latest_action([step.state])
            if action in (None, SNIPPET) or step.action == SNIPPET:
                continue
            missing: dict[str, TrainingDialogue] = {
                f"the slot '{slot}'": by
                for slot, by in slots[action].items()
                if slot not in step.state.get("slots", ()) and slot not in at_first
            }
            wanted = loops[action]
            if wanted and step.state.get("active_loop", {}).get("name") not in wanted:
                missing["the active loop"] = next(iter(wanted.values()))
            if missing:
                found.setdefault((rule.source, action), _silent(rule, step.source, action, missing))
    return list(found.values())


def _set_by_actions(rules: Sequence[TrainingDialogue], domain: Domain) -> tuple[Told, Told]:
    slots: Told = defaultdict(dict)
    loops: Told = defaultdict(dict)
    for rule in rules:
        action: str | None = None
        for event in rule.events:
            match event:
                case ActionExecuted(name=name, action_text=text):
                    action = name or text
                case UserUttered():
                    action = None
                case SlotSet(name=slot) if action and slot in domain.slots and featurize(domain.slots[slot], None):
                    slots[action].setdefault(slot, rule)
                case ActiveLoopChanged(name=loop) if action:
                    loops[action].setdefault(loop, rule)
                case _:
                    pass
    return slots, loops


def _silent(rule: TrainingDialogue, place: Source, action: str, missing: Mapping[str, TrainingDialogue]) -> WrongRule:
    by = next(iter(missing.values()))
    return WrongRule(
        f"rule '{rule.name}' does not say what '{action}' does to {' and '.join(sorted(missing))}, as rule '{by.name}' "
        f"({by.source}) does. Say so after the action (`slot_was_set`, `active_loop`; null where it stays empty), or "
        "end the rule there with `wait_for_user_input: false`.",
        place,
        rule.source,
    )


def latest_action(states: Sequence[State]) -> str | None:
    """What ran last: an action's name or its text; None at the beginning."""
    previous: State = states[-1].get("prev_action") or {}
    return previous.get("action_name") or previous.get("action_text")
