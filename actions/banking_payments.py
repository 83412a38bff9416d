"""Paying: transfers and bills."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bot.events import Event
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

from .banking_confirming import ConfirmedForm, is_confirmed, offer, order_key, terms
from .banking_identification import Domain, Slots, first_words, refuse
from .banking_request import FLOW_SLOTS, NAME, OWN_ACCOUNTS, SHORT_ANSWER, button, forget, pounds
from .banking_words import (
    BadAmount,
    account_kind_in,
    account_name,
    accounts_mentioned,
    amount_meant,
    as_text,
    foreign_currency,
    language,
    matching,
    matching_names,
    name_of,
    names_in,
    payee_name,
    plain,
    read_amount,
    shortest_name,
    titled,
)
from .core_banking import (
    Account,
    BankUnavailable,
    Biller,
    InsufficientFunds,
    LimitExceeded,
    Payee,
    UnknownObject,
    get_bank,
)

_OTHER = re.compile(r"\b(?:other|another|different)\b|另|别的|其他|其它|换")
_AMOUNT_WORDS = ("amount", "how much", "sum", "金额", "数额", "多少")
_ACCOUNT_WORDS = ("account", "账户", "账号", "帐户")


class PaymentForm(ConfirmedForm):
    """Amount and account of a payment."""

    async def _accounts(self, tracker: Tracker) -> list[Account]:
        return [account for account in await get_bank().accounts(tracker.get_slot("customer_id")) if account.can_pay]

    async def extract_amount(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """The mapping takes the last amount of a message; "250, not 25" means the other."""
        if "amount" in tracker.slots_to_validate():
            meant = amount_meant(tracker)
            return {"amount": meant} if meant is not None else {}
        message = tracker.latest_message
        if message is None or tracker.get_slot("requested_slot") != "amount":
            return {}
        text = (message.text or "").strip()
        # Digits that no extractor could read (1.000,50) are answered as an amount.
        is_amount = message.intent_name in ("inform", "nlu_fallback") and re.search(r"\d", text)
        return {"amount": text} if is_amount else {}

    async def validate_amount(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if value is None:
            return {"amount": None}
        try:
            pence = read_amount(value)
        except BadAmount as error:
            dispatcher.utter_message(response=f"utter_amount_{error.reason}")
            return {"amount": None}
        bank = get_bank()
        if foreign_currency(tracker, value, bank.currency):
            dispatcher.utter_message(response="utter_amount_foreign")
            return {"amount": None}
        customer = tracker.get_slot("customer_id")
        if customer:
            remaining = await bank.remaining_limit(customer)
            if pence > remaining and not self.is_own(tracker):
                response = "utter_over_limit" if remaining else "utter_limit_reached"
                dispatcher.utter_message(response=response, remaining=pounds(remaining))
                return {"amount": None}
            if not await self._covered(pence, tracker.get_slot("source_account"), dispatcher, tracker):
                return {"amount": None}
        return {"amount": as_text(pence)}

    def is_own(self, tracker: Tracker) -> bool:
        """Whether the money stays with the customer, so that no limit applies."""
        return False

    async def _covered(self, pence: int, account: Any, dispatcher: Dispatcher, tracker: Tracker) -> bool:
        """Whether the account holds that much; says so if not."""
        found = matching(await self._accounts(tracker), account) if account else []
        if len(found) != 1 or found[0].available >= pence:
            return True
        name, available = account_name(found[0], language(tracker)), pounds(found[0].available)
        dispatcher.utter_message(response="utter_insufficient_funds", account=name, available=available)
        return False

    async def extract_source_account(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if not self.answers(tracker, domain):
            return {}
        source, target = accounts_mentioned(tracker)
        asked = tracker.get_slot("requested_slot")
        text = plain(tracker.latest_message.text or "") if tracker.latest_message else ""
        if _OTHER.search(text) and any(word in text for word in _ACCOUNT_WORDS):
            others = await self._other_accounts(tracker)
            return {"source_account": others[0]} if len(others) == 1 else {}
        if not (source or target) and asked in ("source_account", "confirmed"):
            source = account_kind_in(text) if len(text) <= 2 * SHORT_ANSWER else None
        if asked == "source_account":
            source = source or target
        elif asked == "payee" and not any(tracker.get_latest_entity_values("payee")):
            source = None
        return {"source_account": source} if source else {}

    async def _other_accounts(self, tracker: Tracker) -> list[str]:
        """The accounts that can pay, without the one that was chosen; none while none was."""
        chosen = tracker.get_slot("source_account")
        if not chosen or not tracker.get_slot("customer_id"):
            return []
        accounts = await self._accounts(tracker)
        return [name for one in accounts if (name := shortest_name(one, accounts)) != chosen]

    async def validate_source_account(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        if value is None or not tracker.get_slot("customer_id"):
            return {"source_account": value}
        accounts = await self._accounts(tracker)
        found = matching(accounts, value)
        if not found:
            name = name_of(str(value), language(tracker))
            dispatcher.utter_message(response="utter_account_cannot_pay", account=name)
        if len(found) != 1:
            return {"source_account": None}
        try:
            pence = read_amount(tracker.get_slot("amount"))
        except BadAmount:
            pence = 0
        chosen = shortest_name(found[0], accounts)
        if not await self._covered(pence, chosen, dispatcher, tracker):
            return {"source_account": chosen, "amount": None}
        return {"source_account": chosen}


class TransferForm(PaymentForm):
    """Payee, amount and account of a transfer."""

    form = "transfer_form"
    changeable: ClassVar[Mapping[str, Sequence[str]]] = {
        "amount": _AMOUNT_WORDS,
        "payee": ("payee", "recipient", "person", "who", "name", "收款人", "对方", "名字", "给谁"),
        "source_account": _ACCOUNT_WORDS,
    }

    async def extract_payee(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """An own account, or a known payee's name that the entity extractor missed."""
        message = tracker.latest_message
        if message is None or not self.answers(tracker, domain):
            return {}
        if next(tracker.get_latest_entity_values("payee"), None) is not None:
            if not _is_source(tracker):
                return {}
            dispatcher.utter_message(response="utter_own_accounts_only")
            return {"payee": None}
        requested = tracker.get_slot("requested_slot")
        asked = requested == "payee"
        source, target = accounts_mentioned(tracker)
        if asked:
            target = target or source
        if target and requested != "source_account":
            return {"payee": target}
        if not tracker.get_slot("customer_id"):
            return {}
        payees = await get_bank().payees(tracker.get_slot("customer_id"))
        # "From my savings" names an account, not a payee.
        others = [payee for payee in payees if asked or payee.own_account is None]
        named = names_in(_payee_names(others), message.text or "")
        if len(named) == 1:
            return {"payee": named[0]}
        text = (message.text or "").strip()
        if asked and not message.entities and text:
            # An uncommon name is like nothing that understanding has seen.
            is_name = message.intent_name == "nlu_fallback" and NAME.fullmatch(text)
            if message.intent_name == "inform" or is_name:
                return {"payee": text[:60]}
        return {}

    async def said_at_first(self, tracker: Tracker) -> Slots:
        if tracker.get_slot("payee"):
            return {}
        payees = await get_bank().payees(tracker.get_slot("customer_id"))
        others = [payee for payee in payees if payee.own_account is None]
        named = names_in(_payee_names(others), first_words(tracker))
        return {"payee": named[0]} if len(named) == 1 else {}

    async def validate_payee(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        customer = tracker.get_slot("customer_id")
        if value is None or not customer:
            return {"payee": value}
        payees = await get_bank().payees(customer)
        found = matching_names(_payee_names(payees), value)
        if len(found) != 1:
            response = "utter_which_payee" if found else "utter_unknown_payee"
            dispatcher.utter_message(response=response, said=_as_typed(tracker, "payee", value)[:60])
            return {"payee": None}
        if found[0] == tracker.get_slot("source_account"):
            dispatcher.utter_message(response="utter_same_account")
            return {"payee": found[0], "source_account": None}
        return {"payee": found[0]}

    async def validate_source_account(
        self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain
    ) -> Slots:
        outcome = await super().validate_source_account(value, dispatcher, tracker, domain)
        if outcome["source_account"] is not None and outcome["source_account"] == tracker.get_slot("payee"):
            dispatcher.utter_message(response="utter_same_account")
            return {"source_account": None}
        return outcome

    def is_own(self, tracker: Tracker) -> bool:
        return tracker.get_slot("payee") in OWN_ACCOUNTS


def _as_typed(tracker: Tracker, name: str, value: Any) -> str:
    """An entity's value as the customer wrote it."""
    message = tracker.latest_message
    for entity in message.entities if message else ():
        text = (message.text or "")[entity.get("start", 0) : entity.get("end", 0)] if message else ""
        if entity.get("entity") == name and entity.get("value") == value and text.casefold() == str(value).casefold():
            return text
    return str(value)


def _is_source(tracker: Tracker) -> bool:
    """Whether the only payee in the message is whom the money should come from: "from Tom's account to mine"."""
    message = tracker.latest_message
    found = [e for e in message.entities if e.get("entity") == "payee"] if message else []
    text = (message.text or "") if message else ""
    return bool(found) and all(_OUT_OF.search(text[: e.get("start", 0)]) for e in found)


def _payee_names(payees: Sequence[Payee]) -> dict[str, Sequence[str]]:
    """By what stands in the slot: the name, or the kind of an own account."""
    own = {"checking": ("checking", "活期"), "savings": ("savings", "储蓄")}
    return {
        payee.name: own.get(payee.own_account.kind, (payee.name,))
        if payee.own_account
        else (payee.name, payee.nickname)
        for payee in payees
    }


_OUT_OF = re.compile(r"(?:\b(?:from|out of)\s+(?:the\s+|my\s+)?|从\s*)$", re.IGNORECASE)


class BillForm(PaymentForm):
    """Biller, amount and account of a bill payment."""

    form = "bill_form"
    changeable: ClassVar[Mapping[str, Sequence[str]]] = {
        "amount": _AMOUNT_WORDS,
        "biller": ("biller", "company", "bill", "公司", "账单", "收费"),
        "source_account": _ACCOUNT_WORDS,
    }

    async def extract_biller(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """A biller's name that the entity extractor missed."""
        message = tracker.latest_message
        if message is None or not self.answers(tracker, domain):
            return {}
        if tracker.get_slot("requested_slot") != "biller" and message.intent_name != "pay_bill":
            return {}
        if next(tracker.get_latest_entity_values("biller"), None) is not None:
            return {}
        named = matching_names(_biller_names(await get_bank().billers()), message.text)
        return {"biller": named[0]} if len(named) == 1 else {}

    async def validate_biller(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if value is None:
            return {"biller": None}
        found = matching_names(_biller_names(await get_bank().billers()), value)
        if len(found) == 1:
            return {"biller": found[0]}
        dispatcher.utter_message(response="utter_unknown_biller", said=str(value)[:60])
        return {"biller": None}


def _biller_names(billers: Sequence[Biller]) -> dict[str, Sequence[str]]:
    return {biller.name: (biller.name, *biller.names) for biller in billers}


class AskPayee(Action):
    """Asks for the payee, with the known ones as buttons."""

    def name(self) -> str:
        return "action_ask_payee"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        payees = await get_bank().payees(tracker.get_slot("customer_id"))
        source, lang = tracker.get_slot("source_account"), language(tracker)
        choices = [
            button(titled(payee_name(payee, lang)), payee=payee.name) for payee in payees if payee.name != source
        ]
        dispatcher.utter_message(response="utter_payee", buttons=choices)
        return []


class AskBiller(Action):
    """Asks whose bill, with the known billers as buttons."""

    def name(self) -> str:
        return "action_ask_biller"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        choices = [button(biller.name, biller=biller.name) for biller in await get_bank().billers()]
        dispatcher.utter_message(response="utter_biller", buttons=choices)
        return []


class AskSourceAccount(Action):
    """Asks from which account, with what is available in each."""

    def name(self) -> str:
        return "action_ask_source_account"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        lang = language(tracker)
        accounts = [one for one in await get_bank().accounts(tracker.get_slot("customer_id")) if one.can_pay]
        choices = [
            button(
                f"{titled(account_name(account, lang))} ({pounds(account.available)})",
                account=shortest_name(account, accounts),
            )
            for account in accounts
            if account.kind != tracker.get_slot("payee")
        ]
        dispatcher.utter_message(response="utter_source_account", buttons=choices)
        return []


class AskTransferConfirmed(Action):
    """Shows the transfer and asks whether to do it; after a no, asks what to change."""

    def name(self) -> str:
        return "action_ask_transfer_form_confirmed"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        if tracker.get_slot("offer") == {"declined": terms(tracker)}:
            dispatcher.utter_message(response="utter_change_transfer")
            return []
        payee, account = await _parties(tracker)
        lang = language(tracker)
        dispatcher.utter_message(
            response="utter_confirm_transfer",
            sum=pounds(read_amount(tracker.get_slot("amount"))),
            to=payee_name(payee, lang),
            source=account_name(account, lang),
        )
        return offer(tracker)


class AskBillConfirmed(Action):
    """Shows the bill payment and asks whether to do it; after a no, asks what to change."""

    def name(self) -> str:
        return "action_ask_bill_form_confirmed"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        if tracker.get_slot("offer") == {"declined": terms(tracker)}:
            dispatcher.utter_message(response="utter_change_bill")
            return []
        account = await _source(tracker)
        dispatcher.utter_message(
            response="utter_confirm_bill",
            sum=pounds(read_amount(tracker.get_slot("amount"))),
            to=tracker.get_slot("biller"),
            source=account_name(account, language(tracker)),
        )
        return offer(tracker)


async def _source(tracker: Tracker) -> Account:
    accounts = await get_bank().accounts(tracker.get_slot("customer_id"))
    found = matching([account for account in accounts if account.can_pay], tracker.get_slot("source_account"))
    if len(found) != 1:
        raise UnknownObject("the account to pay from is gone")
    return found[0]


async def _parties(tracker: Tracker) -> tuple[Payee, Account]:
    payees = await get_bank().payees(tracker.get_slot("customer_id"))
    payee = next((payee for payee in payees if payee.name == tracker.get_slot("payee")), None)
    if payee is None:
        raise UnknownObject("the payee is gone")
    return payee, await _source(tracker)


class _ActionPay(Action):
    """Does what was confirmed, once, and says how it went."""

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        if not tracker.get_slot("customer_id"):
            refuse(dispatcher, tracker)
        elif not is_confirmed(tracker):
            dispatcher.utter_message(response="utter_not_sent")
        else:
            await self._pay_and_say(dispatcher, tracker)
        return forget(*FLOW_SLOTS)

    async def _pay_and_say(self, dispatcher: Dispatcher, tracker: Tracker) -> None:
        lang = language(tracker)
        try:
            account = await _source(tracker)
            pence = read_amount(tracker.get_slot("amount"))
            to, reference = await self.pay(tracker, account, pence)
        except InsufficientFunds as error:
            name = account_name(account, lang)
            dispatcher.utter_message(
                response="utter_insufficient_funds_at_last", account=name, available=pounds(error.available)
            )
        except LimitExceeded as error:
            dispatcher.utter_message(response="utter_over_limit_at_last", remaining=pounds(error.remaining))
        except UnknownObject:
            dispatcher.utter_message(response="utter_payment_refused")
        except BankUnavailable:
            dispatcher.utter_message(response="utter_payment_unknown")
        else:
            left = pounds(account.available - pence)
            said: dict[str, Any] = {"sum": pounds(pence), "to": to, "reference": reference, "left": left}
            dispatcher.utter_message(response="utter_payment_done", source=account_name(account, lang), **said)

    async def pay(self, tracker: Tracker, account: Account, pence: int) -> tuple[str, str]:
        """Pay, and return who was paid and the reference."""
        raise NotImplementedError


class ActionTransfer(_ActionPay):
    """Carries out a confirmed transfer."""

    def name(self) -> str:
        return "action_transfer"

    async def pay(self, tracker: Tracker, account: Account, pence: int) -> tuple[str, str]:
        payee, _ = await _parties(tracker)
        receipt = await get_bank().transfer(
            tracker.get_slot("customer_id"), account.id, payee.id, pence, idempotency_key=order_key(tracker)
        )
        return payee_name(payee, language(tracker)), receipt.reference


class ActionPayBill(_ActionPay):
    """Carries out a confirmed bill payment."""

    def name(self) -> str:
        return "action_pay_bill"

    async def pay(self, tracker: Tracker, account: Account, pence: int) -> tuple[str, str]:
        billers = await get_bank().billers()
        biller = next((biller for biller in billers if biller.name == tracker.get_slot("biller")), None)
        if biller is None:
            raise UnknownObject("the biller is gone")
        receipt = await get_bank().pay_bill(
            tracker.get_slot("customer_id"), account.id, biller.id, pence, idempotency_key=order_key(tracker)
        )
        return biller.name, receipt.reference
