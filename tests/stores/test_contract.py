"""What every store promises, sentence by sentence of bot/interfaces.py. The stores are in conftest.py."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson
import pytest

import bot.stores
import bot.tracker
from bot.domain import Domain, SlotSpec
from bot.errors import LeaseLost, StoreError, StoreFull
from bot.events import ActionExecuted, BotUttered, Event, SlotSet, UnknownEvent, UserUttered, event_to_json
from bot.interfaces import Delivery, Lease, OutboxLease, Store, Timer, Turn, Work
from bot.messages import Attachment, BotMessage, UserMessage
from bot.tracker import RECENT_EVENTS, Tracker

pytestmark = pytest.mark.anyio
T = TypeVar("T")

SOON = 0.4
"""Seconds until what must not happen sooner: longer than a few steps take on a busy machine."""
DOMAIN = Domain(slots={"payee": SlotSpec("payee"), "amount": SlotSpec("amount", initial_value=[])})
ANNA = "rest:anna"


def message(text: str = "hi", message_id: str = "m1", sender_id: str = "anna") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, message_id=message_id)


def said(text: str, reply: str) -> tuple[Event, ...]:
    return (
        UserUttered(text=text, parse_data={"text": text, "intent": {"name": "greet", "confidence": 0.9}}),
        BotUttered.of(BotMessage(text=reply, buttons=({"title": "Yes", "payload": "/affirm"},))),
        ActionExecuted(name="action_listen"),
    )


def a_reply(text: str = "hello") -> BotMessage:
    _, uttered, _ = said("", text)
    assert isinstance(uttered, BotUttered)
    return uttered.message


def delivery(key: str, text: str = "hello") -> Delivery:
    return Delivery(ANNA, key, "rest", "anna", BotMessage(text=text, custom={"a": [1]}))


async def take_turn(
    store: Store, events: Sequence[Event], message_id: str | None = "m1", conversation_id: str = ANNA, **more: Any
) -> Tracker:
    """A turn of whoever asks for the right to the conversation."""
    message_ids = () if message_id is None else (message_id,)
    async with store.lease(conversation_id) as lease:
        tracker = await store.resume(lease, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, tuple(events), message_ids, **more), tracker)
    return tracker


async def answer(store: Store, lease: Lease | None, *, messages: int = 1, **more: Any) -> Lease | None:
    """The turn of the oldest messages of a lease. The bot says what it heard."""
    assert lease is not None
    tracker = await store.resume(lease, DOMAIN)
    heard = lease.messages[:messages]
    events = said(" ".join(one.text for one in heard), " ".join(one.text.upper() for one in heard))
    tracker.apply_all(events)
    message_ids = tuple(one.message_id for one in heard)
    return await store.commit(lease, Turn(lease.conversation_id, events, message_ids, **more), tracker)


async def answer_all(store: Store, lease: Lease | None) -> None:
    while lease:
        lease = await answer(store, lease)


async def soon(awaited: Awaitable[T]) -> T:
    """What must come: the test fails when it does not, and never waits longer than it takes."""
    return await asyncio.wait_for(awaited, 20)


async def nothing_is_ready(store: Store) -> bool:
    try:
        work = await asyncio.wait_for(store.ready(), 0.05)
    except TimeoutError:
        return True
    raise AssertionError(work)


async def until_ready(store: Store, work: Work) -> None:
    """Other work may come before; nothing of it is taken."""
    while await soon(store.ready()) != work:
        pass


async def deliver_all(store: Store, lease: OutboxLease | None) -> list[str]:
    keys = []
    while lease:
        keys.append(lease.deliveries[0].key)
        lease = await store.delivered(lease)
    return keys


async def heard_by(store: Store, conversation_id: str = ANNA) -> list[str | None]:
    return [event.text for event in await store.events(conversation_id) if isinstance(event, UserUttered)]


def ids(messages: Sequence[UserMessage]) -> list[str]:
    return [one.message_id for one in messages]


def as_json(events: Sequence[Event]) -> list[dict[str, object]]:
    return [event_to_json(event) for event in events]


# ---- the inbox -----------------------------------------------------------------------------------


async def test_a_message_is_accepted_once(store: Store) -> None:
    assert await store.accept(message())
    assert not await store.accept(message())
    assert len(await store.pending()) == 1


async def test_an_answered_message_is_not_accepted_again(store: Store) -> None:
    await store.accept(message())
    await answer(store, await store.claim(ANNA))
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
    lease = await store.claim(ANNA)
    assert lease is not None
    assert lease.messages == (first,)
    assert await store.pending() == [first, *others]


async def fill(store: Store) -> None:
    for number in range(1000):
        await store.accept(message(message_id=str(number)))


async def test_a_full_inbox_takes_no_more_until_there_is_room(store: Store) -> None:
    with pytest.raises(StoreFull):
        await fill(store)
    with pytest.raises(StoreFull):
        await store.begin(message(message_id="another"))
    assert len(await store.pending()) >= 100
    assert not await store.accept(message(message_id="0"))
    assert await store.accept(message(sender_id="ben"))
    await answer(store, await store.claim(ANNA))
    assert not await store.accept(message(message_id="0"))
    assert await store.accept(message(message_id="another"))


async def test_an_answered_message_is_known_though_the_inbox_is_full(store: Store) -> None:
    begun = await store.begin(message("first", "first"))
    await answer(store, begun.lease)
    with pytest.raises(StoreFull):
        await fill(store)
    assert not await store.accept(message("first", "first"))
    assert await (await store.begin(message("first", "first"))).answer == [a_reply("FIRST")]


async def test_an_id_that_is_no_text_is_refused(store: Store) -> None:
    for one in (message(sender_id="\ud83d"), message(message_id="\ud83d")):
        with pytest.raises(StoreError, match="ids cannot be stored"):
            await store.accept(one)
        with pytest.raises(StoreError, match="ids cannot be stored"):
            await store.begin(one)
    assert await store.pending() == []


# ---- who waits for the answer --------------------------------------------------------------------


async def test_who_begins_has_the_lease_and_the_answer_when_it_is_committed(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    assert (begun.lease.messages[0].text, begun.lease.attempts, begun.answer.done()) == ("hi", 0, False)
    assert await answer(store, begun.lease) is None
    assert await soon(begun.answer) == [a_reply("HI")]
    assert await nothing_is_ready(store)


async def test_a_message_that_was_answered_has_its_answer_at_once(store: Store) -> None:
    await answer(store, (await store.begin(message())).lease)
    begun = await store.begin(message())
    assert (begun.lease, await soon(begun.answer)) == (None, [a_reply("HI")])
    assert await store.pending() == []


async def test_who_has_the_conversation_answers_what_comes_meanwhile(store: Store) -> None:
    first = await store.begin(message("one", "m1"))
    second, third = await store.begin(message("two", "m2")), await store.begin(message("three", "m3"))
    assert (second.lease, third.lease) == (None, None)
    lease = await answer(store, first.lease)
    assert lease is not None
    assert (ids(lease.messages), lease.attempts, second.answer.done()) == (["m2", "m3"], 0, False)
    assert await answer(store, await answer(store, lease)) is None
    assert await soon(second.answer) == [a_reply("TWO")]
    assert await soon(third.answer) == [a_reply("THREE")]


async def test_all_who_ask_for_the_same_message_have_the_same_answer(store: Store) -> None:
    begun = await asyncio.gather(*(store.begin(message()) for _ in range(8)))
    [lease] = [one.lease for one in begun if one.lease]
    assert await answer(store, lease) is None
    assert await soon(asyncio.gather(*(one.answer for one in begun))) == [[a_reply("HI")]] * 8
    assert await heard_by(store) == ["hi"]


async def test_who_begins_what_was_accepted_before_takes_it_along(store: Store) -> None:
    await store.accept(message("one", "m1"))
    begun = await store.begin(message("two", "m2"))
    assert begun.lease is not None
    assert ids(begun.lease.messages) == ["m1", "m2"]
    await answer_all(store, begun.lease)
    assert await soon(begun.answer) == [a_reply("TWO")]


async def test_who_begins_a_message_that_waits_already_takes_its_turn(store: Store) -> None:
    await store.accept(message())
    begun = await store.begin(message())
    assert await answer(store, begun.lease) is None
    assert await soon(begun.answer) == [a_reply("HI")]
    assert await store.claim(ANNA) is None


async def test_a_burst_in_one_turn_is_answered_to_its_last_message(store: Store) -> None:
    first, second = await store.begin(message("my", "m1")), await store.begin(message("card", "m2"))
    await store.release(first.lease or Lease(ANNA, 0))
    assert await answer(store, await store.claim(ANNA), messages=2) is None
    assert (await soon(first.answer), await soon(second.answer)) == ([], [a_reply("MY CARD")])
    for message_id, replies in (("m1", []), ("m2", [a_reply("MY CARD")])):
        assert not await store.accept(message(message_id=message_id))
        assert await store.replies(ANNA, message_id) == replies
        assert await soon((await store.begin(message(message_id=message_id))).answer) == replies


async def test_one_who_goes_away_leaves_the_message_to_others(store: Store) -> None:
    begun, other = await store.begin(message()), await store.begin(message())
    other.answer.cancel()
    await answer(store, begun.lease)
    assert await soon(begun.answer) == [a_reply("HI")]


async def test_a_message_that_fails_waits_for_its_answer_still(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    await store.release(begun.lease, failed=True)
    assert await soon(store.ready()) == Work("inbox", ANNA)
    await answer(store, await store.claim(ANNA))
    assert await soon(begun.answer) == [a_reply("HI")]


# ---- what is ready -------------------------------------------------------------------------------


async def test_what_is_accepted_wakes_a_worker_at_once(store: Store) -> None:
    waiting = asyncio.ensure_future(store.ready())
    await asyncio.sleep(0.01)
    await store.accept(message())
    assert await soon(waiting) == Work("inbox", ANNA)


async def test_each_conversation_is_told_to_one_worker(store: Store) -> None:
    workers = [asyncio.ensure_future(store.ready()) for _ in range(8)]
    await asyncio.gather(*(store.accept(message(sender_id=str(number))) for number in range(6)))
    async with asyncio.timeout(20):
        while sum(worker.done() for worker in workers) < 6:
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
    told = [worker.result().conversation_id for worker in workers if worker.done()]
    assert sorted(told) == [f"rest:{number}" for number in range(6)]
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_a_conversation_in_hand_is_not_ready(store: Store) -> None:
    await store.begin(message())
    await store.accept(message("more", "m2"))
    assert await nothing_is_ready(store)
    assert await store.claim(ANNA) is None


async def test_a_conversation_is_claimed_once(store: Store) -> None:
    await store.accept(message())
    assert await soon(store.ready()) == Work("inbox", ANNA)
    claims = await asyncio.gather(*(store.claim(ANNA) for _ in range(8)))
    [lease] = [claim for claim in claims if claim]
    assert ids(lease.messages) == ["m1"]


async def test_nothing_is_claimed_where_nothing_waits(store: Store) -> None:
    assert await store.claim(ANNA) is None
    await take_turn(store, said("hi", "hello"))
    assert await store.claim(ANNA) is None


async def test_what_was_told_and_not_claimed_is_told_again(store: Store) -> None:
    await store.accept(message())
    await until_ready(store, Work("inbox", ANNA))
    await until_ready(store, Work("inbox", ANNA))
    assert await store.claim(ANNA) is not None


async def test_a_worker_that_stops_waiting_takes_nothing_along(store: Store) -> None:
    for _ in range(3):
        impatient = asyncio.ensure_future(store.ready())
        await asyncio.sleep(0)
        impatient.cancel()
    await store.accept(message())
    await until_ready(store, Work("inbox", ANNA))


async def test_an_inbox_rests_so_that_more_may_come(store: Store) -> None:
    start = time.time()
    await store.accept(message("my", "m1"), wait=SOON)
    assert await store.claim(ANNA) is None
    await asyncio.sleep(0.05)
    await store.accept(message("card", "m2"), wait=SOON)
    assert await soon(store.ready()) == Work("inbox", ANNA)
    # Clocks may differ by a little where the store is elsewhere.
    assert time.time() - start >= SOON + 0.04
    lease = await store.claim(ANNA)
    assert lease is not None
    assert ids(lease.messages) == ["m1", "m2"]


async def test_who_waits_for_a_message_that_rests_has_no_lease_but_the_answer(store: Store) -> None:
    await store.accept(message("my", "m1"), wait=SOON)
    await store.accept(message("card", "m2"), wait=SOON)
    begun = await store.begin(message("card", "m2"))
    assert begun.lease is None
    await until_ready(store, Work("inbox", ANNA))
    assert await answer(store, await store.claim(ANNA), messages=2) is None
    assert await soon(begun.answer) == [a_reply("MY CARD")]


async def test_a_turn_does_not_go_on_with_what_rests(store: Store) -> None:
    begun = await store.begin(message())
    await store.accept(message("more", "m2"), wait=SOON)
    assert await answer(store, begun.lease) is None
    assert await soon(store.ready()) == Work("inbox", ANNA)
    await answer_all(store, await store.claim(ANNA))
    assert await heard_by(store) == ["hi", "more"]


async def test_a_lease_shows_the_first_twenty_messages(store: Store) -> None:
    for number in range(25):
        await store.accept(message(str(number), f"m{number}"))
    lease = await store.claim(ANNA)
    assert lease is not None
    assert ids(lease.messages) == [f"m{number}" for number in range(20)]
    lease = await answer(store, lease, messages=20)
    assert lease is not None
    assert ids(lease.messages) == [f"m{number}" for number in range(20, 25)]


async def test_messages_are_answered_in_the_order_of_arrival(store: Store) -> None:
    for number in range(30):
        await store.accept(message(str(number), f"m{30 - number}"))
    await answer_all(store, await store.claim(ANNA))
    assert await heard_by(store) == [str(number) for number in range(30)]


async def test_a_turn_may_be_stored_that_consumes_none_of_its_messages(store: Store) -> None:
    begun = await store.begin(message())
    lease = await answer(store, begun.lease, messages=0)
    assert lease is not None
    assert ids(lease.messages) == ["m1"]
    assert await answer(store, lease) is None


async def test_who_has_a_conversation_hears_of_the_next_message(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    arrival = asyncio.ensure_future(store.arrival(begun.lease))
    await asyncio.sleep(0.05)
    assert not arrival.done()
    await store.accept(message(sender_id="ben"))
    await store.accept(message("more", "m2"), wait=0.01)
    await soon(arrival)
    await soon(store.arrival(begun.lease))
    lease = await answer(store, begun.lease)
    if lease is None:
        await until_ready(store, Work("inbox", ANNA))
        lease = await claimed(store)
    assert ids(lease.messages) == ["m2"]
    arrival = asyncio.ensure_future(store.arrival(lease))
    await asyncio.sleep(0.05)
    assert not arrival.done()
    arrival.cancel()
    assert await answer(store, lease) is None


# ---- attempts ------------------------------------------------------------------------------------


async def claimed(store: Store) -> Lease:
    lease = await store.claim(ANNA)
    assert lease is not None
    return lease


async def test_a_failed_attempt_counts_and_a_lease_given_back_does_not(store: Store) -> None:
    await store.accept(message())
    await store.release(await claimed(store))
    lease = await claimed(store)
    assert lease.attempts == 0
    await store.release(lease, failed=True)
    lease = await claimed(store)
    assert lease.attempts == 1
    await store.release(lease)
    assert (await claimed(store)).attempts == 1


async def test_what_fails_again_and_again_is_counted_from_the_beginning_on(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    await store.release(begun.lease, failed=True)
    for attempts in (1, 2, 3):
        lease = await claimed(store)
        assert lease.attempts == attempts
        await store.release(lease, failed=True)


async def test_attempts_are_those_at_the_oldest_message(store: Store) -> None:
    await store.accept(message())
    await store.release(await claimed(store), failed=True)
    begun = await store.begin(message("more", "m2"))
    assert begun.lease is not None
    assert begun.lease.attempts == 1
    lease = await answer(store, begun.lease)
    assert lease is not None
    assert (ids(lease.messages), lease.attempts) == (["m2"], 0)
    await store.release(lease, failed=True)
    assert (await claimed(store)).attempts == 1


async def test_a_lease_is_given_back_once(store: Store) -> None:
    await store.accept(message())
    stale = await claimed(store)
    await store.release(stale)
    lease = await claimed(store)
    await store.release(stale)
    await store.release(stale, failed=True)
    assert await store.claim(ANNA) is None
    assert await answer(store, lease) is None


async def test_what_is_given_back_is_ready_again(store: Store) -> None:
    await store.accept(message())
    assert await soon(store.ready()) == Work("inbox", ANNA)
    await store.release(await claimed(store), failed=True)
    assert await soon(store.ready()) == Work("inbox", ANNA)


async def test_a_commit_that_is_refused_leaves_the_lease_to_be_given_back(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    tracker = await store.resume(begun.lease, DOMAIN)
    tracker.apply(SlotSet(name="payee", value=object()))
    with pytest.raises(StoreError, match="'slot' of 'payee'"):
        await store.commit(begun.lease, Turn(ANNA, tuple(tracker.events), ("m1",)), tracker)
    await store.release(begun.lease, failed=True)
    lease = await claimed(store)
    assert lease.attempts == 1
    assert await answer(store, lease) is None
    assert await soon(begun.answer) == [a_reply("HI")]


async def test_a_message_that_is_set_aside_is_a_dead_letter_and_answered(store: Store) -> None:
    begun = await store.begin(message())
    await store.accept(message("more", "m2"))
    lease = await answer(store, begun.lease, set_aside="it failed 3 times")
    assert lease is not None
    assert ids(lease.messages) == ["m2"]
    assert await soon(begun.answer) == [a_reply("HI")]
    [letter] = await store.dead_letters()
    assert begun.lease is not None
    assert (letter.content, letter.reason) == (begun.lease.messages[0], "it failed 3 times")
    assert letter.conversation_id == ANNA
    assert abs(time.time() - letter.at) < 60
    assert not await store.accept(message())


# ---- the turn ------------------------------------------------------------------------------------


async def test_a_new_conversation_is_empty(store: Store) -> None:
    tracker = await store.load(ANNA, DOMAIN)
    assert (tracker.event_count, tracker.slots) == (0, {"payee": None, "amount": []})
    assert await store.events(ANNA) == []
    begun = await store.begin(message())
    assert begun.lease is not None
    resumed = await store.resume(begun.lease, DOMAIN)
    assert (resumed.conversation_id, resumed.to_json()) == (ANNA, tracker.to_json())


async def test_a_turn_is_read_back_as_it_was_committed(store: Store) -> None:
    events = (*said("hi", "hello"), SlotSet(name="payee", value={"name": "妈妈", "iban": None}))
    committed = await take_turn(store, events)
    loaded = await store.load(ANNA, DOMAIN)
    assert loaded.to_json() == committed.to_json()
    assert as_json(loaded.events) == as_json(events)
    assert as_json(await store.events(ANNA)) == as_json(events)


async def test_a_lease_resumes_where_the_conversation_is(store: Store) -> None:
    committed = await take_turn(store, (*said("hi", "hello"), SlotSet(name="payee", value="Ben")))
    begun = await store.begin(message("more", "m2"))
    assert begun.lease is not None
    resumed = await store.resume(begun.lease, DOMAIN)
    assert resumed.to_json() == committed.to_json()
    assert as_json(resumed.events) == as_json(committed.events)
    await store.accept(message("again", "m3"))
    lease = await answer(store, begun.lease)
    assert lease is not None
    assert (await store.resume(lease, DOMAIN)).event_count == 7
    assert as_json((await store.resume(lease, DOMAIN)).events) == as_json(await store.events(ANNA))


async def test_replies_are_known_once_the_message_is_answered(store: Store) -> None:
    await store.accept(message())
    assert await store.replies(ANNA, "m1") is None
    await take_turn(store, said("hi", "hello"))
    await take_turn(store, said("bye", "see you"), "m2")
    assert await store.replies(ANNA, "m1") == [a_reply("hello")]
    assert await store.replies("rest:ben", "m1") is None


async def test_a_turn_without_reply_is_answered_by_silence(store: Store) -> None:
    await take_turn(store, [UserUttered(text="hi")])
    assert await store.replies(ANNA, "m1") == []


async def test_a_second_commit_of_the_same_message_is_refused(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    with pytest.raises(LeaseLost, match="answered before"):
        await take_turn(store, said("hi", "hello again"))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3
    assert await store.replies(ANNA, "m1") == [a_reply("hello")]


async def test_events_may_be_appended_without_a_message(store: Store) -> None:
    await take_turn(store, [SlotSet(name="payee", value="Ben")], None)
    await take_turn(store, [SlotSet(name="payee", value="Eva")], None)
    assert (await store.load(ANNA, DOMAIN)).slots["payee"] == "Eva"


async def test_one_lease_may_commit_several_turns(store: Store) -> None:
    async with store.lease(ANNA) as lease:
        tracker = await store.resume(lease, DOMAIN)
        for name in ("Ben", "Eva"):
            tracker.apply(SlotSet(name="payee", value=name))
            assert await store.commit(lease, Turn(ANNA, tuple(tracker.events[-1:])), tracker) is None
        assert (await store.resume(lease, DOMAIN)).slots["payee"] == "Eva"
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
    events = (*said("hi", "hello"), SlotSet(name="payee", value=object()))
    with pytest.raises(StoreError, match="'slot' of 'payee'"):
        await take_turn(store, events, deliveries=(delivery("d1"),), set_aside="no use")
    assert await store.events(ANNA) == []
    assert await store.replies(ANNA, "m1") is None
    assert await store.claim_outbox(ANNA) is None
    assert await store.dead_letters() == []
    assert ids(await store.pending()) == ["m1"]
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


@pytest.mark.parametrize("sender_id", ["", "a\x00b", "妈妈", "'; DROP TABLE turns; --", "+49:170", "{a}*?[b]"])
async def test_any_sender_id_is_a_conversation_of_its_own(store: Store, sender_id: str) -> None:
    one = message(sender_id=sender_id)
    begun = await store.begin(one)
    await answer(store, begun.lease, deliveries=(delivery("d1"),), timers=(timer("t"),))
    assert (await store.load(one.conversation_id, DOMAIN)).event_count == 3
    assert (await store.load(one.conversation_id + "x", DOMAIN)).event_count == 0
    assert not await store.accept(one)
    assert await store.conversation_ids() == [one.conversation_id]
    assert await deliver_all(store, await store.claim_outbox(one.conversation_id)) == ["d1"]


# ---- leases --------------------------------------------------------------------------------------


async def test_turns_of_one_conversation_happen_in_the_order_of_asking(store: Store) -> None:
    order: list[int] = []

    async def turn(number: int) -> None:
        async with store.lease(ANNA):
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    await soon(asyncio.gather(*(turn(number) for number in range(16))))
    assert order == [number for number in range(16) for _ in range(2)]


async def test_who_asks_has_its_turn_between_the_messages_before_and_after(store: Store) -> None:
    first = await store.begin(message("one", "m1"))
    await store.accept(message("two", "m2"))
    asking = asyncio.ensure_future(take_turn(store, said("asked", "ok"), None))
    await asyncio.sleep(0.05)
    await store.accept(message("three", "m3"))
    await answer_all(store, first.lease)
    await soon(asking)
    assert await soon(store.ready()) == Work("inbox", ANNA)
    await answer_all(store, await store.claim(ANNA))
    assert await heard_by(store) == ["one", "two", "asked", "three"]


async def test_messages_that_came_first_are_not_passed_by_who_asks(store: Store) -> None:
    async with store.lease(ANNA):
        await store.accept(message("one", "m1"))
        asking = asyncio.ensure_future(take_turn(store, said("asked", "ok"), None))
        await asyncio.sleep(0.05)
    await until_ready(store, Work("inbox", ANNA))
    await answer_all(store, await store.claim(ANNA))
    await soon(asking)
    assert await heard_by(store) == ["one", "asked"]


async def test_who_asks_is_not_held_up_by_a_message_that_no_worker_takes(store: Store) -> None:
    await store.accept(message())
    await take_turn(store, said("asked", "ok"), None)
    async with store.lease(ANNA):
        asking = asyncio.ensure_future(take_turn(store, said("asked", "again"), None))
        await asyncio.sleep(0.05)
    await soon(asking)
    assert ids(await store.pending()) == ["m1"]


async def test_what_comes_while_a_caller_has_the_conversation_is_ready_after(store: Store) -> None:
    async with store.lease(ANNA):
        begun = await store.begin(message())
        assert begun.lease is None
        assert await store.claim(ANNA) is None
        assert await nothing_is_ready(store)
    assert await soon(store.ready()) == Work("inbox", ANNA)
    await answer(store, await store.claim(ANNA))
    assert await soon(begun.answer) == [a_reply("HI")]


async def test_conversations_do_not_wait_for_each_other(store: Store) -> None:
    async with store.lease(ANNA), store.lease("rest:ben"):
        pass


async def test_a_later_lease_has_a_higher_token(store: Store) -> None:
    async with store.lease(ANNA) as first:
        pass
    second = (await store.begin(message())).lease
    assert second is not None
    assert second.token > first.token
    await answer(store, second)
    async with store.lease(ANNA) as third:
        assert third.token > second.token


async def test_one_who_gives_up_waiting_does_not_hold_up_the_others(store: Store) -> None:
    async with store.lease(ANNA):
        impatient = asyncio.ensure_future(take_turn(store, said("hi", "hello"), "m1"))
        patient = asyncio.ensure_future(take_turn(store, said("hi", "hello"), "m2"))
        await asyncio.sleep(0.05)
        impatient.cancel()
    await soon(patient)
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


async def test_one_who_gives_up_as_its_turn_comes_does_not_hold_up_the_others(store: Store) -> None:
    async with store.lease(ANNA):
        impatient = asyncio.ensure_future(take_turn(store, said("hi", "hello"), "m1"))
        await asyncio.sleep(0.05)
    impatient.cancel()
    await soon(take_turn(store, said("hi", "hello"), "m2"))
    assert await store.replies(ANNA, "m2") is not None


async def test_a_commit_after_the_lease_is_refused(store: Store) -> None:
    async with store.lease(ANNA) as stale:
        tracker = await store.load(ANNA, DOMAIN)
    async with store.lease(ANNA):
        tracker.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(stale, Turn(ANNA, tuple(tracker.events)), tracker)
    assert await store.events(ANNA) == []


async def test_a_lease_that_was_given_back_and_taken_by_another_commits_nothing(store: Store) -> None:
    begun = await store.begin(message())
    stale = begun.lease
    assert stale is not None
    await store.release(stale)
    lease = await claimed(store)
    with pytest.raises(LeaseLost):
        await answer(store, stale, deliveries=(delivery("d1"),), set_aside="no use")
    assert await store.events(ANNA) == []
    assert await store.claim_outbox(ANNA) is None
    assert not begun.answer.done()
    assert await answer(store, lease) is None


async def test_a_turn_on_an_outdated_tracker_is_refused(store: Store) -> None:
    outdated = await store.load(ANNA, DOMAIN)
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        outdated.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(lease, Turn(ANNA, tuple(outdated.events), ("m2",)), outdated)
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


async def test_sixteen_customers_at_once_lose_nothing(store: Store) -> None:
    async def customer(number: int) -> None:
        for turn in range(10):
            begun = await store.begin(message(f"{number}/{turn}", f"m{turn}", f"c{number}"))
            assert await answer(store, begun.lease) is None
            assert await begun.answer == [a_reply(f"{number}/{turn}")]

    await soon(asyncio.gather(*(customer(number) for number in range(16))))
    assert await store.pending() == []
    for number in range(16):
        assert await heard_by(store, f"rest:c{number}") == [f"{number}/{turn}" for turn in range(10)]


async def test_sixteen_messages_of_one_customer_at_once_lose_nothing(store: Store) -> None:
    async def customer(number: int) -> list[BotMessage]:
        begun = await store.begin(message(str(number), f"m{number}"))
        await answer_all(store, begun.lease)
        return await begun.answer

    replies = await soon(asyncio.gather(*(customer(number) for number in range(16))))
    assert replies == [[a_reply(str(number))] for number in range(16)]
    assert sorted(await heard_by(store), key=str) == sorted(str(number) for number in range(16))


# ---- the outbox ----------------------------------------------------------------------------------


async def with_outbox(store: Store, *keys: str, message_id: str = "m1") -> OutboxLease:
    await take_turn(store, said("hi", "hello"), message_id, deliveries=tuple(delivery(key) for key in keys))
    assert await soon(store.ready()) == Work("outbox", ANNA)
    lease = await store.claim_outbox(ANNA)
    assert lease is not None
    return lease


async def test_replies_are_delivered_in_order_and_once(store: Store) -> None:
    lease = await with_outbox(store, "d1", "d2")
    assert lease.deliveries == (delivery("d1"), delivery("d2"))
    await take_turn(store, said("more", "hello"), "m2", deliveries=(delivery("d0"),))
    assert await store.claim_outbox(ANNA) is None
    assert await deliver_all(store, lease) == ["d1", "d2", "d0"]
    assert await store.claim_outbox(ANNA) is None
    assert await nothing_is_ready(store)


async def test_a_conversation_delivers_while_its_next_turn_is_taken(store: Store) -> None:
    lease = await with_outbox(store, "d1")
    begun = await store.begin(message("more", "m2"))
    assert await deliver_all(store, lease) == ["d1"]
    assert await answer(store, begun.lease) is None


async def test_an_outbox_lease_shows_the_first_twenty(store: Store) -> None:
    lease = await with_outbox(store, *(f"d{number}" for number in range(25)))
    assert len(lease.deliveries) == 20
    assert await deliver_all(store, lease) == [f"d{number}" for number in range(25)]


async def test_what_is_postponed_is_tried_again_before_what_comes_after(store: Store) -> None:
    lease = await with_outbox(store, "d1", "d2")
    start = time.time()
    await store.postpone(lease, SOON)
    assert await store.claim_outbox(ANNA) is None
    await take_turn(store, said("more", "hello"), "m2", deliveries=(delivery("d3"),))
    assert await store.claim_outbox(ANNA) is None
    assert await soon(store.ready()) == Work("outbox", ANNA)
    assert time.time() - start >= SOON - 0.01
    again = await store.claim_outbox(ANNA)
    assert again is not None
    assert [(one.key, one.attempts) for one in again.deliveries] == [("d1", 1), ("d2", 0), ("d3", 0)]
    assert await deliver_all(store, again) == ["d1", "d2", "d3"]


async def test_what_is_given_up_is_a_dead_letter_and_the_rest_goes_on(store: Store) -> None:
    lease = await with_outbox(store, "d1", "d2")
    left = await store.give_up(lease, "the customer has left")
    assert left is not None
    assert await store.give_up(left, "likewise") is None
    letters = await store.dead_letters()
    assert [(letter.content, letter.reason) for letter in letters] == [
        (delivery("d1"), "the customer has left"),
        (delivery("d2"), "likewise"),
    ]
    assert len({letter.id for letter in letters}) == 2
    assert await store.dead_letters(limit=1) == letters[:1]
    assert await nothing_is_ready(store)


async def test_deliveries_in_other_hands_are_left_alone(store: Store) -> None:
    stale = await with_outbox(store, "d1", "d2")
    await store.postpone(stale, 0)
    lease = await store.claim_outbox(ANNA)
    assert lease is not None
    for attempt in (store.delivered(stale), store.give_up(stale, "no"), store.postpone(stale, 9)):
        with pytest.raises(LeaseLost):
            await attempt
    assert await deliver_all(store, lease) == ["d1", "d2"]
    assert await store.dead_letters() == []


async def test_one_who_goes_away_while_a_delivery_is_noted_down_leaves_the_rest_to_others(store: Store) -> None:
    begun = await store.begin(message())
    await answer(store, begun.lease, deliveries=(delivery("d1"), delivery("d2")))
    lease = await store.claim_outbox(ANNA)
    assert lease is not None
    noting = asyncio.create_task(store.delivered(lease))
    await asyncio.sleep(0)
    noting.cancel()
    [left] = await asyncio.gather(noting, return_exceptions=True)
    if isinstance(left, OutboxLease):
        # It had been done when its caller went.
        await store.postpone(left, 0.0)
    await until_ready(store, Work("outbox", ANNA))
    assert (await deliver_all(store, await store.claim_outbox(ANNA)))[-1] == "d2"


async def test_the_outbox_of_a_turn_that_was_refused_stays_empty(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    with pytest.raises(LeaseLost):
        await take_turn(store, said("hi", "hello"), deliveries=(delivery("d1"),))
    assert await store.claim_outbox(ANNA) is None


# ---- dead letters --------------------------------------------------------------------------------


async def test_a_delivery_is_revived_at_the_end_of_the_outbox(store: Store) -> None:
    lease = await with_outbox(store, "d1", "d2")
    await store.postpone(lease, 0)
    left = await store.give_up(await store.claim_outbox(ANNA) or lease, "no answer")
    [letter] = await store.dead_letters()
    assert isinstance(letter.content, Delivery)
    assert letter.content.attempts == 1
    assert await store.revive(letter.id)
    assert not await store.revive(letter.id)
    assert await store.dead_letters() == []
    assert await deliver_all(store, left) == ["d2", "d1"]


async def test_a_revived_delivery_wakes_a_worker(store: Store) -> None:
    assert await store.give_up(await with_outbox(store, "d1"), "no answer") is None
    [letter] = await store.dead_letters()
    assert await store.revive(letter.id)
    assert await soon(store.ready()) == Work("outbox", ANNA)
    lease = await store.claim_outbox(ANNA)
    assert lease is not None
    assert lease.deliveries == (delivery("d1"),)


async def test_a_message_is_revived_and_answered_anew(store: Store) -> None:
    begun = await store.begin(message())
    assert begun.lease is not None
    await store.release(begun.lease, failed=True)
    assert await answer(store, await store.claim(ANNA), set_aside="it failed once") is None
    [letter] = await store.dead_letters()
    assert await store.revive(letter.id)
    assert not await store.accept(message())
    assert await store.replies(ANNA, "m1") is None
    assert await soon(store.ready()) == Work("inbox", ANNA)
    lease = await claimed(store)
    assert (ids(lease.messages), lease.attempts) == (["m1"], 0)
    await answer(store, lease)
    assert await heard_by(store) == ["hi", "hi"]
    assert await store.dead_letters() == []


async def test_what_is_buried_is_forgotten(store: Store) -> None:
    await answer(store, (await store.begin(message())).lease, set_aside="it failed once")
    [letter] = await store.dead_letters()
    assert await store.bury(letter.id)
    assert not await store.bury(letter.id)
    assert not await store.revive(letter.id)
    assert await store.dead_letters() == []
    assert not await store.accept(message())


@pytest.mark.parametrize("letter_id", ["", "no-such", "1", "-1", "a\x00b", "9" * 40])
async def test_a_dead_letter_that_is_not_there(store: Store, letter_id: str) -> None:
    assert (await store.revive(letter_id), await store.bury(letter_id)) == (False, False)


# ---- timers --------------------------------------------------------------------------------------


def timer(name: str, seconds: float = 0.0, text: str = "remember", sender_id: str = "anna") -> Timer:
    """Each has a message of its own."""
    return Timer(name, time.time() + seconds, UserMessage(text, sender_id=sender_id, channel="rest"))


async def test_a_timer_becomes_a_message_when_it_is_due(store: Store) -> None:
    start, set_one = time.time(), timer("tea", SOON)
    await take_turn(store, said("hi", "hello"), timers=(set_one,))
    assert await store.pending() == []
    assert await soon(store.ready()) == Work("inbox", ANNA)
    assert time.time() - start >= SOON - 0.01
    lease = await claimed(store)
    assert lease.messages == (set_one.message,)
    assert await answer(store, lease) is None
    assert await nothing_is_ready(store)


async def test_a_timer_in_the_past_is_due_at_once(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", -1000),))
    assert await soon(store.ready()) == Work("inbox", ANNA)
    assert await heard_after_all(store) == ["hi", "remember"]


async def heard_after_all(store: Store) -> list[str | None]:
    await answer_all(store, await store.claim(ANNA))
    return await heard_by(store)


async def test_a_timer_fires_once_however_many_workers_wait(store: Store) -> None:
    workers = [asyncio.ensure_future(store.ready()) for _ in range(4)]
    await asyncio.sleep(0.01)
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", 0.05),))
    await soon(asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED))
    assert await heard_after_all(store) == ["hi", "remember"]
    await asyncio.sleep(0.05)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert await store.pending() == []


async def test_a_timer_takes_the_place_of_an_earlier_one_of_its_name(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", SOON, "early"), timer("cake", SOON, "cake")))
    await take_turn(store, said("no", "ok"), "m2", timers=(timer("tea", 2 * SOON, "late"),))
    await until_ready(store, Work("inbox", ANNA))
    await answer_all(store, await store.claim(ANNA))
    await until_ready(store, Work("inbox", ANNA))
    assert await heard_after_all(store) == ["hi", "no", "cake", "late"]
    assert await nothing_is_ready(store)


async def test_a_timer_may_be_brought_forward(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", 1000, "late"),))
    await take_turn(store, said("now", "ok"), "m2", timers=(timer("tea", 0, "early"),))
    assert await soon(store.ready()) == Work("inbox", ANNA)
    assert await heard_after_all(store) == ["hi", "now", "early"]


async def test_the_last_word_of_a_turn_on_a_timer_counts(durable_place: Any) -> None:
    store = await durable_place.open()
    timers = (Timer("tea"), timer("tea", 0, "tea"), timer("cake", 0, "cake"), Timer("cake"))
    await take_turn(store, said("hi", "hello"), timers=timers)
    await store.close()
    store = await durable_place.open()
    await until_ready(store, Work("inbox", ANNA))
    assert await heard_after_all(store) == ["hi", "tea"]


async def test_a_cancelled_timer_does_not_fire(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", SOON, "tea"), timer("cake", SOON, "cake")))
    await take_turn(store, said("no", "ok"), "m2", timers=(Timer("tea"), Timer("never there")))
    await until_ready(store, Work("inbox", ANNA))
    assert await heard_after_all(store) == ["hi", "no", "cake"]


async def test_timers_of_two_conversations_do_not_meet(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea"),))
    await take_turn(store, said("hi", "hello"), "m1", "rest:ben", timers=(Timer("tea"),))
    assert await soon(store.ready()) == Work("inbox", ANNA)


async def test_a_timer_comes_into_a_full_inbox_too(store: Store) -> None:
    with pytest.raises(StoreFull):
        await fill(store)
    await take_turn(store, said("hi", "hello"), "not in the inbox", timers=(timer("tea"),))
    while (await store.pending())[-1].text != "remember":
        await until_ready(store, Work("inbox", ANNA))
    with pytest.raises(StoreFull):
        await store.accept(message(message_id="another"))


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
    decode, encode = orjson.loads, orjson.dumps

    class Counting:
        @staticmethod
        def loads(data: bytes) -> object:
            read.append(len(data))
            return decode(data)

        @staticmethod
        def dumps(value: object, default: Callable[[object], object] | None = None) -> bytes:
            body: bytes = encode(value, default=default)
            written.append(len(body))
            return body

    async def cost(number: int) -> tuple[int, int]:
        begun = await store.begin(message(f"{number:05}", f"m{number:05}"))
        read.clear()
        written.clear()
        await answer(store, begun.lease)
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


# ---- deleting ------------------------------------------------------------------------------------


async def test_a_deleted_conversation_leaves_nothing(store: Store) -> None:
    letters = [delivery("d1"), delivery("d2")]
    await take_turn(store, said("hi", "hello"), deliveries=tuple(letters), timers=(timer("tea", 2 * SOON),))
    await store.give_up(await store.claim_outbox(ANNA) or OutboxLease(ANNA, 0, ()), "no answer")
    await store.accept(message("more", "m2"))
    await take_turn(
        store, said("hi", "hello"), conversation_id="rest:ben", timers=(timer("tea", 3 * SOON, "ben", "ben"),)
    )
    await store.delete(ANNA)
    assert (await store.load(ANNA, DOMAIN)).event_count == 0
    assert await store.events(ANNA) == []
    assert await store.replies(ANNA, "m1") is None
    assert await store.pending() == []
    assert await store.dead_letters() == []
    assert (await store.claim(ANNA), await store.claim_outbox(ANNA)) == (None, None)
    assert await store.conversation_ids() == ["rest:ben"]
    assert len(await store.events("rest:ben")) == 3
    assert await soon(store.ready()) == Work("inbox", "rest:ben")
    assert await store.accept(message())
    await take_turn(store, said("hi", "hello"))


async def test_a_turn_under_way_when_its_conversation_is_deleted_is_not_stored(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        tracker = await store.load(ANNA, DOMAIN)
        await store.delete(ANNA)
        tracker.apply(SlotSet(name="payee", value="Ben"))
        with pytest.raises(LeaseLost):
            await store.commit(lease, Turn(ANNA, tuple(tracker.events[-1:]), ("m2",)), tracker)
    assert await store.events(ANNA) == []


async def test_what_was_in_hand_when_its_conversation_is_deleted_comes_to_nothing(store: Store) -> None:
    begun = await store.begin(message())
    await store.delete(ANNA)
    with pytest.raises(LeaseLost):
        await answer(store, begun.lease, deliveries=(delivery("d1"),))
    with pytest.raises(StoreError, match="deleted"):
        await soon(begun.answer)
    assert begun.lease is not None
    await store.release(begun.lease, failed=True)
    again = await store.begin(message())
    assert again.lease is not None
    assert again.lease.attempts == 0
    assert await answer(store, again.lease) is None


async def test_a_delivery_in_hand_when_its_conversation_is_deleted_is_the_last(store: Store) -> None:
    lease = await with_outbox(store, "d1", "d2")
    await store.delete(ANNA)
    with pytest.raises(LeaseLost):
        await store.delivered(lease)
    assert await store.claim_outbox(ANNA) is None


async def test_who_asked_for_a_conversation_that_is_deleted_has_the_new_one(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA):
        asking = asyncio.ensure_future(take_turn(store, said("asked", "ok"), None))
        await asyncio.sleep(0.05)
        await store.delete(ANNA)
    await soon(asking)
    assert await heard_by(store) == ["asked"]


# ---- replacing -----------------------------------------------------------------------------------


async def replace(store: Store, events: Sequence[Event], **more: Any) -> Tracker:
    async with store.lease(ANNA) as lease:
        tracker = Tracker.new(ANNA, DOMAIN)
        tracker.apply_all(events)
        await store.replace(lease, Turn(ANNA, tuple(events), **more), tracker)
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
    await take_turn(store, said("hi", "hello"), deliveries=(delivery("d1"),))
    await store.accept(message("more", "m2"))
    await replace(store, said("bye", "see you"))
    assert not await store.accept(message())
    assert await store.replies(ANNA, "m1") == []
    assert ids(await store.pending()) == ["m2"]
    with pytest.raises(LeaseLost, match="answered before"):
        await take_turn(store, said("hi", "hello"))
    assert await deliver_all(store, await store.claim_outbox(ANNA)) == ["d1"]


async def test_a_replacement_may_set_and_cancel_timers(store: Store) -> None:
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", SOON, "tea"),))
    await replace(store, said("bye", "see you"), timers=(Timer("tea"), timer("cake", 2 * SOON, "cake")))
    assert await soon(store.ready()) == Work("inbox", ANNA)
    assert await heard_after_all(store) == ["bye", "cake"]


async def test_nothing_is_replaced_without_the_lease(store: Store) -> None:
    await take_turn(store, said("hi", "hello"))
    async with store.lease(ANNA) as lease:
        pass
    with pytest.raises(LeaseLost):
        await store.replace(lease, Turn(ANNA, ()), Tracker.new(ANNA, DOMAIN))
    assert (await store.load(ANNA, DOMAIN)).event_count == 3


# ---- after a restart -----------------------------------------------------------------------------


async def test_everything_is_there_after_reopening(durable_place: Any) -> None:
    store = await durable_place.open()
    await store.accept(message("later", "m2"))
    committed = await take_turn(store, (*said("hi", "hello"), SlotSet(name="amount", value=[1, "zwölf"])))
    await store.close()
    store = await durable_place.open()
    assert (await store.load(ANNA, DOMAIN)).to_json() == committed.to_json()
    assert as_json(await store.events(ANNA)) == as_json(committed.events)
    assert [one.text for one in await store.pending()] == ["later"]
    assert await store.replies(ANNA, "m1") == [a_reply("hello")]
    assert not await store.accept(message())
    await take_turn(store, said("later", "now"), "m2")
    assert await store.pending() == []


async def test_tokens_grow_over_reopening(durable_place: Any) -> None:
    store = await durable_place.open()
    async with store.lease(ANNA) as before:
        pass
    await store.close()
    store = await durable_place.open()
    async with store.lease(ANNA) as after:
        assert after.token > before.token


async def test_what_was_in_hand_is_ready_after_a_restart_and_the_attempt_counts(durable_place: Any) -> None:
    store = await durable_place.open()
    await store.accept(message("one", "m1"))
    await store.accept(message("two", "m2"))
    assert (await claimed(store)).attempts == 0
    begun = await store.begin(message(sender_id="ben"))
    assert begun.lease is not None
    await store.accept(message("one", "m1", "eva"))
    begun = await store.begin(message("two", "m2", "eva"))
    assert begun.lease is not None
    await store.close()
    store = await durable_place.open()
    told = {await soon(store.ready()) for _ in range(3)}
    assert told == {Work("inbox", f"rest:{name}") for name in ("anna", "ben", "eva")}
    lease = await claimed(store)
    assert (ids(lease.messages), lease.attempts) == (["m1", "m2"], 1)
    await answer_all(store, lease)
    assert await heard_by(store) == ["one", "two"]
    for name in ("ben", "eva"):
        other = await store.claim(f"rest:{name}")
        assert other is not None
        assert (other.messages[0].message_id, other.attempts) == ("m1", 1)


async def test_the_message_that_a_turn_went_on_with_is_counted_over_a_restart(durable_place: Any) -> None:
    store = await durable_place.open()
    begun = await store.begin(message("one", "m1"))
    await store.accept(message("two", "m2"))
    assert await answer(store, begun.lease) is not None
    await store.close()
    store = await durable_place.open()
    await until_ready(store, Work("inbox", ANNA))
    lease = await claimed(store)
    assert (ids(lease.messages), lease.attempts) == (["m2"], 1)


async def test_attempts_that_failed_or_not_are_remembered_over_a_restart(durable_place: Any) -> None:
    store = await durable_place.open()
    await store.accept(message())
    await store.release(await claimed(store), failed=True)
    await store.release(await claimed(store))
    await store.close()
    store = await durable_place.open()
    await until_ready(store, Work("inbox", ANNA))
    assert (await claimed(store)).attempts == 1


async def test_deliveries_and_letters_are_there_after_a_restart(durable_place: Any) -> None:
    store = await durable_place.open()
    lease = await with_outbox(store, "d3", "d2", "d1")
    left = await store.give_up(lease, "no answer")
    assert left is not None
    await store.postpone(left, 0)
    letters = await store.dead_letters()
    assert await store.claim_outbox(ANNA) is not None
    await store.close()
    store = await durable_place.open()
    await until_ready(store, Work("outbox", ANNA))
    lease = await store.claim_outbox(ANNA)
    assert [(one.key, one.attempts) for one in lease.deliveries] == [("d2", 1), ("d1", 0)]
    assert await deliver_all(store, lease) == ["d2", "d1"]
    assert await store.dead_letters() == letters


async def test_timers_fire_once_after_a_restart(durable_place: Any) -> None:
    store = await durable_place.open()
    timers = (timer("a", SOON, "a"), timer("b", 2 * SOON, "b"), timer("never", SOON), timer("far", 1000, "far"))
    await take_turn(store, said("hi", "hello"), timers=timers)
    await take_turn(store, said("no", "ok"), "m2", timers=(Timer("never"),))
    await store.close()
    store = await durable_place.open()
    while len(await heard_by(store)) < 4:
        await until_ready(store, Work("inbox", ANNA))
        await answer_all(store, await store.claim(ANNA))
    await store.close()
    store = await durable_place.open()
    assert await nothing_is_ready(store)
    assert await heard_by(store) == ["hi", "no", "a", "b"]


async def test_a_timer_that_was_due_while_all_was_closed_fires_then(durable_place: Any) -> None:
    store = await durable_place.open()
    await take_turn(store, said("hi", "hello"), timers=(timer("tea", 0.1),))
    await store.close()
    await asyncio.sleep(0.1)
    store = await durable_place.open()
    await until_ready(store, Work("inbox", ANNA))
    assert await heard_after_all(store) == ["hi", "remember"]


# ---- several processes ---------------------------------------------------------------------------


async def test_of_two_processes_one_accepts(shared_place: Any) -> None:
    stores = [await shared_place.open() for _ in range(2)]
    assert sum(await asyncio.gather(*(store.accept(message()) for store in stores * 8))) == 1


async def test_what_one_process_accepts_is_claimed_by_one(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    waiting = asyncio.ensure_future(there.ready())
    await asyncio.sleep(0.05)
    await here.accept(message())
    assert await soon(waiting) == Work("inbox", ANNA)
    claims = await asyncio.gather(*(store.claim(ANNA) for store in (here, there) * 4))
    [lease] = [claim for claim in claims if claim]
    store = there if claims.index(lease) % 2 else here
    assert await answer(store, lease) is None
    assert await heard_by(here) == await heard_by(there) == ["hi"]
    assert not await there.accept(message())


async def test_an_answer_is_given_wherever_its_turn_is_committed(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    first = await there.begin(message("one", "m1"))
    second, again = await here.begin(message("two", "m2")), await here.begin(message("one", "m1"))
    assert (second.lease, again.lease) == (None, None)
    await answer_all(there, first.lease)
    assert await soon(again.answer) == [a_reply("ONE")]
    assert await soon(second.answer) == [a_reply("TWO")]


async def test_processes_take_turns_in_the_order_of_asking(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    order: list[int] = []

    async def turn(store: Store, number: int) -> None:
        async with store.lease(ANNA):
            order.append(number)

    async with here.lease(ANNA):
        turns = []
        for number, store in enumerate((there, here, there, here)):
            turns.append(asyncio.ensure_future(turn(store, number)))
            await asyncio.sleep(0.05)
    await soon(asyncio.gather(*turns))
    assert order == [0, 1, 2, 3]


async def test_a_lease_of_one_process_holds_in_the_other(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    begun = await here.begin(message())
    await there.accept(message("more", "m2"))
    assert await there.claim(ANNA) is None
    assert begun.lease is not None
    await here.release(begun.lease)
    await until_ready(there, Work("inbox", ANNA))
    await answer_all(there, await there.claim(ANNA))
    with pytest.raises(LeaseLost):
        await answer(here, begun.lease)
    assert await heard_by(here) == ["hi", "more"]
    assert (await here.load(ANNA, DOMAIN)).to_json() == (await there.load(ANNA, DOMAIN)).to_json()


async def test_who_has_a_conversation_hears_what_another_process_accepts(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    begun = await here.begin(message())
    assert begun.lease is not None
    arrival = asyncio.ensure_future(here.arrival(begun.lease))
    await asyncio.sleep(0.05)
    await there.accept(message("more", "m2"))
    await soon(arrival)


async def test_the_outbox_is_in_the_hands_of_one_process(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    await take_turn(here, said("hi", "hello"), deliveries=(delivery("d1"), delivery("d2")))
    await until_ready(there, Work("outbox", ANNA))
    leases = await asyncio.gather(*(store.claim_outbox(ANNA) for store in (here, there) * 4))
    [lease] = [lease for lease in leases if lease]
    assert await deliver_all(there if leases.index(lease) % 2 else here, lease) == ["d1", "d2"]


async def test_a_timer_fires_in_one_process(shared_place: Any) -> None:
    here, there = await shared_place.open(), await shared_place.open()
    waiting = [asyncio.ensure_future(store.ready()) for store in (here, there)]
    await take_turn(here, said("hi", "hello"), timers=(timer("tea", 0.05),))
    await soon(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))
    await answer_all(there, await there.claim(ANNA))
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await heard_by(here) == ["hi", "remember"]


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
