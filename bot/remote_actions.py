"""Calls the actions of an existing rasa-sdk action server over HTTP.

Protocol: https://rasa.com/docs/rasa/action-server/pages/http-api/http-api-spec; the reply 449 (the server
has lost the domain) and `domain_digest` came with rasa-sdk 3.9.
"""

from __future__ import annotations

import hashlib
import ssl
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from bot.custom_actions import ActionResult, read_events
from bot.domain import Domain
from bot.errors import ActionError, ActionRejected, ConfigError
from bot.events import Event
from bot.messages import EMPTY
from bot.stores import encode
from bot.tracker import Tracker
from bot.tracker_state import tracker_state

if TYPE_CHECKING:
    import httpx

RASA_VERSION = "3.6.21"
"""What we tell the action server: the Rasa whose shapes we speak."""


class RemoteActions:
    """An action server. The keywords are those of `action_endpoint` in endpoints.yml.

    `timeout` is in seconds; Rasa waits five minutes. `compress` deflates what is sent. The server gets
    the latest events of a conversation; `all_events` sends the whole history instead, as Rasa does, at
    a cost that grows with it. Create it and `run` it in one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] = EMPTY,
        params: Mapping[str, str] = EMPTY,
        basic_auth: Mapping[str, str] = EMPTY,
        token: str | None = None,
        token_name: str = "token",
        cafile: str | None = None,
        enable_selective_domain: bool = False,
        timeout: float = 300.0,
        compress: bool = False,
        all_events: bool = False,
    ) -> None:
        import httpx

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the 'url' of action_endpoint must be like http://localhost:5055/webhook")
        if cafile is not None and not Path(cafile).is_file():
            raise ConfigError(f"the 'cafile' of action_endpoint does not exist: {cafile}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        # Passwords and tokens may stand in a URL; they must not stand in a log.
        self.shown_url = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self.all_events = all_events
        self._url = httpx.URL(url).copy_merge_params({**params, **({token_name: token} if token else {})})
        self._selective = enable_selective_domain
        self._compress = compress
        self._domain_json: tuple[Domain, bytes, str] | None = None
        self._client = httpx.AsyncClient(
            headers={**headers, "Content-Type": "application/json"},
            auth=(basic_auth["username"], basic_auth["password"]) if basic_auth else None,
            verify=ssl.create_default_context(cafile=cafile) if parts.scheme == "https" else True,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
            # The address in endpoints.yml is meant, not a proxy that the environment happens to name.
            trust_env=False,
        )

    async def run(
        self,
        action_name: str,
        tracker: Tracker,
        domain: Domain,
        *,
        idempotency_key: str = "",
        earlier_events: Sequence[Event] = (),
    ) -> ActionResult:
        """Have the server run this action.

        `earlier_events` are those before `tracker.events`: what a caller reads from the store when
        `all_events` is set. Raises `ActionRejected` when the action declines, `ActionError` otherwise.
        """
        state = tracker_state(tracker, [*earlier_events, *tracker.events], "ALL")
        domain_json, digest = self._describe(domain)
        call: dict[str, Any] = {
            "next_action": action_name,
            "sender_id": tracker.sender_id,
            "tracker": state,
            "version": RASA_VERSION,
            "domain_digest": digest,
        }
        if not self._selective or _wants_domain(action_name, domain):
            call["domain"] = orjson.Fragment(domain_json)
        response = await self._post(action_name, call, idempotency_key)
        if response.status_code == 449 and "domain" not in call:
            call["domain"] = orjson.Fragment(domain_json)
            response = await self._post(action_name, call, idempotency_key)
        return self._read(response, action_name, domain)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, action_name: str, call: Mapping[str, Any], idempotency_key: str) -> httpx.Response:
        import httpx

        body = encode(call)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        if self._compress:
            body = zlib.compress(body)
            headers["Content-Encoding"] = "deflate"
        try:
            return await self._client.post(self._url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            problem = "did not answer in time"
            raise ActionError(f"action '{action_name}': the action server {self.shown_url} {problem}") from error
        except httpx.HTTPError as error:
            problem = f"cannot be reached ({type(error).__name__}). Is it running?"
            raise ActionError(f"action '{action_name}': the action server {self.shown_url} {problem}") from error

    def _read(self, response: httpx.Response, action_name: str, domain: Domain) -> ActionResult:
        # The server's own words are not repeated: they may hold what a customer said.
        about = f"action '{action_name}': the action server {self.shown_url}"
        try:
            answer = orjson.loads(response.content)
        except ValueError as error:
            raise ActionError(f"{about} answered {response.status_code} with something that is no JSON") from error
        match response.status_code:
            case 200 if answer is None:
                return ActionResult()
            case 200:
                return ActionResult(*_events_and_messages(answer, about, action_name, domain))
            case 400 if isinstance(answer, dict) and answer.get("action_name"):
                raise ActionRejected(action_name)
            case 401 | 403:
                raise ActionError(f"{about} refused us ({response.status_code}): check 'token' in endpoints.yml")
            case 404:
                raise ActionError(f"{about} does not know this action: is its class registered there?")
            case status:
                raise ActionError(f"{about} answered {status}: its log has the reason")

    def _describe(self, domain: Domain) -> tuple[bytes, str]:
        """The domain as JSON, and its digest; kept, because the same domain is sent with each call."""
        if self._domain_json is None or self._domain_json[0] is not domain:
            described = encode(domain.raw)
            self._domain_json = (domain, described, hashlib.sha256(described).hexdigest())
        return self._domain_json[1:]


def _events_and_messages(
    answer: Any, about: str, action_name: str, domain: Domain
) -> tuple[list[Event], list[dict[str, Any]]]:
    messages = (answer.get("responses") or []) if isinstance(answer, dict) else None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ActionError(f"{about} answered something else than events and responses")
    return read_events(answer.get("events"), action_name, domain), messages


def _wants_domain(action_name: str, domain: Domain) -> bool:
    """Whether the domain lists the action with `send_domain: true`."""
    for entry in domain.raw.get("actions") or ():
        if isinstance(entry, Mapping) and action_name in entry:
            options = entry[action_name]
            return bool(isinstance(options, Mapping) and options.get("send_domain"))
    return False
