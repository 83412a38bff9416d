"""The OpenAPI document: it is valid, says what is served and nothing else, and the server keeps to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.routing import Route

from bot.api.document import document, page
from bot.app import create_app, open_channels
from bot.assistant import Assistant

# What the document cannot say: that a text is a project, that a model is there, that an id is printable,
# that a day is in the calendar.
MEANING = {
    (path, method): [positive_data_acceptance]
    for path, method in (
        ("/model/train", "POST"),
        ("/model/test/stories", "POST"),
        ("/model/test/intents", "POST"),
        ("/model", "PUT"),
        ("/webhooks/rest/webhook", "POST"),
        ("/conversations/{conversation_id}/schedule", "POST"),
    )
}
AGAIN = ("replaceEvents", "predictFromEvents")
"""Operations whose body is that of `addEvents`, which is tried in all its corners: a thousand requests."""
SCHEMA = schemathesis.openapi.from_dict(document())


def test_the_document_is_openapi() -> None:
    validate(document())


def test_what_is_served_is_described_and_nothing_else(make: Callable[..., Assistant]) -> None:
    served = {
        (re.sub(r":path}", "}", route.path), method.lower())
        for route in create_app(make(), open_channels({"rest": {}})).routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {
        (path, method) for path, methods in document()["paths"].items() for method in methods if method != "parameters"
    }
    assert served == described


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all requests."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@SCHEMA.exclude(lambda one: one.operation.definition.raw["operationId"] in AGAIN).parametrize()
@settings(max_examples=5, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_the_document(
    case: schemathesis.Case, shop_address: str, session: requests.Session
) -> None:
    unsaid = MEANING.get((case.path, case.method), [])
    case.call_and_validate(base_url=shop_address, session=session, excluded_checks=unsaid)


@SCHEMA.include(lambda one: one.operation.definition.raw["operationId"] in AGAIN).parametrize()
@settings(
    max_examples=20, derandomize=True, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_so_it_does_where_events_are_read_again(
    case: schemathesis.Case, shop_address: str, session: requests.Session
) -> None:
    case.call_and_validate(base_url=shop_address, session=session)


def test_the_document_and_its_page_are_served_and_need_nothing_from_elsewhere(shop_address: str) -> None:
    assert httpx.get(f"{shop_address}/openapi.json").json() == document()
    answer = httpx.get(f"{shop_address}/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == page(document())
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", answer.text)
    for path in document()["paths"]:
        assert f">{path}<" in answer.text
