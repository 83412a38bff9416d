"""Reads the test files of a project: NLU examples, test stories, conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.domain import Domain
from bot.errors import Source
from bot.evaluation.conversations import STEP_KEYS, Check, Conversation
from bot.nlu_file import NluReader
from bot.project import Project
from bot.story_file import read_stories
from bot.training_data import Example, Story
from bot.validation import check_dialogues, check_examples, known_actions
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, plain, read_yaml, shown


@dataclass(frozen=True, slots=True)
class Tests:
    """All tests of a project. Examples are (intent and entities expected) messages that were held out."""

    examples: tuple[Example, ...]
    stories: tuple[Story, ...]
    conversations: tuple[Conversation, ...]


def read_tests(project: Project, files: Sequence[Path] | None = None) -> Tests:
    """The project's test files, or `files` in their place; all mistakes in them at once, as `ProjectErrors`."""
    problems = Problems(strict=project.config.packs is not None)
    nlu = NluReader(problems)
    stories: list[Story] = []
    conversations: list[Conversation] = []
    for file in project.tests if files is None else files:
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
