"""The webhook channel: what it lets in, when it acknowledges, and what a platform's refusal means."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parent / "project"))

from hook import Hook, read_message, signature

from bot.app import create_app
from bot.assistant import Assistant
from bot.errors import DeliveryError, StoreFull
from bot.interfaces import Delivery
from bot.messages import BotMessage

pytestmark = pytest.mark.anyio
SECRET = "sesame"
WEBHOOK = "/webhooks/hook/webhook"
BODY = b'{"envelope": "e1", "message": {"id": "m1", "from": "anna", "text": "hello", "at": 5}}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(assistant: Assistant) -> Iterator[TestClient]:
    """The shop's bot, whose replies nobody takes."""
    hook = Hook(secret=SECRET, platform="http://127.0.0.1:1")
    with TestClient(create_app(assistant, [hook])) as client:
        yield client
        assert client.portal is not None
        client.portal.call(hook.close)


def signed(body: bytes = BODY, *, at: str | None = None, secret: str = SECRET) -> dict[str, str]:
    now = at or f"{time.time():.3f}"
    return {"X-Hook-Time": now, "X-Hook-Signature": signature(secret, now, body)}


def test_a_signed_message_is_acknowledged_once_it_is_kept(client: TestClient, assistant: Assistant) -> None:
    assert client.post(WEBHOOK, content=BODY, headers=signed()).status_code == 200
    assert client.portal is not None
    # It waits, or it has been answered by now.
    waiting = [message.message_id for message in client.portal.call(assistant.store.pending)]
    assert waiting == ["m1"] or client.portal.call(assistant.store.replies, "hook:anna", "m1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(secret="another"),
        signed(b"another body"),
        signed(at=f"{time.time() - 301:.3f}"),
        signed(at=f"{time.time() + 3600:.3f}"),
        signed(at="nan"),
        {**signed(), "X-Hook-Time": f"{time.time() + 1:.3f}"},
        {**signed(), "X-Hook-Signature": "é"},
    ],
    ids=["none", "secret", "body", "old", "future", "no number", "time not signed", "not ascii"],
)
def test_what_the_platform_did_not_sign_just_now_is_turned_away(client: TestClient, headers: dict[str, str]) -> None:
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    answer = client.post(WEBHOOK, content=BODY, headers=encoded)
    assert (answer.status_code, answer.json()["reason"]) == (401, "InvalidSignature")


def test_the_signature_is_checked_before_the_body_is_read(client: TestClient) -> None:
    assert client.post(WEBHOOK, content=b"no json", headers=signed(BODY)).status_code == 401
    assert client.post(WEBHOOK, content=b"no json", headers=signed(b"no json")).status_code == 400


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"message": {"id": "m1"}}', b'{"message": {"from": "anna"}}'])
def test_a_message_without_its_key_or_sender_is_no_message(client: TestClient, body: bytes) -> None:
    assert client.post(WEBHOOK, content=body, headers=signed(body)).status_code == 400


def test_the_platform_keeps_what_we_cannot_keep(
    client: TestClient, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> bool:
        raise StoreFull("too many wait")

    monkeypatch.setattr(assistant.store, "accept", full)
    answer = client.post(WEBHOOK, content=BODY, headers=signed())
    assert answer.status_code == 503
    assert float(answer.headers["Retry-After"]) > 0


def test_the_key_is_the_messages_and_not_the_envelopes() -> None:
    first = read_message(json.loads(BODY), "hook")
    again = read_message(json.loads(BODY.replace(b"e1", b"e2")), "hook")
    assert (first.message_id, first.conversation_id, first.timestamp) == ("m1", "hook:anna", 5.0)
    assert first == again


DELIVERY = Delivery("hook:anna", "key-1", "hook", "anna", BotMessage(text="Hello."))


async def send(answer: web.Response) -> list[tuple[str, Any]]:
    """What the platform got, which answers so."""
    got = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers["Idempotency-Key"], await request.json()))
        return answer

    app = web.Application()
    app.router.add_post("/send", take)
    async with TestServer(app) as platform:
        hook = Hook(secret=SECRET, platform=str(platform.make_url("/")))
        try:
            await hook.send(DELIVERY)
        finally:
            await hook.close()
    return got


async def test_a_reply_goes_out_with_its_key() -> None:
    assert await send(web.json_response({"ok": True})) == [
        ("key-1", {"channel": "hook", "to": "anna", "text": "Hello."})
    ]


@pytest.mark.parametrize(
    ("status", "retry_after", "is_final"), [(429, 7, False), (503, None, False), (400, None, True), (404, None, True)]
)
async def test_a_refusal_says_whether_to_try_again(status: int, retry_after: float | None, is_final: bool) -> None:
    body = {} if retry_after is None else {"retry_after": retry_after}
    with pytest.raises(DeliveryError) as refused:
        await send(web.json_response(body, status=status))
    assert (refused.value.status, refused.value.retry_after, refused.value.is_final) == (status, retry_after, is_final)


async def test_a_platform_that_is_away_is_tried_again() -> None:
    hook = Hook(secret=SECRET, platform="http://127.0.0.1:1")
    with pytest.raises(DeliveryError, match="hook:anna: the platform did not answer") as refused:
        await hook.send(DELIVERY)
    await hook.close()
    assert not refused.value.is_final
