"""Chinese words by jieba, with a project's own dictionaries."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bot.errors import ConfigError
from bot.messages import Parse, Token
from bot.nlu.languages import detect_language
from bot.nlu.tokens import INTENT_OPTIONS, MAX_CHARACTERS, apply_token_pattern, compile_token_pattern
from bot.training_data import TrainingData


@cache
def chinese_words(dictionary: tuple[str, ...] = ()) -> Any:
    """A `jieba.Tokenizer` (about 0.7 s and 60 MB at the first call) that also knows the lines of `dictionary`.

    jieba would keep a cache file in the temporary folder, which anybody may have put there and which it
    reads with marshal; this one is filled from the dictionary alone and writes nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba 0.42 has invalid escapes in its patterns
        import jieba

    jieba.setLogLevel(logging.WARNING)
    words = jieba.Tokenizer()
    words.FREQ, words.total = words.gen_pfdict(words.get_dict_file())
    words.initialized = True
    if dictionary:
        words.load_userdict(iter(dictionary))
    return words


def chinese_tokens(text: str, words: Any) -> list[Token]:
    """The words of `text`, with their places; spaces are none."""
    return [Token(word, a, b) for word, a, b in words.tokenize(text[:MAX_CHARACTERS]) if not word.isspace()]


class JiebaTokenizer:
    """Words of Chinese text. `dictionary_path` is a folder of jieba dictionaries (`word [count [tag]]` lines).

    The dictionaries travel with the model.
    """

    passes_over = INTENT_OPTIONS

    def __init__(
        self,
        *,
        dictionary_path: str | None = None,
        token_pattern: str | None = None,
        languages: Sequence[str] = ("zh",),
        root: Path | None = None,
    ) -> None:
        self._folder = (root or Path()) / dictionary_path if dictionary_path else None
        self._dictionary: tuple[str, ...] = ()
        self._token_pattern = compile_token_pattern(token_pattern)
        self._languages = tuple(languages)
        self._is_loaded = False

    def parse(self, parses: Sequence[Parse]) -> None:
        if not self._is_loaded:
            self._dictionary = _read_dictionaries(self._folder)
            self._is_loaded = True
        words = chinese_words(self._dictionary)
        for parse in parses:
            parse.tokens = apply_token_pattern(chinese_tokens(parse.text, words), self._token_pattern)
            parse.language = parse.language or detect_language(parse.text, self._languages)

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        """Nothing is learned, but the project's dictionaries become part of the model."""
        self._dictionary = _read_dictionaries(self._folder)
        self._is_loaded = True

    def save(self, folder: Path) -> None:
        (folder / "dictionary.json").write_text(json.dumps(self._dictionary, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        self._dictionary = tuple(json.loads((folder / "dictionary.json").read_text(encoding="utf-8")))
        self._is_loaded = True


def _read_dictionaries(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return tuple(line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"JiebaTokenizer: dictionary_path '{folder}' is no folder of UTF-8 dictionaries: {error}"
        ) from error
