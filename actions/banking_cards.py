"""Blocking a card, and having a new one sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from bot.events import Event, SlotSet
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

from .banking_confirming import ConfirmedForm, is_confirmed, offer, order_key
from .banking_identification import Domain, Slots, first_words, refuse
from .banking_request import FLOW_SLOTS, button, forget
from .banking_words import account_name, card_kind_in, language, matching, name_of, plain, shortest_name, titled
from .core_banking import BankUnavailable, Card, UnknownObject, get_bank

ALREADY = "already"
"""In place of an offer: there is nothing to confirm, the card is blocked."""
_LAST_FOUR = re.compile(r"(?<!\d)\d{4}(?!\d)")


class CardForm(ConfirmedForm):
    """Which card. `statuses` are those of the cards it is about."""

    statuses: ClassVar[tuple[str, ...]] = ("active",)

    async def said_at_first(self, tracker: Tracker) -> Slots:
        """The card by its last four digits ("ending 7788")."""
        digits = _LAST_FOUR.findall(plain(first_words(tracker)))
        cards = await get_bank().cards(tracker.get_slot("customer_id"))
        named = [four for four in digits if matching(cards, four)]
        return {"card": named[0]} if len(named) == 1 else {}

    async def extract_card(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """A card that the entity extractor missed: "credit", or its last four digits."""
        message = tracker.latest_message
        if message is not None and message.text == first_words(tracker) and tracker.get_slot("customer_id"):
            return await self.said_at_first(tracker)
        if message is None or tracker.get_slot("requested_slot") != "card" or not self.answers(tracker, domain):
            return {}
        if any(tracker.get_latest_entity_values("card_type")):
            return {}
        text = plain(message.text or "")
        digits = _LAST_FOUR.search(text)
        card = digits[0] if digits else card_kind_in(text)
        return {"card": card} if card else {}

    async def validate_card(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        customer = tracker.get_slot("customer_id")
        if value is None or not customer:
            return {"card": value}
        cards = await _cards(customer, self.statuses)
        found = matching(cards, value)
        if len(found) == 1:
            return {"card": shortest_name(found[0], cards)}
        if not found:
            dispatcher.utter_message(response="utter_no_such_card", card=name_of(str(value), language(tracker)))
        return {"card": None}


class BlockCardForm(CardForm):
    """Which card to block, and whether to. One that is blocked already is the end of it."""

    form = "block_card_form"

    async def validate_card(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        customer = tracker.get_slot("customer_id")
        if value is not None and customer and not matching(await _cards(customer, self.statuses), value):
            blocked = await _cards(customer, ("blocked",))
            found = matching(blocked, value)
            if len(found) == 1:
                return {"card": shortest_name(found[0], blocked), "confirmed": False, "offer": ALREADY}
        return await super().validate_card(value, dispatcher, tracker, domain)


_MOVED = re.compile(
    r"\b(?:wrong|old|new|other|different)\b.*\baddress|\bmoved\b|\baddress\b.*\bwrong|搬家|搬了|地址(?:错|不对|变|改|换)|[新旧改换]地址"
)


class ReplaceCardForm(CardForm):
    """Which card to replace, and whether the address is right."""

    form = "replace_card_form"
    statuses = ("active", "blocked")

    async def extract_confirmed(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """ "I've moved" is a no: the card must not go to the address that was shown."""
        text = plain(tracker.latest_message.text or "") if tracker.latest_message else ""
        is_no = tracker.get_slot("requested_slot") == "confirmed" and _MOVED.search(text) is not None
        return {"confirmed": False} if is_no else {}


async def _cards(customer_id: str, statuses: Sequence[str]) -> list[Card]:
    return [card for card in await get_bank().cards(customer_id) if card.status in statuses]


async def _chosen_card(tracker: Tracker, statuses: Sequence[str]) -> Card:
    found = matching(await _cards(tracker.get_slot("customer_id"), statuses), tracker.get_slot("card"))
    if len(found) != 1:
        raise UnknownObject("the card is gone")
    return found[0]


class AskCardToBlock(Action):
    """Asks which card, with the active ones as buttons."""

    def name(self) -> str:
        return "action_ask_block_card_form_card"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        return await _ask_card(dispatcher, tracker, BlockCardForm.statuses)


class AskCardToReplace(Action):
    """Asks which card, with those that can be replaced as buttons."""

    def name(self) -> str:
        return "action_ask_replace_card_form_card"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        return await _ask_card(dispatcher, tracker, ReplaceCardForm.statuses)


async def _ask_card(dispatcher: Dispatcher, tracker: Tracker, statuses: Sequence[str]) -> Sequence[Event]:
    cards = await _cards(tracker.get_slot("customer_id"), statuses)
    lang = language(tracker)
    choices = [button(titled(account_name(card, lang)), card_type=shortest_name(card, cards)) for card in cards]
    dispatcher.utter_message(response="utter_which_card" if cards else "utter_no_cards", buttons=choices)
    return []


class AskBlockConfirmed(Action):
    """Names the card and asks whether to block it."""

    def name(self) -> str:
        return "action_ask_block_card_form_confirmed"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        card = await _chosen_card(tracker, BlockCardForm.statuses)
        dispatcher.utter_message(response="utter_confirm_block", name=account_name(card, language(tracker)))
        return offer(tracker)


class AskReplaceConfirmed(Action):
    """Names card and address and asks whether to send a new one there."""

    def name(self) -> str:
        return "action_ask_replace_card_form_confirmed"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        card = await _chosen_card(tracker, ReplaceCardForm.statuses)
        customer = await get_bank().customer(tracker.get_slot("customer_id"))
        name = account_name(card, language(tracker))
        dispatcher.utter_message(response="utter_confirm_replace", name=name, address=customer.address)
        return offer(tracker)


class ActionBlockCard(Action):
    """Blocks the card and offers a new one."""

    def name(self) -> str:
        return "action_block_card"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer = tracker.get_slot("customer_id")
        if not customer:
            refuse(dispatcher, tracker)
            return forget(*FLOW_SLOTS)
        if tracker.get_slot("offer") == ALREADY:
            card = await _chosen_card(tracker, ("blocked",))
            dispatcher.utter_message(response="utter_card_already_blocked", card=account_name(card, language(tracker)))
            return self._offer_new_card(tracker)
        if not is_confirmed(tracker):
            dispatcher.utter_message(response="utter_not_blocked")
            return forget(*FLOW_SLOTS)
        try:
            card = await _chosen_card(tracker, BlockCardForm.statuses)
            receipt = await get_bank().block_card(customer, card.id, idempotency_key=order_key(tracker))
        except UnknownObject:
            # The same turn again, after it blocked the card.
            card = await _chosen_card(tracker, ("blocked",))
            receipt = await get_bank().block_card(customer, card.id, idempotency_key=order_key(tracker))
        except BankUnavailable:
            dispatcher.utter_message(response="utter_block_unknown")
            return forget(*FLOW_SLOTS)
        name = account_name(card, language(tracker))
        dispatcher.utter_message(response="utter_card_blocked", name=name, reference=receipt.reference)
        return self._offer_new_card(tracker)

    def _offer_new_card(self, tracker: Tracker) -> list[Event]:
        return [
            *forget("confirmed", "offer"),
            SlotSet(name="card", value=tracker.get_slot("card")),
            SlotSet(name="card_offer", value=True),
        ]


class ActionNoNewCard(Action):
    """The customer does not want the new card that was offered."""

    def name(self) -> str:
        return "action_no_new_card"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        dispatcher.utter_message(response="utter_no_new_card")
        return forget("card", "card_offer")


class ActionReplaceCard(Action):
    """Orders a new card."""

    def name(self) -> str:
        return "action_replace_card"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer = tracker.get_slot("customer_id")
        if not customer:
            refuse(dispatcher, tracker)
        elif not is_confirmed(tracker):
            dispatcher.utter_message(response="utter_not_replaced")
        else:
            try:
                card = await _chosen_card(tracker, ReplaceCardForm.statuses)
                receipt = await get_bank().replace_card(customer, card.id, idempotency_key=order_key(tracker))
            except (UnknownObject, BankUnavailable):
                dispatcher.utter_message(response="utter_unavailable")
            else:
                name = name_of(card.kind, language(tracker))
                dispatcher.utter_message(response="utter_card_replaced", name=name, reference=receipt.reference)
        return forget(*FLOW_SLOTS)
