"""What every store promises. A new store is added to `STORES` and must pass as it is."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

import bot.stores
import bot.tracker
from bot.domain import Domain, SlotSpec
from bot.errors import LeaseLost, StoreError
from bot.events import ActionExecuted, BotUttered, Event, SlotSet, UnknownEvent, UserUttered, event_to_json
from bot.interfaces import Store, Turn
from bot.messages import Attachment, BotMessage, UserMessage
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker import RECENT_EVENTS, Tracker

pytestmark = pytest.mark.anyio

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "frontdesk.db"),
}
DURABLE = ("sqlite",)

DOMAIN = Domain(slots={"payee": SlotSpec("payee"), "amount": SlotSpec("amount", initial_value=[])})
ANNA = "rest:anna"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = STORES[request.param](tmp_path)
    yield store
    await store.close()


def message(text: str = "hi", message_id: str = "m1", sender_id: str = "anna") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, message_id=message_id)


def said(text: str, reply: str) -> tuple[Event, ...]:
    return (
        UserUttered(text=text, parse_data={"text": text, "intent": {"name": "greet", "confidence": 0.9}}),
        BotUttered.of(BotMessage(text=reply, buttons=({"title": "Yes", "payload": "/affirm"},))),
        ActionExecuted(name="action_listen"),
    )


async def take_turn(
    store: Store, events: Sequence[Event], message_id: str | None = "m1", conversation_id: str = ANNA
) -> Tracker:
    async with store.lease(conversation_id) as lease:
        tracker = await store.load(conversation_id, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, tuple(events), message_id), tracker)
    return tracker


def as_json(events: Sequence[Event]) -> list[dict[str, object]]:
    return [event_to_json(event) for event in events]


# ---- the inbox -----------------------------------------------------------------------------------


async def test_a_message_is_accepted_once(store: Store) -> None:
    assert await store.accept(message())
    assert not await store.accept(message())
    assert len(await store.pending()) == 1


async def test_an_answered_message_is_not_accepted_again(store: Store) -> None:
    await store.accept(message())
    await take_turn(store, said("hi", "hello"))
    assert not await store.accept(message())
    assert await store.pending() == []


async def test_a_message_may_be_answered_without_having_been_accepted(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    assert not await store.accept(message())


async def test_the_same_message_id_of_another_customer_is_another_message(store: Store) -> None:
    assert await store.accept(message(sender_id="anna"))
    assert await store.accept(message(sender_id="ben"))


async def test_of_sixteen_deliveries_at_once_one_is_accepted(store: Store) -> None:
    assert sum(await asyncio.gather(*(store.accept(message()) for _ in range(16)))) == 1


async def test_pending_messages_come_whole_and_in_order_of_arrival(store: Store) -> None:
    first = dataclasses.replace(
        message("看一下余额", "a"),
        payload='/inform{"amount": 5}',
        attachments=(Attachment("image", "https://example.org/a.png"),),
        language="zh",
        metadata={"ip": "::1"},
    )
    others = [message(str(number), f"m{9 - number}", sender_id=str(number % 2)) for number in range(4)]
    for one in (first, *others):
        await store.accept(one)
    assert await store.pending() == [first, *others]


# ---- the turn ------------------------------------------------------------------------------------


async def test_a_new_conversation_is_empty(store: Store) -> None:
    tracker = await store.load(ANNA, DOMAIN)
    assert (tracker.event_count, tracker.slots) == (0, {"payee": None, "amount": []})
    assert await store.events(ANNA) == []


async def test_a_turn_is_read_back_as_it_was_committed(store: Store) -> None:
    events = (*said("hi", "hello"), SlotSet(name="payee", value={"name": "妈妈", "iban": None}))
    committed = await take_turn(store, events)
    loaded = await store.load(ANNA, DOMAIN)
    assert loaded.to_json() == committed.to_json()
    assert as_json(loaded.events) == as_json(events)
    assert as_json(await store.events(ANNA)) == as_json(events)


async def test_replies_are_known_once_the_message_is_answered(store: Store) -> None:
    await store.accept(message())
    assert await store.replies(ANNA, "m1") is None
    await take_turn(store, said("hi", "hello"))
    await take_turn(store, said("bye", "see you"), "m2")
    assert await store.replies(ANNA, "m1") == [said("", "hello")[1].message]
    assert await store.replies("rest:ben", "m1") is None


async def test_a_turn_without_reply_is_answered_by_silence(store: Store) -> None:
    await take_turn(store, [UserUttered(text="hi")])
    assert await store.replies(ANNA, "m1") == []


async def test_a_second_commit_of_the_same_message_is_refused(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    with pytest.raises(LeaseLost, match="answered before"):
        await take_turn(store, said("hi", "hello again"))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3
    assert await store.replies(ANNA, "m1") == [said("", "hello")[1].message]


async def test_events_may_be_appended_without_a_message(store: Store) -> None:
    await take_turn(store, [SlotSet(name="payee", value="Ben")], None)
    await take_turn(store, [SlotSet(name="payee", value="Eva")], None)
    assert (await store.load(ANNA, DOMAIN)).slots["payee"] == "Eva"


async def test_one_lease_may_commit_several_turns(store: Store) -> None:
    async with store.lease(ANNA) as lease:
        tracker = await store.load(ANNA, DOMAIN)
        for name in ("Ben", "Eva"):
            tracker.apply(SlotSet(name="payee", value=name))
            await store.commit(lease, Turn(ANNA, tuple(tracker.events[-1:])), tracker)
    assert len(await store.events(ANNA)) == 2


async def test_what_is_done_to_a_loaded_tracker_stays_there(store: Store) -> None:
    await take_turn(store, [SlotSet(name="amount", value=[1])])
    tracker = await store.load(ANNA, DOMAIN)
    tracker.slots["amount"].append(2)
    tracker.apply(SlotSet(name="payee", value="Ben"))
    again = await store.load(ANNA, DOMAIN)
    assert (again.slots["amount"], again.slots["payee"], len(again.events)) == ([1], None, 1)


async def test_what_is_done_to_a_tracker_after_its_commit_is_not_stored(store: Store) -> None:
    tracker = await take_turn(store, [SlotSet(name="amount", value=[1])])
    tracker.slots["amount"].append(2)
    assert (await store.load(ANNA, DOMAIN)).slots["amount"] == [1]


async def test_of_a_turn_that_cannot_be_stored_nothing_is_stored(store: Store) -> None:
    await store.accept(message())
    with pytest.raises(StoreError, match="'slot' of 'payee'"):
        await take_turn(store, (*said("hi", "hello"), SlotSet(name="payee", value=object())))
    assert await store.events(ANNA) == []
    assert await store.replies(ANNA, "m1") is None
    assert [one.message_id for one in await store.pending()] == ["m1"]
    await take_turn(store, said("hi", "hello"))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


async def test_a_turn_is_stored_under_its_own_conversation_only(store: Store) -> None:
    async with store.lease(ANNA) as lease:
        tracker = await store.load("rest:ben", DOMAIN)
        with pytest.raises(StoreError, match="rest:ben"):
            await store.commit(lease, Turn("rest:ben", ()), tracker)


@pytest.mark.parametrize("text", ["", "a\x00b", "\ud83d", "💳\u200f مرحبا", "转账" * 10_000, '"\\\n'])
async def test_any_text_is_stored(store: Store, text: str) -> None:
    await store.accept(message(text))
    await take_turn(store, said(text, "ok"))
    kept = text.replace("\ud83d", "\ufffd")
    assert [event_to_json(event)["text"] for event in (await store.events(ANNA))[:2]] == [kept, "ok"]
    assert (await store.load(ANNA, DOMAIN)).latest_message == UserUttered(text=kept, parse_data=_parse_data(kept))


def _parse_data(text: str) -> dict[str, object]:
    return {"text": text, "intent": {"name": "greet", "confidence": 0.9}}


@pytest.mark.parametrize("sender_id", ["", "a\x00b", "\ud83d", "'; DROP TABLE turns; --", "+49:170"])
async def test_any_sender_id_is_a_conversation_of_its_own(store: Store, sender_id: str) -> None:
    one = message(sender_id=sender_id)
    assert await store.accept(one)
    await take_turn(store, said("hi", "hello"), conversation_id=one.conversation_id)
    assert (await store.load(one.conversation_id, DOMAIN)).event_count == 3
    assert (await store.load(one.conversation_id + "x", DOMAIN)).event_count == 0
    assert not await store.accept(one)


# ---- leases --------------------------------------------------------------------------------------


async def test_turns_of_one_conversation_happen_in_the_order_of_asking(store: Store) -> None:
    order: list[int] = []

    async def turn(number: int) -> None:
        async with store.lease(ANNA):
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(turn(number) for number in range(16)))
    assert order == [number for number in range(16) for _ in range(2)]


async def test_conversations_do_not_wait_for_each_other(store: Store) -> None:
    async with store.lease(ANNA), store.lease("rest:ben"):
        pass


async def test_a_later_lease_has_a_higher_token(store: Store) -> None:
    async with store.lease(ANNA) as first:
        pass
    async with store.lease(ANNA) as second:
        assert second.token > first.token


async def test_one_who_gives_up_waiting_does_not_hold_up_the_others(store: Store) -> None:
    async with store.lease(ANNA):
        impatient = asyncio.ensure_future(take_turn(store, said("hi", "hello"), "m1"))
        patient = asyncio.ensure_future(take_turn(store, said("hi", "hello"), "m2"))
        await asyncio.sleep(0)
        impatient.cancel()
    await patient
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


async def test_a_commit_after_the_lease_is_refused(store: Store) -> None:
    async with store.lease(ANNA) as stale:
        tracker = await store.load(ANNA, DOMAIN)
    async with store.lease(ANNA):
        tracker.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(stale, Turn(ANNA, tuple(tracker.events)), tracker)
    assert await store.events(ANNA) == []


async def test_a_turn_on_an_outdated_tracker_is_refused(store: Store) -> None:
    outdated = await store.load(ANNA, DOMAIN)
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        outdated.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(lease, Turn(ANNA, tuple(outdated.events), "m2"), outdated)
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


async def test_sixteen_customers_at_once_lose_nothing(store: Store) -> None:
    async def customer(number: int) -> None:
        for turn in range(10):
            sender, message_id = f"c{number}", f"m{turn}"
            await store.accept(message(str(turn), message_id, sender))
            await take_turn(store, said(str(turn), f"{number}/{turn}"), message_id, f"rest:{sender}")

    await asyncio.gather(*(customer(number) for number in range(16)))
    assert await store.pending() == []
    for number in range(16):
        replies = [event.text for event in await store.events(f"rest:c{number}") if isinstance(event, BotUttered)]
        assert replies == [f"{number}/{turn}" for turn in range(10)]


async def test_sixteen_messages_of_one_customer_at_once_lose_nothing(store: Store) -> None:
    await asyncio.gather(*(take_turn(store, said("hi", str(n)), f"m{n}") for n in range(16)))
    assert [event.text for event in await store.events(ANNA) if isinstance(event, BotUttered)] == [
        str(number) for number in range(16)
    ]


# ---- history -------------------------------------------------------------------------------------


async def test_the_history_is_read_in_pages(store: Store) -> None:
    for number in range(7):
        await take_turn(store, said(str(number), "ok"), f"m{number}")
    everything = as_json(await store.events(ANNA))
    assert len(everything) == 21
    for after in (0, 1, 2, 3, 10, 20, 21, 50):
        assert as_json(await store.events(ANNA, after=after)) == everything[after:]
        for limit in (0, 1, 2, 4, 30):
            page = await store.events(ANNA, after=after, limit=limit)
            assert as_json(page) == everything[after : after + limit]


async def test_a_loaded_tracker_has_the_latest_events(store: Store) -> None:
    for number in range(RECENT_EVENTS):
        await take_turn(store, said(str(number), "ok"), f"m{number}")
    tracker = await store.load(ANNA, DOMAIN)
    assert tracker.event_count == 3 * RECENT_EVENTS
    assert as_json(tracker.events) == as_json((await store.events(ANNA))[-RECENT_EVENTS:])


async def test_a_turn_costs_the_same_after_ten_thousand_events(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in bytes of JSON, read and written."""
    read: list[int] = []
    written: list[int] = []
    decode, encode = bot.stores.orjson.loads, bot.stores.orjson.dumps

    class Counting:
        @staticmethod
        def loads(data: bytes) -> object:
            read.append(len(data))
            return decode(data)

        @staticmethod
        def dumps(value: object, default: Callable[[object], object] | None = None) -> bytes:
            body = encode(value, default=default)
            written.append(len(body))
            return body

    async def cost(number: int) -> tuple[int, int]:
        read.clear()
        written.clear()
        await take_turn(store, said(f"{number:05}", "ok"), f"m{number:05}")
        return sum(read), sum(written)

    for number in range(RECENT_EVENTS):
        await take_turn(store, said(f"{number:05}", "ok"), f"m{number:05}")
    with monkeypatch.context() as patch:
        patch.setattr(bot.stores, "orjson", Counting)
        early = await cost(10_000)
    await take_turn(store, [event for n in range(3_400) for event in said(f"{n:05}", "ok")], "many")
    for number in range(RECENT_EVENTS):
        await take_turn(store, said(f"{number:05}", "ok"), f"n{number:05}")
    with monkeypatch.context() as patch:
        patch.setattr(bot.stores, "orjson", Counting)
        late = await cost(10_001)
    assert (await store.load(ANNA, DOMAIN)).event_count > 10_000
    # Not to the byte: a timestamp may have a digit more.
    assert late[0] <= early[0] * 1.1
    assert late[1] <= early[1] * 1.1


async def test_conversations_are_listed_in_order_a_page_at_a_time(store: Store) -> None:
    for name in ("rest:zoe", "rest:anna", "telegram:42", "rest:ben"):
        await take_turn(store, said("hi", "Hello"), conversation_id=name)
    assert await store.accept(message(sender_id="nobody-has-answered-yet"))
    assert await store.conversation_ids(limit=2) == ["rest:anna", "rest:ben"]
    assert await store.conversation_ids(after="rest:ben", limit=2) == ["rest:zoe", "telegram:42"]
    assert await store.conversation_ids(after="telegram:42") == []


async def test_a_deleted_conversation_leaves_nothing(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    await store.accept(message("more", "m2"))
    await take_turn(store, said("hi", "hello"), conversation_id="rest:ben")
    await store.delete(ANNA)
    assert (await store.load(ANNA, DOMAIN)).event_count == 0
    assert await store.events(ANNA) == []
    assert await store.replies(ANNA, "m1") is None
    assert await store.pending() == []
    assert len(await store.events("rest:ben")) == 3
    await take_turn(store, said("hi", "hello"))


async def test_a_turn_under_way_when_its_conversation_is_deleted_is_not_stored(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        tracker = await store.load(ANNA, DOMAIN)
        await store.delete(ANNA)
        tracker.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(lease, Turn(ANNA, tuple(tracker.events[-1:]), "m2"), tracker)
    assert await store.events(ANNA) == []


# ---- replacing -----------------------------------------------------------------------------------


async def replace(store: Store, events: Sequence[Event]) -> Tracker:
    async with store.lease(ANNA) as lease:
        tracker = Tracker.new(ANNA, DOMAIN)
        tracker.apply_all(events)
        await store.replace(lease, Turn(ANNA, tuple(events)), tracker)
    return tracker


async def test_what_replaces_a_conversation_is_all_there_is(store: Store) -> None:
    await take_turn(store, [*said("hi", "hello"), SlotSet(name="payee", value="Ben")])
    replaced = await replace(store, (*said("bye", "see you"), SlotSet(name="amount", value=[1])))
    loaded = await store.load(ANNA, DOMAIN)
    assert loaded.to_json() == replaced.to_json()
    assert as_json(loaded.events) == as_json(await store.events(ANNA)) == as_json(replaced.events)
    await take_turn(store, [SlotSet(name="payee", value="Eva")], "m2")
    assert as_json(await store.events(ANNA, after=4)) == as_json((await store.load(ANNA, DOMAIN)).events[4:])
    assert (await store.load(ANNA, DOMAIN)).event_count == 5


async def test_a_conversation_may_be_made_by_replacing_nothing(store: Store) -> None:
    await replace(store, said("hi", "hello"))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3
    await replace(store, [])
    assert (await store.load(ANNA, DOMAIN)).event_count == 0
    await take_turn(store, said("hi", "hello"))


async def test_a_message_that_was_answered_before_the_replacement_is_not_answered_again(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    await store.accept(message("more", "m2"))
    await replace(store, said("bye", "see you"))
    assert not await store.accept(message())
    assert await store.replies(ANNA, "m1") == []
    assert [one.message_id for one in await store.pending()] == ["m2"]


async def test_nothing_is_replaced_without_the_lease(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        pass
    with pytest.raises(LeaseLost):
        await store.replace(lease, Turn(ANNA, ()), Tracker.new(ANNA, DOMAIN))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


# ---- another process -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[Store]:
    store = STORES[name](folder)
    yield store
    await store.close()


@pytest.mark.parametrize("name", DURABLE)
async def test_everything_is_there_after_reopening(name: str, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as store:
        await store.accept(message("later", "m2"))
        committed = await take_turn(store, (*said("hi", "hello"), SlotSet(name="amount", value=[1, "zwölf"])))
    async with opened(name, tmp_path) as store:
        assert (await store.load(ANNA, DOMAIN)).to_json() == committed.to_json()
        assert as_json(await store.events(ANNA)) == as_json(committed.events)
        assert [one.text for one in await store.pending()] == ["later"]
        assert await store.replies(ANNA, "m1") == [said("", "hello")[1].message]
        assert not await store.accept(message())
        await take_turn(store, said("later", "now"), "m2")
        assert await store.pending() == []


@pytest.mark.parametrize("name", DURABLE)
async def test_tokens_grow_over_reopening(name: str, tmp_path: Path) -> None:
    async with opened(name, tmp_path) as store, store.lease(ANNA) as before:
        pass
    async with opened(name, tmp_path) as store, store.lease(ANNA) as after:
        assert after.token > before.token


# ---- written by a later version -------------------------------------------------------------------


async def test_a_conversation_that_a_later_version_wrote_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    later = {"event": "mood_changed", "timestamp": 1e10, "mood": "glad"}
    with monkeypatch.context() as future:
        future.setattr(bot.tracker, "SNAPSHOT_VERSION", 2)
        events = (*said("hi", "hello"), SlotSet(name="payee", value="Tom"), UnknownEvent(timestamp=1e10, data=later))
        await take_turn(store, events)
    tracker = await store.load(ANNA, DOMAIN)
    assert tracker.slots["payee"] == "Tom"
    assert "rest:anna: a later version wrote its state" in caplog.text
    await take_turn(store, said("again", "hello again"), "m2")
    caplog.clear()
    tracker = await store.load(ANNA, DOMAIN)
    assert (tracker.slots["payee"], tracker.event_count) == ("Tom", 8)
    assert as_json(await store.events(ANNA))[4] == later
    assert not caplog.text
