"""ResponseSelector: which answer of a retrieval intent (`faq/ask_name`) a text asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bot.messages import Parse
from bot.nlu.text_classifier import TextClassifier
from bot.registry import NETWORK_OPTIONS
from bot.training_data import TrainingData


class ResponseSelector:
    """Answers for `retrieval_intent`, or for all of them together under the name "default".

    With `use_text_as_label`, keys whose answers read the same are one answer, as in Rasa. Options that
    shape or train Rasa's network are accepted and change nothing. A project without retrieval intents gets
    nothing.
    """

    passes_over = NETWORK_OPTIONS | {"intent_classification"}
    needed_in_training = False

    def __init__(
        self,
        *,
        retrieval_intent: str | None = None,
        use_text_as_label: bool = False,
        ranking_length: int = 10,
        renormalize_confidences: bool = False,
        featurizers: Sequence[str] = (),
        random_seed: int | None = None,
        seed: int = 0,
    ) -> None:
        self._retrieval_intent = retrieval_intent
        self._merge_same_answers = use_text_as_label
        self._ranking_length = ranking_length or None
        self._renormalise = renormalize_confidences
        self._seed = seed if random_seed is None else random_seed
        self._classifier = TextClassifier(featurizers)
        self._all_retrieval_intents: list[str] = []
        self._responses: dict[str, list[str]] = {}

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        self._all_retrieval_intents = sorted(
            {_intent_of(example.intent) for example in data.examples if "/" in example.intent}
        )
        self._responses = {key: list(texts) for key, texts in data.responses.items()}
        key_of_answer: dict[tuple[str, ...], str] = {}
        chosen: list[Parse] = []
        keys: list[str] = []
        for parse, example in zip(parses, data.examples, strict=True):
            if "/" not in example.intent or not parse.text.strip():
                continue
            if self._retrieval_intent in (None, _intent_of(example.intent)):
                answer = tuple(self._responses.get(example.intent, ()))
                merge = self._merge_same_answers and answer
                chosen.append(parse)
                keys.append(key_of_answer.setdefault(answer, example.intent) if merge else example.intent)
        self._classifier.train(chosen, keys, seed=self._seed)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            ranking = self._classifier.rank(parse)[: self._ranking_length]
            if not ranking:
                continue
            total = sum(one.confidence for one in ranking) if self._renormalise else 1.0
            rows = [{"confidence": one.confidence / total, "intent_response_key": str(one.name)} for one in ranking]
            key = str(ranking[0].name)
            parse.response_selector["all_retrieval_intents"] = self._all_retrieval_intents
            parse.response_selector[self._retrieval_intent or "default"] = {
                "response": {
                    "responses": [{"text": text} for text in self._responses.get(key, [key])],
                    "confidence": rows[0]["confidence"],
                    "intent_response_key": key,
                    "utter_action": f"utter_{key}",
                },
                "ranking": rows,
            }

    def save(self, folder: Path) -> None:
        content = {"all_retrieval_intents": self._all_retrieval_intents, "responses": self._responses}
        (folder / "responses.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        self._classifier.save(folder)

    def load(self, folder: Path) -> None:
        content = json.loads((folder / "responses.json").read_text(encoding="utf-8"))
        self._all_retrieval_intents = content["all_retrieval_intents"]
        self._responses = content["responses"]
        self._classifier.load(folder)


def _intent_of(key: str) -> str:
    return key.split("/")[0]
