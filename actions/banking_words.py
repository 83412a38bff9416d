"""How the banking pack reads and writes money, days, accounts and cards, in English and Chinese."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeVar

from bot.tracker import Tracker

from .core_banking import Account, Card, Payee

SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$", "CNY": "¥"}
LARGEST = 10**12
"""Pence; what is more is not an amount but a mistake."""

_NAMES = {
    "en": {
        "checking": "current account",
        "savings": "savings account",
        "credit_card": "credit card",
        "debit_card": "debit card",
        "groceries": "groceries",
        "restaurants": "restaurants",
        "transport": "transport",
        "shopping": "shopping",
        "utilities": "utilities",
        "entertainment": "entertainment",
        "health": "health",
        "other": "other",
    },
    "zh": {
        "checking": "活期账户",
        "savings": "储蓄账户",
        "credit_card": "信用卡",
        "debit_card": "借记卡",
        "groceries": "日用食品",
        "restaurants": "餐饮",
        "transport": "交通",
        "shopping": "购物",
        "utilities": "水电网费",
        "entertainment": "娱乐",
        "health": "医疗健康",
        "other": "其他",
    },
}


def language(tracker: Tracker) -> str:
    """en or zh: the languages this pack writes."""
    return "zh" if (tracker.language or "").startswith("zh") else "en"


def name_of(kind: str, lang: str) -> str:
    """The words for a kind of account or card, or a category; a merchant's name stays as it is."""
    return _NAMES[lang].get(kind, kind)


def titled(name: str) -> str:
    """With a capital first letter: at the beginning of a line, or on a button."""
    return name[:1].upper() + name[1:]


def account_name(account: Account | Card, lang: str) -> str:
    """Savings account ••5678."""
    return f"{name_of(account.kind, lang)} {account.masked}"


def payee_name(payee: Payee, lang: str) -> str:
    """A payee's name; an own account by its kind and number."""
    if payee.own_account is None:
        return payee.name
    return f"{'您的' if lang == 'zh' else 'your '}{account_name(payee.own_account, lang)}"


def day_name(day: date, lang: str) -> str:
    """12 Nov 2026, 2026年11月12日."""
    if lang == "zh":
        return f"{day.year}年{day.month}月{day.day}日"
    return f"{day.day} {calendar.month_abbr[day.month]} {day.year}"


# ---- money ---------------------------------------------------------------------------------------


def money(pence: int, currency: str) -> str:
    """£1,234.50."""
    sign = "-" if pence < 0 else ""
    pounds, rest = divmod(abs(pence), 100)
    return f"{sign}{SYMBOLS.get(currency, currency + ' ')}{pounds:,}.{rest:02d}"


class BadAmount(ValueError):
    """Not an amount that can be sent; `reason` is unclear, not_positive, too_precise or too_large."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_amount(value: Any) -> int:
    """An amount as a number or its text, in pence. Never through a float's arithmetic. Raises `BadAmount`."""
    if isinstance(value, bool):
        raise BadAmount("unclear")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise BadAmount("unclear") from None
    if not amount.is_finite():
        raise BadAmount("unclear")
    if amount <= 0:
        raise BadAmount("not_positive")
    if amount * 100 > LARGEST:
        raise BadAmount("too_large")
    pence = amount * 100
    if pence != pence.to_integral_value():
        raise BadAmount("too_precise")
    return int(pence)


_NOT_MEANT = re.compile(r"(?:\bnot|\binstead of|\brather than|不是|而不是)\s*$", re.IGNORECASE)


def amount_meant(tracker: Tracker) -> Any:
    """Of several amounts in the latest message, the one that is not denied: "250, not 25"; None without such a one."""
    message = tracker.latest_message
    entities = [e for e in message.entities if e.get("entity") in ("amount-of-money", "number")] if message else []
    text = (message.text or "") if message else ""
    meant = [e for e in entities if not _NOT_MEANT.search(text[: e.get("start", 0)])]
    return meant[-1].get("value") if meant and len(meant) < len(entities) else None


def as_text(pence: int) -> str:
    """300.00: an amount as it is kept in a slot."""
    return f"{pence // 100}.{pence % 100:02d}"


_FOREIGN_WORDS = re.compile("人民币|rmb|cny|美|欧|日元|日圆|港|加元|澳|¥", re.IGNORECASE)
_UNITS = {"£": "GBP", "€": "EUR", "$": "USD", "¥": "CNY"}


def foreign_currency(tracker: Tracker, value: Any, currency: str) -> str | None:
    """The currency that the latest message names for this amount, when it is not the account's.

    块 and 元 alone mean "units of money" in everyday Chinese and are taken as the account's; the
    confirmation that follows names the currency.
    """
    message = tracker.latest_message
    for entity in message.entities if message else ():
        if entity.get("entity") != "amount-of-money" or entity.get("value") != value:
            continue
        unit = str((entity.get("additional_info") or {}).get("unit") or "")
        unit = _UNITS.get(unit, unit.upper())
        said = (message.text or "")[entity.get("start", 0) : entity.get("end", 0)] if message else ""
        is_colloquial = unit == "CNY" and re.search("[块元]", said) and not _FOREIGN_WORDS.search(said)
        if unit not in ("", "UNKNOWN", currency) and not is_colloquial:
            return unit
    return None


# ---- what the customer names ---------------------------------------------------------------------


class _Numbered(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def number(self) -> str: ...


_N = TypeVar("_N", bound=_Numbered)


def matching(items: Iterable[_N], said: Any) -> list[_N]:
    """The accounts or cards meant by a kind (`savings`) or by the last digits of a number."""
    word = str(said)
    return [item for item in items if item.kind == word or (len(word) >= 4 and item.number.endswith(word))]


def shortest_name(item: _N, items: Sequence[_N]) -> str:
    """What `matching` finds only this item by: its kind, or the last four digits where two are of a kind."""
    return item.kind if sum(other.kind == item.kind for other in items) == 1 else item.number[-4:]


def matching_names(names: Mapping[str, Sequence[str]], said: Any) -> list[str]:
    """The keys of which a name is what was said, or else is part of it or the other way round."""
    word = plain(str(said))
    lowered = {key: [plain(name) for name in each if name] for key, each in names.items()}
    exact = [key for key, each in lowered.items() if word in each]
    if exact or not word:
        return exact
    return [
        key for key, each in lowered.items() if any(_contains(word, name) or _contains(name, word) for name in each)
    ]


def names_in(names: Mapping[str, Sequence[str]], text: str) -> list[str]:
    """The keys of which a name stands in the text: a whole one, or else one of its words ("tom" of Tom Baker)."""
    text = plain(text)
    lowered = {key: [plain(name) for name in each if name] for key, each in names.items()}
    whole = [key for key, each in lowered.items() if any(_contains(text, name) for name in each)]
    if whole:
        return whole
    words = {key: [word for name in each for word in name.split() if len(word) > 2] for key, each in lowered.items()}
    return [key for key, each in words.items() if any(_contains(text, word) for word in each)]


def _contains(text: str, name: str) -> bool:
    """Whole words in a script that has spaces; any part in one that has none."""
    if name.isascii():
        return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text) is not None
    return len(name) > 1 and name in text


def plain(text: str) -> str:
    """Lower case, and full-width characters (１２３) as ordinary ones."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


_ACCOUNT_KINDS = {
    "checking": re.compile(r"\b(?:current|checking|main|everyday)\b|活期"),
    "savings": re.compile(r"\b(?:savings?|isa)\b|储蓄|存款"),
    "credit_card": re.compile(r"\bcredit\b|信用卡"),
}


def account_kind_in(text: str) -> str | None:
    """The one kind of account that a short answer names ("current", 用储蓄的); None when there is none, or several."""
    found = [kind for kind, pattern in _ACCOUNT_KINDS.items() if pattern.search(plain(text))]
    return found[0] if len(found) == 1 else None


_CARD_KINDS = {
    "debit_card": re.compile(r"\b(?:debit|visa|bank card)\b|借记|储蓄卡"),
    "credit_card": re.compile(r"\b(?:credit|mastercard)\b|信用"),
}


def card_kind_in(text: str) -> str | None:
    """The one kind of card that a short answer names; None when there is none, or both."""
    found = [kind for kind, pattern in _CARD_KINDS.items() if pattern.search(plain(text))]
    return found[0] if len(found) == 1 else None


_TOWARDS = re.compile(r"(?:\b(?:to|into)\s+(?:my\s+|the\s+)?|[到至给入进往]\s*(?:我的?)?\s*)$", re.IGNORECASE)


def accounts_mentioned(tracker: Tracker) -> tuple[str | None, str | None]:
    """The accounts that the latest message names as (from, to): "from checking to my savings"."""
    source = target = None
    message = tracker.latest_message
    for entity in message.entities if message else ():
        if entity.get("entity") != "account":
            continue
        if _TOWARDS.search((message.text or "")[: entity.get("start", 0)] if message else ""):
            target = str(entity.get("value"))
        else:
            source = str(entity.get("value"))
    return source, target


# ---- time ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date


def read_period(value: Any, tracker: Tracker) -> Period | None:
    """A `time` entity's value: an ISO time, whose grain says how long it lasts, or `{"from", "to"}`."""
    if isinstance(value, Mapping):
        first, last = _day(value.get("from")), _day(value.get("to"), is_end=True)
        if first is None and last is None:
            return None
        return Period(first or date.min, last or date.max)
    first = _day(value)
    if first is None:
        return None
    before, said, after = _around(value, tracker)
    if _WEEKDAY.search(said):
        first -= timedelta(days=max(0, (first - date.today()).days + 6) // 7 * 7)
    if _SINCE.search(f"{before}{said}") or _FROM_THEN_ON.match(after):
        return Period(in_the_past(Period(first, first), date.today()).first, date.max)
    match _grain(value, tracker):
        case "year":
            last = date(first.year, 12, 31)
        case "quarter":
            last = _month_end(first + timedelta(days=62))
        case "month":
            last = _month_end(first)
        case "week":
            last = first + timedelta(days=6)
        case _:
            last = first
    return Period(first, last)


_WEEKDAY = re.compile(r"\b(?:mon|tue|wed|thu|fri|sat|sun)|星期|礼拜|周[一二三四五六日天]", re.IGNORECASE)
_SINCE = re.compile(r"\bsince\b|自从?\w*$", re.IGNORECASE)
_FROM_THEN_ON = re.compile(r"\s*(?:以来|之后|至今|起|开始|到现在)")


def _around(value: Any, tracker: Tracker) -> tuple[str, str, str]:
    """The text before a `time` entity of this value, its own text, and the text after it."""
    text = (tracker.latest_message.text or "") if tracker.latest_message else ""
    for entity in tracker.latest_message.entities if tracker.latest_message else ():
        if entity.get("entity") == "time" and entity.get("value") == value:
            start, end = entity.get("start", 0), entity.get("end", 0)
            return text[:start], text[start:end], text[end:]
    return "", "", ""


def is_greeting(value: Any, tracker: Tracker) -> bool:
    """Whether a `time` is that of "good morning" or 早上好, which is no time at all."""
    before, said, after = _around(value, tracker)
    return bool(said) and (before.rstrip().lower().endswith("good") or after.startswith("好") or said.endswith("好"))


def in_the_past(period: Period, today: date) -> Period:
    """The same days of an earlier year while they lie ahead: "October" said in March is the last one."""
    while period.first > today:
        period = Period(_year_before(period.first), _year_before(period.last))
    return period


def _year_before(day: date) -> date:
    return _month_end(date(day.year - 1, 2, 1)) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


def _grain(value: Any, tracker: Tracker) -> str | None:
    for entity in tracker.latest_message.entities if tracker.latest_message else ():
        if entity.get("entity") == "time" and entity.get("value") == value:
            grain: str | None = (entity.get("additional_info") or {}).get("grain")
            return grain
    return None


def _month_end(day: date) -> date:
    return date(day.year, day.month, calendar.monthrange(day.year, day.month)[1])


def _day(value: Any, *, is_end: bool = False) -> date | None:
    """The day of an ISO time. The end of an interval is the first moment that is no longer in it."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    if is_end and "T" in str(value) and (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return moment.date() - timedelta(days=1)
    return moment.date()
