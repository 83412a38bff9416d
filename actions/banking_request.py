"""What all requests to the banking pack have in common: their slots, amounts, and the buttons that answer."""

from __future__ import annotations

import json
import re
from typing import Any

from bot.events import Event, SlotSet
from bot.tracker import Tracker

from .banking_words import money
from .core_banking import get_bank

FLOW_SLOTS = (
    *("account", "merchant", "period", "category", "payee", "biller", "amount", "source_account", "card", "card_offer"),
    *("charge_amount", "disputed_charge", "dispute_reason", "city", "confirmed", "offer", "order"),
)
"""All that belongs to one request, and is forgotten with it."""
MOST_LINES = 10
"""Transactions in one message."""
SHORT_ANSWER = 12
"""Characters."""
OWN_ACCOUNTS = ("checking", "savings")
"""What stands in place of a merchant's or payee's name for an own account."""
NAME = re.compile(r"[^\W\d_\u3400-\u9fff][^\W\d_'’.-]*(?:[ '’.-]+[^\W\d_'’.-]+){0,3}|[\u3400-\u9fff·]{2,6}")
"""What may be a person's name: one to four words, or a few Chinese characters."""


def forget(*slots: str) -> list[Event]:
    """These slots are empty again."""
    return [SlotSet(name=slot, value=None) for slot in slots]


def pounds(pence: int) -> str:
    """An amount in the bank's currency."""
    return money(pence, get_bank().currency)


def button(title: str, **entities: str) -> dict[str, str]:
    """A button that answers with these entities."""
    return {"title": title, "payload": f"/inform{json.dumps(entities, ensure_ascii=False)}"}


def asked(tracker: Tracker, name: str) -> Any:
    """What was named: in the middle of another form the question's words are in no slot."""
    return tracker.get_slot(name) or next(tracker.get_latest_entity_values(name), None)
