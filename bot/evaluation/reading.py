"""Reads the test files of a project: NLU examples, test stories, conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.domain import Domain
from bot.errors import ConfigError, DataError, Source, suggest
from bot.evaluation.conversation_file import ConversationReader
from bot.evaluation.conversations import Conversation
from bot.evaluation.rasa_cases import CaseReader
from bot.nlu_file import NluReader
from bot.project import Project, files_in
from bot.story_file import read_stories
from bot.training_data import Example, SlotStep, Step, Story
from bot.training_files import read_nlu_files
from bot.validation import check_dialogues, check_examples
from bot.yaml_file import Fields, Problems, YamlMap, read_yaml, shown

_KEYS = (
    *("version", "nlu", "stories", "conversations", "setup", "stubs", "fixtures"),
    *("test_cases", "metadata", "stub_custom_actions"),
)

_TESTS = ("nlu", "stories", "conversations", "test_cases")


@dataclass(frozen=True, slots=True)
class Tests:
    """All tests of a project. Examples are messages with the intent and the entities that are expected.

    `learnt` when these are the examples that the model was trained on, for want of others; `warnings` is what is
    odd in the files.
    """

    examples: tuple[Example, ...]
    stories: tuple[Story, ...]
    conversations: tuple[Conversation, ...]
    learnt: bool = False
    warnings: tuple[DataError | ConfigError, ...] = ()

    def __str__(self) -> str:
        """How many of what, and of which files."""
        parts = (("message", self.examples), ("story", self.stories), ("conversation", self.conversations))
        counts = [f"{len(part)} {plural(word, len(part))}" for word, part in parts if part]
        files = dict.fromkeys(one.source.file for _, part in parts for one in part)
        shown_files = [*files][:MOST_FILES] + (["…"] if len(files) > MOST_FILES else [])
        return f"{', '.join(counts) or 'nothing'}{' of ' if files else ''}{', '.join(shown_files)}"


MOST_FILES = 6
"""How many are named."""


def plural(word: str, number: int) -> str:
    if number == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def choose_tests(
    project: Project,
    what: str | None,
    nlu: Path | None = None,
    stories: Path | None = None,
    name: str | None = None,
) -> Tests:
    """The tests for `frontdesk test`: those in the project's tests/, or in the files or folders named.

    `name` is a part of the names of the stories and conversations that are wanted; messages have none.
    Rasa takes the training examples where there are no others, and so do we in a project of its layout, or when
    understanding alone is asked for.
    """
    found = read_tests(project)
    examples, dialogues = found.examples, found
    if what in ("core", "e2e") or name is not None:
        examples = ()
    elif nlu is not None:
        examples = read_nlu_files(nlu, project.config.languages[0]).data.examples
    elif not examples and (what == "nlu" or (what is None and project.config.packs is None)):
        examples = project.data.examples
    if what == "nlu":
        dialogues = Tests((), (), ())
    elif stories is not None:
        if not stories.exists():
            raise ConfigError(f"there is no file or folder '{shown(stories)}'")
        files = [stories] if stories.is_file() else files_in(stories, (".yml", ".yaml"))
        dialogues = read_tests(project, files, loose=True)
    learnt = {(example.text, example.intent) for example in project.data.examples}
    known = bool(examples) and all((example.text, example.intent) in learnt for example in examples)
    chosen = [story for story in dialogues.stories if what != "e2e" and (name or "") in story.name]
    talks = tuple(talk for talk in dialogues.conversations if (name or "") in talk.name)
    if name is not None and not chosen and not talks:
        raise ConfigError(f"no story and no conversation has '{name}' in its name")
    return Tests(tuple(examples), tuple(chosen), talks, known, dialogues.warnings)


def read_tests(project: Project, files: Sequence[Path] | None = None, *, loose: bool = False) -> Tests:
    """The project's test files, or `files` in their place; all mistakes in them at once, as `ProjectErrors`.

    With `loose` a file may hold other things as well: rules, the domain.
    """
    problems = Problems(strict=project.config.packs is not None)
    nlu = NluReader(problems)
    stories: list[Story] = []
    conversations: list[Conversation] = []
    for file in project.tests if files is None else files:
        content = read_yaml(file, problems)
        if not problems.strict and not (isinstance(content, YamlMap) and any(key in content for key in _TESTS)):
            # As in Rasa, whose tests/ may hold anything.
            continue
        known = None if loose else _KEYS
        fields = Fields(content, Source(shown(file), 1), f"the file '{file.name}'", problems, known)
        nlu.read(fields.data.get("nlu"), fields.source("nlu"))
        stories += read_stories(fields.data.get("stories"), fields.source("stories"), problems)
        conversations += ConversationReader(fields, project.domain, problems).read()
        conversations += CaseReader(fields, project.domain, problems).read()
    stories = [_with_known_slots(story, project.domain, problems) for story in stories]
    check_dialogues(stories, project.domain, problems)
    check_examples(nlu.examples, project.domain, problems)
    problems.raise_errors()
    return Tests(tuple(nlu.examples), tuple(stories), tuple(conversations), warnings=tuple(problems.warnings))


def _with_known_slots(story: Story, domain: Domain, problems: Problems) -> Story:
    """Rasa passes over a slot that the domain does not have in a test story, though not in a story to learn from."""
    if problems.strict:
        return story
    known: list[Step] = []
    for step in story.steps:
        if isinstance(step, SlotStep) and step.name not in domain.slots:
            hint = suggest(step.name, domain.slots)
            message = (
                f"the test story '{story.name}' sets the slot '{step.name}', which the domain does not have.{hint}"
            )
            problems.warn(message, step.source)
        else:
            known.append(step)
    return replace(story, steps=tuple(known))
