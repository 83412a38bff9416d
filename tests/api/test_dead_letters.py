"""What was given up: operators see it, without what was said; they try it again, or drop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.errors import DeliveryError
from bot.interfaces import Delivery

Serve = Callable[[Any], str]
BODY = {"sender": "anna", "message": "hello, my PIN is 4711", "message_id": "m1"}


class Pager:
    """A channel that writes to customers, as long as they can be reached."""

    name = "pager"

    def __init__(self) -> None:
        self.is_broken = True
        self.sent: list[str | None] = []

    def routes(self, assistant: Assistant) -> Sequence[Any]:
        return []

    async def send(self, delivery: Delivery) -> None:
        if self.is_broken:
            raise DeliveryError("the number is not in use", is_final=True)
        self.sent.append(delivery.message.text)


@pytest.fixture
def pager() -> Pager:
    return Pager()


@pytest.fixture
def bot(make: Callable[..., Assistant]) -> Assistant:
    return make()


@pytest.fixture
def client(serve: Serve, bot: Assistant, pager: Pager) -> httpx.Client:
    return httpx.Client(base_url=serve(create_app(bot, [*open_channels({"rest": {}}), pager])))


def letters(client: httpx.Client, **params: Any) -> Any:
    return client.get("/dead-letters", params=params).json()


def until(truth: Callable[[], Any]) -> Any:
    """What it says once that is true: what a worker does is seen a moment later."""
    end = time.monotonic() + 10
    while not (found := truth()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def set_message_aside(client: httpx.Client, bot: Assistant, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A message whose turn fails until it is set aside; the cause is gone afterwards."""

    async def fail(*_: Any) -> Any:
        raise OSError("the disk with the model is gone")

    with monkeypatch.context() as patch:
        patch.setattr(bot.understanding, "parse", fail)
        client.post("/webhooks/rest/webhook", json=BODY)
        return until(lambda: letters(client))


def fail_delivery(client: httpx.Client) -> Any:
    """A reply that the pager cannot deliver."""
    client.post("/conversations/pager:7/trigger_intent", params={"output_channel": "pager"}, json={"name": "greet"})
    return until(lambda: letters(client))


def test_a_reply_that_cannot_be_delivered_is_listed_without_what_was_said(client: httpx.Client) -> None:
    [letter] = fail_delivery(client)
    assert letter.pop("id")
    assert len(letter.pop("key")) > 20
    assert abs(time.time() - letter.pop("at")) < 60
    assert letter == {
        "conversation_id": "pager:7",
        "kind": "reply",
        "channel": "pager",
        "reason": "the number is not in use",
        "attempts": 0,
    }
    assert letters(client, show=True)[0]["content"] == [{"recipient_id": "7", "text": "Hello from the shop."}]


def test_a_reply_is_tried_again(client: httpx.Client, pager: Pager) -> None:
    [letter] = fail_delivery(client)
    pager.is_broken = False
    assert client.post(f"/dead-letters/{letter['id']}/retry").status_code == 204
    assert until(lambda: pager.sent) == ["Hello from the shop."]
    assert letters(client) == []


def test_what_fails_again_is_a_dead_letter_again(client: httpx.Client) -> None:
    [letter] = fail_delivery(client)
    client.post(f"/dead-letters/{letter['id']}/retry")
    assert [one["key"] for one in until(lambda: letters(client))] == [letter["key"]]


def test_a_message_that_nobody_could_answer_is_listed_and_answered_when_it_is_tried_again(
    client: httpx.Client, bot: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    [letter] = set_message_aside(client, bot, monkeypatch)
    assert (letter["kind"], letter["message_id"], "content" in letter) == ("message", "m1", False)
    assert letters(client, show=True)[0]["content"] == {"text": BODY["message"]}
    assert client.post(f"/dead-letters/{letter['id']}/retry").status_code == 204

    def said() -> list[str]:
        events = client.get("/conversations/anna/tracker").json()["events"]
        return [event["text"] for event in events if event["event"] == "bot"]

    assert until(lambda: "Hello from the shop." in said())
    assert letters(client) == []


def test_what_is_dropped_is_gone(client: httpx.Client, pager: Pager) -> None:
    [letter] = fail_delivery(client)
    path = f"/dead-letters/{letter['id']}"
    assert [client.delete(path).status_code, client.delete(path).status_code] == [204, 404]
    assert client.post(f"{path}/retry").json()["reason"] == "NotFound"
    assert letters(client) == []


def test_the_oldest_come_first_and_no_more_than_are_asked_for(client: httpx.Client) -> None:
    for sender in ("1", "2", "3"):
        path = f"/conversations/pager:{sender}/trigger_intent"
        client.post(path, params={"output_channel": "pager"}, json={"name": "greet"})
        until(lambda: letters(client)[-1:] and letters(client)[-1]["conversation_id"] == f"pager:{sender}")  # noqa: B023
    assert [letter["conversation_id"] for letter in letters(client, limit=2)] == ["pager:1", "pager:2"]


def test_nothing_that_was_said_is_logged(
    client: httpx.Client, bot: Assistant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_message_aside(client, bot, monkeypatch)
    assert "set aside" in caplog.text
    assert "4711" not in caplog.text
