"""An OpenAI-compatible endpoint: what is asked, what is answered, and every way in which it can fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import orjson
import pytest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.errors import LLMBadReply, LLMError, LLMRateLimited, LLMTimeout
from bot.interfaces import ChatMessage
from bot.llm.openai import Openai

pytestmark = pytest.mark.anyio

KEY = "sk-secret-of-the-bank"
ASKED = [ChatMessage("system", "be brief"), ChatMessage("user", "what is the fee?")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Vendor:
    """The vendor's endpoint. It answers with `answers`, the last of them again and again."""

    answers: list[Response] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False
    address: str = ""

    async def chat_completions(self, request: Request) -> Response:
        self.asked.append(orjson.loads(await request.body()))
        self.headers.append(request.headers)
        if self.hangs:
            await run_in_threadpool(self.closing.wait, 30)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def vendor(serve: Callable[[Any], str]) -> Iterator[Vendor]:
    vendor = Vendor(answers=[completion("It is 5 pounds.")])
    vendor.address = serve(Starlette(routes=[Route("/v1/chat/completions", vendor.chat_completions, methods=["POST"])]))
    yield vendor
    vendor.closing.set()


def provider(vendor: Vendor, **options: Any) -> Openai:
    return Openai(model="small", base_url=f"{vendor.address}/v1", api_key=KEY, **options)


def completion(text: str | None, finish_reason: str = "stop", **more: Any) -> JSONResponse:
    """A chat completion as the vendor documents it."""
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "small-2025-01-01",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 26},
            **more,
        }
    )


def chunks(*pieces: str, finish_reason: str | None = "stop", hang: threading.Event | None = None) -> StreamingResponse:
    """The same as server-sent events, with the usage in a last chunk that has no choices."""

    def chunk(choices: list[Any]) -> bytes:
        data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "small"}
        return b"data: " + orjson.dumps({**data, "choices": choices}) + b"\n\n"

    async def body() -> AsyncIterator[bytes]:
        yield chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for piece in pieces:
            yield chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
        if hang:
            await run_in_threadpool(hang.wait, 30)
        yield chunk([{"index": 0, "delta": {}, "finish_reason": finish_reason}])
        yield chunk([])
        yield b"data: [DONE]\n\n"

    return StreamingResponse(body(), media_type="text/event-stream")


def failure(status: int, message: str = "no", **error: Any) -> JSONResponse:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **error}}
    return JSONResponse(body, status)


# ---- asking and answering ------------------------------------------------------------------------


async def test_the_answer_comes_with_its_tokens_and_model(vendor: Vendor) -> None:
    answer = await provider(vendor).complete(ASKED, deadline=20)
    assert answer.text == "It is 5 pounds."
    assert (answer.prompt_tokens, answer.completion_tokens, answer.model) == (21, 5, "small-2025-01-01")


async def test_the_vendor_is_asked_in_its_own_format(vendor: Vendor) -> None:
    await provider(vendor, temperature=0.2, max_tokens=50).complete(ASKED, deadline=20)
    assert vendor.headers[0]["authorization"] == f"Bearer {KEY}"
    assert vendor.asked[0] == {
        "model": "small",
        "temperature": 0.2,
        "max_tokens": 50,
        "stream": False,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is the fee?"}],
    }


async def test_a_stream_arrives_piece_by_piece(vendor: Vendor) -> None:
    vendor.answers = [chunks("It is ", "5 pounds.")]
    assert [piece async for piece in provider(vendor).stream(ASKED, deadline=20)] == ["It is ", "5 pounds."]


async def test_a_server_without_usage_is_understood(vendor: Vendor) -> None:
    vendor.answers = [completion("Hello.", usage=None)]
    assert (await provider(vendor).complete(ASKED, deadline=20)).prompt_tokens == 0


async def test_a_setting_that_the_model_refuses_is_left_out_from_then_on(vendor: Vendor) -> None:
    vendor.answers = [
        failure(400, param="max_tokens", code="unsupported_parameter"),
        failure(400, param="temperature", code="unsupported_value"),
        completion("Hello."),
    ]
    model = provider(vendor, max_tokens=50)
    await model.complete(ASKED, deadline=20)
    await model.complete(ASKED, deadline=20)
    assert len(vendor.asked) == 4
    assert vendor.asked[3]["max_completion_tokens"] == 50
    assert not {"max_tokens", "temperature"} & set(vendor.asked[3])


async def test_another_http_client_is_used_when_given(vendor: Vendor) -> None:
    client = openai.DefaultAsyncHttpxClient(headers={"x-gateway": "bank"}, trust_env=False)
    await provider(vendor, http_client=client).complete(ASKED, deadline=20)
    assert vendor.headers[0]["x-gateway"] == "bank"


async def test_a_proxy_of_the_environment_is_not_used(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await provider(vendor).complete(ASKED, deadline=20)).text


# ---- failing -------------------------------------------------------------------------------------

FAILURES: list[tuple[Response, type[LLMError], str]] = [
    (failure(429), LLMRateLimited, "asked too often"),
    (failure(401, f"Incorrect API key provided: {KEY}"), LLMError, "api_key"),
    (failure(403), LLMError, "api_key"),
    (failure(404), LLMError, "llm.model"),
    (failure(400, "what is the fee?"), LLMError, "answered 400"),
    (failure(500), LLMError, "answered 500"),
    (Response("<html>Bad gateway</html>", 502, media_type="text/html"), LLMError, "answered 502"),
    (Response("<html>Log in</html>", media_type="text/html"), LLMBadReply, "no chat completion"),
    (Response('{"choices": [', media_type="application/json"), LLMBadReply, "no chat completion"),
    (JSONResponse({"choices": []}), LLMBadReply, "no chat completion"),
    (JSONResponse({"error": "out of memory"}), LLMBadReply, "no chat completion"),
    (JSONResponse([1, 2]), LLMBadReply, "no chat completion"),
    (JSONResponse({"choices": [{"message": {"content": 5}}]}), LLMBadReply, "no chat completion"),
    (completion(""), LLMBadReply, "empty"),
    (completion(" \n"), LLMBadReply, "empty"),
    (completion(None), LLMBadReply, "empty"),
    (completion("The fee is", "length"), LLMBadReply, "cut off"),
    (completion("The", "content_filter"), LLMBadReply, "content filter"),
]


@pytest.mark.parametrize(("answer", "kind", "says"), FAILURES)
async def test_every_failure_is_ours_and_tells_no_secret(
    vendor: Vendor, caplog: pytest.LogCaptureFixture, answer: Response, kind: type[LLMError], says: str
) -> None:
    vendor.answers = [answer]
    with caplog.at_level(logging.INFO), pytest.raises(LLMError, match=says) as caught:
        await provider(vendor).complete(ASKED, deadline=20)
    assert type(caught.value) is kind
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(vendor.asked) == 1
    for secret in (KEY, "what is the fee"):
        assert secret not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failure(429), LLMRateLimited),
        (failure(500), LLMError),
        (chunks(), LLMBadReply),
        (chunks("The fee is", finish_reason="length"), LLMBadReply),
        (Response("data: {oh no\n\n", media_type="text/event-stream"), LLMBadReply),
        (Response('data: {"error": {"message": "overloaded"}}\n\n', media_type="text/event-stream"), LLMError),
        (Response("<html>Log in</html>", media_type="text/html"), LLMBadReply),
    ],
)
async def test_a_stream_fails_in_the_same_ways(vendor: Vendor, answer: Response, kind: type[LLMError]) -> None:
    vendor.answers = [answer]
    with pytest.raises(LLMError) as caught:
        [piece async for piece in provider(vendor).stream(ASKED, deadline=20)]
    assert type(caught.value) is kind


async def test_a_server_that_hangs_is_left_at_the_deadline(vendor: Vendor) -> None:
    vendor.hangs = True
    model = provider(vendor)
    with pytest.raises(LLMTimeout, match="did not answer in time"):
        await model.complete(ASKED, deadline=0.3)
    with pytest.raises(LLMTimeout):
        [piece async for piece in model.stream(ASKED, deadline=0.3)]


async def test_a_stream_that_stops_half_way_is_left_at_the_deadline(vendor: Vendor) -> None:
    vendor.answers = [completion("The connection is made."), chunks("The fee", hang=vendor.closing)]
    model = provider(vendor)
    await model.complete(ASKED, deadline=20)
    stream = aiter(model.stream(ASKED, deadline=1))
    assert await anext(stream) == "The fee"
    with pytest.raises(LLMTimeout):
        await anext(stream)


async def test_a_server_that_is_not_there_is_told_by_its_host_alone() -> None:
    model = Openai(model="small", base_url="http://user:password@127.0.0.1:9/v1?key=secret", api_key=KEY)
    with pytest.raises(LLMError, match=r"at 127\.0\.0\.1 cannot be reached"):
        await model.complete(ASKED, deadline=20)


def test_an_address_without_http_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="base_url must begin with"):
        Openai(model="small", base_url="localhost:11434/v1")


def test_the_key_does_not_print() -> None:
    assert KEY not in repr(Openai(model="small", api_key=KEY))


def test_every_error_of_the_vendor_has_a_translation() -> None:
    """Fails when the package adds an error that is neither a status nor of its base class."""
    ours = Openai(model="small")
    named = [getattr(openai, name) for name in openai.__all__ if name.endswith("Error")]
    for kind in named:
        error = kind.__new__(kind)
        error.status_code = 418
        assert issubclass(kind, openai.OpenAIError | ValueError)
        assert isinstance(ours._ours(error), LLMError)
