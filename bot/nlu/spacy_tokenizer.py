"""Tokens by spaCy's rules for each language, by jieba for Chinese; needs no trained model."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from bot.errors import ConfigError
from bot.messages import Parse, Token
from bot.nlu.jieba_tokenizer import chinese_tokens, chinese_words
from bot.nlu.languages import detect_language
from bot.nlu.spacy_nlp import blank_pipeline
from bot.nlu.tokens import INTENT_OPTIONS, MAX_CHARACTERS, apply_token_pattern, compile_token_pattern, fine_tokens

_tokenizing = threading.Lock()  # the pipelines are shared by all models of the process

_ENDLESS = re.compile(r"\S{60}")


class SpacyTokenizer:
    """`segmenter` cuts Chinese into words ("jieba") or characters ("char"). Other options: WhitespaceTokenizer.

    What one language needs is loaded at its first text.
    """

    passes_over = INTENT_OPTIONS

    def __init__(
        self,
        *,
        token_pattern: str | None = None,
        segmenter: str = "jieba",
        languages: Sequence[str] = ("en",),
    ) -> None:
        if segmenter not in ("jieba", "char"):
            raise ConfigError(f"SpacyTokenizer: segmenter is 'jieba' or 'char', not '{segmenter}'")
        self._segmenter = segmenter
        self._token_pattern = compile_token_pattern(token_pattern)
        self._languages = tuple(languages)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.language = parse.language or detect_language(parse.text, self._languages)
            tokens = self._tokenize(parse.text, parse.language or self._languages[0])
            parse.tokens = apply_token_pattern(tokens, self._token_pattern)

    def _tokenize(self, text: str, language: str) -> list[Token]:
        base = language.replace("_", "-").split("-")[0].lower()
        if base in ("zh", "yue"):
            # Digits and symbols alone ask for no dictionary.
            if text.isascii() or self._segmenter == "char":
                return fine_tokens(text)
            return chinese_tokens(text, chinese_words())
        if _ENDLESS.search(text):
            # spaCy's rules take a second for two thousand characters without a space, and everybody waits.
            return fine_tokens(text)
        pipeline = blank_pipeline(base)
        # In a memory zone, or spaCy would keep every word that any customer ever wrote.
        with _tokenizing, pipeline.memory_zone():
            doc = pipeline.tokenizer(text[:MAX_CHARACTERS])
            return [Token(token.text, token.idx, token.idx + len(token)) for token in doc if not token.is_space]
