"""The web chat: a page at `/`, a widget for any web page, and the two calls that both make.

A visitor's session id is drawn in the browser, too long to guess, and is all that opens their own
conversation: it travels in the body or in the `Authorization` header, never in an address.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.api import hello
from bot.assistant import Assistant
from bot.errors import DeliveryError
from bot.events import BotUttered, Event, UserUttered
from bot.http import RequestError, answer_json, bearer_of, message_id_of, object_of, read_json, text_of
from bot.interfaces import Delivery
from bot.messages import BotMessage, UserMessage

FOLDER = Path(__file__).resolve().parent
LONGEST_HISTORY = 400
"""Events that a reloaded page is shown."""

_SESSION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class Webchat:
    """What a visitor sees first is configured here.

    `title` stands in the head of the chat, `welcome` is one line about what the bot can do, `suggestions`
    are messages to begin with. Each is one for all, or given by language: `{"en": ["What is my balance?"]}`.
    `wait` is in seconds: what a visitor sends within it becomes one turn.
    """

    name = "webchat"
    sends = False

    def __init__(
        self,
        *,
        title: str | Mapping[str, str] = "",
        welcome: str | Mapping[str, str] = "",
        suggestions: Sequence[str] | Mapping[str, Sequence[str]] = (),
        wait: float = 0.0,
    ) -> None:
        self.wait = wait
        self.look = {
            "title": _spoken("title", title, _is_line),
            "welcome": _spoken("welcome", welcome, _is_line),
            "suggestions": _spoken("suggestions", suggestions, _are_lines),
        }

    def routes(self, assistant: Assistant) -> Sequence[Route]:
        return [
            Route("/webhooks/webchat/webhook", partial(receive, assistant), methods=["POST"]),
            Route("/webchat/session", partial(session, assistant, self)),
            Route("/webchat/widget.js", partial(serve_file, _File.read("widget.js", "text/javascript"))),
            Route("/webchat/widget.css", partial(serve_file, _File.read("widget.css", "text/css"))),
            Route("/webchat/page.css", partial(serve_file, _File.read("page.css", "text/css"))),
            Route("/", partial(page, _File.read("index.html", "text/html", PAGE_HEADERS))),
        ]

    async def send(self, delivery: Delivery) -> None:
        raise DeliveryError("a visitor of the web chat can only be answered, not written to", is_final=True)


def _spoken(option: str, value: Any, fits: Callable[[Any], bool]) -> Any:
    by_language = isinstance(value, Mapping)
    if not all(fits(one) for one in (value.values() if by_language else [value])):
        wanted = "a list of texts" if fits is _are_lines else "a text"
        raise ValueError(f"'{option}' must be {wanted}, or {wanted} for each language")
    return dict(value) if by_language else value


def _is_line(value: Any) -> bool:
    return isinstance(value, str)


def _are_lines(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_line, value))


# ---- a turn ----


async def receive(assistant: Assistant, request: Request) -> Response:
    """One turn: `{"session", "message", "message_id", "payload"?, "language"?}` → `{"messages": […]}`."""
    message = read_message(request, await read_json(request), assistant.languages)
    request.scope["conversation_id"] = message.conversation_id
    replies = await assistant.handle(message)
    return answer_json({"messages": [write_message(reply) for reply in replies]})


def read_message(request: Request, data: Mapping[str, Any], languages: Sequence[str] = ()) -> UserMessage:
    """A button's payload arrives as text: the assistant obeys it when it offered that button.

    A language that is not among the bot's `languages` is left aside.
    """
    language = text_of(data, "language")
    text, payload = text_of(data, "message"), text_of(data, "payload")
    metadata = object_of(data, "metadata")
    return UserMessage(
        text=payload or text,
        sender_id=session_id(text_of(data, "session")),
        channel="webchat",
        message_id=message_id_of(request, data, uuid.uuid4().hex),
        language=language if language in languages else None,
        metadata={**metadata, "title": text} if payload else metadata,
    )


def session_id(value: str) -> str:
    """The id when it is one that the chat draws (a random UUID); 400 when it could be guessed."""
    if not _SESSION.fullmatch(value):
        raise RequestError(400, "BadRequest", "'session' must be a random UUID (version 4).", {"parameter": "session"})
    return value


def write_message(message: BotMessage) -> dict[str, Any]:
    """What the chat shows of a message; keys without a value are left out."""
    shown = {
        "text": message.text,
        "buttons": [dict(button) for button in message.quick_replies or message.buttons],
        "image": message.image,
        "attachment": message.attachment,
        "elements": [dict(element) for element in message.elements],
        "custom": dict(message.custom),
    }
    return {key: value for key, value in shown.items() if value}


# ---- a session ----


async def session(assistant: Assistant, channel: Webchat, request: Request) -> Response:
    """How the chat looks, and what was said in the session that the caller bears.

    A session that has been silent for longer than the domain allows is over: the next person at the same
    screen does not see it.
    """
    conversation_id = f"webchat:{session_id(bearer_of(request))}"
    request.scope["conversation_id"] = conversation_id
    tracker = await assistant.tracker(conversation_id)
    limit = assistant.domain.session.expiration_minutes * 60
    expired = bool(limit and tracker.latest_event_time and time.time() - tracker.latest_event_time > limit)
    events: list[Event] = []
    if tracker.event_count and not expired:
        events = await assistant.store.events(conversation_id, after=max(tracker.event_count - LONGEST_HISTORY, 0))
    shown = {"languages": assistant.languages, "expired": expired, "messages": history(events)}
    return answer_json({**channel.look, **shown}, headers={"Cache-Control": "no-store"})


def history(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What both sides said, in order; a pressed button shows as its title."""
    said: list[dict[str, Any]] = []
    for event in events:
        match event:
            case UserUttered() if event.message_id:
                text = event.metadata.get("title") or event.text or ""
                said.append({"from": "user", "time": event.timestamp, "id": event.message_id, "text": text})
            case BotUttered():
                said.append({"from": "bot", "time": event.timestamp, **write_message(event.message)})
    return said


# ---- files ----


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    headers: Mapping[str, str]

    @staticmethod
    def read(name: str, content_type: str, headers: Mapping[str, str] | None = None) -> _File:
        body = (FOLDER / name).read_bytes()
        always = {
            "Content-Type": f"{content_type}; charset=utf-8",
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
            "X-Content-Type-Options": "nosniff",
        }
        return _File(body, {**always, **(headers or {})})


async def serve_file(file: _File, request: Request) -> Response:
    """The file, or 304 when the browser has it."""
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(status_code=304, headers=dict(file.headers))
    return Response(file.body, headers=dict(file.headers))


async def page(file: _File, request: Request) -> Response:
    """The chat for a browser, a line of text for everybody else."""
    if "text/html" not in request.headers.get("accept", ""):
        return await hello(request)
    return await serve_file(file, request)
