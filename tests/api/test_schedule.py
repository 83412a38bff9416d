"""What API callers schedule: it is listed, it can be cancelled, and it is sent on the conversation's channel."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.interfaces import Delivery
from bot.tracker import MOST_REMINDERS

LATER = "2099-01-02T03:04:05+01:00"


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
def client(running: Callable[..., Any], make: Callable[..., Assistant], pager: Pager) -> Iterator[httpx.Client]:
    app = create_app(make(), [*open_channels({"rest": {}}), pager])
    with running(app) as address, httpx.Client(base_url=address) as client:
        yield client


def put(client: httpx.Client, conversation: str, **body: Any) -> httpx.Response:
    return client.post(f"/conversations/{conversation}/schedule", json=body)


def test_what_is_scheduled_is_listed_the_next_first_and_can_be_cancelled(client: httpx.Client) -> None:
    put(client, "anna", action="utter_hours", at=LATER, name="visit")
    put(client, "anna", action="utter_hours", at="2098-01-01T00:00:00Z", name="before the/visit")
    event = {"event": "reminder", "intent": "greet", "date_time": "2100-01-01T00:00:00", "entities": {"what": "tea"}}
    client.post("/conversations/anna/tracker/events", json=event)
    listed = client.get("/conversations/anna/schedule").json()
    assert [(one["name"], one["at"]) for one in listed][:2] == [
        ("before the/visit", "2098-01-01T00:00:00+00:00"),
        ("visit", LATER),
    ]
    assert listed[1] == {
        "name": "visit", "at": LATER, "due": datetime.fromisoformat(LATER).timestamp(), "action": "utter_hours",
        "intent": None, "entities": None,
    }  # fmt: skip
    assert (listed[2]["action"], listed[2]["intent"], listed[2]["entities"]) == (None, "greet", {"what": "tea"})
    for one in listed:
        assert client.delete(f"/conversations/anna/schedule/{one['name']}").status_code == 204
    assert client.get("/conversations/anna/schedule").json() == []


def test_the_same_request_again_changes_nothing(client: httpx.Client) -> None:
    first, again = (put(client, "ben", action="utter_hours", at=LATER, name="visit") for _ in range(2))
    assert first.status_code == 200
    assert client.get("/conversations/ben/schedule").json() == [again.json()]


def test_it_is_sent_at_its_time_once_on_the_channel(client: httpx.Client, pager: Pager) -> None:
    soon = datetime.fromtimestamp(time.time() + 0.2, UTC).isoformat()
    assert put(client, "pager:7", action="utter_hours", at=soon).status_code == 200
    assert put(client, "pager:7", action="utter_buy", at="2020-01-01T00:00:00Z").status_code == 200
    sent = {pager.sent.get(timeout=20) for _ in range(2)}
    assert sent == {("7", "It is ordered."), ("7", "We open at nine.\n\nWe close at six.")}
    assert pager.sent.empty()
    assert client.get("/conversations/pager:7/schedule").json() == []


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"action": "utter_hour", "at": LATER}, 404, "Did you mean 'utter_hours'?"),
        ({"action": "utter_hours", "at": "2099-01-02T03:04:05"}, 400, "with its zone"),
        ({"action": "utter_hours", "at": "tomorrow"}, 400, "ISO 8601"),
        ({"action": "utter_hours", "at": "2099-02-30T03:04:05Z"}, 400, "ISO 8601"),
        ({"action": "utter_hours"}, 400, "it needs 'at'"),
        ({"at": LATER}, 400, "Name of the action not provided"),
        ({"action": "utter_hours", "at": LATER, "name": ""}, 400, "name"),
    ],
)
def test_what_cannot_be_scheduled_is_told(client: httpx.Client, body: Any, status: int, told: str) -> None:
    answer = put(client, "carl", **body)
    assert answer.status_code == status
    assert told in answer.json()["message"]
    assert client.get("/conversations/carl/schedule").status_code == 404


def test_what_nobody_has_scheduled_is_not_found(client: httpx.Client) -> None:
    assert client.delete("/conversations/dora/schedule/visit").status_code == 404
    put(client, "dora", action="utter_hours", at=LATER, name="visit")
    assert client.delete("/conversations/dora/schedule/lunch").status_code == 404
    assert client.get("/conversations/dora/schedule").json()[0]["name"] == "visit"


def test_there_is_a_limit(client: httpx.Client) -> None:
    event = {"event": "reminder", "intent": "greet", "date_time": LATER}
    events = [{**event, "name": str(number)} for number in range(MOST_REMINDERS)]
    client.post("/conversations/emil/tracker/events", json=events)
    answer = put(client, "emil", action="utter_hours", at=LATER, name="visit")
    assert answer.status_code == 400
    assert "there are 100 reminders and scheduled messages in 'rest:emil' already" in answer.json()["message"]
    assert put(client, "emil", action="utter_hours", at=LATER, name="7").status_code == 200
