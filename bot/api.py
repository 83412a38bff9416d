"""The HTTP API beside the channels: health, version, parsing and conversations, in Rasa's shapes.

Source: https://rasa.com/docs/rasa/pages/http-api
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot import __version__
from bot.assistant import Assistant
from bot.http import answer_json, bad_request, read_json, require_token, text_of
from bot.payloads import read_payload
from bot.tracker import Tracker
from bot.tracker_state import VERBOSITIES, tracker_state

OLDEST_MODEL = "0.1.0"
"""The first version whose models this one reads."""


def open_routes() -> Sequence[Route]:
    """What anybody may ask."""
    return [Route("/", hello), Route("/health", health), Route("/version", version)]


def api_routes(assistant: Assistant, model_file: str = "") -> Sequence[Route]:
    """What the server's token protects."""
    return [
        Route("/status", partial(status, model_file)),
        Route("/model/parse", partial(parse, assistant), methods=["POST"]),
        Route("/conversations/{conversation_id:path}/tracker", partial(conversation, assistant)),
    ]


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"Hello from Frontdesk: {__version__}")


async def health(request: Request) -> Response:
    return answer_json({"status": "ok"})


async def version(request: Request) -> Response:
    return answer_json({"version": __version__, "minimum_compatible_version": OLDEST_MODEL})


async def status(model_file: str, request: Request) -> Response:
    require_token(request)
    model_id = model_file.rstrip("/").rpartition("/")[2]
    return answer_json({"model_file": model_file, "model_id": model_id, "num_active_training_jobs": 0})


async def parse(assistant: Assistant, request: Request) -> Response:
    """What is understood of `{"text": …}`. Nothing is stored, so that a payload may be read by anybody."""
    require_token(request)
    if request.query_params.get("emulation_mode"):
        raise bad_request("'emulation_mode' is not supported.", parameter="emulation_mode", **{"in": "query"})
    data = await read_json(request)
    if data.get("text") is None:
        raise bad_request('No text message defined in request_body: send {"text": "…"}.', parameter="text")
    text = text_of(data, "text")
    parsed = read_payload(text, assistant.domain) or await assistant.parse(text)
    return answer_json(parsed.to_json())


async def conversation(assistant: Assistant, request: Request) -> Response:
    """A conversation's state, now or at the time `until` (seconds since 1970)."""
    require_token(request)
    include = request.query_params.get("include_events", "AFTER_RESTART").upper()
    if include not in VERBOSITIES:
        message = f"Invalid parameter value for 'include_events'. Should be one of {', '.join(VERBOSITIES)}."
        raise bad_request(message, parameter="include_events", **{"in": "query"})
    until = _time(request.query_params.get("until"))
    conversation_id = await find_conversation(assistant, request.path_params["conversation_id"])
    request.scope["conversation_id"] = conversation_id
    if until is None:
        return answer_json(await assistant.state(conversation_id, include))
    return answer_json(await _state_at(assistant, conversation_id, until, include))


async def find_conversation(assistant: Assistant, name: str) -> str:
    """The conversation id for what a caller names: `telegram:42` as it is, a bare sender as the REST channel's."""
    if (await assistant.tracker(name)).event_count:
        return name
    bare = f"rest:{name}"
    is_sender = ":" not in name or (await assistant.tracker(bare)).event_count
    return bare if is_sender else name


def _time(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise bad_request("'until' must be a time in seconds since 1970.", parameter="until", **{"in": "query"})
    return seconds


async def _state_at(assistant: Assistant, conversation_id: str, until: float, include: str) -> dict[str, Any]:
    events = [event for event in await assistant.store.events(conversation_id) if event.timestamp <= until]
    tracker = Tracker.new(conversation_id, assistant.domain)
    tracker.apply_all(events)
    return tracker_state(tracker, events, include)
