"""TEDPolicy: what comes next in a dialogue that no story tells word for word.

The network, `DialogueTransformer`, compares the dialogue so far with all actions. A message counts by its intent
and entities; where stories have texts in their place (end-to-end), by its words as well, and the surer of the two
decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bot.domain import Domain
from bot.interfaces import Prediction
from bot.policies.dialogue_transformer import Array, DialogueTransformer, joined, window_key, words_of
from bot.policies.memoization_policy import rule_only
from bot.policies.training_dialogues import SNIPPET, TrainingDialogue, unroll
from bot.registry import NETWORK_OPTIONS
from bot.states import State, story_states, without_unlikely_intent
from bot.tracker import LISTEN, Tracker
from bot.training_data import Rule, Story

Window = tuple[State, ...]
SMOOTHING = 0.1
"""What the right action leaves to the others in training, so that nothing is ever quite certain."""


class TEDPolicy:
    """It has nothing to say after an intent that is in no story.

    Options are Rasa's. `max_history` is how many states are looked at (None: all, up to 60), and
    `augmentation` how many times ten stories are joined at random. An action is as sure as its share of
    what all actions get (softmax); one chosen by the words of a message is at least `e2e_confidence_threshold`
    sure. Further options of Rasa's network are accepted and change nothing.
    """

    passes_over = NETWORK_OPTIONS

    def __init__(
        self,
        *,
        priority: int = 1,
        max_history: int | None = None,
        epochs: int = 1,
        batch_size: Sequence[int] | int = (64, 256),
        learning_rate: float = 0.001,
        transformer_size: Mapping[str, int] | int = 128,
        number_of_attention_heads: int = 4,
        embedding_dimension: int = 20,
        regularization_constant: float = 0.001,
        drop_rate_dialogue: float = 0.1,
        e2e_confidence_threshold: float = 0.5,
        augmentation: int = 50,
        random_seed: int | None = None,
        seed: int = 0,
    ) -> None:
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
        self._text_threshold = e2e_confidence_threshold
        self._augmentation = augmentation
        self._rule_slots: frozenset[str] = frozenset()
        self._rule_loops: frozenset[str] = frozenset()

    # ---- learning ----

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        augmented = [*stories, *joined(stories, self._augmentation * 10, self._network.seed)]
        dialogues = unroll(augmented, rules, domain)
        self._rule_slots, self._rule_loops = rule_only(dialogues)
        examples = self._examples(dialogue for dialogue in dialogues if not dialogue.is_rule)
        if not examples:
            return
        actions = sorted({action for _, action in examples})
        targets = np.zeros((len(examples), len(actions)), np.float32)
        targets[np.arange(len(examples)), [actions.index(action) for _, action in examples]] = 1
        self._network.fit([window for window, _ in examples], targets, actions, _cross_entropy)

    def _examples(self, dialogues: Iterable[TrainingDialogue]) -> list[tuple[Window, str]]:
        """Each different window of states with the action that followed it."""
        found: dict[tuple[bytes, str], tuple[Window, str]] = {}
        for dialogue in dialogues:
            for states, step in dialogue.likely_prefixes():
                if step.action != SNIPPET:
                    window = tuple(states[-self._network.longest :])
                    found.setdefault((window_key(window), step.action), (window, step.action))
        return list(found.values())

    # ---- deciding ----

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        if not self._network.weights:
            return None
        states = without_unlikely_intent(
            story_states(tracker.history, tracker.state(), self._rule_slots, self._rule_loops)
        )
        by_intent, by_text = self._by_intent(states, tracker), self._by_text(states, tracker)
        if by_text is not None:
            is_better = by_intent is None or by_text.max() > by_intent.max()
            if is_better and (by_intent is None or _shares(by_text).max() > self._text_threshold):
                return self._nearest(by_text, is_end_to_end=True)
        return None if by_intent is None else self._nearest(by_intent)

    def _by_intent(self, states: Sequence[State], tracker: Tracker) -> Array | None:
        """How near each action is; None after an intent that is in no story."""
        intent = tracker.latest_message.intent_name if tracker.latest_message else None
        if intent and f"intent={intent}" not in self._network.features:
            return None
        return self._network.similarities(states)

    def _by_text(self, states: Sequence[State], tracker: Tracker) -> Array | None:
        """The same with the latest message's words; None when no story has one of them."""
        if tracker.latest_action_name != LISTEN or tracker.latest_message is None:
            return None
        text = tracker.latest_message.text or ""
        if not any(f"word={word}" in self._network.features for word in words_of(text)):
            return None
        return self._network.similarities([*states[:-1], {**states[-1], "user": {"text": text}}])

    def _nearest(self, similarities: Array, *, is_end_to_end: bool = False) -> Prediction:
        best = int(similarities.argmax())
        confidence = float(_shares(similarities)[best])
        return Prediction(self._network.labels[best], confidence, type(self).__name__, is_end_to_end=is_end_to_end)

    # ---- keeping ----

    def save(self, folder: Path) -> None:
        content = {"rule_slots": sorted(self._rule_slots), "rule_loops": sorted(self._rule_loops)}
        self._network.save(folder, content)

    def load(self, folder: Path) -> None:
        content = self._network.load(folder)
        self._rule_slots, self._rule_loops = frozenset(content["rule_slots"]), frozenset(content["rule_loops"])


def _cross_entropy(torch: Any, similarities: Any, targets: Any) -> Any:
    return torch.nn.functional.cross_entropy(similarities, targets, label_smoothing=SMOOTHING)


def _shares(similarities: Array) -> Array:
    shares: Array = np.exp(similarities - similarities.max())
    shares /= shares.sum()
    return shares
