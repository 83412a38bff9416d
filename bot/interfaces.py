"""Everything that can be plugged in, on one page.

| to add        | write one file                | that holds one class with                                |
|---------------|-------------------------------|----------------------------------------------------------|
| component     | bot/nlu/spelling_corrector.py | `parse(parses)`; if it learns: `train`, `save`, `load`    |
| policy        | bot/policies/my_policy.py     | `priority`, `predict(tracker, domain)`; the same three    |
| action        | actions/refund.py             | `name()`, `run(dispatcher, tracker, domain)`              |
| channel       | channels/whatsapp.py          | `routes(assistant)`, `send(delivery)`                     |
| LLM provider  | bot/llm/mistral.py            | `complete(messages, deadline)`                            |
| store         | bot/stores/postgres.py        | the calls of `Store`                                  |
| event broker  | bot/brokers/kafka.py          | `publish(events)`, `close()`                          |

A name in config.yml is a file in one of these folders (`telegram` is channels/telegram.py,
`DIETClassifier` is bot/nlu/diet_classifier.py), or `"package.module:Class"` of the user's own.
Constructor keywords are the configuration schema.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from bot.domain import Domain
from bot.events import Event, SlotSet
from bot.messages import EMPTY, BotMessage, Parse, UserMessage
from bot.tracker import Tracker
from bot.training_data import Rule, Story, TrainingData

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from bot.assistant import Assistant

# ---- understanding -------------------------------------------------------------------------------


@runtime_checkable
class Component(Protocol):
    """One step of the pipeline: adds what it knows to each parse of the batch, in place.

    A batch is one message in a quiet hour, several when turns arrive together, and all examples in
    training. A component never sees two batches at once, and does no I/O.
    """

    def parse(self, parses: Sequence[Parse]) -> None: ...


@runtime_checkable
class TrainableComponent(Component, Protocol):
    """A component that learns. `save` and `load` use JSON and safetensors inside their own folder."""

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        """Learn from `data.examples`; `parses[i]` is what the earlier components made of example i."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


# ---- dialogue ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prediction:
    """The next action, how sure the policy is (0…1), and which policy that was."""

    action: str
    confidence: float
    policy: str
    events: tuple[Event, ...] = ()
    is_end_to_end: bool = False
    hide_rule_turn: bool = False
    needs_no_message: bool = False
    """A running form goes on: that overrules whatever a policy makes of the message."""
    metadata: Mapping[str, Any] = EMPTY
    """Why, for whoever reads the events: it stands in the action's event."""

    @property
    def rank(self) -> tuple[bool, bool, float]:
        return self.needs_no_message, self.is_end_to_end, self.confidence


@runtime_checkable
class Policy(Protocol):
    """Decides what comes next. `predict` is pure: no I/O, nothing remembered between calls."""

    priority: int

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None: ...


@runtime_checkable
class TrainablePolicy(Policy, Protocol):
    """A policy that learns from stories and rules."""

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None: ...

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


# ---- actions -------------------------------------------------------------------------------------


class Dispatcher:
    """Collects what an action wants to say; the same calls as rasa-sdk's `CollectingDispatcher`."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def utter_message(
        self,
        text: str | None = None,
        image: str | None = None,
        json_message: Mapping[str, Any] | None = None,
        template: str | None = None,
        response: str | None = None,
        attachment: Any = None,
        buttons: Sequence[Mapping[str, Any]] | None = None,
        elements: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Say `text`, or the domain's `response` with `kwargs` for its `{variables}`, in the customer's language."""
        message: dict[str, Any] = {
            "text": text,
            "image": image,
            "custom": dict(json_message or {}),
            "response": response or template,
            "attachment": attachment,
            "buttons": [dict(button) for button in buttons or ()],
            "elements": [dict(element) for element in elements or ()],
        }
        message.update(kwargs)
        self.messages.append(message)


class Action:
    """A custom action: `name()` and `run(...)`, sync or async; a sync one runs in a worker thread.

    `tracker.idempotency_key` is the same however often the turn is retried: hand it to whatever must
    happen once. The returned events are ours (`bot.events`) or rasa-sdk's dictionaries. One that only words an
    answer, and changes nothing elsewhere, may be `amendable`: on a channel with a `wait` it is broken off when the
    customer says more, and the next turn answers both messages.
    """

    amendable = False

    def name(self) -> str:
        raise NotImplementedError(f"{type(self).__name__}.name()")

    async def run(
        self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]
    ) -> Sequence[Event | Mapping[str, Any]]:
        raise NotImplementedError(f"{type(self).__name__}.run()")


class FormValidationAction(Action):
    """Validates and extracts the slots of the form it is named after (`validate_transfer_form`).

    Write `validate_<slot>(value, dispatcher, tracker, domain) -> {slot: value}` (a value of None asks again),
    `extract_<slot>(dispatcher, tracker, domain) -> {slot: value}`, sync or async, and override
    `required_slots` when what is asked depends on what was said. The contract is rasa-sdk's.
    """

    def form_name(self) -> str:
        return self.name().removeprefix("validate_")

    async def required_slots(
        self, domain_slots: list[str], dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]
    ) -> list[str]:
        """The slots to ask for, in order; `domain_slots` are those the domain lists."""
        return domain_slots

    async def run(
        self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]
    ) -> Sequence[Event | Mapping[str, Any]]:
        form = (domain.get("forms") or {}).get(self.form_name()) or {}
        domain_slots = list(form.get("required_slots") or ())
        wanted = list(await self.required_slots(list(domain_slots), dispatcher, tracker, domain))
        candidates = tracker.slots_to_validate()
        for slot in dict.fromkeys([*wanted, *domain_slots]):
            extract: Callable[..., Any] | None = getattr(self, f"extract_{slot.replace('-', '_')}", None)
            if extract is not None:
                candidates.update(await _maybe(extract(dispatcher, tracker, domain)))
        final: dict[str, Any] = {}
        for slot, value in candidates.items():
            tracker.slots[slot] = value
        for slot, value in list(candidates.items()):
            validate: Callable[..., Any] | None = getattr(self, f"validate_{slot.replace('-', '_')}", None)
            outcome = {slot: value}
            if validate is not None:
                verdict = await _maybe(validate(value, dispatcher, tracker, domain))
                outcome = {slot: None} if verdict is None else {slot: value, **verdict}
            final.update(outcome)
            tracker.slots.update(outcome)
        events: list[Event] = [SlotSet(name=slot, value=value) for slot, value in final.items()]
        # What is asked may depend on what has just been said.
        now_wanted = await self.required_slots(list(domain_slots), dispatcher, tracker, domain)
        if now_wanted != domain_slots:
            missing = (slot for slot in now_wanted if tracker.slots.get(slot) is None)
            events.append(SlotSet(name="requested_slot", value=next(missing, None)))
        return events


async def _maybe(value: Any | Awaitable[Any]) -> Any:
    return await value if inspect.isawaitable(value) else value


# ---- channels ------------------------------------------------------------------------------------


class Channel(Protocol):
    """One platform: its routes under `/webhooks/<name>/`, and how a message reaches a customer there.

    A route whose caller waits for the replies awaits `assistant.handle(message)`; one that only acknowledges awaits
    `assistant.accept(message)`, and the replies are sent. `send` is called for one reply after the other, in order;
    it raises `DeliveryError`, with `retry_after` where the platform says so, and `is_final` when there is no use in
    trying again. A channel that cannot write by itself says so with `sends = False`. `remember` are the seconds for
    which its messages are known when they come again (a day), `wait` those in which what is typed in a row is one turn
    (0), and `trust` says how sure it is who writes there (1): see docs/identity.md.
    """

    name: str

    def routes(self, assistant: Assistant) -> Sequence[BaseRoute]: ...

    async def send(self, delivery: Delivery) -> None: ...


# ---- the language model --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message for a language model; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote, and how many tokens that took (0 where the provider does not say)."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""


class LLMProvider(Protocol):
    """A language model. Raises only `LLMError`s, within `deadline` seconds; an empty answer is LLMBadReply."""

    async def complete(self, messages: Sequence[ChatMessage], *, deadline: float) -> Completion: ...

    def stream(self, messages: Sequence[ChatMessage], *, deadline: float) -> AsyncIterator[str]: ...


# ---- the store -----------------------------------------------------------------------------------

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A reply on its way to a customer: what `Channel.send` is called with.

    `key` is the same however often it is tried and never that of another reply: a platform that knows idempotency
    keys delivers it once. `attempts` are those made before.
    """

    conversation_id: str
    key: str
    channel: str
    sender_id: str
    message: BotMessage
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that is due later: `message` comes into the inbox at `due` (seconds since 1970).

    `name` is unique in a conversation: a timer takes the place of an earlier one of its name. Without a message,
    that one is cancelled.
    """

    name: str
    due: float = 0.0
    message: UserMessage | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """All that a turn leaves behind, stored whole or not at all.

    `events` are new, in order; the replies are its `BotUttered`s. `message_ids` are the inbox messages that it
    consumed (none when an API caller appended events): the replies are the answer to the last of them, and those
    before it are answered with nothing. `deliveries` go out by their channel, in order, after all
    earlier ones of the conversation; replies that the caller waits for are not among them. `timers` are set or
    cancelled. `set_aside` says why the messages were given up: they are kept as dead letters.
    """

    conversation_id: str
    events: tuple[Event, ...]
    message_ids: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    timers: tuple[Timer, ...] = ()
    set_aside: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit to one conversation. A higher `token` has taken over from a lower one.

    `messages` are those that wait in the inbox, oldest first (the first 20 at most); `attempts` is how often the
    oldest was begun before and not finished. `state` is the store's own: what `resume` needs.
    """

    conversation_id: str
    token: int
    messages: tuple[UserMessage, ...] = ()
    attempts: int = 0
    state: Any = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A message was accepted. `answer` is done with its replies when its turn is committed, wherever that happens.

    `lease` is the right to take the turn, when nobody had the conversation; whoever has it answers the message.
    """

    answer: asyncio.Future[list[BotMessage]]
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class OutboxLease:
    """The right to deliver what is waiting in one conversation's outbox, oldest first (the first 20 at most)."""

    conversation_id: str
    token: int
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A conversation that nobody has in hand: `kind` says whether its inbox or its outbox waits."""

    kind: Literal["inbox", "outbox"]
    conversation_id: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message or a delivery that was given up, and why. `at` is in seconds since 1970."""

    id: str
    conversation_id: str
    reason: str
    at: float
    content: UserMessage | Delivery


@dataclass(frozen=True, slots=True)
class Published:
    """A committed turn on its way to the event broker: its events are those of the conversation from `first` on.

    The conversation's very first event is number 0. `id` is the store's own.
    """

    id: str
    conversation_id: str
    first: int
    events: tuple[Event, ...]


class Store(Protocol):
    """Conversations, durable to the degree that the store promises. One contract test runs over all.

    Inbox. `accept` puts a message into its conversation's inbox and answers False when that (conversation, message
    id) was there within the last `remember` seconds, consumed or not: of any number of workers, one is told True.
    `begin` does the same for a caller who waits for the answer, and takes the lease along where nobody has it; a
    message that was answered before has its answer at once. `ready` waits until a conversation that nobody has in
    hand has something to be done (each is told to one worker), `claim` takes its lease; None when somebody was
    faster or nothing waits. What was accepted and not committed is `ready` again when its lease has run out, and
    after a restart. `pending` lists it, oldest first. `wait` seconds pass before a turn begins, in case more comes
    from the same customer. A full inbox is a `StoreFull`.

    Turn. A lease that this process holds is kept alive by the store until it is given back. `resume` is the tracker
    under a lease, `load` that of a conversation for reading; both are fresh, empty for a new conversation, and cost
    the same however long the history is. `commit` stores events, snapshot (the tracker after the turn), consumed
    message ids, deliveries and timers in one step. It raises `LeaseLost`, and stores nothing, when another holder
    has the lease, the conversation has moved on, or a message was answered before; a value that is no JSON is a
    `StoreError` that names the event. A lease that came by `begin` or `claim` ends with it: the result is the next
    one, when more messages wait. `release` gives a lease back without a commit: its messages wait again, and
    `failed` counts an attempt. `arrival` waits until a message has come in that `Lease.messages` does not have (it may
    wait for ever). `lease` gives the right to one conversation without a message, in the order of
    asking; it ends with the block, however often something was committed in it. `replace` stores a turn and its
    snapshot in place of all that there was, under the conditions of `commit`; messages that were answered stay
    answered.

    Outbox. `claim_outbox` takes the right to deliver a conversation's replies; `delivered` strikes the first one
    off, `postpone` tries it again after `seconds`, `give_up` makes it a dead letter; the result is what is left.
    `dead_letters` lists what was given up, oldest first; `revive` puts one back at the end of its conversation's
    inbox or outbox, `bury` forgets it; both answer whether it was there.

    Reading. `replies` answers a message that comes again (None: not consumed yet). `events` reads the history,
    oldest first. `conversation_ids` lists those after an id, in the order of their letters. `delete` erases a
    conversation wholly, and a turn under way can no longer be committed.

    Feed, in a store that was made with `feed=True`. `commit` and `replace` append the turn to it in the same step.
    `feed` waits until there is something, and shows what is not struck off: in order, oldest first, the same again
    when it is asked again. One process at a time is shown a conversation's, for as long as it lives and asks.
    `published` strikes turns off. What `delete` erases is in no feed any more.

    Encryption, in a store that has `encryption_keys` (see bot/stores/sealing.py). `reseal` closes with the first key
    what another one did, or none, and answers how many pieces that were; others may go on meanwhile.
    """

    async def accept(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> bool: ...

    async def begin(self, message: UserMessage, *, remember: float = DAY) -> Begun: ...

    async def ready(self) -> Work: ...

    async def claim(self, conversation_id: str) -> Lease | None: ...

    def lease(self, conversation_id: str) -> AbstractAsyncContextManager[Lease]: ...

    async def resume(self, lease: Lease, domain: Domain) -> Tracker: ...

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> Lease | None: ...

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None: ...

    async def release(self, lease: Lease, *, failed: bool = False) -> None: ...

    async def arrival(self, lease: Lease) -> None: ...

    async def claim_outbox(self, conversation_id: str) -> OutboxLease | None: ...

    async def delivered(self, lease: OutboxLease) -> OutboxLease | None: ...

    async def postpone(self, lease: OutboxLease, seconds: float) -> None: ...

    async def give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None: ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]: ...

    async def revive(self, letter_id: str) -> bool: ...

    async def bury(self, letter_id: str) -> bool: ...

    async def pending(self) -> list[UserMessage]: ...

    async def load(self, conversation_id: str, domain: Domain) -> Tracker: ...

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None: ...

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]: ...

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]: ...

    async def delete(self, conversation_id: str) -> None: ...

    async def feed(self, limit: int = 100) -> list[Published]: ...

    async def published(self, turns: Sequence[Published]) -> None: ...

    async def reseal(self) -> int: ...

    async def close(self) -> None: ...


# ---- the event stream ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as it goes out: `body` is Rasa's JSON of it.

    `id` is the same however often the event is sent, and never that of another (at most 255 bytes).
    """

    id: str
    conversation_id: str
    sender_id: str
    body: bytes


class EventBroker(Protocol):
    """Where every event of every conversation goes (`event_broker` in endpoints.yml or config.yml).

    `publish` returns when the broker has all events for good, and raises an `EndpointError` otherwise: then they are
    published again, all of them. Of one conversation no event is sent before the one that is ahead of it has arrived.
    """

    async def publish(self, events: Sequence[StreamedEvent]) -> None: ...

    async def close(self) -> None: ...
