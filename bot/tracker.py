"""The state of one conversation: a fold over its events. `apply` is the only place where it changes."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.domain import REQUESTED_SLOT, Domain, is_loop
from bot.errors import DataError
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    ActionReverted,
    ActiveLoopChanged,
    AllSlotsReset,
    BotUttered,
    ConversationPaused,
    ConversationResumed,
    DefinePrevUserUtteredFeaturization,
    EntitiesAdded,
    Event,
    FollowupAction,
    IdentityChanged,
    LoopInterrupted,
    ReminderCancelled,
    ReminderScheduled,
    Restarted,
    SessionEnded,
    SessionStarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
    event_from_json,
    event_to_json,
    seconds,
)
from bot.identity import ALONE, Identity
from bot.messages import EMPTY
from bot.slots import stored
from bot.states import History, State, slot_states, user_state

log = logging.getLogger(__name__)

LISTEN = "action_listen"
RECENT_EVENTS = 60
"""How many of the latest events a loaded tracker has: enough for forms and custom actions."""
MOST_REMINDERS = 100
"""Reminders and scheduled messages of one conversation; more are dropped."""
SNAPSHOT_VERSION = 1
"""Of what `Tracker.to_json` gives. One more when an older version could not read it."""


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


@dataclass(frozen=True, slots=True)
class Moment:
    """All of a conversation that can be taken back with a message. Nothing in it changes."""

    slots: Mapping[str, Any]
    slots_set: frozenset[str]
    latest_message: UserUttered | None
    latest_bot_message: BotUttered | None
    latest_action: ActionExecuted | None
    active_loop: ActiveLoop | None
    followup_action: str | None
    paused: bool
    history: History
    reminders: Mapping[str, ReminderScheduled] = EMPTY

    def to_json(self) -> dict[str, Any]:
        return {
            "slots": self.slots,
            "slots_set": sorted(self.slots_set),
            "latest_message": event_to_json(self.latest_message) if self.latest_message else None,
            "latest_bot_message": event_to_json(self.latest_bot_message) if self.latest_bot_message else None,
            "latest_action": event_to_json(self.latest_action) if self.latest_action else None,
            "active_loop": self.active_loop.to_json() if self.active_loop else None,
            "followup_action": self.followup_action,
            "paused": self.paused,
            "history": self.history.to_json(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], domain: Domain) -> Moment:
        """Slots that the domain has gained since are as at the start; those it has lost are gone, and so is a form."""
        slots = _initial_slots(domain)
        slots.update({name: value for name, value in data["slots"].items() if name in slots})
        return Moment(
            slots=slots,
            slots_set=frozenset(data["slots_set"]),
            latest_message=_event(data["latest_message"], UserUttered),
            latest_bot_message=_event(data["latest_bot_message"], BotUttered),
            latest_action=_event(data["latest_action"], ActionExecuted),
            active_loop=_loop(data["active_loop"], domain),
            followup_action=data["followup_action"],
            paused=data["paused"],
            history=History.from_json(data["history"]),
        )


@dataclass(slots=True)
class Tracker:
    """One conversation now. Create it with `Tracker.new`, change it with `apply`.

    `events` are the recent ones (at most `RECENT_EVENTS`, and all of the turn in hand); `event_count`
    counts all there ever were. `language` is that of the customer's latest message that had one.
    `reminders` are those that are still to come, and scheduled messages, by `ReminderScheduled.key`;
    the mapping never changes, another takes its place.
    `identity` is what it knows of the same customer's conversations on other channels.
    `idempotency_key` is set for actions: the same for every retry of this turn and action.
    """

    conversation_id: str
    domain: Domain
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
    session_ended: bool = False
    reminders: Mapping[str, ReminderScheduled] = EMPTY
    identity: Identity = ALONE
    idempotency_key: str = ""
    history: History = field(default_factory=History)
    slots_set: set[str] = field(default_factory=set)
    before_listening: Moment | None = None
    """The conversation before the latest `action_listen`: what taking the next message back leads to."""
    before_message: Moment | None = None
    """The conversation that taking the latest message back leads to; None when only the history tells."""

    @staticmethod
    def new(conversation_id: str, domain: Domain) -> Tracker:
        """An empty conversation: slots have their initial values and the bot listens."""
        return Tracker(conversation_id, domain, _initial_slots(domain))

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
    def rejected_action(self) -> str | None:
        """The action that has just declined to run."""
        for event in reversed(self.events):
            if isinstance(event, ActionExecutionRejected):
                return event.name
            if isinstance(event, ActionExecuted):
                return None
        return None

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

    def events_since(self, count: int) -> list[Event]:
        """The events after the first `count` of the conversation, oldest first."""
        return self.events[len(self.events) - (self.event_count - count) :]

    def slots_to_validate(self) -> dict[str, Any]:
        """The slots set since the latest action or message: what a form's validation looks at."""
        found: dict[str, Any] = {}
        for event in reversed(self.events):
            if not isinstance(event, SlotSet):
                break
            found.setdefault(event.name, event.value)
        found.pop(REQUESTED_SLOT, None)
        return dict(reversed(found.items()))

    def state(self) -> State:
        """What the policies see now (see `bot/states.py`)."""
        out: State = {}
        if self.history.user:
            out["user"] = self.history.user
        slots = slot_states(self.domain, self.slots)
        if slots:
            out["slots"] = slots
        if self.history.prev_action:
            out["prev_action"] = self.history.prev_action
        if self.active_loop:
            out["active_loop"] = {"name": self.active_loop.name}
        return out

    def copy(self) -> Tracker:
        """The same conversation, to be scribbled on: changes do not reach this one."""
        # Field by field: `copy.copy` takes several times as long, and there is a copy in each turn.
        return Tracker(
            self.conversation_id,
            self.domain,
            slots={name: _apart(value) for name, value in self.slots.items()},
            events=list(self.events),
            event_count=self.event_count,
            latest_message=self.latest_message,
            latest_bot_message=self.latest_bot_message,
            latest_action=self.latest_action,
            active_loop=copy.copy(self.active_loop),
            followup_action=self.followup_action,
            paused=self.paused,
            latest_event_time=self.latest_event_time,
            latest_input_channel=self.latest_input_channel,
            language=self.language,
            session_ended=self.session_ended,
            reminders=self.reminders,
            identity=self.identity,
            idempotency_key=self.idempotency_key,
            history=self.history.copy(),
            slots_set=set(self.slots_set),
            before_listening=self.before_listening,
            before_message=self.before_message,
        )

    # ---- changing ----

    def apply(self, event: Event) -> None:
        """Take one event in."""
        self.events.append(event)
        self.event_count += 1
        self.latest_event_time = event.timestamp
        if self.reminders or isinstance(event, ReminderScheduled):
            self.reminders = self._reminders_after(event)
        match event:
            case UserUttered():
                self.before_message = self.before_listening
                self.latest_message = event
                self.followup_action = None
                self.session_ended = False
                if self.identity.guests and not event.is_external:
                    self.identity = self.identity.after_message(event)
                self.latest_input_channel = event.input_channel or self.latest_input_channel
                self.language = event.parse_data.get("language") or self.language
                self.history.user_uttered(self._user_state(event))
            case BotUttered():
                self.latest_bot_message = event
            case ActionExecuted():
                self._action_executed(event)
            case SlotSet(name=name, value=value):
                if name in self.slots:
                    if name in self._kept_apart():
                        self.identity = self.identity.after_slot(event, self.slots[name])
                    self.slots[name] = stored(self.domain.slots[name], value)
                    self.slots_set.add(name)
                    self.history.slot_set(name)
            case EntitiesAdded(entities=entities):
                self._add_entities(entities)
            case ActiveLoopChanged(name=name):
                self._change_loop(name)
                self.history.loop_changed(name)
            case LoopInterrupted(is_interrupted=interrupted):
                if self.active_loop:
                    self.active_loop.is_interrupted = interrupted
            case ActionExecutionRejected(name=name):
                self.history.rejected(name)
                if self.active_loop and self.active_loop.name == name:
                    self.active_loop.rejected = True
            case FollowupAction(name=name):
                self.followup_action = name
            case DefinePrevUserUtteredFeaturization(use_text_for_featurization=use):
                self.history.use_text(use, self.latest_message.text if self.latest_message else None)
            case AllSlotsReset():
                self.slots = _initial_slots(self.domain)
                self.identity = self.identity.without_kept()
            case ConversationPaused():
                self.paused = True
            case ConversationResumed():
                self.paused = False
            case Restarted():
                self._reset()
                self.followup_action = "action_session_start"
            case SessionStarted():
                self._reset()
            case SessionEnded():
                self.session_ended = True
            case IdentityChanged():
                self.identity = self.identity.after(event)
            case UserUtteranceReverted() if self.before_message:
                known = self.before_message.reminders
                self.reminders = {key: one for key, one in self.reminders.items() if key in known or one.action}
                apart = self._kept_apart()
                self._restore(self.before_message)
                self.slots.update(apart)
            case UserUtteranceReverted() | ActionReverted():
                apart = self._kept_apart()
                self._replay()
                self.slots.update(apart)
            case _:
                pass

    def apply_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.apply(event)

    def _kept_apart(self) -> dict[str, Any]:
        """The sensitive slots of a customer on several channels. What was given on another does not come back so."""
        if self.identity.trust is None:
            return {}
        return {name: self.slots[name] for name, slot in self.domain.slots.items() if slot.sensitive}

    def _reminders_after(self, event: Event) -> Mapping[str, ReminderScheduled]:
        """Those that are still to come. A scheduled message is only cancelled by its name, or sent."""
        now = self.reminders
        match event:
            case ReminderScheduled():
                return self._reminders_with(event)
            case ReminderCancelled():
                return {key: one for key, one in now.items() if not event.cancels(one)}
            case UserUttered(is_external=False):
                return {key: one for key, one in now.items() if one.action or not one.kill_on_user_msg}
            case Restarted():
                return {key: one for key, one in now.items() if one.action}
            case UserUttered() | ActionExecuted():
                fired = event.metadata.get("reminder") or _fired_in_rasa(event, now)
                return {key: one for key, one in now.items() if key != fired}
        return now

    def _reminders_with(self, event: ReminderScheduled) -> Mapping[str, ReminderScheduled]:
        """A reminder takes the place of an earlier one of its name; the latest is the last."""
        others = {key: one for key, one in self.reminders.items() if key != event.key}
        try:
            seconds(event.date_time)
        except DataError as error:
            log.warning("conversation %s: a reminder is dropped: %s", self.conversation_id, error)
            return self.reminders
        if len(others) >= MOST_REMINDERS:
            who = self.conversation_id
            log.warning("conversation %s: a reminder is dropped: there are %d already", who, MOST_REMINDERS)
            return self.reminders
        return {**others, event.key: event}

    def _user_state(self, event: UserUttered) -> State:
        intent = event.intent_name
        if intent is None and event.text is not None and "intent" not in event.parse_data:
            return {"text": event.text}
        return user_state(self.domain, intent, list(event.entities))

    def _reset(self) -> None:
        self.session_ended = False
        self.identity = self.identity.without_kept()
        self.slots = _initial_slots(self.domain)
        self.slots_set = set()
        self.paused = False
        self.latest_action = None
        self.latest_message = None
        self.latest_bot_message = None
        self.active_loop = None
        self.followup_action = LISTEN
        self.history.clear()
        self.before_listening = self.before_message = None

    def _moment(self) -> Moment:
        return Moment(
            slots=dict(self.slots),
            slots_set=frozenset(self.slots_set),
            latest_message=self.latest_message,
            latest_bot_message=self.latest_bot_message,
            latest_action=self.latest_action,
            active_loop=copy.copy(self.active_loop),
            followup_action=self.followup_action,
            paused=self.paused,
            history=self.history.copy(),
            reminders=self.reminders,
        )

    def _restore(self, moment: Moment) -> None:
        self.slots = dict(moment.slots)
        self.slots_set = set(moment.slots_set)
        self.latest_message = moment.latest_message
        self.latest_bot_message = moment.latest_bot_message
        self.latest_action = moment.latest_action
        self.active_loop = copy.copy(moment.active_loop)
        self.followup_action = moment.followup_action
        self.paused = moment.paused
        self.history = moment.history.copy()
        self.before_listening = self.before_message = None

    def _action_executed(self, event: ActionExecuted) -> None:
        name = event.name or event.action_text or ""
        self.before_listening = self._moment() if name == LISTEN else None
        prev: State = {"action_name": event.name} if event.name else {"action_text": event.action_text}
        keeps = bool(self.followup_action) or (
            self.active_loop is not None and self.latest_action_name == self.active_loop.name
        )
        if not self.history.action_executed(self.state(), name, prev, hidden=event.hide_rule_turn, keeps=keeps):
            self.before_message = None
        self.latest_action = event
        self.followup_action = None
        if self.active_loop:
            self.active_loop.is_interrupted = False
            if self.active_loop.name == event.name:
                self.active_loop.rejected = False

    def _change_loop(self, name: str | None) -> None:
        if name is None:
            self.active_loop = None
        else:
            trigger = dict(self.latest_message.parse_data) if self.latest_message else None
            self.active_loop = ActiveLoop(name, trigger_message=trigger)

    def _add_entities(self, entities: Sequence[Mapping[str, Any]]) -> None:
        if self.latest_message is None:
            return
        known = list(self.latest_message.entities)
        known += [entity for entity in entities if entity not in known]
        message = dataclasses.replace(
            self.latest_message, parse_data={**self.latest_message.parse_data, "entities": known}
        )
        self.latest_message = message
        self.history.user = self._user_state(message)

    def _replay(self) -> None:
        """Fold again without what was taken back. `events` must reach back to the session's start."""
        events, count, language, ended = self.events, self.event_count, self.language, self.session_ended
        reminders, identity = self.reminders, self.identity
        self._reset()
        self.events, self.reminders = [], EMPTY
        for event in applied_events(events):
            self.apply(event)
        gone = _reminders_of_session(events) - self.reminders.keys()
        self.reminders = {key: one for key, one in reminders.items() if key not in gone or one.action}
        self.events, self.event_count, self.language, self.session_ended = events, count, language, ended
        self.identity = identity

    # ---- the snapshot that a store keeps ----

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs; its size is bounded."""
        return {
            **self._moment().to_json(),
            "version": SNAPSHOT_VERSION,
            "conversation_id": self.conversation_id,
            "event_count": self.event_count,
            "latest_event_time": self.latest_event_time,
            "latest_input_channel": self.latest_input_channel,
            "language": self.language,
            "session_ended": self.session_ended,
            "reminders": [event_to_json(reminder) for reminder in self.reminders.values()],
            "identity": self.identity.to_json() if self.identity is not ALONE else None,
            "before_listening": self._listening_to_json(),
        }

    def _listening_to_json(self) -> dict[str, Any] | None:
        """What `action_listen` changed, when nothing has happened since; else taking back reads the history."""
        before = self.before_listening
        if before is None or not self.events or self.events[-1] is not self.latest_action:
            return None
        return {
            "latest_action": event_to_json(before.latest_action) if before.latest_action else None,
            "active_loop": before.active_loop.to_json() if before.active_loop else None,
            "followup_action": before.followup_action,
            "prev_action": before.history.prev_action,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], domain: Domain, events: Sequence[Event] = ()) -> Tracker:
        """The tracker that `to_json` described; `events` are its latest ones, oldest first."""
        tracker = Tracker(
            conversation_id=data["conversation_id"],
            domain=domain,
            events=list(events),
            event_count=data["event_count"],
            latest_event_time=data["latest_event_time"],
            latest_input_channel=data["latest_input_channel"],
            language=data["language"],
            session_ended=data.get("session_ended", False),
            reminders=_reminders(data.get("reminders") or ()),
            identity=Identity.from_json(data["identity"]) if data.get("identity") else ALONE,
        )
        now = dataclasses.replace(Moment.from_json(data, domain), reminders=tracker.reminders)
        tracker._restore(now)
        listening = data["before_listening"]
        if listening:
            tracker.before_listening = dataclasses.replace(
                now,
                latest_action=_event(listening["latest_action"], ActionExecuted),
                active_loop=_loop(listening["active_loop"], domain),
                followup_action=listening["followup_action"],
                history=now.history.before_latest(listening["prev_action"]),
            )
        return tracker


def _loop(data: Mapping[str, Any] | None, domain: Domain) -> ActiveLoop | None:
    return ActiveLoop(**data) if data and is_loop(data["name"], domain) else None


def _reminders(data: Sequence[Mapping[str, Any]]) -> Mapping[str, ReminderScheduled]:
    found = (_event(one, ReminderScheduled) for one in data)
    return {reminder.key: reminder for reminder in found if reminder}


_E = TypeVar("_E", bound=Event)


def _event(data: Mapping[str, Any] | None, kind: type[_E]) -> _E | None:
    event = event_from_json(data) if data else None
    return event if isinstance(event, kind) else None


def _initial_slots(domain: Domain) -> dict[str, Any]:
    return {name: stored(slot, _apart(slot.initial_value)) for name, slot in domain.slots.items()}


def _apart(value: Any) -> Any:
    """The value for somebody else to change. Most cannot change: to copy them deeply would be a tenth of a turn."""
    return value if value is None or isinstance(value, str | int | float) else copy.deepcopy(value)


def applied_events(events: Sequence[Event]) -> list[Event]:
    """The events that count: those since the latest restart or session start, without what was taken back.

    Taking back a message takes back the `action_listen` before it, too. A form that took its answer has swallowed
    that message, as in Rasa: only what the message brought counts, and what is taken back is the one before it.
    """
    loops = {event.name for event in events if isinstance(event, ActiveLoopChanged) and event.name}
    applied: list[Event] = []
    for event in events:
        match event:
            case Restarted() | SessionStarted():
                applied = []
            case ActionReverted():
                _drop_back_to(ActionExecuted, applied)
            case UserUtteranceReverted():
                _drop_back_to(UserUttered, applied)
                _drop_back_to(ActionExecuted, applied)
            case ActionExecuted(name=name) if name in loops and _took_answer(name, applied):
                _forget_turns_since(name, applied)
            case _:
                applied.append(event)
    return applied


def _took_answer(loop: str | None, events: Sequence[Event]) -> bool:
    """Whether the loop ran before, and neither declined nor left the latest message to another action."""
    later: str | None = None
    for event in reversed(events):
        match event:
            case ActiveLoopChanged(name=None):
                return False
            case ActionExecutionRejected(name=name) if name == loop:
                return False
            case UserUttered() if later not in (None, loop):
                return False
            case ActionExecuted(name=name) if name == loop:
                return True
            case ActionExecuted(name=name):
                later = name
            case _:
                pass
    return False


def _forget_turns_since(loop: str | None, events: list[Event]) -> None:
    """Leave of all since the loop's latest run only what changed the conversation."""
    start = max(i for i, event in enumerate(events) if isinstance(event, ActionExecuted) and event.name == loop) + 1
    turns = (ActionExecuted, UserUttered, DefinePrevUserUtteredFeaturization)
    events[start:] = [event for event in events[start:] if not isinstance(event, turns)]


def _fired_in_rasa(event: Event, reminders: Mapping[str, ReminderScheduled]) -> str | None:
    """Which reminder this is, in a conversation that Rasa wrote: it only says that one with this intent has fired."""
    if not isinstance(event, UserUttered):
        return None
    alike = (one for one in reminders.values() if not one.action and one.intent == event.intent_name)
    first = min((one for one in alike if one.due <= event.timestamp), key=lambda one: one.due, default=None)
    return first.key if first else None


def _reminders_of_session(events: Sequence[Event]) -> set[str]:
    """The keys of the reminders that were set in this session."""
    found: set[str] = set()
    for event in reversed(events):
        match event:
            case Restarted() | SessionStarted():
                break
            case ReminderScheduled():
                found.add(event.key)
    return found


def _drop_back_to(kind: type[Event], events: list[Event]) -> None:
    while events and not isinstance(events.pop(), kind):
        pass
