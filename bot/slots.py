"""Slot types: what a value looks like to the policies. Types and features are Rasa's.

Source: https://rasa.com/docs/rasa/domain/#slot-types
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.domain import SlotSpec

Features = tuple[float, ...]

DEFAULT_CATEGORY = "__other__"


def _text(spec: SlotSpec, value: Any) -> Features:
    return (1.0,) if value is not None else (0.0,)


def _as_bool(value: Any) -> bool | None:
    """One and "1" are true, other numbers are false, other words are neither."""
    if isinstance(value, int | float):
        return value == 1
    if not isinstance(value, str):
        return None
    if value.isnumeric():
        return float(value) == 1
    return {"true": True, "false": False}.get(value.strip().lower())


def _bool(spec: SlotSpec, value: Any) -> Features:
    known = _as_bool(value) if value is not None else None
    return (0.0, 0.0) if known is None else (1.0, float(known))


def _categorical(spec: SlotSpec, value: Any) -> Features:
    names = [str(one).lower() for one in spec.values if one is not None]
    if DEFAULT_CATEGORY not in names:
        names.append(DEFAULT_CATEGORY)
    hot = [0.0] * len(names)
    if value is not None:
        key = str(value).lower()
        hot[names.index(key if key in names else DEFAULT_CATEGORY)] = 1.0
    return tuple(hot)


def _float(spec: SlotSpec, value: Any) -> Features:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return (0.0, 0.0)
    span = spec.max_value - spec.min_value
    capped = min(max(number, spec.min_value), spec.max_value)
    return (1.0, (capped - spec.min_value) / span if span else 0.0)


def _list(spec: SlotSpec, value: Any) -> Features:
    return (1.0,) if value else (0.0,)


def _any(spec: SlotSpec, value: Any) -> Features:
    return ()


_FEATURIZE: dict[str, Callable[[SlotSpec, Any], Features]] = {
    "text": _text,
    "bool": _bool,
    "categorical": _categorical,
    "float": _float,
    "list": _list,
    "any": _any,
}
SLOT_TYPES = tuple(_FEATURIZE)


def stored(spec: SlotSpec, value: Any) -> Any:
    """The value as the slot keeps it: a list slot makes a list of whatever is none."""
    return [value] if spec.type == "list" and value and not isinstance(value, list) else value


def featurize(spec: SlotSpec, value: Any) -> Features:
    """The slot as the policies see it; empty when it does not influence the conversation."""
    if not spec.influence_conversation:
        return ()
    return _FEATURIZE.get(spec.type, _text)(spec, value)
