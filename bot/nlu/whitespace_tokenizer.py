"""Tokens between spaces, without the punctuation around them: Rasa's default tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.messages import Parse, Token
from bot.nlu.languages import detect_language
from bot.nlu.tokens import INTENT_OPTIONS, MAX_CHARACTERS, apply_token_pattern, compile_token_pattern, split_unspaced

_CHUNK = re.compile(r"\S+")
# Rasa's three rules, for one chunk between spaces: punctuation at its end; punctuation at its start
# unless a number follows ("-5", "$20"); inside, what belongs neither to numbers (10'000.00) nor to
# addresses (a.b@c.com, http://x/y?z=1).
_PUNCTUATION = re.compile(
    r"[^\w#@&]+$|^[^\w#@&]+(?=[^0-9])|(?<=[^0-9])[^\w._~:/?#\[\]()@!$&*+,;=-]+(?=[^0-9])",
)
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u27bf\u2190-\u21ff\u2300-\u23ff\u2b00-\u2bff"
    "\u200c\u200d\ufe0f\u20e3]+"
)


class WhitespaceTokenizer:
    """Splits at spaces; Chinese, Japanese and Thai at every character."""

    passes_over = (*INTENT_OPTIONS, "case_sensitive")

    def __init__(
        self,
        *,
        token_pattern: str | None = None,
        languages: Sequence[str] = ("en",),
    ) -> None:
        self._token_pattern = compile_token_pattern(token_pattern)
        self._languages = tuple(languages)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.tokens = apply_token_pattern(tokenize(parse.text), self._token_pattern)
            parse.language = parse.language or detect_language(parse.text, self._languages)


def tokenize(text: str) -> list[Token]:
    """Rasa's tokens of `text`; a text that is nothing but symbols is one token, as there."""
    tokens: list[Token] = []
    for chunk in _CHUNK.finditer(text, 0, MAX_CHARACTERS):
        word, offset = chunk.group(), chunk.start()
        if word.isalnum():
            tokens.append(Token(word, offset, chunk.end()))
            continue
        at = 0
        for cut in _PUNCTUATION.finditer(word):
            if cut.start() > at:
                tokens.append(Token(word[at : cut.start()], offset + at, offset + cut.start()))
            at = cut.end()
        if at < len(word):
            tokens.append(Token(word[at:], offset + at, chunk.end()))
    tokens = [token for token in tokens if not _EMOJI.fullmatch(token.text)]
    if not tokens and text.strip():
        whole = text[:MAX_CHARACTERS]
        start = len(whole) - len(whole.lstrip())
        tokens = [Token(whole.strip(), start, start + len(whole.strip()))]
    return split_unspaced(tokens)
