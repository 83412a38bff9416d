"""The HTTP API beside the channels: Rasa's paths and shapes, one file per resource; openapi.yml describes all of it.

Source: https://rasa.com/docs/rasa/pages/http-api
"""

from __future__ import annotations

from collections.abc import Sequence

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
    from bot.api import conversations, document, evaluating, models, training

    conversation = "/conversations/{conversation_id:path}"
    return [
        Route("/openapi.json", document.openapi),
        Route("/docs", document.docs),
        Route("/status", models.status),
        Route("/domain", models.domain),
        Route("/model", models.load, methods=["PUT"]),
        Route("/model", models.unload, methods=["DELETE"]),
        Route("/model/parse", models.parse, methods=["POST"]),
        Route("/model/predict", models.predict, methods=["POST"]),
        Route("/model/train", training.train, methods=["POST"]),
        Route("/model/test/stories", evaluating.test_stories, methods=["POST"]),
        Route("/model/test/intents", evaluating.test_intents, methods=["POST"]),
        Route(f"{conversation}/tracker", conversations.read_tracker),
        Route(f"{conversation}/tracker", conversations.delete_tracker, methods=["DELETE"]),
        Route(f"{conversation}/tracker/events", conversations.add_events, methods=["POST"]),
        Route(f"{conversation}/tracker/events", conversations.replace_events, methods=["PUT"]),
        Route(f"{conversation}/story", conversations.read_story),
        Route(f"{conversation}/execute", conversations.execute_action, methods=["POST"]),
        Route(f"{conversation}/trigger_intent", conversations.trigger_intent, methods=["POST"]),
        Route(f"{conversation}/predict", conversations.predict, methods=["POST"]),
        Route(f"{conversation}/messages", conversations.add_message, methods=["POST"]),
    ]


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"Hello from Frontdesk: {__version__}")


async def health(request: Request) -> Response:
    return answer_json({"status": "ok"})


async def version(request: Request) -> Response:
    return answer_json({"version": __version__, "minimum_compatible_version": OLDEST_MODEL})
