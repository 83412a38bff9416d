"""`/conversations/{id}/schedule`: what the bot says or does by itself, at its time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bot import conversations
from bot.api.parameters import body_of, conversation_of
from bot.errors import DataError, UnknownName
from bot.events import ReminderScheduled
from bot.http import RequestError, answer_json, bad_request


async def read_schedule(request: Request) -> Response:
    """What is still to come, the next first: reminders of the bot's actions, and scheduled messages."""
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    coming = (await assistant.tracker(conversation_id)).reminders.values()
    return answer_json([_as_json(one) for one in sorted(coming, key=lambda one: one.due)])


async def schedule(request: Request) -> Response:
    """Let an action or response run later. What has the same name already gives way."""
    assistant, conversation_id = await conversation_of(request)
    nothing = "Name of the action not provided in request body."
    data = await body_of(request, "ActionToSchedule", nothing, needs={"action": nothing})
    reminder = ReminderScheduled.of_action(data["action"], _time(data["at"]), data.get("name"))
    try:
        await conversations.schedule(assistant, conversation_id, reminder)
    except UnknownName as error:
        raise RequestError(404, "NotFound", str(error), {"parameter": "action", "in": "body"}) from error
    except DataError as error:
        raise bad_request(str(error)) from error
    return answer_json(_as_json(reminder))


async def unschedule(request: Request) -> Response:
    """Cancel a reminder or a scheduled message."""
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    if not await conversations.unschedule(assistant, conversation_id, request.path_params["name"]):
        details = {"parameter": "name", "in": "path"}
        raise RequestError(404, "NotFound", "Nothing of this name is scheduled in this conversation.", details)
    return Response(status_code=204)


def _time(at: str) -> str:
    """The time, if it says of which zone it is: nobody should have to guess when a customer is written to."""
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        message = "'at' must be an ISO 8601 time with its zone, such as 2030-12-31T09:00:00+01:00."
        raise bad_request(message, parameter="at", **{"in": "body"})
    return when.isoformat()


def _as_json(one: ReminderScheduled) -> dict[str, Any]:
    return {
        "name": one.key,
        "at": one.date_time,
        "due": one.due,
        "action": one.action,
        "intent": None if one.action else one.intent,
        "entities": None if one.action else one.entities,
    }
