"""Stories and rules unrolled into the dialogues that policies learn from.

A dialogue is a list of (state, action) steps: the bot listens before each message of the customer, an
`or` becomes one dialogue per choice, checkpoints join the stories that share them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain import Domain
from bot.errors import Source
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered
from bot.states import NOT_SET, State
from bot.tracker import LISTEN, Tracker
from bot.training_data import (
    ActionStep,
    CheckpointStep,
    LoopStep,
    OrStep,
    Rule,
    SlotStep,
    Step,
    Story,
    UserStep,
)

SNIPPET = "..."
"""Stands for whatever went before a rule, and after one that does not wait for the customer."""

MOST_JOINED = 2000
"""How many dialogues checkpoints may make out of the stories; more is a mistake in the stories."""


@dataclass(frozen=True, slots=True)
class DialogueStep:
    """Before `action`, the dialogue is in the last of `states`; `history` marks what was hidden."""

    state: State
    action: str
    source: Source
    unpredictable: bool = False


@dataclass(frozen=True, slots=True)
class TrainingDialogue:
    """One way through a story or a rule."""

    name: str
    source: Source
    is_rule: bool
    steps: tuple[DialogueStep, ...]
    events: tuple[Event, ...]

    @property
    def place(self) -> str:
        return f"{self.source}: {'rule' if self.is_rule else 'story'} '{self.name}'"

    def prefixes(self) -> Iterator[tuple[list[State], DialogueStep]]:
        """For each action: all states up to it, and the step."""
        states: list[State] = []
        for step in self.steps:
            states.append(step.state)
            yield list(states), step


def unroll(stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> list[TrainingDialogue]:
    """All dialogues, stories first."""
    dialogues: list[TrainingDialogue] = []
    for name, source, steps in _joined(stories):
        for choice in _choices(steps):
            dialogues.append(_replay(name, source, choice, domain))
    for rule in rules:
        steps = tuple(step for step in rule.steps if not isinstance(step, CheckpointStep))
        for choice in _choices(steps):
            dialogues.append(_replay(rule.name, rule.source, choice, domain, rule))
    return dialogues


def _choices(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Every way through the `or`s."""
    options = [step.choices if isinstance(step, OrStep) else (step,) for step in steps]
    for way in itertools.product(*options):
        yield list(way)


def _joined(stories: Sequence[Story]) -> Iterator[tuple[str, Source, tuple[Step, ...]]]:
    """Stories without checkpoints as they are; the others joined end to start, none twice in one dialogue."""
    pieces: list[tuple[str, Source, CheckpointStep | None, tuple[Step, ...], str | None]] = []
    for story in stories:
        start: CheckpointStep | None = None
        current: list[Step] = []
        for step in story.steps:
            if isinstance(step, CheckpointStep):
                if current:
                    pieces.append((story.name, story.source, start, tuple(current), step.name))
                start, current = step, []
            else:
                current.append(step)
        if current:
            pieces.append((story.name, story.source, start, tuple(current), None))
    from_checkpoint: Mapping[str, list[int]] = defaultdict(list)
    for index, (_, _, begin, _, _) in enumerate(pieces):
        if begin is not None:
            from_checkpoint[begin.name].append(index)
    made = 0
    stack: list[tuple[int, ...]] = [(index,) for index, piece in enumerate(pieces) if piece[2] is None]
    while stack:
        path = stack.pop(0)
        end = pieces[path[-1]][4]
        following = [index for index in from_checkpoint.get(end or "", ()) if index not in path]
        if end is None or not following:
            steps: list[Step] = []
            for index in path:
                begin = pieces[index][2]
                steps += begin.slots if begin else ()
                steps += pieces[index][3]
            first = pieces[path[0]]
            names = dict.fromkeys(pieces[index][0] for index in path)
            yield " - ".join(names), first[1], tuple(steps)
            made += 1
        elif made + len(stack) < MOST_JOINED:
            stack += [(*path, index) for index in following]


def _replay(
    name: str, source: Source, steps: Sequence[Step], domain: Domain, rule: Rule | None = None
) -> TrainingDialogue:
    """Fold the steps into states, as the tracker would."""
    tracker = Tracker.new(name, domain)
    out: list[DialogueStep] = []
    events: list[Event] = []
    unpredictable = True

    def act(action: str, where: Source, text: str | None = None) -> None:
        nonlocal unpredictable
        out.append(DialogueStep(tracker.state(), action, where, unpredictable and action != SNIPPET))
        unpredictable = action == SNIPPET
        apply(ActionExecuted(name=None if text else action, action_text=text))

    def apply(event: Event) -> None:
        events.append(event)
        tracker.apply(event)

    def listen(where: Source) -> None:
        if tracker.latest_action_name != LISTEN or tracker.events[-1:] != [tracker.latest_action]:
            act(LISTEN, where)

    if rule:
        tracker.slots = dict.fromkeys(tracker.slots)
        for condition in rule.condition:
            apply(_condition_event(condition, domain, is_rule=True))
        if not rule.conversation_start:
            act(SNIPPET, source)
    for step in steps:
        match step:
            case UserStep():
                listen(step.source)
                for event in _user_events(step, domain):
                    apply(event)
            case ActionStep(name=action, text=text):
                act(action or text or "", step.source, text)
            case SlotStep() | LoopStep():
                apply(_condition_event(step, domain, is_rule=rule is not None))
            case _:
                pass
    if rule and not rule.wait_for_user_input:
        act(SNIPPET, source)
    else:
        listen(source)
    return TrainingDialogue(name, source, rule is not None, tuple(out), tuple(events))


def _user_events(step: UserStep, domain: Domain) -> list[Event]:
    parse: dict[str, Any] = {"entities": [entity.to_json() for entity in step.entities]}
    if step.intent:
        parse["intent"] = {"name": step.intent.split("/")[0], "confidence": 1.0}
    if step.intent and "/" in step.intent:
        base = step.intent.split("/")[0]
        parse["response_selector"] = {
            "all_retrieval_intents": [base],
            base: {"response": {"intent_response_key": step.intent}},
        }
    text = step.text if not step.intent else None
    events: list[Event] = [UserUttered(text=text, parse_data=parse)]
    for slot in domain.slots.values():
        values = [
            entity.value
            for mapping in slot.mappings
            if mapping.type == "from_entity" and (not mapping.conditions or mapping.conditions[0].active_loop is None)
            for entity in step.entities
            if (entity.entity, entity.role, entity.group) == (mapping.entity, mapping.role, mapping.group)
        ]
        if values:
            events.append(SlotSet(name=slot.name, value=values if slot.type == "list" else values[-1]))
    return events


def _condition_event(step: SlotStep | LoopStep, domain: Domain, *, is_rule: bool) -> Event:
    empty = NOT_SET if is_rule else None
    if isinstance(step, LoopStep):
        return ActiveLoopChanged(name=step.name if step.name is not None else empty)
    value = _some_value(step.name, domain) if step.any_value else step.value
    return SlotSet(name=step.name, value=value if value is not None else empty)


def _some_value(slot: str, domain: Domain) -> Any:
    """What `- slot_was_set: - name` means: any value; for the policies they look alike."""
    spec = domain.slots.get(slot)
    match spec.type if spec else "text":
        case "bool":
            return True
        case "list":
            return ["filled"]
        case "float":
            return spec.max_value if spec else 1.0
        case "categorical":
            return spec.values[0] if spec and spec.values else None
        case _:
            return "filled"
