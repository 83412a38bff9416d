"""One customer who sends more than is taken: what is refused comes again, and nothing that was taken is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bot.app import create_app
from bot.assistant import Assistant
from bot.events import UserUttered

pytestmark = pytest.mark.anyio

SESSION = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
MOST_WAITING, TOO_MANY = 20, 10
WHERE = [("rest", "sender", "anna"), ("webchat", "session", SESSION)]
"""A channel, and what names the customer there."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gate(assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No turn goes on before it is set; no more messages than `MOST_WAITING` may wait."""
    monkeypatch.setattr("bot.stores.desk.MOST_WAITING", MOST_WAITING)
    gate, parse = threading.Event(), assistant.understanding.parse

    async def parse_later(text: str) -> Any:
        if not gate.is_set():
            await asyncio.to_thread(gate.wait)
        return await parse(text)

    monkeypatch.setattr(assistant.understanding, "parse", parse_later)
    yield gate
    gate.set()


@pytest.mark.parametrize(("channel", "key", "name"), WHERE)
async def test_what_does_not_fit_is_told_to_come_again_and_all_else_is_answered(
    serve: Callable[[Any], str], assistant: Assistant, gate: threading.Event, channel: str, key: str, name: str
) -> None:
    address = serve(create_app(assistant))
    refused: list[tuple[str, httpx.Response]] = []
    enough = asyncio.Event()

    async def say(client: httpx.AsyncClient, message_id: str) -> httpx.Response:
        body = {key: name, "message": "hello", "message_id": message_id}
        answer = await client.post(f"{address}/webhooks/{channel}/webhook", json=body)
        if answer.status_code != 200:
            refused.append((message_id, answer))
            if len(refused) == TOO_MANY:
                enough.set()
        return answer

    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
        sent = [group.create_task(say(client, f"m{number}")) for number in range(MOST_WAITING + TOO_MANY)]
        await asyncio.wait_for(enough.wait(), 30)
        gate.set()
    for _, answer in refused:
        assert (answer.status_code, answer.json()["reason"]) == (503, "TooManyMessages")
        assert int(answer.headers["retry-after"]) > 0
    assert len([task for task in sent if task.result().status_code == 200]) == MOST_WAITING
    taken = {f"m{number}" for number in range(len(sent))} - {message_id for message_id, _ in refused}
    assert sorted(await heard(assistant, f"{channel}:{name}")) == sorted(taken)
    again = refused[0][0]
    async with httpx.AsyncClient() as client:
        assert (await say(client, again)).status_code == 200
    assert (await heard(assistant, f"{channel}:{name}"))[-1] == again


async def heard(assistant: Assistant, conversation_id: str) -> list[str]:
    """The ids of the messages that were answered, in order."""
    events = await assistant.store.events(conversation_id)
    return [event.message_id or "" for event in events if isinstance(event, UserUttered)]
