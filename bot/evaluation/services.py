"""Outside services that are not there: what actions send them in this process goes to a stub, and is remembered.

One mechanism for every HTTP client: the call is led to a small server on this machine, where the client's own
code is at its end (httpx, requests, aiohttp, urllib3 and urllib each have one place for that). So whatever a
client does with an answer, it does here, too. What no stub answers is refused, and told.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from bot.domain import NOWHERE
from bot.errors import Source
from bot.messages import EMPTY

ORIGINAL = "X-Frontdesk-Url"
"""The header that tells the stub server where a request was going."""

NOBODY = "http://127.0.0.1:9"
"""An address where nobody listens (the port of the discard protocol)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answers; `down` when it cannot be reached."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = EMPTY
    down: bool = False


@dataclass(frozen=True, slots=True)
class ServiceStub:
    """Answers to `method url`, one call after the other; the last one stands for all further calls.

    `*` in the URL is any text, `*` for the method is any. Without a query the URL answers with every query.
    """

    method: str
    url: str
    answers: tuple[Answer, ...]
    source: Source = NOWHERE

    def fits(self, method: str, url: str) -> bool:
        return self.method in ("*", method) and url_fits(self.url, url)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


def url_fits(pattern: str, url: str) -> bool:
    wanted, query = _parts(pattern)
    got, given = _parts(url)
    return fnmatchcase(got, wanted) and all(one in given for one in query)


def _parts(url: str) -> tuple[str, list[tuple[str, str]]]:
    place, _, query = url.partition("?")
    return place.rstrip("/"), parse_qsl(query, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that an action made."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(slots=True)
class Services:
    """The stubs in force and the calls so far. `open` holds the addresses (scheme, host, port) that may be called."""

    stubs: tuple[ServiceStub, ...] = ()
    open: frozenset[tuple[str, str, int | None]] = frozenset()
    calls: list[Call] = field(default_factory=list)
    unanswered: list[Call] = field(default_factory=list)
    _counts: dict[int, int] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    address: str = ""

    def lead(self, method: str, url: str) -> str | None:
        """Where a call goes in place of `url`; None when it goes there."""
        if origin(url) in self.open:
            return None
        number = self._find(method, url)
        if number is not None and self._next(number, count=False).down:
            with self._lock:
                self.calls.append(Call(method, url, EMPTY, b""))
            self._next(number)
            return NOBODY
        return self.address

    def answer(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
        number = self._find(call.method, call.url)
        if number is None:
            self.unanswered.append(call)
            return Answer(501, json.dumps({"error": f"no stub answers {call}"}).encode())
        return self._next(number)

    def _find(self, method: str, url: str) -> int | None:
        return next((number for number, stub in enumerate(self.stubs) if stub.fits(method, url)), None)

    def _next(self, number: int, *, count: bool = True) -> Answer:
        answers = self.stubs[number].answers
        with self._lock:
            seen = self._counts.get(number, 0)
            self._counts[number] = seen + count
        return answers[min(seen, len(answers) - 1)]


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


# ---- the server ----------------------------------------------------------------------------------


@contextlib.contextmanager
def standing_in(services: Services) -> Iterator[Services]:
    """While this lasts, no call of this process's HTTP clients reaches anybody but the stubs and what is open."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(services))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="stubs", daemon=True)
    thread.start()
    services.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with contextlib.ExitStack() as stack:
            for place, led in _CLIENTS:
                module, _, name = place.partition(":")
                if importlib.util.find_spec(module.partition(".")[0]) is None:
                    continue
                owner, _, attribute = name.rpartition(".")
                target = getattr(importlib.import_module(module), owner)
                original = getattr(target, attribute)
                stack.enter_context(mock.patch.object(target, attribute, led(original, services)))
            yield services
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(services: Services) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            own = self.path.partition("?")[2]
            url = self.headers.get(ORIGINAL, "")
            if own:
                url += ("&" if "?" in url else "?") + own
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != ORIGINAL.lower()}
            answer = services.answer(Call(self.command, url, headers, self._body()))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            self.close_connection = True

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                pieces = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


# ---- the clients ---------------------------------------------------------------------------------
# Each takes a client's own function and gives one that sends the request to the stubs. The functions are those
# at the end of the client's own work, where the URL is whole and the headers are set.

_Led = Callable[[Any, Services], Any]


def _httpx(name: str) -> _Led:
    def led(original: Any, services: Services) -> Any:
        def handle_request(self: Any, request: Any) -> Any:
            target = services.lead(request.method, str(request.url))
            if target is None:
                return original(self, request)
            httpx = importlib.import_module(name)
            # A transport of its own: the client's may go through a proxy.
            plain = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
            return original(plain, _httpx_request(httpx, request, target))

        return handle_request

    return led


def _async_httpx(name: str) -> _Led:
    def led(original: Any, services: Services) -> Any:
        async def handle_async_request(self: Any, request: Any) -> Any:
            target = services.lead(request.method, str(request.url))
            if target is None:
                return await original(self, request)
            httpx = importlib.import_module(name)
            plain = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
            return await original(plain, _httpx_request(httpx, request, target))

        return handle_async_request

    return led


def _httpx_request(httpx: Any, request: Any, target: str) -> Any:
    headers = [*request.headers.multi_items(), (ORIGINAL, str(request.url))]
    return httpx.Request(request.method, target, headers=headers, stream=request.stream, extensions=request.extensions)


def _requests(original: Any, services: Services) -> Any:
    def send(self: Any, request: Any, **options: Any) -> Any:
        target = services.lead(request.method, request.url)
        if target is None:
            return original(self, request, **options)
        moved = request.copy()
        moved.url = target
        moved.headers[ORIGINAL] = request.url
        response = original(self, moved, **{**options, "proxies": None})
        response.url, response.request = request.url, request
        return response

    return send


def _aiohttp(original: Any, services: Services) -> Any:
    async def request(self: Any, method: str, url: Any, *, params: Any = None, **options: Any) -> Any:
        whole = self._build_url(url)
        if params:
            whole = whole.update_query(params)
        target = services.lead(method.upper(), str(whole))
        if target is None:
            return await original(self, method, whole, **options)
        headers = {**(options.pop("headers", None) or {}), ORIGINAL: str(whole)}
        return await original(self, method, target, headers=headers, **{**options, "proxy": None})

    return request


def _urllib3(original: Any, services: Services) -> Any:
    def urlopen(self: Any, method: str, url: str, redirect: bool = True, **options: Any) -> Any:
        target = services.lead(method, url)
        if target is None:
            return original(self, method, url, redirect, **options)
        headers = {**(options.pop("headers", None) or self.headers or {}), ORIGINAL: url}
        return original(self, method, target, redirect, headers=headers, **options)

    return urlopen


def _urllib(original: Any, services: Services) -> Any:
    def open_url(self: Any, fullurl: Any, data: Any = None, *timeout: Any, **options: Any) -> Any:
        from urllib.request import ProxyHandler, Request, build_opener

        request = fullurl if isinstance(fullurl, Request) else Request(fullurl)
        data = request.data if data is None else data
        method = request.get_method() if data is None or request.method else "POST"
        target = services.lead(method, request.full_url) if request.type in ("http", "https") else None
        if target is None:
            return original(self, fullurl, data, *timeout, **options)
        headers = {**request.headers, **request.unredirected_hdrs, ORIGINAL: request.full_url}
        moved = Request(target, data=data, headers=headers, method=method)
        return original(build_opener(ProxyHandler({})), moved, None, *timeout, **options)

    return open_url


_CLIENTS: Sequence[tuple[str, _Led]] = (
    ("httpx:HTTPTransport.handle_request", _httpx("httpx")),
    ("httpx:AsyncHTTPTransport.handle_async_request", _async_httpx("httpx")),
    ("httpx2:HTTPTransport.handle_request", _httpx("httpx2")),
    ("httpx2:AsyncHTTPTransport.handle_async_request", _async_httpx("httpx2")),
    ("requests.adapters:HTTPAdapter.send", _requests),
    ("aiohttp:ClientSession._request", _aiohttp),
    ("urllib3:PoolManager.urlopen", _urllib3),
    ("urllib.request:OpenerDirector.open", _urllib),
)
"""`module:Class.function` of each client, and what takes its place. One that is not installed is passed over."""
