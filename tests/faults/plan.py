"""Which faults strike where: from a seed, every kind of point as often as every other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sabotage import warrant
from script import Customer, Line

KILL = "kill"
DEEDS: dict[str, dict[str, int]] = {
    "sqlite": {KILL: 8, "disk full": 1, "pause": 1},
    "redis": {
        KILL: 21,
        "pause": 4,
        "server killed": 2,
        "server stopped": 1,
        "supervisor killed": 1,
        "cut": 1,
        "black hole": 1,
        "deaf": 2,
        "slow": 1,
        "disk full": 1,
        "memory full": 1,
    },
    "postgresql": {
        KILL: 14,
        "pause": 2,
        "server killed": 2,
        "server stopped": 1,
        "supervisor killed": 1,
        "cut": 1,
        "black hole": 1,
        "deaf": 2,
        "slow": 1,
    },
    "sentinel": {KILL: 5, "failover": 2, "master killed": 2, "master cut": 1},
}
"""What may happen, by store, and how often beside each other."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`deed` happens when a process passes `point` with this message (or with this reply to it)."""

    point: str
    deed: str
    conversation_id: str
    message_id: str
    warrant: str
    turn: int
    """The number of the message among the customer's."""
    times: int = 1
    """How often it strikes: a message that kills three times is poison."""


def points(customer: Customer, line: Line) -> Iterator[tuple[str, str | None]]:
    """All points that the message passes, in order, each with the detail by which it is known there."""
    message = line.message_id
    for moment in ("before", "during", "after"):
        yield f"inbox.{moment}", message
    if customer.channel == "hook" and customer.manner == "patient":
        # Only there it is sure whose turn is next.
        yield "lease.before", None
    if customer.channel != "row" or line is customer.lines[0]:
        # What is typed in a row is known by the first of it.
        yield from _points_of_turn(line)
    for reply in (*line.replies, *line.later) if customer.channel != "rest" else ():
        yield "delivery.before", reply
        yield "delivery.after", reply
        for moment in ("before", "during", "after"):
            yield f"strike.{moment}", reply


def _points_of_turn(line: Line) -> Iterator[tuple[str, str | None]]:
    message = line.message_id
    yield "turn.begun", message
    yield "understanding.before", message
    yield "understanding.after", message
    for action in ("action_extract_slots", *line.actions):
        yield "action.before", f"{action} {message}"
        if action == "action_transfer":
            yield "effect.before", message
            yield "effect.after", message
        yield "action.after", f"{action} {message}"
    for moment in ("before", "during", "after"):
        yield f"commit.{moment}", message
    if line.later:
        yield "reminder.before", line.text.rpartition(" ")[2]


def faults(seed: int, act: int, store: str, customers: Sequence[Customer], count: int) -> list[Fault]:
    """At most one for each message, in the order in which the messages can come."""
    draw = random.Random(f"faults {seed} {act}")
    places: dict[str, list[tuple[Customer, int, str | None]]] = {}
    for customer in customers:
        for turn, line in enumerate(customer.lines):
            for point, detail in points(customer, line):
                places.setdefault(point, []).append((customer, turn, detail))
    kinds: list[str] = []
    taken: set[str] = set()
    found: list[Fault] = []
    deeds = DEEDS[store]
    while len(found) < count and places and deeds:
        if not kinds:
            kinds = sorted(places)
            draw.shuffle(kinds)
        point = kinds.pop()
        free = [place for place in places.get(point, ()) if place[0].lines[place[1]].message_id not in taken]
        if not free:
            places.pop(point, None)
            continue
        customer, turn, detail = draw.choice(free)
        message = customer.lines[turn].message_id
        taken.add(message)
        deed = draw.choices(list(deeds), weights=list(deeds.values()))[0]
        key = customer.conversation_id
        found.append(Fault(point, deed, key, message, warrant(point, key, detail), turn))
    return sorted(found, key=lambda fault: fault.turn)
