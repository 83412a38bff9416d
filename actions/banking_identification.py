"""Who is it: the forms that touch a customer's account ask for a customer number and a one-time code first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from bot.interfaces import Dispatcher, FormValidationAction
from bot.tracker import Tracker

from .banking_words import plain
from .core_banking import IdentificationLocked, WrongCode, get_bank

Slots = dict[str, Any]
Domain = Mapping[str, Any]

_DIGITS = re.compile(r"\d(?:[ -]?\d)*")
_PIECES = re.compile(r"\d+")


def refuse(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """What is said instead of anything about an account, to someone who is not identified."""
    locked = tracker.get_slot("identification_locked")
    dispatcher.utter_message(response="utter_identification_locked" if locked else "utter_identify_first")


class IdentifiedForm(FormValidationAction):
    """A form for an identified customer. `form` is its name; slots in `optional` are taken but not asked for.

    Only this class sets `customer_id`: the slot has no mapping, so that no message or payload fills it.
    The code never enters a slot. What the customer says before being identified is kept unchecked, and
    checked as soon as it is known whose account it is about.
    """

    form: ClassVar[str] = ""
    optional: ClassVar[tuple[str, ...]] = ()

    def name(self) -> str:
        if not self.form:
            raise NotImplementedError(f"{type(self).__name__}.form")
        return f"validate_{self.form}"

    async def required_slots(
        self, domain_slots: list[str], dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> list[str]:
        if tracker.get_slot("identification_locked"):
            return []
        needed = [slot for slot in domain_slots if slot not in self.optional]
        return needed if tracker.get_slot("customer_id") else ["customer_number", "one_time_code", *needed]

    def answers(self, tracker: Tracker, domain: Domain) -> bool:
        """Whether the latest message may fill slots: not when its intent is one that this form ignores."""
        form = (domain.get("forms") or {}).get(self.form) or {}
        intent = tracker.latest_message.intent_name if tracker.latest_message else None
        return intent not in (form.get("ignored_intents") or ())

    # ---- customer number and code ----

    async def extract_customer_number(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if tracker.get_slot("customer_id"):
            return {}
        number = _digits(tracker, 8)
        if tracker.get_slot("requested_slot") == "customer_number" and self.answers(tracker, domain):
            number = number or _digits(tracker)
        return {"customer_number": number} if number else {}

    async def validate_customer_number(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        number = str(value)
        if not re.fullmatch(r"\d{8}", number):
            dispatcher.utter_message(response="utter_customer_number_format")
            return {"customer_number": None}
        try:
            challenge = await get_bank().start_identification(tracker.conversation_id, number)
        except IdentificationLocked:
            return {"customer_number": None, "identification_locked": True}
        if challenge.shown_code:
            dispatcher.utter_message(response="utter_demo_code", code=challenge.shown_code)
        return {"customer_number": f"••••{number[-4:]}", "challenge": challenge.id}

    async def extract_one_time_code(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if tracker.get_slot("customer_id") or tracker.get_slot("requested_slot") != "one_time_code":
            return {}
        code = _digits(tracker, 6)
        if not code and not _digits(tracker, 8) and self.answers(tracker, domain):
            code = _digits(tracker)
        return {"one_time_code": code} if code else {}

    async def validate_one_time_code(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        code, challenge = str(value), tracker.get_slot("challenge")
        if challenge is None:
            return {"one_time_code": None, "customer_number": None}
        if not re.fullmatch(r"\d{6}", code):
            dispatcher.utter_message(response="utter_code_format")
            return {"one_time_code": None}
        try:
            customer = await get_bank().identify(
                tracker.conversation_id, challenge, code, idempotency_key=tracker.idempotency_key
            )
        except WrongCode as error:
            dispatcher.utter_message(response="utter_identification_failed", attempts=error.attempts_left)
            return {"one_time_code": None}
        except IdentificationLocked:
            return {"one_time_code": None, "customer_number": None, "challenge": None, "identification_locked": True}
        dispatcher.utter_message(response="utter_identified", name=customer.name)
        tracker.slots["customer_id"] = customer.id
        return {
            "customer_id": customer.id,
            "one_time_code": None,
            "challenge": None,
            **await self._check_earlier_answers(dispatcher, tracker, domain),
        }

    async def _check_earlier_answers(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """Validate what was said before it was known who is speaking."""
        outcome: Slots = await self.said_at_first(tracker)
        tracker.slots.update(outcome)
        form = (domain.get("forms") or {}).get(self.form) or {}
        for slot in form.get("required_slots") or ():
            validate = getattr(self, f"validate_{slot}", None)
            if validate is not None and tracker.get_slot(slot) is not None:
                found = await validate(tracker.get_slot(slot), dispatcher, tracker, domain)
                tracker.slots.update(found)
                outcome.update(found)
        return outcome

    async def said_at_first(self, tracker: Tracker) -> Slots:
        """What only the customer's own data tell of the message that began the form: a payee's or merchant's name."""
        return {}


def first_words(tracker: Tracker) -> str:
    """The text of the message that began the running form; empty for a button's."""
    text = str((tracker.active_loop.trigger_message or {}).get("text") or "") if tracker.active_loop else ""
    return "" if text.startswith("/") else text


def _digits(tracker: Tracker, length: int | None = None) -> str | None:
    """A number of so many digits in the latest message, in one piece or with spaces and dashes in it."""
    text = plain(tracker.latest_message.text or "") if tracker.latest_message else ""
    groups = [re.sub(r"\D", "", group) for group in (*_PIECES.findall(text), *_DIGITS.findall(text))]
    return next((group for group in groups if length in (None, len(group))), None)
