"""Looking: balances, transactions, and spending by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from bot.events import Event
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

from .banking_identification import Domain, IdentifiedForm, Slots, first_words, refuse
from .banking_request import MOST_LINES, OWN_ACCOUNTS, asked, forget, pounds
from .banking_words import (
    Period,
    account_name,
    day_name,
    in_the_past,
    is_greeting,
    language,
    matching,
    name_of,
    names_in,
    read_period,
    titled,
)
from .core_banking import Account, Transaction, get_bank


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
        named = asked(tracker, "account")
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
        merchants = await merchants_of(tracker.get_slot("customer_id"))
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


async def merchants_of(customer_id: str) -> list[str]:
    """Whoever the customer paid or was paid by, without their own accounts."""
    found = await get_bank().transactions(customer_id)
    return [name for name in dict.fromkeys(one.merchant for one in found) if name not in OWN_ACCOUNTS]


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
            account_kind=asked(tracker, "account"),
            merchant=asked(tracker, "merchant") or await _merchant_in_question(tracker),
            first_day=period.first,
            last_day=period.last,
            limit=MOST_LINES,
        )
        if found:
            lines = "\n".join(transaction_line(one, lang) for one in found)
            dispatcher.utter_message(response="utter_transactions", lines=lines, count=len(found))
        else:
            dispatcher.utter_message(response="utter_no_transactions", period=_period_name(period, lang))
        return forget("account", "merchant", "period")


async def _merchant_in_question(tracker: Tracker) -> str | None:
    """A merchant of the customer's that is named in the middle of another form."""
    if tracker.active_loop is None or tracker.latest_message is None:
        return None
    merchants = await merchants_of(tracker.get_slot("customer_id"))
    named = names_in({name: (name,) for name in merchants}, tracker.latest_message.text or "")
    return named[0] if len(named) == 1 else None


def transaction_line(one: Transaction, lang: str) -> str:
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
            if one.amount < 0 and one.merchant not in OWN_ACCOUNTS:
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
