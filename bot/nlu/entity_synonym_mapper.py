"""Replaces an entity's value by the one that its spelling stands for."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.messages import Parse
from bot.training_data import TrainingData

log = logging.getLogger(__name__)


class EntitySynonymMapper:
    """Learns from `synonym:` blocks and from examples whose entity has another value than its text.

    Case does not count, and a synonym's own value is found in any case ("AUSTRIA" becomes "Austria").
    """

    needed_in_training = False

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        self._values = {}
        for spelling, value in data.synonyms.items():
            self._add(spelling, value)
        for example in data.examples:
            for entity in example.entities:
                if isinstance(entity.value, str):
                    self._add(example.text[entity.start : entity.end], entity.value)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            for i, entity in enumerate(parse.entities):
                value = self._values.get(entity.value.lower()) if isinstance(entity.value, str) else None
                if value is not None:
                    parse.entities[i] = replace(
                        entity, value=value, processors=(*entity.processors, "EntitySynonymMapper")
                    )

    def save(self, folder: Path) -> None:
        (folder / "synonyms.json").write_text(json.dumps(self._values, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        self._values = json.loads((folder / "synonyms.json").read_text(encoding="utf-8"))

    def _add(self, spelling: str, value: str) -> None:
        if spelling != value:
            before = self._values.get(spelling.lower())
            if before not in (None, value, spelling):
                log.warning("synonym '%s' stands for '%s' and for '%s': the later counts", spelling, before, value)
            self._values[spelling.lower()] = value
        self._values.setdefault(value.lower(), value)
