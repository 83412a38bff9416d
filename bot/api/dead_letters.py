"""`/dead-letters`: what was given up, messages and replies; to be tried again, or forgotten."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bot.api.parameters import flag, serving_of, whole
from bot.channels.rest import write_messages
from bot.http import RequestError, answer_json, require_access
from bot.interfaces import DeadLetter, Delivery
from bot.messages import UserMessage

MOST_LISTED = 1000


async def read_dead_letters(request: Request) -> Response:
    """The oldest `limit` of them; what was said is left out unless `show` asks for it."""
    require_access(request)
    limit, show = whole(request, "limit", 1, MOST_LISTED), flag(request, "show", False)
    letters = await serving_of(request).assistant.store.dead_letters(limit=limit or 100)
    return answer_json([write_letter(letter, show=show) for letter in letters])


async def retry(request: Request) -> Response:
    """204 once it waits in its conversation's inbox or outbox again; 404 when it is not there (any more)."""
    require_access(request)
    letter_id = request.path_params["letter_id"]
    return _answer(letter_id, found=await serving_of(request).assistant.store.revive(letter_id))


async def drop(request: Request) -> Response:
    """204 once it is forgotten; 404 when it is not there (any more)."""
    require_access(request)
    letter_id = request.path_params["letter_id"]
    return _answer(letter_id, found=await serving_of(request).assistant.store.bury(letter_id))


def write_letter(letter: DeadLetter, *, show: bool) -> dict[str, Any]:
    """What an operator needs to know of it; with `show` also what the customer or the bot said."""
    content = letter.content
    written: dict[str, Any] = {
        "id": letter.id,
        "at": letter.at,
        "conversation_id": letter.conversation_id,
        "kind": kind_of(letter),
        "channel": content.channel,
        "reason": letter.reason,
    }
    if isinstance(content, UserMessage):
        written["message_id"] = content.message_id
    else:
        written |= {"key": content.key, "attempts": content.attempts}
    if show:
        written["content"] = _said(content)
    return written


def kind_of(letter: DeadLetter) -> str:
    """ "reply", or the message's own kind: "message", "reminder", …"""
    return letter.content.kind if isinstance(letter.content, UserMessage) else "reply"


def _said(content: UserMessage | Delivery) -> Any:
    """A reply in the shapes of the REST channel; of a message its text, and what came with it."""
    if isinstance(content, Delivery):
        return write_messages(content.sender_id, [content.message])
    said = {"text": content.text, "payload": content.payload, "metadata": dict(content.metadata)}
    return {key: value for key, value in said.items() if value}


def _answer(letter_id: str, *, found: bool) -> Response:
    if not found:
        message = f"There is no dead letter '{letter_id[:100]}': it was tried again, or dropped, before."
        raise RequestError(404, "NotFound", message)
    return Response(status_code=204)
