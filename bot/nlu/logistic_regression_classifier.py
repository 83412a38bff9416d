"""LogisticRegressionClassifier: the intent of a text, with a confidence for each intent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from bot.messages import Parse
from bot.nlu.text_classifier import TextClassifier
from bot.training_data import TrainingData


class LogisticRegressionClassifier:
    """Learns over all features of the pipeline, or those of the `featurizers` named.

    `ranking_length` intents are reported (0: all). The training (`bot/nlu/linear_model.py`) chooses for itself
    what Rasa's other options say.
    """

    passes_over: Collection[str] = ("max_iter", "solver", "tol", "class_weight")
    needed_in_training = False

    def __init__(
        self,
        *,
        ranking_length: int = 10,
        featurizers: Sequence[str] = (),
        random_state: int | None = None,
        seed: int = 0,
    ) -> None:
        self._ranking_length = ranking_length or None
        self._seed = seed if random_state is None else random_state
        self._classifier = TextClassifier(featurizers)

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        pairs = [
            (parse, example.intent.split("/")[0])
            for parse, example in zip(parses, data.examples, strict=True)
            if example.intent and parse.text.strip()
        ]
        self._classifier.train([parse for parse, _ in pairs], [intent for _, intent in pairs], seed=self._seed)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.intent_ranking = self._classifier.rank(parse)[: self._ranking_length]
            if parse.intent_ranking:
                parse.intent = parse.intent_ranking[0]

    def save(self, folder: Path) -> None:
        self._classifier.save(folder)

    def load(self, folder: Path) -> None:
        self._classifier.load(folder)
