"""The state of one conversation: a fold over its events. `apply` is the only place where it changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.domain import REQUESTED_SLOT, Domain
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    ActionReverted,
    ActiveLoopChanged,
    AllSlotsReset,
    BotUttered,
    ConversationPaused,
    ConversationResumed,
    EntitiesAdded,
    Event,
    FollowupAction,
    LoopInterrupted,
    Restarted,
    SessionStarted,
    SlotSet,
    UserUttered,
    UserUtteranceReverted,
    event_from_json,
    event_to_json,
)

LISTEN = "action_listen"
RECENT_EVENTS = 400
"""How many events of the present session a snapshot keeps: enough to rewind and for every policy."""


@dataclass(slots=True)
class ActiveLoop:
    """A running form. `rejected` after it declined; `is_interrupted` while something else answers."""

    name: str
    is_interrupted: bool = False
    rejected: bool = False
    trigger_message: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "is_interrupted": self.is_interrupted,
            "rejected": self.rejected,
            "trigger_message": self.trigger_message,
        }


@dataclass(slots=True)
class Tracker:
    """One conversation now. Create it with `Tracker.new`, change it with `apply`.

    `events` are the recent ones (at most `RECENT_EVENTS`, and all of the turn in hand); `event_count`
    counts all there ever were. `language` is that of the customer's latest message that had one.
    `idempotency_key` is set for actions: the same for every retry of this turn and action.
    """

    conversation_id: str
    initial_slots: Mapping[str, Any] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    event_count: int = 0
    latest_message: UserUttered | None = None
    latest_bot_message: BotUttered | None = None
    latest_action: ActionExecuted | None = None
    active_loop: ActiveLoop | None = None
    followup_action: str | None = LISTEN
    paused: bool = False
    latest_event_time: float | None = None
    latest_input_channel: str | None = None
    language: str | None = None
    idempotency_key: str = ""

    @staticmethod
    def new(conversation_id: str, domain: Domain) -> Tracker:
        """An empty conversation: slots have their initial values and the bot listens."""
        initial = {name: slot.initial_value for name, slot in domain.slots.items()}
        return Tracker(conversation_id, initial, copy.deepcopy(initial))

    # ---- reading ----

    @property
    def sender_id(self) -> str:
        """The customer's id on the channel: the conversation id without the channel's name."""
        return self.conversation_id.split(":", 1)[-1]

    @property
    def latest_action_name(self) -> str | None:
        if self.latest_action is None:
            return None
        return self.latest_action.name or self.latest_action.action_text

    @property
    def active_loop_name(self) -> str | None:
        return self.active_loop.name if self.active_loop else None

    def get_slot(self, name: str) -> Any:
        """The slot's value, None when it is not set."""
        return self.slots.get(name)

    def get_latest_entity_values(self, entity: str, role: str | None = None, group: str | None = None) -> Iterator[Any]:
        """The values of the entities of this name, role and group in the latest message."""
        for found in self.latest_message.entities if self.latest_message else ():
            if found.get("entity") == entity and found.get("role") == role and found.get("group") == group:
                yield found.get("value")

    def slots_to_validate(self) -> dict[str, Any]:
        """The slots set since the latest action or message: what a form's validation looks at."""
        found: dict[str, Any] = {}
        for event in reversed(self.events):
            if not isinstance(event, SlotSet):
                break
            found.setdefault(event.name, event.value)
        found.pop(REQUESTED_SLOT, None)
        return dict(reversed(found.items()))

    # ---- changing ----

    def apply(self, event: Event) -> None:
        """Take one event in."""
        self.events.append(event)
        self.event_count += 1
        self.latest_event_time = event.timestamp
        match event:
            case UserUttered():
                self.latest_message = event
                self.followup_action = None
                self.latest_input_channel = event.input_channel or self.latest_input_channel
                self.language = event.parse_data.get("language") or self.language
            case BotUttered():
                self.latest_bot_message = event
            case ActionExecuted():
                self.latest_action = event
                self._loop_after_action(event)
                self.followup_action = None
            case SlotSet(name=name, value=value):
                self.slots[name] = value
            case EntitiesAdded(entities=entities):
                self._add_entities(entities)
            case ActiveLoopChanged(name=name):
                self._change_loop(name)
            case LoopInterrupted(is_interrupted=interrupted):
                if self.active_loop:
                    self.active_loop.is_interrupted = interrupted
            case ActionExecutionRejected(name=name):
                if self.active_loop and self.active_loop.name == name:
                    self.active_loop.rejected = True
            case FollowupAction(name=name):
                self.followup_action = name
            case AllSlotsReset():
                self.slots = copy.deepcopy(dict(self.initial_slots))
            case ConversationPaused():
                self.paused = True
            case ConversationResumed():
                self.paused = False
            case Restarted():
                self._reset()
                self.followup_action = "action_session_start"
            case SessionStarted():
                self._reset()
                self.followup_action = LISTEN
            case UserUtteranceReverted() | ActionReverted():
                self._replay()
            case _:
                pass

    def apply_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.apply(event)

    def _reset(self) -> None:
        self.slots = copy.deepcopy(dict(self.initial_slots))
        self.paused = False
        self.latest_action = None
        self.latest_message = None
        self.latest_bot_message = None
        self.active_loop = None

    def _loop_after_action(self, event: ActionExecuted) -> None:
        if self.active_loop and self.active_loop.name == event.name:
            self.active_loop.rejected = False
        if self.active_loop and event.name != LISTEN and self.active_loop.name != event.name:
            # Something else answered; the form goes on afterwards.
            pass

    def _change_loop(self, name: str | None) -> None:
        if name is None:
            self.active_loop = None
        elif self.active_loop_name != name:
            trigger = dict(self.latest_message.parse_data) if self.latest_message else None
            self.active_loop = ActiveLoop(name, trigger_message=trigger)

    def _add_entities(self, entities: Sequence[Mapping[str, Any]]) -> None:
        if self.latest_message is None:
            return
        known = list(self.latest_message.entities)
        known += [entity for entity in entities if entity not in known]
        message = self.latest_message
        parse_data = {**message.parse_data, "entities": known}
        self.latest_message = UserUttered(
            text=message.text,
            parse_data=parse_data,
            input_channel=message.input_channel,
            message_id=message.message_id,
            timestamp=message.timestamp,
            metadata=message.metadata,
        )

    def _replay(self) -> None:
        """Fold again without what was taken back."""
        events, count, language = self.events, self.event_count, self.language
        effective = applied_events(events)
        self._reset()
        self.followup_action = LISTEN
        self.events = []
        for event in effective:
            self.apply(event)
        self.events, self.event_count, self.language = events, count, language

    # ---- the snapshot that a store keeps ----

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs; its size is bounded."""
        return {
            "conversation_id": self.conversation_id,
            "initial_slots": dict(self.initial_slots),
            "slots": self.slots,
            "event_count": self.event_count,
            "latest_message": event_to_json(self.latest_message) if self.latest_message else None,
            "latest_bot_message": event_to_json(self.latest_bot_message) if self.latest_bot_message else None,
            "latest_action": event_to_json(self.latest_action) if self.latest_action else None,
            "active_loop": self.active_loop.to_json() if self.active_loop else None,
            "followup_action": self.followup_action,
            "paused": self.paused,
            "latest_event_time": self.latest_event_time,
            "latest_input_channel": self.latest_input_channel,
            "language": self.language,
        }
