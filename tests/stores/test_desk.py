"""What the stores of one process share: times of day, and what waits."""

from __future__ import annotations

import asyncio

import pytest

from bot.errors import StoreFull
from bot.interfaces import Timer, Work
from bot.messages import UserMessage
from bot.stores import desk as desk_module
from bot.stores.alarms import Alarms
from bot.stores.desk import Desk

pytestmark = pytest.mark.anyio


def message(number: int, sender_id: str = "anna") -> UserMessage:
    return UserMessage(str(number), sender_id=sender_id, message_id=f"m{number}")


# ---- alarms --------------------------------------------------------------------------------------


def test_alarms_come_in_the_order_of_their_times() -> None:
    alarms: Alarms[str] = Alarms()
    for name, when in (("late", 3.0), ("early", 1.0), ("same", 1.0), ("later", 4.0)):
        alarms.set(name, when)
    assert alarms.next_time() == 1.0
    assert [alarms.pop(3.5) for _ in range(4)] == ["early", "same", "late", None]
    assert (alarms.next_time(), len(alarms)) == (4.0, 1)


def test_an_alarm_has_the_time_that_was_set_last() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("tea", 1.0)
    alarms.set("tea", 5.0)
    assert (alarms.pop(4.0), alarms.next_time()) == (None, 5.0)
    alarms.set("tea", 2.0)
    assert (alarms.pop(4.0), alarms.pop(9.0), alarms.next_time()) == ("tea", None, None)


def test_a_cancelled_alarm_is_not_due() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("tea", 1.0)
    alarms.cancel("tea")
    alarms.cancel("never set")
    assert (alarms.pop(9.0), alarms.next_time()) == (None, None)
    alarms.set("tea", 1.0)
    assert alarms.pop(9.0) == "tea"


def test_alarms_that_are_put_off_again_and_again_take_no_room() -> None:
    alarms: Alarms[int] = Alarms()
    for time in range(1000):
        for name in range(10):
            alarms.set(name, float(time))
    assert len(alarms._heap) < 200
    assert [alarms.pop(2000.0) for _ in range(11)] == [*range(10), None]


# ---- the desk ------------------------------------------------------------------------------------


async def test_there_is_a_bound_on_what_waits_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_WAITING_IN_ALL", 3)
    desk = Desk()
    for number in range(3):
        desk.check_room(f"rest:{number}")
        desk.put(message(number, str(number)))
    with pytest.raises(StoreFull, match="3 messages wait in the store"):
        desk.check_room("rest:another")
    desk.consume("rest:0", ("m0", "m0", "never there"))
    desk.check_room("rest:another")
    desk.put(message(9, "another"))
    desk.forget(desk.revoke("rest:1"))
    desk.check_room("rest:another")


async def test_nothing_is_kept_of_a_conversation_in_which_nothing_waits() -> None:
    desk = Desk()
    desk.put(message(1))
    lease = desk.take("rest:anna")
    assert lease is not None
    desk.set_timers("rest:anna", [Timer("tea", 1e12, message(2)), Timer("tea")])
    desk.consume("rest:anna", ("m1",))
    desk.give_back(lease)
    desk.give_back(await desk.ask("rest:ben"))
    desk.send("rest:tom", ())
    assert desk.take_outbox("rest:tom") is None
    desk.forget(desk.revoke("rest:eva"))
    assert (desk._conversations, len(desk._alarms)) == ({}, 0)


async def test_work_that_was_done_before_it_was_told_is_not_told() -> None:
    desk = Desk()
    desk.put(message(1))
    desk.put(message(2, "ben"))
    lease = desk.take("rest:anna")
    assert lease is not None
    assert await desk.ready() == Work("inbox", "rest:ben")
    desk.give_back(lease)
    assert await desk.ready() == Work("inbox", "rest:anna")


async def test_whoever_waits_learns_that_the_store_is_closed() -> None:
    desk = Desk()
    lease = await desk.ask("rest:anna")
    waiting = [asyncio.ensure_future(desk.ask("rest:anna")), asyncio.ensure_future(desk.ready())]
    answer = desk.answers.expect("rest:anna", "m1")
    await asyncio.sleep(0)
    desk.close()
    desk.give_back(lease)
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, answer, return_exceptions=True), 5)
    assert [str(outcome) for outcome in outcomes] == ["the store has been closed"] * 3
