"""DIETClassifier: intents and entities of a text, under the name of Rasa's network for both.

Rasa's Dual Intent and Entity Transformer trains for minutes; here the same contract is kept by a linear
model for intents (better on BANKING77, see bench/nlu.py) and a conditional random field for entities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.messages import Intent, Parse
from bot.nlu.crf_entity_extractor import CRFEntityExtractor
from bot.nlu.logistic_regression_classifier import LogisticRegressionClassifier
from bot.registry import NETWORK_OPTIONS
from bot.training_data import TrainingData


class DIETClassifier:
    """`intent_classification` and `entity_recognition` switch the two halves.

    `ranking_length` intents are reported (0: all), scaled to a sum of 1 with `renormalize_confidences`.
    Options that shape or train Rasa's network are accepted and change nothing.
    """

    passes_over = NETWORK_OPTIONS
    needed_in_training = False

    def __init__(
        self,
        *,
        intent_classification: bool = True,
        entity_recognition: bool = True,
        ranking_length: int = 10,
        renormalize_confidences: bool = False,
        BILOU_flag: bool = True,
        split_entities_by_comma: bool | Mapping[str, bool] = True,
        featurizers: Sequence[str] = (),
        random_seed: int | None = None,
        seed: int = 0,
    ) -> None:
        self._intents: LogisticRegressionClassifier | None = None
        self._entities: CRFEntityExtractor | None = None
        self._renormalise = renormalize_confidences
        if intent_classification:
            self._intents = LogisticRegressionClassifier(
                ranking_length=ranking_length, featurizers=featurizers, random_state=random_seed, seed=seed
            )
        if entity_recognition:
            self._entities = CRFEntityExtractor(BILOU_flag=BILOU_flag, split_entities_by_comma=split_entities_by_comma)
            self._entities.extractor = "DIETClassifier"

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        for part in self._parts().values():
            part.train(data, parses)

    def parse(self, parses: Sequence[Parse]) -> None:
        for part in self._parts().values():
            part.parse(parses)
        if self._renormalise:
            for parse in parses:
                _renormalise(parse)

    def save(self, folder: Path) -> None:
        for name, part in self._parts().items():
            (folder / name).mkdir(exist_ok=True)
            part.save(folder / name)

    def load(self, folder: Path) -> None:
        for name, part in self._parts().items():
            part.load(folder / name)

    def _parts(self) -> dict[str, LogisticRegressionClassifier | CRFEntityExtractor]:
        parts = {"intents": self._intents, "entities": self._entities}
        return {name: part for name, part in parts.items() if part is not None}


def _renormalise(parse: Parse) -> None:
    total = sum(intent.confidence for intent in parse.intent_ranking)
    if total:
        parse.intent_ranking = [Intent(one.name, one.confidence / total) for one in parse.intent_ranking]
        parse.intent = parse.intent_ranking[0]
