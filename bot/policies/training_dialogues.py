"""Stories and rules unrolled into the dialogues that policies learn from.

A dialogue is a list of (state, action) steps: the bot listens before each message of the customer, an
`or` becomes one dialogue per choice, checkpoints join the stories that share them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain import Domain, IntentSpec
from bot.errors import Source
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered
from bot.states import NOT_SET, UNLIKELY, State, without_unlikely_intent
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

MOST_RETURNS = 2
"""How often a dialogue goes back to a checkpoint that it has passed."""


@dataclass(frozen=True, slots=True)
class DialogueStep:
    """In `state`, the bot does `action`. No rule tells of an `unpredictable` one, no story of one that `opens` it."""

    state: State
    action: str
    source: Source
    unpredictable: bool = False
    opens: bool = False


@dataclass(frozen=True, slots=True)
class TrainingDialogue:
    """One way through a story or a rule."""

    name: str
    source: Source
    is_rule: bool
    steps: tuple[DialogueStep, ...]
    events: tuple[Event, ...]

    def prefixes(self) -> Iterator[tuple[list[State], DialogueStep]]:
        """For each action: all states up to it, and the step."""
        states: list[State] = []
        for step in self.steps:
            states.append(step.state)
            yield list(states), step

    def told_prefixes(self) -> Iterator[tuple[list[State], DialogueStep]]:
        """The same without the action that a story begins with: what leads there is not told."""
        return ((states, step) for states, step in self.prefixes() if not step.opens)

    def likely_prefixes(self) -> Iterator[tuple[list[State], DialogueStep]]:
        """The same as if no intent had been unlikely."""
        for states, step in self.told_prefixes():
            if step.action != UNLIKELY:
                yield without_unlikely_intent(states), step


def unroll(stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> list[TrainingDialogue]:
    """All dialogues, stories first.

    As in Rasa, an intent's `use_entities` and `ignore_entities` do not reach the training data: a story that names
    an entity which they leave out is never recognised.
    """
    domain = dataclasses.replace(domain, intents={name: IntentSpec(name) for name in domain.intents})
    dialogues: list[TrainingDialogue | None] = []
    for name, source, steps, end in ways(stories):
        dialogues.append(_replay(name, source, steps, domain, end=end))
    for rule in rules:
        steps = tuple(step for step in rule.steps if not isinstance(step, CheckpointStep))
        end = LISTEN if rule.wait_for_user_input else SNIPPET
        dialogues += [_replay(rule.name, rule.source, one, domain, rule, end=end) for one in _choices(steps)]
    return [dialogue for dialogue in dialogues if dialogue]


def ways(stories: Sequence[Story]) -> Iterator[tuple[str, Source, tuple[Step, ...], str | None]]:
    """Every way through the stories: (name, source, steps, the action it ends with), without `or`."""
    for name, source, steps, end in _joined(stories):
        for choice in _choices(steps):
            yield name, source, opened(choice), end


def opened(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of a story; an action before any message of the customer is marked as opening it."""
    found: list[Step] = []
    for number, step in enumerate(steps):
        if isinstance(step, ActionStep):
            return (*found, dataclasses.replace(step, opens=True), *steps[number + 1 :])
        if isinstance(step, UserStep) or (isinstance(step, OrStep) and isinstance(step.choices[0], UserStep)):
            break
        found.append(step)
    return tuple(steps)


def _choices(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Every way through the `or`s."""
    options = [step.choices if isinstance(step, OrStep) else (step,) for step in steps]
    for way in itertools.product(*options):
        yield list(way)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a story between checkpoints."""

    story: Story
    begins: tuple[CheckpointStep, ...]
    steps: tuple[Step, ...]
    ends: tuple[CheckpointStep, ...]


def _pieces(story: Story) -> Iterator[_Piece]:
    begins: list[CheckpointStep] = []
    steps: list[Step] = []
    ends: list[CheckpointStep] = []
    for step in story.steps:
        if isinstance(step, CheckpointStep):
            (ends if steps else begins).append(step)
            continue
        if ends:
            yield _Piece(story, tuple(begins), tuple(steps), tuple(ends))
            begins, steps, ends = [CheckpointStep(end.name, (), end.source) for end in ends], [], []
        steps.append(step)
    if steps:
        yield _Piece(story, tuple(begins), tuple(steps), tuple(ends))


def _joined(stories: Sequence[Story]) -> Iterator[tuple[str, Source, tuple[Step, ...], str | None]]:
    """Stories without checkpoints as they are, the others joined end to start.

    With each comes the action that it ends with: none where it leads to a checkpoint that nothing continues.
    Where a piece begins, its checkpoint stands among the steps: its slots must have these values there.
    """
    pieces = [piece for story in stories for piece in _pieces(story)]
    begun = {begin.name for piece in pieces for begin in piece.begins}
    made = 0
    stack: list[tuple[tuple[int, CheckpointStep | None], ...]] = [
        ((number, None),) for number, piece in enumerate(pieces) if not piece.begins
    ]
    while stack:
        path = stack.pop(0)
        ends = {end.name for end in pieces[path[-1][0]].ends}
        following = [
            (number, begin)
            for number, piece in enumerate(pieces)
            for begin in piece.begins
            if begin.name in ends and _returns([*(index for index, _ in path), number]) <= MOST_RETURNS
        ]
        if ends.isdisjoint(begun):
            steps: list[Step] = []
            for number, begin in path:
                steps += [begin] if begin else []
                steps += pieces[number].steps
            names = dict.fromkeys(pieces[number].story.name for number, _ in path)
            yield " - ".join(names), pieces[path[0][0]].story.source, tuple(steps), None if ends else LISTEN
            made += 1
        elif made + len(stack) < MOST_JOINED:
            stack += [(*path, one) for one in following]


def _returns(path: Sequence[int]) -> int:
    """How often a way through the stories leads back to where it was."""
    order = list(dict.fromkeys(path))
    return sum(order.index(after) <= order.index(before) for before, after in itertools.pairwise(path))


def _replay(
    name: str,
    source: Source,
    steps: Sequence[Step],
    domain: Domain,
    rule: Rule | None = None,
    *,
    end: str | None,
) -> TrainingDialogue | None:
    """Fold the steps into states, as the tracker would. None where a checkpoint asks for other slots."""
    tracker = Tracker.new(name, domain)
    out: list[DialogueStep] = []
    events: list[Event] = []
    unpredictable = True

    def act(action: str, where: Source, text: str | None = None, *, opens: bool = False) -> None:
        nonlocal unpredictable
        out.append(DialogueStep(tracker.state(), action, where, unpredictable and action != SNIPPET, opens))
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
            apply(condition_event(condition, domain, is_rule=True))
        if not rule.conversation_start:
            act(SNIPPET, source)
    for step in steps:
        match step:
            case UserStep():
                listen(step.source)
                for event in user_events(step, domain):
                    apply(event)
            case ActionStep(name=action, text=text, opens=opens):
                act(action or text or "", step.source, text, opens=opens)
            case SlotStep() | LoopStep():
                apply(condition_event(step, domain, is_rule=rule is not None))
            case CheckpointStep(slots=slots):
                if any(tracker.slots.get(slot.name) != slot.value for slot in slots):
                    return None
            case _:
                pass
    if end == SNIPPET:
        act(SNIPPET, source)
    elif end:
        listen(steps[-1].source if steps else source)
    return TrainingDialogue(name, source, rule is not None, tuple(out), tuple(events))


def user_events(step: UserStep, domain: Domain) -> list[Event]:
    """The message as if it was understood as the step says, and the slots that its entities fill."""
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


def condition_event(step: SlotStep | LoopStep, domain: Domain, *, is_rule: bool) -> Event:
    """The change of a slot or loop that the step tells of."""
    empty = NOT_SET if is_rule else None
    if isinstance(step, LoopStep):
        return ActiveLoopChanged(name=step.name if step.name is not None else empty)
    value = _some_value(step.name, domain) if step.any_value else step.value
    return SlotSet(name=step.name, value=value if value is not None else empty)


def _some_value(slot: str, domain: Domain) -> Any:
    """What `- slot_was_set: - name` means: something, where values look alike to the policies; else nothing."""
    spec = domain.slots.get(slot)
    return {"text": "filled", "list": ["filled"]}.get(spec.type if spec else "text")
