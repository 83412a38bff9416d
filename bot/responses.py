"""From a response's name to a message: conditions, channel, language, variation, variables.

Order as in Rasa: variations for the channel come before general ones, those whose condition holds before
unconditional ones; among what is left one is drawn at random.
Source: https://rasa.com/docs/rasa/responses
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain import Domain, Response, SlotCondition
from bot.messages import BotMessage
from bot.tracker import Tracker

_BRACES = re.compile(r"{{|}}|{([^\n{}]+?)}|[{}]")
_DOUBLED = re.compile(r"(?<!{){{[^\n{}]+?}}(?!})")


def choose(
    variations: Sequence[Response], slots: Mapping[str, Any], channel: str | None, draw: random.Random
) -> Response | None:
    """One of the variations that fit, or None."""
    fitting = [r for r in variations if all(_holds(c, slots) for c in r.conditions)]
    for own_channel in (True, False):
        for conditional in (True, False):
            candidates = [
                r
                for r in fitting
                if bool(r.conditions) is conditional and (r.channel == channel if own_channel else r.channel is None)
            ]
            if candidates:
                return draw.choice(candidates)
    return None


def _holds(condition: SlotCondition, slots: Mapping[str, Any]) -> bool:
    value = slots.get(condition.slot)
    if isinstance(value, str) and isinstance(condition.value, str):
        return value.casefold() == condition.value.casefold()
    return bool(value == condition.value)


def render(
    name: str, domain: Domain, tracker: Tracker, draw: random.Random, values: Mapping[str, Any] | None = None
) -> BotMessage | None:
    """The domain's response `name` for this conversation, None when there is none that fits.

    `values` fill its `{variables}` before the slots do. In the customer's language where the response
    has a `translation`, else as written.
    """
    response = choose(domain.responses.get(name, ()), tracker.slots, tracker.latest_input_channel, draw)
    if response is None:
        return None
    message = response.translation.get(tracker.language or "", response.message)
    metadata = {**response.metadata, **message.metadata, "utter_action": name}
    return fill(message, {**tracker.slots, **(values or {})}, metadata)


def fill(message: BotMessage, values: Mapping[str, Any], metadata: Mapping[str, Any]) -> BotMessage:
    """The message with its `{variables}` replaced (see `fill_text`); elements are left as they stand."""

    def fill_in(value: Any) -> Any:
        if isinstance(value, str):
            return fill_text(value, values)
        if not value:
            return value
        if isinstance(value, Mapping):
            return {key: fill_in(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(fill_in(one) for one in value)
        return value

    return BotMessage(
        text=fill_in(message.text),
        buttons=fill_in(message.buttons),
        image=fill_in(message.image),
        attachment=fill_in(message.attachment),
        elements=message.elements,
        custom=fill_in(message.custom),
        quick_replies=fill_in(message.quick_replies),
        metadata=metadata,
    )


def fill_text(text: str, values: Mapping[str, Any]) -> str:
    """The text with its `{variables}` replaced; `{{` and `}}` stand for braces of its own.

    As in Rasa, a text is left as it is written when one of its variables is unknown, when braces in it are
    neither doubled nor a variable's, and when it has doubled ones about a name beside a variable.
    """
    if _DOUBLED.search(text):
        values = {}
    out: list[str] = []
    end = 0
    for found in _BRACES.finditer(text):
        out.append(text[end : found.start()])
        end = found.end()
        if found[0] in ("{{", "}}"):
            out.append(found[0][0])
        elif found[1] in values:
            out.append(str(values[found[1]]))
        else:
            return text
    return "".join(out) + text[end:]


def named(data: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The response that a custom action names (as `response` or `template`), and the values for its variables."""
    known = ("text", "image", "custom", "template", "response", "attachment", "buttons", "elements", "quick_replies")
    return data.get("response") or data.get("template"), {k: v for k, v in data.items() if k not in known}


def message_from(data: Mapping[str, Any], base: BotMessage) -> BotMessage | None:
    """What a custom action said (a dictionary of rasa-sdk's dispatcher) as a message; None when that is nothing.

    `base` is the response that it names; buttons given beside it are added, and what else is given counts.
    Keywords of its own are kept as the message's metadata, as in Rasa.
    """
    own = {key: value for key, value in named(data)[1].items() if value}
    message = BotMessage(
        text=data.get("text") or base.text,
        buttons=base.buttons + tuple(data.get("buttons") or ()),
        image=data.get("image") or base.image,
        attachment=data.get("attachment") or base.attachment,
        elements=tuple(data.get("elements") or ()) or base.elements,
        custom=data.get("custom") or base.custom,
        quick_replies=tuple(data.get("quick_replies") or ()) or base.quick_replies,
        metadata={**base.metadata, **own},
    )
    return message if says_something(message) else None


def says_something(message: BotMessage) -> bool:
    """Whether anything of it would reach a customer."""
    seen = (message.text, message.buttons, message.quick_replies, message.image, message.attachment, message.elements)
    return any(seen) or bool(message.custom)
