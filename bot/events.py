"""Events: all that ever happens in a conversation, with Rasa's names and Rasa's JSON.

`event_to_json` and `event_from_json` are the wire format; the tracker is a fold over these values.
Source: https://rasa.com/docs/rasa/action-server/events
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from bot.errors import DataError, UnknownName
from bot.messages import EMPTY, BotMessage, Entity, Intent

EXTERNAL_PREFIX = "EXTERNAL: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, in seconds since 1970. `kind` is its name on the wire."""

    kind: ClassVar[str] = ""
    timestamp: float = field(default_factory=time.time, compare=False)
    metadata: Mapping[str, Any] = field(default=EMPTY, compare=False)


@dataclass(frozen=True, slots=True)
class UserUttered(Event):
    """The customer said something; `parse_data` is Rasa's parse result."""

    kind: ClassVar[str] = "user"
    text: str | None = None
    parse_data: Mapping[str, Any] = EMPTY
    input_channel: str | None = None
    message_id: str | None = None

    @property
    def intent(self) -> Intent:
        intent = self.parse_data.get("intent") or {}
        return Intent(intent.get("name"), intent.get("confidence") or 0.0)

    @property
    def intent_name(self) -> str | None:
        name: str | None = (self.parse_data.get("intent") or {}).get("name")
        return name

    @property
    def full_intent_name(self) -> str | None:
        """`faq/ask_name` for a retrieval intent whose response was selected, else the intent."""
        name = self.intent_name
        selector = self.parse_data.get("response_selector")
        if not selector or name not in (selector.get("all_retrieval_intents") or ()):
            return name
        chosen = selector.get(name) or selector.get("default") or {}
        key: str | None = (chosen.get("response") or {}).get("intent_response_key")
        return key or name

    @property
    def entities(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.parse_data.get("entities") or []
        return found

    @property
    def is_external(self) -> bool:
        """Nobody said it: a reminder or an API caller let it happen."""
        return bool(self.metadata.get("is_external"))

    @staticmethod
    def external(
        intent: str,
        entities: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
        input_channel: str | None,
        metadata: Mapping[str, Any] = EMPTY,
    ) -> UserUttered:
        """What happens as if the customer had said something with this intent; entities may be values by name."""
        if isinstance(entities, Mapping):
            entities = [{"entity": name, "value": value} for name, value in entities.items()]
        text = f"{EXTERNAL_PREFIX}{intent}"
        return UserUttered(
            text=text,
            parse_data={
                "text": text,
                "intent": {"name": intent},
                "entities": [dict(entity) for entity in entities or ()],
            },
            input_channel=input_channel,
            metadata={"is_external": True, **metadata},
        )


@dataclass(frozen=True, slots=True)
class BotUttered(Event):
    """The bot said something; `data` has Rasa's keys (buttons, image, custom, …)."""

    kind: ClassVar[str] = "bot"
    text: str | None = None
    data: Mapping[str, Any] = EMPTY

    @staticmethod
    def of(message: BotMessage, timestamp: float | None = None) -> BotUttered:
        data: dict[str, Any] = {
            "elements": [dict(element) for element in message.elements] or None,
            "quick_replies": [dict(reply) for reply in message.quick_replies] or None,
            "buttons": [dict(button) for button in message.buttons] or None,
            # As in Rasa, where clients may look for a picture in either place.
            "attachment": message.attachment or message.image,
            "image": message.image,
            "custom": dict(message.custom) or None,
        }
        return BotUttered(
            text=message.text,
            data=data,
            metadata=message.metadata,
            timestamp=time.time() if timestamp is None else timestamp,
        )

    @property
    def message(self) -> BotMessage:
        """The same as a message for a channel."""
        data = self.data
        return BotMessage(
            text=self.text,
            buttons=tuple(data.get("buttons") or ()),
            image=data.get("image"),
            attachment=data.get("attachment") if data.get("attachment") != data.get("image") else None,
            elements=tuple(data.get("elements") or ()),
            custom=data.get("custom") or EMPTY,
            quick_replies=tuple(data.get("quick_replies") or ()),
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class ActionExecuted(Event):
    """An action has run (or the bot listens: `action_listen`)."""

    kind: ClassVar[str] = "action"
    name: str | None = None
    policy: str | None = None
    confidence: float | None = None
    action_text: str | None = None
    hide_rule_turn: bool = False


@dataclass(frozen=True, slots=True)
class SlotSet(Event):
    """A slot has this value from now on (None: unset)."""

    kind: ClassVar[str] = "slot"
    name: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class EntitiesAdded(Event):
    """Entities joined the latest message afterwards."""

    kind: ClassVar[str] = "entities"
    entities: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveLoopChanged(Event):
    """A form was entered, or (None) left."""

    kind: ClassVar[str] = "active_loop"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class LoopInterrupted(Event):
    """Something else than the form answered this turn (or no longer does)."""

    kind: ClassVar[str] = "loop_interrupted"
    is_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ActionExecutionRejected(Event):
    """An action declined to run."""

    kind: ClassVar[str] = "action_execution_rejected"
    name: str = ""
    policy: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ReminderScheduled(Event):
    """An intent to be triggered at `date_time` (ISO 8601); with `scheduled_action` in its metadata, an action."""

    kind: ClassVar[str] = "reminder"
    intent: str = ""
    date_time: str = ""
    entities: Any = None
    name: str | None = None
    kill_on_user_msg: bool = True

    @staticmethod
    def of_action(action: str, date_time: str, name: str | None = None) -> ReminderScheduled:
        """A message of the bot's own: the action or response runs then, whatever the customer says before."""
        return ReminderScheduled(
            intent=action,
            date_time=date_time,
            name=name,
            kill_on_user_msg=False,
            metadata={"scheduled_action": action},
        )

    @property
    def key(self) -> str:
        """Its name; for one without, a name that is the same whenever the event is read."""
        if self.name:
            return _storable(self.name)
        parts = [self.timestamp, self.intent, self.date_time, self.entities]
        text = json.dumps(parts, ensure_ascii=False, default=_as_json)
        return hashlib.sha256(_storable(text).encode()).hexdigest()[:32]

    @property
    def due(self) -> float:
        """`date_time` as `seconds` reads it."""
        return seconds(self.date_time)

    @property
    def action(self) -> str | None:
        """What runs when it is a scheduled message; None for a reminder."""
        action = self.metadata.get("scheduled_action")
        return action if isinstance(action, str) else None


@dataclass(frozen=True, slots=True)
class ReminderCancelled(Event):
    """Reminders with this name, intent and entities (those given) are dropped."""

    kind: ClassVar[str] = "cancel_reminder"
    name: str | None = None
    intent: str | None = None
    entities: Any = None

    def cancels(self, reminder: ReminderScheduled) -> bool:
        """Whether all that is given matches; a scheduled message is cancelled by its name alone."""
        if reminder.action:
            return self.name == reminder.key
        return (
            (not self.name or self.name == reminder.key)
            and (not self.intent or self.intent == reminder.intent)
            and (not self.entities or self.entities == reminder.entities)
        )


@dataclass(frozen=True, slots=True)
class FollowupAction(Event):
    """The next action is this one, whatever the policies think."""

    kind: ClassVar[str] = "followup"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Restarted(Event):
    """The conversation begins anew; slots are empty."""

    kind: ClassVar[str] = "restart"


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """A new session of the same conversation."""

    kind: ClassVar[str] = "session_started"


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """The session is over (rasa-sdk 3.16 and later)."""

    kind: ClassVar[str] = "session_ended"


@dataclass(frozen=True, slots=True)
class UserUtteranceReverted(Event):
    """As if the customer had not sent the latest message."""

    kind: ClassVar[str] = "rewind"


@dataclass(frozen=True, slots=True)
class ActionReverted(Event):
    """As if the latest action had not run."""

    kind: ClassVar[str] = "undo"


@dataclass(frozen=True, slots=True)
class AllSlotsReset(Event):
    """All slots take their initial values."""

    kind: ClassVar[str] = "reset_slots"


@dataclass(frozen=True, slots=True)
class ConversationPaused(Event):
    """The bot keeps quiet: a human agent has the conversation."""

    kind: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True)
class ConversationResumed(Event):
    """The bot answers again."""

    kind: ClassVar[str] = "resume"


@dataclass(frozen=True, slots=True)
class StoryExported(Event):
    """Kept for Rasa's sake; changes nothing."""

    kind: ClassVar[str] = "export"
    path: str | None = None


@dataclass(frozen=True, slots=True)
class AgentUttered(Event):
    """A human agent said something."""

    kind: ClassVar[str] = "agent"
    text: str | None = None
    data: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, slots=True)
class IdentityChanged(Event):
    """The customer's conversations on other channels: `change` and its `data` are told in bot/identity.py."""

    kind: ClassVar[str] = "identity"
    change: str = ""
    data: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, slots=True)
class DefinePrevUserUtteredFeaturization(Event):
    """Kept for Rasa's sake: whether the latest message was read as text (end-to-end)."""

    kind: ClassVar[str] = "user_featurization"
    use_text_for_featurization: bool = False


_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        UserUttered,
        BotUttered,
        ActionExecuted,
        SlotSet,
        EntitiesAdded,
        ActiveLoopChanged,
        LoopInterrupted,
        ActionExecutionRejected,
        ReminderScheduled,
        ReminderCancelled,
        FollowupAction,
        Restarted,
        SessionStarted,
        SessionEnded,
        UserUtteranceReverted,
        ActionReverted,
        AllSlotsReset,
        ConversationPaused,
        ConversationResumed,
        StoryExported,
        AgentUttered,
        IdentityChanged,
        DefinePrevUserUtteredFeaturization,
    )
}


@dataclass(frozen=True, slots=True)
class UnknownEvent(Event):
    """An event that a later Frontdesk stored: kept as it is, and without effect."""

    kind: ClassVar[str] = "unknown"
    data: Mapping[str, Any] = EMPTY


# Rasa 2's names of the same events.
_LEGACY = {"form": "active_loop", "form_validation": "loop_interrupted"}
_FIELDS: dict[str, tuple[str, ...]] = {
    kind: tuple(f.name for f in dataclasses.fields(cls) if f.name not in ("timestamp", "metadata"))
    for kind, cls in _KINDS.items()
}


_JSON_TYPES = (str, type(None), float, bool, int, list)


def event_to_json(event: Event) -> dict[str, Any]:
    """The wire format of Rasa."""
    if isinstance(event, UnknownEvent):
        return dict(event.data)
    out: dict[str, Any] = {"event": event.kind, "timestamp": event.timestamp}
    if event.metadata:
        out["metadata"] = dict(event.metadata)
    for name in _FIELDS[event.kind]:
        value = getattr(event, name)
        if not (name == "hide_rule_turn" and value is False):
            out[name] = value if type(value) in _JSON_TYPES else _as_json(value)
    return out


def _storable(text: str) -> str:
    """As a store gives it back: without half characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def event_from_json(data: Mapping[str, Any], *, keep_unknown: bool = False) -> Event:
    """Read one event; a missing timestamp is now. A wrong shape is a `DataError`.

    So is an unknown kind, unless those are kept: then it is an `UnknownEvent` if it has a time at least.
    """
    if not isinstance(data, Mapping):
        raise DataError(f"an event must be an object, not {type(data).__name__}")
    given = str(data.get("event", ""))
    kind = _LEGACY.get(given, given)
    cls = _KINDS.get(kind)
    if cls is None:
        if keep_unknown and given and isinstance(data.get("timestamp"), float | int):
            return UnknownEvent(timestamp=float(data["timestamp"]), data=dict(data))
        raise UnknownName("event", given, _KINDS)
    values: dict[str, Any] = {name: data[name] for name in _FIELDS[kind] if name in data}
    if given == "form_validation":
        values = {"is_interrupted": not data.get("validate", True)}
    if kind == "entities":
        values["entities"] = tuple(values.get("entities") or ())
    for name in ("parse_data", "data"):
        if name in values and values[name] is None:
            values[name] = EMPTY
    if kind in ("slot", "action_execution_rejected", "followup", "reminder"):
        name = "intent" if kind == "reminder" else "name"
        if not isinstance(values.get(name), str) or not values[name]:
            raise DataError(f"event '{given}' needs a '{name}'")
    if data.get("timestamp") is not None:
        values["timestamp"] = float(data["timestamp"])
    if data.get("metadata"):
        values["metadata"] = data["metadata"]
    return cls(**values)


def seconds(date_time: str) -> float:
    """A time as ISO 8601 writes it, in seconds since 1970; `DataError` when it is none.

    Without a zone it is this machine's time, as in Rasa.
    """
    try:
        return datetime.fromisoformat(date_time).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise DataError("a 'date_time' must be an ISO 8601 time, such as 2030-12-31T09:00:00+01:00") from error


def entities_of(event: UserUttered) -> tuple[Entity, ...]:
    """The entities of a message as values."""
    return tuple(Entity.from_json(entity) for entity in event.entities)
