"""Holds dialogues with our own engine, and tells them in the shape of `in_rasa.py`."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bot.assistant import Assistant
from bot.certify.copies import copy_of, standing_in
from bot.certify.dialogues import Dialogue, answer
from bot.certify.in_rasa import has_actions
from bot.certify.turns import Turn, read_turn
from bot.domain import REQUESTED_SLOT
from bot.evaluation.conversations import set_up
from bot.events import event_to_json
from bot.messages import Entity, Intent, Parse, UserMessage
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.tracker import Tracker
from bot.training import load_assistant

MOST_AGAIN = 3
"""How often one slot is answered before a walk gives its form up."""


@dataclass(slots=True)
class Held:
    """A dialogue as it went; `failures` are our own words on actions that failed, by turn."""

    dialogue: Dialogue
    turns: list[Turn] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def says(self) -> list[str]:
        return [turn.said for turn in self.turns]


def hold_here(
    root: Path, model: Path, dialogues: Sequence[Dialogue], understood: Mapping[str, Any] | None = None
) -> list[Held]:
    """Hold each dialogue, as a sender of its own, in a fresh copy of the project, and answer what a form asks.

    A text in `understood` is taken to mean what its parse result says, whatever our own pipeline makes of it.
    """
    with copy_of(root) as folder, standing_in(folder):
        project = in_process(load_project(folder))
        return asyncio.run(_hold_all(project, model, dialogues, understood))


def in_process(project: Project) -> Project:
    """Its own actions run in this process, whatever server endpoints.yml names: Rasa gets a server of its own."""
    if not has_actions(project.root):
        return project
    return dataclasses.replace(project, config=dataclasses.replace(project.config, action_endpoint=None))


async def _hold_all(
    project: Project, model: Path, dialogues: Sequence[Dialogue], understood: Mapping[str, Any] | None
) -> list[Held]:
    assistant = load_assistant(project, model=model, store=MemoryStore())
    await assistant.start()
    if understood is not None:
        assistant.understanding = _Understood(understood, assistant.understanding)  # type: ignore[assignment]
    try:
        return [await _hold(assistant, project, one, f"sender-{number}") for number, one in enumerate(dialogues)]
    finally:
        await assistant.close()


async def _hold(assistant: Assistant, project: Project, dialogue: Dialogue, sender: str) -> Held:
    if dialogue.setup:
        await set_up(dialogue.setup)
    held = Held(dialogue)
    async for said in _messages(assistant, project, dialogue, sender):
        with _Failures() as failures:
            held.turns.append(await _say(assistant, said, sender, dialogue.language))
        if failures.words:
            held.failures[len(held.turns) - 1] = failures.words
    return held


async def _messages(assistant: Assistant, project: Project, dialogue: Dialogue, sender: str) -> AsyncIterator[str]:
    for one in dialogue.says:
        if isinstance(one, str):
            yield one
            continue
        again: dict[str, int] = {}
        while said := _answer(await assistant.tracker(f"rest:{sender}"), again, project):
            yield said


def _answer(tracker: Tracker, again: dict[str, int], project: Project) -> str | None:
    """What to say to the running form; None when none runs, or it does not get on."""
    loop, asked = tracker.active_loop_name, tracker.slots.get(REQUESTED_SLOT)
    if loop is None or asked is None or loop not in project.domain.forms or asked not in project.domain.slots:
        return None
    number = again.get(asked, 0)
    again[asked] = number + 1
    return answer(project.domain.slots[asked], loop, number, project) if number < MOST_AGAIN else None


async def _say(assistant: Assistant, said: str, sender: str, language: str | None) -> Turn:
    payload = said if said.startswith("/") else None
    message = UserMessage(text=said, payload=payload, sender_id=sender, language=language)
    before = (await assistant.tracker(message.conversation_id)).event_count
    started = time.perf_counter()
    await assistant.handle(message)
    seconds = time.perf_counter() - started
    events = [event_to_json(event) for event in await assistant.store.events(message.conversation_id, after=before)]
    tracker = await assistant.tracker(message.conversation_id)
    told = {
        "said": said,
        "seconds": seconds,
        "events": events,
        "slots": tracker.slots,
        "active_loop": tracker.active_loop_name,
    }
    # As JSON, because that is how Rasa's side comes.
    return read_turn(orjson.loads(orjson.dumps(told, default=str)))


class _Understood:
    """In place of the pipeline: a text means what somebody else made of it."""

    def __init__(self, parses: Mapping[str, Any], own: Any) -> None:
        self._parses = parses
        self._own = own

    def close(self) -> None:
        self._own.close()

    async def parse(self, text: str) -> Parse:
        found = self._parses.get(text)
        if not found:
            parse: Parse = await self._own.parse(text)
            return parse
        intent = found.get("intent") or {}
        return Parse(
            text=text,
            intent=Intent(intent.get("name"), intent.get("confidence") or 0.0),
            intent_ranking=[
                Intent(one.get("name"), one.get("confidence") or 0.0) for one in found.get("intent_ranking") or []
            ],
            entities=[Entity.from_json(entity) for entity in found.get("entities") or []],
            response_selector=found.get("response_selector") or {},
        )


class _Failures(logging.Handler):
    """While open: what our log says of actions that failed."""

    _log = logging.getLogger("bot.action_execution")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        # Without the conversation, which means nothing here.
        self.words = self.words or record.getMessage().partition(": ")[2]

    def __enter__(self) -> _Failures:
        self._propagates = self._log.propagate
        self._log.propagate = False
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagates
