"""What every HTTP handler shares: bodies within limits, JSON out, who may command, and what an error looks like.

The error body is Rasa's. Source: https://rasa.com/docs/rasa/pages/http-api
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bot import __version__
from bot.access import Access
from bot.errors import FrontdeskError, InvalidSignature, ModelError, StoreError, StoreFull, StoreUnavailable, describe
from bot.payloads import DEEPEST_JSON, is_shallow

log = logging.getLogger(__name__)

LARGEST_BODY = 100_000
"""Bytes. A message of a customer is never this long."""
LONGEST_ID = 255
"""Characters of a sender id or message id."""


RASA_DOCS = "https://rasa.com/docs/rasa"
SECURITY = f"{RASA_DOCS}/user-guide/configuring-http-api/#security-considerations"


class RequestError(FrontdeskError):
    """A request that is answered with an HTTP error; `reason` is Rasa's short name of it."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = dict(details or {})
        self.help = help


def bad_request(message: str, **details: Any) -> RequestError:
    return RequestError(400, "BadRequest", message, details)


# ---- in ----


async def read_body(request: Request, most: int = LARGEST_BODY) -> bytes:
    """The body; `RequestError` 413 when it has more than `most` bytes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            message = f"The message is too long: at most {most // 1000} kB are read. Please shorten it."
            raise RequestError(413, "PayloadTooLarge", message)
    return body


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object, whatever its content type says; `RequestError` 400 or 413 when it is none."""
    data = parse_json(await read_body(request))
    if not isinstance(data, dict):
        raise bad_request('The body must be a JSON object, as in {"sender": "anna", "message": "hello"}.')
    return data


def parse_json(body: bytes) -> Any:
    """What the body says; 400 when it is no JSON, or nested too deeply to be stored."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body must be valid JSON: {error}.") from error
    if not is_shallow(data):
        raise bad_request(f"The body may be nested {DEEPEST_JSON} levels deep at most.")
    return data


def text_of(data: Mapping[str, Any], key: str, default: str = "") -> str:
    """The string at `key`, `default` when it is missing or null; 400 when it is anything else."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise bad_request(f"'{key}' must be a string.", parameter=key)
    return value


def id_of(data: Mapping[str, Any], key: str, default: str = "") -> str:
    """As `text_of`, for something that becomes a key in the store: short, and without control characters."""
    value = text_of(data, key, default)
    if len(value) > LONGEST_ID or not (value.isprintable()):
        raise bad_request(f"'{key}' must be at most {LONGEST_ID} printable characters.", parameter=key)
    return value or default


def object_of(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object at `key`, empty when it is missing or null; 400 when it is anything else."""
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"'{key}' must be an object.", parameter=key)
    return value


def message_id_of(request: Request, data: Mapping[str, Any], default: str) -> str:
    """The caller's own key of this message: `message_id` in the body, or the header `Idempotency-Key`."""
    header = request.headers.get("idempotency-key")
    return id_of(data, "message_id") or (id_of({"Idempotency-Key": header}, "Idempotency-Key") if header else default)


# ---- who ----


def bearer_of(request: Request) -> str:
    """What stands after `Authorization: Bearer`, else empty."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def is_authenticated(request: Request) -> bool:
    """Whether the caller may command: they have shown the server's token, or a JWT with the role admin."""
    access: Access = request.app.state.access
    shown = bearer_of(request)
    if access.has_token(request.query_params.get("token") or shown) or access.has_token(shown):
        return True
    return (access.user(shown) or {}).get("role") == "admin"


def require_access(request: Request, conversation: str | None = None) -> None:
    """401 or 403 unless the caller may do this, with that conversation if one is named; anybody on an open server."""
    access: Access = request.app.state.access
    if access.is_open or is_authenticated(request):
        return
    user = access.user(bearer_of(request))
    if user is None:
        raise RequestError(401, "NotAuthenticated", "User is not authenticated.", help=SECURITY)
    if user.get("role") != "user" or conversation is None or user.get("username") != conversation:
        raise RequestError(403, "NotAuthorized", "User has insufficient permissions.", help=SECURITY)


# ---- out ----


def answer_json(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status, media_type="application/json", headers=headers)


def answer_problem(
    status: int,
    reason: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    help: str | None = None,
) -> Response:
    """An error in Rasa's shape."""
    body = {
        "version": __version__,
        "status": "failure",
        "message": message,
        "reason": reason,
        "details": details or {},
        "help": help,
        "code": status,
    }
    return answer_json(body, status, headers)


def answer_stopping() -> Response:
    """What a caller gets whose turn was cut off by the end of the server."""
    message = "The server is stopping. Send the same message again in a moment."
    return answer_problem(503, "Stopping", message, headers={"Retry-After": "1"})


async def answer_error(request: Request, error: Exception) -> Response:
    """What a caller gets for any exception. What was said stays out of answer and log."""
    match error:
        case RequestError():
            return answer_problem(error.status, error.reason, str(error), error.details, help=error.help)
        case InvalidSignature():
            return answer_problem(401, "InvalidSignature", str(error))
        case ModelError():
            return answer_problem(409, "Conflict", str(error), help=f"{RASA_DOCS}/user-guide/configuring-http-api/")
        case HTTPException():
            return answer_problem(error.status_code, error.detail.replace(" ", ""), error.detail, headers=error.headers)
        case ClientDisconnect():
            return Response(status_code=400)
        case StoreFull():
            _SELDOM.warning("conversation %s: %s %s: %s", *_where(request), error)
            message = "Too many messages wait just now. Send the same message again in a moment."
            return answer_problem(503, "TooManyMessages", message, headers={"Retry-After": "5"})
        case StoreUnavailable():
            _SELDOM.warning("conversation %s: %s %s: %s", *_where(request), error)
        case _:
            log.error("conversation %s: %s %s: %s", *_where(request), describe(error))
    if isinstance(error, StoreError):
        message = "The conversation cannot be reached just now. Send the same message again in a moment."
        return answer_problem(503, "StoreUnavailable", message, headers={"Retry-After": "1"})
    message = "Something went wrong on our side. Send the same message again in a moment."
    return answer_problem(500, "ConversationError", message)


class _Seldom:
    """Logs at most one line in `every` seconds: a store that is away is away for every page that asks."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._latest = -every
        self._untold = 0

    def warning(self, message: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._latest < self._every:
            self._untold += 1
            return
        more = f" (and {self._untold} more like it since)" if self._untold else ""
        self._latest, self._untold = now, 0
        log.warning(message + more, *values)


_SELDOM = _Seldom(10.0)


def _where(request: Request) -> tuple[str, str, str]:
    return request.scope.get("conversation_id", "-"), request.method, request.url.path
