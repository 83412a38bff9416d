"""The REST channel: a message in, the replies out, in Rasa's shapes.

Source: https://rasa.com/docs/rasa/connectors/your-own-website#rest-channels
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.assistant import Assistant
from bot.errors import DeliveryError
from bot.http import answer_json, id_of, is_authenticated, message_id_of, object_of, read_json, text_of
from bot.interfaces import Delivery
from bot.messages import BotMessage, UserMessage


class Rest:
    """`POST /webhooks/rest/webhook`. The caller waits for the answer.

    `trust` says how surely callers are who they say they are: see docs/identity.md.
    """

    name = "rest"
    sends = False

    def __init__(self, *, trust: int = 1) -> None:
        self.trust = trust

    def routes(self, assistant: Assistant) -> Sequence[Route]:
        return [Route("/webhooks/rest/webhook", partial(receive, assistant), methods=["POST"])]

    async def send(self, delivery: Delivery) -> None:
        raise DeliveryError("a caller of REST can only be answered, not written to", is_final=True)


async def receive(assistant: Assistant, request: Request) -> Response:
    """One turn."""
    message = read_message(request, await read_json(request))
    request.scope["conversation_id"] = message.conversation_id
    replies = write_messages(message.sender_id, await assistant.handle(message))
    if request.query_params.get("stream", "").lower() == "true":
        lines = b"".join(orjson.dumps(reply, default=str) + b"\n" for reply in replies)
        return Response(lines, media_type="text/event-stream")
    return answer_json(replies)


def read_message(request: Request, data: Mapping[str, Any]) -> UserMessage:
    """Rasa's keys, and `message_id`. Only a caller with the server's token may command.

    Without it, a `payload` (or a message that looks like one) is text like any other, which the assistant
    obeys only when one of its own buttons carries it; and `input_channel` could name another platform's
    conversation, so it is left aside.
    """
    text, payload = text_of(data, "message"), text_of(data, "payload")
    metadata = object_of(data, "metadata")
    trusted = is_authenticated(request)
    if payload and not trusted:
        metadata = {**metadata, "title": text}
        text = payload
    return UserMessage(
        text=text,
        sender_id=id_of(data, "sender", "default"),
        channel=id_of(data, "input_channel", "rest") if trusted else "rest",
        message_id=message_id_of(request, data, uuid.uuid4().hex),
        payload=(payload or (text if text.startswith("/") else None)) if trusted else None,
        metadata=metadata,
    )


def write_messages(recipient_id: str, messages: Sequence[BotMessage]) -> list[dict[str, Any]]:
    """Rasa's objects: one per paragraph, picture, attachment and element; keys without a value are left out."""
    return [{"recipient_id": recipient_id, **part} for message in messages for part in _parts(message)]


def _parts(message: BotMessage) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    buttons = message.quick_replies or message.buttons
    if buttons:
        parts.append({"text": message.text or "", "buttons": [dict(button) for button in buttons]})
    elif message.text:
        parts += [{"text": paragraph} for paragraph in message.text.strip().split("\n\n")]
    if message.custom:
        parts.append({"custom": dict(message.custom)})
    if message.image:
        parts.append({"image": message.image})
    if message.attachment:
        parts.append({"attachment": message.attachment})
    for element in message.elements:
        text = f"{element.get('title', '')} : {element.get('subtitle', '')}"
        parts.append({"text": text, "buttons": list(element.get("buttons") or ())})
    return parts
