"""Amounts, numbers, times, durations, telephone numbers, e-mail and web addresses in a message.

What Duckling's server would find, in its shapes and under its names ("dimensions"), for English and
Chinese; dates also in the languages of dateparser. Each dimension costs one cheap search where there is
nothing of its kind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.nlu.dates import Moment, find_moments
from bot.nlu.numerals import ONES, TENS, Number, Numeral, chinese_number, find_numerals, tidy

DIMENSIONS = ("email", "url", "phone-number", "time", "amount-of-money", "duration", "ordinal", "number")
"""In the order in which they win over another of the same length."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Characters `start` up to `end` mean `value`; `info` is Duckling's `value` object."""

    dimension: str
    start: int
    end: int
    value: Any
    info: dict[str, Any]


def find_quantities(
    text: str,
    *,
    now: datetime,
    language: str | None = "en",
    dimensions: Collection[str] = DIMENSIONS,
    regions: Sequence[str] = ("GB", "US"),
    day_first: bool = True,
) -> list[Quantity]:
    """What `text` says of the wanted dimensions, in order; of overlapping readings the longest stays.

    `regions` (ISO 3166) are the countries whose telephone numbers may come without +44.
    """
    found: list[Quantity] = []
    if "email" in dimensions and "@" in text:
        found.extend(_emails(text))
    if "url" in dimensions and ("://" in text or "www." in text):
        found.extend(_urls(text))
    if "phone-number" in dimensions and _PHONE_GATE.search(text):
        found.extend(_phones(text, regions))
    if "time" in dimensions:
        found.extend(_times(text, language, now, day_first))
    if "ordinal" in dimensions and _ORDINAL_GATE.search(text):
        found.extend(_ordinals(text))
    wants_money, wants_duration, wants_number = (d in dimensions for d in ("amount-of-money", "duration", "number"))
    if wants_money or wants_duration or wants_number:
        numerals = find_numerals(text)
        if wants_money:
            found.extend(_join_pence(text, list(_amounts(text, numerals, language))))
        if wants_duration:
            found.extend(_durations(text, numerals))
        if wants_number:
            found.extend(_quantity("number", n.start, n.end, n.value) for n in numerals if not n.doubtful)
    return _longest(found) if len(found) > 1 else found


def _quantity(dimension: str, start: int, end: int, value: Any, **info: Any) -> Quantity:
    return Quantity(dimension, start, end, value, {"value": value, "type": "value", **info})


def _longest(found: Sequence[Quantity]) -> list[Quantity]:
    taken: set[int] = set()
    kept: list[Quantity] = []
    for quantity in sorted(found, key=lambda q: (q.start - q.end, q.start, DIMENSIONS.index(q.dimension))):
        characters = range(quantity.start, quantity.end)
        if taken.isdisjoint(characters):
            taken.update(characters)
            kept.append(quantity)
    return sorted(kept, key=lambda quantity: quantity.start)


# ---- addresses -----------------------------------------------------------------------------------

# Each begins where its run of characters begins, so that a long run is looked at once.
_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9][\w.%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.ASCII
)
_URL = re.compile(
    r"(?<![A-Za-z0-9])(?:https?://|www\.)(?P<domain>[A-Za-z0-9.-]{1,253})[^\s<>\"'，。；！？）]*", re.ASCII
)


def _emails(text: str) -> Iterator[Quantity]:
    for match in _EMAIL.finditer(text):
        yield _quantity("email", match.start(), match.end(), match.group())


def _urls(text: str) -> Iterator[Quantity]:
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,;:!?)")
        domain = match["domain"].rstrip(".")
        if "." in url:
            yield _quantity("url", match.start(), match.start() + len(url), url, domain=domain)


_PHONE_GATE = re.compile(r"[+＋(]?\d(?:[ ().-]{0,3}\d){6}")


def _phones(text: str, regions: Sequence[str]) -> Iterator[Quantity]:
    import phonenumbers

    seen: set[int] = set()
    for region in regions or (None,):
        # At most a few attempts: a text full of digits is no list of telephone numbers.
        for match in phonenumbers.PhoneNumberMatcher(text, region, max_tries=20):
            if seen.isdisjoint(range(match.start, match.end)):
                seen.update(range(match.start, match.end))
                number = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
                yield _quantity("phone-number", match.start, match.end, number)


# ---- times ---------------------------------------------------------------------------------------


def _times(text: str, language: str | None, now: datetime, day_first: bool) -> Iterator[Quantity]:
    code = (language or "en").replace("_", "-").split("-")[0].lower()
    for moment in find_moments(text, code, now, day_first=day_first):
        yield _time(moment)


def _time(moment: Moment) -> Quantity:
    begin = moment.begin.isoformat(timespec="milliseconds")
    if moment.until is None:
        values = [{"value": begin, "grain": moment.grain, "type": "value"}]
        return _quantity("time", moment.start, moment.end, begin, grain=moment.grain, values=values)
    until = moment.until.isoformat(timespec="milliseconds")
    ends = {"from": {"value": begin, "grain": moment.grain}, "to": {"value": until, "grain": moment.grain}}
    info = {"type": "interval", **ends, "values": [{"type": "interval", **ends}]}
    return Quantity("time", moment.start, moment.end, {"to": until, "from": begin}, info)


# ---- money ---------------------------------------------------------------------------------------

_CURRENCIES: dict[str, str] = {
    "USD": r"us ?\$|usd|us dollars?|dollars?|bucks?|美元|美金|美刀|刀|\$",
    "GBP": r"gbp|pounds? sterling|british pounds?|pounds?|quid|英镑|£|￡",
    "EUR": r"eur|euros?|欧元|€",
    "CNY": r"cny|rmb|renminbi|yuan|kuai|人民币|块钱|元钱|块|元|圆",
    "HKD": r"hk ?\$|hkd|hong kong dollars?|港币|港元",
    "JPY": r"jpy|yen|日元|日圆",
    "INR": r"inr|rupees?|rs\.?|卢比|₹",
    "CAD": r"ca ?\$|cad|canadian dollars?|加元|加币",
    "AUD": r"au ?\$|aud|australian dollars?|澳元|澳币",
    "SGD": r"sgd|singapore dollars?|新元|新币",
    "CHF": r"chf|swiss francs?|francs?|瑞士法郎|瑞郎",
    "KRW": r"krw|won|韩元|₩",
    "TWD": r"nt ?\$|twd|台币",
    "AED": r"aed|dirhams?",
    "SEK": r"sek", "NOK": r"nok", "DKK": r"dkk", "PLN": r"pln|zloty", "ZAR": r"zar|rand", "NZD": r"nzd",
    "THB": r"thb|baht|泰铢", "MYR": r"myr|ringgit", "BRL": r"brl|reais", "MXN": r"mxn|pesos?", "RUB": r"rub|roubles?",
    "¥": r"¥|￥",
}  # fmt: skip
_UNITS = [(word, code) for code, words in _CURRENCIES.items() for word in words.split("|")]
_UNITS.sort(key=lambda unit: -len(unit[0]))  # "us dollars" before "dollars"
_ANY = "|".join(word for word, _ in _UNITS)
# Before the number stand signs and codes, not words ("I won 5 games").
_CODES_AND_SIGNS = "|".join(word for word, code in _UNITS if not word.isascii() or word.upper() == code or "$" in word)
_BEFORE = re.compile(rf"(?<![A-Za-z])(?P<unit>rmb|rs\.?|{_CODES_AND_SIGNS}) ?$", re.IGNORECASE)
_AFTER = re.compile(rf" ?(?P<unit>{_ANY})(?![A-Za-z])", re.IGNORECASE)
_CODES = [(re.compile(word, re.IGNORECASE), code) for word, code in _UNITS]
_PENCE = re.compile(r" ?(?P<unit>p|pence|penny|pennies|cents?|¢)(?![A-Za-z])", re.IGNORECASE)
_AND = re.compile(r",? (?:and )?", re.IGNORECASE)
_MAO = re.compile(r"(?P<mao>[\d一二三四五六七八九])(?:[毛角](?:(?P<fen>[\d一二三四五六七八九])分)?|(?![\d\w]))")
_SLANG = re.compile(r"\b(?:a )?(?P<word>fiver|tenner)\b", re.IGNORECASE)
_LONGEST_UNIT = 22


def _amounts(text: str, numerals: Sequence[Numeral], language: str | None) -> Iterator[Quantity]:
    for numeral in numerals:
        after = _AFTER.match(text, numeral.end)
        before = _BEFORE.search(text[max(0, numeral.start - _LONGEST_UNIT) : numeral.start])
        if pence := _PENCE.match(text, numeral.end):
            unit = "USD" if pence["unit"].lower().startswith(("c", "¢")) else "GBP"
            value: Number = tidy(numeral.value / 100)
            yield _quantity("amount-of-money", numeral.start, pence.end(), value, unit=unit)
        elif after or before:
            start, end = numeral.start, numeral.end
            if before:
                start = max(0, numeral.start - _LONGEST_UNIT) + before.start()
            if after:
                end = after.end()
            unit = _code((before or after)["unit"], language)  # type: ignore[index]
            if before and after and unit == "¥":
                unit = _code(after["unit"], language)
            value = numeral.value
            if after and after["unit"] in ("块", "元") and (mao := _MAO.match(text, end)):
                value, end = tidy(value + _jiao(mao["mao"]) / 10 + _jiao(mao["fen"] or "零") / 100), mao.end()
            yield _quantity("amount-of-money", start, end, value, unit=unit)
    for match in _SLANG.finditer(text):
        value = 5 if match["word"].lower() == "fiver" else 10
        yield _quantity("amount-of-money", match.start(), match.end(), value, unit="GBP")


def _join_pence(text: str, amounts: Sequence[Quantity]) -> list[Quantity]:
    """ "£5 and 20 pence" is one amount."""
    joined: list[Quantity] = []
    for amount in amounts:
        before = joined[-1] if joined else None
        if (
            before is not None
            and _AND.fullmatch(text[before.end : amount.start])
            and _PENCE.search(text[amount.start : amount.end])
            and before.info["unit"] == amount.info["unit"]
        ):
            value, unit = tidy(before.value + amount.value), amount.info["unit"]
            joined[-1] = _quantity("amount-of-money", before.start, amount.end, value, unit=unit)
        else:
            joined.append(amount)
    return joined


def _jiao(character: str) -> int:
    return int(character) if character.isdigit() else "零一二三四五六七八九".index(character)


def _code(unit: str, language: str | None) -> str:
    code = next(code for pattern, code in _CODES if pattern.fullmatch(unit))
    # One sign, two currencies.
    return code if code != "¥" else "JPY" if (language or "zh").startswith("ja") else "CNY"


# ---- durations and ordinals ----------------------------------------------------------------------

_SECONDS = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800, "month": 2_592_000, "quarter": 7_776_000,
    "year": 31_536_000,
}  # fmt: skip
_GRAIN_WORDS = {
    "second": r"seconds?|secs?|秒钟?", "minute": r"minutes?|mins?|分钟", "hour": r"hours?|hrs?|个?小时|个?钟头",
    "day": r"days?|天", "week": r"weeks?|周|个?星期|个?礼拜", "month": r"months?|个月", "quarter": r"quarters?|个?季度",
    "year": r"years?|yrs?|年",
}  # fmt: skip
_GRAIN = re.compile(
    r"[ -]?(?:" + "|".join(f"(?P<{grain}>{words})" for grain, words in _GRAIN_WORDS.items()) + r")(?![A-Za-z])",
    re.IGNORECASE,
)
_ONE_OF = re.compile(r"\b(?P<half>half )?an? (?P<grain>second|minute|hour|day|week|month|year)\b", re.IGNORECASE)


_HALVES = {"小时": "hour", "天": "day", "月": "month", "年": "year"}
_CHINESE_HALF = re.compile(rf"半个?(?P<grain>{'|'.join(_HALVES)})")


def _durations(text: str, numerals: Sequence[Numeral]) -> Iterator[Quantity]:
    for numeral in numerals:
        if match := _GRAIN.match(text, numeral.end):
            yield _duration(numeral.start, match.end(), numeral.value, str(match.lastgroup))
    for match in _ONE_OF.finditer(text):
        yield _duration(match.start(), match.end(), 0.5 if match["half"] else 1, match["grain"].lower())
    for match in _CHINESE_HALF.finditer(text):
        yield _duration(match.start(), match.end(), 0.5, _HALVES[match["grain"]])


def _duration(start: int, end: int, value: Number, grain: str) -> Quantity:
    seconds = {"value": tidy(value * _SECONDS[grain]), "unit": "second"}
    return _quantity("duration", start, end, value, **{grain: value}, unit=grain, normalized=seconds)


_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
_ORDINAL_WORDS = (
    {f"{word}th": n for word, n in ONES.items() if n > 3 and n not in (5, 8, 9, 12)}
    | {f"{word[:-1]}ieth": n for word, n in TENS.items()}
    | _IRREGULAR
)
_ORDINAL = re.compile(
    r"(?<![A-Za-z0-9])(?P<digits>\d{1,9})(?:st|nd|rd|th)\b"
    rf"|\b(?:(?P<tens>{'|'.join(TENS)})[ -])?(?P<word>{'|'.join(_ORDINAL_WORDS)})\b"
    r"|第(?P<chinese>[\d零一二两三四五六七八九十百千万]{1,9})",
    re.IGNORECASE,
)
_ORDINAL_GATE = re.compile(r"\dst|\dnd|\drd|\dth|\b(?:first|second|third)|th\b|第", re.IGNORECASE)
_COUNTED = re.compile(r"(?:\d|\b(?:an?|one|every|per|split|half))\s$", re.IGNORECASE)


def _ordinals(text: str) -> Iterator[Quantity]:
    for match in _ORDINAL.finditer(text):
        value: Number | None
        if match["digits"]:
            value = int(match["digits"])
        elif match["chinese"]:
            value = chinese_number(match["chinese"])
        else:
            value = _ORDINAL_WORDS[match["word"].lower()] + TENS.get((match["tens"] or "").lower(), 0)
            if match["word"].lower() == "second" and _COUNTED.search(text[: match.start()][-8:]):
                continue  # "wait a second"
        if value is not None:
            yield _quantity("ordinal", match.start(), match.end(), value)
