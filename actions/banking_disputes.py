"""Disputing a charge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from bot.events import Event
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

from .banking_accounts import merchants_of, transaction_line
from .banking_identification import Domain, IdentifiedForm, Slots, first_words, refuse
from .banking_request import FLOW_SLOTS, MOST_LINES, button, forget
from .banking_words import BadAmount, as_text, language, names_in, read_amount
from .core_banking import BankUnavailable, Transaction, UnknownObject, get_bank

DISPUTE_DAYS = 120
REASON_LENGTH = 500


class DisputeForm(IdentifiedForm):
    """Which charge, found by merchant and amount or chosen from a list, and what is wrong with it."""

    form = "dispute_form"
    optional = ("merchant", "charge_amount")

    async def said_at_first(self, tracker: Tracker) -> Slots:
        """The merchant by name, and an amount that is said without a currency ("charged me 249.99")."""
        message = tracker.active_loop.trigger_message if tracker.active_loop else None
        outcome: Slots = {}
        if not tracker.get_slot("merchant"):
            merchants = await merchants_of(tracker.get_slot("customer_id"))
            named = names_in({name: (name,) for name in merchants}, first_words(tracker))
            # Of a name that is among none of them the validation says so.
            named = named or [e.get("value") for e in (message or {}).get("entities", ()) if e.get("entity") == "payee"]
            outcome |= {"merchant": named[0]} if len(named) == 1 else {}
        if not tracker.get_slot("charge_amount"):
            numbers = [e.get("value") for e in (message or {}).get("entities", ()) if e.get("entity") == "number"]
            exact = [number for number in numbers if isinstance(number, float)]
            outcome |= {"charge_amount": exact[0]} if len(exact) == 1 else {}
        return outcome

    async def extract_merchant(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        begins = tracker.latest_message is not None and tracker.latest_message.text == first_words(tracker)
        return await self.said_at_first(tracker) if begins and tracker.get_slot("customer_id") else {}

    async def validate_merchant(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if value is None or not tracker.get_slot("customer_id"):
            return {"merchant": value}
        tracker.slots["merchant"] = value
        amount, charges = tracker.get_slot("charge_amount"), await _charges(tracker)
        if not charges and amount is not None:
            # Not that much was taken there: what of the two is wrong, the list of the merchant's charges shows.
            tracker.slots["charge_amount"] = None
            charges = await _charges(tracker)
            tracker.slots["charge_amount"] = amount
        if not charges:
            dispatcher.utter_message(response="utter_no_such_charge")
            return {"merchant": None}
        return {"merchant": value, **_only(charges)}

    async def validate_charge_amount(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        try:
            amount = as_text(read_amount(value)) if value is not None else None
        except BadAmount:
            amount = None
        if amount is None or not tracker.get_slot("customer_id"):
            return {"charge_amount": amount}
        tracker.slots["charge_amount"] = amount
        charges = await _charges(tracker)
        if not charges:
            dispatcher.utter_message(response="utter_no_such_charge")
            return {"charge_amount": None, "disputed_charge": None}
        return {"charge_amount": amount, **_only(charges)}

    async def extract_disputed_charge(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """The charge that was clicked, counted ("the second", "2") or named."""
        asked = tracker.get_slot("requested_slot") == "disputed_charge"
        if not asked or not tracker.get_slot("customer_id") or not self.answers(tracker, domain):
            return {}
        clicked = next(tracker.get_latest_entity_values("transaction"), None)
        if clicked is not None:
            return {"disputed_charge": clicked}
        charges = await _charges(tracker)
        text = (tracker.latest_message.text or "") if tracker.latest_message else ""
        shown = charges[:MOST_LINES]
        if shown and _LAST.search(text):
            return {"disputed_charge": shown[-1].id}
        # "The second one" is an ordinal, and its "one" no number.
        counted = [*tracker.get_latest_entity_values("ordinal"), *_counted(tracker)]
        if counted and counted[0] in range(1, len(shown) + 1):
            return {"disputed_charge": shown[int(counted[0]) - 1].id}
        if counted:
            return {"charge_amount": counted[0]}
        named = names_in({one.merchant: (one.merchant,) for one in charges}, text)
        return {"merchant": named[0]} if len(named) == 1 else {}

    async def validate_disputed_charge(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        known = value is not None and any(one.id == value for one in await _charges(tracker, narrowed=False))
        return {"disputed_charge": value if known else None}

    async def extract_dispute_reason(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        message = tracker.latest_message
        if message is None or tracker.get_slot("requested_slot") != "dispute_reason":
            return {}
        if not self.answers(tracker, domain):
            return {}
        reason = next(tracker.get_latest_entity_values("reason"), None) or message.text or ""
        if message.intent_name in ("affirm", "deny", "inform", "nlu_fallback") and len(reason.strip()) <= (
            4 if reason.isascii() else 2
        ):
            return {}
        return {"dispute_reason": str(reason).strip()[:REASON_LENGTH] or None}


_LAST = re.compile(r"\b(?:last|bottom)\b|最后", re.IGNORECASE)


def _counted(tracker: Tracker) -> list[Any]:
    """The numbers of a message that can count lines or be amounts: not the "one" of "that one"."""
    message = tracker.latest_message
    numbers = [e for e in message.entities if e.get("entity") == "number"] if message else []
    text = (message.text or "") if message else ""
    return [e.get("value") for e in numbers if text[: e.get("start", 0)].strip() == "" or e.get("value") != 1]


def _only(charges: Sequence[Transaction]) -> Slots:
    return {"disputed_charge": charges[0].id} if len(charges) == 1 else {}


async def _charges(tracker: Tracker, *, narrowed: bool = True) -> list[Transaction]:
    """The charges that may be meant, newest first."""
    found = await get_bank().transactions(
        tracker.get_slot("customer_id"),
        merchant=tracker.get_slot("merchant") if narrowed else None,
        first_day=date.today() - timedelta(days=DISPUTE_DAYS),
    )
    amount = tracker.get_slot("charge_amount") if narrowed else None
    wanted = read_amount(amount) if amount is not None else None
    return [one for one in found if one.amount < 0 and wanted in (None, -one.amount)]


class AskDisputedCharge(Action):
    """Asks which charge, with the likely ones to choose from."""

    def name(self) -> str:
        return "action_ask_disputed_charge"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        lang = language(tracker)
        charges = (await _charges(tracker))[:MOST_LINES]
        choices = [
            button(f"{number}. {transaction_line(one, lang)}", transaction=one.id)
            for number, one in enumerate(charges, 1)
        ]
        dispatcher.utter_message(response="utter_which_charge", buttons=choices)
        return []


class ActionDispute(Action):
    """Opens the case."""

    def name(self) -> str:
        return "action_dispute"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer, charge = tracker.get_slot("customer_id"), tracker.get_slot("disputed_charge")
        if not customer:
            refuse(dispatcher, tracker)
            return forget(*FLOW_SLOTS)
        reason, key = tracker.get_slot("dispute_reason") or "", tracker.idempotency_key
        try:
            one = next((one for one in await _charges(tracker, narrowed=False) if one.id == charge), None)
            receipt = await get_bank().dispute(customer, charge, reason, idempotency_key=key)
        except (UnknownObject, BankUnavailable):
            dispatcher.utter_message(response="utter_unavailable")
        else:
            line = transaction_line(one, language(tracker)) if one else ""
            dispatcher.utter_message(response="utter_dispute_opened", charge=line, reference=receipt.reference)
        return forget(*FLOW_SLOTS)
