"""Whole conversations with their actions: what the customer says, and what must come of it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.assistant import Assistant
from bot.errors import ConfigError, FrontdeskError, Source
from bot.evaluation.expectations import EXPECTATIONS, Latest
from bot.evaluation.services import Services, origin, standing_in
from bot.evaluation.stubs import StubbedAction, Stubs
from bot.evaluation.talk import Talk, TurnTaken
from bot.messages import EMPTY
from bot.project import Project

Origins = frozenset[tuple[str, str, int | None]]


@dataclass(frozen=True, slots=True)
class Step:
    """Something done (`user`, `button`, `wait`) or something that must be so; see `EXPECTATIONS` for the kinds.

    `words` are the step as it is written; `metadata` goes with what is said.
    """

    kind: str
    value: Any
    source: Source
    metadata: Mapping[str, Any] = EMPTY

    @property
    def words(self) -> str:
        value = self.value
        if isinstance(value, Mapping):
            value = ", ".join(f"{name}: {one}" for name, one in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "nothing"
        return f"{self.kind}: {value}"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with what must come back.

    `stubs` stand in for actions and services; where there are any (even none of a kind), no call of an action
    leaves this machine. `now` is what the clock says when it begins.
    """

    name: str
    steps: tuple[Step, ...]
    source: Source
    setup: str | None = None
    language: str | None = None
    channel: str = "test"
    metadata: Mapping[str, Any] = EMPTY
    slots: Mapping[str, Any] = EMPTY
    stubs: Stubs | None = None
    now: datetime | None = None
    obeys_payloads: bool = False


@dataclass(slots=True)
class ConversationResult:
    """How it went. `problem` says what went otherwise, None when nothing did; `at` is that step's place."""

    conversation: Conversation
    problem: str | None = None
    at: Source | None = None
    step: Step | None = None
    turns: list[TurnTaken] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.problem is not None

    def __str__(self) -> str:
        return f"{self.at}: '{self.conversation.name}': {self.problem}"

    def transcript(self) -> list[str]:
        """The conversation as it went, and at its end the step that was not met."""
        lines = [line for turn in self.turns for line in turn.transcript()]
        if self.step:
            lines.append(f"expected: {self.step.words}      <- {self.step.source}")
        return lines


def open_origins(project: Project) -> Origins:
    """What the bot itself calls: the action server and the components' servers (Duckling) are no outside services."""
    places = [project.config.action_endpoint, *project.config.pipeline]
    urls = [place.options.get("url") for place in places if place]
    return frozenset(origin(str(url)) for url in urls if url)


async def run_conversation(
    conversation: Conversation, assistant: Assistant, number: int = 0, open_origins: Origins = frozenset()
) -> ConversationResult:
    """Have the conversation, up to the first thing that goes otherwise. `open_origins` may be called for real."""
    result = ConversationResult(conversation)
    started = time.perf_counter()
    if conversation.setup:
        await set_up(conversation.setup)
    actions = assistant.actions
    stubs = conversation.stubs
    services = Services(stubs.services if stubs else (), open_origins)
    with contextlib.ExitStack() as stack:
        clock = stack.enter_context(_clock(conversation))
        if stubs is not None:
            stack.enter_context(standing_in(services))
            assistant.actions = actions.with_custom({name: StubbedAction(stub) for name, stub in stubs.actions.items()})
        try:
            await _Run(conversation, assistant, services, clock, result).go(number)
        finally:
            assistant.actions = actions
    result.seconds = time.perf_counter() - started
    return result


class _Run:
    """A conversation under way. The checks look at the latest turn."""

    def __init__(
        self,
        conversation: Conversation,
        assistant: Assistant,
        services: Services,
        clock: Any,
        result: ConversationResult,
    ) -> None:
        self.conversation = conversation
        self.services = services
        self.clock = clock
        self.result = result
        self.talk = Talk(
            assistant,
            channel=conversation.channel,
            language=conversation.language,
            metadata=conversation.metadata,
            obeys_payloads=conversation.obeys_payloads,
        )
        self.latest = Latest(TurnTaken("", (), (), EMPTY, None))

    async def go(self, number: int) -> None:
        self.talk.sender_id = f"conversation-{number}"
        if self.conversation.slots:
            await self.talk.begin(self.conversation.slots)
        for step in self.conversation.steps:
            problem = await self._take(step)
            if problem is None and self.services.unanswered:
                calls = dict.fromkeys(map(str, self.services.unanswered))
                problem = f"an action called what has no stub: {', '.join(calls)}"
            if problem:
                self.result.problem, self.result.at, self.result.step = problem, step.source, step
                break
        self.result.turns = self.talk.turns

    async def _take(self, step: Step) -> str | None:
        before = len(self.services.calls)
        try:
            match step.kind:
                case "user":
                    turn = await self.talk.say(step.value, metadata=step.metadata)
                case "button":
                    turn = await self.talk.press(step.value)
                case "wait":
                    self.clock.shift(step.value)
                    return None
                case kind:
                    return EXPECTATIONS[kind](self.latest, step.value)
        except FrontdeskError as error:
            return str(error)
        self.latest = Latest(turn, self.services.calls[before:], turn.text)
        return None


# ---- the clock -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _clock(conversation: Conversation) -> Iterator[Any]:
    """Another time for this process, where the conversation asks for one."""
    if conversation.now is None and not any(step.kind == "wait" for step in conversation.steps):
        yield None
        return
    import time_machine

    with time_machine.travel(conversation.now or datetime.now().astimezone(), tick=True) as clock:
        yield clock


def shift_of(text: str) -> timedelta | None:
    """`90 minutes`, `2 hours`, `1 day`, `30s`; None when it is none of these."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)(?:ec(?:ond)?s?|in(?:ute)?s?|ours?|ays?)?", text.strip())
    if match is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return timedelta(**{unit: float(match[1])})


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
