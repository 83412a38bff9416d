"""`/conversations/{id}/joined`: the conversations of one customer that belong together (see docs/identity.md)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bot import joining
from bot.api.parameters import conversation_of
from bot.http import RequestError, answer_json


async def read_joined(request: Request) -> Response:
    """The conversation that takes this one's messages, and those whose messages are taken in this one."""
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    identity = (await assistant.tracker(conversation_id)).identity
    return answer_json({"host": identity.host, "guests": identity.guests})


async def make_code(request: Request) -> Response:
    """A code by which another conversation joins this one."""
    assistant, conversation_id = await conversation_of(request)
    return answer_json((await joining.new_code(assistant, conversation_id)).to_json())


async def leave(request: Request) -> Response:
    """Undo it: each is a conversation of its own again."""
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    if not await joining.leave(assistant, conversation_id):
        raise RequestError(404, "NotFound", "This conversation is joined with no other.")
    return Response(status_code=204)
