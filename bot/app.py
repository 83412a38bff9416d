"""The web application: the channels, the HTTP API and health, and how they are served."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.access import Access, check_jwt
from bot.api import api_routes, models, open_routes
from bot.assistant import Assistant
from bot.brokers import open_broker
from bot.errors import ConfigError
from bot.http import RequestError, answer_error, answer_json, answer_stopping
from bot.interfaces import Channel
from bot.model_server import ModelServer
from bot.processes import GRACE, Control, leave_soon, loop_factory, settle, shared_listener
from bot.project import Project
from bot.registry import construct, load_class
from bot.serving import Serving
from bot.worker import Worker

log = logging.getLogger(__name__)

DEFAULT_CHANNELS: Mapping[str, Mapping[str, Any]] = {"rest": {}, "webchat": {}}


def open_channels(options: Mapping[str, Mapping[str, Any] | None] = DEFAULT_CHANNELS) -> list[Channel]:
    """The channels by name, each made from its options."""
    return [construct(load_class("channel", name), settings or {}) for name, settings in options.items()]


def create_app(
    assistant: Assistant,
    channels: Sequence[Channel] | None = None,
    *,
    connector: str | None = None,
    cors: Sequence[str] = (),
    auth_token: str | None = None,
    jwt_secret: str | None = None,
    jwt_method: str = "HS256",
    enable_api: bool = True,
    model_file: str = "",
    project: Project | None = None,
    model_server: ModelServer | None = None,
    limits: Limits | None = None,
    control: Control | None = None,
) -> Starlette:
    """An ASGI application that starts and closes the assistant with itself.

    `cors` are the origins whose pages may call it. API callers show `auth_token` or a JWT; the channels are REST and
    web chat unless given. Of these `connector` alone is served, if it is named; replies go out by all of them, for the
    worker answers what others have accepted, too. `project` is what other models are loaded for, and `model_server`
    sends them. `control` is there where this is one of several processes.
    """
    if jwt_secret:
        check_jwt(jwt_secret, jwt_method)
    broker = open_broker(project) if project else None
    channels = open_channels() if channels is None else channels
    assistant.channels = {channel.name: channel for channel in channels}
    routes: list[BaseRoute] = []
    for channel in channels:
        if connector and channel.name != connector:
            continue
        routes += channel.routes(assistant)
        routes.append(Route(f"/webhooks/{channel.name}/", channel_health))
    routes += open_routes()
    if enable_api:
        routes += api_routes()
    serving = Serving(assistant, project, model_file)
    following = Following(serving)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            if model_server:
                await model_server.pull_first(serving)
            await assistant.start()
        except Exception as error:
            app.state.failed_to_start = error
            raise
        worker = Worker(assistant, broker)
        if assistant.takes_turns:
            worker.start()
        following.follow(model_server)
        if control:
            app.state.tasks.add(asyncio.create_task(control.listen(partial(models.do_as_told, app))))
        app.state.when_ready()
        try:
            yield
        finally:
            following.follow(None)
            await worker.stop(GRACE)
            for task in list(app.state.tasks):
                task.cancel()
            await assistant.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            *([_cors(cors)] if cors else []),
            Middleware(_answering_errors),
            *([Middleware(_in_time, limits)] if limits else []),
        ],
        exception_handlers={HTTPException: answer_error},
    )
    app.state.access = Access(auth_token, jwt_secret, jwt_method)
    app.state.serving = serving
    app.state.control = control
    app.state.tasks = set()
    app.state.follow = following.follow
    app.state.when_ready = lambda: None
    return app


class Following:
    """The model server that is asked for newer models, if any: one at a time."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._task: asyncio.Task[None] | None = None

    def follow(self, server: ModelServer | None) -> None:
        """Ask this one from now on, or none."""
        if self._task:
            self._task.cancel()
        self._task = asyncio.create_task(server.keep_pulling(self._serving)) if server else None


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for a request to arrive whole, and for it to be answered. None for as long as it takes."""

    request: float | None = None
    response: float | None = None


def _in_time(app: ASGIApp, limits: Limits) -> ASGIApp:
    """A turn that takes too long is cut off and not stored; its message is in the inbox, and may come again."""

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        whole = False

        async def receive_in_time() -> Message:
            nonlocal whole
            try:
                async with asyncio.timeout(None if whole else limits.request):
                    message = await receive()
            except TimeoutError as error:
                raise RequestError(408, "RequestTimeout", "The request did not arrive in time.") from error
            whole = whole or not message.get("more_body", False)
            return message

        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        deadline = asyncio.timeout(limits.response)
        try:
            async with deadline:
                await app(scope, receive_in_time, send)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            message = "The answer took too long. Send the same message again in a moment."
            raise RequestError(503, "ResponseTimeout", message) from error

    return timed


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
        allow_credentials=True,
        expose_headers=["filename", "Retry-After"],
        max_age=3600,
    )


# ---- serving ----


def serve(
    assistant: Assistant,
    channels: Sequence[Channel] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 5005,
    tls: Tls | None = None,
    **settings: Any,
) -> None:
    """Serve until Ctrl-C or SIGTERM; turns in hand are finished first. `ConfigError` when the port is not to be had.

    `settings` are those of `create_app`. The process ends with it, also where an action hangs in a thread.
    """
    control = Control.inherited()
    app = create_app(assistant, channels, control=control, **settings)
    if settings.get("enable_api", True) and app.state.access.is_open and not _is_local(host):
        log.warning("anyone who reaches %s can read conversations: set --auth-token, or --no-api", host)
    if tls:
        tls.check()
    listener = shared_listener() or listen(host, port)
    with contextlib.suppress(KeyboardInterrupt), listener:
        _run(app, listener, ready_line(listener, host, tls), tls, control)
    leave_soon()


def ready_line(listener: socket.socket, host: str, tls: Tls | None) -> str:
    """What is printed when the bot can be talked to."""
    return f"Frontdesk is ready at http{'s' if tls else ''}://{_shown(host)}:{listener.getsockname()[1]}"


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate and key (PEM), the key's password, and the authorities that signed it."""

    certificate: Path
    keyfile: Path | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def check(self) -> None:
        """`ConfigError` when these do not go together."""
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca_file)
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.certificate, self.keyfile, lambda: self.password or "")
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"the certificate '{self.certificate}' and its key cannot be used: {reason}"
            raise ConfigError(f"{message}. Check --ssl-certificate, --ssl-keyfile and --ssl-password") from error

    def options(self) -> dict[str, Any]:
        """uvicorn's names of them."""
        return {
            "ssl_certfile": self.certificate,
            "ssl_keyfile": self.keyfile,
            "ssl_keyfile_password": self.password,
            "ssl_ca_certs": str(self.ca_file) if self.ca_file else None,
        }


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


def _run(app: Starlette, listener: socket.socket, ready: str, tls: Tls | None, control: Control | None) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        access_log=False,
        # Its tracebacks may quote a customer; what goes wrong in a request is logged by bot/http.py.
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        **(tls.options() if tls else {}),
    )
    # uvicorn finishes the turns in hand and then raises the signal again: an end, and no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = uvicorn.Server(config)
    # The socket listens already: who reads this line and connects is answered.

    def tell_ready() -> None:
        settle()
        if control:
            control.say(ready=True)
        else:
            print(ready, flush=True)

    app.state.when_ready = tell_ready
    # Python waits for its threads: an action that hangs in one must not keep the process.
    stuck = threading.Timer(GRACE, os._exit, [0])
    stuck.daemon = True
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                runner.run(server.serve(sockets=[listener]))
            finally:
                stuck.start()
    finally:
        stuck.cancel()
    if not server.started:
        raise app.state.failed_to_start


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _shown(host: str) -> str:
    """The host as a person would type it into a browser."""
    if host in ("127.0.0.1", "0.0.0.0", "::", "::1", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host
