"""The dialogue as the policies see it: one small state before each action, kept up to date event by event.

A state has Rasa's shape: `{"user": {"intent", "entities", "text"}, "slots": {name: features},
"prev_action": {"action_name"}, "active_loop": {"name"}}`, with empty parts left out. Turns in which a form
just took its answer are forgotten, as in Rasa, so a story need not spell them out. The view is bounded
and part of the snapshot, so a prediction costs the same in the ten-thousandth turn as in the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain import DEFAULT_INTENTS, Domain
from bot.slots import featurize

State = dict[str, Any]

NOT_SET = "should_not_be_set"
"""What a rule says of a slot or loop that must be empty."""

UNLIKELY = "action_unlikely_intent"

LONGEST = 60
"""How many states are kept; a rule or story that looks back further than this is not supported."""


Mark = tuple[str, str]
"""("user", ""), ("slot", name), ("loop_on", form), ("loop_off", "") or ("rejected", form)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One action that ran: the state before it, and what happened between it and the next action."""

    state: State
    action: str
    hidden: bool = False
    keeps_hidden: bool = False
    marks: tuple[Mark, ...] = ()


@dataclass(slots=True)
class History:
    """The states of the present session, oldest first, and the parts of the next one."""

    entries: list[Entry] = field(default_factory=list)
    user: State = field(default_factory=dict)
    prev_action: State = field(default_factory=dict)
    loops: set[str] = field(default_factory=set)
    truncated: bool = False

    def clear(self) -> None:
        """A new session or a restart: nothing before it counts."""
        self.entries = []
        self.user = {}
        self.prev_action = {}
        self.loops = set()
        self.truncated = False

    def user_uttered(self, user: State) -> None:
        self.user = user
        self._mark(("user", ""))

    def use_text(self, use: bool, text: str | None) -> None:
        """The latest message counts as text (end-to-end) instead of as an intent."""
        if use and text:
            self.user = {"text": text}

    def loop_changed(self, name: str | None) -> None:
        if name is None:
            self._mark(("loop_off", ""))
        else:
            self.loops.add(name)
            self._mark(("loop_on", name))

    def slot_set(self, name: str) -> None:
        self._mark(("slot", name))

    def rejected(self, action: str) -> None:
        self._mark(("rejected", action))

    def action_executed(self, state: State, action: str, prev_action: State, *, hidden: bool, keeps: bool) -> bool:
        """An action ran after `state`. A form that took its answer replaces its earlier run: False."""
        is_new = action not in self.loops or self._is_first_or_unhappy(action)
        if not is_new:
            self._forget_since(action)
        else:
            self.entries.append(Entry(state, action, hidden, keeps))
            if len(self.entries) > LONGEST:
                del self.entries[: len(self.entries) - LONGEST]
                self.truncated = True
        self.prev_action = prev_action
        return is_new

    def copy(self) -> History:
        """The same, to be changed apart: entries and states never change themselves."""
        return History(list(self.entries), self.user, self.prev_action, set(self.loops), self.truncated)

    def before_latest(self, prev_action: State) -> History:
        """As it was before the latest action, when the one before that was `prev_action`."""
        return History(self.entries[:-1], self.user, prev_action, set(self.loops), self.truncated)

    def since(self, start: int, current: State, first: State) -> tuple[History, State]:
        """The dialogue, and the current state, had it begun with entry `start`: nothing before left a trace.

        `first` is the state of an empty conversation.
        """
        seen: set[Mark] = set()

        def without_trace(state: State) -> State:
            slots = {name: value for name, value in first.get("slots", {}).items() if ("slot", name) not in seen}
            slots |= {name: value for name, value in state.get("slots", {}).items() if ("slot", name) in seen}
            heard, loop = ("user", "") in seen, ("loop_on", state.get("active_loop", {}).get("name")) in seen
            keep = {"prev_action": True, "user": heard, "active_loop": loop}
            out = {key: part for key, part in state.items() if keep.get(key)}
            return {**out, "slots": slots} if slots else out

        out = History()
        for entry in self.entries[start:]:
            state = without_trace(entry.state) if out.entries else first
            out.entries.append(
                dataclasses.replace(entry, state=state, keeps_hidden=entry.keeps_hidden or not out.entries)
            )
            seen.update(entry.marks)
        return out, without_trace(current)

    def _mark(self, *marks: Mark) -> None:
        if self.entries:
            last = self.entries[-1]
            new = tuple(mark for mark in marks if mark[0] != "slot" or mark not in last.marks)
            if new:
                self.entries[-1] = Entry(last.state, last.action, last.hidden, last.keeps_hidden, (*last.marks, *new))

    def _is_first_or_unhappy(self, loop: str) -> bool:
        later: str | None = None
        for entry in reversed(self.entries):
            for kind, name in reversed(entry.marks):
                if kind == "loop_off" or (kind == "rejected" and name == loop):
                    return True
                if kind == "user" and later is not None and later != loop:
                    return True
            if entry.action == loop:
                return False
            later = entry.action
        return True

    def _forget_since(self, loop: str) -> None:
        while self.entries and self.entries[-1].action != loop:
            gone = self.entries.pop()
            self._mark(*(mark for mark in gone.marks if mark[0] != "user"))
        if self.entries:
            last = self.entries[-1]
            kept = tuple(mark for mark in last.marks if mark[0] != "user")
            self.entries[-1] = dataclasses.replace(last, marks=kept)
            self.user = last.state.get("user", {})

    # ---- the snapshot ----

    def to_json(self) -> dict[str, Any]:
        return {
            "entries": [[e.state, e.action, e.hidden, e.keeps_hidden, e.marks] for e in self.entries],
            "user": self.user,
            "prev_action": self.prev_action,
            "loops": sorted(self.loops),
            "truncated": self.truncated,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> History:
        return History(
            entries=[
                Entry(state, action, hidden, keeps, tuple((kind, name) for kind, name in marks))
                for state, action, hidden, keeps, marks in data["entries"]
            ],
            user=data["user"],
            prev_action=data["prev_action"],
            loops=set(data["loops"]),
            truncated=data["truncated"],
        )


def user_state(domain: Domain, intent: str | None, entities: list[Mapping[str, Any]], text: str | None = None) -> State:
    """The customer's part of a state: the intent, and the entities that count for it, sorted."""
    out: State = {}
    if text is not None:
        out["text"] = text
    if intent:
        out["intent"] = intent
    names: set[str] = set()
    for entity in entities:
        name = entity.get("entity")
        if not name:
            continue
        names.add(name)
        names.update(f"{name}#{entity[key]}" for key in ("role", "group") if entity.get(key))
    if names:
        wanted = {name for name in names if _counts(domain, intent, name)}
        if wanted:
            out["entities"] = sorted(wanted)
    return out


def _counts(domain: Domain, intent: str | None, name: str) -> bool:
    """Whether an entity, or its role or group (`city#from`), is part of the state when this intent is heard."""
    spec = domain.intents.get(intent or "")
    if spec is None and intent not in DEFAULT_INTENTS:
        return True
    base, _, label = name.partition("#")
    known = domain.entities.get(base)
    if known is None or (label and label not in (*known.roles, *known.groups)):
        return False
    ignored = spec.ignore_entities if spec else None
    if ignored is None:
        ignored = () if known.influence_conversation else (base,)
    if base in ignored or name in ignored:
        return False
    if spec is None or spec.use_entities is None:
        return known.influence_conversation or bool(label)
    return base in spec.use_entities or name in spec.use_entities


def slot_states(domain: Domain, slots: Mapping[str, Any]) -> State:
    """The features of the slots that are set and influence the conversation."""
    out: State = {}
    for name, spec in domain.slots.items():
        if not spec.influence_conversation or spec.type == "any":
            continue
        value = slots.get(name)
        if value is None:
            continue
        if value == NOT_SET:
            out[name] = NOT_SET
            continue
        features = featurize(spec, value)
        if any(features):
            out[name] = list(features)
    return out


def story_states(
    history: History, current: State, rule_slots: frozenset[str] = frozenset(), rule_loops: frozenset[str] = frozenset()
) -> list[State]:
    """The states as a policy that learned from stories sees them: turns that only rules know are left out.

    `rule_slots` and `rule_loops` occur in rules alone, so they are removed from what is left.
    """
    states: list[State] = []
    last_action: State | None = None
    hidden = False
    steps = [(entry.state, entry.hidden, entry.keeps_hidden) for entry in history.entries]
    for full, entry_hidden, keeps_hidden in [*steps, (current, False, False)]:
        if not hidden:
            last_action = full.get("prev_action")
        if not keeps_hidden:
            hidden = entry_hidden
        if hidden:
            continue
        state = {key: part for key, part in full.items() if not (key == "active_loop" and part["name"] in rule_loops)}
        if rule_slots and "slots" in state:
            kept = {name: value for name, value in state["slots"].items() if name not in rule_slots}
            state["slots"] = kept
        if states and state.get("prev_action", {}).get("action_name") != "action_listen":
            if states[-1].get("user"):
                state["user"] = states[-1]["user"]
            else:
                state.pop("user", None)
        if last_action:
            state["prev_action"] = last_action
        states.append({key: part for key, part in state.items() if part})
    return states


def without_unlikely_intent(states: Iterable[State]) -> list[State]:
    """As if `action_unlikely_intent` had not run."""
    return [state for state in states if state.get("prev_action", {}).get("action_name") != UNLIKELY]


def rule_states(history: History, current: State) -> list[State]:
    """The states as rules see them: all of them."""
    return [*(entry.state for entry in history.entries), current]
