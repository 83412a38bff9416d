"""Tells the classifier which of the project's patterns and lookup tables a text matches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bot.messages import Parse
from bot.nlu.patterns import Patterns
from bot.training_data import TrainingData


class RegexFeaturizer:
    """`features["RegexFeaturizer"]`: one float32 per pattern name (sorted), 1 where it matches, else 0.

    A project without patterns gets no feature. `alias` is another name for it.
    """

    passes_over = ("number_additional_patterns",)

    def __init__(
        self,
        *,
        case_sensitive: bool = True,
        use_lookup_tables: bool = True,
        use_regexes: bool = True,
        use_word_boundaries: bool = True,
        alias: str | None = None,
    ) -> None:
        self._case_sensitive = case_sensitive
        self._use_lookup_tables = use_lookup_tables
        self._use_regexes = use_regexes
        self._use_word_boundaries = use_word_boundaries
        self._name = alias or "RegexFeaturizer"
        self._patterns = Patterns()

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        self._patterns = Patterns.of(
            data,
            case_sensitive=self._case_sensitive,
            use_lookup_tables=self._use_lookup_tables,
            use_regexes=self._use_regexes,
            use_word_boundaries=self._use_word_boundaries,
        )

    def parse(self, parses: Sequence[Parse]) -> None:
        column = {name: i for i, name in enumerate(self._patterns.names)}
        for parse in parses if column else ():
            feature = np.zeros(len(column), dtype=np.float32)
            for match in self._patterns.find(parse.text):
                feature[column[match.name]] = 1.0
            parse.features[self._name] = feature

    def save(self, folder: Path) -> None:
        (folder / "patterns.json").write_text(
            json.dumps(self._patterns.to_json(), ensure_ascii=False), encoding="utf-8"
        )

    def load(self, folder: Path) -> None:
        self._patterns = Patterns.from_json(json.loads((folder / "patterns.json").read_text(encoding="utf-8")))
