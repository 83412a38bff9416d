"""What the paths of the API have in common: their parameters, the caller's right, the model, the conversation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from bot import conversations
from bot.api.document import check_body
from bot.assistant import Assistant
from bot.errors import ModelError
from bot.http import LONGEST_ID, RequestError, bad_request, parse_json, read_body, require_access
from bot.messages import EMPTY
from bot.serving import Serving
from bot.tracker_state import VERBOSITIES

LARGEST_EVENTS = 10_000_000
"""Bytes of a body with events: a long conversation."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NO_MODEL = "No agent loaded. To continue processing, a model of a trained agent needs to be loaded."


def serving_of(request: Request) -> Serving:
    found: Serving = request.app.state.serving
    return found


def assistant_with_model(request: Request) -> Assistant:
    """The assistant; 409 when it has no model."""
    serving = serving_of(request)
    if not serving.assistant.has_model:
        raise ModelError(NO_MODEL)
    return serving.assistant


async def conversation_of(request: Request, *, must_exist: bool = False) -> tuple[Assistant, str]:
    """The assistant and the id of the path's conversation, once the caller may touch it."""
    name = request.path_params["conversation_id"]
    require_access(request, conversation=name)
    assistant = assistant_with_model(request)
    if len(name) > LONGEST_ID or _CONTROL.search(name):
        message = f"A conversation's id has at most {LONGEST_ID} characters, and no control characters."
        raise _in_path(message, "conversation_id")
    found = await conversations.find(assistant, name)
    request.scope["conversation_id"] = found
    if must_exist and not await conversations.exists(assistant, found):
        raise RequestError(404, "Not found", "Conversation ID not found.")
    return assistant, found


async def body_of(
    request: Request, schema: str, nothing: str, *, needs: Mapping[str, str] = EMPTY, most: int = LARGEST_EVENTS
) -> Any:
    """The body as JSON, if it is what the document calls `schema`; 400 otherwise.

    `nothing` says that there is none, `needs` what is said when one of its keys is missing. An event alone is a list of
    one.
    """
    body = await read_body(request, most)
    if not body:
        raise bad_request(nothing)
    data = parse_json(body)
    if isinstance(data, dict):
        for key, message in needs.items():
            if not data.get(key):
                raise bad_request(message, parameter=key, **{"in": "body"})
        if schema == "Events":
            data = [data]
    check_body(data, schema)
    return data


# ---- in the query --------------------------------------------------------------------------------


def include_events(request: Request) -> str:
    given = request.query_params.get("include_events", "AFTER_RESTART").upper()
    if given not in VERBOSITIES:
        message = f"Invalid parameter value for 'include_events'. Should be one of {', '.join(VERBOSITIES)}"
        raise _in_query(message, "include_events")
    return given


def flag(request: Request, name: str, default: bool) -> bool:
    given = request.query_params.get(name)
    if given is None:
        return default
    if given.lower() not in ("true", "false"):
        raise _in_query(f"'{name}' must be true or false.", name)
    return given.lower() == "true"


def number(request: Request, name: str) -> float | None:
    """A time or another number, None when it is not given."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if math.isnan(found):
        raise _in_query(f"'{name}' must be a number, and a time in seconds since 1970.", name)
    return found


def whole(request: Request, name: str, least: int, most: int = 2**31) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or not least <= int(given[:12]) <= most:
        raise _in_query(f"'{name}' must be a whole number, at least {least}.", name)
    return int(given)


def _in_query(message: str, name: str) -> RequestError:
    return bad_request(message, parameter=name, **{"in": "query"})


def _in_path(message: str, name: str) -> RequestError:
    return bad_request(message, parameter=name, **{"in": "path"})
