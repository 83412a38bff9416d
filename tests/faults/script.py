"""What the customers of the fault suite say, and what they must hear: from a seed, always the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Manner = Literal["patient", "quick", "burst"]
"""Waits for the answers; sends the next when the last was acknowledged; sends all at once."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message, the replies it must have, the custom actions of its turn, and the amount that it moves.

    `later` are replies that come when a reminder is due, between any others.

    No two lines of a run have a reply in common, so that each can be told from every other.
    """

    message_id: str
    text: str
    replies: tuple[str, ...]
    actions: tuple[str, ...]
    amount: int | None = None
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Customer:
    """`channel` is hook, row (where what is typed in a row is one turn) or rest."""

    name: str
    channel: str
    manner: Manner
    lines: tuple[Line, ...]

    @property
    def conversation_id(self) -> str:
        return f"{self.channel}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "conversation_id": self.conversation_id}


def customers(seed: int, act: int, count: int, *, length: int) -> list[Customer]:
    """`count` customers of the act (a number), each with `length` messages, or up to two more."""
    draw = random.Random(f"customers {seed} {act}")
    return [_customer(draw, act, number, length) for number in range(count)]


def _customer(draw: random.Random, act: int, number: int, length: int) -> Customer:
    manner: Manner = draw.choice(("patient", "patient", "quick", "burst"))
    channel = draw.choice(_CHANNELS[manner])
    first = act * 100_000 + number * 100 + 1
    kinds = _KINDS["row" if channel == "row" else manner]
    lines = _lines(draw, f"c{act}-{number}", first, length, kinds)
    return Customer(f"c{act}-{number}", channel, manner, tuple(lines))


_CHANNELS: dict[Manner, tuple[str, ...]] = {"patient": ("hook", "rest"), "quick": ("hook", "row"), "burst": ("hook",)}
_KINDS = {
    "patient": ("ping", "think", "transfer", "transfer"),
    "quick": ("ping", "think", "transfer", "transfer"),
    # What is asked in a form depends on the order, which a burst leaves open; a reminder would interrupt it.
    "burst": ("ping", "ping", "remind"),
    # Several of these may be one turn.
    "row": ("ping", "pay"),
}


def _lines(draw: random.Random, name: str, first: int, count: int, kinds: Sequence[str]) -> Iterator[Line]:
    n = first
    while n < first + count:
        kind = draw.choice(kinds)
        match kind:
            case "ping":
                pongs = (f"pong {n}, one of two", f"pong {n}, two of two")
                yield Line(f"{name}-{n}", f"ping {n}", pongs, ("action_pong",))
                n += 1
            case "pay":
                yield Line(f"{name}-{n}", f"pay {n}", (f"paid {n}",), ("action_pong",), amount=n)
                n += 1
            case "think":
                yield Line(f"{name}-{n}", f"think {n}", (f"thought about {n}",), ("action_think",))
                n += 1
            case "remind":
                said, later = (f"shall remind you of {n}",), (f"remember {n}",)
                yield Line(f"{name}-{n}", f"remind {n}", said, ("action_remind",), later=later)
                n += 1
            case "transfer":
                amount, payee = n + 1, n + 2
                yield Line(f"{name}-{n}", f"transfer {n}", (f"how much, for {n}?",), ("action_ask_amount",))
                asked = (f"to whom do {amount} go?",)
                yield Line(f"{name}-{amount}", f"amount {amount}", asked, ("action_ask_payee",))
                done = (f"{amount} went to {payee}", f"receipt for {amount}")
                yield Line(f"{name}-{payee}", f"payee {payee}", done, ("action_transfer", "action_receipt"), amount)
                n += 3
