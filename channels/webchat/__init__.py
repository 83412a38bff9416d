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
from bot.events import BotUttered, Event, IdentityChanged, SessionEnded, UserUttered
from bot.http import (
    RequestError,
    answer_json,
    bad_request,
    bearer_of,
    id_of,
    message_id_of,
    object_of,
    read_json,
    text_of,
)
from bot.interfaces import Delivery
from bot.joining import new_code
from bot.messages import BotMessage, UserMessage
from bot.tracker import Tracker

FOLDER = Path(__file__).resolve().parent
LONGEST_HISTORY = 400
"""Events that a page is shown at once."""
APART = 10**9
"""More events than a conversation has."""
MOST_WAIT = 10
"""Seconds, a sixth of those for which a page waits for its answer."""
MOST_TOGETHER = 20
"""Messages that come in one request."""

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
    `wait` is in seconds, at most 10: what a visitor sends within it becomes one turn. `trust` says how surely
    visitors are who they say they are: see docs/identity.md.
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
        trust: int = 1,
    ) -> None:
        if not 0 <= wait <= MOST_WAIT:
            raise ValueError(f"'wait' must be a number of seconds from 0 to {MOST_WAIT}")
        self.wait = wait
        self.trust = trust
        self.look = {
            "title": _spoken("title", title, _is_line),
            "welcome": _spoken("welcome", welcome, _is_line),
            "suggestions": _spoken("suggestions", suggestions, _are_lines),
        }

    def routes(self, assistant: Assistant) -> Sequence[Route]:
        return [
            Route("/webhooks/webchat/webhook", partial(receive, assistant), methods=["POST"]),
            Route("/webchat/session", partial(session, assistant, self)),
            Route("/webchat/code", partial(code, assistant), methods=["POST"]),
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
    """One turn: `{"session", "message", "message_id", "payload"?, "language"?}` → `{"messages": […]}`, the replies.

    `before` are messages of the same visitor that were sent earlier and are not known to have arrived. A page that
    says how many events of the conversation it has seen (`after`) gets all that is new to it (see `news`).
    """
    data = await read_json(request)
    after = position_of(data.get("after"))
    message = read_message(data, message_id_of(request, data, uuid.uuid4().hex), assistant.languages)
    request.scope["conversation_id"] = message.conversation_id
    for earlier in read_earlier(data, assistant.languages):
        await assistant.accept(earlier)
    replies = await assistant.handle(message)
    if after is None:
        return answer_json({"messages": [write_message(reply) for reply in replies]})
    return answer_json(await news(assistant, message.conversation_id, after))


def read_earlier(data: Mapping[str, Any], languages: Sequence[str] = ()) -> list[UserMessage]:
    """The messages of `before`, oldest first; 400 when they are none, too many, or without an id."""
    found = data.get("before") or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found) or len(found) >= MOST_TOGETHER:
        raise bad_request(f"'before' must be a list of at most {MOST_TOGETHER - 1} messages.", parameter="before")
    if not all(id_of(one, "message_id") for one in found):
        raise bad_request("Each message of 'before' needs its 'message_id'.", parameter="before")
    session = {"session": data.get("session")}
    return [read_message(one | session, id_of(one, "message_id"), languages) for one in found]


def read_message(data: Mapping[str, Any], message_id: str, languages: Sequence[str] = ()) -> UserMessage:
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
        message_id=message_id,
        language=language if language in languages else None,
        metadata={**metadata, "title": text} if payload else metadata,
    )


def session_id(value: str) -> str:
    """The id when it is one that the chat draws (a random UUID); 400 when it could be guessed."""
    if not _SESSION.fullmatch(value):
        raise RequestError(400, "BadRequest", "'session' must be a random UUID (version 4).", {"parameter": "session"})
    return value


def position_of(value: Any) -> int | None:
    """How many events somebody has seen, None when they do not say; 400 when it is no such number."""
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise bad_request("'after' must be a whole number, at least 0.", parameter="after")
    return int(text)


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
    """How the chat looks, and what was said in the session that the caller bears; with `after`, what is new since.

    A session that has been silent for longer than the domain allows is over: the next person at the same
    screen does not see it.
    """
    after = position_of(request.query_params.get("after"))
    conversation_id = f"webchat:{session_id(bearer_of(request))}"
    request.scope["conversation_id"] = conversation_id
    view = await view_of(assistant, conversation_id)
    if after is not None:
        return answer_json(await since(assistant, view, after), headers={"Cache-Control": "no-store"})
    tracker, position = view.tracker, view.base + view.tracker.event_count
    limit, latest = assistant.domain.session.expiration_minutes * 60, tracker.latest_event_time
    expired = tracker.session_ended or bool(limit and latest and time.time() - latest > limit)
    messages: list[dict[str, Any]] = []
    if tracker.event_count and not expired:
        first = max(tracker.event_count - LONGEST_HISTORY, view.first)
        messages = of_latest_session(await _events(assistant, view, first), view.base + first, conversation_id)
    shown = {"languages": assistant.languages, "expired": expired, "position": position, "messages": messages}
    return answer_json({**channel.look, **shown}, headers={"Cache-Control": "no-store"})


async def news(assistant: Assistant, conversation_id: str, after: int) -> dict[str, Any]:
    """What both sides said after so many events, and `position`, the number of events that are seen with it."""
    events = await assistant.store.events(conversation_id, after=after, limit=LONGEST_HISTORY)
    if events and not any(isinstance(event, IdentityChanged) for event in events):
        return {"position": after + len(events), "messages": history(events, after, conversation_id)}
    return await since(assistant, await view_of(assistant, conversation_id), after)


@dataclass(frozen=True, slots=True)
class _View:
    """What a visitor sees: their own conversation, or the one that it has joined, from its event `first` on.

    `base` is added to the number of an event, so that the numbers of one conversation are not taken for another's.
    """

    visitor: str
    tracker: Tracker
    first: int
    base: int


async def view_of(assistant: Assistant, visitor: str) -> _View:
    """What the visitor with this conversation sees now."""
    tracker = await assistant.tracker(visitor)
    identity = tracker.identity
    shown = await assistant.tracker(identity.host) if identity.host else tracker
    return _View(visitor, shown, identity.since if identity.host else 0, identity.changes * APART)


async def since(assistant: Assistant, view: _View, after: int) -> dict[str, Any]:
    """As `news`. The position is less than `after` when the page has seen another conversation: it loads this one."""
    count, seen = view.tracker.event_count, after - view.base if after else view.first
    if seen // APART:
        return {"position": 0, "messages": []}
    if seen >= count:
        # Fewer events than were seen: the conversation was erased or replaced, and is to be loaded again.
        return {"position": view.base + count, "messages": []}
    events = await _events(assistant, view, seen)
    messages = history(events, view.base + seen, view.visitor)
    return {"position": view.base + seen + len(events), "messages": messages}


async def _events(assistant: Assistant, view: _View, after: int) -> list[Event]:
    most = min(view.tracker.event_count - after, LONGEST_HISTORY)
    return await assistant.store.events(view.tracker.conversation_id, after=after, limit=most)


async def code(assistant: Assistant, request: Request) -> Response:
    """A code by which another chat joins the visitor's: `{"code", "token", "expires"}` (see docs/identity.md)."""
    conversation_id = f"webchat:{session_id(bearer_of(request))}"
    request.scope["conversation_id"] = conversation_id
    made = await new_code(assistant, conversation_id)
    return answer_json(made.to_json(), headers={"Cache-Control": "no-store"})


def of_latest_session(events: Sequence[Event], start: int, visitor: str = "") -> list[dict[str, Any]]:
    """The `history` of what came after the latest session that has ended."""
    ends = [number for number, event in enumerate(events, 1) if isinstance(event, SessionEnded)]
    over = ends[-1] if ends else 0
    return history(events[over:], start + over, visitor)


def history(events: Sequence[Event], start: int = 0, visitor: str = "") -> list[dict[str, Any]]:
    """What both sides said, in order; a pressed button shows as its title. `start` events came before.

    What the visitor wrote has the ids that their page gave it, although it was passed on to a joined conversation.
    `position` counts the events up to the message and with it. What was typed in a row is several messages again.
    """
    said: list[dict[str, Any]] = []
    for position, event in enumerate(events, start + 1):
        place = {"position": position, "time": event.timestamp}
        match event:
            case UserUttered() if event.message_id:
                typed = _typed(event, visitor)
                said += [{"from": "user", **place, "id": message_id, "text": text} for message_id, text in typed]
            case BotUttered():
                said.append({"from": "bot", **place, **write_message(event.message)})
    return said


def _typed(event: UserUttered, visitor: str) -> list[tuple[str, str]]:
    """The messages (id, text) that the event is made of. Whatever else stands in its metadata may be a visitor's."""
    own_id = event.message_id or ""
    match event.metadata.get("joined"):
        case {"from": str(guest), "message_id": str(message_id)} if guest == visitor:
            own_id = message_id
    match event.metadata.get("messages"):
        case [*parts] if len(parts) > 1:
            found = [(part.get("message_id"), part.get("text")) for part in parts if isinstance(part, Mapping)]
            texts = [(one, text) for one, text in found if isinstance(one, str) and isinstance(text, str)]
            if texts and texts[0][0] in (event.message_id, own_id):
                return texts
    title = event.metadata.get("title")
    return [(own_id, title if title and isinstance(title, str) else event.text or "")]


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
