"""The web chat's calls over a real socket: sessions are private, buttons are checked, files are cached."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from bot.channels.webchat import history
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.errors import ConfigError
from bot.events import UserUttered

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


# ---- what is new to a page ----


def new(client: httpx.Client, after: int) -> Any:
    """What a page is told that has seen so many events."""
    headers = {"Authorization": f"Bearer {SESSION}"}
    return client.get("/webchat/session", params={"after": after}, headers=headers).json()


def said(told: Any) -> list[str]:
    return [message["text"] for message in told["messages"]]


def add(client: httpx.Client, *events: dict[str, Any]) -> None:
    """Events from outside, as an operator's console or another program adds them."""
    assert client.post(f"/conversations/webchat:{SESSION}/tracker/events", json=events).status_code == 200


def test_a_page_that_says_what_it_has_seen_gets_all_that_is_new_and_nothing_twice(client: httpx.Client) -> None:
    first = say(client, "hello", message_id="m1", after=0).json()
    assert [(one["from"], one.get("id"), one["text"]) for one in first["messages"]] == [
        ("user", "m1", "hello"),
        ("bot", None, "Hello from the shop."),
    ]
    assert new(client, first["position"]) == {"position": first["position"], "messages": []}
    add(client, {"event": "bot", "text": "Your tea is here."})
    second = say(client, "hours", message_id="m2", after=first["position"]).json()
    assert said(second) == ["Your tea is here.", "hours", "We open at nine.\n\nWe close at six."]
    assert say(client, "hours", message_id="m2", after=second["position"]).json()["messages"] == []
    assert [*first["messages"], *second["messages"]] == look(client)["messages"]
    assert look(client)["position"] == second["position"]


def test_what_the_bot_says_by_itself_is_told_to_a_page_that_asks(client: httpx.Client) -> None:
    seen = say(client, "hello", after=0).json()["position"]
    client.post(f"/conversations/webchat:{SESSION}/trigger_intent", json={"name": "hours"})
    told = new(client, seen)
    assert said(told) == ["We open at nine.\n\nWe close at six."]
    assert told == new(client, seen)


def test_a_reminder_is_told_when_it_is_due(client: httpx.Client) -> None:
    seen = say(client, "hello", after=0).json()["position"]
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    add(client, {"event": "reminder", "intent": "hours", "name": "opening", "date_time": now})
    end = time.monotonic() + 10
    while not said(new(client, seen)):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert said(new(client, seen)) == ["We open at nine.\n\nWe close at six."]


def test_a_page_that_has_missed_much_is_told_in_pieces(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = say(client, "hello", after=0).json()["position"]
    monkeypatch.setattr("bot.channels.webchat.LONGEST_HISTORY", 3)
    add(client, *({"event": "bot", "text": f"{number}"} for number in range(5)))
    first = new(client, seen)
    second = new(client, first["position"])
    assert said(first) + said(second) == ["0", "1", "2", "3", "4"]
    assert new(client, second["position"])["messages"] == []


def test_a_conversation_that_was_erased_is_shorter_than_what_was_seen(client: httpx.Client) -> None:
    seen = say(client, "hello", after=0).json()["position"]
    client.delete(f"/conversations/webchat:{SESSION}/tracker")
    assert new(client, seen) == {"position": 0, "messages": []}


def test_a_session_that_has_ended_is_not_shown_again_although_the_bot_says_something_later(
    client: httpx.Client,
) -> None:
    say(client, "hello")
    add(client, {"event": "session_ended"})
    shown = look(client)
    assert (shown["expired"], shown["messages"]) == (True, [])
    add(
        client,
        {"event": "action", "name": "action_session_start"},
        {"event": "session_started"},
        {"event": "bot", "text": "Your tea is here."},
    )
    shown = look(client)
    assert (shown["expired"], said(shown)) == (False, ["Your tea is here."])


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "²", "9" * 16])
def test_a_place_that_is_none_is_refused(client: httpx.Client, after: str) -> None:
    headers = {"Authorization": f"Bearer {SESSION}"}
    asked = client.get("/webchat/session", params={"after": after}, headers=headers)
    assert (asked.status_code, asked.json()["details"]) == (400, {"parameter": "after"})
    assert say(client, "hello", after=after).status_code == 400
    assert say(client, "hello", after=True).status_code == 400


# ---- several messages at once ----


def test_what_was_said_before_and_may_be_lost_comes_along_and_is_answered_first(client: httpx.Client) -> None:
    before = [{"message": "hello", "message_id": "m1"}, {"message": "order", "message_id": "m2"}]
    told = say(client, "Yes, order", payload='/buy{"what": "tea"}', message_id="m3", before=before, after=0).json()
    answers = ["hello", "Hello from the shop.", "order", "Shall I order it?", "Yes, order", "It is ordered."]
    assert said(told) == answers
    say(client, "order", message_id="m2", before=before[:1])
    assert said(look(client)) == answers


@pytest.mark.parametrize(
    "before", ["hello", [1], [{"message": "hello"}], [{"message_id": "x" * 300}], [{"message_id": "m"}] * 20]
)
def test_what_came_before_must_be_messages_with_their_ids(client: httpx.Client, before: Any) -> None:
    refused = say(client, "hello", before=before)
    assert refused.status_code == 400
    assert look(client)["messages"] == []


def test_messages_that_made_one_turn_are_shown_one_by_one() -> None:
    parts = [{"message_id": "m1", "text": "hi"}, {"message_id": "m2", "text": "my card"}]
    together = UserUttered(text="hi\nmy card", message_id="m1", metadata={"messages": parts})
    shown = [(one["position"], one["id"], one["text"]) for one in history([together], 4)]
    assert shown == [(5, "m1", "hi"), (5, "m2", "my card")]


@pytest.mark.parametrize("messages", [7, [], [1, 2], [{"message_id": "m9", "text": "x"}] * 2, [{}, {}]])
def test_what_a_visitor_writes_into_the_metadata_hides_nothing(messages: Any) -> None:
    event = UserUttered(text="hi", message_id="m1", metadata={"messages": messages, "title": 5})
    assert [(one["id"], one["text"]) for one in history([event])] == [("m1", "hi")]


# ---- the page ----


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


@pytest.mark.parametrize(
    "options",
    [
        {"title": 5},
        {"welcome": {"en": []}},
        {"suggestions": "Hours?"},
        {"wait": -1},
        {"wait": 11},
        {"wait": float("nan")},
    ],
)
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
    st.dictionaries(
        st.sampled_from(["session", "message", "payload", "language", "metadata", "before", "after"]),
        st.text() | st.none() | st.integers() | st.lists(st.dictionaries(st.sampled_from(["message_id"]), st.text())),
    )
)
def test_no_body_breaks_it(shared: httpx.Client, body: dict[str, Any]) -> None:
    content = json.dumps({"session": SESSION, **body}).encode()
    assert shared.post("/webhooks/webchat/webhook", content=content).status_code in (200, 400)
    assert say(shared, "hello").json() == {"messages": [{"text": "Hello from the shop."}]}
