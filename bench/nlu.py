"""Understanding, measured on public data: `python bench/nlu.py --data <folder with banking77/ and clinc150/>`.

BANKING77 (Casanueva et al., 2020): accuracy with sparse features, the encoder alone and both, whole and
with ten examples per intent; calibration (ECE, 15 bins). CLINC150 (Larson et al., 2019): accuracy, and how
many out-of-scope questions fall under the default threshold. Then time and memory of one process that
serves. `--quick` leaves out the slow rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bot.errors import Source
from bot.messages import Parse
from bot.nlu.pipeline import Pipeline
from bot.training_data import Example, TrainingData

Pairs = list[tuple[str, str]]


SOURCE = Source("bench/nlu.py")


@dataclass(frozen=True)
class Setting:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    source: Source = SOURCE


TOKENS = Setting("WhitespaceTokenizer")
SPARSE = [
    Setting("CountVectorsFeaturizer", {"max_ngram": 2}),
    Setting("CountVectorsFeaturizer", {"analyzer": "char_wb", "min_ngram": 2, "max_ngram": 5, "min_df": 2}),
]
DENSE = [Setting("LanguageModelFeaturizer")]
CLASSIFIER = Setting("LogisticRegressionClassifier", {"ranking_length": 0})
FEATURES = {"sparse": SPARSE, "dense": DENSE, "both": [*SPARSE, *DENSE]}


@dataclass(frozen=True)
class Outcome:
    confidence: Any  # (texts,)
    right: Any  # (texts,)
    seconds: float
    parses: list[Parse]
    pipeline: Pipeline

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def calibration_error(self) -> float:
        error = 0.0
        for low in np.arange(15) / 15:
            inside = (self.confidence > low) & (self.confidence <= low + 1 / 15)
            if inside.any():
                error += inside.mean() * abs(self.confidence[inside].mean() - self.right[inside].mean())
        return float(error)


def measure(features: str, train: Pairs, test: Pairs, seed: int = 0) -> Outcome:
    pipeline = Pipeline.build([TOKENS, *FEATURES[features], CLASSIFIER], seed=seed)
    data = TrainingData(examples=tuple(Example(text, intent) for text, intent in train))
    start = time.perf_counter()
    pipeline.train(data)
    seconds = time.perf_counter() - start
    parses = pipeline.parse([text for text, _ in test])
    confidence = np.array([parse.intent.confidence for parse in parses])
    right = np.array([parse.intent.name == intent for parse, (_, intent) in zip(parses, test, strict=True)])
    return Outcome(confidence, right, seconds, parses, pipeline)


def some_of_each(pairs: Pairs, count: int, seed: int) -> Pairs:
    generator = np.random.default_rng(seed)
    intents = sorted({intent for _, intent in pairs})
    chosen: Pairs = []
    for wanted in intents:
        own = [pair for pair in pairs if pair[1] == wanted]
        chosen += [own[i] for i in generator.choice(len(own), min(count, len(own)), replace=False)]
    return chosen


def banking(data: Path, quick: bool) -> tuple[Pipeline, Pairs]:
    train, test = (_read_csv(data / "banking77" / f"{part}.csv") for part in ("train", "test"))
    for features in FEATURES:
        outcome = measure(features, train, test)
        _row(f"BANKING77, {features}", outcome)
    pipeline = outcome.pipeline
    for features in ["both"] if quick else FEATURES:
        outcomes = [measure(features, some_of_each(train, 10, seed), test, seed) for seed in range(1 if quick else 3)]
        accuracy = statistics.mean(outcome.accuracy for outcome in outcomes)
        error = statistics.mean(outcome.calibration_error for outcome in outcomes)
        seconds = statistics.mean(outcome.seconds for outcome in outcomes)
        print(
            f"{f'BANKING77, ten examples per intent, {features}':52} {accuracy:8.1%} {error:8.1%} {seconds:8.1f} s",
            flush=True,
        )
    return pipeline, test


def clinc(data: Path, quick: bool) -> None:
    content = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    train, test = ([(text, intent) for text, intent in content[part]] for part in ("train", "test"))
    outside = [text for text, _ in content["oos_test"]]
    if quick:
        train = some_of_each(train, 30, 0)
    for features in ["both"] if quick else ["sparse", "both"]:
        outcome = measure(features, train, test)
        _row(f"CLINC150, {features}", outcome)
        unsure = np.array([parse.intent.confidence for parse in outcome.pipeline.parse(outside)])
        for threshold in (0.3, 0.5, 0.7):
            kept = float((outcome.right & (outcome.confidence >= threshold)).mean())
            told = float((unsure < threshold).mean())
            print(f"    threshold {threshold}: in scope and right {kept:.1%}, out of scope told {told:.1%}")
        kept = np.quantile(outcome.confidence[outcome.right], 0.05)
        print(f"    out of scope told where 5 % of the right answers are given up: {(unsure < kept).mean():.1%}")


def serving(pipeline: Pipeline, test: Pairs) -> None:
    """In a process of its own, which has trained nothing."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save(Path(folder))
        texts = [text for text, _ in test[::20] if len(text.split()) <= 12]
        subprocess.run([sys.executable, __file__, "--serve", folder], input=json.dumps(texts), text=True, check=True)


def serve(folder: Path) -> None:
    texts = json.load(sys.stdin)
    start = time.perf_counter()
    pipeline = Pipeline.build([TOKENS, *FEATURES["both"], CLASSIFIER])
    pipeline.load(folder)
    pipeline.parse(texts[:1])
    print(f"load and first parse                                 {time.perf_counter() - start:.2f} s")
    print(
        f"parse of one message, both                           p50 {_p50([[text] for text in texts], pipeline):.2f} ms"
    )
    eights = [texts[start : start + 8] for start in range(0, len(texts) - 7, 8)]
    print(f"parse of a message in batches of 8                   p50 {_p50(eights, pipeline) / 8:.2f} ms")
    for name, component in pipeline.components:
        times = []
        for text in texts:
            parses = [Parse(text)]
            for _, other in pipeline.components:
                begin = time.perf_counter()
                other.parse(parses)
                if other is component:
                    times.append((time.perf_counter() - begin) * 1000)
        print(f"    of which {name:40} p50 {statistics.median(times):.3f} ms")
    memory = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
    print(*(line for line in memory.splitlines() if line.startswith(("VmRSS", "RssAnon"))), sep="\n")


def _p50(batches: Sequence[list[str]], pipeline: Pipeline) -> float:
    times = []
    for batch in batches:
        start = time.perf_counter()
        pipeline.parse(batch)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def _row(what: str, outcome: Outcome) -> None:
    print(f"{what:52} {outcome.accuracy:8.2%} {outcome.calibration_error:8.1%} {outcome.seconds:8.1f} s", flush=True)


def _read_csv(file: Path) -> Pairs:
    with file.open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["category"]) for row in csv.DictReader(stream)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with banking77/ and clinc150/")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    if options.data is None:
        parser.error("--data is needed")
    print(f"{'':52} {'accuracy':>8} {'ECE':>8} {'training':>8}")
    pipeline, test = banking(options.data, options.quick)
    serving(pipeline, test)
    return clinc(options.data, options.quick)


if __name__ == "__main__":
    main()
