"""The webhook channel of the fault suite: signed, redelivering, rate-limited, as the real platforms are.

The platform posts `{"envelope": …, "message": {"id", "from", "text", "at"}}`, signed over the raw body and the time of
sending; a message that comes again comes in another envelope. Replies go to its `/send` with an idempotency key.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiohttp
import sabotage
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.assistant import Assistant
from bot.errors import DeliveryError, InvalidSignature
from bot.http import answer_json, bad_request, id_of, object_of, parse_json, read_body, text_of
from bot.interfaces import Delivery
from bot.messages import UserMessage

LEEWAY = 300.0
"""Seconds that the time of a signed request may differ from ours: an older one is somebody's recording."""


class Hook:
    """`secret` signs what comes in, `platform` is the address that replies go to, `timeout` is in seconds.

    What comes within `wait` seconds is one turn.
    """

    name = "hook"

    def __init__(self, *, secret: str, platform: str, timeout: float = 10.0, wait: float = 0.0) -> None:
        self.secret = secret
        self.wait = wait
        self._platform = platform.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(timeout)
        self._session: aiohttp.ClientSession | None = None

    def routes(self, assistant: Assistant) -> Sequence[Route]:
        return [Route(f"/webhooks/{self.name}/webhook", partial(receive, self, assistant), methods=["POST"])]

    async def send(self, delivery: Delivery) -> None:
        sabotage.passage("delivery.before", delivery.conversation_id, delivery.message.text)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        what = f"a reply to {delivery.conversation_id}"
        try:
            async with self._session.post(
                f"{self._platform}/send",
                json={"channel": self.name, "to": delivery.sender_id, "text": delivery.message.text},
                headers={"Idempotency-Key": delivery.key},
            ) as response:
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DeliveryError(f"{what}: the platform did not answer ({type(error).__name__})") from error
        sabotage.passage("delivery.after", delivery.conversation_id, delivery.message.text)
        if response.status != 200:
            raise delivery_error(what, response.status, body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Row(Hook):
    """The same platform, for customers who type in a row."""

    name = "row"


def delivery_error(what: str, status: int, body: Any) -> DeliveryError:
    """What a refusal of the platform means: later, or never."""
    return DeliveryError(
        f"{what}: the platform answered {status}",
        status=status,
        retry_after=body.get("retry_after") if isinstance(body, dict) else None,
        is_final=400 <= status < 500 and status != 429,
    )


async def receive(hook: Hook, assistant: Assistant, request: Request) -> Response:
    """200 when the message is durable, and only then; the platform keeps it otherwise."""
    body = await read_body(request)
    time_sent, given = (request.headers.get(f"x-hook-{name}", "") for name in ("time", "signature"))
    check_signature(hook.secret, time_sent, given, body)
    message = read_message(parse_json(body), hook.name)
    request.scope["conversation_id"] = message.conversation_id
    await assistant.accept(message)
    return answer_json({"ok": True})


def signature(secret: str, sent_at: str, body: bytes) -> str:
    """Of the raw body and the time of sending (seconds since 1970, as written)."""
    return hmac.new(secret.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()


def check_signature(secret: str, sent_at: str, given: str, body: bytes) -> None:
    """`InvalidSignature` unless the platform signed exactly this, a moment ago."""
    if not hmac.compare_digest(signature(secret, sent_at, body).encode(), given.encode()):
        raise InvalidSignature("the signature is not that of this body: check the channel's secret on both sides")
    try:
        age = abs(time.time() - float(sent_at))
    except ValueError:
        age = LEEWAY + 1
    if not age <= LEEWAY:
        raise InvalidSignature("the request was signed too long ago: check the clocks, and send it again")


def read_message(data: Any, channel: str) -> UserMessage:
    """The platform's envelope as our message. The key is the message's id, never the envelope's."""
    if not isinstance(data, dict):
        raise bad_request("The body must be a JSON object.")
    message = object_of(data, "message")
    message_id, sender = id_of(message, "id"), id_of(message, "from")
    if not message_id or not sender:
        raise bad_request("'message' needs an 'id' and a 'from'.")
    at = message.get("at")
    return UserMessage(
        text=text_of(message, "text"),
        sender_id=sender,
        channel=channel,
        message_id=message_id,
        timestamp=float(at) if isinstance(at, int | float) else time.time(),
    )


sabotage.install()
