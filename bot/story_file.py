"""Reads `stories:` and `rules:` in Rasa's YAML.

Source: https://rasa.com/docs/rasa/training-data-format#conversation-training-data
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.errors import Source
from bot.messages import Entity
from bot.nlu_file import read_annotations
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
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain

# The keys of a step, by the one that says what kind of step it is.
_STEPS: dict[str, tuple[str, ...]] = {
    "intent": ("intent", "user", "entities"),
    "user": ("intent", "user", "entities"),
    "or": ("or",),
    "action": ("action",),
    "bot": ("bot",),
    "checkpoint": ("checkpoint", "slot_was_set"),
    "slot_was_set": ("slot_was_set",),
    "active_loop": ("active_loop",),
}
_RULE_KEYS = ("rule", "steps", "condition", "conversation_start", "wait_for_user_input", "metadata")


def read_stories(section: Any, source: Source, problems: Problems) -> list[Story]:
    """The value of a file's `stories:` key."""
    stories = []
    for fields in _items(section, source, "story", "stories", ("story", "steps", "metadata"), problems):
        name = fields.text("story") or ""
        steps = tuple(_steps(fields.sequence("steps"), problems))
        stories.append(Story(name, steps, plain(fields.mapping("metadata")), fields.place))
    return stories


def read_rules(section: Any, source: Source, problems: Problems) -> list[Rule]:
    """The value of a file's `rules:` key."""
    rules = []
    for fields in _items(section, source, "rule", "rules", _RULE_KEYS, problems):
        conditions = tuple(_steps(fields.sequence("condition"), problems))
        for step in conditions:
            if not isinstance(step, SlotStep | LoopStep):
                problems.add("a rule's condition is made of 'slot_was_set' and 'active_loop'", step.source)
        rules.append(
            Rule(
                name=fields.text("rule") or "",
                steps=tuple(_steps(fields.sequence("steps"), problems)),
                condition=tuple(step for step in conditions if isinstance(step, SlotStep | LoopStep)),
                conversation_start=fields.flag("conversation_start", False),
                wait_for_user_input=fields.flag("wait_for_user_input", True),
                metadata=plain(fields.mapping("metadata")),
                source=fields.place,
            )
        )
    return rules


def _items(
    section: Any, source: Source, kind: str, key: str, known: tuple[str, ...], problems: Problems
) -> Iterator[Fields]:
    if section is None:
        return
    if not isinstance(section, YamlList):
        problems.add(f"'{key}' must be a list, not {kind_of(section)}", source)
        return
    for item, place in zip(section, section.sources, strict=True):
        name = item.get(kind) if isinstance(item, YamlMap) else None
        fields = Fields(item, place, f"{kind} '{name}'" if name else f"this {kind}", problems, known)
        if not fields.data:
            continue
        if not name:
            problems.doubt(f"the {kind} has no name: begin it with `- {kind}: …`", place)
        if not fields.sequence("steps") and not (
            "steps" in fields.data and not isinstance(fields.data["steps"], YamlList | None)
        ):
            problems.doubt(f"{fields.what} has no steps", place)
        yield fields


def _steps(items: YamlList, problems: Problems) -> Iterator[Step]:
    for item, source in zip(items, items.sources, strict=True):
        yield from _step(item, source, problems)


def _step(item: Any, source: Source, problems: Problems) -> Iterator[Step]:
    kind = next((key for key in _STEPS if isinstance(item, YamlMap) and key in item), None)
    if kind is None:
        named = next(iter(item), None) if isinstance(item, YamlMap) else None
        if named is None:
            problems.add(f"a step must be like `- intent: greet`, not {kind_of(item)}", source)
        else:
            problems.unknown("kind of step", named, tuple(_STEPS), source)
        return
    fields = Fields(item, source, "this step", problems, _STEPS[kind])
    match kind:
        case "intent" | "user":
            step = _user_step(fields, problems)
            if step:
                yield step
        case "or":
            choices = tuple(_choices(fields, problems))
            if choices:
                yield OrStep(choices, source)
        case "action":
            name = fields.text("action")
            if name:
                yield ActionStep(name, source=source)
            elif fields.data["action"] is None or fields.data["action"] == "":
                problems.doubt("the action of this step has no name", source)
        case "bot":
            text = fields.text("bot")
            if text:
                yield ActionStep(None, text.strip(), source)
        case "checkpoint":
            checkpoint = fields.text("checkpoint")
            if checkpoint:
                yield CheckpointStep(checkpoint, tuple(_slots(fields, problems)), source)
        case "slot_was_set":
            yield from _slots(fields, problems)
        case _:
            if fields.data["active_loop"] is None or isinstance(fields.data["active_loop"], str):
                yield LoopStep(fields.data["active_loop"], source)
            else:
                fields.wrong("active_loop", "a form's name or null")


def _user_step(fields: Fields, problems: Problems) -> UserStep | None:
    intent, text = fields.text("intent"), fields.text("user")
    if not intent and text is None:
        if not isinstance(fields.data.get("intent"), YamlList | YamlMap):
            problems.doubt("the intent of this step has no name", fields.place)
        return None
    if intent and intent.startswith("/"):
        problems.warn(f"the intent '{intent}' needs no '/'", fields.source("intent"))
    entities = list(_entities(fields, problems))
    words: str | None = None
    if text is not None:
        words, annotated = read_annotations(text.strip(), fields.source("user"), problems)
        entities = [*annotated] or entities
    return UserStep(intent.strip().removeprefix("/") if intent else None, tuple(entities), words, fields.place)


def _entities(fields: Fields, problems: Problems) -> Iterator[Entity]:
    items = fields.sequence("entities")
    for item, source in zip(items, items.sources, strict=True):
        if isinstance(item, str):
            yield Entity(item, "")
            continue
        names = [key for key in item if key not in ("role", "group")] if isinstance(item, YamlMap) else []
        if len(names) != 1:
            problems.add("an entity is written `- city: Rome`, with `role:` and `group:` where it has them", source)
            continue
        yield Entity(names[0], item[names[0]], role=item.get("role"), group=item.get("group"))


def _choices(fields: Fields, problems: Problems) -> Iterator[UserStep | SlotStep]:
    items = fields.sequence("or")
    for item, source in zip(items, items.sources, strict=True):
        for step in _step(item, source, problems):
            if isinstance(step, UserStep | SlotStep):
                yield step
            else:
                problems.add("`or` chooses among messages of the customer and slots: 'intent', 'slot_was_set'", source)


def _slots(fields: Fields, problems: Problems) -> Iterator[SlotStep]:
    given = fields.data.get("slot_was_set")
    if isinstance(given, YamlMap):
        # `slot_was_set: {a: 1}`, the list's dashes left out.
        for name, value in given.items():
            yield SlotStep(name, plain(value), source=given.sources[name])
        return
    items = fields.sequence("slot_was_set")
    for item, source in zip(items, items.sources, strict=True):
        if isinstance(item, str):
            yield SlotStep(item, any_value=True, source=source)
        elif isinstance(item, YamlMap):
            for name, value in item.items():
                yield SlotStep(name, plain(value), source=item.sources[name])
        else:
            problems.add(f"a slot is written `- amount: 5` or `- amount`, not as {kind_of(item)}", source)
