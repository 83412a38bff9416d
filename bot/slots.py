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
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return {1: True, 0: False}.get(int(value)) if value in (0, 1) else None
    return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(
        str(value).strip().lower()
    )


def _bool(spec: SlotSpec, value: Any) -> Features:
    known = _as_bool(value) if value is not None else None
    return (0.0, 0.0) if known is None else (1.0, float(known))


def _categorical(spec: SlotSpec, value: Any) -> Features:
    names = [str(one).lower() for one in spec.values]
    hot = [0.0] * len(names)
    if value is not None:
        key = str(value).lower()
        if key in names:
            hot[names.index(key)] = 1.0
        elif DEFAULT_CATEGORY in names:
            hot[names.index(DEFAULT_CATEGORY)] = 1.0
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


def featurize(spec: SlotSpec, value: Any) -> Features:
    """The slot as the policies see it; empty when it does not influence the conversation."""
    if not spec.influence_conversation:
        return ()
    return _FEATURIZE.get(spec.type, _text)(spec, value)
