"""Calls the actions of an existing rasa-sdk action server over HTTP.

Protocol: https://rasa.com/docs/rasa/action-server/pages/http-api/http-api-spec; the reply 449 (the server
has lost the domain) and `domain_digest` came with rasa-sdk 3.9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from bot.action_answers import ActionResult, read_events, read_messages
from bot.domain import Domain
from bot.endpoint import Answer, Endpoint
from bot.errors import ActionError, ActionRejected, EndpointError
from bot.events import Event
from bot.messages import EMPTY
from bot.stores import encode
from bot.tracker import RECENT_EVENTS, Tracker
from bot.tracker_state import tracker_state

RASA_VERSION = "3.6.21"
"""What we tell the action server: the Rasa whose shapes we speak."""
MOST_EVENTS = 2 * RECENT_EVENTS
"""How many of a conversation's latest events are sent: those it was loaded with, and a long turn's."""


class _History(Protocol):
    def __call__(self, conversation_id: str, *, limit: int | None = None) -> Awaitable[Sequence[Event]]: ...


class RemoteActions:
    """An action server. The keywords are those of `action_endpoint` in endpoints.yml.

    `timeout` is in seconds; Rasa waits five minutes, a customer does not. `compress` deflates what is sent.
    The server gets the latest events of a conversation; `all_events` sends the whole history instead, as
    Rasa does, at a cost that grows with it: `history` is then where it is read. Create it and `run` it in
    one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, Any] = EMPTY,
        params: Mapping[str, Any] = EMPTY,
        basic_auth: Mapping[str, Any] = EMPTY,
        token: str | None = None,
        token_name: str = "token",
        cafile: str | None = None,
        enable_selective_domain: bool = False,
        timeout: float = 60.0,
        compress: bool = False,
        all_events: bool = False,
    ) -> None:
        self._server = Endpoint(
            "the action server",
            "action_endpoint",
            url,
            headers=headers,
            params=params,
            basic_auth=basic_auth,
            token=token,
            token_name=token_name,
            cafile=cafile,
            timeout=timeout,
            compress=compress,
        )
        self.history: _History | None = None
        self._all_events = all_events
        self._selective = enable_selective_domain
        self._domain_json: tuple[Domain, bytes, str] | None = None

    async def run(
        self, action_name: str, tracker: Tracker, domain: Domain, *, idempotency_key: str = ""
    ) -> ActionResult:
        """Have the server run this action. Raises `ActionRejected` when it declines, `ActionError` otherwise."""
        domain_json, digest = self._describe(domain)
        call: dict[str, Any] = {
            "next_action": action_name,
            "sender_id": tracker.sender_id,
            "tracker": tracker_state(tracker, await self._events(tracker), "ALL"),
            "version": RASA_VERSION,
            "domain_digest": digest,
        }
        if not self._selective or _wants_domain(action_name, domain):
            call["domain"] = orjson.Fragment(domain_json)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            answer = await self._server.ask(call, headers)
            if answer.status == 449 and "domain" not in call:
                call["domain"] = orjson.Fragment(domain_json)
                answer = await self._server.ask(call, headers)
            return self._read(answer, action_name, domain)
        except EndpointError as error:
            raise ActionError(f"action '{action_name}': {error}") from error

    async def close(self) -> None:
        await self._server.close()

    async def _events(self, tracker: Tracker) -> Sequence[Event]:
        if not self._all_events:
            return tracker.events[-MOST_EVENTS:]
        missing = tracker.event_count - len(tracker.events)
        earlier = await self.history(tracker.conversation_id, limit=missing) if self.history and missing > 0 else []
        return [*earlier, *tracker.events]

    def _read(self, answer: Answer, action_name: str, domain: Domain) -> ActionResult:
        match answer:
            case Answer(200, None):
                return ActionResult()
            case Answer(200, {**content}):
                said = content.get("responses") or []
                if not isinstance(said, list):
                    raise self._server.failed("answered something else than events and responses")
                return ActionResult(
                    read_events(content.get("events"), action_name, domain), read_messages(said, action_name)
                )
            case Answer(200):
                raise self._server.failed("answered something else than events and responses")
            case Answer(400, {"action_name": str()}):
                raise ActionRejected(action_name)
            case Answer(404):
                raise self._server.failed("does not know this action: is its class registered there?")
            case _:
                raise self._server.failed(f"answered {answer.status}: its log has the reason")

    def _describe(self, domain: Domain) -> tuple[bytes, str]:
        """The domain as JSON, and its digest; kept, because the same domain is sent with each call."""
        if self._domain_json is None or self._domain_json[0] is not domain:
            described = encode(domain.raw)
            self._domain_json = (domain, described, hashlib.sha256(described).hexdigest())
        return self._domain_json[1:]


def _wants_domain(action_name: str, domain: Domain) -> bool:
    """Whether the domain lists the action with `send_domain: true`."""
    for entry in domain.raw.get("actions") or ():
        if isinstance(entry, Mapping) and action_name in entry:
            options = entry[action_name]
            return bool(isinstance(options, Mapping) and options.get("send_domain"))
    return False
