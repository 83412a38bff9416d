"""Which of a project's languages a text is written in, told by its script."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Scripts in the order in which they decide; a language that is in no row is written in Latin letters.
_SCRIPTS: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    (re.compile(r"[\u3041-\u30ff\uff66-\uff9d]"), frozenset({"ja"})),
    (re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U000323af]"), frozenset({"zh", "yue", "ja"})),
    (re.compile(r"[\uac00-\ud7a3\u1100-\u11ff]"), frozenset({"ko"})),
    (re.compile(r"[\u0400-\u04ff]"), frozenset({"ru", "uk", "bg", "sr", "mk", "be", "kk", "ky", "mn", "tg"})),
    (re.compile(r"[\u0600-\u06ff\u0750-\u077f]"), frozenset({"ar", "fa", "ur", "ps"})),
    (re.compile(r"[\u0590-\u05ff]"), frozenset({"he", "yi"})),
    (re.compile(r"[\u0370-\u03ff]"), frozenset({"el"})),
    (re.compile(r"[\u0e00-\u0e7f]"), frozenset({"th"})),
    (re.compile(r"[\u0900-\u097f]"), frozenset({"hi", "mr", "ne"})),
)
_OTHER_THAN_LATIN = frozenset().union(*(codes for _, codes in _SCRIPTS))
_HAN = _SCRIPTS[1][0]
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
# In a mixed text, the language of the grammar is the customer's; names and brands may be in any script.
_CHINESE_GRAMMAR = re.compile(r"[的了吗呢吧我你您他她这那哪是在把被给请想要有没不怎什么多少能可以帮下个]")
_ENGLISH_GRAMMAR = re.compile(
    r"\b(?:i|i'm|am|is|are|was|my|me|the|a|an|to|from|for|of|and|please|can|you|your|do|does|what|how|with|it|this)\b",
    re.IGNORECASE,
)


def detect_language(text: str, languages: Sequence[str]) -> str | None:
    """The one of `languages` that `text` is in, as the project spells it (`zh`, `zh-CN`).

    Latin letters say no more than "the first language that is written with them". None when there is
    nothing to tell by (digits, punctuation, emoji), or when no language of the project has the script.
    """
    latin = next((code for code in languages if _base(code) not in _OTHER_THAN_LATIN), None)
    for letters, codes in _SCRIPTS:
        if letters.search(text):
            own = next((code for code in languages if _base(code) in codes), None)
            if own and latin and letters is _HAN and _reads_as_latin(text):
                return latin
            if own or letters is not _HAN or not _LATIN_WORD.search(text):
                return own
    return latin if _LATIN_WORD.search(text) else None


def _base(code: str) -> str:
    return re.split("[-_]", code.lower(), maxsplit=1)[0]


def _reads_as_latin(text: str) -> bool:
    """Whether a text with Chinese characters is a Latin-script sentence about a Chinese name."""
    words = _LATIN_WORD.findall(text)
    if not words or _CHINESE_GRAMMAR.search(text):
        return False
    return bool(_ENGLISH_GRAMMAR.search(text)) or len(words) > len(_HAN.findall(text))


_OK = re.compile(r"\W*o\.?k(?:ay)?\W*", re.IGNORECASE)


def is_said_in_any_language(text: str) -> bool:
    """OK is OK in the middle of Chinese, too."""
    return _OK.fullmatch(text) is not None


def is_a_few_words(text: str, at_most: int = 3) -> bool:
    """Whether a text in Latin letters may be a name or a borrowed word: a few words, and none of grammar."""
    words = _LATIN_WORD.findall(text)
    return 0 < len(words) <= at_most and not _ENGLISH_GRAMMAR.search(text) and not _HAN.search(text)
