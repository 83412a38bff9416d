"""What a custom action gives back, here or on an action server, as ours: events and messages, each checked.

An action is somebody else's code: what passes here can be applied, stored and sent; the rest is an `ActionError`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.domain import REQUESTED_SLOT, Domain, is_loop
from bot.errors import ActionError, ConfigError, DataError
from bot.event_reading import kind_of, read_event
from bot.events import ActiveLoopChanged, Event, SlotSet
from bot.payloads import DEEPEST_JSON, is_shallow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action did, and what it wants to say (the arguments of `Dispatcher.utter_message`)."""

    events: list[Event] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)


def read_events(returned: Any, name: str, domain: Domain) -> list[Event]:
    """What an action returned as our events: None, or a list of ours and of Rasa's dictionaries."""
    if returned is None:
        return []
    if not isinstance(returned, list | tuple):
        raise ActionError(f"action '{name}' must return a list of events, not {kind_of(returned)}")
    events = [_event(item, name) for item in returned]
    for event in events:
        match event:
            case SlotSet(name="requested_slot", value=value) if not isinstance(value, str | None):
                raise ActionError(f"action '{name}' set '{REQUESTED_SLOT}' to {kind_of(value)}: it takes a slot's name")
            case SlotSet(name=slot) if slot not in domain.slots and slot != REQUESTED_SLOT:
                log.warning("action '%s' set the slot '%s', which the domain does not have: ignored", name, slot)
            case ActiveLoopChanged(name=str(loop)) if not is_loop(loop, domain):
                raise ActionError(f"action '{name}' started the form '{loop}', which the domain does not have")
    return events


def _event(item: Any, name: str) -> Event:
    if isinstance(item, Event):
        return item
    try:
        return read_event(item)
    except (DataError, ConfigError) as error:
        raise ActionError(f"action '{name}' returned something that is no event: {error}") from error
    except (TypeError, ValueError) as error:
        # Python's own words may quote the value, and that a customer.
        raise ActionError(f"action '{name}' returned something that is no event: {type(error).__name__}") from error


def read_messages(said: Sequence[Any], name: str) -> list[dict[str, Any]]:
    """What an action said. A number for a text is one; what no channel could send is an `ActionError`."""
    try:
        return [read_message(one) for one in said]
    except DataError as error:
        raise ActionError(f"action '{name}' said something that is no message: {error}") from error


def read_message(message: Any) -> dict[str, Any]:
    """The same for one message; `DataError` says what is wrong with it, and quotes nothing."""
    if not isinstance(message, Mapping):
        raise DataError(f"a message must be an object, not {kind_of(message)}")
    out = dict(message)
    for key in ("text", "image", "response", "template"):
        if isinstance(out.get(key), int | float):
            out[key] = str(out[key])
        _check(isinstance(out.get(key), str | None), out, key, "a text")
    for key in ("buttons", "quick_replies", "elements"):
        items = out.get(key)
        is_list = items is None or (isinstance(items, list | tuple) and all(isinstance(one, Mapping) for one in items))
        _check(is_list, out, key, "a list of objects")
    _check(isinstance(out.get("custom"), Mapping | None), out, "custom", "an object")
    if not is_shallow(out, DEEPEST_JSON + 5):
        raise DataError(f"it is nested deeper than {DEEPEST_JSON} levels")
    return out


def _check(fits: bool, message: Mapping[str, Any], key: str, expected: str) -> None:
    if not fits:
        raise DataError(f"'{key}' must be {expected}, not {kind_of(message[key])}")
