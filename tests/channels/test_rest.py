"""REST over a real socket: Rasa's shapes, no typed commands, and no input that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app import create_app
from bot.assistant import Assistant

Serve = Callable[[Any], str]
WEBHOOK = "/webhooks/rest/webhook"


@pytest.fixture(scope="module")
def shared(running: Callable[..., Any], make: Callable[..., Assistant]) -> Iterator[httpx.Client]:
    """One server for the tests that throw many inputs at it."""
    with running(create_app(make())) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.fixture
def client(serve: Serve, assistant: Assistant) -> httpx.Client:
    return httpx.Client(base_url=serve(create_app(assistant)))


def say(client: httpx.Client, text: Any, **more: Any) -> httpx.Response:
    return client.post(WEBHOOK, json={"sender": "anna", "message": text, **more})


def texts(answer: httpx.Response) -> list[str]:
    return [reply["text"] for reply in answer.json() if "text" in reply]


def test_paragraphs_and_pictures_are_objects_of_their_own(client: httpx.Client) -> None:
    assert say(client, "hours").json() == [
        {"recipient_id": "anna", "text": "We open at nine."},
        {"recipient_id": "anna", "text": "We close at six."},
        {"recipient_id": "anna", "image": "https://shop.example/door.png"},
    ]


def test_buttons_come_with_their_text(client: httpx.Client) -> None:
    (reply,) = say(client, "order").json()
    assert reply["buttons"][1] == {"title": "No", "payload": "/greet"}


def test_a_stream_is_one_object_per_line(client: httpx.Client) -> None:
    answer = client.post(WEBHOOK, params={"stream": "true"}, json={"sender": "anna", "message": "hours"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [json.loads(line) for line in answer.text.splitlines()] == say(client, "hours").json()


def test_the_body_is_read_whatever_its_content_type(client: httpx.Client) -> None:
    answer = client.post(WEBHOOK, content=b'{"message": "hello"}', headers={"Content-Type": "text/plain"})
    assert answer.json() == [{"recipient_id": "default", "text": "Hello from the shop."}]


def test_a_typed_command_is_text(client: httpx.Client) -> None:
    assert texts(say(client, '/buy{"what": "tea"}')) == ["Please say that in other words."]
    assert texts(say(client, "yes", payload='/buy{"what": "tea"}')) == ["Please say that in other words."]


def test_a_button_that_was_offered_is_obeyed(client: httpx.Client) -> None:
    say(client, "order")
    assert texts(say(client, '/buy{"what": "tea"}')) == ["It is ordered."]


def test_a_button_offered_to_another_customer_is_not(client: httpx.Client) -> None:
    say(client, "order")
    stranger = client.post(WEBHOOK, json={"sender": "ben", "message": '/buy{"what": "tea"}'})
    assert texts(stranger) == ["Please say that in other words."]


def test_who_has_the_servers_token_may_command(serve: Serve, assistant: Assistant) -> None:
    client = httpx.Client(base_url=serve(create_app(assistant, auth_token="secret")))
    assert texts(say(client, "/buy")) == ["Please say that in other words."]
    client.headers["Authorization"] = "Bearer secret"
    assert texts(say(client, "/buy")) == ["It is ordered."]


def test_a_caller_cannot_name_another_platforms_conversation(client: httpx.Client) -> None:
    say(client, "hello", input_channel="telegram")
    assert client.get("/conversations/telegram:anna/tracker").json()["latest_message"]["text"] is None
    assert client.get("/conversations/rest:anna/tracker").json()["latest_message"]["text"] == "hello"


@pytest.mark.parametrize("how", ["body", "header"])
def test_a_message_sent_twice_is_answered_once(client: httpx.Client, how: str) -> None:
    body = {"sender": "anna", "message": "hello", **({"message_id": "m1"} if how == "body" else {})}
    headers = {"Idempotency-Key": "m1"} if how == "header" else {}
    first, second = (client.post(WEBHOOK, json=body, headers=headers) for _ in range(2))
    events = client.get("/conversations/anna/tracker").json()["events"]
    assert first.json() == second.json() == [{"recipient_id": "anna", "text": "Hello from the shop."}]
    assert sum(event["event"] == "user" for event in events) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"hello"',
        b"\xff\xfe",
        b'{"message": 5}',
        b'{"message": "a", "sender": {}}',
        b'{"message": "a", "sender": 7}',
        b'{"message": "a", "sender": "a\\u0000b"}',
        b'{"message": "a", "metadata": "x"}',
        b'{"message": "a", "message_id": []}',
        b'{"message": "a", "payload": {}}',
        b'{"message": "\\ud800"}',
        b'{"message": "a", "metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"message": "a", "metadata": ' + b"[" * 5000,
        json.dumps({"message": "a", "sender": "x" * 300}).encode(),
    ],
)
def test_what_is_not_a_message_is_a_bad_request(shared: httpx.Client, body: bytes) -> None:
    answer = shared.post(WEBHOOK, content=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "failure")


@pytest.mark.parametrize("size", [100_001, 5_000_000])
def test_a_body_over_the_limit_is_refused_politely(shared: httpx.Client, size: int) -> None:
    answer = shared.post(WEBHOOK, content=b'{"message": "' + b"a" * size + b'"}')
    assert (answer.status_code, answer.json()["reason"]) == (413, "PayloadTooLarge")
    assert texts(say(shared, "hello")) == ["Hello from the shop."]


@pytest.mark.parametrize(
    "text", ["", "   ", None, "a" * 99_000, "👩‍👩‍👧 🏦", "مرحبا", "\u202eabc", "\x00\x01\x1b[31m", "𠮷"]
)
def test_whatever_a_customer_types_is_answered(shared: httpx.Client, text: str | None) -> None:
    answer = say(shared, text)
    assert (answer.status_code, texts(answer)) == (200, ["Please say that in other words."])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("sender", "message", "metadata", "payload", "message_id", "input_channel", "x")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_no_json_breaks_it(shared: httpx.Client, body: Any) -> None:
    assert shared.post(WEBHOOK, content=json.dumps(body).encode()).status_code in (200, 400)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(max_size=20))
def test_no_text_breaks_it_and_the_conversation_goes_on(shared: httpx.Client, text: str, sender: str) -> None:
    body = json.dumps({"sender": sender, "message": text}).encode("utf-8", "surrogatepass")
    assert shared.post(WEBHOOK, content=body).status_code in (200, 400)
    assert texts(say(shared, "hello")) == ["Hello from the shop."]
