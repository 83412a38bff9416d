"""The last question of a form: a yes confirms the terms that were shown, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bot.events import Event, SlotSet
from bot.interfaces import Dispatcher
from bot.tracker import Tracker

from .banking_identification import Domain, IdentifiedForm, Slots
from .banking_request import SHORT_ANSWER
from .banking_words import plain

SURE = 0.7
"""The confidence from which a yes is one."""
_CHANGE = re.compile(
    r"\b(?:change|edit|modify|correct|wrong|mistake|other|another|different)\b|改|换|错|不对|另", re.IGNORECASE
)


class ConfirmedForm(IdentifiedForm):
    """A form whose last question is whether to do it.

    The question is asked with the terms of the moment, and only a yes to exactly these terms counts: a
    change that comes with the yes, or after the question, asks again.
    """

    changeable: ClassVar[Mapping[str, Sequence[str]]] = {}
    """What a customer who says no may change: slots, and the words for them. Without any, no is the end."""

    async def extract_confirmed(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """Which part the customer wants to change, after a no or at any question: it is asked again."""
        message = tracker.latest_message
        if message is None or not tracker.get_slot("customer_id"):
            return {}
        text = plain(message.text or "")
        if tracker.get_slot("offer") == {"declined": terms(tracker)}:
            # In so few words there is nothing but the answer, whatever it was taken for.
            wanted = len(text) <= SHORT_ANSWER or self.answers(tracker, domain)
        else:
            wanted = _CHANGE.search(text) is not None and self.answers(tracker, domain)
        if not wanted:
            return {}
        said = tracker.slots_to_validate()
        for slot, words in self.changeable.items():
            if slot in said or tracker.get_slot(slot) is None or not any(word in text for word in words):
                continue
            # "Change the account to savings" says it at once.
            named = await getattr(self, f"extract_{slot}")(Dispatcher(), tracker, domain)
            if not any(named.values()):
                return {slot: None, "offer": None}
        return {}

    async def validate_confirmed(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        offer, now = tracker.get_slot("offer"), terms(tracker)
        if offer == {"declined": now}:
            return {"confirmed": None, "offer": None} if value else {"confirmed": False}
        if offer != now:
            return {"confirmed": None}
        if value:
            message, asked = tracker.latest_message, tracker.latest_bot_message
            if message is not None and asked is not None and message.timestamp < asked.timestamp:
                # A yes that was on its way when the question came is no answer to it.
                return {"confirmed": None}
            if message is not None and message.intent.confidence < SURE:
                # "Maybe" is near to a yes, and none.
                dispatcher.utter_message(response="utter_yes_or_no")
                return {"confirmed": None}
            return {"confirmed": True}
        return {"confirmed": None, "offer": {"declined": now}} if self.changeable else {"confirmed": False}


def terms(tracker: Tracker) -> list[Any]:
    """What is to be done, as far as it is known."""
    return [tracker.get_slot(slot) for slot in ("payee", "biller", "amount", "source_account", "card")]


def is_confirmed(tracker: Tracker) -> bool:
    """Whether the customer said yes to what stands in the slots now."""
    return tracker.get_slot("confirmed") is True and tracker.get_slot("offer") == terms(tracker)


def offer(tracker: Tracker) -> list[Event]:
    """These terms have been shown. They keep the `order` that they had when they were first."""
    is_new = tracker.get_slot("offer") != terms(tracker) or not tracker.get_slot("order")
    first = [SlotSet(name="order", value=tracker.idempotency_key)] if is_new else []
    return [*first, SlotSet(name="offer", value=terms(tracker))]


def order_key(tracker: Tracker) -> str:
    """The bank's key for what was confirmed: of the question, not of the answer, which may have to be given twice."""
    order = tracker.get_slot("order") or tracker.idempotency_key
    return hashlib.sha256(json.dumps([tracker.conversation_id, order, terms(tracker)]).encode()).hexdigest()
