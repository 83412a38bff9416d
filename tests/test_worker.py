"""The worker: what waits is answered and delivered, in order, whatever fails on the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.routing import Route

import bot.assistant
import bot.worker
from bot.app import create_app
from bot.assistant import Assistant
from bot.errors import DeliveryError, StoreError, StoreUnavailable
from bot.events import ActionExecuted, BotUttered, Event, FollowupAction, UserUttered
from bot.interfaces import Action, Delivery, Dispatcher, Lease, Store, Turn, Work
from bot.messages import BotMessage, Parse, UserMessage
from bot.stores.answers import Answers
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker import Tracker
from bot.worker import MOST_DELIVERIES, Worker, delay_of
from tests.conftest import make_assistant

pytestmark = pytest.mark.anyio
T = TypeVar("T")

ANNA = "hook:anna"
HELLO = "Hello from the shop."
HOURS = "We open at nine.\n\nWe close at six."
SORRY = "Sorry, something went wrong on our side. Please try again in a moment."


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    yield opened
    await opened.close()


class Platform:
    """A channel that is written to. Each call of `send` takes the next of `troubles` first, and does as it says."""

    def __init__(self, name: str = "hook", *, wait: float = 0.0) -> None:
        self.name = name
        self.wait = wait
        self.troubles: deque[DeliveryError | None] = deque()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.asked: list[Delivery] = []
        self.delivered: list[Delivery] = []
        self._moved = asyncio.Event()

    def routes(self, assistant: Assistant) -> Sequence[Any]:
        return []

    async def send(self, delivery: Delivery) -> None:
        self.asked.append(delivery)
        self._moved.set()
        await self.is_open.wait()
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble:
            raise trouble
        self.delivered.append(delivery)
        self._moved.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._moved.clear()
            await soon(self._moved.wait())

    async def says(self, *texts: str) -> None:
        """Waits until so many replies have come; they are these."""
        await self.until(lambda: len(self.delivered) >= len(texts))
        assert [one.message.text for one in self.delivered] == list(texts)


class Fragile:
    """Understands as the real one does; it fails at a text with `poison`, and keeps one with `hold` until `goes_on`."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.heard: list[str] = []
        self.is_poison = True
        self.held = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def parse(self, text: str) -> Parse:
        self.heard.append(text)
        if "hold" in text:
            self.held.set()
            await self.goes_on.wait()
        if "poison" in text and self.is_poison:
            raise ValueError("this one cannot be read")
        parse: Parse = await self.real.parse(text)
        return parse

    def close(self) -> None:
        self.real.close()


def fragile(assistant: Assistant) -> Fragile:
    understanding = Fragile(assistant.understanding)
    assistant.understanding = understanding  # type: ignore[assignment]
    return understanding


class Talk(Action):
    """Words an answer, which takes until `goes_on`."""

    amendable = True

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.started = asyncio.Event()
        self.goes_on = asyncio.Event()

    def name(self) -> str:
        return "utter_greet"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Event]:
        self.heard.append(tracker.latest_message.text if tracker.latest_message else None)
        self.started.set()
        await self.goes_on.wait()
        dispatcher.utter_message("I have listened.")
        return []


def hook(text: str, message_id: str = "", sender_id: str = "anna", channel: str = "hook") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, channel=channel, message_id=message_id or f"{sender_id}-{text}")


async def soon(awaited: Awaitable[T]) -> T:
    """What must come: the test fails when it does not, and never waits longer than it takes."""
    return await asyncio.wait_for(awaited, 20)


async def some_steps() -> None:
    """Lets the others do what they are about to do."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(assistant: Assistant, *channels: Platform, at_once: int = 64) -> AsyncIterator[Worker]:
    assistant.channels = {channel.name: channel for channel in channels}
    worker = Worker(assistant, at_once=at_once)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop(0.0)


async def heard(store: Store, conversation_id: str = ANNA) -> list[str | None]:
    return [event.text for event in await store.events(conversation_id) if isinstance(event, UserUttered)]


async def said(store: Store, conversation_id: str = ANNA) -> list[str | None]:
    return [event.message.text for event in await store.events(conversation_id) if isinstance(event, BotUttered)]


async def send(store: Store, *texts: str, channel: str = "hook", conversation_id: str = ANNA) -> None:
    """Replies that wait for their delivery."""
    replies = [Delivery(conversation_id, f"key-{text}", channel, "anna", BotMessage(text=text)) for text in texts]
    async with store.lease(conversation_id) as lease:
        tracker = await store.resume(lease, make_assistant().domain)
        event = ActionExecuted(name="action_listen")
        tracker.apply(event)
        await store.commit(lease, Turn(conversation_id, (event,), deliveries=tuple(replies)), tracker)


# ---- messages ------------------------------------------------------------------------------------


async def test_what_is_accepted_is_answered_and_the_reply_is_delivered(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    async with working(assistant, platform):
        assert await assistant.accept(hook("hello"))
        assert not await assistant.accept(hook("hello"))
        await platform.says(HELLO)
    assert await store.pending() == []


async def test_messages_of_one_customer_are_answered_in_the_order_of_arrival(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    texts = ["hello", "hours"] * 20
    for number, text in enumerate(texts):
        await assistant.accept(hook(text, f"m{number}"))
    async with working(assistant, platform):
        await platform.says(*([HELLO, HOURS] * 20))
    assert await heard(store) == texts


async def test_a_customer_whose_turn_takes_long_holds_up_no_other(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    async with working(assistant, platform):
        await assistant.accept(hook("hold hello", sender_id="anna"))
        await soon(understanding.held.wait())
        await assistant.accept(hook("hours", sender_id="ben"))
        await platform.says(HOURS)
        understanding.goes_on.set()
        await platform.says(HOURS, HELLO)


async def test_a_message_that_fails_three_times_is_set_aside_and_the_next_one_answered(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    await assistant.accept(hook("poison"))
    await assistant.accept(hook("hello"))
    async with working(assistant, platform):
        await platform.says(SORRY, HELLO)
    assert understanding.heard == ["poison"] * 3 + ["hello"]
    [letter] = await store.dead_letters()
    assert (letter.content, letter.reason) == (hook_of(letter.content), "it failed 3 times")
    assert "cannot be read" not in caplog.text


def hook_of(content: Any) -> UserMessage:
    assert isinstance(content, UserMessage)
    assert (content.text, content.conversation_id) == ("poison", ANNA)
    return content


async def test_what_was_set_aside_may_be_answered_later(store: Store) -> None:
    """Its replies are others than the apology, also for a platform that knows replies by their keys."""
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    await assistant.accept(hook("poison hello"))
    async with working(assistant, platform):
        await platform.says(SORRY)
        understanding.is_poison = False
        [letter] = await store.dead_letters()
        assert await store.revive(letter.id)
        await platform.says(SORRY, HELLO)
    assert len({one.key for one in platform.delivered}) == 2


async def test_what_was_set_aside_may_be_answered_while_the_apology_is_still_on_its_way(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    platform.is_open.clear()
    await assistant.accept(hook("poison hello"))
    async with working(assistant, platform):
        await platform.until(lambda: bool(platform.asked))
        understanding.is_poison = False
        [letter] = await store.dead_letters()
        assert await store.revive(letter.id)
        assert [reply.text for reply in await soon(assistant.handle(hook("poison hello")))] == [HELLO]
        platform.is_open.set()
        await platform.says(SORRY, HELLO)


async def test_a_turn_that_does_not_end_counts_as_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.assistant, "LONGEST_TURN", 0.05)
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    await assistant.accept(hook("hold"))
    await assistant.accept(hook("hello"))
    async with working(assistant, platform):
        await platform.says(SORRY, HELLO)
    assert understanding.heard == ["hold"] * 3 + ["hello"]


async def test_a_message_that_was_begun_before_is_worked_alone(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    await assistant.accept(hook("hold on", sender_id="ben"))
    async with working(assistant, platform):
        await soon(understanding.held.wait())
        # As if its worker had died.
        await assistant.accept(hook("hours", sender_id="anna"))
        await platform.says(HOURS)
        begun = await store.begin(hook("hello", sender_id="cleo"))
        assert begun.lease
        await store.release(begun.lease, failed=True)
        await assistant.accept(hook("order", sender_id="dan"))
        assert understanding.heard == ["hold on", "hours"]
        understanding.goes_on.set()
        await platform.until(lambda: len(platform.delivered) == 4)
    assert understanding.heard == ["hold on", "hours", "hello", "order"]


async def test_a_worker_does_not_wait_for_deliveries_before_it_works_alone(store: Store) -> None:
    assistant, platform, slow = make_assistant(store), Platform(), Platform("slow")
    slow.is_open.clear()
    await send(store, "later", channel="slow", conversation_id="slow:ben")
    async with working(assistant, platform, slow):
        await slow.until(lambda: bool(slow.asked))
        begun = await store.begin(hook("hello"))
        assert begun.lease
        await store.release(begun.lease, failed=True)
        async with asyncio.timeout(5):
            await platform.says(HELLO)


async def test_a_conversation_that_cannot_be_read_leaves_the_worker_to_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant, platform = make_assistant(store), Platform()
    tries = 0
    resume = store.resume

    async def damaged(lease: Lease, domain: Any) -> Tracker:
        nonlocal tries
        if lease.conversation_id == "hook:damaged":
            tries += 1
            raise StoreError("the stored state of 'hook:damaged' is damaged")
        return await resume(lease, domain)

    monkeypatch.setattr(store, "resume", damaged)
    await assistant.accept(hook("hello", sender_id="damaged"))
    async with working(assistant, platform):
        for number in range(50):
            await assistant.accept(hook("hello", f"m{number}"))
            await platform.until(lambda least=number + 1: len(platform.delivered) >= least)  # type: ignore[misc]
        assert tries <= 6
    assert [message.sender_id for message in await store.pending()] == ["damaged"]


async def test_the_store_may_be_away_and_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bot.worker, "PAUSE", 0.01)
    store = Away()
    assistant, platform = make_assistant(store), Platform()
    async with working(assistant, platform):
        await soon(store.was_asked.wait())
        await assistant.accept(hook("hello"))
        store.is_away = False
        await platform.says(HELLO)
    told = [record.message for record in caplog.records if record.name == "bot.worker"]
    assert [line.partition(",")[0] for line in told] == ["the store is away", "work is taken up again"]


class Away(MemoryStore):
    """A store that cannot be asked what is ready while it is away, as often as it is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.was_asked = asyncio.Event()
        self._asked = 0

    async def ready(self) -> Work:
        if self.is_away:
            self._asked += 1
            if self._asked == 3:
                self.was_asked.set()
            raise StoreUnavailable("there is no line to it")
        return await super().ready()


async def test_a_mistake_in_the_store_does_not_end_the_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    assistant, platform = make_assistant(store), Platform()
    ready = store.ready
    mistakes = [ValueError("hello anna"), ValueError("hello anna")]

    async def mistaken() -> Work:
        if mistakes:
            raise mistakes.pop()
        return await ready()

    monkeypatch.setattr(store, "ready", mistaken)
    await assistant.accept(hook("hello"))
    async with working(assistant, platform):
        await platform.says(HELLO)
    assert "ValueError" in caplog.text
    assert "hello anna" not in caplog.text


async def test_a_worker_without_a_model_waits_for_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.worker, "PAUSE", 0.01)
    assistant, platform = make_assistant(store), Platform()
    assistant.has_model = False
    await assistant.accept(hook("hello"))
    async with working(assistant, platform):
        await some_steps()
        assert len(await store.pending()) == 1
        assistant.take_over(make_assistant(store))
        await platform.says(HELLO)


async def test_a_caller_who_goes_away_is_forgotten() -> None:
    answers = Answers()
    gone, there = (answers.expect(ANNA, "m1") for _ in range(2))
    gone.cancel()
    answers.expect("hook:ben", "m1").cancel()
    await some_steps()
    assert answers.conversations() == [ANNA]
    answers.give(ANNA, "m1", [BotMessage(text=HELLO)])
    assert await there == [BotMessage(text=HELLO)]
    assert answers.conversations() == []


# ---- the end of a worker -------------------------------------------------------------------------


async def test_a_turn_in_hand_is_finished_before_a_worker_stops(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    async with working(assistant, platform) as worker:
        await assistant.accept(hook("hold hello"))
        await soon(understanding.held.wait())
        stopping = asyncio.create_task(worker.stop(20.0))
        await asyncio.sleep(0)
        understanding.goes_on.set()
        await soon(stopping)
    assert await said(store) == [HELLO]


async def test_what_is_not_finished_in_time_is_given_back_and_does_not_count(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    platform.is_open.clear()
    await send(store, "tea", conversation_id="hook:ben")
    async with working(assistant, platform) as worker:
        await assistant.accept(hook("hold hello"))
        await soon(understanding.held.wait())
        await platform.until(lambda: bool(platform.asked))
        await soon(worker.stop(0.0))
    lease = await store.claim(ANNA)
    assert lease
    assert (lease.messages[0].text, lease.attempts) == ("hold hello", 0)
    outbox = await store.claim_outbox("hook:ben")
    assert outbox
    assert outbox.deliveries[0].message.text == "tea"


async def test_a_worker_that_waits_to_work_alone_gives_back_what_it_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant, platform = make_assistant(store), Platform()
    understanding = fragile(assistant)
    async with working(assistant, platform) as worker:
        await assistant.accept(hook("hold", sender_id="ben"))
        await soon(understanding.held.wait())
        claim, claimed = store.claim, asyncio.Event()

        async def claiming(conversation_id: str) -> Lease | None:
            lease = await claim(conversation_id)
            claimed.set()
            return lease

        monkeypatch.setattr(store, "claim", claiming)
        begun = await store.begin(hook("hello"))
        assert begun.lease
        await store.release(begun.lease, failed=True)
        await soon(claimed.wait())
        await soon(worker.stop(0.0))
    lease = await store.claim(ANNA)
    assert lease
    assert lease.attempts == 1


STUCK = """
import asyncio, logging, threading

import bot.processes, bot.worker
from bot.interfaces import Action
from bot.messages import UserMessage
from tests.conftest import make_assistant

bot.processes.GRACE = bot.worker.GRACE = 0.2


class Stuck(Action):
    def name(self):
        return "utter_greet"

    def run(self, dispatcher, tracker, domain):
        print("it hangs", flush=True)
        threading.Event().wait()


assistant = make_assistant()
assistant.actions = assistant.actions.with_custom({"utter_greet": Stuck()})


async def follow():
    await assistant.accept(UserMessage("hello"))


bot.worker.run_worker(assistant, [], None, follow)
"""


def test_an_action_that_hangs_in_a_thread_does_not_keep_the_process() -> None:
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", STUCK], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.read(len("The worker is ready\nit hangs\n")) == "The worker is ready\nit hangs\n"
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


# ---- deliveries ----------------------------------------------------------------------------------


async def test_replies_are_delivered_in_order_with_failures_in_between(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.worker, "MOST_DELAY", 0.0)
    assistant, platform = make_assistant(store), Platform()
    platform.troubles.extend([DeliveryError("busy"), DeliveryError("busy", retry_after=0.02), None, DeliveryError("!")])
    await send(store, "one", "two", "three")
    async with working(assistant, platform):
        await platform.says("one", "two", "three")
    assert [(one.message.text, one.attempts) for one in platform.asked] == [
        ("one", 0),
        ("one", 1),
        ("one", 2),
        ("two", 0),
        ("two", 1),
        ("three", 0),
    ]
    assert len({one.key for one in platform.asked}) == 3


@pytest.mark.parametrize(
    ("asked_for", "least", "most"),
    [(None, 3600, 4 * 3600), (0.0, 1800, 4 * 3600), (-1.0, 1800, 4 * 3600), (7.0, 1800, 4 * 3600)],
)
def test_a_reply_is_tried_for_hours_before_it_is_given_up(asked_for: float | None, least: float, most: float) -> None:
    error = DeliveryError("busy", retry_after=asked_for)
    delays = [delay_of(error, attempts) for attempts in range(MOST_DELIVERIES)]
    assert min(delays) >= 0.0
    assert least <= sum(delays) <= most


def test_a_platform_says_when_to_try_again() -> None:
    assert [delay_of(DeliveryError("busy", retry_after=30.0), attempts) for attempts in (0, 5, 12)] == [30.0] * 3
    assert delay_of(DeliveryError("busy", retry_after=float("inf")), 0) == 86_400.0
    assert delay_of(DeliveryError("busy", retry_after=float("nan")), 0) == 0.0


async def test_what_the_bot_says_while_a_reply_is_put_off_comes_after_it(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    platform.troubles.append(DeliveryError("busy", retry_after=0.1))
    await send(store, "first")
    async with working(assistant, platform):
        await platform.until(lambda: bool(platform.asked))
        await assistant.accept(hook("hello"))
        await platform.says("first", HELLO)


async def test_what_cannot_be_delivered_is_a_dead_letter_and_the_rest_goes_on(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    platform.troubles.append(DeliveryError("anna has left", is_final=True))
    await send(store, "one", "two")
    async with working(assistant, platform):
        await platform.says("two")
    [letter] = await store.dead_letters()
    assert isinstance(letter.content, Delivery)
    assert (letter.content.message.text, letter.reason) == ("one", "anna has left")


async def test_a_reply_that_was_tried_often_enough_is_a_dead_letter(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.worker, "MOST_DELAY", 0.0)
    monkeypatch.setattr(bot.worker, "MOST_DELIVERIES", 3)
    assistant, platform = make_assistant(store), Platform()
    platform.troubles.extend([DeliveryError("busy")] * 3)
    await send(store, "one", "two")
    async with working(assistant, platform):
        await platform.says("two")
    [letter] = await store.dead_letters()
    assert letter.reason == "busy"


async def test_a_reply_for_a_channel_that_is_not_there_is_a_dead_letter(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform()
    await send(store, "one", channel="pigeons")
    await send(store, "two")
    async with working(assistant, platform):
        await platform.says("two")
    [letter] = await store.dead_letters()
    assert letter.reason == "there is no channel 'pigeons' here"


async def test_a_server_of_one_connector_delivers_the_replies_on_all_channels() -> None:
    """Its worker takes whatever waits in the store that it shares with the others."""
    assistant, one, two = make_assistant(), Platform("one"), Platform("two")
    app = create_app(assistant, [one, two], connector="one", enable_api=False)
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    assert "/webhooks/one/" in paths
    assert "/webhooks/two/" not in paths
    async with app.router.lifespan_context(app):
        await assistant.accept(hook("hello", channel="two"))
        await two.says(HELLO)


async def test_a_mistake_in_a_channel_is_a_failed_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bot.worker, "MOST_DELAY", 0.0)
    assistant, platform = make_assistant(store), Platform()
    platform.troubles.append(ValueError("tea for anna"))  # type: ignore[arg-type]
    await send(store, "one")
    async with working(assistant, platform):
        await platform.says("one")
    assert "hook failed: ValueError" in caplog.text
    assert "tea for anna" not in caplog.text


async def test_a_channel_that_does_not_answer_is_given_up_after_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.worker, "LONGEST_DELIVERY", 0.02)
    monkeypatch.setattr(bot.worker, "MOST_DELAY", 0.0)
    assistant, platform = make_assistant(store), Platform()
    platform.is_open.clear()
    await send(store, "one")
    async with working(assistant, platform):
        await platform.until(lambda: len(platform.asked) == 3)
        platform.is_open.set()
        await platform.says("one")


async def test_a_channel_that_hangs_holds_up_no_turn(store: Store) -> None:
    assistant, platform, hanging = make_assistant(store), Platform(), Platform("hanging")
    hanging.is_open.clear()
    for name in ("ben", "cleo"):
        await send(store, "later", channel="hanging", conversation_id=f"hanging:{name}")
    async with working(assistant, platform, hanging, at_once=2):
        await hanging.until(lambda: len(hanging.asked) == 2)
        await assistant.accept(hook("hello"))
        async with asyncio.timeout(5):
            await platform.says(HELLO)


# ---- what is typed in a row ----------------------------------------------------------------------


async def test_what_is_typed_in_a_row_is_one_turn(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform(wait=0.2)
    async with working(assistant, platform):
        for text in ("er", "hello", "please"):
            await assistant.accept(hook(text))
        await platform.says(HELLO)
    assert await heard(store) == ["er\nhello\nplease"]


async def test_a_pressed_button_is_a_turn_of_its_own(store: Store) -> None:
    assistant, platform = make_assistant(store), Platform(wait=0.05)
    async with working(assistant, platform):
        for text in ("hello", "/buy", "hours"):
            await assistant.accept(hook(text))
        await platform.until(lambda: len(platform.delivered) == 3)
    assert await heard(store) == ["hello", "/buy", "hours"]


async def test_an_answer_that_is_still_being_written_is_amended(store: Store) -> None:
    assistant, platform, talk = make_assistant(store), Platform(wait=0.01), Talk()
    assistant.actions = assistant.actions.with_custom({"utter_greet": talk})
    async with working(assistant, platform):
        await assistant.accept(hook("hello"))
        await soon(talk.started.wait())
        talk.started.clear()
        await assistant.accept(hook("and thanks"))
        await soon(talk.started.wait())
        talk.goes_on.set()
        await platform.says("I have listened.")
    assert talk.heard == ["hello", "hello\nand thanks"]
    assert await heard(store) == ["hello\nand thanks"]


async def test_more_than_one_turn_can_hold_does_not_break_it_off(store: Store) -> None:
    assistant, platform, talk = make_assistant(store), Platform(wait=0.05), Talk()
    assistant.actions = assistant.actions.with_custom({"utter_greet": talk})
    for number in range(30):
        await assistant.accept(hook("hello", f"m{number}"))
    async with working(assistant, platform):
        await soon(talk.started.wait())
        await some_steps()
        talk.goes_on.set()
        await platform.says("I have listened.", "I have listened.")
    assert len(talk.heard) == 2
    assert [len((text or "").splitlines()) for text in await heard(store)] == [20, 10]


async def test_what_is_said_after_an_action_has_done_something_is_the_next_turn(store: Store) -> None:
    """Otherwise it would have been done and the conversation would not know of it."""

    class Pay(Action):
        def name(self) -> str:
            return "utter_order"

        async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Event]:
            paid.append(tracker.idempotency_key)
            dispatcher.utter_message("It is paid.")
            return [FollowupAction(name="utter_greet")]

    paid: list[str] = []
    assistant, platform, talk = make_assistant(store), Platform(wait=0.01), Talk()
    assistant.actions = assistant.actions.with_custom({"utter_greet": talk, "utter_order": Pay()})
    async with working(assistant, platform):
        await assistant.accept(hook("order"))
        await soon(talk.started.wait())
        await assistant.accept(hook("hours"))
        await some_steps()
        talk.goes_on.set()
        await platform.says("It is paid.", "I have listened.", HOURS)
    assert await heard(store) == ["order", "hours"]
    assert len(paid) == 1
