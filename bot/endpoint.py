"""A server that endpoints.yml names (the action server, the NLG server): one JSON question, one JSON answer.

Whatever the server does, an answer is here within `timeout`, or an `EndpointError` that says which server it was and
what went wrong. It repeats nothing that the server wrote: that may be what a customer said.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from bot.errors import ConfigError, EndpointError
from bot.messages import EMPTY
from bot.stores import encode

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

LARGEST_ANSWER = 10_000_000
"""Bytes of an answer that are read."""
MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP status, and the body as JSON."""

    status: int
    content: Any


class Endpoint:
    """The keywords are Rasa's; `what` names the server in messages ("the action server"), `key` its section."""

    def __init__(
        self,
        what: str,
        key: str,
        url: str,
        *,
        headers: Mapping[str, Any] = EMPTY,
        params: Mapping[str, Any] = EMPTY,
        basic_auth: Mapping[str, Any] = EMPTY,
        token: str | None = None,
        token_name: str = "token",
        cafile: str | None = None,
        timeout: float,
        compress: bool = False,
    ) -> None:
        from yarl import URL

        parts = _parts(url)
        if parts is None:
            raise ConfigError(f"the 'url' of {key} must be like http://localhost:5055/webhook")
        for name, section in (("headers", headers), ("params", params), ("basic_auth", basic_auth)):
            if not isinstance(section, Mapping):
                raise ConfigError(f"'{name}' of {key} must be a mapping of names to values")
        if basic_auth and not {"username", "password"} <= set(basic_auth):
            raise ConfigError(f"'basic_auth' of {key} needs 'username' and 'password'")
        if timeout <= 0:
            raise ConfigError(f"'timeout' of {key} must be more than 0 seconds")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        # Passwords and tokens may stand in a URL; they must not stand in a log.
        self.shown_url = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._about = f"{what} {self.shown_url}"
        self._key = key
        self._url = URL(url).update_query({**_texts(params), **({token_name: token} if token else {})})
        self._headers = {"Content-Type": "application/json", **_texts(headers)}
        if basic_auth:
            self._headers["Authorization"] = _basic(str(basic_auth["username"]), str(basic_auth["password"]))
        self._context = _context(cafile, key) if parts.scheme == "https" else None
        self._timeout = timeout
        self._compress = compress
        self._session: aiohttp.ClientSession | None = None
        self._asking = 0
        self._is_closed = False

    async def ask(self, question: Mapping[str, Any], headers: Mapping[str, str] = EMPTY) -> Answer:
        """POST the question as JSON. `EndpointError` when no JSON comes back in time."""
        import aiohttp

        body = encode(question)
        sent = {**self._headers, **headers}
        if self._compress:
            body = zlib.compress(body)
            sent["Content-Encoding"] = "deflate"
        self._asking += 1
        try:
            async with asyncio.timeout(self._timeout):
                status, answer = await self._send(body, sent)
        except TimeoutError as error:
            raise self.failed(f"did not answer within {self._timeout:g} s ('timeout' of {self._key})") from error
        except aiohttp.ClientConnectorError as error:
            raise self.failed(f"cannot be reached ({_reason(error)}). Is it running?") from error
        except aiohttp.ClientError as error:
            raise self.failed(f"broke off its answer ({type(error).__name__}): its log may have the reason") from error
        finally:
            self._asking -= 1
            if self._is_closed:
                await self.close()
        if status in (401, 403):
            raise self.failed(f"refused us ({status}): check 'token' of {self._key} in endpoints.yml")
        try:
            return Answer(status, orjson.loads(answer))
        except ValueError as error:
            raise self.failed(f"answered {status} with something that is no JSON") from error

    def failed(self, problem: str) -> EndpointError:
        """An error to raise: the server, and what is wrong with it."""
        return EndpointError(f"{self._about} {problem}")

    async def close(self) -> None:
        """Keep no connection from now on. What is being asked is answered first; a turn in hand may ask on."""
        self._is_closed = True
        if self._session is not None and not self._asking:
            session, self._session = self._session, None
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The connections of this process, which belong to the event loop that first asks."""
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                # Given up before a server does (gunicorn's after 2 s), which may be while a call is on its way.
                connector=aiohttp.TCPConnector(ssl=self._context or True, keepalive_timeout=1.5),
                timeout=aiohttp.ClientTimeout(total=None, connect=min(self._timeout, 10.0)),
                # Nothing that a server sets in one conversation goes along with another.
                cookie_jar=aiohttp.DummyCookieJar(),
                # The address in endpoints.yml is meant, not a proxy that the environment happens to name.
                trust_env=False,
            )
        return self._session

    async def _send(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        url = self._url
        for _ in range(MOST_REDIRECTS):
            async with self._opened().post(url, data=body, headers=headers, allow_redirects=False) as response:
                following = _following(url, response) if response.status in (307, 308) else None
                if following is None or following.host != url.host:
                    return response.status, await self._read(response)
                url = following
        raise self.failed("sends us round in circles: write the address that it means into endpoints.yml")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
            raise self.failed("sends us to another address: if that is meant, write it into endpoints.yml")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise self.failed(f"answered with more than {LARGEST_ANSWER // 1_000_000} MB: the rest was not read")
        return bytes(body)


def _following(url: URL, response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; None when it names no place."""
    from yarl import URL

    try:
        return url.join(URL(response.headers.get("Location", "")))
    except ValueError:
        return None


def _basic(username: str, password: str) -> str:
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def _parts(url: str) -> Any:
    """The parts of an http(s) URL, None when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _texts(section: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in section.items()}


def _context(cafile: str | None, key: str) -> ssl.SSLContext:
    if cafile is not None and not Path(cafile).is_file():
        raise ConfigError(f"the 'cafile' of {key} does not exist: {cafile}")
    try:
        return ssl.create_default_context(cafile=cafile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the 'cafile' of {key} holds no certificate: {cafile}") from error


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """What kind of failure it was: a certificate, a name, a port."""
    match getattr(error, "certificate_error", None) or error.os_error:
        case ssl.SSLCertVerificationError() as cause:
            return f"its certificate: {cause.verify_message}"
        case ssl.SSLError():
            return "it does not speak TLS"
        case cause:
            return type(cause).__name__
