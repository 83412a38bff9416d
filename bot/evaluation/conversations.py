"""Whole conversations with their actions."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant
from bot.errors import ConfigError, Source
from bot.events import ActionExecuted, Event
from bot.messages import UserMessage
from bot.shell import as_text
from bot.tracker import LISTEN

STEP_KEYS = ("user", "bot", "action", "slot")


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a conversation: `kind` is user, bot, action or slot."""

    kind: str
    value: Any
    source: Source


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with what must come back."""

    name: str
    checks: tuple[Check, ...]
    language: str | None
    setup: str | None
    source: Source


async def test_conversation(conversation: Conversation, number: int, assistant: Assistant) -> str | None:
    """What went otherwise, with its place; None when all went as it should."""
    if conversation.setup:
        await set_up(conversation.setup)
    sender = f"conversation-{number}"
    turn = _Turn()
    for check in conversation.checks:
        problem = None
        match check.kind:
            case "user":
                turn = await _say(check.value, sender, conversation.language, assistant)
            case "bot":
                problem = turn.match(check.value)
            case "action":
                if check.value not in turn.actions:
                    problem = f"'{check.value}' did not run; these did: {', '.join(turn.actions) or 'none'}"
            case _:
                problem = await _wrong_slots(check.value, sender, assistant)
        if problem:
            return f"{check.source}: '{conversation.name}': {problem}"
    return None


@dataclass(slots=True)
class _Turn:
    """What came back after a message. `unmatched` are the replies after what the checks have found so far."""

    unmatched: str = ""
    actions: list[str] = field(default_factory=list)

    def match(self, pattern: str) -> str | None:
        end = _end_of(pattern, self.unmatched)
        if end is None:
            return f"no reply has '{pattern}'; there is: {self.unmatched.strip() or '(nothing)'}"
        self.unmatched = self.unmatched[end:]
        return None


def _end_of(pattern: str, text: str) -> int | None:
    """Where the first match ends: of the words as they stand, else of the regular expression."""
    if pattern in text:
        return text.index(pattern) + len(pattern)
    try:
        match = re.search(pattern, text, re.DOTALL)
    except re.error:
        return None
    return match.end() if match else None


async def _say(text: str, sender: str, language: str | None, assistant: Assistant) -> _Turn:
    message = UserMessage(text=text, sender_id=sender, channel="test", language=language)
    before = (await assistant.tracker(message.conversation_id)).event_count
    replies = await assistant.handle(message)
    events: Sequence[Event] = await assistant.store.events(message.conversation_id, after=before)
    ran = [event.name for event in events if isinstance(event, ActionExecuted) and event.name]
    return _Turn("\n".join(map(as_text, replies)), [name for name in ran if name != LISTEN])


async def _wrong_slots(expected: Mapping[str, Any], sender: str, assistant: Assistant) -> str | None:
    slots = (await assistant.tracker(f"test:{sender}")).slots
    wrong = [
        f"slot '{name}' is {slots.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if slots.get(name) != value
    ]
    return "; ".join(wrong) or None


async def set_up(name: str) -> None:
    """Call `module:function`, sync or async."""
    module, _, attribute = name.partition(":")
    try:
        function: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the setup '{name}' cannot be imported: {error}") from error
    try:
        returned = function()
        if inspect.isawaitable(returned):
            await returned
    except Exception as error:
        raise ConfigError(f"the setup '{name}' failed: {type(error).__name__}: {error}") from error
