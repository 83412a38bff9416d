"""Drive a bot in Python tests: talk to it, look at what it said and did, stand in for actions and services.

    import pytest
    from bot.testing import Bot

    @pytest.fixture(scope="module")
    def bot():
        with Bot.load("path/to/project") as bot:
            yield bot

    def test_the_balance_is_shown(bot):
        chat = bot.chat(slots={"customer_id": "C1"})
        with bot.stubs({"GET https://bank.example/accounts/*": {"json": {"balance": 100}}}) as services:
            turn = chat.say("what is my balance?")
        assert turn.text == "You have 100."
        assert turn.actions[-1] == "action_check_balance"
        assert services.calls[0].url == "https://bank.example/accounts/C1"

The same can be written as YAML and run with `frontdesk test`: see docs/testing.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bot.assistant import Assistant
from bot.certify.here import in_process
from bot.errors import FrontdeskError, Source
from bot.evaluation.conversations import open_origins
from bot.evaluation.services import Call, Services, standing_in
from bot.evaluation.stubs import StubbedAction, read_stubs
from bot.evaluation.talk import Talk, TurnTaken
from bot.messages import EMPTY, Parse
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.training import find_model, load_assistant, train
from bot.yaml_file import Fields, Problems, parse_yaml

__all__ = ["Bot", "Call", "Chat", "Services", "TurnTaken"]


class Bot:
    """A project's bot with conversations in memory. Use it in a `with`, and from code that is not async.

    Async tests await `bot.evaluation.talk.Talk(assistant)` themselves.
    """

    def __init__(self, project: Project, assistant: Assistant) -> None:
        self.project = project
        self.assistant = assistant
        self._runner = asyncio.Runner()

    @staticmethod
    def load(project: str | Path = ".", *, model: Path | None = None) -> Bot:
        """The bot of the project in this folder; trained first when its data have changed.

        The project's own actions run in this process, whatever server endpoints.yml names.
        """
        loaded = in_process(load_project(Path(project)))
        if model is None and find_model(loaded) is None:
            train(loaded)
        return Bot(loaded, load_assistant(loaded, model=model, store=MemoryStore()))

    def __enter__(self) -> Bot:
        self._runner.run(self.assistant.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self.assistant.close())
        self._runner.close()

    def chat(
        self,
        *,
        slots: Mapping[str, Any] = EMPTY,
        language: str | None = None,
        channel: str = "test",
        metadata: Mapping[str, Any] = EMPTY,
        obeys_payloads: bool = False,
    ) -> Chat:
        """A new conversation, which begins with these slots set; `metadata` goes with every message.

        `obeys_payloads`: `/intent{…}` is obeyed as from an authenticated caller, not only as a button's payload.
        """
        unknown = [name for name in slots if name not in self.project.domain.slots]
        if unknown:
            raise FrontdeskError(f"the domain has no slot called '{unknown[0]}'")
        talk = Talk(
            self.assistant, channel=channel, language=language, metadata=metadata, obeys_payloads=obeys_payloads
        )
        if slots:
            self._runner.run(talk.begin(slots))
        return Chat(talk, self._runner)

    def parse(self, text: str) -> Parse:
        """What is understood of a text."""
        return self._runner.run(self.assistant.parse(text))

    @contextlib.contextmanager
    def stubs(self, given: Mapping[str, Any] = EMPTY) -> Iterator[Services]:
        """While this lasts, these stand in for actions and outside services; no other call leaves the process.

        The keys and values are those of `stubs:` in a test file. What the services were asked is in the `calls`
        of what the `with` gives. A call that no stub answers is an AssertionError at its end.
        """
        problems = Problems()
        content = parse_yaml(json.dumps({"stubs": dict(given)}), "stubs", problems)
        found = read_stubs(Fields(content, Source("stubs"), "these", problems), "stubs", self.project.domain, problems)
        problems.raise_errors()
        assert found is not None
        actions = self.assistant.actions
        self.assistant.actions = actions.with_custom(
            {name: StubbedAction(stub) for name, stub in found.actions.items()}
        )
        try:
            with standing_in(Services(found.services, open_origins(self.project))) as services:
                yield services
        finally:
            self.assistant.actions = actions
        if services.unanswered:
            raise AssertionError(f"no stub answers {', '.join(dict.fromkeys(map(str, services.unanswered)))}")


class Chat:
    """One conversation: `say` and `press` take a turn each and give what came of it."""

    def __init__(self, talk: Talk, runner: asyncio.Runner) -> None:
        self._talk = talk
        self._runner = runner

    def say(self, text: str, *, metadata: Mapping[str, Any] = EMPTY) -> TurnTaken:
        """Say something, or press a button by giving its payload."""
        return self._runner.run(self._talk.say(text, metadata=metadata))

    def press(self, title: str) -> TurnTaken:
        """Press the latest button of this title."""
        return self._runner.run(self._talk.press(title))

    @property
    def turns(self) -> list[TurnTaken]:
        return self._talk.turns

    @property
    def slots(self) -> dict[str, Any]:
        return dict(self._runner.run(self._talk.tracker()).slots)

    def __str__(self) -> str:
        """The conversation as it went, for the message of a failed assertion."""
        return "\n".join(line for turn in self.turns for line in turn.transcript())
