"""What goes in and out of a turn: one customer message, several bot messages, and what was understood."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class _Empty(Mapping[str, Any]):
    """A mapping without keys that cannot change; hashable, as Python 3.11 asks of a field's default."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"


EMPTY: Mapping[str, Any] = _Empty()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a customer sent: `kind` is image, audio, video or file; `url` where it can be fetched."""

    kind: str
    url: str
    name: str = ""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class UserMessage:
    """One message of a customer, as a channel hands it over.

    `text` is what a person typed and is never a command. `payload` (`/intent{"entity": "value"}`) is
    filled only from a button that we issued or by an authenticated API caller. `message_id` is the
    platform's own key: a second message with the same id is the same message. `timestamp` is in
    seconds since 1970. `kind` is "message", or what a timer brings: "reminder", "scheduled" (a message
    of the bot's own) or "session_end" (see `bot/reminders.py`), or what one conversation of a customer tells
    another (see `bot/joining.py`). `joined_to` is the conversation that takes the message in place of the
    one that it was written to.
    """

    text: str = ""
    sender_id: str = "default"
    channel: str = "rest"
    message_id: str = field(default_factory=lambda: secrets.token_hex(16))
    payload: str | None = None
    attachments: tuple[Attachment, ...] = ()
    language: str | None = None
    metadata: Mapping[str, Any] = EMPTY
    timestamp: float = field(default_factory=time.time)
    kind: str = "message"
    joined_to: str | None = None

    @property
    def conversation_id(self) -> str:
        """`channel:sender_id`, so that one number on two platforms is two conversations, until they are joined."""
        return self.joined_to or f"{self.channel}:{self.sender_id}"


@dataclass(frozen=True, slots=True)
class BotMessage:
    """One message of the bot. `buttons` are `{"title", "payload"}`; `custom` is a channel's own JSON."""

    text: str | None = None
    buttons: tuple[Mapping[str, Any], ...] = ()
    image: str | None = None
    attachment: Any = None
    elements: tuple[Mapping[str, Any], ...] = ()
    custom: Mapping[str, Any] = EMPTY
    quick_replies: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, slots=True)
class Token:
    """A word with its place in the text: characters `start` up to and without `end`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What the customer wants, and how sure we are of it (confidence 0…1)."""

    name: str | None
    confidence: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "confidence": self.confidence}


@dataclass(frozen=True, slots=True)
class Entity:
    """A value found in the text, at characters `start` up to and without `end`."""

    entity: str
    value: Any
    start: int = 0
    end: int = 0
    confidence: float | None = None
    role: str | None = None
    group: str | None = None
    extractor: str | None = None
    processors: tuple[str, ...] = ()
    additional_info: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Rasa's shape: optional keys are left out when they say nothing."""
        out: dict[str, Any] = {"entity": self.entity, "start": self.start, "end": self.end, "value": self.value}
        if self.confidence is not None:
            out["confidence_entity"] = self.confidence
        for key in ("role", "group", "extractor"):
            if getattr(self, key) is not None:
                out[key] = getattr(self, key)
        if self.processors:
            out["processors"] = list(self.processors)
        if self.additional_info:
            out["additional_info"] = dict(self.additional_info)
        return out

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Entity:
        """Read Rasa's shape; keys that are not there take their defaults."""
        return Entity(
            entity=data["entity"],
            value=data.get("value"),
            start=data.get("start") or 0,
            end=data.get("end") or 0,
            confidence=data.get("confidence_entity"),
            role=data.get("role"),
            group=data.get("group"),
            extractor=data.get("extractor"),
            processors=tuple(data.get("processors") or ()),
            additional_info=data.get("additional_info"),
        )


@dataclass(slots=True)
class Parse:
    """What a pipeline knows about one text; each component adds to it.

    `features` maps a featurizer's name to its feature of this text (see `bot/nlu/features.py`).
    `response_selector` has Rasa's shape.
    """

    text: str
    language: str | None = None
    tokens: list[Token] = field(default_factory=list)
    features: dict[str, Any] = field(default_factory=dict)
    intent: Intent = field(default_factory=lambda: Intent(None, 0.0))
    intent_ranking: list[Intent] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    response_selector: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Rasa's parse result (`/model/parse`, and `parse_data` of a `user` event)."""
        out: dict[str, Any] = {
            "text": self.text,
            "intent": self.intent.to_json(),
            "entities": [entity.to_json() for entity in self.entities],
            "intent_ranking": [intent.to_json() for intent in self.intent_ranking],
            "text_tokens": [[token.start, token.end] for token in self.tokens],
        }
        if self.response_selector:
            out["response_selector"] = self.response_selector
        if self.language:
            out["language"] = self.language
        return out
