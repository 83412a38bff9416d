"""How well entities are found: RESTAURANTS-8K (Coope et al., 2020), exact spans, micro F1.

    python bench/entities.py --data <folder with train.json and test.json> [--examples 500]

Beside the extractor stands the least that any extractor must beat: each word gets the label that it had
most often in training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bot.messages import Entity, Parse
from bot.nlu.crf_entity_extractor import CRFEntityExtractor
from bot.nlu.tokens import fine_tokens
from bot.nlu.whitespace_tokenizer import WhitespaceTokenizer
from bot.training_data import Example, TrainingData


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--examples", type=int, help="train on the first so many; default: all")
    given = arguments.parse_args()
    training = [_example(row) for row in json.loads((given.data / "train.json").read_text("utf-8"))][: given.examples]
    test = [_example(row) for row in json.loads((given.data / "test.json").read_text("utf-8"))]

    tokenizer = WhitespaceTokenizer()
    extractor = CRFEntityExtractor()
    parses = [Parse(example.text) for example in training]
    tokenizer.parse(parses)
    begin = time.perf_counter()
    extractor.train(TrainingData(examples=tuple(training)), parses)
    trained = time.perf_counter() - begin

    parses = [Parse(example.text) for example in test]
    tokenizer.parse(parses)
    begin = time.perf_counter()
    extractor.parse(parses)
    each = (time.perf_counter() - begin) / len(test) * 1000

    print(f"{len(training)} training, {len(test)} test sentences; training {trained:.1f} s, parsing {each:.2f} ms each")
    _report("CRFEntityExtractor", test, [parse.entities for parse in parses])
    _report("most frequent label of each word", test, _most_frequent_label(training, test))


def _example(row: dict[str, Any]) -> Example:
    text = row["userInput"]["text"]
    spans = ((label["slot"], label["valueSpan"]) for label in row.get("labels", ()))
    entities = tuple(
        Entity(name, text[span.get("startIndex", 0) : span["endIndex"]], span.get("startIndex", 0), span["endIndex"])
        for name, span in spans
    )
    return Example(text, "book", entities)


def _most_frequent_label(training: Iterable[Example], test: Iterable[Example]) -> list[list[Entity]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in training:
        for token in fine_tokens(example.text):
            inside = (e.entity for e in example.entities if e.start <= token.start < e.end)
            counts[token.text.lower()][next(inside, "")] += 1
    found: list[list[Entity]] = []
    for example in test:
        entities: list[Entity] = []
        before = ""
        for token in fine_tokens(example.text):
            seen = counts.get(token.text.lower())
            label = seen.most_common(1)[0][0] if seen else ""
            if label and label == before:
                start = entities.pop().start
                entities.append(Entity(label, example.text[start : token.end], start, token.end))
            elif label:
                entities.append(Entity(label, token.text, token.start, token.end))
            before = label
        found.append(entities)
    return found


def _report(title: str, test: Sequence[Example], found: Sequence[Sequence[Entity]]) -> None:
    names = sorted({entity.entity for example in test for entity in example.entities})
    right, said, true = Counter[str](), Counter[str](), Counter[str]()
    for example, entities in zip(test, found, strict=True):
        truth = {(entity.entity, entity.start, entity.end) for entity in example.entities}
        true.update(name for name, _, _ in truth)
        said.update(entity.entity for entity in entities)
        right.update(entity.entity for entity in entities if (entity.entity, entity.start, entity.end) in truth)
    each = ", ".join(f"{name} {_f1(right[name], said[name], true[name]):.1f}" for name in names)
    print(f"{title}: F1 {_f1(right.total(), said.total(), true.total()):.1f} ({each})")


def _f1(right: int, said: int, true: int) -> float:
    """In percent: harmonic mean of right/said (precision) and right/true (recall)."""
    return 200 * right / (said + true) if said + true else 0.0


if __name__ == "__main__":
    main()
