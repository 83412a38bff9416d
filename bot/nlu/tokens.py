"""Cutting text into tokens: what all tokenizers and extractors share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.errors import ConfigError
from bot.messages import Token

MAX_CHARACTERS = 5_000
"""Tokenizers and extractors read this much of a text, so that no customer can keep a worker busy."""

INTENT_OPTIONS = ("intent_tokenization_flag", "intent_split_symbol", "prefix_separator_symbol")
"""Options of Rasa's tokenizers that cut up an intent's name, which is whole here."""

# Languages written without spaces are cut at every character.
_UNSPACED = r"\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U000323af\u3041-\u30ff\u0e00-\u0e7f"
# A letter run takes its combining marks along (\w leaves out the vowel signs of Hindi, say).
_FINE = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}_])\w|[\u0300-\u036f\u0900-\u0903\u093a-\u094f])+|[^\s]")
_RUNS = re.compile(rf"[{_UNSPACED}]|[^{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def fine_tokens(text: str) -> list[Token]:
    """The smallest useful tokens: runs of letters and digits, single Chinese characters, single symbols.

    No entity ends inside one, whatever the pipeline's tokenizer makes of "£20" or "转500给小明".
    """
    return [Token(match.group(), match.start(), match.end()) for match in _FINE.finditer(text, 0, MAX_CHARACTERS)]


def split_unspaced(tokens: Sequence[Token]) -> list[Token]:
    """Cut the characters of unspaced scripts (Chinese, Japanese, Thai) apart; other tokens stay whole."""
    out: list[Token] = []
    for token in tokens:
        if _HAS_UNSPACED.search(token.text):
            out.extend(
                Token(run.group(), token.start + run.start(), token.start + run.end())
                for run in _RUNS.finditer(token.text)
            )
        else:
            out.append(token)
    return out


def compile_token_pattern(token_pattern: str | None) -> re.Pattern[str] | None:
    """Rasa's `token_pattern` option; ConfigError when it is no regular expression."""
    if not token_pattern:
        return None
    try:
        return re.compile(token_pattern)
    except re.error as error:
        raise ConfigError(f"token_pattern '{token_pattern}' is not a regular expression: {error}") from error


def apply_token_pattern(tokens: Sequence[Token], pattern: re.Pattern[str] | None) -> list[Token]:
    """Split each token into what `pattern` (its only group, if it has one) finds in it; unmatched ones stay whole."""
    if pattern is None:
        return list(tokens)
    out: list[Token] = []
    group = 1 if pattern.groups else 0
    for token in tokens:
        parts = [match.span(group) for match in pattern.finditer(token.text) if match.group(group)]
        if parts:
            out.extend(Token(token.text[a:b], token.start + a, token.start + b) for a, b in parts)
        else:
            out.append(token)
    return out
