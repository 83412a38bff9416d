"""How well each extractor finds the entities, judged word by word as Rasa does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.evaluation.figures import Figures, compare
from bot.messages import Entity, Parse, Token
from bot.training_data import Example

NO_ENTITY = "no_entity"
NOT_JUDGED = ("DucklingEntityExtractor", "SpacyEntityExtractor")
"""Extractors that come trained: they find more than anybody annotates, and Rasa leaves them out, too."""


@dataclass(frozen=True, slots=True)
class ExtractorReport:
    """What one extractor made of all examples: one label for each word of each text."""

    expected: tuple[str, ...]
    predicted: tuple[str, ...]
    confidences: tuple[float, ...]
    figures: Figures
    errors: tuple[dict[str, Any], ...]
    successes: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        return {**self.figures.to_json(), "errors": list(self.errors)}


def judge_extractors(examples: Sequence[Example], parses: Sequence[Parse]) -> dict[str, ExtractorReport]:
    """A report for each extractor that found anything; none when nothing is annotated."""
    if not any(example.entities for example in examples):
        return {}
    found = {entity.extractor for parse in parses for entity in parse.entities if entity.extractor}
    return {name: _judge(name, examples, parses) for name in sorted(found.difference(NOT_JUDGED))}


def _judge(extractor: str, examples: Sequence[Example], parses: Sequence[Parse]) -> ExtractorReport:
    expected: list[str] = []
    predicted: list[str] = []
    confidences: list[float] = []
    errors: list[dict[str, Any]] = []
    successes: list[dict[str, Any]] = []
    for example, parse in zip(examples, parses, strict=True):
        entities = [entity for entity in parse.entities if entity.extractor == extractor]
        wanted = [_label(_at(token, example.entities)) for token in parse.tokens]
        got = [_label(_at(token, entities)) for token in parse.tokens]
        expected += wanted
        predicted += got
        confidences += [_confidence(_at(token, entities)) for token in parse.tokens]
        judged = {
            "text": example.text,
            "entities": [entity.to_json() for entity in example.entities],
            "predicted_entities": [entity.to_json() for entity in parse.entities if entity.extractor not in NOT_JUDGED],
        }
        if wanted != got:
            errors.append(judged)
        if any(want == one != NO_ENTITY for want, one in zip(wanted, got, strict=True)):
            successes.append(judged)
    return ExtractorReport(
        tuple(expected),
        tuple(predicted),
        tuple(confidences),
        compare(expected, predicted, without=NO_ENTITY),
        tuple(errors),
        tuple(successes),
    )


def _at(token: Token, entities: Sequence[Entity]) -> Entity | None:
    """The entity that covers most of this word."""
    covered = [(min(token.end, entity.end) - max(token.start, entity.start), entity) for entity in entities]
    length, best = max(covered, key=lambda one: one[0], default=(0, None))
    return best if length > 0 else None


def _label(entity: Entity | None) -> str:
    """`city`, with group and role where it has them: `city.1.departure`."""
    if entity is None:
        return NO_ENTITY
    return ".".join(filter(None, (entity.entity, entity.group, entity.role)))


def _confidence(entity: Entity | None) -> float:
    return entity.confidence or 0.0 if entity else 0.0


@dataclass(frozen=True, slots=True)
class Spans:
    """Whole entities, of all extractors together: how many were annotated, found, and found where they stand."""

    expected: int = 0
    found: int = 0
    right: int = 0


def count_spans(examples: Sequence[Example], parses: Sequence[Parse]) -> Spans:
    """Entities of kinds that a text is not annotated with are no mistakes: many extractors find more."""
    expected = found = right = 0
    for example, parse in zip(examples, parses, strict=True):
        annotated = {(entity.entity, entity.start, entity.end) for entity in example.entities}
        kinds = {entity for entity, _, _ in annotated}
        got = {(entity.entity, entity.start, entity.end) for entity in parse.entities if entity.entity in kinds}
        expected += len(annotated)
        found += len(got)
        right += len(annotated & got)
    return Spans(expected, found, right)
