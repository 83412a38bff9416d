"""AugmentedMemoizationPolicy: like MemoizationPolicy, and when the whole dialogue is in no story, its end may be."""

from __future__ import annotations

from collections.abc import Sequence

from bot.policies.memoization_policy import MemoizationPolicy
from bot.states import History, State, story_states
from bot.tracker import LISTEN, Tracker


class AugmentedMemoizationPolicy(MemoizationPolicy):
    """Forgets the oldest actions one by one, and all that came of them, until a story goes on from what is left."""

    def recall(self, states: Sequence[State], tracker: Tracker, *, whole: bool) -> str | None:
        found = super().recall(states, tracker, whole=whole)
        if found is not None:
            return found
        first = Tracker.new("", tracker.domain).state()
        for start in range(self._start(tracker.history), len(tracker.history.entries)):
            history, current = tracker.history.since(start, tracker.state(), first)
            shorter = story_states(history, current, self._rule_slots, self._rule_loops)
            action = self._lookup.get(self._key(shorter))
            if action is not None:
                return action
        return None

    def _start(self, history: History) -> int:
        """The action to begin with: with a `max_history`, the latest listening that leaves so many actions after it."""
        older = len(history.entries) - self._max_history if self._max_history else 0
        listens = [number for number, entry in enumerate(history.entries[: max(0, older)]) if entry.action == LISTEN]
        return listens[-1] if listens else 0
