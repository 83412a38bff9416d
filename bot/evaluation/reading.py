"""Reads the test files of a project: NLU examples, test stories, conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import Source
from bot.evaluation.conversation_file import ConversationReader
from bot.evaluation.conversations import Conversation
from bot.evaluation.rasa_cases import CaseReader
from bot.nlu_file import NluReader
from bot.project import Project
from bot.story_file import read_stories
from bot.training_data import Example, Story
from bot.validation import check_dialogues, check_examples
from bot.yaml_file import Fields, Problems, read_yaml, shown

_KEYS = (
    *("version", "nlu", "stories", "conversations", "setup", "stubs", "fixtures"),
    *("test_cases", "metadata", "stub_custom_actions"),
)


@dataclass(frozen=True, slots=True)
class Tests:
    """All tests of a project. Examples are messages with the intent and the entities that are expected.

    `learnt` when these are the examples that the model was trained on, for want of others.
    """

    examples: tuple[Example, ...]
    stories: tuple[Story, ...]
    conversations: tuple[Conversation, ...]
    learnt: bool = False


def read_tests(project: Project, files: Sequence[Path] | None = None) -> Tests:
    """The project's test files, or `files` in their place; all mistakes in them at once, as `ProjectErrors`."""
    problems = Problems(strict=project.config.packs is not None)
    nlu = NluReader(problems)
    stories: list[Story] = []
    conversations: list[Conversation] = []
    for file in project.tests if files is None else files:
        content = read_yaml(file, problems)
        fields = Fields(content, Source(shown(file), 1), f"the file '{file.name}'", problems, _KEYS)
        nlu.read(fields.data.get("nlu"), fields.source("nlu"))
        stories += read_stories(fields.data.get("stories"), fields.source("stories"), problems)
        conversations += ConversationReader(fields, project.domain, problems).read()
        conversations += CaseReader(fields, project.domain, problems).read()
    check_dialogues(stories, project.domain, problems)
    check_examples(nlu.examples, project.domain, problems)
    problems.raise_errors()
    return Tests(tuple(nlu.examples), tuple(stories), tuple(conversations))
