"""The ledger of a run, and what it proves: nothing lost, nothing twice, nothing out of order.

A line of JSON for everything that left or reached the platform, in the order in which it happened, and for every fault.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from script import Customer

Entry = Mapping[str, Any]


class Ledger:
    """Appends lines; each is on the disk before `write` returns. Several processes may append to one file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, **fields: Any) -> None:
        os.write(self._file, json.dumps({"what": what, **fields}).encode() + b"\n")
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> list[Entry]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(slots=True)
class Verdict:
    """What was found: a sentence for each message, reply or transfer that went wrong."""

    kill_points: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.twice or self.out_of_order)

    @property
    def findings(self) -> list[str]:
        parts = (("lost", self.lost), ("twice", self.twice), ("out of order", self.out_of_order))
        return [f"{name}: {finding}" for name, found in parts for finding in found]

    def __str__(self) -> str:
        return (
            f"kill points: {self.kill_points}, lost: {len(self.lost)}, twice: {len(self.twice)}, "
            f"out of order: {len(self.out_of_order)}"
        )


def judge(
    entries: Sequence[Entry],
    customers: Iterable[Customer],
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    moved: Mapping[tuple[str, int], int],
) -> Verdict:
    """Hold the ledger against the script.

    `histories` are the conversations' events as the bot keeps them, in Rasa's shape, by conversation id; `moved` says
    how often the bank moved an amount for a conversation.
    """
    verdict = Verdict(sum(entry["what"] == "fault" for entry in entries))
    by_customer: dict[str, list[Entry]] = {}
    for entry in entries:
        by_customer.setdefault(entry.get("conversation", ""), []).append(entry)
    due: Counter[tuple[str, int]] = Counter()
    known: set[str] = set()
    for customer in customers:
        key = customer.conversation_id
        known.add(key)
        turns = _judge_turns(customer, by_customer.get(key, ()), histories.get(key, ()), verdict)
        lines = {line.message_id: line for line in customer.lines}
        expected = [reply for turn in turns for reply in lines[turn].replies]
        later = [reply for turn in turns for reply in lines[turn].later]
        said = [event.get("text") or "" for event in histories.get(key, ()) if event["event"] == "bot"]
        _compare(expected, said, f"{key}: in the history", verdict, later)
        if customer.channel == "rest":
            _judge_answers(customer, by_customer.get(key, ()), turns, verdict)
        else:
            _compare(expected, visible(by_customer.get(key, ())), f"{key}: on the platform", verdict, later)
        due.update((key, amount) for turn in turns if (amount := lines[turn].amount) is not None)
    for (key, amount), times in moved.items():
        if key in known and times > due[key, amount]:
            verdict.twice.append(f"{key}: {amount} moved {times} times and was asked for {due[key, amount]} times")
    for (key, amount), times in due.items():
        if moved.get((key, amount), 0) < times:
            verdict.lost.append(f"{key}: {amount} did not move")
    return verdict


def _judge_turns(
    customer: Customer, entries: Sequence[Entry], history: Sequence[Mapping[str, Any]], verdict: Verdict
) -> list[str]:
    """The message ids in the order of their turns, each once."""
    key = customer.conversation_id
    heard = [message for event in history for message in _heard(event)]
    script = {line.message_id for line in customer.lines}
    acknowledged: dict[str, int] = {}
    sent: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if entry["what"] == "sent":
            sent.setdefault(entry["message"], place)
        elif entry["what"] == "acknowledged":
            acknowledged.setdefault(entry["message"], place)
    for message, times in Counter(heard).items():
        if message not in script:
            verdict.twice.append(f"{key}: a turn of '{message}', which nobody sent")
        elif times > 1:
            verdict.twice.append(f"{key}: {times} turns of {message}")
    verdict.lost += [f"{key}: no turn of {message}" for message in acknowledged if message not in heard]
    turns = [message for message in dict.fromkeys(heard) if message in script]
    # Whatever was sent after another had been acknowledged comes after it.
    for place, message in enumerate(turns):
        before = [
            other
            for other in turns[place + 1 :]
            if other in acknowledged and acknowledged[other] < sent.get(message, -1)
        ]
        if before:
            verdict.out_of_order.append(f"{key}: the turn of {message} came before that of {before[0]}")
    return turns


def _heard(event: Mapping[str, Any]) -> list[str]:
    """The ids of the messages that a turn is about: several, where they were typed in a row."""
    metadata = event.get("metadata") or {}
    if event["event"] != "user" or metadata.get("is_external"):
        return []
    together = [message["message_id"] for message in metadata.get("messages", ())]
    return together or [event.get("message_id") or ""]


def visible(entries: Iterable[Entry]) -> list[str]:
    """What the customer sees: what the platform took, once for each idempotency key."""
    first: dict[str, str] = {}
    for entry in entries:
        if _was_taken(entry):
            first.setdefault(entry["key"], entry["text"])
    return list(first.values())


def repeated(entries: Iterable[Entry]) -> int:
    """How many replies came to the platform again, with the key that it knew."""
    keys = [entry["key"] for entry in entries if _was_taken(entry)]
    return len(keys) - len(set(keys))


def _was_taken(entry: Entry) -> bool:
    return bool(entry["what"] == "received" and entry["taken"])


def _judge_answers(customer: Customer, entries: Sequence[Entry], turns: Sequence[str], verdict: Verdict) -> None:
    """A caller who waits for the answer has the same one whenever they ask again."""
    answers: dict[str, list[list[str]]] = {}
    for entry in entries:
        if entry["what"] == "answered":
            answers.setdefault(entry["message"], []).append(entry["replies"])
    for line in customer.lines:
        place = f"{customer.conversation_id}: in the answer to {line.message_id}"
        if line.message_id in turns and line.message_id not in answers:
            verdict.lost.append(f"{customer.conversation_id}: no answer to {line.message_id}")
        for answer in answers.get(line.message_id, ()):
            _compare(line.replies, answer, place, verdict)


def _compare(
    expected: Sequence[str], found: Sequence[str], place: str, verdict: Verdict, later: Sequence[str] = ()
) -> None:
    """`expected` in this order, and `later` once each, wherever it comes."""
    wanted, heard = Counter([*expected, *later]), Counter(found)
    verdict.lost += [f"{place}, '{text}' is missing" for text in (wanted - heard).elements()]
    verdict.twice += [f"{place}, '{text}' is too much" for text in (heard - wanted).elements()]
    both = [text for text in dict.fromkeys(found) if text in expected]
    if both != [text for text in dict.fromkeys(expected) if text in found]:
        verdict.out_of_order.append(f"{place}, the replies are in another order: {both}")
