"""What is said in a certification: the project's own tests, and walks along its stories and rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bot.domain import SlotSpec
from bot.errors import Source
from bot.evaluation import Tests
from bot.events import ActiveLoopChanged, UserUttered
from bot.policies.training_dialogues import TrainingDialogue, unroll
from bot.project import Project
from bot.training_data import OrStep, Story, UserStep

ENOUGH = 30
"""Dialogues of tests; a project that has fewer is walked through as well."""
MOST_WALKS = 60


@dataclass(frozen=True, slots=True)
class Answers:
    """Where a walk goes on answering what the running form asks."""


ANSWERS = Answers()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`says` in order; `ANSWERS` stands for answers to a form's questions, which depend on what it asks."""

    name: str
    origin: str
    source: Source
    says: tuple[str | Answers, ...]
    setup: str | None = None
    language: str | None = None

    @property
    def place(self) -> str:
        return f"{self.source}: {self.origin} '{self.name}'"


def dialogues_of(project: Project, tests: Tests) -> list[Dialogue]:
    """The tests' dialogues; and where these are few, walks through stories and rules with payloads for messages."""
    found = [*_test_stories(tests.stories, project), *_conversations(tests)]
    if len(found) < ENOUGH:
        found += list(_walks(project))[:MOST_WALKS]
    return found


def _test_stories(stories: Sequence[Story], project: Project) -> Iterator[Dialogue]:
    for story in stories:
        says: list[str | Answers] = []
        for step in story.steps:
            one = step.choices[0] if isinstance(step, OrStep) else step
            if isinstance(one, UserStep):
                says.append(one.text or _payload_of(one, project))
        if says:
            yield Dialogue(story.name, "test story", story.source, tuple(says))


def _payload_of(step: UserStep, project: Project) -> str:
    return payload(step.intent or "", [entity.to_json() for entity in step.entities], project)


def _conversations(tests: Tests) -> Iterator[Dialogue]:
    for one in tests.conversations:
        says = tuple(str(step.value) for step in one.steps if step.kind == "user")
        yield Dialogue(one.name, "conversation", one.source, says, one.setup, one.language)


def _walks(project: Project) -> Iterator[Dialogue]:
    """One walk for each story and rule in which somebody speaks, and no walk twice."""
    seen: set[tuple[str | Answers, ...]] = set()
    named: set[tuple[str, bool]] = set()
    for dialogue in unroll(project.stories, project.rules, project.domain):
        says = tuple(_says(dialogue, project))
        key = (dialogue.name, dialogue.is_rule)
        if any(isinstance(one, str) for one in says) and says not in seen and key not in named:
            seen.add(says)
            named.add(key)
            yield Dialogue(dialogue.name, "rule" if dialogue.is_rule else "story", dialogue.source, says)


def _says(dialogue: TrainingDialogue, project: Project) -> Iterator[str | Answers]:
    for event in dialogue.events:
        if isinstance(event, UserUttered):
            yield event.text or payload(event.full_intent_name or "", event.entities, project)
        elif isinstance(event, ActiveLoopChanged) and event.name is None:
            yield ANSWERS
    yield ANSWERS


def payload(intent: str, entities: Sequence[Any], project: Project) -> str:
    """`/intent{"entity": "value"}`; an example of a retrieval intent, because Rasa has no payload for its answers."""
    if "/" in intent:
        return next((example.text for example in project.data.examples if example.intent == intent), "/" + intent)
    values: dict[str, Any] = {}
    for entity in entities:
        name = entity["entity"]
        value = entity.get("value")
        if value in (None, ""):
            value = next(iter(values_of(name, project)), "something")
        earlier = values.get(name)
        if earlier is None:
            values[name] = value
        else:
            values[name] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
    return f"/{intent}{orjson.dumps(values).decode() if values else ''}"


def values_of(entity: str, project: Project) -> list[Any]:
    """What the examples say for an entity, each once."""
    return list(
        dict.fromkeys(
            str(one.value) for example in project.data.examples for one in example.entities if one.entity == entity
        )
    )


# ---- answering a form ----


def answer(slot: SlotSpec, loop: str, again: int, project: Project) -> str | None:
    """A payload that fills the slot while the form asks for it; another one each time it is asked `again`."""
    for mapping in slot.mappings:
        loops = [condition.active_loop for condition in mapping.conditions]
        if loops and loop not in loops:
            continue
        match mapping.type:
            case "from_intent" | "from_trigger_intent" if mapping.intent:
                return f"/{mapping.intent[again % len(mapping.intent)]}"
            case "from_entity" if mapping.entity:
                values = [*slot.values, *values_of(mapping.entity, project)] or _plain_values(slot)
                intent = _intent(mapping.intent, mapping.not_intent, mapping.entity, loop, project)
                return payload(intent, [{"entity": mapping.entity, "value": values[again % len(values)]}], project)
            case "from_text":
                return "/" + _intent(mapping.intent, mapping.not_intent, None, loop, project)
            case _:
                pass
    return None


def _plain_values(slot: SlotSpec) -> list[Any]:
    match slot.type:
        case "bool":
            return [True]
        case "float":
            return [1, slot.max_value]
        case _:
            return ["something"]


def _intent(allowed: Sequence[str], refused: Sequence[str], entity: str | None, loop: str, project: Project) -> str:
    """An intent that may carry the answer: one whose examples have the entity, if there is one."""
    if allowed:
        return allowed[0]
    taken = {*refused, *project.domain.forms[loop].ignored_intents, *_started_by_rules(project)}
    with_entity = [
        example.intent
        for example in project.data.examples
        if entity and any(one.entity == entity for one in example.entities)
    ]
    for name in (*with_entity, *project.domain.intents):
        if name and "/" not in name and name not in taken:
            return name
    return with_entity[0] if with_entity else next(iter(project.domain.intents), "nlu_fallback")


def _started_by_rules(project: Project) -> set[str]:
    """Intents that a rule answers: these would interrupt the form."""
    return {step.intent for rule in project.rules for step in rule.steps if isinstance(step, UserStep) and step.intent}
