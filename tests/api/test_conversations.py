"""What API callers do with conversations, beyond what is compared with Rasa's answers."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yaml

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.interfaces import Delivery
from bot.project import Project
from bot.story_export import annotated


class Pager:
    """A channel that can write to customers."""

    name = "pager"

    def __init__(self) -> None:
        self.sent: queue.Queue[tuple[str, str | None]] = queue.Queue()

    def routes(self, assistant: Assistant) -> Sequence[Any]:
        return []

    async def send(self, delivery: Delivery) -> None:
        self.sent.put((delivery.sender_id, delivery.message.text))


@pytest.fixture(scope="module")
def pager() -> Pager:
    return Pager()


@pytest.fixture(scope="module")
def client(
    running: Callable[..., Any], shop: Project, open_shop: Callable[[], Assistant], pager: Pager
) -> Iterator[httpx.Client]:
    app = create_app(open_shop(), [*open_channels({"rest": {}}), pager], project=shop)
    with running(app) as address, httpx.Client(base_url=address) as client:
        yield client


def events(client: httpx.Client, conversation: str) -> list[str]:
    state = client.get(f"/conversations/{conversation}/tracker", params={"include_events": "ALL"}).json()
    return [event.get("name") or event.get("text") or event["event"] for event in state["events"]]


def test_a_bare_sender_is_rests_and_a_channels_name_is_taken_as_it_is(client: httpx.Client) -> None:
    client.post("/conversations/pager:7/trigger_intent", json={"name": "goodbye"})
    client.post("/conversations/room:7/trigger_intent", json={"name": "goodbye"})
    assert events(client, "pager:7")[3] == "EXTERNAL: goodbye"
    assert events(client, "rest:room:7") == events(client, "room:7")
    assert len(events(client, "rest:pager:7")) == 3


def test_a_session_is_begun_once_however_many_ask_at_once(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.get("/conversations/crowd/tracker"), range(16)))
    assert events(client, "crowd") == ["action_session_start", "session_started", "action_listen"]


def test_events_that_come_at_once_are_all_stored(client: httpx.Client) -> None:
    slots = [{"event": "slot", "name": "note", "value": number} for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: client.post("/conversations/busy/tracker/events", json=one), slots))
    assert events(client, "busy").count("note") == 16


def test_of_events_with_a_mistake_none_is_stored(client: httpx.Client) -> None:
    good = {"event": "slot", "name": "note", "value": 1}
    answer = client.post("/conversations/careful/tracker/events", json=[good, {"event": "slot", "name": "note"}])
    assert answer.json()["message"] == "The body is not valid at [1]: it needs 'value'."
    assert "note" not in events(client, "careful")


def test_a_conversation_is_erased(client: httpx.Client) -> None:
    client.post("/conversations/gone/trigger_intent", json={"name": "goodbye"})
    assert client.delete("/conversations/gone/tracker").status_code == 204
    assert client.delete("/conversations/gone/tracker").status_code == 404
    assert client.get("/conversations/gone/story").status_code == 404


def test_what_the_bot_says_goes_out_on_the_channel_that_is_named(client: httpx.Client, pager: Pager) -> None:
    said = {"name": "goodbye"}
    answer = client.post("/conversations/pager:1/trigger_intent", json=said, params={"output_channel": "pager"})
    assert "messages" not in answer.json()
    assert pager.sent.get(timeout=20) == ("1", "Until tomorrow.")
    heard = {"event": "user", "text": "x", "input_channel": "pager", "parse_data": {"intent": {"name": "faq"}}}
    client.post("/conversations/pager:1/tracker/events", json=heard)
    client.post("/conversations/pager:1/execute", json={"name": "utter_greet"}, params={"output_channel": "latest"})
    assert pager.sent.get(timeout=20) == ("1", "Hello from the shop.")
    params = {"output_channel": "pager", "execute_side_effects": "true"}
    client.post("/conversations/pager:1/tracker/events", json={"event": "bot", "text": "News."}, params=params)
    assert pager.sent.get(timeout=20) == ("1", "News.")
    params["execute_side_effects"] = "false"
    client.post("/conversations/pager:1/tracker/events", json={"event": "bot", "text": "News."}, params=params)
    client.post("/conversations/pager:1/trigger_intent", json=said, params={"output_channel": "pager"})
    assert pager.sent.get(timeout=20) == ("1", "Until tomorrow.")


def test_what_no_channel_can_send_is_in_the_answer(client: httpx.Client) -> None:
    for channel in ("rest", "nowhere"):
        params = {"output_channel": channel}
        answer = client.post("/conversations/eve/trigger_intent", json={"name": "goodbye"}, params=params).json()
        assert answer["messages"][0] == {"recipient_id": "eve", "text": "Until tomorrow."}


def test_a_message_that_is_taken_down_is_not_answered_and_a_form_goes_on_with_it(client: httpx.Client) -> None:
    client.post("/conversations/fay/trigger_intent", json={"name": "order"})
    client.post("/conversations/fay/messages", json={"text": "coffee please", "sender": "user"})
    assert events(client, "fay")[-2:] == ["coffee please", "drink"]
    predicted = client.post("/conversations/fay/predict").json()
    assert (predicted["scores"][0], predicted["policy"]) == ({"action": "order_form", "score": 1.0}, "RulePolicy")


def test_predicting_changes_nothing(client: httpx.Client) -> None:
    client.post("/conversations/ida/messages", json={"text": "bye", "sender": "user"})
    before = events(client, "ida")
    client.post("/conversations/ida/predict")
    assert events(client, "ida") == before


def test_a_story_can_be_read_as_a_test(client: httpx.Client) -> None:
    client.post("/webhooks/rest/webhook", json={"sender": "joy", "message": "I want something"})
    client.post("/webhooks/rest/webhook", json={"sender": "joy", "message": "a coffee please"})
    (story,) = yaml.safe_load(client.get("/conversations/joy/story").text)["stories"]
    assert story == {
        "story": "joy",
        "steps": [
            {"intent": "order", "user": "I want something"},
            {"action": "order_form"},
            {"active_loop": "order_form"},
            {"slot_was_set": [{"requested_slot": "drink"}]},
            {"intent": "inform", "user": "a [coffee](drink) please"},
            {"slot_was_set": [{"drink": "coffee"}]},
            {"action": "order_form"},
            {"slot_was_set": [{"requested_slot": None}]},
            {"active_loop": None},
            {"action": "utter_ordered"},
        ],
    }


@pytest.mark.parametrize(
    ("entities", "told"),
    [
        ([{"entity": "city", "start": 3, "end": 7, "value": "Rome"}], "to [Rome](city)"),
        ([{"entity": "city", "start": 3, "end": 7, "value": "ROM"}], 'to [Rome]{"entity": "city", "value": "ROM"}'),
        ([{"entity": "city", "start": 3, "end": 7, "role": "to"}], 'to [Rome]{"entity": "city", "role": "to"}'),
        (
            [{"entity": "city", "start": 3, "end": 7}, {"entity": "name", "start": 3, "end": 7}],
            'to [Rome][{"entity": "city"}, {"entity": "name"}]',
        ),
        ([{"entity": "city", "start": 3, "end": 99}, {"entity": "x", "value": 1}], "to Rome"),
    ],
)
def test_entities_are_marked_in_the_text(entities: list[dict[str, Any]], told: str) -> None:
    assert annotated("to Rome", entities) == told


def test_a_body_that_is_too_large_or_too_deep_is_refused(client: httpx.Client) -> None:
    path = "/conversations/kim/tracker/events"
    large = client.put(path, content=b'[{"event": "slot", "name": "note", "value": "' + b"x" * 10_000_000 + b'"}]')
    assert (large.status_code, large.json()["reason"]) == (413, "PayloadTooLarge")
    deep = client.post(path, content=b'{"event": "slot", "name": "note", "value": ' + b"[" * 500 + b"]" * 500 + b"}")
    assert deep.status_code == 400


def test_the_domain_comes_as_the_caller_would_rather_have_it(client: httpx.Client) -> None:
    def kind(accept: str) -> str:
        return client.get("/domain", headers={"Accept": accept}).headers["content-type"]

    assert kind("application/json, text/plain, */*") == "application/json"
    assert kind("text/html, application/x-yaml;q=0.9, application/json;q=0.1") == "application/x-yaml"
    assert client.get("/domain", headers={"Accept": "application/json;q=0"}).status_code == 406
