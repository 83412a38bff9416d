"""AugmentedMemoizationPolicy: like MemoizationPolicy, and when the whole dialogue is in no story, its end may be."""

from __future__ import annotations

from collections.abc import Sequence

from bot.policies.memoization_policy import MemoizationPolicy
from bot.states import State


class AugmentedMemoizationPolicy(MemoizationPolicy):
    """Forgets the oldest turns one by one, and what they set, until a story goes on from what is left."""

    def recall(self, states: Sequence[State], *, whole: bool) -> str | None:
        found = super().recall(states, whole=whole)
        if found is not None:
            return found
        most = self._max_history or len(states)
        for start in range(max(0, len(states) - 1 - most), len(states) - 1):
            action = self._lookup.get(self._key([{}, *_without(states[start], states[start + 1 :])]))
            if action is not None:
                return action
        return None


def _without(base: State, states: Sequence[State]) -> list[State]:
    """The states as they would be had the dialogue begun after `base`: slots and loop it set are unset."""
    out: list[State] = []
    old_slots = base.get("slots", {})
    old_loop = base.get("active_loop")
    for state in states:
        kept = {name: value for name, value in state.get("slots", {}).items() if old_slots.get(name) != value}
        new = {key: part for key, part in state.items() if key not in ("slots", "active_loop")}
        if kept:
            new["slots"] = kept
        if "active_loop" in state and state["active_loop"] != old_loop:
            new["active_loop"] = state["active_loop"]
        out.append(new)
    return out
