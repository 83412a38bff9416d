"""The HTTP API beside the channels: Rasa's paths and shapes, one file per resource; openapi.yml describes all of it.

Source: https://rasa.com/docs/rasa/pages/http-api
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot import __version__
from bot.http import answer_json

OLDEST_MODEL = "0.1.0"
"""The first version whose models this one reads."""


def open_routes() -> Sequence[Route]:
    """What anybody may ask."""
    return [Route("/", hello), Route("/health", health), Route("/version", version)]


def api_routes() -> Sequence[Route]:
    """What the server's token, or a JWT, protects; and the description of it, which anybody may read."""
    # They need much that a server without the API does not.
    from bot.api import conversations, dead_letters, document, evaluating, identity, models, schedule, training

    conversation = "/conversations/{conversation_id:path}"
    return [
        _route("/openapi.json", GET=document.openapi),
        _route("/docs", GET=document.docs),
        _route("/status", GET=models.status),
        _route("/domain", GET=models.domain),
        _route("/model", PUT=models.load, DELETE=models.unload),
        _route("/model/parse", POST=models.parse),
        _route("/model/predict", POST=models.predict),
        _route("/model/train", POST=training.train),
        _route("/model/test/stories", POST=evaluating.test_stories),
        _route("/model/test/intents", POST=evaluating.test_intents),
        _route(f"{conversation}/tracker", GET=conversations.read_tracker, DELETE=conversations.delete_tracker),
        _route(f"{conversation}/tracker/events", POST=conversations.add_events, PUT=conversations.replace_events),
        _route(f"{conversation}/story", GET=conversations.read_story),
        _route(f"{conversation}/execute", POST=conversations.execute_action),
        _route(f"{conversation}/trigger_intent", POST=conversations.trigger_intent),
        _route(f"{conversation}/predict", POST=conversations.predict),
        _route(f"{conversation}/messages", POST=conversations.add_message),
        _route(f"{conversation}/schedule", GET=schedule.read_schedule, POST=schedule.schedule),
        _route(f"{conversation}/schedule/{{name:path}}", DELETE=schedule.unschedule),
        _route(f"{conversation}/joined", GET=identity.read_joined, POST=identity.make_code, DELETE=identity.leave),
        _route("/dead-letters", GET=dead_letters.read_dead_letters),
        _route("/dead-letters/{letter_id}", DELETE=dead_letters.drop),
        _route("/dead-letters/{letter_id}/retry", POST=dead_letters.retry),
    ]


def _route(path: str, **handlers: Callable[[Request], Awaitable[Response]]) -> Route:
    """One route for all methods of a path, so that a 405 names them all."""
    return Route(path, partial(_answer, handlers), methods=list(handlers))


async def _answer(handlers: Mapping[str, Callable[[Request], Awaitable[Response]]], request: Request) -> Response:
    return await handlers["GET" if request.method == "HEAD" else request.method](request)


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"Hello from Frontdesk: {__version__}")


async def health(request: Request) -> Response:
    return answer_json({"status": "ok"})


async def version(request: Request) -> Response:
    return answer_json({"version": __version__, "minimum_compatible_version": OLDEST_MODEL})
