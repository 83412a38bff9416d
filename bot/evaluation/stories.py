"""Test stories, as Rasa tests them: each prediction against what the story says; custom actions do not run.

A wrong prediction does not end a story: it goes on as written, so that one run shows all that is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant
from bot.errors import Source
from bot.evaluation.figures import Figures, compare
from bot.events import ActionExecuted, ActionExecutionRejected, UserUttered
from bot.interfaces import Prediction
from bot.messages import Entity, Parse
from bot.nlu_writing import annotated
from bot.payloads import read_payload
from bot.policies.training_dialogues import condition_event, user_events, ways
from bot.tracker import LISTEN, Tracker
from bot.training_data import ActionStep, CheckpointStep, LoopStep, SlotStep, Step, Story, UserStep

_MEMORISING = ("RulePolicy", "MemoizationPolicy", "AugmentedMemoizationPolicy")
_NOTHING = "None"
_UNLIKELY = "action_unlikely_intent"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A step that did not go as written: `got` stands for what was predicted, `problem` is the sentence."""

    source: Source
    got: str
    problem: str


@dataclass(slots=True)
class StoryResult:
    """One way through a story. `expected` and `predicted` are the labels of all that was predicted, in order."""

    name: str
    source: Source
    steps: tuple[Step, ...]
    mismatches: list[Mismatch] = field(default_factory=list)
    warnings: int = 0
    seconds: float = 0.0
    actions: list[dict[str, Any]] = field(default_factory=list)
    intents: list[tuple[str, str]] = field(default_factory=list)
    entities: list[tuple[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.mismatches)

    def __str__(self) -> str:
        first = self.mismatches[0]
        return f"{first.source}: story '{self.name}': {first.problem}"

    def transcript(self) -> list[str]:
        """All that did not go as written but the first, which the sentence tells."""
        return [f"{one.source}: {one.problem}" for one in self.mismatches[1:]]


@dataclass(frozen=True, slots=True)
class StoryReport:
    """What the stories showed. `is_e2e` when messages were understood, and not only taken as understood."""

    results: tuple[StoryResult, ...]
    is_e2e: bool

    @property
    def failed(self) -> list[StoryResult]:
        return [result for result in self.results if result.failed]

    @property
    def figures(self) -> Figures:
        """Over all actions, intents and entities."""
        pairs = [(action["action"], action["predicted"]) for result in self.results for action in result.actions]
        pairs += [pair for result in self.results for pair in result.intents]
        pairs += [pair for result in self.results for pair in result.entities]
        return compare([want for want, _ in pairs], [got for _, got in pairs])

    @property
    def actions(self) -> list[dict[str, Any]]:
        return [action for result in self.results for action in result.actions]

    def to_json(self) -> dict[str, Any]:
        """Rasa's answer to `POST /model/test/stories`."""
        figures, actions = self.figures, self.actions
        memorised = sum(action["policy"] in _MEMORISING for action in actions)
        return {
            "report": without_confusions(figures.report),
            "precision": figures.precision,
            "f1": figures.f1,
            "accuracy": figures.accuracy,
            "actions": actions,
            "in_training_data_fraction": memorised / len(actions) if actions else 0,
            "is_end_to_end_evaluation": self.is_e2e,
        }


def without_confusions(report: dict[str, Any]) -> dict[str, Any]:
    """Rasa tells what is confused with what of messages alone."""
    return {
        label: {key: one for key, one in value.items() if key != "confused_with"} if isinstance(value, dict) else value
        for label, value in report.items()
    }


async def evaluate_stories(
    assistant: Assistant, stories: Sequence[Story], e2e: bool = False, *, stops: bool = False
) -> StoryReport:
    """Follow every story. With `e2e` what the customer types is understood first, and judged, too.

    `stops`: no further than to the first story that goes otherwise.
    """
    results = list(_unreached(stories))
    for name, source, steps, end in ways(stories):
        result = StoryResult(name, source, steps)
        started = time.perf_counter()
        await _Follower(assistant, result, e2e).follow(ends=end is not None)
        result.seconds = time.perf_counter() - started
        results.append(result)
        if stops and result.failed:
            break
    return StoryReport(tuple(results), e2e)


def _unreached(stories: Sequence[Story]) -> Iterator[StoryResult]:
    """Stories that begin at a checkpoint which no story leads to: they would pass without having been tested."""
    reached = {step.name for story in stories for step in story.steps[1:] if isinstance(step, CheckpointStep)}
    for story in stories:
        first = story.steps[0] if story.steps else None
        if isinstance(first, CheckpointStep) and first.name not in reached:
            problem = f"no story leads to its checkpoint '{first.name}'"
            yield StoryResult(story.name, story.source, story.steps, [Mismatch(first.source, "", problem)])


class _Follower:
    """Walks through one story with a tracker of its own."""

    def __init__(self, assistant: Assistant, result: StoryResult, e2e: bool) -> None:
        self.assistant = assistant
        self.result = result
        self.e2e = e2e
        self.tracker = Tracker.new("test:story", assistant.domain)
        self.tracker.apply(ActionExecuted(name=LISTEN))

    async def follow(self, *, ends: bool) -> None:
        for step in self.result.steps:
            match step:
                case UserStep():
                    self._listen(step.source, "where the customer should speak")
                    await self._hear(step)
                case ActionStep(name=name, text=text):
                    self._expect(name, text, step.source, f"not '{name or text}'")
                case SlotStep() | LoopStep():
                    self.tracker.apply(condition_event(step, self.assistant.domain, is_rule=False))
                case CheckpointStep(slots=slots):
                    for slot in slots:
                        self.tracker.apply(condition_event(slot, self.assistant.domain, is_rule=False))
                case _:
                    pass
        if ends:
            self._listen(self.result.source, "after the story's end")

    def _wrong(self, source: Source, got: str, problem: str) -> None:
        self.result.mismatches.append(Mismatch(source, got, problem))

    # ---- what the bot does ----

    def _listen(self, source: Source, where: str) -> None:
        if self.tracker.latest_action_name != LISTEN or self.tracker.events[-1:] != [self.tracker.latest_action]:
            self._expect(LISTEN, None, source, where)

    def _expect(self, name: str | None, text: str | None, source: Source, instead: str) -> None:
        expected = name or text or ""
        prediction = self._predict(expected)
        if prediction.action == _UNLIKELY != expected:
            # A remark, no step: the story goes on after it.
            self.tracker.apply(ActionExecuted(name=_UNLIKELY, policy=prediction.policy))
            self.result.warnings += 1
            prediction = self._predict(expected)
        got = _full_name(prediction.action, expected, self.tracker)
        self.result.actions.append(
            {"action": expected, "predicted": got, "policy": prediction.policy, "confidence": prediction.confidence}
        )
        if got != expected:
            self._wrong(source, got, f"'{got}' comes next, {instead}")
        else:
            self.tracker.apply_all(prediction.events)
        hidden = prediction.hide_rule_turn and got == expected
        self.tracker.apply(
            ActionExecuted(name=name, action_text=text, policy=prediction.policy or None, hide_rule_turn=hidden)
        )

    def _predict(self, expected: str) -> Prediction:
        prediction = self.assistant.decide(self.tracker)
        loop = self.tracker.active_loop_name
        if prediction.action != expected and prediction.action == loop and loop in self.assistant.domain.forms:
            # The form would run here; the story says that it declines, which only its code could tell.
            self.tracker.apply(ActionExecutionRejected(name=loop))
            prediction = self.assistant.decide(self.tracker)
        return prediction

    # ---- what the customer says ----

    async def _hear(self, step: UserStep) -> None:
        uttered, *slots = user_events(step, self.assistant.domain)
        assert isinstance(uttered, UserUttered)
        if self.e2e and step.text:
            parse = read_payload(step.text, self.assistant.domain) or await self.assistant.parse(step.text)
            self._judge(step, UserUttered(text=step.text, parse_data=parse.to_json()), parse)
            if not step.intent:
                uttered = UserUttered(text=step.text, parse_data=parse.to_json())
        elif self.e2e and step.intent:
            self.result.intents.append((step.intent, step.intent))
        self.tracker.apply(uttered)
        self.tracker.apply_all(slots)

    def _judge(self, step: UserStep, heard: UserUttered, parse: Parse) -> None:
        if step.intent:
            got = heard.intent_name or _NOTHING
            if got != step.intent:
                got = heard.full_intent_name or _NOTHING
            self.result.intents.append((step.intent, got))
            if got != step.intent:
                self._wrong(step.source, got, f"'{step.text}' is understood as '{got}', not as '{step.intent}'")
        if step.text is None or step.text.startswith("/"):
            return
        understood = annotated(step.text, parse.entities)
        where = any(entity.end for entity in step.entities)
        wanted = {_key(entity, where): entity for entity in step.entities}
        found = {_key(entity, where): entity for entity in parse.entities}
        for key, entity in wanted.items():
            shown = _shown(step.text, entity)
            self.result.entities.append((shown, shown if key in found else _NOTHING))
            if key not in found:
                problem = f"in '{step.text}' the {entity.entity} '{entity.value}' is not found"
                self._wrong(step.source, understood, problem)
        for key, entity in found.items():
            if key not in wanted:
                shown = _shown(step.text, entity)
                self.result.entities.append((_NOTHING, shown))
                problem = f"in '{step.text}' the {entity.entity} '{entity.value}' is found: the story has none"
                self._wrong(step.source, understood, problem)


def _key(entity: Entity, where: bool) -> tuple[Any, ...]:
    """What makes two entities the same; a story that lists them below its text does not say where they stand."""
    place = (entity.start, entity.end) if where else ()
    return (*place, entity.entity, str(entity.value))


def _shown(text: str, entity: Entity) -> str:
    """The entity as training data write it: `[Rome](city)`, with its value where that is another."""
    said = text[entity.start : entity.end]
    if str(entity.value) == said:
        return f"[{said}]({entity.entity})"
    return f'[{said}]{{"entity": "{entity.entity}", "value": "{entity.value}"}}'


def _full_name(action: str, expected: str, tracker: Tracker) -> str:
    """`utter_faq/ask_name` where the story names the answer, and not only its retrieval intent."""
    if action != expected and tracker.latest_message:
        full = tracker.latest_message.full_intent_name or ""
        if "/" in full and action == f"utter_{full.split('/')[0]}":
            return f"utter_{full}"
    return action
