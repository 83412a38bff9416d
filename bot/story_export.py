"""A conversation as a test story: the YAML that `frontdesk test` and `rasa test` read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered

_UNTOLD = ("action_listen", "action_unlikely_intent", "action_session_start")


class _Literal(str):
    """A text that is written as a block (`|-`)."""


yaml.add_representer(
    _Literal,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|"),
    yaml.SafeDumper,
)


def sessions(events: Iterable[Event]) -> list[list[Event]]:
    """The events of each session; one at least, though it may be empty."""
    found: list[list[Event]] = [[]]
    for event in events:
        if isinstance(event, ActionExecuted) and event.name == "action_session_start" and found[-1]:
            found.append([])
        found[-1].append(event)
    return found


def as_test_stories(name: str, stories: Sequence[Sequence[Event]]) -> str:
    """A file of test stories. Several are numbered after the `name`."""
    told = [
        {"story": name if len(stories) == 1 else f"{name}, story {number}", "steps": [*_steps(events)]}
        for number, events in enumerate(stories, 1)
    ]
    text = yaml.safe_dump({"stories": told}, sort_keys=False, allow_unicode=True, width=2**20)
    return f'version: "3.1"\n{text if told else ""}'


def _steps(events: Iterable[Event]) -> Iterable[dict[str, Any]]:
    for event in events:
        match event:
            case UserUttered():
                yield _user_step(event)
            case ActionExecuted(name=None, action_text=str(text)):
                yield {"bot": text}
            case ActionExecuted(name=str(name)) if name not in _UNTOLD:
                yield {"action": name}
            case SlotSet(name=name, value=value):
                yield {"slot_was_set": [{name: value}]}
            case ActiveLoopChanged(name=name):
                yield {"active_loop": name}
            case _:
                pass


def _user_step(event: UserUttered) -> dict[str, Any]:
    step: dict[str, Any] = {}
    if event.full_intent_name:
        step["intent"] = event.full_intent_name
    if event.text:
        step["user"] = _Literal(annotated(event.text, event.entities))
    return step


def annotated(text: str, entities: Iterable[Mapping[str, Any]]) -> str:
    """The text with its entities marked, as in `I want [chai]{"entity": "drink", "value": "tea"}`."""
    if text.startswith("/"):
        return text
    places: dict[int, list[Mapping[str, Any]]] = {}
    for entity in entities:
        if isinstance(entity.get("start"), int) and isinstance(entity.get("end"), int):
            places.setdefault(entity["start"], []).append(entity)
    out, position = "", 0
    for start, found in sorted(places.items()):
        end = found[0]["end"]
        if position <= start < end <= len(text):
            out += text[position:start] + _marked(text[start:end], found)
            position = end
    return out + text[position:]


def _marked(text: str, entities: Sequence[Mapping[str, Any]]) -> str:
    if len(entities) == 1:
        return f"[{text}]{_attributes(text, entities[0], short=True)}"
    return f"[{text}][{', '.join(_attributes(text, entity, short=False) for entity in entities)}]"


def _attributes(text: str, entity: Mapping[str, Any], *, short: bool) -> str:
    kept = {"entity": entity["entity"]}
    kept.update((key, entity[key]) for key in ("role", "group") if entity.get(key) is not None)
    value = entity.get("value")
    if value not in (None, text):
        kept["value"] = str(value)
    return f"({kept['entity']})" if short and len(kept) == 1 else json.dumps(kept, ensure_ascii=False)
