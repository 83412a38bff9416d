"""A turn as both engines tell it, and in what two turns differ.

Both write events in Rasa's JSON, so one reader serves both. Imported by Rasa's Python 3.10 as well (the recorder
of tests/conformance): nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LISTEN = "action_listen"
NOT_COMPARED = ("session_started_metadata",)
"""Slots of the engine's own."""


@dataclass(frozen=True)
class Did:
    """An action that ran: `policy` chose it, with this confidence."""

    name: str
    policy: str
    confidence: float


@dataclass(frozen=True)
class Turn:
    """What a message brought. `failure` says why a turn came to nothing, where an engine lost it."""

    said: str
    seconds: float
    intent: str | None
    confidence: float
    entities: tuple[str, ...]
    decisions: tuple[Did, ...]
    replies: tuple[dict[str, Any], ...]
    slots: Mapping[str, Any]
    active_loop: str | None
    events: tuple[Mapping[str, Any], ...]
    failure: str = ""

    @property
    def actions(self) -> tuple[Did, ...]:
        """The decisions but to listen."""
        return tuple(did for did in self.decisions if did.name != LISTEN)

    @property
    def understood(self) -> tuple[str | None, tuple[str, ...]]:
        return self.intent, self.entities

    @property
    def parse_data(self) -> Mapping[str, Any]:
        return next((event.get("parse_data") or {} for event in self.events if event["event"] == "user"), {})


def read_turn(data: Mapping[str, Any]) -> Turn:
    """From `{"said", "seconds", "events", "slots", "active_loop"}` (see `in_rasa.py`)."""
    events = tuple(data["events"])
    parse = next((event.get("parse_data") or {} for event in events if event["event"] == "user"), {})
    intent = parse.get("intent") or {}
    return Turn(
        said=data["said"],
        seconds=data["seconds"],
        intent=_full_intent(parse),
        confidence=intent.get("confidence") or 0.0,
        entities=tuple(sorted(_entity(entity) for entity in parse.get("entities") or [])),
        decisions=tuple(_decisions(events)),
        replies=tuple(_reply(event) for event in events if event["event"] == "bot"),
        slots={name: value for name, value in data["slots"].items() if value is not None and name not in NOT_COMPARED},
        active_loop=data["active_loop"],
        events=events,
        failure=data.get("failure", ""),
    )


def _full_intent(parse: Mapping[str, Any]) -> str | None:
    """`faq/ask_name` where a retrieval intent's answer was selected."""
    name: str | None = (parse.get("intent") or {}).get("name")
    selector = parse.get("response_selector") or {}
    if name not in (selector.get("all_retrieval_intents") or ()):
        return name
    chosen = selector.get(name) or selector.get("default") or {}
    key: str | None = (chosen.get("response") or {}).get("intent_response_key")
    return key or name


def _entity(entity: Mapping[str, Any]) -> str:
    more = "".join(f", {key} {entity[key]}" for key in ("role", "group") if entity.get(key))
    return f"{entity.get('entity')}={entity.get('value')!r}{more}"


def _decisions(events: Sequence[Mapping[str, Any]]) -> list[Did]:
    found = []
    for event in events:
        name = event.get("name") or event.get("action_text")
        if event["event"] == "action" and name:
            found.append(Did(name, event.get("policy") or "", event.get("confidence") or 0.0))
    return found


def _reply(event: Mapping[str, Any]) -> dict[str, Any]:
    """What is said; `utter_action` is the response that says it."""
    told = normalised(event)
    return {key: value for key, value in (("text", told.get("text")), *told.get("data", {}).items()) if value} | {
        "utter_action": told.get("utter_action")
    }


def normalised(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without what must differ: times, ids, confidences, and Rasa's bookkeeping in metadata."""
    kept = {
        key: value for key, value in event.items() if key not in ("timestamp", "metadata", "message_id", "confidence")
    }
    if not kept.get("hide_rule_turn"):
        kept.pop("hide_rule_turn", None)
    if event["event"] == "user":
        kept["parse_data"] = _parse(event.get("parse_data") or {})
    if event["event"] == "bot":
        kept["data"] = {key: value for key, value in (event.get("data") or {}).items() if value}
        kept["utter_action"] = (event.get("metadata") or {}).get("utter_action")
    if event["event"] == "cancel_reminder":
        return {"event": "cancel_reminder"}  # Rasa writes no more (see docs/rasa-differences.md)
    return {key: value for key, value in kept.items() if value not in (None, {}, []) or key in ("value", "name")}


def _parse(parse: Mapping[str, Any]) -> dict[str, Any]:
    entities = [
        {key: entity.get(key) for key in ("entity", "value", "role", "group") if entity.get(key) is not None}
        for entity in parse.get("entities") or []
    ]
    return {"intent": (parse.get("intent") or {}).get("name"), "entities": entities}


# ---- two turns beside each other ----


def differences(ours: Turn, theirs: Turn, drawn: Sequence[str] = ()) -> list[str]:
    """Sentences on what differs but the understanding; none where the turns agree.

    `drawn` are responses with several variations: which one is said is chance in both engines.
    """
    found = []
    here, there = ([did.name for did in turn.actions] for turn in (ours, theirs))
    if here != there:
        found.append(f"actions: {_listed(here)} here, {_listed(there)} in Rasa")
    if ours.active_loop != theirs.active_loop:
        found.append(f"active loop: {ours.active_loop or 'none'} here, {theirs.active_loop or 'none'} in Rasa")
    for name in sorted({*ours.slots, *theirs.slots}):
        mine, other = ours.slots.get(name), theirs.slots.get(name)
        if mine != other:
            found.append(f"slot '{name}': {mine!r} here, {other!r} in Rasa")
    if [_drawn(reply, drawn) for reply in ours.replies] != [_drawn(reply, drawn) for reply in theirs.replies]:
        found.append(f"replies: {_replies(ours)} here, {_replies(theirs)} in Rasa")
    return found


def _drawn(reply: Mapping[str, Any], drawn: Sequence[str]) -> Mapping[str, Any]:
    return {"utter_action": reply["utter_action"]} if reply["utter_action"] in drawn else reply


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _replies(turn: Turn) -> str:
    said = (str(reply.get("text") or reply.get("utter_action") or "something without text") for reply in turn.replies)
    return " / ".join(said) or "none"


def first_difference(ours: Turn, theirs: Turn) -> tuple[Did, Did] | None:
    """The first decisions that are not the same; None where they all are."""
    return next(
        (
            (mine, other)
            for mine, other in zip(ours.decisions, theirs.decisions, strict=False)
            if mine.name != other.name
        ),
        None,
    )
