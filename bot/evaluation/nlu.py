"""How well messages are understood: intents, entities and the answers of retrieval intents.

`evaluate_nlu` judges a trained assistant, `cross_validate` a configuration: it trains on a part of the
examples and is judged by the rest, until each has been in the rest once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant
from bot.domain import NOWHERE
from bot.errors import DataError, Source
from bot.evaluation.entities import ExtractorReport, Spans, count_spans, judge_extractors
from bot.evaluation.figures import Figures, compare
from bot.messages import Intent, Parse
from bot.project import Project
from bot.training_data import Example

FALLBACK = "nlu_fallback"


@dataclass(frozen=True, slots=True)
class Judged:
    """One message: the label it has, and the one it was given. `predicted` is "" where there was none."""

    text: str
    expected: str
    predicted: str
    confidence: float
    source: Source = NOWHERE
    fell_back: bool = False
    """The bot was too unsure, and asked again: `predicted` is what it would have taken it for."""

    @property
    def right(self) -> bool:
        """As Rasa counts: whether the guess was right, acted on or not."""
        return self.expected == self.predicted

    @property
    def heard(self) -> str:
        """What the bot acts on."""
        return FALLBACK if self.fell_back else self.predicted or "(none)"

    @property
    def understood(self) -> bool:
        return self.expected == self.heard


@dataclass(frozen=True, slots=True)
class NluReport:
    """What was understood. `folds` are the accuracies of a cross-validation's parts."""

    intents: tuple[Judged, ...] = ()
    responses: tuple[Judged, ...] = ()
    extractors: Mapping[str, ExtractorReport] = field(default_factory=dict)
    spans: Spans = field(default_factory=Spans)
    folds: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()
    """Intents with too few examples for so many folds."""
    seconds: float = field(default=0.0, compare=False)

    @property
    def accuracy(self) -> float:
        """The share of messages that the bot acts on as it should."""
        return sum(one.understood for one in self.intents) / max(len(self.intents), 1)

    @property
    def intent_figures(self) -> Figures:
        return _figures(self.intents)

    @property
    def response_figures(self) -> Figures:
        return _figures(self.responses)

    def to_json(self) -> dict[str, Any]:
        """Rasa's answer to `POST /model/test/intents`; None for what there was nothing to test of."""
        return {
            "intent_evaluation": intents_json(self.intents) if self.intents else None,
            "entity_evaluation": {name: one.to_json() for name, one in self.extractors.items()} or None,
            "response_selection_evaluation": responses_json(self.responses) if self.responses else None,
        }


def _figures(judged: Sequence[Judged]) -> Figures:
    return compare([one.expected for one in judged], [one.predicted for one in judged])


def intents_json(judged: Sequence[Judged]) -> dict[str, Any]:
    return {
        "predictions": [
            {"text": one.text, "intent": one.expected, "predicted": one.predicted, "confidence": one.confidence}
            for one in judged
        ],
        **_figures(judged).to_json(),
        "errors": [intent_json(one) for one in judged if not one.right],
    }


def intent_json(one: Judged) -> dict[str, Any]:
    """As in Rasa's intent_errors.json and intent_successes.json."""
    prediction = {"name": one.predicted, "confidence": one.confidence}
    return {"text": one.text, "intent": one.expected, "intent_prediction": prediction}


def responses_json(judged: Sequence[Judged]) -> dict[str, Any]:
    return {
        "predictions": [
            {
                "text": one.text,
                "intent_response_key_target": one.expected,
                "intent_response_key_prediction": one.predicted,
                "confidence": one.confidence,
            }
            for one in judged
        ],
        **_figures(judged).to_json(),
        "errors": [response_json(one) for one in judged if not one.right],
    }


def response_json(one: Judged) -> dict[str, Any]:
    """As in Rasa's response_selection_errors.json."""
    return {
        "text": one.text,
        "intent_response_key_target": one.expected,
        "intent_response_key_prediction": {"name": one.predicted, "confidence": one.confidence},
    }


# ---- judging -------------------------------------------------------------------------------------


async def evaluate_nlu(assistant: Assistant, examples: Sequence[Example]) -> NluReport:
    """What the assistant understands of these examples."""
    started = time.perf_counter()
    parses = await asyncio.gather(*(assistant.parse(example.text) for example in examples))
    seconds = time.perf_counter() - started
    return dataclasses.replace(judge(examples, parses), seconds=seconds)


def judge(examples: Sequence[Example], parses: Sequence[Parse]) -> NluReport:
    """The report on what was made of the examples, `parses[i]` of example i."""
    pairs = list(zip(examples, parses, strict=True))
    return NluReport(
        intents=tuple(_judge_intent(example, parse) for example, parse in pairs if example.intent),
        responses=tuple(_judge_response(example, parse) for example, parse in pairs if "/" in example.intent),
        extractors=judge_extractors(examples, parses),
        spans=count_spans(examples, parses),
    )


def _judge_intent(example: Example, parse: Parse) -> Judged:
    expected, got = example.intent.split("/")[0], parse.intent
    fell_back = got.name == FALLBACK != expected
    if fell_back:
        # As in Rasa: the fallback must not hide what the classifier takes for what.
        got = next((intent for intent in parse.intent_ranking if intent.name != FALLBACK), Intent(None))
    return Judged(example.text, expected, got.name or "", got.confidence, example.source, fell_back)


def _judge_response(example: Example, parse: Parse) -> Judged:
    selected = parse.response_selector
    chosen = selected.get(example.intent.split("/")[0]) or selected.get("default") or {}
    response = chosen.get("response") or {}
    key, confidence = response.get("intent_response_key") or "", response.get("confidence") or 0.0
    return Judged(example.text, example.intent, key, confidence, example.source)


# ---- cross-validation ----------------------------------------------------------------------------


def cross_validate(
    project: Project,
    folds: int = 5,
    examples: Sequence[Example] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> NluReport:
    """Train on all but one of `folds` equal parts and judge that one, for each part in turn.

    Every part has its share of every intent; the parts are drawn with the project's seed. Intents with fewer
    examples than parts are left out, as in Rasa. `examples` take the place of the project's own.
    """
    from bot.training import untrained_pipeline

    data = project.data
    kept, left_out = _frequent(data.examples if examples is None else examples, folds)
    held_out: list[Example] = []
    parses: list[Parse] = []
    accuracies = []
    seconds = 0.0
    for number, test in enumerate(_parts(kept, folds, project.config.seed)):
        if progress:
            progress(f"fold {number + 1} of {folds}", number / folds)
        chosen = set(test)
        pipeline = untrained_pipeline(project)
        learnt = tuple(example for index, example in enumerate(kept) if index not in chosen)
        pipeline.train(dataclasses.replace(data, examples=learnt))
        tested = [kept[index] for index in test]
        started = time.perf_counter()
        found = pipeline.parse([example.text for example in tested])
        seconds += time.perf_counter() - started
        accuracies.append(judge(tested, found).accuracy)
        held_out += tested
        parses += found
    return dataclasses.replace(judge(held_out, parses), folds=tuple(accuracies), left_out=left_out, seconds=seconds)


def _frequent(examples: Sequence[Example], folds: int) -> tuple[list[Example], tuple[str, ...]]:
    """The examples of intents that have at least `folds`, and the names of the others."""
    labelled = [example for example in examples if example.intent]
    counts = Counter(example.intent.split("/")[0] for example in labelled)
    kept = [example for example in labelled if counts[example.intent.split("/")[0]] >= folds]
    if folds < 2:
        raise DataError("cross-validation needs at least 2 folds")
    if len({example.intent for example in kept}) < 2:
        raise DataError(f"cross-validation with {folds} folds needs two intents with at least {folds} examples each")
    return kept, tuple(sorted(name for name, count in counts.items() if count < folds))


def _parts(examples: Sequence[Example], folds: int, seed: int) -> Iterable[list[int]]:
    """The numbers of the examples in each part."""
    from sklearn.model_selection import StratifiedKFold

    counts = Counter(example.intent for example in examples)
    # An answer of a retrieval intent may have fewer examples than there are parts.
    labels = [one.intent if counts[one.intent] >= folds else one.intent.split("/")[0] for one in examples]
    split = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [[int(index) for index in test] for _, test in split.split(labels, labels)]
