"""FallbackClassifier: says `nlu_fallback` when no intent is sure, or two are about as sure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.messages import Intent, Parse

FALLBACK_INTENT = "nlu_fallback"


class FallbackClassifier:
    """Puts `nlu_fallback` first when the best intent is below `threshold`, or less than
    `ambiguity_threshold` ahead of the next. As in Rasa, its confidence is the threshold itself."""

    needed_in_training = False

    def __init__(self, *, threshold: float = 0.3, ambiguity_threshold: float = 0.1) -> None:
        for name, value in (("threshold", threshold), ("ambiguity_threshold", ambiguity_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a confidence between 0 and 1, not {value}")
        self._threshold = threshold
        self._ambiguity_threshold = ambiguity_threshold

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            if self._is_unsure(parse):
                parse.intent = Intent(FALLBACK_INTENT, self._threshold)
                parse.intent_ranking.insert(0, parse.intent)

    def _is_unsure(self, parse: Parse) -> bool:
        if parse.intent.confidence < self._threshold:
            return True
        best = parse.intent_ranking[:2]
        return len(best) == 2 and best[0].confidence - best[1].confidence < self._ambiguity_threshold
