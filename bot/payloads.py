"""A payload is an intent said without words: `/transfer{"amount": 5}`, from a button or an API caller.

Source: https://rasa.com/docs/rasa/responses#buttons
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from bot.domain import DEFAULT_INTENTS, Domain
from bot.messages import Entity, Intent, Parse

DEEPEST_JSON = 20
"""Levels. What is read must be written again, inside an event, by an encoder that has a limit of its own."""

_PAYLOAD = re.compile(r"/(?P<intent>[^{@]+)(?P<confidence>@[0-9.]+)?(?P<entities>{.+})?", re.DOTALL)


def read_payload(payload: str, domain: Domain) -> Parse | None:
    """The parse that a payload stands for; None when it is none, or its intent is unknown.

    As in Rasa, what follows the intent and cannot be read is passed over, and so are unknown entities.
    """
    match = _PAYLOAD.match(payload)
    if match is None:
        return None
    name = match["intent"].strip()
    if name.split("/")[0] not in domain.intents and name not in DEFAULT_INTENTS:
        return None
    given = _object(match["entities"] or "{}")
    entities = [
        Entity(entity, one, start=match.start("entities"), end=match.end("entities"), extractor="RegexMessageHandler")
        for entity, value in given.items()
        if entity in domain.entities
        for one in (value if isinstance(value, list) else [value])
    ]
    confidence = _number((match["confidence"] or "@1")[1:])
    intent = Intent(name.split("/")[0], min(confidence, 1.0))
    parse = Parse(text=payload, intent=intent, intent_ranking=[intent], entities=entities)
    if "/" in name:
        chosen: dict[str, Any] = {
            "response": {"intent_response_key": name, "utter_action": f"utter_{name}", "confidence": 1.0}
        }
        base = name.split("/")[0]
        parse.response_selector = {"all_retrieval_intents": [base], base: chosen}
    return parse


def _object(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and is_shallow(found) else {}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def is_shallow(value: Any, levels: int = DEEPEST_JSON) -> bool:
    """Whether a JSON value is nested no deeper than so many levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return True
    return levels > 0 and all(is_shallow(one, levels - 1) for one in value)
