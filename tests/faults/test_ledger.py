"""A judge that finds nothing proves nothing: each kind of failure, written into a ledger by hand, is found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parent / "project"))

from ledger import Ledger, Verdict, judge, read, repeated
from plan import points
from script import Customer, Line, customers

PING = Line("m1", "ping 1", ("pong 1, one of two", "pong 1, two of two"), ("action_pong",))
PAY = Line("m2", "payee 3", ("2 went to 3",), ("action_transfer",), amount=2)
ANNA = Customer("anna", "hook", "patient", (PING, PAY))
KEY = ANNA.conversation_id

SENT = [
    {"what": "sent", "conversation": KEY, "message": "m1"},
    {"what": "acknowledged", "conversation": KEY, "message": "m1"},
    {"what": "sent", "conversation": KEY, "message": "m2"},
    {"what": "acknowledged", "conversation": KEY, "message": "m2"},
]


def received(*replies: str, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    named = keys or [f"key of {reply}" for reply in replies]
    return [
        {"what": "received", "conversation": KEY, "key": key, "text": reply, "taken": True}
        for key, reply in zip(named, replies, strict=True)
    ]


def history(*lines: Line) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for line in lines:
        events.append({"event": "user", "message_id": line.message_id})
        events += [{"event": "bot", "text": reply} for reply in line.replies]
    return events


REPLIES = received(*PING.replies, *PAY.replies)


def verdict(
    entries: list[dict[str, Any]] = SENT + REPLIES,
    events: Sequence[dict[str, Any]] = tuple(history(PING, PAY)),
    moved: dict[tuple[str, int], int] | None = None,
) -> Verdict:
    return judge(entries, [ANNA], {KEY: events}, {(KEY, 2): 1} if moved is None else moved)


def test_a_good_run_is_clean() -> None:
    assert verdict().is_clean
    assert str(verdict()) == "kill points: 0, lost: 0, twice: 0, out of order: 0"


def test_kill_points_are_counted_in_the_ledger() -> None:
    assert verdict([*SENT, *REPLIES, {"what": "fault", "conversation": KEY}]).kill_points == 1


def test_an_acknowledged_message_without_a_turn_is_lost() -> None:
    found = verdict(SENT + received(*PAY.replies), history(PAY))
    assert found.lost == [f"{KEY}: no turn of m1"]


def test_a_message_that_was_never_acknowledged_need_not_have_a_turn() -> None:
    assert verdict(SENT[:3] + received(*PING.replies), history(PING), {}).is_clean


def test_a_reminder_comes_once_wherever_it_comes() -> None:
    line = Line("m1", "remind 1", ("shall remind you of 1",), ("action_remind",), later=("remember 1",))
    anna = Customer("anna", "hook", "burst", (line, PAY))
    external = {"event": "user", "metadata": {"is_external": True}}
    events = [*history(line, PAY), external, {"event": "bot", "text": "remember 1"}]

    def found(*replies: str) -> Verdict:
        return judge(SENT + received(*replies), [anna], {KEY: events}, {(KEY, 2): 1})

    assert found("shall remind you of 1", "remember 1", "2 went to 3").is_clean
    assert found("shall remind you of 1", "2 went to 3", "remember 1").is_clean
    assert found("shall remind you of 1", "2 went to 3").lost


def test_what_was_typed_in_a_row_is_one_turn_of_each() -> None:
    together = {"messages": [{"message_id": "m1"}, {"message_id": "m2"}]}
    events = history(Line("m1", "", (*PING.replies, *PAY.replies), ()))
    events[0]["metadata"] = together
    assert verdict(events=events).is_clean
    assert verdict(events=[*events, {"event": "user", "message_id": "m2"}]).twice == [f"{KEY}: 2 turns of m2"]


def test_two_turns_of_a_message_are_found() -> None:
    found = verdict(events=history(PING, PING, PAY))
    assert f"{KEY}: 2 turns of m1" in found.twice


def test_a_turn_of_a_message_that_nobody_sent_is_found() -> None:
    assert verdict(events=history(PING, PAY, Line("m9", "", (), ()))).twice


def test_a_reply_that_the_platform_did_not_get_is_lost() -> None:
    assert verdict(SENT + REPLIES[:-1]).lost == [f"{KEY}: on the platform, '2 went to 3' is missing"]


def test_a_reply_that_was_turned_away_has_not_arrived() -> None:
    assert verdict(SENT + REPLIES[:-1] + [{**REPLIES[-1], "taken": False}]).lost


def test_a_reply_under_two_keys_is_seen_twice() -> None:
    again = received(PING.replies[0], keys=["another key"])
    assert verdict(SENT + REPLIES + again).twice == [f"{KEY}: on the platform, '{PING.replies[0]}' is too much"]


def test_a_reply_that_comes_again_with_its_key_is_seen_once_and_counted() -> None:
    entries = SENT + REPLIES + REPLIES[:1]
    assert verdict(entries).is_clean
    assert repeated(entries) == 1


def test_two_replies_under_one_key_lose_the_second() -> None:
    entries = SENT + received(*PING.replies, *PAY.replies, keys=["one", "one", "two"])
    assert verdict(entries).lost == [f"{KEY}: on the platform, '{PING.replies[1]}' is missing"]


def test_replies_in_another_order_are_found() -> None:
    assert len(verdict([*SENT, REPLIES[1], REPLIES[0], REPLIES[2]]).out_of_order) == 1


def test_a_turn_before_that_of_an_earlier_message_is_found() -> None:
    found = verdict(SENT + received(*PAY.replies, *PING.replies), history(PAY, PING))
    assert found.out_of_order == [f"{KEY}: the turn of m2 came before that of m1"]


def test_messages_that_were_under_way_together_may_come_in_any_order() -> None:
    together = [SENT[0], SENT[2], SENT[1], SENT[3]]
    assert verdict(together + received(*PAY.replies, *PING.replies), history(PAY, PING)).is_clean


@pytest.mark.parametrize(("moved", "kind"), [({}, "lost"), ({(KEY, 2): 2}, "twice"), ({(KEY, 7): 1}, "twice")])
def test_money_moves_once(moved: dict[tuple[str, int], int], kind: str) -> None:
    assert getattr(verdict(moved={(KEY, 2): 1, **moved} if kind == "twice" else moved), kind)


def test_the_history_is_held_against_the_script_too() -> None:
    assert verdict(events=[*history(PING, PAY), {"event": "bot", "text": "Sorry, something went wrong"}]).twice


def test_whoever_asks_again_gets_the_same_answer() -> None:
    caller = Customer("anna", "rest", "patient", (PING,))
    key = caller.conversation_id
    answer = {"what": "answered", "conversation": key, "message": "m1", "replies": list(PING.replies)}
    sent = [{**SENT[0], "conversation": key}, {**SENT[1], "conversation": key}]
    histories = {key: history(PING)}
    assert judge([*sent, answer, answer], [caller], histories, {}).is_clean
    assert judge([*sent, answer, {**answer, "replies": []}], [caller], histories, {}).lost
    assert judge(sent, [caller], histories, {}).lost == [f"{key}: no answer to m1"]


def test_a_ledger_reads_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("sent", message="m1")
    ledger.close()
    assert read(tmp_path / "ledger.jsonl") == [{"what": "sent", "message": "m1"}]


def test_a_seed_always_makes_the_same_customers_and_no_two_replies_are_alike() -> None:
    def make() -> list[Customer]:
        return [*customers(3, 0, 12, length=10), *customers(3, 1, 12, length=10)]

    cast = make()
    assert cast == make()
    replies = [reply for customer in cast for line in customer.lines for reply in line.replies]
    assert len(replies) == len(set(replies))


def test_every_step_of_a_turn_is_a_point() -> None:
    steps = {point.partition(".")[0] for point, _ in points(ANNA, PAY)}
    assert steps == {"inbox", "lease", "turn", "understanding", "action", "effect", "commit", "delivery", "strike"}
