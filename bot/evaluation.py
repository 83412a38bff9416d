"""`frontdesk test`: NLU examples, Rasa's test stories, and whole conversations with their actions.

A conversation file:

    setup: "my_actions.bank:use_test_bank"     # called before each conversation; optional
    conversations:
      - name: balance after identification
        language: en
        steps:
          - user: what is my balance?          # what the customer types, or the payload of a button on offer
          - bot: customer number               # a part of the replies, or a regular expression for one,
          - bot: [first this, then this]       #   after what was matched before
          - action: action_show_balance        # ran in this turn
          - slot: {account: savings}           # its value now
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant
from bot.domain import Domain
from bot.errors import ConfigError, Source
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet
from bot.messages import UserMessage
from bot.nlu_file import NluReader
from bot.project import Project
from bot.shell import as_text
from bot.story_file import read_stories
from bot.tracker import LISTEN, Tracker
from bot.training_data import ActionStep, Example, LoopStep, SlotStep, Story, UserStep
from bot.validation import check_dialogues, check_examples, known_actions
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, plain, read_yaml, shown

STEP_KEYS = ("user", "bot", "action", "slot")


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a conversation: `kind` is user, bot, action or slot."""

    kind: str
    value: Any
    source: Source


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with what must come back."""

    name: str
    checks: tuple[Check, ...]
    language: str | None
    setup: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class Tests:
    """All tests of a project. Examples are (intent and entities expected) messages that were held out."""

    examples: tuple[Example, ...]
    stories: tuple[Story, ...]
    conversations: tuple[Conversation, ...]


@dataclass(slots=True)
class Report:
    """What was tested. `failures` are whole sentences with their place, one per failed story or conversation."""

    examples: int = 0
    right: int = 0
    by_intent: dict[str, list[bool]] = field(default_factory=dict)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    entities_expected: int = 0
    entities_found: int = 0
    entities_right: int = 0
    stories: int = 0
    conversations: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.failures)


# ---- reading -------------------------------------------------------------------------------------


def read_tests(project: Project) -> Tests:
    """The project's test files; all mistakes in them at once, as `ProjectErrors`."""
    problems = Problems(strict=project.config.packs is not None)
    nlu = NluReader(problems)
    stories: list[Story] = []
    conversations: list[Conversation] = []
    for file in project.tests:
        content = read_yaml(file, problems)
        known = ("version", "nlu", "stories", "conversations", "setup")
        fields = Fields(content, Source(shown(file), 1), f"the file '{file.name}'", problems, known)
        nlu.read(fields.data.get("nlu"), fields.source("nlu"))
        stories += read_stories(fields.data.get("stories"), fields.source("stories"), problems)
        conversations += _conversations(fields, project.domain, problems)
    check_dialogues(stories, project.domain, problems)
    check_examples(nlu.examples, project.domain, problems)
    problems.raise_errors()
    return Tests(tuple(nlu.examples), tuple(stories), tuple(conversations))


def _conversations(file: Fields, domain: Domain, problems: Problems) -> Iterator[Conversation]:
    setup = file.text("setup")
    items = file.sequence("conversations")
    for item, source in zip(items, items.sources, strict=True):
        fields = Fields(item, source, "this conversation", problems, ("name", "language", "steps"))
        name = fields.text("name") or ""
        steps = fields.sequence("steps")
        checks = tuple(_checks(steps, domain, problems))
        kinds = {kind for step in steps if isinstance(step, YamlMap) for kind in step}
        if "user" not in kinds or len(kinds) == 1:
            problems.add(f"conversation '{name}' must have something that is said and something to check", source)
        yield Conversation(name, checks, fields.text("language"), setup, source)


def _checks(steps: YamlList, domain: Domain, problems: Problems) -> Iterator[Check]:
    for step, source in zip(steps, steps.sources, strict=True):
        if not isinstance(step, YamlMap) or len(step) != 1:
            problems.add(f"a step has one of the keys {', '.join(STEP_KEYS)}", source)
            continue
        (kind, value), *_ = step.items()
        if kind not in STEP_KEYS:
            problems.unknown("step of a conversation", kind, STEP_KEYS, source)
        elif kind == "slot" and not isinstance(value, YamlMap):
            problems.add("'slot' needs names with values, as in {account: savings}", source)
        elif kind == "slot" and (unknown := [name for name in value if name not in domain.slots]):
            problems.unknown("slot", unknown[0], tuple(domain.slots), source)
        elif kind == "action" and value not in (known := known_actions(domain)):
            problems.unknown("action", value, known, source)
        elif kind == "bot":
            for pattern in value if isinstance(value, YamlList) else [value]:
                yield Check(kind, str(pattern), source)
        else:
            yield Check(kind, plain(value) if kind == "slot" else str(value), source)


# ---- running -------------------------------------------------------------------------------------


async def evaluate(project: Project, assistant: Assistant, what: str | None = None) -> Report:
    """Run the project's tests with its trained assistant; `what` is nlu or core for one half."""
    if what not in (None, "nlu", "core"):
        raise ConfigError(f"'frontdesk test {what}' is not known: it is 'nlu', 'core' or nothing for both")
    tests = read_tests(project)
    report = Report()
    await assistant.start()
    try:
        if what != "core":
            await _test_examples(tests.examples, assistant, report)
        if what != "nlu":
            for number, story in enumerate(tests.stories):
                await _test_story(story, number, assistant, report)
            for number, conversation in enumerate(tests.conversations):
                await _test_conversation(conversation, number, assistant, report)
    finally:
        await assistant.close()
    return report


async def _test_examples(examples: Sequence[Example], assistant: Assistant, report: Report) -> None:
    for example in examples:
        parse = await assistant.parse(example.text)
        expected, got = example.intent.split("/")[0], parse.intent.name or "(none)"
        report.examples += 1
        report.right += expected == got
        report.by_intent.setdefault(expected, []).append(expected == got)
        if expected != got:
            report.confusions[expected, got] += 1
        annotated = {(entity.entity, entity.start, entity.end) for entity in example.entities}
        kinds = {entity for entity, _, _ in annotated}
        # Entities that a text was not annotated with are no mistakes: many extractors find more.
        found = {(entity.entity, entity.start, entity.end) for entity in parse.entities if entity.entity in kinds}
        report.entities_expected += len(annotated)
        report.entities_found += len(found)
        report.entities_right += len(annotated & found)


async def _test_story(story: Story, number: int, assistant: Assistant, report: Report) -> None:
    """A test story of Rasa's: custom actions do not run; each prediction must be the story's."""
    report.stories += 1
    tracker = Tracker.new(f"test:story-{number}", assistant.domain)
    tracker.apply(ActionExecuted(name=LISTEN))
    for step in story.steps:
        problem = await _follow(step, tracker, assistant)
        if problem:
            report.failures.append(f"{getattr(step, 'source', story.source)}: story '{story.name}': {problem}")
            return
    predicted = assistant.decide(tracker).action
    if tracker.latest_action_name != LISTEN and predicted != LISTEN:
        report.failures.append(f"{story.source}: story '{story.name}': goes on with '{predicted}' after its end")


async def _follow(step: Any, tracker: Tracker, assistant: Assistant) -> str | None:
    """Take one step; what is wrong, None when it is as it should be."""
    match step:
        case UserStep():
            if tracker.latest_action_name != LISTEN:
                predicted = assistant.decide(tracker).action
                if predicted != LISTEN:
                    return f"'{predicted}' comes next, where the customer should speak"
                tracker.apply(ActionExecuted(name=LISTEN))
            uttered = await assistant.hear(_as_message(step, tracker), tracker)
            tracker.apply(uttered)
            heard = uttered.full_intent_name if step.intent and "/" in step.intent else uttered.intent_name
            if step.intent and heard != step.intent:
                return f"'{step.text}' is understood as '{heard}', not as '{step.intent}'"
            found = {(entity["entity"], str(entity["value"])) for entity in uttered.entities}
            for entity in step.entities:
                if step.text and (entity.entity, str(entity.value)) not in found:
                    return f"in '{step.text}' the {entity.entity} '{entity.value}' is not found"
            tracker.apply_all(await assistant.actions.run("action_extract_slots", tracker))
        case ActionStep(name=name, text=text):
            expected = name or text or ""
            prediction = assistant.decide(tracker)
            if prediction.action != expected:
                return f"'{prediction.action}' comes next, not '{expected}'"
            tracker.apply_all(prediction.events)
            hidden = prediction.hide_rule_turn
            tracker.apply(ActionExecuted(name=name, action_text=text, policy=prediction.policy, hide_rule_turn=hidden))
        case SlotStep(name=name, value=value, any_value=any_value):
            if tracker.slots.get(name) is None or not any_value:
                tracker.apply(SlotSet(name=name, value=value))
        case LoopStep(name=name):
            if tracker.active_loop_name != name:
                tracker.apply(ActiveLoopChanged(name=name))
        case _:
            return "a test story has no checkpoints and no `or`"
    return None


def _as_message(step: UserStep, tracker: Tracker) -> UserMessage:
    """What the customer says: the text, or the intent with its entities where there is none."""
    sender = tracker.sender_id
    if step.text and not step.text.startswith("/"):
        return UserMessage(text=step.text, sender_id=sender, channel="test")
    import orjson

    entities = orjson.dumps({entity.entity: entity.value for entity in step.entities}).decode()
    return UserMessage(payload=step.text or f"/{step.intent}{entities}", sender_id=sender, channel="test")


async def _test_conversation(conversation: Conversation, number: int, assistant: Assistant, report: Report) -> None:
    report.conversations += 1
    if conversation.setup:
        await _set_up(conversation.setup)
    sender = f"conversation-{number}"
    turn = _Turn()
    for check in conversation.checks:
        problem = None
        match check.kind:
            case "user":
                turn = await _say(check.value, sender, conversation.language, assistant)
            case "bot":
                problem = turn.match(check.value)
            case "action":
                if check.value not in turn.actions:
                    problem = f"'{check.value}' did not run; these did: {', '.join(turn.actions) or 'none'}"
            case _:
                problem = await _wrong_slots(check.value, sender, assistant)
        if problem:
            report.failures.append(f"{check.source}: '{conversation.name}': {problem}")
            return


@dataclass(slots=True)
class _Turn:
    """What came back after a message. `unmatched` are the replies after what the checks have found so far."""

    unmatched: str = ""
    actions: list[str] = field(default_factory=list)

    def match(self, pattern: str) -> str | None:
        end = _end_of(pattern, self.unmatched)
        if end is None:
            return f"no reply has '{pattern}'; there is: {self.unmatched.strip() or '(nothing)'}"
        self.unmatched = self.unmatched[end:]
        return None


def _end_of(pattern: str, text: str) -> int | None:
    """Where the first match ends: of the words as they stand, else of the regular expression."""
    if pattern in text:
        return text.index(pattern) + len(pattern)
    try:
        match = re.search(pattern, text, re.DOTALL)
    except re.error:
        return None
    return match.end() if match else None


async def _say(text: str, sender: str, language: str | None, assistant: Assistant) -> _Turn:
    message = UserMessage(text=text, sender_id=sender, channel="test", language=language)
    before = (await assistant.tracker(message.conversation_id)).event_count
    replies = await assistant.handle(message)
    events: Sequence[Event] = await assistant.store.events(message.conversation_id, after=before)
    ran = [event.name for event in events if isinstance(event, ActionExecuted) and event.name]
    return _Turn("\n".join(map(as_text, replies)), [name for name in ran if name != LISTEN])


async def _wrong_slots(expected: Mapping[str, Any], sender: str, assistant: Assistant) -> str | None:
    slots = (await assistant.tracker(f"test:{sender}")).slots
    wrong = [
        f"slot '{name}' is {slots.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if slots.get(name) != value
    ]
    return "; ".join(wrong) or None


async def _set_up(name: str) -> None:
    """Call `module:function`, sync or async."""
    module, _, attribute = name.partition(":")
    try:
        function: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the setup '{name}' cannot be imported: {error}") from error
    try:
        returned = function()
        if inspect.isawaitable(returned):
            await returned
    except Exception as error:
        raise ConfigError(f"the setup '{name}' failed: {type(error).__name__}: {error}") from error


# ---- telling -------------------------------------------------------------------------------------


def print_report(report: Report) -> None:
    """A table of what was understood, then each failure in a line, then the sums."""
    if report.examples:
        print(f"understanding: {report.right} of {report.examples} messages ({report.right / report.examples:.1%})")
        for intent, outcomes in sorted(report.by_intent.items(), key=lambda item: sum(item[1]) / len(item[1])):
            if not all(outcomes):
                confused = [f"{got} {n}x" for (want, got), n in report.confusions.most_common() if want == intent]
                print(f"  {intent:24} {sum(outcomes):3} of {len(outcomes):3}   heard as {', '.join(confused)}")
        if report.entities_expected:
            recall = report.entities_right / report.entities_expected
            precision = report.entities_right / max(report.entities_found, 1)
            print(
                f"entities: {recall:.1%} of {report.entities_expected} found; of those found {precision:.1%} are right"
            )
    for failure in report.failures:
        print(f"failed: {failure}")
    total = report.stories + report.conversations
    if total:
        print(f"stories: {report.stories}; conversations: {report.conversations}; failed: {len(report.failures)}")
    if not total and not report.examples:
        print("There are no tests: put them into tests/*.yml.")
