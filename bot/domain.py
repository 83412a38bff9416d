"""A project's domain as data: intents, entities, slots, responses, forms, actions, session.

Reading it from YAML, merging several and checking them are functions in `bot/domain_file.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.errors import Source
from bot.messages import EMPTY, BotMessage

NOWHERE = Source("(built in)")

DEFAULT_INTENTS = ("restart", "back", "out_of_scope", "session_start", "nlu_fallback")
DEFAULT_ACTIONS = (
    "action_listen",
    "action_restart",
    "action_session_start",
    "action_default_fallback",
    "action_deactivate_loop",
    "action_revert_fallback_events",
    "action_default_ask_affirmation",
    "action_default_ask_rephrase",
    "action_two_stage_fallback",
    "action_unlikely_intent",
    "action_back",
    "...",
    "action_extract_slots",
    "action_validate_slot_mappings",
)
OWN_ACTIONS = ("action_join_code", "action_leave")
"""Those that every bot has and Rasa's do not."""
REQUESTED_SLOT = "requested_slot"


@dataclass(frozen=True, slots=True)
class IntentSpec:
    """An intent and which entities count for the policies when it is heard.

    Without `use_entities` all do, and without `ignore_entities` those are left out that influence nothing.
    """

    name: str
    use_entities: tuple[str, ...] | None = None
    ignore_entities: tuple[str, ...] | None = None
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """An entity with the roles and groups it may carry."""

    name: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    influence_conversation: bool = True
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class MappingCondition:
    """A mapping holds only while `active_loop` runs (None: while none does) and asks for `requested_slot`."""

    active_loop: str | None
    requested_slot: str | None = None


@dataclass(frozen=True, slots=True)
class SlotMapping:
    """How a slot is filled: `type` is from_entity, from_text, from_intent, from_trigger_intent or custom.

    `intent` and `not_intent` are empty when any intent will do; `value` is what from_intent sets.
    """

    type: str
    entity: str | None = None
    role: str | None = None
    group: str | None = None
    intent: tuple[str, ...] = ()
    not_intent: tuple[str, ...] = ()
    value: Any = None
    action: str | None = None
    conditions: tuple[MappingCondition, ...] = ()
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A slot. `type` is text, bool, categorical, float, list, any or `module.Class` of a custom one."""

    name: str
    type: str = "any"
    influence_conversation: bool = True
    initial_value: Any = None
    values: tuple[Any, ...] = ()
    min_value: float = 0.0
    max_value: float = 1.0
    mappings: tuple[SlotMapping, ...] = ()
    sensitive: bool = False
    """A value counts only on channels as trusted as the one on which it was given."""
    options: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class FormSpec:
    """A form: the slots it asks for, in order, and the intents that fill none of them."""

    name: str
    required_slots: tuple[str, ...] = ()
    ignored_intents: tuple[str, ...] = ()
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class SlotCondition:
    """A condition of a response: the slot has this value."""

    slot: str
    value: Any


@dataclass(frozen=True, slots=True)
class Response:
    """One variation of a response. `translation` holds the same message in other languages, by code."""

    message: BotMessage
    channel: str | None = None
    conditions: tuple[SlotCondition, ...] = ()
    id: str | None = None
    translation: Mapping[str, BotMessage] = EMPTY
    metadata: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """When a conversation starts afresh: after `expiration_minutes` of silence (0: never)."""

    expiration_minutes: float = 60.0
    carry_over_slots: bool = True
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Domain:
    """All of it. `actions` are the project's own names, in the order of the files."""

    intents: Mapping[str, IntentSpec] = field(default_factory=dict)
    entities: Mapping[str, EntitySpec] = field(default_factory=dict)
    slots: Mapping[str, SlotSpec] = field(default_factory=dict)
    responses: Mapping[str, tuple[Response, ...]] = field(default_factory=dict)
    forms: Mapping[str, FormSpec] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    action_texts: tuple[str, ...] = ()
    """What the bot says in end-to-end stories (`- bot: …`), each an action of its own."""
    session: SessionConfig = SessionConfig()
    store_entities_as_slots: bool = True
    action_sources: Mapping[str, Source] = EMPTY
    raw: Mapping[str, Any] = EMPTY
    """The domain as Rasa's JSON: what a custom action receives."""


def is_loop(name: str, domain: Domain) -> bool:
    """Whether a loop of this name can run: a form, or the two-stage fallback."""
    return name in domain.forms or name == "action_two_stage_fallback"
