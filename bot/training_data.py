"""Training data as values: examples for understanding, stories and rules for the dialogue.

Each remembers where it was written, so that every error can say file and line. The readers of the
file formats are `bot/nlu_file.py` and `bot/story_file.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain import NOWHERE
from bot.errors import Source
from bot.messages import EMPTY, Entity


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence with its intent and its entities; `intent` of a retrieval example is `faq/ask_name`."""

    text: str
    intent: str
    entities: tuple[Entity, ...] = ()
    metadata: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression (`regex:`) under its name, which is an entity's name when it extracts one."""

    name: str
    pattern: str
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Lookup:
    """A list of words (`lookup:`) that are values of the entity it is named after."""

    name: str
    values: tuple[str, ...]
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that understanding learns from. `synonyms` maps a spelling to its value."""

    examples: tuple[Example, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[Pattern, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    responses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Retrieval intents: `faq/ask_name` to the texts of its `utter_faq/ask_name`."""

    @property
    def intents(self) -> list[str]:
        """The intents that a classifier learns (the part before `/` of a retrieval intent), sorted."""
        return sorted({example.intent.split("/")[0] for example in self.examples if example.intent})


@dataclass(frozen=True, slots=True)
class UserStep:
    """`- intent:` or `- user:`; `text` is set for an end-to-end step. `intent` may be `faq/ask_name`."""

    intent: str | None
    entities: tuple[Entity, ...] = ()
    text: str | None = None
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class OrStep:
    """`- or:`: any one of these."""

    choices: tuple[UserStep | SlotStep, ...]
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class ActionStep:
    """`- action:` by name, or `- bot:` by text. `opens` when a story begins with it: nobody can tell what led there."""

    name: str | None
    text: str | None = None
    source: Source = NOWHERE
    opens: bool = False


@dataclass(frozen=True, slots=True)
class SlotStep:
    """`- slot_was_set:` one slot. `any_value` when the file names the slot without a value."""

    name: str
    value: Any = None
    any_value: bool = False
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class LoopStep:
    """`- active_loop: name`, or `null` when a loop ended."""

    name: str | None
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class CheckpointStep:
    """`- checkpoint:` with the slots that must be set."""

    name: str
    slots: tuple[SlotStep, ...] = ()
    source: Source = NOWHERE


Step = UserStep | OrStep | ActionStep | SlotStep | LoopStep | CheckpointStep


@dataclass(frozen=True, slots=True)
class Story:
    """A dialogue that may go on like this."""

    name: str
    steps: tuple[Step, ...]
    metadata: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Rule:
    """A piece of dialogue that always goes like this when its `condition` holds."""

    name: str
    steps: tuple[Step, ...]
    condition: tuple[SlotStep | LoopStep, ...] = ()
    conversation_start: bool = False
    wait_for_user_input: bool = True
    metadata: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE
