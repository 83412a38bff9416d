"""Everything that can be plugged in, on one page.

| to add        | write one file                | that holds one class with                                |
|---------------|-------------------------------|----------------------------------------------------------|
| component     | bot/nlu/spelling_corrector.py | `parse(parses)`; if it learns: `train`, `save`, `load`    |
| policy        | bot/policies/my_policy.py     | `priority`, `predict(tracker, domain)`; the same three    |
| action        | actions/refund.py             | `name()`, `run(dispatcher, tracker, domain)`              |
| channel       | channels/whatsapp.py          | `routes(assistant)`, `send(sender_id, messages)`          |
| LLM provider  | bot/llm/mistral.py            | `complete(messages, deadline)`                            |
| store         | bot/stores/postgres.py        | the calls of `Store`                                  |

A name in config.yml is a file in one of these folders (`telegram` is channels/telegram.py,
`DIETClassifier` is bot/nlu/diet_classifier.py), or `"package.module:Class"` of the user's own.
Constructor keywords are the configuration schema.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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
    happen once. The returned events are ours (`bot.events`) or rasa-sdk's dictionaries.
    """

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
    """One platform: its routes under `/webhooks/<name>/`, and how a message reaches a customer there."""

    name: str

    def routes(self, assistant: Assistant) -> Sequence[BaseRoute]: ...

    async def send(self, sender_id: str, messages: Sequence[BotMessage]) -> None: ...


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


@dataclass(frozen=True, slots=True)
class Turn:
    """All that a turn leaves behind, stored whole or not at all.

    `events` are new, in order; the replies are its `BotUttered`s. `message_id` is the inbox message
    it consumed (None when an API caller appended events).
    """

    conversation_id: str
    events: tuple[Event, ...]
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit to one conversation. A higher `token` has taken over from a lower one."""

    conversation_id: str
    token: int


class Store(Protocol):
    """Conversations, durable to the degree that the store promises. One contract test runs over all.

    `accept` puts a message into the inbox and answers False when that (conversation, message id) was
    there before, consumed or not. `pending` lists what was accepted and not consumed, oldest first.
    `lease` gives one turn at a time per conversation, in the order of asking. `load` returns a fresh
    tracker, empty for a new conversation; its cost does not depend on the length of the history.
    `commit` stores turn, snapshot (the tracker after the turn) and the consumed message id in one step;
    the message need not have been accepted. It raises `LeaseLost`, and stores nothing, when another
    holder has the lease, the conversation has moved on, or the message was answered before; a value that
    is no JSON is a `StoreError` that names the event. `replace` stores a turn and its snapshot in place of
    all that there was, under the same conditions; messages that were answered stay answered. `replies`
    answers a message that comes again (None: not consumed yet). `events` reads the history, oldest first.
    `conversation_ids` lists those after an id, in the order of their letters. `delete` erases a conversation
    wholly, and a turn under way can no longer be committed.
    """

    async def accept(self, message: UserMessage) -> bool: ...

    async def pending(self) -> list[UserMessage]: ...

    def lease(self, conversation_id: str) -> AbstractAsyncContextManager[Lease]: ...

    async def load(self, conversation_id: str, domain: Domain) -> Tracker: ...

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> None: ...

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None: ...

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None: ...

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]: ...

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]: ...

    async def delete(self, conversation_id: str) -> None: ...

    async def close(self) -> None: ...
