"""Runs an action by its name: a response, a form, a default action, or a custom one here or on an action server."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Mapping
from typing import Any, Protocol

from bot import default_actions
from bot.action_answers import ActionResult
from bot.custom_actions import run_action
from bot.domain import Domain
from bot.errors import ActionError, EndpointError, suggest
from bot.events import BotUttered, Event
from bot.forms import run_form
from bot.messages import EMPTY, BotMessage
from bot.responses import choose, message_from, named, render, says_something
from bot.tracker import Tracker

log = logging.getLogger(__name__)

SORRY = {
    "en": "Sorry, something went wrong on our side. Please try again in a moment.",
    "zh": "抱歉，我们这边出了点问题，请稍后再试。",
}


class RemoteActions(Protocol):
    """An action server (see `bot/remote_actions.py`)."""

    async def run(
        self, action_name: str, tracker: Tracker, domain: Domain, *, idempotency_key: str = ""
    ) -> ActionResult: ...

    async def close(self) -> None: ...


class NLG(Protocol):
    """A server that words the responses (see `bot/nlg.py`)."""

    async def say(
        self, name: str, tracker: Tracker, *, values: Mapping[str, Any] = EMPTY, response_id: str | None = None
    ) -> BotMessage: ...

    async def close(self) -> None: ...


class Actions:
    """Everything the bot can do. `custom` are instances by name; `remote` runs what is not among them.

    `nlg` words the responses; where it fails, those of the domain are said. `identity_key` signs what joins channels.
    """

    def __init__(
        self,
        domain: Domain,
        custom: Mapping[str, Any] | None = None,
        remote: RemoteActions | None = None,
        *,
        nlg: NLG | None = None,
        seed: int | None = None,
        identity_key: str = "",
    ) -> None:
        self.domain = domain
        self.identity_key = identity_key
        self._custom = dict(custom or {})
        self._remote = remote
        self._nlg = nlg
        self._draw = random.Random(seed)
        self._known = {*domain.responses, *domain.forms, *domain.actions, *domain.action_texts, *default_actions.ALL}

    async def close(self) -> None:
        """Keep no connection to a server from now on; a turn in hand may still run actions."""
        for server in (self._remote, self._nlg):
            if server is not None:
                await server.close()

    def has(self, name: str) -> bool:
        """Whether the domain, or the framework, knows an action of this name."""
        return name in self._known

    def is_custom(self, name: str) -> bool:
        """Whether this runs code of the project's, here or on an action server, which may do something elsewhere."""
        return name in self._custom or (self._remote is not None and self._is_remote(name))

    def is_amendable(self, name: str) -> bool:
        """Whether the action only words an answer, so that it may be broken off when the customer says more."""
        return bool(getattr(self._custom.get(name), "amendable", False))

    def with_custom(self, custom: Mapping[str, Any]) -> Actions:
        """The same, with these custom actions in place of those of their names."""
        other = copy.copy(self)
        other._custom = {**self._custom, **custom}
        return other

    async def run(self, name: str, tracker: Tracker) -> list[Event]:
        """The events of the action; bot messages are events, too. `tracker` is not changed.

        Raises `ActionRejected` when it declines and `ActionError` when it fails.
        """
        if self.is_custom(name):
            return await self._run_custom(name, tracker)
        if name in default_actions.ALL:
            return await default_actions.ALL[name](tracker, self)
        if name in self.domain.forms:
            return await run_form(self.domain.forms[name], tracker, self)
        if name in self.domain.action_texts:
            return [BotUttered.of(BotMessage(text=name))]
        if name.startswith("utter_"):
            return [*await self.utter(name, tracker)]
        raise ActionError(f"there is no action called '{name}'.{suggest(name, self._known)}")

    def _is_remote(self, name: str) -> bool:
        return name in self.domain.actions and name not in self.domain.responses and not name.startswith("utter_")

    async def _run_custom(self, name: str, tracker: Tracker) -> list[Event]:
        if name in self._custom:
            result = await run_action(self._custom[name], tracker, self.domain, idempotency_key=tracker.idempotency_key)
        else:
            assert self._remote is not None
            result = await self._remote.run(name, tracker, self.domain, idempotency_key=tracker.idempotency_key)
        said = [await self._said(data, tracker) for data in result.messages]
        return [*(BotUttered.of(message) for message in said if message), *result.events]

    async def _said(self, data: Mapping[str, Any], tracker: Tracker) -> BotMessage | None:
        name, values = named(data)
        base = await self._respond(name, tracker, values) if name else BotMessage()
        return message_from(data, base) if base else None

    async def utter(self, name: str, tracker: Tracker, values: Mapping[str, Any] = EMPTY) -> list[BotUttered]:
        """The domain's response as an event, none when the domain has no such response. `values` are its variables'.

        `utter_faq` of a retrieval intent `faq` says what the response selector has chosen.
        """
        if name not in self.domain.responses and tracker.latest_message:
            full = tracker.latest_message.full_intent_name or ""
            if full.startswith(name.removeprefix("utter_") + "/"):
                name = f"utter_{full}"
        message = await self._respond(name, tracker, values)
        return [BotUttered.of(message)] if message else []

    async def _respond(self, name: str, tracker: Tracker, values: Mapping[str, Any] = EMPTY) -> BotMessage | None:
        """The response as the NLG server words it, or else as the domain does; None when neither has it."""
        if self._nlg is not None:
            chosen = choose(
                self.domain.responses.get(name, ()), tracker.slots, tracker.latest_input_channel, self._draw
            )
            try:
                said = await self._nlg.say(name, tracker, values=values, response_id=chosen.id if chosen else None)
                return said if says_something(said) else None
            except EndpointError as error:
                if not chosen:
                    raise ActionError(f"response '{name}': {error}") from error
                log.error("conversation %s: response '%s': %s", tracker.conversation_id, name, error)
        return render(name, self.domain, tracker, self._draw, values)

    def apologise(self, tracker: Tracker) -> list[BotUttered]:
        """What the customer hears when an action failed: the domain's `utter_error`, or our own words."""
        message = render("utter_error", self.domain, tracker, self._draw)
        return [BotUttered.of(message or BotMessage(text=SORRY.get(tracker.language or "en", SORRY["en"])))]

    def log_failure(self, error: Exception, tracker: Tracker) -> None:
        """One line: which conversation, what failed, and why; nothing that the customer said."""
        log.error("conversation %s: %s", tracker.conversation_id, error)
