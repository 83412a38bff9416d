"""Numbers as people write them: 1,250.50, 1.5k, "two hundred and fifty", 三千二, 1.2万."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

Number = int | float


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number and its characters, `start` up to and without `end`. `doubtful`: likelier a word than a number (一)."""

    start: int
    end: int
    value: Number
    doubtful: bool = False


ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {
    "hundred": 100, "thousand": 1_000, "grand": 1_000, "k": 1_000, "lakh": 100_000, "million": 1_000_000,
    "mn": 1_000_000, "m": 1_000_000, "billion": 1_000_000_000, "bn": 1_000_000_000, "trillion": 1_000_000_000_000,
}  # fmt: skip
_LONG_SCALES = "hundred|thousand|grand|lakh|million|billion|trillion"
# Digits that are not part of a word, a date, a time, a sort code or an address; eighteen at most.
_LITERAL = (
    r"(?<![A-Za-z0-9_])(?<![0-9][.,:/-])(?:-(?<![^\s(]-))?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{1,9})?(?!\d)"
)
_ENGLISH = re.compile(
    rf"(?P<digits>{_LITERAL}|(?<![A-Za-z0-9])\.\d{{1,9}}(?!\d))(?:(?P<short>k|mn|m|bn)\b|(?=p\b)|(?![A-Za-z_]|[.,:/-]\d))"
    rf"|\b(?P<word>{'|'.join([*ONES, *TENS])}|{_LONG_SCALES}|half|a|an|and)\b",
    re.IGNORECASE,
)
_ENGLISH_GATE = re.compile(rf"\d|\b(?:{'|'.join([*ONES, *TENS])}|{_LONG_SCALES})\b", re.IGNORECASE)

_CHINESE_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}
_CHINESE_DIGITS |= {c: i for i, c in enumerate("零壹贰叁肆伍陆柒捌玖")}
_CHINESE_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1_000, "仟": 1_000}
_CHINESE_SCALES = {"万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}
_HAN_DIGITS = "".join(_CHINESE_DIGITS)
_HAN_UNITS = "".join([*_CHINESE_UNITS, *_CHINESE_SCALES])
_CHINESE = re.compile(
    rf"(?:{_LITERAL}(?=[{_HAN_UNITS}])|[{_HAN_DIGITS}十拾])[{_HAN_DIGITS}{_HAN_UNITS}\d]{{0,24}}"
    rf"(?:[点點][{_HAN_DIGITS}]{{1,9}}[万亿]?)?"
)
_CHINESE_MEASURES = re.compile(r"\s*(?:个|块|元|张|笔|次|份|倍|条|位|台|毛|角|刀|英镑|美|欧|港|日|人民币|%|％)")
_MINUS = re.compile(r"(?:\b(?:minus|negative) |[负負])$", re.IGNORECASE)
_AWAITS_NUMBER = re.compile(
    r"(?:\b(?:number|no\.?|option|line|it|is|only|just|about|exactly)|[£$€#:+])$", re.IGNORECASE
)
_NOTHING_MORE = re.compile(r"[\s.,!?，。！？]*$")


def find_numerals(text: str) -> list[Numeral]:
    """The numbers in `text`, English or Chinese, in order and without overlap."""
    found: list[Numeral] = []
    if _ENGLISH_GATE.search(text):
        found.extend(_english(text))
    if not text.isascii():
        chinese = list(_chinese(text))
        found = [n for n in found if all(n.end <= c.start or c.end <= n.start for c in chinese)] + chinese
    ends = {numeral.end for numeral in found}
    return sorted((_signed(text, numeral, ends) for numeral in found), key=lambda numeral: numeral.start)


def _signed(text: str, numeral: Numeral, ends: Collection[int]) -> Numeral:
    """ "Minus five" and 负五 are below zero; after a number ("ten minus five") it is no sign."""
    sign = _MINUS.search(text[: numeral.start][-12:])
    if sign is None or numeral.value < 0:
        return numeral
    start = numeral.start - len(sign.group())
    if len(text[:start].rstrip()) in ends:
        return numeral
    return Numeral(start, numeral.end, -numeral.value, numeral.doubtful)


MOST_DIGITS = 15
"""A longer run of Chinese digits is no number that anybody means."""


def tidy(value: float) -> Number:
    """A whole number as int, another rounded to where binary fractions stop showing."""
    rounded = round(value, 9)
    return int(rounded) if abs(rounded) < 2**53 and rounded == int(rounded) else rounded


# ---- English -------------------------------------------------------------------------------------


def _english(text: str) -> Iterator[Numeral]:
    """Words that follow one another are one number as long as they can be ("two hundred and fifty")."""
    run: list[re.Match[str]] = []
    for match in _ENGLISH.finditer(text):
        if run and not re.fullmatch(r"[\s-]{1,3}|,\s", text[run[-1].end() : match.start()]):
            yield from _read_run(run)
            run = []
        run.append(match)
    yield from _read_run(run)


def _read_run(run: list[re.Match[str]]) -> Iterator[Numeral]:
    i = 0
    while i < len(run):
        length, value = _read_number(run[i:])
        if length:
            start, end = run[i].start(), run[i + length - 1].end()
            yield Numeral(start, end, tidy(value), length == 1 and _is_pronoun(run[i]))
        i += max(1, length)


def _is_pronoun(match: re.Match[str]) -> bool:
    """Whether a "one" stands for something ("the blue one"): after a word, unless that awaits a number."""
    before = match.string[: match.start()].rstrip()
    return match.group().lower() == "one" and before[-1:].isalpha() and not _AWAITS_NUMBER.search(before)


def _read_number(run: list[re.Match[str]]) -> tuple[int, float]:
    """How many of the matches make the first number, and the number; 0 when the first begins none."""
    total = group = 0.0  # group: what stands before the next thousand or million
    room = float("inf")  # the next addition must be below this ("twenty" leaves room for "five", not "ten")
    scale_before = float("inf")
    length = 0
    for i, match in enumerate(run):
        word = (match["word"] or "").lower()
        if match["digits"]:
            number = float(match["digits"].replace(",", ""))
            if i and not 0 <= number < room:
                break
            scale = _SCALES[match["short"].lower()] if match["short"] else 1
            if i and scale > 1:
                break
            group += number * scale
            room = 0
        elif word in ("a", "an", "half"):
            following = (run[i + 1]["word"] or "").lower() if i + 1 < len(run) else ""
            if i or not (following in _SCALES or (word == "half" and following in ("a", "an"))):
                if not (word in ("a", "an") and i == 1 and (run[0]["word"] or "").lower() == "half"):
                    break
                continue
            group, room = (0.5 if word == "half" else 1.0), 0
            continue
        elif word == "and":
            if not i or room not in (100.0, 1000.0):
                break
            continue
        elif word in ONES or word in TENS:
            number = ONES.get(word, TENS.get(word, 0))
            if not number < room or (number == 0 and i):
                break
            group += number
            room = 10.0 if word in TENS else 0
        elif word == "hundred":
            if not 0 < group < 100:
                break
            group, room = group * 100, 100.0
        else:
            scale = _SCALES[word]
            if not group or scale >= scale_before:
                break
            total, group, room, scale_before = total + group * scale, 0.0, min(scale, 1000.0), scale
        length = i + 1
    return length, total + group


# ---- Chinese -------------------------------------------------------------------------------------


def _chinese(text: str) -> Iterator[Numeral]:
    for match in _CHINESE.finditer(text):
        value = chinese_number(match.group())
        if value is not None:
            alone = match.end() - match.start() == 1 and not match.group().isdigit()
            # 一下, 一些, 一起: a single character counts where something is being counted.
            is_all = not match.start() and _NOTHING_MORE.match(text, match.end())
            doubtful = alone and not is_all and not _CHINESE_MEASURES.match(text, match.end())
            doubtful |= match.group() == "一" and text[match.end() : match.end() + 1] == "个"
            yield Numeral(match.start(), match.end(), value, doubtful)


def chinese_number(text: str) -> Number | None:
    """三千二 is 3200, 二〇二六 is 2026, 1.2万 is 12000; None for what is no number."""
    whole, _, fraction = text.replace("點", "点").partition("点")
    if fraction:
        scale = _CHINESE_SCALES.get(fraction[-1], 1)
        digits = "".join(str(_CHINESE_DIGITS[c]) for c in fraction if c in _CHINESE_DIGITS)
        before = chinese_number(whole)
        return None if before is None else tidy((before + float(f"0.{digits}")) * scale)
    parts = re.findall(r"-?\d[\d,]*(?:\.\d+)?|.", whole)
    if len(parts) > MOST_DIGITS:
        return None
    if len(parts) > 1 and all(part in _CHINESE_DIGITS for part in parts):
        return int("".join(str(_CHINESE_DIGITS[part]) for part in parts))
    total = section = number = 0.0
    unit_before = 1.0  # so that the last digit of 三千二 counts hundreds
    for i, part in enumerate(parts):
        if part in _CHINESE_UNITS:
            unit = _CHINESE_UNITS[part]
            section += (number or (1.0 if not i or part in "十拾" else 0.0)) * unit
            number, unit_before = 0.0, unit
        elif part in _CHINESE_SCALES:
            scale = _CHINESE_SCALES[part]
            if scale == 100_000_000:
                total, section = (total + section + number) * scale, 0.0
            else:
                total, section = total + (section + number) * scale, 0.0
            number, unit_before = 0.0, scale
        else:
            digit = _CHINESE_DIGITS.get(part)
            if number and i:
                return None  # 一二百: "one or two hundred"
            number = float(part.replace(",", "")) if digit is None else float(digit)
            if digit == 0:
                unit_before = 1.0
            elif i == len(parts) - 1 and unit_before >= 100:
                number *= unit_before / 10
    return tidy(total + section + number)
