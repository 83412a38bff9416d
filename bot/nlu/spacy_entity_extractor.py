"""Names of people, places and organisations, by the spaCy model that SpacyNLP loads."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import ConfigError
from bot.messages import Entity, Parse


class SpacyEntityExtractor:
    """Takes what the spaCy model finds; `dimensions` are the labels to keep (`PERSON`, `GPE`…), all by default."""

    needed_in_training = False

    def __init__(self, *, dimensions: Sequence[str] | None = None) -> None:
        self._dimensions = frozenset(dimensions or ())

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            doc = parse.features.get("SpacyNLP")
            if doc is None:
                raise ConfigError(
                    "SpacyEntityExtractor needs a trained spaCy model: put `- name: SpacyNLP` with "
                    "`model: en_core_web_md` before it, after python -m spacy download en_core_web_md"
                )
            parse.entities.extend(
                Entity(
                    entity=span.label_,
                    value=span.text,
                    start=span.start_char,
                    end=span.end_char,
                    extractor="SpacyEntityExtractor",
                )
                for span in doc.ents
                if not self._dimensions or span.label_ in self._dimensions
            )
