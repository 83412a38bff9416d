"""The web chat's calls over a real socket: sessions are private, buttons are checked, files are cached."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.errors import ConfigError

Serve = Callable[[Any], str]
SESSION = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


@pytest.fixture
def client(serve: Serve, assistant: Assistant) -> httpx.Client:
    return httpx.Client(base_url=serve(create_app(assistant)))


@pytest.fixture(scope="module")
def shared(running: Callable[..., Any], make: Callable[..., Assistant]) -> Iterator[httpx.Client]:
    """One server for the test that throws many bodies at it."""
    with running(create_app(make())) as address, httpx.Client(base_url=address) as client:
        yield client


def say(client: httpx.Client, text: str, session: str = SESSION, **more: Any) -> httpx.Response:
    return client.post("/webhooks/webchat/webhook", json={"session": session, "message": text, **more})


def look(client: httpx.Client, session: str = SESSION) -> Any:
    return client.get("/webchat/session", headers={"Authorization": f"Bearer {session}"}).json()


def test_a_message_is_one_object_with_all_its_paragraphs(client: httpx.Client) -> None:
    assert say(client, "hours").json() == {
        "messages": [{"text": "We open at nine.\n\nWe close at six.", "image": "https://shop.example/door.png"}]
    }


@pytest.mark.parametrize(
    "session",
    ["", "anna", "1", str(uuid.UUID(int=7)), str(uuid.uuid1()), SESSION.upper(), SESSION + "x", "../" + SESSION],
)
def test_a_session_that_could_be_guessed_is_refused(client: httpx.Client, session: str) -> None:
    assert say(client, "hello", session).status_code == 400
    bearer = client.get("/webchat/session", headers={"Authorization": f"Bearer {session}".strip()})
    assert bearer.status_code == 400


def test_a_session_shows_what_both_said_and_only_its_own(client: httpx.Client) -> None:
    say(client, "hello", message_id="m1")
    say(client, "hours", str(uuid.uuid4()))
    said = [(message["from"], message["text"]) for message in look(client)["messages"]]
    assert said == [("user", "hello"), ("bot", "Hello from the shop.")]
    assert look(client)["messages"][0]["id"] == "m1"


def test_a_pressed_button_is_obeyed_and_shows_as_its_title(client: httpx.Client) -> None:
    say(client, "order")
    pressed = say(client, "Yes, order", payload='/buy{"what": "tea"}')
    assert pressed.json() == {"messages": [{"text": "It is ordered."}]}
    assert [message["text"] for message in look(client)["messages"]][-2:] == ["Yes, order", "It is ordered."]


def test_a_button_that_was_never_offered_is_text(client: httpx.Client) -> None:
    forged = say(client, "Yes, order", payload='/buy{"what": "gold"}')
    assert forged.json() == {"messages": [{"text": "Please say that in other words."}]}


def test_a_message_sent_twice_is_answered_once(client: httpx.Client) -> None:
    assert say(client, "hello", message_id="m1").json() == say(client, "hello", message_id="m1").json()
    assert len(look(client)["messages"]) == 2


def test_a_session_silent_for_too_long_is_over_for_the_next_person_at_the_screen(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(client, "hello")
    later = time.time() + 61 * 60
    monkeypatch.setattr("bot.channels.webchat.time.time", lambda: later)
    shown = look(client)
    assert (shown["expired"], shown["messages"]) == (True, [])


def test_a_browser_gets_the_page_and_others_a_line(client: httpx.Client) -> None:
    page = client.get("/", headers={"Accept": "text/html,*/*"})
    assert "<frontdesk-chat page>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/").headers["content-type"].startswith("text/plain")


def test_nothing_is_loaded_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/webchat/widget.css", "/webchat/page.css"):
        assert "url(" not in client.get(path).text
    assert "innerHTML" not in client.get("/webchat/widget.js").text


def test_a_file_the_browser_has_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/webchat/widget.js")
    again = client.get("/webchat/widget.js", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_what_the_chat_shows_first_is_one_for_all_or_given_by_language(serve: Serve, assistant: Assistant) -> None:
    options = {"title": {"en": "Shop", "zh": "小店"}, "welcome": "Ask me.", "suggestions": ["Hours?"]}
    client = httpx.Client(base_url=serve(create_app(assistant, open_channels({"webchat": options}))))
    assert {key: look(client)[key] for key in options} == options


@pytest.mark.parametrize("options", [{"title": 5}, {"welcome": {"en": []}}, {"suggestions": "Hours?"}])
def test_an_option_of_the_wrong_kind_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"'{next(iter(options))}' must be a"):
        open_channels({"webchat": options})


@pytest.mark.parametrize(("asked", "spoken"), [("zh", "zh"), ("xx", "en"), ("", "en")])
def test_a_language_that_the_bot_does_not_speak_is_left_aside(client: httpx.Client, asked: str, spoken: str) -> None:
    say(client, "hello", language=asked)
    events = client.get(f"/conversations/webchat:{SESSION}/tracker").json()["events"]
    assert [event["parse_data"]["language"] for event in events if event["event"] == "user"] == [spoken]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["session", "message", "payload", "language", "metadata"]), st.text() | st.none())
)
def test_no_body_breaks_it(shared: httpx.Client, body: dict[str, Any]) -> None:
    content = json.dumps({"session": SESSION, **body}).encode()
    assert shared.post("/webhooks/webchat/webhook", content=content).status_code in (200, 400)
    assert say(shared, "hello").json() == {"messages": [{"text": "Hello from the shop."}]}
