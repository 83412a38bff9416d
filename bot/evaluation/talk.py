"""A customer who talks to the bot: what they say, what comes back, and what happened meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.assistant import Assistant
from bot.errors import FrontdeskError
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered
from bot.messages import EMPTY, BotMessage, UserMessage
from bot.shell import as_text
from bot.tracker import LISTEN, Tracker

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """One message and all that followed until the bot listened. `slots` are the values afterwards.

    `failures` say which actions failed, where, and with what.
    """

    said: str
    replies: tuple[BotMessage, ...]
    events: tuple[Event, ...]
    slots: Mapping[str, Any]
    active_loop: str | None
    failures: tuple[str, ...] = ()

    @property
    def intent(self) -> str | None:
        """As it was understood; `faq/ask_name` for a retrieval intent."""
        return next((event.full_intent_name for event in self.events if isinstance(event, UserUttered)), None)

    @property
    def actions(self) -> list[str]:
        """What ran, in order, without the listening."""
        ran = (event.name or event.action_text for event in self.events if isinstance(event, ActionExecuted))
        return [name for name in ran if name and name != LISTEN]

    @property
    def text(self) -> str:
        """All that was said, as a terminal shows it."""
        return "\n".join(map(as_text, self.replies))

    @property
    def buttons(self) -> list[Mapping[str, Any]]:
        return [button for reply in self.replies for button in (*reply.buttons, *reply.quick_replies)]

    def transcript(self) -> list[str]:
        """The turn as lines for a reader."""
        lines = [f"customer: {self.said}"]
        lines.append(f"          ({self.intent or 'nothing understood'}: {', '.join(self.actions) or 'nothing ran'})")
        for reply in self.replies:
            first, *more = as_text(reply).splitlines() or [""]
            lines += [f"bot:      {first}", *(f"          {line}" for line in more)]
        lines += [f"          ! {failure}" for failure in self.failures]
        changed = {event.name: event.value for event in self.events if isinstance(event, SlotSet)}
        changes = [f"{name} = {value!r}" for name, value in changed.items()]
        changes += [f"form = {event.name}" for event in self.events if isinstance(event, ActiveLoopChanged)]
        if changes:
            lines.append(f"          [{', '.join(changes)}]")
        return lines


class Talk:
    """One conversation. `sender_id` is drawn where none is given; `metadata` goes with every message.

    `obeys_payloads`: what is typed as `/intent{…}` is obeyed, as in Rasa; else only a button's payload is.
    """

    def __init__(
        self,
        assistant: Assistant,
        *,
        sender_id: str | None = None,
        channel: str = "test",
        language: str | None = None,
        metadata: Mapping[str, Any] = EMPTY,
        obeys_payloads: bool = False,
    ) -> None:
        self.assistant = assistant
        self.sender_id = sender_id or f"customer-{next(_numbers)}"
        self.channel = channel
        self.language = language
        self.metadata = metadata
        self.obeys_payloads = obeys_payloads
        self.turns: list[TurnTaken] = []

    @property
    def conversation_id(self) -> str:
        return f"{self.channel}:{self.sender_id}"

    async def begin(self, slots: Mapping[str, Any]) -> None:
        """Start the session, with these slots set."""
        async with self.assistant.turn(self.conversation_id) as (assistant, tracker):
            await assistant.start_session_if_due(tracker)
            tracker.apply_all(SlotSet(name=name, value=value) for name, value in slots.items())

    async def say(self, text: str, *, metadata: Mapping[str, Any] = EMPTY) -> TurnTaken:
        """Say something, or press a button by giving its payload."""
        is_payload = self.obeys_payloads and text.startswith("/")
        message = UserMessage(
            text=text,
            payload=text if is_payload else None,
            sender_id=self.sender_id,
            channel=self.channel,
            language=self.language,
            metadata={**self.metadata, **metadata},
        )
        before = (await self.tracker()).event_count
        with _failures() as failures:
            replies = await self.assistant.handle(message)
        events = await self.assistant.store.events(self.conversation_id, after=before)
        tracker = await self.tracker()
        slots, loop = dict(tracker.slots), tracker.active_loop_name
        turn = TurnTaken(text, tuple(replies), tuple(events), slots, loop, tuple(failures))
        self.turns.append(turn)
        return turn

    async def press(self, title: str) -> TurnTaken:
        """Press the latest button of this title."""
        buttons = [button for turn in self.turns for button in turn.buttons]
        found = [button for button in buttons if button.get("title") == title]
        if not found:
            titles = [str(button.get("title")) for button in buttons]
            raise FrontdeskError(f"no button '{title}' was offered; these were: {', '.join(titles) or 'none'}")
        return await self.say(str(found[-1].get("payload") or title))

    async def tracker(self) -> Tracker:
        return await self.assistant.tracker(self.conversation_id)


@contextlib.contextmanager
def _failures() -> Iterator[list[str]]:
    """What is logged of actions that fail, with the words of their own exceptions: a test holds no customer's."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = next((one for one in record.args or () if isinstance(one, Exception)), None)
            cause = f": {error.__cause__}" if error and error.__cause__ and str(error.__cause__) else ""
            found.append(f"{error or record.getMessage()}{cause}")

    log = logging.getLogger("bot.action_execution")
    listener, propagates = Listener(logging.ERROR), log.propagate
    log.addHandler(listener)
    log.propagate = False
    try:
        yield found
    finally:
        log.removeHandler(listener)
        log.propagate = propagates
