"""CountVectorsFeaturizer: which words, or runs of characters, a text is made of.

Counts are damped and weighted by rarity (TF-IDF; Salton and Buckley, 1988), and each vector has length
1. Reading one short message takes a few dozen dictionary look-ups, and nothing but numpy.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bot.messages import Parse
from bot.nlu.features import Sparse
from bot.training_data import TrainingData

NUMBER = "__number__"
_BETWEEN_WORDS = re.compile(r"[^\w'’#@&$£€¥%]+")
"""What parts words and is none: "bye-bye!" is "bye" twice, as for Rasa."""


class CountVectorsFeaturizer:
    """N-grams of words (`analyzer: word`), of characters across the text (`char`) or within words (`char_wb`).

    The options are Rasa's. `min_df` and `max_df` are a count of examples (int) or a share of them
    (float); words that are all digits are one and the same word. An unknown word counts as `OOV_token`
    when that is among the training words; `OOV_words` are turned into it in training.
    """

    passes_over = ("use_lemma", "use_shared_vocab", "additional_vocabulary_size")

    def __init__(
        self,
        *,
        analyzer: str = "word",
        min_ngram: int = 1,
        max_ngram: int = 1,
        lowercase: bool = True,
        strip_accents: str | None = None,
        stop_words: Sequence[str] | None = None,
        min_df: float = 1,
        max_df: float = 1.0,
        max_features: int | None = None,
        OOV_token: str | None = None,
        OOV_words: Sequence[str] | str = (),
        alias: str | None = None,
    ) -> None:
        if analyzer not in ("word", "char", "char_wb"):
            raise ValueError(f"analyzer is 'word', 'char' or 'char_wb', not '{analyzer}'")
        if not 1 <= min_ngram <= max_ngram:
            raise ValueError(f"min_ngram ({min_ngram}) must be at least 1 and at most max_ngram ({max_ngram})")
        if strip_accents not in (None, "ascii", "unicode"):
            raise ValueError(f"strip_accents is 'ascii', 'unicode' or null, not '{strip_accents}'")
        if isinstance(stop_words, str):
            raise ValueError("stop_words is a list of words")
        self.name = alias or f"CountVectorsFeaturizer({analyzer}, {min_ngram}-{max_ngram})"
        self.analyzer = analyzer
        self.min_ngram = min_ngram
        self.max_ngram = max_ngram
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.min_df = min_df
        self.max_df = max_df
        self.max_features = max_features
        self.stop_words = frozenset(self._clean(word) for word in stop_words or ())
        self.oov_token = self._clean(OOV_token) if OOV_token else None
        oov_words = [OOV_words] if isinstance(OOV_words, str) else OOV_words
        self.oov_words = frozenset(self._clean(word) for word in oov_words)
        self._grams: dict[str, int] = {}
        self._rarity: list[float] = []
        self._unseen_rarity = 1.0

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        texts = [set(self._grams_of(parse, learning=True)) for parse in parses]
        found = Counter(gram for text in texts for gram in text)
        least = self.min_df if isinstance(self.min_df, int) else self.min_df * len(texts)
        most = self.max_df if isinstance(self.max_df, int) else self.max_df * len(texts)
        kept = [gram for gram, count in found.items() if least <= count <= most]
        kept.sort(key=lambda gram: (-found[gram], gram))
        kept = sorted(kept[: self.max_features])
        self._grams = {gram: number for number, gram in enumerate(kept)}
        self._rarity = [_rarity(len(texts), found[gram]) for gram in kept]
        self._unseen_rarity = _rarity(len(texts), 0)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.features[self.name] = self._vector(parse)

    def save(self, folder: Path) -> None:
        content = {"grams": list(self._grams), "rarity": self._rarity, "unseen_rarity": self._unseen_rarity}
        (folder / "grams.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        content = json.loads((folder / "grams.json").read_text(encoding="utf-8"))
        self._grams = {gram: number for number, gram in enumerate(content["grams"])}
        self._rarity = content["rarity"]
        self._unseen_rarity = content["unseen_rarity"]

    def _vector(self, parse: Parse) -> Sparse:
        indices: list[int] = []
        weights: list[float] = []
        known = unknown = 0.0
        for gram, count in Counter(self._grams_of(parse)).items():
            number = self._grams.get(gram)
            damped = 1.0 if count == 1 else 1.0 + math.log(count)
            if number is None:
                unknown += (damped * self._unseen_rarity) ** 2
            else:
                weight = damped * self._rarity[number]
                known += weight * weight
                indices.append(number)
                weights.append(weight)
        values = np.array(weights, np.float32)
        if known:
            values /= math.sqrt(known)
        share = known / (known + unknown) if known else 0.0
        return Sparse(np.array(indices, np.int32), values, len(self._grams), share)

    def _grams_of(self, parse: Parse, learning: bool = False) -> Iterator[str]:
        if self.analyzer == "word":
            return self._word_grams(parse, learning)
        return self._char_grams(self._clean(parse.text))

    def _word_grams(self, parse: Parse, learning: bool) -> Iterator[str]:
        raw = [token.text for token in parse.tokens] if parse.tokens else parse.text.split()
        pieces = [piece for word in raw for piece in _BETWEEN_WORDS.split(self._clean(word)) if _has_letter(piece)]
        words = [NUMBER if word.isdigit() else word for word in pieces]
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        if self.oov_token and learning:
            words = [self.oov_token if word in self.oov_words else word for word in words]
        elif self.oov_token and self.oov_token in self._grams:
            words = [word if word in self._grams else self.oov_token for word in words]
        for size in range(self.min_ngram, self.max_ngram + 1):
            for start in range(len(words) - size + 1):
                yield words[start] if size == 1 else " ".join(words[start : start + size])

    def _char_grams(self, text: str) -> Iterator[str]:
        words = text.split()
        runs = [f" {word} " for word in words] if self.analyzer == "char_wb" else [" ".join(words)]
        for run in runs:
            for size in range(self.min_ngram, self.max_ngram + 1):
                if size >= len(run):
                    yield run
                    break
                for start in range(len(run) - size + 1):
                    yield run[start : start + size]

    def _clean(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            parts = unicodedata.normalize("NFKD", text)
            text = "".join(char for char in parts if not unicodedata.combining(char))
            if self.strip_accents == "ascii":
                text = text.encode("ascii", "ignore").decode("ascii")
        return text


_letter = re.compile(r"\w")


def _has_letter(word: str) -> bool:
    return _letter.search(word) is not None


def _rarity(texts: int, found_in: int) -> float:
    """The smoothed inverse document frequency: 1 for what every text has."""
    return math.log((1 + texts) / (1 + found_in)) + 1
