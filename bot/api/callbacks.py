"""`callback_url`: the caller is answered at once, and told the result later, at an address of theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import Response

from bot.http import answer_error, bad_request

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[Response]]


async def now_or_later(request: Request, work: Work) -> Response:
    """The answer of `work`; or 204, and its answer is posted to the query's `callback_url` when it is there."""
    address = request.query_params.get("callback_url")
    if not address:
        return await work()
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = "'callback_url' must be an address like https://shop.example/trained."
        raise bad_request(message, parameter="callback_url", **{"in": "query"})
    tasks: set[asyncio.Task[None]] = request.app.state.tasks
    task = asyncio.create_task(_tell(request, work, address))
    # The loop keeps no hold of a task.
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return Response(status_code=204)


async def _tell(request: Request, work: Work, address: str) -> None:
    try:
        answer = await work()
    except Exception as error:
        answer = await answer_error(request, error)
    headers = {name: answer.headers[name] for name in ("content-type", "filename") if name in answer.headers}
    try:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            told = await client.post(address, content=bytes(answer.body), headers=headers)
            told.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.error("the callback to %s failed: %s", urlsplit(address).hostname, type(error).__name__)
