"""Entities by the project's regular expressions and lookup tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from bot.messages import Entity, Parse
from bot.nlu.patterns import Patterns
from bot.training_data import TrainingData

log = logging.getLogger(__name__)


class RegexEntityExtractor:
    """Uses the `regex:` and `lookup:` blocks that are named after an entity of some example, as Rasa does."""

    needed_in_training = False

    def __init__(
        self,
        *,
        case_sensitive: bool = False,
        use_lookup_tables: bool = True,
        use_regexes: bool = True,
        use_word_boundaries: bool = True,
    ) -> None:
        self._case_sensitive = case_sensitive
        self._use_lookup_tables = use_lookup_tables
        self._use_regexes = use_regexes
        self._use_word_boundaries = use_word_boundaries
        self._patterns = Patterns()

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        entities = {entity.entity for example in data.examples for entity in example.entities}
        self._patterns = Patterns.of(
            data,
            case_sensitive=self._case_sensitive,
            use_lookup_tables=self._use_lookup_tables,
            use_regexes=self._use_regexes,
            use_word_boundaries=self._use_word_boundaries,
            only=entities,
        )
        if not self._patterns.names:
            log.warning("RegexEntityExtractor finds nothing: no regex or lookup has the name of an example's entity")

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.entities.extend(
                Entity(
                    entity=match.name,
                    value=parse.text[match.start : match.end],
                    start=match.start,
                    end=match.end,
                    extractor="RegexEntityExtractor",
                )
                for match in self._patterns.find(parse.text)
            )

    def save(self, folder: Path) -> None:
        (folder / "patterns.json").write_text(
            json.dumps(self._patterns.to_json(), ensure_ascii=False), encoding="utf-8"
        )

    def load(self, folder: Path) -> None:
        self._patterns = Patterns.from_json(json.loads((folder / "patterns.json").read_text(encoding="utf-8")))
