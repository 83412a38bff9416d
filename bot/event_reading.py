"""Events that others wrote (an action server, an API caller, a tracker of Rasa's): read, and every type checked.

What passes here can be applied, stored and shown; `event_from_json` takes only what we wrote ourselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bot.errors import DataError
from bot.events import Event, event_from_json, seconds
from bot.payloads import DEEPEST_JSON, is_shallow

_Check = Callable[[Any], str | None]
"""What a value should have been, None when it is that."""


def read_event(data: Any, *, keep_unknown: bool = False) -> Event:
    """The event. `DataError` says what is wrong with it, and quotes no value: that may be a customer's.

    An event of an unknown kind is `UnknownName`; or, if those are kept and it has a time, an `UnknownEvent`.
    """
    if not isinstance(data, Mapping):
        raise DataError(f"an event must be an object, not {kind_of(data)}")
    kind = data.get("event")
    if not isinstance(kind, str):
        raise DataError("an event needs its kind as 'event'")
    for name, check in {**_ALL, **_FIELDS.get(kind, {})}.items():
        expected = check(data.get(name))
        if expected:
            raise DataError(f"'{name}' of the event '{kind}' must be {expected}")
    if not is_shallow(dict(data), DEEPEST_JSON + 5):
        raise DataError(f"the event '{kind}' is nested deeper than {DEEPEST_JSON} levels")
    return event_from_json({name: one for name, one in data.items() if one is not None}, keep_unknown=keep_unknown)


def kind_of(value: Any) -> str:
    """What a value is, without a word of it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


# ---- what the fields of an event may be ----------------------------------------------------------


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, str) else f"a text, not {kind_of(value)}"


def _flag(value: Any) -> str | None:
    return None if value is None or isinstance(value, bool) else f"true or false, not {kind_of(value)}"


def _number(value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return None if value is None or is_number else f"a number, not {kind_of(value)}"


def _count(value: Any) -> str | None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return None if value is None or is_count else f"a whole number, not {kind_of(value)}"


def _object(**fields: _Check) -> _Check:
    def check(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return f"an object, not {kind_of(value)}"
        for name, inner in fields.items():
            expected = inner(value.get(name))
            if expected:
                return f"an object whose '{name}' is {expected}"
        return None

    return check


def _list_of(one: _Check) -> _Check:
    def check(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            return f"a list, not {kind_of(value)}"
        wrong = next((expected for item in value if (expected := one(item) or _missing(item))), None)
        return f"a list in which each is {wrong}" if wrong else None

    return check


def _missing(value: Any) -> str | None:
    return "an object, not nothing" if value is None else None


def _entity(value: Any) -> str | None:
    return _object(role=_text, group=_text, extractor=_text)(value) or (
        None if isinstance((value or {}).get("entity"), str) else "an object with an 'entity'"
    )


_ANY_OBJECT = _object()
_ENTITIES = _list_of(_entity)
_INTENT = _object(name=_text, confidence=_number)
_CHOSEN = _object(response=_object(intent_response_key=_text))


def _selector(value: Any) -> str | None:
    if value is None or not isinstance(value, Mapping):
        return _ANY_OBJECT(value)
    inner = (one for name, one in value.items() if name != "all_retrieval_intents")
    return next((expected for one in inner if (expected := _CHOSEN(one))), None)


_PARSE = _object(
    intent=_INTENT,
    entities=_ENTITIES,
    intent_ranking=_list_of(_INTENT),
    response_selector=_selector,
    text=_text,
    language=_text,
)
_MESSAGE = _object(
    buttons=_list_of(_ANY_OBJECT),
    quick_replies=_list_of(_ANY_OBJECT),
    elements=_list_of(_ANY_OBJECT),
    custom=_ANY_OBJECT,
    image=_text,
)


def _reminded(value: Any) -> str | None:
    """The entities of a reminder: as in a message, or values by name."""
    return None if isinstance(value, Mapping) else _ENTITIES(value)


def _time(value: Any) -> str | None:
    try:
        seconds(value)
    except (DataError, TypeError):
        return "a time as ISO 8601 writes it"
    return None


_ALL: Mapping[str, _Check] = {"timestamp": _number, "metadata": _ANY_OBJECT}
_FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "user": {"text": _text, "parse_data": _PARSE, "input_channel": _text, "message_id": _text},
    "bot": {"text": _text, "data": _MESSAGE},
    "action": {
        "name": _text,
        "policy": _text,
        "confidence": _number,
        "action_text": _text,
        "hide_rule_turn": _flag,
    },
    "slot": {"name": _text},
    "entities": {"entities": _ENTITIES},
    "active_loop": {"name": _text},
    "form": {"name": _text},
    "loop_interrupted": {"is_interrupted": _flag},
    "form_validation": {"validate": _flag},
    "action_execution_rejected": {"name": _text, "policy": _text, "confidence": _number},
    "reminder": {"intent": _text, "date_time": _time, "entities": _reminded, "name": _text, "kill_on_user_msg": _flag},
    "cancel_reminder": {"name": _text, "intent": _text, "entities": _reminded},
    "followup": {"name": _text},
    "export": {"path": _text},
    "agent": {"text": _text, "data": _ANY_OBJECT},
    "identity": {"change": _text, "data": _object(since=_count, trust=_count)},
    "user_featurization": {"use_text_for_featurization": _flag},
}
