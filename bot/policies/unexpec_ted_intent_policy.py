"""UnexpecTEDIntentPolicy: tells when a message's intent is not one that the stories let expect here.

The network, `DialogueTransformer`, compares the dialogue before the message with all intents. An intent that comes
out below every place where the stories have it, and is not the likeliest one, is answered by `action_unlikely_intent`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bot.domain import Domain
from bot.interfaces import Prediction
from bot.policies.dialogue_transformer import Array, DialogueTransformer, joined, window_key
from bot.policies.memoization_policy import rule_only
from bot.policies.training_dialogues import TrainingDialogue, unroll
from bot.registry import NETWORK_OPTIONS
from bot.states import UNLIKELY, State, story_states, without_unlikely_intent
from bot.tracker import LISTEN, Tracker
from bot.training_data import Rule, Story


class UnexpecTEDIntentPolicy:
    """It has nothing to say of an expected intent, nor of one that is in no story.

    Options are Rasa's. `tolerance` is the part (0…1) of the dialogues without an intent that may still be taken for
    its place, `ignore_intents_list` the intents that are never unlikely, `ranking_length` how many intents the event's
    metadata tell (0: all). The others are those of `TEDPolicy`.
    """

    passes_over = NETWORK_OPTIONS - {"ranking_length"}

    def __init__(
        self,
        *,
        priority: int = 2,
        max_history: int | None = None,
        epochs: int = 1,
        batch_size: Sequence[int] | int = (64, 256),
        learning_rate: float = 0.001,
        transformer_size: Mapping[str, int] | int = 128,
        number_of_attention_heads: int = 4,
        embedding_dimension: int = 20,
        regularization_constant: float = 0.001,
        drop_rate_dialogue: float = 0.1,
        augmentation: int = 50,
        tolerance: float = 0.0,
        ignore_intents_list: Sequence[str] = (),
        ranking_length: int = 10,
        random_seed: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= tolerance <= 1:
            raise ValueError("'tolerance' must be from 0 to 1")
        self.priority = priority
        self._network = DialogueTransformer(
            max_history=max_history,
            epochs=epochs,
            batch_sizes=batch_size,
            learning_rate=learning_rate,
            transformer_size=transformer_size,
            heads=number_of_attention_heads,
            embedding=embedding_dimension,
            weight_decay=regularization_constant,
            dropout=drop_rate_dialogue,
            seed=seed if random_seed is None else random_seed,
        )
        self._augmentation = augmentation
        self._tolerance = tolerance
        self._ignored = tuple(ignore_intents_list)
        self._ranking_length = ranking_length
        self._thresholds: dict[str, float] = {}
        self._rule_slots: frozenset[str] = frozenset()
        self._rule_loops: frozenset[str] = frozenset()

    # ---- learning ----

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        augmented = [*stories, *joined(stories, self._augmentation * 10, self._network.seed)]
        dialogues = unroll(augmented, rules, domain)
        self._rule_slots, self._rule_loops = rule_only(dialogues)
        windows: dict[bytes, tuple[State, ...]] = {}
        followed_by: dict[bytes, set[str]] = defaultdict(set)
        for dialogue in dialogues:
            if not dialogue.is_rule and not _is_end_to_end(dialogue):
                for states, intent in _before_messages(dialogue):
                    window = tuple(states[-self._network.longest :])
                    key = window_key(window)
                    windows.setdefault(key, window)
                    followed_by[key].add(intent)
        if not windows:
            return
        intents = sorted(set().union(*followed_by.values()))
        targets = np.array([[intent in followed_by[key] for intent in intents] for key in windows], np.float32)
        self._network.fit(list(windows.values()), targets, intents, _each_apart)
        scores = np.array([self._network.similarities(window) for window in windows.values()])
        self._thresholds = {
            intent: _threshold(scores[:, number], targets[:, number], self._tolerance)
            for number, intent in enumerate(intents)
        }

    # ---- deciding ----

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        """Once after each message: whether it is unlikely. Not again after what then answers it."""
        if tracker.latest_message is None or tracker.latest_action_name != LISTEN:
            return None
        intent = tracker.latest_message.intent_name
        if intent not in self._thresholds or intent in self._ignored:
            return None
        states = story_states(tracker.history, tracker.state(), self._rule_slots, self._rule_loops)
        similarities = self._network.similarities(without_unlikely_intent(states[:-1]))
        number = self._network.labels.index(intent)
        if similarities[number] >= self._thresholds[intent] or number == similarities.argmax():
            return None
        return Prediction(UNLIKELY, 1.0, type(self).__name__, metadata=self._why(intent, similarities))

    def _why(self, intent: str, similarities: Array) -> dict[str, Any]:
        """Rasa's metadata: how near the intent and the nearest ones are, and how far below their thresholds."""

        def told(number: int) -> dict[str, Any]:
            name, score = self._network.labels[number], float(similarities[number])
            threshold = self._thresholds[name]
            return {"name": name, "score": score, "threshold": threshold, "severity": threshold - score}

        nearest = np.argsort(-similarities, kind="stable")[: self._ranking_length or None]
        return {
            "query_intent": told(self._network.labels.index(intent)),
            "ranking": [told(int(number)) for number in nearest],
        }

    # ---- keeping ----

    def save(self, folder: Path) -> None:
        content = {
            "thresholds": self._thresholds,
            "rule_slots": sorted(self._rule_slots),
            "rule_loops": sorted(self._rule_loops),
        }
        self._network.save(folder, content)

    def load(self, folder: Path) -> None:
        content = self._network.load(folder)
        self._thresholds = content["thresholds"]
        self._rule_slots, self._rule_loops = frozenset(content["rule_slots"]), frozenset(content["rule_loops"])


def _is_end_to_end(dialogue: TrainingDialogue) -> bool:
    """Whether a text stands for an intent or an action somewhere: of such a dialogue nothing is learnt."""
    states = [step.state for step in dialogue.steps]
    return any("text" in state.get("user", {}) or "action_text" in state.get("prev_action", {}) for state in states)


def _before_messages(dialogue: TrainingDialogue) -> list[tuple[list[State], str]]:
    """For each message of the customer: the states before it, the one before listening last, and its intent."""
    found = []
    before: list[State] = []
    for states, step in dialogue.likely_prefixes():
        state = states[-1]
        intent = state.get("user", {}).get("intent")
        if before and intent and state.get("prev_action", {}).get("action_name") == LISTEN:
            found.append((before, intent))
        before = states if step.action == LISTEN else []
    return found


def _each_apart(torch: Any, similarities: Any, targets: Any) -> Any:
    """Several intents may follow, so each is a question of its own."""
    apart = torch.nn.functional.binary_cross_entropy_with_logits(similarities, targets, reduction="none")
    return apart.sum(-1).mean()


def _threshold(scores: Array, is_here: Array, tolerance: float) -> float:
    """Below this, an intent is unlikely: all of its own places lie above, and the part `tolerance` of the others."""
    lowest, others = scores[is_here == 1].min(), scores[is_here == 0]
    if not len(others):
        return float(lowest)
    highest = np.quantile(others, 1 - tolerance, method="lower")
    return float(min(lowest, np.nextafter(highest, np.float32(np.inf))))
