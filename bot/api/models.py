"""`/status`, `/model` and `/domain`: what the model is, what it makes of texts and events, and loading another."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from bot import conversations
from bot.api.conversations import NO_EVENTS, read_events
from bot.api.document import check_body
from bot.api.emulation import EMULATORS
from bot.api.parameters import assistant_with_model, body_of, include_events, serving_of
from bot.config import storage_settings
from bot.errors import ConfigError, FrontdeskError
from bot.http import LARGEST_BODY, RequestError, answer_json, bad_request, parse_json, read_body, require_access
from bot.model_server import ModelServer
from bot.model_storage import download
from bot.payloads import read_payload
from bot.serving import Serving, place_of
from bot.tracker import Tracker
from bot.tracker_state import tracker_state

log = logging.getLogger(__name__)

NO_TEXT = (
    "No text message defined in request_body. Add text message to request body in order to obtain the intent and "
    "extracted entities."
)


async def status(request: Request) -> Response:
    require_access(request)
    assistant_with_model(request)
    serving = serving_of(request)
    return answer_json(
        {
            "model_file": Path(serving.model_file).name,
            "model_id": serving.model_id,
            "num_active_training_jobs": serving.training_jobs,
        }
    )


async def parse(request: Request) -> Response:
    """What is understood of `{"text": …}`. Nothing is stored, so that a payload may be read by anybody."""
    require_access(request)
    assistant = assistant_with_model(request)
    mode = request.query_params.get("emulation_mode")
    if mode is not None and mode.upper() not in EMULATORS:
        message = "Invalid parameter value for 'emulation_mode'. Should be one of 'WIT', 'LUIS', 'DIALOGFLOW'."
        raise bad_request(message, parameter="emulation_mode", **{"in": "query"})
    text = (await body_of(request, "TextToParse", NO_TEXT, most=LARGEST_BODY))["text"]
    text = text if isinstance(text, str) else text[0]
    parsed = read_payload(text, assistant.domain) or await assistant.parse(text)
    return answer_json(EMULATORS[mode.upper()](parsed) if mode else parsed.to_json())


async def predict(request: Request) -> Response:
    """What the bot would do after these events; nothing is stored."""
    require_access(request)
    assistant = assistant_with_model(request)
    include = include_events(request)
    events = read_events(await body_of(request, "Events", NO_EVENTS))
    tracker = Tracker.new("rest:default", assistant.domain)
    tracker.apply_all(events)
    state = tracker_state(tracker, events, include)
    return answer_json({**conversations.prediction_of(assistant, tracker), "tracker": state})


async def load(request: Request) -> Response:
    """Take over a model from a file, a model server or a storage. Turns in hand finish on the one before."""
    require_access(request)
    body = await read_body(request)
    if not body:
        raise bad_request("No path to model file defined in request_body.")
    data = parse_json(body)
    check_body(data, "ModelSource")
    try:
        await _load(request.app, data)
    except FrontdeskError as error:
        if isinstance(error, RequestError):
            raise
        message = f"Agent with name '{data.get('model_file')}' could not be loaded. {error}"
        raise bad_request(message, parameter="model", **{"in": "body"}) from error
    _tell_the_others(request.app, data)
    return Response(status_code=204)


def _tell_the_others(app: Starlette, data: Mapping[str, Any] | None) -> None:
    """Where this is one of several processes, they take over the same model."""
    if app.state.control:
        app.state.control.say(model=data)


async def do_as_told(app: Starlette, data: Mapping[str, Any] | None) -> None:
    """Take over the model that another of our processes was asked to load (None: to unload)."""
    try:
        await (_unload(app) if data is None else _load(app, data))
    except FrontdeskError as error:
        log.error("the model that the other processes have cannot be loaded here: %s", error)


async def _load(app: Starlette, data: Mapping[str, Any]) -> None:
    serving: Serving = app.state.serving
    name = data.get("model_file") or ""
    if data.get("model_server"):
        server = _model_server(data["model_server"])
        if not await server.pull(serving):
            raise ConfigError(f"The model server {server.shown_url} has no model")
        app.state.follow(server)
        return
    if data.get("remote_storage"):
        with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
            settings = storage_settings()
            file = await asyncio.to_thread(download, data["remote_storage"], settings, name, Path(folder))
            await serving.load(file)
    elif name:
        await serving.load(place_of(name, serving.project))
    else:
        raise bad_request("No path to model file defined in request_body.")
    app.state.follow(None)


def _model_server(options: Mapping[str, Any]) -> ModelServer:
    try:
        known = ("url", "params", "headers", "basic_auth", "token", "token_name", "wait_time_between_pulls")
        return ModelServer(**{key: options[key] for key in known if options.get(key) is not None})
    except (ConfigError, TypeError) as error:
        message = f"Supplied 'model_server' is not valid. Error: {error}"
        raise bad_request(message, parameter="model_server", **{"in": "body"}) from error


async def unload(request: Request) -> Response:
    require_access(request)
    await _unload(request.app)
    _tell_the_others(request.app, None)
    return Response(status_code=204)


async def _unload(app: Starlette) -> None:
    app.state.follow(None)
    await app.state.serving.unload()


async def domain(request: Request) -> Response:
    """The domain as JSON or YAML, whichever the caller would rather have."""
    require_access(request)
    raw = _told(assistant_with_model(request).domain.raw)
    for kind in _accepted(request.headers.get("accept", "application/json")):
        if kind.endswith("json") or kind in ("*/*", "application/*"):
            return answer_json(raw)
        if kind.endswith(("yaml", "yml")):
            text = yaml.safe_dump(_plain(raw), sort_keys=False, allow_unicode=True, width=2**20)
            return Response(text, media_type="application/x-yaml")
    message = (
        'Invalid Accept header. Domain can be provided as json ("Accept: application/json") or yml ("Accept: '
        "application/x-yaml\"). Make sure you've set the appropriate Accept header."
    )
    raise RequestError(406, "NotAcceptable", message)


def _told(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The domain as Rasa tells it: without what says nothing, the intents by name."""
    kept = {key: value for key, value in raw.items() if value and (key, value) != ("config", _DEFAULTS)}
    if "intents" in kept:
        kept["intents"] = sorted(kept["intents"], key=lambda one: one if isinstance(one, str) else next(iter(one)))
    return kept


_DEFAULTS = {"store_entities_as_slots": True}


def _accepted(header: str) -> list[str]:
    """The types that a caller accepts, the dearest first."""
    found = []
    for one in header.split(","):
        kind, *options = (part.strip().lower() for part in one.split(";"))
        quality = next((option[2:] for option in options if option.startswith("q=")), "1")
        try:
            found.append((float(quality), kind))
        except ValueError:
            found.append((0.0, kind))
    return [kind for quality, kind in sorted(found, key=lambda one: -one[0]) if quality > 0]


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case str():
            return str(value)
        case _:
            return value
