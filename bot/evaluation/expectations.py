"""What can be expected of a turn: its replies, slots, events, and what its actions called.

Each function takes the latest turn and the value of a step, and says what is otherwise; None when nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.evaluation.services import Call, url_fits
from bot.evaluation.stubs import event_objects
from bot.evaluation.talk import TurnTaken
from bot.events import event_to_json
from bot.messages import EMPTY


@dataclass(slots=True)
class Latest:
    """The latest turn and the calls its actions made, with what of its replies has been checked already.

    `unmatched` is the text after the latest match, `unheard` the number of replies up to the latest one named.
    """

    turn: TurnTaken
    calls: Sequence[Call] = ()
    unmatched: str = ""
    unheard: int = 0


def _bot(latest: Latest, patterns: list[str]) -> str | None:
    """Parts of the replies, or regular expressions, one after the other; nothing more when there are none."""
    if not patterns and latest.unmatched.strip():
        return f"nothing more should be said; there is: {latest.unmatched.strip()}"
    for pattern in patterns:
        end = _end_of(pattern, latest.unmatched)
        if end is None:
            return f"no reply has '{pattern}'; there is: {latest.unmatched.strip() or '(nothing)'}"
        latest.unmatched = latest.unmatched[end:]
    return None


def _not_bot(latest: Latest, patterns: list[str]) -> str | None:
    for pattern in patterns:
        if _end_of(pattern, latest.turn.text) is not None:
            return f"a reply has '{pattern}': {latest.turn.text.strip()}"
    return None


def _end_of(pattern: str, text: str) -> int | None:
    """Where the first match ends: of the words as they stand, else of the regular expression."""
    if pattern in text:
        return text.index(pattern) + len(pattern)
    try:
        match = re.search(pattern, text, re.DOTALL)
    except re.error:
        return None
    return match.end() if match else None


def _says(latest: Latest, text: str) -> str | None:
    """A whole reply, after those that were checked before."""
    said = [(reply.text or "").strip() for reply in latest.turn.replies]
    return _next_of(latest, said, text.strip(), "no reply is")


def _utters(latest: Latest, name: str) -> str | None:
    """A reply from this response, after those that were checked before."""
    return _next_of(latest, _responses(latest), name, "no reply is of")


def _responses(latest: Latest) -> list[str]:
    return [str(reply.metadata.get("utter_action")) for reply in latest.turn.replies]


def _next_of(latest: Latest, replies: list[str], wanted: str, otherwise: str) -> str | None:
    left = replies[latest.unheard :]
    if wanted not in left:
        return f"{otherwise} '{wanted}'; there is: {', '.join(left) or '(nothing)'}"
    latest.unheard += left.index(wanted) + 1
    return None


def _uttered(latest: Latest, name: str) -> str | None:
    """Any reply from this response."""
    names = _responses(latest)
    return None if name in names else f"no reply is of '{name}'; there is: {_list(names)}"


def _not_uttered(latest: Latest, name: str) -> str | None:
    return None if _uttered(latest, name) else f"'{name}' was said"


def _has_text(latest: Latest, patterns: list[str]) -> str | None:
    """Anywhere in the replies."""
    return _bot(Latest(latest.turn, unmatched=latest.turn.text), patterns)


def _buttons(latest: Latest, wanted: list[Any]) -> str | None:
    """Titles, or {title: payload}, of all buttons of the turn in their order."""
    got = [
        {str(button.get("title")): button.get("payload")} if isinstance(want, Mapping) else str(button.get("title"))
        for button, want in zip(latest.turn.buttons, [*wanted, *[""] * len(latest.turn.buttons)], strict=False)
    ]
    return None if got == wanted else f"the buttons are {_list(got)}, not {_list(wanted)}"


def _intent(latest: Latest, name: str) -> str | None:
    got = latest.turn.intent or "nothing"
    is_base = "/" not in name and got.split("/")[0] == name
    return None if got == name or is_base else f"it was understood as '{got}', not as '{name}'"


def _action(latest: Latest, names: list[str]) -> str | None:
    """These ran, in this order, whatever ran between them."""
    ran = latest.turn.actions
    left = iter(ran)
    for name in names:
        if name not in ran:
            return f"'{name}' did not run; these did: {', '.join(ran) or 'none'}"
        if name not in left:
            return f"'{name}' did not run after '{names[names.index(name) - 1]}'; these ran: {', '.join(ran)}"
    return None


def _not_action(latest: Latest, names: list[str]) -> str | None:
    ran = [name for name in names if name in latest.turn.actions]
    return f"'{ran[0]}' ran" if ran else None


def _slot(latest: Latest, expected: Mapping[str, Any]) -> str | None:
    slots = latest.turn.slots
    wrong = [
        f"slot '{name}' is {slots.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if slots.get(name) != value
    ]
    return "; ".join(wrong) or None


def _slot_set(latest: Latest, names: list[str]) -> str | None:
    empty = [name for name in names if latest.turn.slots.get(name) is None]
    return f"slot '{empty[0]}' is not set" if empty else None


def _not_slot(latest: Latest, unexpected: Mapping[str, Any]) -> str | None:
    slots = latest.turn.slots
    wrong = [f"slot '{name}' is {value!r}" for name, value in unexpected.items() if slots.get(name) == value]
    return "; ".join(wrong) or None


def _slot_unset(latest: Latest, names: list[str]) -> str | None:
    wrong = [
        f"slot '{name}' is set: {latest.turn.slots[name]!r}"
        for name in names
        if latest.turn.slots.get(name) is not None
    ]
    return "; ".join(wrong) or None


def _active_loop(latest: Latest, name: str | None) -> str | None:
    got = latest.turn.active_loop
    return None if got == name else f"the active loop is {got or 'none'}, not {name or 'none'}"


def _event(latest: Latest, wanted: Any) -> str | None:
    happened = [event_to_json(event) for event in latest.turn.events]
    for one in event_objects(wanted):
        if not any(_is_in(one, event) for event in happened):
            kind = one.get("event")
            same = [_without_time(event) for event in happened if event["event"] == kind]
            others = ", ".join(dict.fromkeys(event["event"] for event in happened))
            there = "; ".join(map(str, same)) or f"none of this kind, only: {others or 'none'}"
            return f"no event of this turn is {dict(one)}; there is: {there}"
    return None


def _without_time(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("timestamp", "metadata")}


def _is_in(part: Any, whole: Any) -> bool:
    """Whether the whole has everything that the part has, level by level."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(key in whole and _is_in(part[key], whole[key]) for key in part)
    return bool(part == whole)


@dataclass(frozen=True, slots=True)
class Called:
    """A call that must have been made, `times` times where that is given; `json` is part of what was sent."""

    method: str
    url: str
    times: int | None = None
    json: Any = None
    headers: Mapping[str, str] = EMPTY

    def fits(self, call: Call) -> bool:
        return (
            self.method in ("*", call.method)
            and url_fits(self.url, call.url)
            and (self.json is None or _is_in(self.json, call.json))
            and all(call.headers.get(name.lower()) == value for name, value in self.headers.items())
        )

    def __str__(self) -> str:
        return f"{self.method} {self.url}" + (f" with {self.json}" if self.json is not None else "")


def _called(latest: Latest, wanted: Called) -> str | None:
    number = sum(wanted.fits(call) for call in latest.calls)
    if number and wanted.times in (None, number):
        return None
    often = f", not {wanted.times} times" if wanted.times is not None else ""
    made = ", ".join(f"{call} {call.body.decode('utf-8', 'replace')}".strip() for call in latest.calls)
    return f"{wanted} was called {number} times{often}; the calls were: {made or 'none'}"


def _not_called(latest: Latest, unwanted: Called) -> str | None:
    return f"{unwanted} was called" if any(unwanted.fits(call) for call in latest.calls) else None


EXPECTATIONS: Mapping[str, Callable[[Latest, Any], str | None]] = {
    "bot": _bot,
    "not_bot": _not_bot,
    "buttons": _buttons,
    "intent": _intent,
    "action": _action,
    "not_action": _not_action,
    "slot": _slot,
    "not_slot": _not_slot,
    "active_loop": _active_loop,
    "event": _event,
    "called": _called,
    "not_called": _not_called,
    "says": _says,
    "utters": _utters,
    "uttered": _uttered,
    "not_uttered": _not_uttered,
    "has_text": _has_text,
    "slot_set": _slot_set,
    "slot_unset": _slot_unset,
}


def _list(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items)) or "none"
