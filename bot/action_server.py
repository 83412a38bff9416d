"""Serves a project's custom actions over HTTP in rasa-sdk's protocol: to Rasa 3, and to our own `action_endpoint`.

rasa-sdk's classes get rasa-sdk's tracker, ours get ours. Nothing but the `actions` is needed: neither a model nor a
config.yml.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.app import listen
from bot.custom_actions import OWN, call_action, load_actions
from bot.domain import Domain, SlotSpec
from bot.errors import ActionError, ActionRejected, ConfigError, DataError, StoreError
from bot.event_reading import read_event
from bot.events import ActionExecuted, BotUttered, Event, UserUttered, event_to_json
from bot.interfaces import Action
from bot.processes import GRACE
from bot.stores import encode
from bot.tracker import ActiveLoop, Tracker
from bot.yaml_file import shown

log = logging.getLogger(__name__)

PORT = 5055
LARGEST_CALL = 50_000_000
"""Bytes of a call, unpacked: a domain and, from Rasa, a whole conversation."""
MOST_DOMAINS = 8
"""How many domains are kept by their digest: of the versions of a bot that is being replaced by another."""
LONGEST_RUN = 300.0
"""Seconds that an action may take: as long as Rasa waits for it."""


def serve(
    root: Path,
    *,
    actions: str | None = None,
    host: str = "0.0.0.0",
    port: int = PORT,
    cors: Sequence[str] = (),
    ssl_certificate: Path | None = None,
    ssl_keyfile: Path | None = None,
    ssl_password: str | None = None,
) -> None:
    """Serve the actions of the project in `root` until Ctrl-C or SIGTERM.

    They are those of actions.py or actions/, or of the module `actions` (`lib.refunds`). `cors` are the
    origins whose pages may call. `ConfigError` when there are none, or the port is not to be had.
    """
    import uvicorn

    app = create_app(find_actions(root, actions), cors=cors)
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        access_log=False,
        # Its tracebacks may quote a customer.
        log_level="critical",
        server_header=False,
        # Longer than a client keeps a connection, so that none is closed under a call on its way.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=ssl_certificate,
        ssl_keyfile=ssl_keyfile,
        ssl_keyfile_password=ssl_password,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        listener.close()
        raise ConfigError(
            f"the certificate cannot be read: {error.strerror or error}: check the SSL options"
        ) from error
    address = f"{'https' if ssl_certificate else 'http'}://{host}:{listener.getsockname()[1]}/webhook"
    # The socket listens already: who reads this line and connects is answered.
    print(f"Actions are served at {address}", flush=True)
    # uvicorn finishes the calls in hand and then raises the signal again: an end, and no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), listener:
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    # Python waits for its threads: an action that hangs in one must not keep the process.
    stuck = threading.Timer(GRACE, os._exit, [0])
    stuck.daemon = True
    stuck.start()


def find_actions(root: Path, module: str | None = None) -> dict[str, Any]:
    """The actions to serve, by name; `ConfigError` when there are none."""
    if not root.is_dir():
        raise ConfigError(f"there is no folder '{shown(root)}'")
    context = {"root": root.resolve()}
    if module is None or module == OWN:
        found = load_actions(root, context=context)
    else:
        found = load_actions(root, [module], context, own=False)
    if not found:
        place = f"the module '{module}'" if module else f"actions.py or actions/ in '{shown(root)}'"
        raise ConfigError(f"there are no actions in {place}: nothing to serve")
    return found


def create_app(actions: Mapping[str, Any], *, cors: Sequence[str] = ()) -> Starlette:
    """The ASGI application: POST /webhook, GET /actions, GET /health."""
    routes = [
        Route("/webhook", webhook, methods=["POST"]),
        Route("/actions", list_actions),
        Route("/health", health),
    ]
    allowed = Middleware(CORSMiddleware, allow_origins=list(cors), allow_methods=["*"], allow_headers=["*"])
    app = Starlette(routes=routes, middleware=[allowed] if cors else [])
    app.state.actions = dict(actions)
    app.state.domains = OrderedDict()
    return app


async def health(request: Request) -> Response:
    return _answer(200, {"status": "ok"})


async def list_actions(request: Request) -> Response:
    return _answer(200, [{"name": name} for name in request.app.state.actions])


async def webhook(request: Request) -> Response:
    """Run one action: 200 with events and responses, 400 it declines, 404 unknown, 449 send the domain, 500 failed."""
    try:
        call = await _read_call(request)
    except DataError as error:
        return _answer(400, {"error": str(error)})
    name = call.get("next_action")
    if not name:
        return _answer(200, None)
    action = request.app.state.actions.get(name)
    if action is None:
        return _answer(404, {"error": f"No registered action found for name '{name}'.", "action_name": name})
    domain = _domain(request.app.state.domains, call)
    if domain is None:
        return _answer(449, {"error": f"Domain context is missing for action '{name}'.", "action_name": name})
    try:
        tracker = _tracker(action, call, domain, request.headers.get("idempotency-key", ""))
    except DataError as error:
        return _answer(400, {"error": str(error)})
    try:
        returned, said = await call_action(action, tracker, domain, longest=LONGEST_RUN)
        events = [event_to_json(event) if isinstance(event, Event) else event for event in returned or ()]
        return Response(encode({"events": events, "responses": said}), media_type="application/json")
    except ActionRejected as error:
        return _answer(400, {"error": str(error), "action_name": error.action_name})
    except (ActionError, StoreError, TypeError) as error:
        problem = str(error) if isinstance(error, ActionError) else f"action '{name}': {error}"
        log.error("%s", problem)
        return _answer(500, {"error": problem, "request_body": call})


def _answer(status: int, content: Any) -> Response:
    return Response(encode(content), status, media_type="application/json")


# ---- what comes in -------------------------------------------------------------------------------


async def _read_call(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_CALL:
            raise DataError(f"The body is longer than {LARGEST_CALL // 1_000_000} MB")
    unpacked = bytes(body)
    if request.headers.get("content-encoding") == "deflate":
        unpacked = _inflate(unpacked)
    try:
        call = orjson.loads(unpacked)
    except ValueError:
        call = None
    if not isinstance(call, dict) or not isinstance(call.get("next_action"), str | None):
        raise DataError("Invalid body request")
    return call


def _inflate(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(body, LARGEST_CALL)
    except zlib.error as error:
        raise DataError("The body is not deflated, though its Content-Encoding says so") from error
    if unpacker.unconsumed_tail:
        raise DataError(f"The body is longer than {LARGEST_CALL // 1_000_000} MB")
    return unpacked


def _domain(known: OrderedDict[str, dict[str, Any]], call: Mapping[str, Any]) -> dict[str, Any] | None:
    """The domain of the call, or that of its digest; None when it must be sent. Rasa 3.6 sends no digest."""
    domain, digest = call.get("domain"), call.get("domain_digest")
    if not isinstance(digest, str):
        return domain if isinstance(domain, dict) else {}
    if isinstance(domain, dict):
        known[digest] = domain
    elif digest not in known:
        return None
    known.move_to_end(digest)
    while len(known) > MOST_DOMAINS:
        known.popitem(last=False)
    return known[digest]


# ---- the tracker ---------------------------------------------------------------------------------


def _tracker(action: Any, call: Mapping[str, Any], domain: Mapping[str, Any], idempotency_key: str) -> Any:
    """What the action is given: rasa-sdk's tracker for its classes, ours for ours."""
    try:
        if not isinstance(action, Action):
            import rasa_sdk

            return rasa_sdk.Tracker.from_dict(call["tracker"])
        tracker = read_tracker(call["tracker"], domain)
    except (KeyError, TypeError, AttributeError, ValueError, ConfigError, DataError) as error:
        raise DataError("the 'tracker' of the call is none") from error
    tracker.idempotency_key = idempotency_key
    return tracker


def read_tracker(state: Mapping[str, Any], domain: Mapping[str, Any]) -> Tracker:
    """Our tracker from Rasa's state of one; `DataError` where an event in it is none."""
    slots = dict(state.get("slots") or {})
    channel = state.get("latest_input_channel")
    known = Domain(slots={name: SlotSpec(name) for name in slots}, raw=domain)
    tracker = Tracker.new(f"{channel or 'rest'}:{state.get('sender_id') or 'default'}", known)
    now = time.time()
    for data in state.get("events") or ():
        tracker.events.append(read_event({"timestamp": now, **data}, keep_unknown=True))
    tracker.event_count = len(tracker.events)
    tracker.slots = slots
    tracker.latest_message = _last(tracker, UserUttered) or _message(state.get("latest_message") or {})
    tracker.latest_bot_message = _last(tracker, BotUttered)
    tracker.latest_action = _last(tracker, ActionExecuted)
    loop = state.get("active_loop") or {}
    if loop.get("name"):
        tracker.active_loop = ActiveLoop(loop["name"], bool(loop.get("is_interrupted")), bool(loop.get("rejected")))
    tracker.followup_action = state.get("followup_action")
    tracker.paused = bool(state.get("paused"))
    tracker.latest_event_time = state.get("latest_event_time")
    tracker.latest_input_channel = channel
    tracker.language = tracker.latest_message.parse_data.get("language")
    return tracker


def _last(tracker: Tracker, kind: type[Any]) -> Any:
    return next((event for event in reversed(tracker.events) if isinstance(event, kind)), None)


def _message(parse: Mapping[str, Any]) -> UserUttered:
    return UserUttered(text=parse.get("text"), parse_data=parse, message_id=parse.get("message_id"))
