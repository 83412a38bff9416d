"""MemoizationPolicy: if the whole dialogue so far stands in a story, go on as the story does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from bot.domain import Domain
from bot.interfaces import Prediction
from bot.policies.training_dialogues import TrainingDialogue, unroll
from bot.states import UNLIKELY, State, story_states, without_unlikely_intent
from bot.tracker import Tracker
from bot.training_data import Rule, Story

Key = str


class MemoizationPolicy:
    """Remembers every beginning of every story.

    `max_history` is how many states count (None: all since the session's start). A beginning after which
    two stories differ is forgotten. With `use_nlu_confidence_as_score`, a recalled action is as sure as
    the intent was.
    """

    passes_over = ("enable_feature_string_compression",)

    def __init__(
        self,
        *,
        priority: int = 3,
        max_history: int | None = None,
        use_nlu_confidence_as_score: bool = False,
    ) -> None:
        self.priority = priority
        self._max_history = max_history
        self._use_nlu_confidence = use_nlu_confidence_as_score
        self._lookup: dict[Key, str] = {}
        self._rule_slots: frozenset[str] = frozenset()
        self._rule_loops: frozenset[str] = frozenset()

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        dialogues = unroll(stories, rules, domain)
        self._lookup = self._remember([dialogue for dialogue in dialogues if not dialogue.is_rule])
        self._rule_slots, self._rule_loops = rule_only(dialogues)

    def _remember(self, dialogues: Iterable[TrainingDialogue]) -> dict[Key, str]:
        lookup: dict[Key, str] = {}
        ambiguous: set[Key] = set()
        for dialogue in dialogues:
            for states, step in dialogue.told_prefixes():
                key = self._key(states)
                if step.action == UNLIKELY or key in ambiguous:
                    continue
                if lookup.setdefault(key, step.action) != step.action:
                    ambiguous.add(key)
                    del lookup[key]
        return lookup

    def _key(self, states: Sequence[State]) -> Key:
        kept = states[-self._max_history :] if self._max_history else states
        return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        if not self._lookup:
            return None
        states = story_states(tracker.history, tracker.state(), self._rule_slots, self._rule_loops)
        whole = not tracker.history.truncated or bool(self._max_history and self._max_history < len(states))
        action = self.recall(states, tracker, whole=whole)
        if action is None and any(step.action == UNLIKELY for step in tracker.history.entries):
            # No story tells of the doubt, so it goes on as if there had been none.
            action = self.recall(without_unlikely_intent(states), tracker, whole=whole)
        if action is None:
            return None
        confidence = 1.0
        if self._use_nlu_confidence and tracker.latest_message:
            confidence = tracker.latest_message.intent.confidence
        return Prediction(action, confidence, type(self).__name__)

    def recall(self, states: Sequence[State], tracker: Tracker, *, whole: bool) -> str | None:
        """The action after these states; `whole` says that they are all there were, or all that count."""
        return self._lookup.get(self._key(states)) if whole else None

    def save(self, folder: Path) -> None:
        data = {
            "lookup": self._lookup,
            "rule_slots": sorted(self._rule_slots),
            "rule_loops": sorted(self._rule_loops),
        }
        (folder / "memory.json").write_bytes(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))

    def load(self, folder: Path) -> None:
        data = orjson.loads((folder / "memory.json").read_bytes())
        self._lookup = data["lookup"]
        self._rule_slots = frozenset(data["rule_slots"])
        self._rule_loops = frozenset(data["rule_loops"])


def rule_only(dialogues: Iterable[TrainingDialogue]) -> tuple[frozenset[str], frozenset[str]]:
    """The slots and the loops that only rules speak of."""
    slots: dict[bool, set[str]] = {True: set(), False: set()}
    loops: dict[bool, set[str]] = {True: set(), False: set()}
    for dialogue in dialogues:
        for step in dialogue.steps:
            slots[dialogue.is_rule].update(step.state.get("slots", ()))
            if "active_loop" in step.state:
                loops[dialogue.is_rule].add(step.state["active_loop"]["name"])
    return frozenset(slots[True] - slots[False]), frozenset(loops[True] - loops[False] - {"should_not_be_set"})
