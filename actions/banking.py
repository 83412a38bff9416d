"""The banking pack's forms and actions. What they need of a bank is in `core_banking.py`.

`actions: [banking]` in config.yml brings those that every pack shares (`conversation.py`), too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

from bot.events import ActionExecuted, ActiveLoopChanged, Event, SessionStarted, SlotSet
from bot.interfaces import Action, Dispatcher, FormValidationAction
from bot.tracker import Tracker

from .banking_identification import Domain, IdentifiedForm, Slots, first_words, refuse
from .banking_words import (
    BadAmount,
    Period,
    account_kind_in,
    account_name,
    accounts_mentioned,
    amount_meant,
    as_text,
    card_kind_in,
    day_name,
    foreign_currency,
    in_the_past,
    is_greeting,
    language,
    matching,
    matching_names,
    money,
    name_of,
    names_in,
    payee_name,
    plain,
    read_amount,
    read_period,
    shortest_name,
    titled,
)
from .conversation import ActionBareAnswer as ActionBareAnswer
from .conversation import ActionCancel as ActionCancel
from .conversation import ActionGoodbye as ActionGoodbye
from .conversation import ActionHandoff as ActionHandoff
from .conversation import ActionRepeat as ActionRepeat
from .conversation import ActionRestart as ActionRestart
from .core_banking import (
    Account,
    BankUnavailable,
    Biller,
    Branch,
    Card,
    InsufficientFunds,
    LimitExceeded,
    Payee,
    Transaction,
    UnknownObject,
    get_bank,
)

FLOW_SLOTS = (
    *("account", "merchant", "period", "category", "payee", "biller", "amount", "source_account", "card", "card_offer"),
    *("charge_amount", "disputed_charge", "dispute_reason", "city", "confirmed", "offer"),
)
"""All that belongs to one request, and is forgotten with it."""
MOST_LINES = 10
"""Transactions in one message."""
DISPUTE_DAYS = 120
REASON_LENGTH = 500
SHORT_ANSWER = 12
"""Characters."""
SURE = 0.7
"""The confidence from which a yes is one."""
_CHANGE = re.compile(
    r"\b(?:change|edit|modify|correct|wrong|mistake|other|another|different)\b|改|换|错|不对|另", re.IGNORECASE
)
_OTHER = re.compile(r"\b(?:other|another|different)\b|另|别的|其他|其它|换")
_HOURS = re.compile(
    r"\b(?:hours?|open|opening|clos\w*|shut|when|what time|how late)\b"
    r"|营业|[开关]门|开不开|几点|上班|下班|周末|周[六日]",
    re.IGNORECASE,
)
_OWN = ("checking", "savings")
"""What stands in place of a merchant's or payee's name for an own account."""
_NAME = re.compile(r"[^\W\d_\u3400-\u9fff][^\W\d_'’.-]*(?:[ '’.-]+[^\W\d_'’.-]+){0,3}|[\u3400-\u9fff·]{2,6}")
"""What may be a person's name: one to four words, or a few Chinese characters."""


def forget(*slots: str) -> list[Event]:
    """These slots are empty again."""
    return [SlotSet(name=slot, value=None) for slot in slots]


def pounds(pence: int) -> str:
    """An amount in the bank's currency."""
    return money(pence, get_bank().currency)


def button(title: str, **entities: str) -> dict[str, str]:
    """A button that answers with these entities."""
    inside = ", ".join(f'"{entity}": "{value}"' for entity, value in entities.items())
    return {"title": title, "payload": f"/inform{{{inside}}}"}


class ActionNewRequest(Action):
    """Before a form: what an earlier request left behind is forgotten, and a form left for this one is put aside."""

    def name(self) -> str:
        return "action_new_request"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        loop = tracker.active_loop
        asked = tracker.latest_message.intent_name if tracker.latest_message else None
        if loop is not None:
            if ((loop.trigger_message or {}).get("intent") or {}).get("name") == asked:
                return []
            dispatcher.utter_message(response="utter_put_aside")
            return [*forget(*FLOW_SLOTS, "requested_slot"), ActiveLoopChanged(name=None)]
        unfinished = () if tracker.get_slot("customer_id") else ("customer_number", "challenge")
        return forget(*FLOW_SLOTS, *unfinished)


class ActionSessionStart(Action):
    """A new session: nothing is carried over, and a customer who was in the middle of something is told so."""

    def name(self) -> str:
        return "action_session_start"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        if tracker.active_loop is not None and not tracker.paused:
            dispatcher.utter_message(response="utter_session_expired")
        return [SessionStarted(), ActionExecuted(name="action_listen")]


class AskCustomerNumber(Action):
    """Asks who it is. A demo says whom one can be."""

    def name(self) -> str:
        return "action_ask_customer_number"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        dispatcher.utter_message(response="utter_customer_number")
        if numbers := get_bank().demo_customers:
            dispatcher.utter_message(response="utter_demo_customers", numbers=", ".join(numbers))
        return []


class ActionWhoAmI(Action):
    """Says as whom the customer is identified."""

    def name(self) -> str:
        return "action_who_am_i"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer_id = tracker.get_slot("customer_id")
        if customer_id:
            customer = await get_bank().customer(customer_id)
            dispatcher.utter_message(response="utter_you_are", name=customer.name)
        else:
            dispatcher.utter_message(response="utter_you_are_nobody")
        return []


class ActionLogOut(Action):
    """Forgets who the customer is, and whatever was in progress."""

    def name(self) -> str:
        return "action_log_out"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        loop = [] if tracker.active_loop is None else [ActiveLoopChanged(name=None)]
        if loop:
            dispatcher.utter_message(response="utter_put_aside")
        dispatcher.utter_message(
            response="utter_logged_out" if tracker.get_slot("customer_id") else "utter_not_logged_in"
        )
        return [*forget(*FLOW_SLOTS, "customer_id", "customer_number", "challenge", "requested_slot"), *loop]


# ---- looking -------------------------------------------------------------------------------------


class BalanceForm(IdentifiedForm):
    """Identifies the customer, and takes the account if one is named."""

    form = "balance_form"
    optional = ("account",)


class ActionBalance(Action):
    """The balance of one account, or of all."""

    def name(self) -> str:
        return "action_balance"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer = tracker.get_slot("customer_id")
        if not customer:
            refuse(dispatcher, tracker)
            return forget("account")
        lang = language(tracker)
        if any(tracker.get_latest_entity_values("payee")) or any(tracker.get_latest_entity_values("customer_number")):
            dispatcher.utter_message(response="utter_own_accounts_only")
        accounts = list(await get_bank().accounts(customer))
        named = _asked(tracker, "account")
        chosen = matching(accounts, named) if named else accounts
        if named and not chosen:
            dispatcher.utter_message(response="utter_no_such_account", account=name_of(str(named), lang))
        lines = "\n".join(_balance_line(account, lang) for account in chosen or accounts)
        dispatcher.utter_message(response="utter_balance", lines=lines)
        return forget("account")


def _balance_line(account: Account, lang: str) -> str:
    name, balance, available = account_name(account, lang), pounds(abs(account.balance)), pounds(account.available)
    if account.can_pay:
        return f"{name}：{balance}" if lang == "zh" else f"{titled(name)}: {balance}"
    if lang == "zh":
        return f"{name}：欠款 {balance}，可用额度 {available}"
    return f"{titled(name)}: {balance} owed, {available} left to spend"


class MovementsForm(IdentifiedForm):
    """A form about what was paid: where, and when."""

    async def extract_merchant(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """A merchant of the customer's that the entity extractor missed."""
        begins = tracker.latest_message is not None and tracker.latest_message.text == first_words(tracker)
        return await self.said_at_first(tracker) if begins and tracker.get_slot("customer_id") else {}

    async def said_at_first(self, tracker: Tracker) -> Slots:
        if tracker.get_slot("merchant"):
            return {}
        merchants = await _merchants(tracker.get_slot("customer_id"))
        named = names_in({name: (name,) for name in merchants}, first_words(tracker))
        return {"merchant": named[0]} if len(named) == 1 else {}

    async def validate_period(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        return {"period": _kept_period(value, tracker)}


class TransactionsForm(MovementsForm):
    """Identifies the customer, and takes account, merchant and period if they are named."""

    form = "transactions_form"
    optional = ("account", "merchant", "period")


class SpendingForm(MovementsForm):
    """Identifies the customer, and takes category, merchant and period if they are named."""

    form = "spending_form"
    optional = ("category", "merchant", "period")


async def _merchants(customer_id: str) -> list[str]:
    """Whoever the customer paid or was paid by, without their own accounts."""
    found = await get_bank().transactions(customer_id)
    return [name for name in dict.fromkeys(one.merchant for one in found) if name not in _OWN]


def _kept_period(value: Any, tracker: Tracker) -> dict[str, str] | None:
    """The period while the message that names it is at hand: only there is it said how long "March" lasts."""
    period = None if is_greeting(value, tracker) else read_period(value, tracker)
    if period:
        period = in_the_past(period, date.today())
    return {"from": period.first.isoformat(), "to": period.last.isoformat()} if period else None


def _period(tracker: Tracker, days: int) -> Period:
    """What was asked for, else the last so many days; nothing lies in the future."""
    today = date.today()
    period = read_period(tracker.get_slot("period"), tracker)
    return period or Period(today - timedelta(days=days), today)


def _period_name(period: Period, lang: str) -> str:
    today = date.today()
    first, last = day_name(period.first, lang), day_name(min(period.last, today), lang)
    if period.first == period.last:
        return first
    if period.first == date.min:
        return f"截至{last}" if lang == "zh" else f"up to {last}"
    return f"{first}至{last}" if lang == "zh" else f"{first} – {last}"


class ActionTransactions(Action):
    """The latest transactions, by account, merchant and period."""

    def name(self) -> str:
        return "action_transactions"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer = tracker.get_slot("customer_id")
        if not customer:
            refuse(dispatcher, tracker)
            return forget("account", "merchant", "period")
        lang, period = language(tracker), _period(tracker, 90)
        found = await get_bank().transactions(
            customer,
            account_kind=_asked(tracker, "account"),
            merchant=_asked(tracker, "merchant") or await _merchant_in_question(tracker),
            first_day=period.first,
            last_day=period.last,
            limit=MOST_LINES,
        )
        if found:
            lines = "\n".join(_transaction_line(one, lang) for one in found)
            dispatcher.utter_message(response="utter_transactions", lines=lines, count=len(found))
        else:
            dispatcher.utter_message(response="utter_no_transactions", period=_period_name(period, lang))
        return forget("account", "merchant", "period")


async def _merchant_in_question(tracker: Tracker) -> str | None:
    """A merchant of the customer's that is named in the middle of another form."""
    if tracker.active_loop is None or tracker.latest_message is None:
        return None
    merchants = await _merchants(tracker.get_slot("customer_id"))
    named = names_in({name: (name,) for name in merchants}, tracker.latest_message.text or "")
    return named[0] if len(named) == 1 else None


def _asked(tracker: Tracker, name: str) -> Any:
    """What was named: in the middle of another form the question's words are in no slot."""
    return tracker.get_slot(name) or next(tracker.get_latest_entity_values(name), None)


def _transaction_line(one: Transaction, lang: str) -> str:
    return f"{day_name(one.day, lang)}  {name_of(one.merchant, lang)}  {pounds(one.amount)}"


class ActionSpending(Action):
    """What was spent in a period: at one merchant, in one category, or in each."""

    def name(self) -> str:
        return "action_spending"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer = tracker.get_slot("customer_id")
        if not customer:
            refuse(dispatcher, tracker)
            return forget("category", "merchant", "period")
        lang, period, category = language(tracker), _period(tracker, 30), tracker.get_slot("category")
        merchant = tracker.get_slot("merchant")
        found = await get_bank().transactions(
            customer, category=category, merchant=merchant, first_day=period.first, last_day=period.last
        )
        spent: Counter[str] = Counter()
        for one in found:
            # Money moved between one's own accounts is not spent.
            if one.amount < 0 and one.merchant not in _OWN:
                spent[one.category] -= one.amount
        said: dict[str, Any] = {"period": _period_name(period, lang), "total": pounds(spent.total())}
        if merchant:
            dispatcher.utter_message(response="utter_spending_merchant", merchant=merchant, **said)
        elif category:
            dispatcher.utter_message(response="utter_spending_category", category=name_of(category, lang), **said)
        elif not spent:
            dispatcher.utter_message(response="utter_no_transactions", **said)
        else:
            colon = "：" if lang == "zh" else ": "
            lines = [f"{titled(name_of(one, lang))}{colon}{pounds(pence)}" for one, pence in spent.most_common()]
            dispatcher.utter_message(response="utter_spending", lines="\n".join(lines), **said)
        return forget("category", "merchant", "period")


# ---- confirming ----------------------------------------------------------------------------------


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
            message = tracker.latest_message
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
    """These terms have been shown."""
    return [SlotSet(name="offer", value=terms(tracker))]


# ---- paying --------------------------------------------------------------------------------------

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
            is_name = message.intent_name == "nlu_fallback" and _NAME.fullmatch(text)
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
        return tracker.get_slot("payee") in _OWN


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
            left = pounds((await _source(tracker)).available)
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
            tracker.get_slot("customer_id"), account.id, payee.id, pence, idempotency_key=tracker.idempotency_key
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
            tracker.get_slot("customer_id"), account.id, biller.id, pence, idempotency_key=tracker.idempotency_key
        )
        return biller.name, receipt.reference


# ---- cards ---------------------------------------------------------------------------------------


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
            receipt = await get_bank().block_card(customer, card.id, idempotency_key=tracker.idempotency_key)
        except UnknownObject:
            # The same turn again, after it blocked the card.
            card = await _chosen_card(tracker, ("blocked",))
            receipt = await get_bank().block_card(customer, card.id, idempotency_key=tracker.idempotency_key)
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
                receipt = await get_bank().replace_card(customer, card.id, idempotency_key=tracker.idempotency_key)
            except (UnknownObject, BankUnavailable):
                dispatcher.utter_message(response="utter_unavailable")
            else:
                name = name_of(card.kind, language(tracker))
                dispatcher.utter_message(response="utter_card_replaced", name=name, reference=receipt.reference)
        return forget(*FLOW_SLOTS)


# ---- disputes ------------------------------------------------------------------------------------


class DisputeForm(IdentifiedForm):
    """Which charge, found by merchant and amount or chosen from a list, and what is wrong with it."""

    form = "dispute_form"
    optional = ("merchant", "charge_amount")

    async def said_at_first(self, tracker: Tracker) -> Slots:
        """The merchant by name, and an amount that is said without a currency ("charged me 249.99")."""
        message = tracker.active_loop.trigger_message if tracker.active_loop else None
        outcome: Slots = {}
        if not tracker.get_slot("merchant"):
            merchants = await _merchants(tracker.get_slot("customer_id"))
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
            button(f"{number}. {_transaction_line(one, lang)}", transaction=one.id)
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
            line = _transaction_line(one, language(tracker)) if one else ""
            dispatcher.utter_message(response="utter_dispute_opened", charge=line, reference=receipt.reference)
        return forget(*FLOW_SLOTS)


# ---- branches ------------------------------------------------------------------------------------


class BranchForm(FormValidationAction):
    """In which city. Nobody needs to be identified for that."""

    def name(self) -> str:
        return "validate_branch_form"

    async def extract_city(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """A city we are in that the entity extractor missed."""
        message = tracker.latest_message
        if message is None or next(tracker.get_latest_entity_values("city"), None) is not None:
            return {}
        named = matching_names(_city_names(await get_bank().branches()), message.text)
        if len(named) == 1:
            return {"city": named[0]}
        text = (message.text or "").strip()
        is_place = message.intent_name in ("inform", "nlu_fallback") and not message.entities and _NAME.fullmatch(text)
        return {"city": text} if is_place and tracker.get_slot("requested_slot") == "city" else {}

    async def validate_city(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if value is None:
            return {"city": None}
        branches = await get_bank().branches()
        found = matching_names(_city_names(branches), value)
        if len(found) == 1:
            return {"city": found[0]}
        lang = language(tracker)
        cities = dict.fromkeys(branch.city[lang] for branch in branches)
        joined = ("、" if lang == "zh" else ", ").join(cities)
        dispatcher.utter_message(response="utter_no_branch", said=str(value)[:60], cities=joined)
        return {"city": None}


def _city_names(branches: Sequence[Branch]) -> dict[str, Sequence[str]]:
    return {branch.city["en"]: tuple(branch.city.values()) for branch in branches}


class AskCity(Action):
    """Asks for the city; whoever asks when the bank is open hears the usual hours first."""

    def name(self) -> str:
        return "action_ask_city"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        message = tracker.latest_message
        if message and message.intent_name == "find_branch" and _HOURS.search(message.text or ""):
            dispatcher.utter_message(response="utter_opening_hours")
        dispatcher.utter_message(response="utter_city")
        return []


class ActionFindBranch(Action):
    """Addresses and hours in a city; in the middle of another form, the usual hours where no city is named."""

    def name(self) -> str:
        return "action_find_branch"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        lang, named = language(tracker), _asked(tracker, "city")
        if named is None:
            dispatcher.utter_message(response="utter_opening_hours")
            return []
        city = (await BranchForm().validate_city(named, dispatcher, tracker, domain))["city"]
        if city is None:
            return []
        branches = await get_bank().branches(city)
        lines = "\n".join(_branch_line(branch, lang) for branch in branches)
        dispatcher.utter_message(response="utter_branches", lines=lines, city=branches[0].city[lang])
        return forget("city")


def _branch_line(branch: Branch, lang: str) -> str:
    atm = ("，设有取款机" if lang == "zh" else ", with a cash machine") if branch.has_atm else ""
    separator = "：" if lang == "zh" else ": "
    return f"{branch.name}, {branch.address}{separator}{branch.hours[lang]}{atm}"
