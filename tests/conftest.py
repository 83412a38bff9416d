"""A small real bot, and a real server around any application."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvicorn

from bot.action_execution import Actions
from bot.assistant import Assistant
from bot.domain import Domain, EntitySpec, IntentSpec, Response
from bot.endpoint import Endpoint
from bot.errors import Source
from bot.messages import BotMessage
from bot.nlu.keyword_intent_classifier import KeywordIntentClassifier
from bot.nlu.pipeline import Pipeline
from bot.policies.rule_policy import RulePolicy
from bot.stores.memory import MemoryStore
from bot.training_data import ActionStep, Example, Rule, TrainingData, UserStep
from bot.understanding import Understanding

SHOP = {
    "greet": ("hello", BotMessage(text="Hello from the shop.")),
    "hours": ("hours", BotMessage(text="We open at nine.\n\nWe close at six.", image="https://shop.example/door.png")),
    "order": (
        "order",
        BotMessage(
            text="Shall I order it?",
            buttons=({"title": "Yes, order", "payload": '/buy{"what": "tea"}'}, {"title": "No", "payload": "/greet"}),
        ),
    ),
    "buy": ("!buy", BotMessage(text="It is ordered.")),
    "nlu_fallback": ("", BotMessage(text="Please say that in other words.")),
    "terms": ("terms", BotMessage(text="\n".join(f"Paragraph {number} of our terms." for number in range(1, 81)))),
    "links": (
        "links",
        BotMessage(
            text="<b>Not bold</b> <img src=x onerror=alert(1)> see https://shop.example/a?b=1&c=2.\nSource: Terms"
        ),
    ),
}


def make_assistant(store: Any = None, languages: tuple[str, ...] = ("en", "zh")) -> Assistant:
    """A shop's bot: one rule for each intent of `SHOP`; a word of the message is its intent."""
    domain = Domain(
        intents={name: IntentSpec(name) for name in SHOP},
        entities={"what": EntitySpec("what")},
        responses={f"utter_{name}": (Response(message),) for name, (_, message) in SHOP.items()},
    )
    rules = [
        Rule(name, (UserStep(name), ActionStep(f"utter_{name}")), source=Source("rules.yml", number))
        for number, name in enumerate(SHOP, 1)
    ]
    policy = RulePolicy()
    policy.train((), rules, domain)
    classifier = KeywordIntentClassifier()
    examples = [Example(word, name) for name, (word, _) in SHOP.items() if word]
    classifier.train(TrainingData(tuple(examples)), [])
    fallback = _Fallback()
    understanding = Understanding(Pipeline([("KeywordIntentClassifier", classifier), ("fallback", fallback)]))
    return Assistant(domain, understanding, [policy], Actions(domain), store or MemoryStore(), languages=languages)


class _Fallback:
    """What no keyword was found in is not understood."""

    def parse(self, parses: Any) -> None:
        from bot.messages import Intent

        for parse in parses:
            if parse.intent.name is None:
                parse.intent = Intent("nlu_fallback", 1.0)


@pytest.fixture
def assistant() -> Assistant:
    return make_assistant()


@contextlib.contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """The application behind a real socket; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, access_log=False, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    assert server.started, "the server did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


Running = Callable[..., contextlib.AbstractContextManager[str]]


@pytest.fixture(scope="session")
def running() -> Running:
    """`with running(app, port) as address`: for a server that a test stops itself."""
    return serving


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """`serve(app)` → its address; stopped at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@pytest.fixture(scope="session")
def make() -> Callable[..., Assistant]:
    """`make(store)` → the shop's bot on that store."""
    return make_assistant


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.append("endpoints_closed")


@pytest.fixture
async def endpoints_closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Closes what a test has opened to an action or NLG server: connections that are left open are logged as errors."""
    opened: list[Endpoint] = []
    initialise = Endpoint.__init__

    def noted(endpoint: Endpoint, *args: Any, **options: Any) -> None:
        initialise(endpoint, *args, **options)
        opened.append(endpoint)

    monkeypatch.setattr(Endpoint, "__init__", noted)
    yield
    for endpoint in opened:
        await endpoint.close()
