"""Outside services that are not there, whatever HTTP client asks for them."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from bot.evaluation.services import Answer, Services, ServiceStub, origin, standing_in
from bot.interfaces import ChatMessage
from bot.llm.openai import Openai

Ask = Callable[[str, str, Any], tuple[int, bytes]]


def with_httpx(method: str, url: str, body: Any) -> tuple[int, bytes]:
    answer = httpx.request(method, url, json=body, headers={"X-Key": "k"})
    return answer.status_code, answer.content


def with_async_httpx(method: str, url: str, body: Any) -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        async with httpx.AsyncClient() as client:
            answer = await client.request(method, url, json=body, headers={"X-Key": "k"})
        return answer.status_code, answer.content

    return asyncio.run(ask())


def with_requests(method: str, url: str, body: Any) -> tuple[int, bytes]:
    answer = requests.request(method, url, json=body, headers={"X-Key": "k"}, timeout=5)
    assert answer.url == url
    return answer.status_code, answer.content


def with_aiohttp(method: str, url: str, body: Any) -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        base, _, path = url.rpartition("/")
        path, _, query = path.partition("?")
        params = dict([query.split("=")]) if query else None
        async with (
            aiohttp.ClientSession(base + "/") as session,
            session.request(method, path, params=params, json=body, headers={"X-Key": "k"}) as answer,
        ):
            return answer.status, await answer.read()

    return asyncio.run(ask())


def with_urllib3(method: str, url: str, body: Any) -> tuple[int, bytes]:
    answer = urllib3.PoolManager(retries=False).request(method, url, json=body, headers={"X-Key": "k"})
    return answer.status, answer.data


def with_urllib(method: str, url: str, body: Any) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"X-Key": "k"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


CLIENTS = (with_httpx, with_async_httpx, with_requests, with_aiohttp, with_urllib3, with_urllib)
PAY = ServiceStub("POST", "https://bank.example/v1/*", (Answer(201, b'{"id": 7}'), Answer(503, b"busy")))


@pytest.mark.parametrize("ask", CLIENTS)
def test_every_client_is_answered_by_the_stub_and_its_call_is_remembered(ask: Ask) -> None:
    with standing_in(Services((PAY,))) as services:
        assert ask("POST", "https://bank.example/v1/pay?to=Tom", {"amount": 5}) == (201, b'{"id": 7}')
        assert ask("POST", "https://bank.example/v1/pay?to=Tom", {"amount": 5}) == (503, b"busy")
        assert ask("POST", "https://bank.example/v1/pay?to=Tom", {"amount": 5}) == (503, b"busy")
    call = services.calls[0]
    assert (call.method, call.url) == ("POST", "https://bank.example/v1/pay?to=Tom")
    assert (call.json, call.headers["x-key"]) == ({"amount": 5}, "k")
    assert (len(services.calls), services.unanswered) == (3, [])


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_no_stub_answers_is_refused_and_told(ask: Ask) -> None:
    with standing_in(Services((PAY,))) as services:
        status, body = ask("GET", "https://bank.example/v1/balance", None)
    assert (status, json.loads(body)) == (501, {"error": "no stub answers GET https://bank.example/v1/balance"})
    assert list(map(str, services.unanswered)) == ["GET https://bank.example/v1/balance"]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_service_may_be_down(ask: Ask) -> None:
    stub = ServiceStub("GET", "https://bank.example/*", (Answer(down=True), Answer(200, b"here")))
    with standing_in(Services((stub,))) as services:
        with pytest.raises((OSError, httpx.ConnectError, urllib3.exceptions.HTTPError)):
            ask("GET", "https://bank.example/balance", None)
        assert ask("GET", "https://bank.example/balance", None) == (200, b"here")
    assert len(services.calls) == 2


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_is_open_is_called_for_real_and_afterwards_everything(ask: Ask) -> None:
    there = Services((ServiceStub("*", "*", (Answer(200, b"real"),)),))
    with standing_in(there) as real:
        address = real.address
        with standing_in(Services(open=frozenset([origin(address)]))) as services:
            assert ask("GET", f"{address}/health", None)[1] == b"real"
    assert services.calls == []
    with pytest.raises((OSError, httpx.ConnectError, urllib3.exceptions.HTTPError)):
        ask("GET", f"{address}/health", None)


def test_a_stub_without_a_query_answers_every_query_and_one_with_a_query_only_that() -> None:
    assert ServiceStub("GET", "https://a.example/x", ()).fits("GET", "https://a.example/x/?page=2")
    with_query = ServiceStub("*", "https://a.example/x?page=2", ())
    assert with_query.fits("POST", "https://a.example/x?sort=up&page=2")
    assert not with_query.fits("GET", "https://a.example/x?page=3")
    assert not ServiceStub("GET", "https://a.example/x", ()).fits("POST", "https://a.example/x")


def test_a_language_model_is_an_outside_service() -> None:
    said = {"role": "assistant", "content": "Nine to five."}
    choice = {"index": 0, "finish_reason": "stop", "message": said}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    answer = Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    stub = ServiceStub("POST", "https://llm.example/v1/chat/completions", (answer,))
    with standing_in(Services((stub,))) as services:
        llm = Openai(base_url="https://llm.example/v1", model="m", api_key="k")
        completion = asyncio.run(llm.complete([ChatMessage("user", "When are you open?")], deadline=10))
    assert completion.text == "Nine to five."
    assert services.calls[0].json["messages"][-1]["content"] == "When are you open?"
