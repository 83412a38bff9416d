"""Amounts, percentages, telephone numbers and addresses in a text: what a bank must not invent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_DIGITS = re.compile(r"\d+(?:[ ,.\-\u00a0\u202f]\d+)*")
_BETWEEN = re.compile(r"[ ,\-\u00a0\u202f]")
_LIST_MARK = re.compile(r"^\s*\d{1,2}[.)、]\s+", re.MULTILINE)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_CONTACT = re.compile(
    r"https?://[^\s，。；）)]+|www\.[^\s，。；）)]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b"
)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_ENGLISH = {word: str(number) for number, word in enumerate(_SMALL.split())}
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_ENGLISH |= {word: str(number) for number, word in zip(range(30, 110, 10), _TENS.split(), strict=True)}
_ENGLISH |= {"thousand": "1000", "million": "1000000", "billion": "1000000000", "half": "0.5"}
_FREELY_USED = {"zero", "one", "two", "half"}
"""Words of everyday speech (`one of these`), which a text may use without stating a figure."""
_CHINESE = re.compile(
    r"百分之[零〇一二两三四五六七八九十百点]+|"
    r"[零〇一二两三四五六七八九十百千万亿]+(?=\s*(?:英镑|镑|便士|美元|欧元|元|块|%|％|个|天|小时|分钟|年|月|周|次|位|岁))"
)
_CHINESE_DIGITS = {char: str(number) for number, char in enumerate("零一二三四五六七八九十")} | {"两": "2", "〇": "0"}


def invented(answer: str, sources: Iterable[str]) -> set[str]:
    """The figures and addresses of the answer that no source states; `£1,000.00` and `1000 pounds` are the same figure.

    A number in words counts as its digits. Everyday words (`one`, `two`, 一, 两) are let pass.
    """
    stated: set[str] = set()
    words = ""
    for source in sources:
        for digits, parts in _runs(source):
            stated.add(digits)
            # `9-17` are two figures, and `0800 123 456` is one.
            stated.update(parts if len(parts) == 2 else ())
        stated |= {digits for word, digits in _ENGLISH.items() if re.search(rf"\b{word}\b", source, re.IGNORECASE)}
        stated |= {_CHINESE_DIGITS.get(found, found) for found in _CHINESE.findall(source)}
        words += source.lower() + "\n"
    said = {digits for digits, parts in _runs(_LIST_MARK.sub("", answer)) if not stated.issuperset(parts)}
    said |= {
        digits
        for word, digits in _ENGLISH.items()
        if word not in _FREELY_USED and re.search(rf"\b{word}\b", answer, re.IGNORECASE)
    }
    said |= {_CHINESE_DIGITS.get(found, found) for found in _CHINESE.findall(answer) if found not in ("一", "两", "二")}
    contacts = {contact.rstrip(".,;") for contact in _CONTACT.findall(answer)}
    return (said - stated) | {contact for contact in contacts if contact.lower() not in words}


def _runs(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each figure in digits in one spelling (`1,000.00` is 1000, `0800 123-456` is 0800123456), and its parts."""
    for match in _DIGITS.findall(unicodedata.normalize("NFKC", text)):
        whole = _plain(_BETWEEN.sub("", match))
        yield whole, [whole] if _GROUPED.fullmatch(match) else [_plain(part) for part in _BETWEEN.split(match)]


def _plain(digits: str) -> str:
    """Without zeros after the decimal point."""
    return digits.rstrip("0").rstrip(".") if digits.count(".") == 1 else digits
