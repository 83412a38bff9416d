"""The web application: the channels, the HTTP API and health, and how they are served."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.api import api_routes, open_routes
from bot.assistant import Assistant
from bot.errors import ConfigError
from bot.http import answer_error, answer_json, answer_stopping
from bot.interfaces import Channel
from bot.registry import construct, load_class

log = logging.getLogger(__name__)

DEFAULT_CHANNELS: Mapping[str, Mapping[str, Any]] = {"rest": {}, "webchat": {}}
GRACE = 5
"""Seconds that turns in hand have to finish when the server is stopped."""


def open_channels(options: Mapping[str, Mapping[str, Any] | None] = DEFAULT_CHANNELS) -> list[Channel]:
    """The channels by name, each made from its options."""
    return [construct(load_class("channel", name), settings or {}) for name, settings in options.items()]


def create_app(
    assistant: Assistant,
    channels: Sequence[Channel] | None = None,
    *,
    cors: Sequence[str] = (),
    auth_token: str | None = None,
    enable_api: bool = True,
    model_file: str = "",
) -> Starlette:
    """An ASGI application that starts and closes the assistant with itself.

    `cors` are the origins whose pages may call it, `auth_token` what API callers must show; the channels
    are REST and web chat unless given.
    """
    routes: list[BaseRoute] = []
    for channel in open_channels() if channels is None else channels:
        routes += channel.routes(assistant)
        routes.append(Route(f"/webhooks/{channel.name}/", channel_health))
    routes += open_routes()
    if enable_api:
        routes += api_routes(assistant, model_file)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            await assistant.start()
        except Exception as error:
            app.state.failed_to_start = error
            raise
        app.state.when_ready()
        try:
            yield
        finally:
            await assistant.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[*([_cors(cors)] if cors else []), Middleware(_answering_errors)],
        exception_handlers={HTTPException: answer_error},
    )
    app.state.auth_token = auth_token
    app.state.when_ready = lambda: None
    return app


def _answering_errors(app: ASGIApp) -> ASGIApp:
    """The one place that catches all exceptions of requests. Starlette's own hands them on to be printed."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, noting)
        except asyncio.CancelledError:
            # The server stops and could not wait. The message is in the inbox: the caller may come again.
            if scope["type"] == "http" and not started:
                await answer_stopping()(scope, receive, send)
            raise
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = await answer_error(Request(scope), error)
            if not started:
                await response(scope, receive, send)

    return guarded


async def channel_health(request: Request) -> Response:
    return answer_json({"status": "ok"})


def _cors(origins: Sequence[str]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["filename"],
        max_age=3600,
    )


# ---- serving ----


def serve(
    assistant: Assistant,
    channels: Sequence[Channel] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 5005,
    cors: Sequence[str] = (),
    auth_token: str | None = None,
    enable_api: bool = True,
    model_file: str = "",
) -> None:
    """Serve until Ctrl-C or SIGTERM; turns in hand are finished first. `ConfigError` when the port is not to be had."""
    if enable_api and not auth_token and not _is_local(host):
        log.warning("anyone who reaches %s can read conversations: set --auth-token, or --no-api", host)
    listener = listen(host, port)
    app = create_app(
        assistant, channels, cors=cors, auth_token=auth_token, enable_api=enable_api, model_file=model_file
    )
    with contextlib.suppress(KeyboardInterrupt), listener:
        _run(app, listener, f"http://{_shown(host)}:{listener.getsockname()[1]}")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; one line of `ConfigError` when that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program. Stop that, or choose another: --port {port + 1}"
    if error.errno == errno.EACCES:
        return f"port {port} needs the rights of an administrator. Choose one above 1023: --port 5005"
    return f"cannot listen on '{host}' port {port}: {error.strerror or error}. Choose another: --interface 127.0.0.1"


def _run(app: Starlette, listener: socket.socket, address: str) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        access_log=False,
        # Its tracebacks may quote a customer; what goes wrong in a request is logged by bot/http.py.
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    # uvicorn finishes the turns in hand and then raises the signal again: an end, and no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = uvicorn.Server(config)
    # The socket listens already: who reads this line and connects is answered.
    app.state.when_ready = lambda: print(f"Frontdesk is ready at {address}", flush=True)
    # Python waits for its threads: an action that hangs in one must not keep the process.
    stuck = threading.Timer(GRACE, os._exit, [0])
    stuck.daemon = True
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            try:
                runner.run(server.serve(sockets=[listener]))
            finally:
                stuck.start()
    finally:
        stuck.cancel()
    if not server.started:
        raise app.state.failed_to_start


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, which is everywhere but on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _shown(host: str) -> str:
    """The host as a person would type it into a browser."""
    if host in ("127.0.0.1", "0.0.0.0", "::", "::1", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host
