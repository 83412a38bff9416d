"""RulePolicy: rules, default actions and the happy path of forms. What it says overrules all other policies.

A rule is learned as the states that must lie behind and the action that follows. It applies when each of
its states is contained in the dialogue's state at that place; of several, the longest wins.
Source of the behaviour: https://rasa.com/docs/rasa/rules
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bot.domain import Domain
from bot.errors import Contradiction, DataError, ProjectErrors
from bot.events import LoopInterrupted
from bot.interfaces import Prediction
from bot.policies.training_dialogues import SNIPPET, DialogueStep, TrainingDialogue, unroll
from bot.states import NOT_SET, State
from bot.states import rule_states as all_states
from bot.tracker import LISTEN, Tracker
from bot.training_data import Rule, Story, UserStep

DEFAULT_ACTIONS = {"restart": "action_restart", "back": "action_back", "session_start": "action_session_start"}
INTERRUPTED = "interrupted"
NOT_THE_LOOP = "not the loop"


@dataclass(frozen=True, slots=True)
class Learned:
    """`states` (oldest first) lead to `action`; `key` is their JSON, whose length ranks rules."""

    states: tuple[State, ...]
    action: str
    key: str
    rule: str = ""


class RulePolicy:
    """See the module. Options are Rasa's; `core_fallback_threshold` is the confidence of the core fallback."""

    def __init__(
        self,
        *,
        priority: int = 6,
        core_fallback_threshold: float = 0.3,
        core_fallback_action_name: str = "action_default_fallback",
        enable_fallback_prediction: bool = True,
        restrict_rules: bool = True,
        check_for_contradictions: bool = True,
        use_nlu_confidence_as_score: bool = False,
    ) -> None:
        self.priority = priority
        self._fallback_confidence = core_fallback_threshold
        self._fallback_action = core_fallback_action_name
        self._enable_fallback = enable_fallback_prediction
        self._restrict_rules = restrict_rules
        self._check = check_for_contradictions
        self._use_nlu_confidence = use_nlu_confidence_as_score
        self._rules: list[Learned] = []
        self._after: dict[str | None, list[Learned]] = {}
        self._unhappy: list[Learned] = []
        self._in_stories: set[str] = set()
        self._has_text_rules = False

    # ---- learning ----

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        if self._restrict_rules:
            _check_one_message(rules)
        dialogues = unroll(stories, rules, domain)
        of_rules = [dialogue for dialogue in dialogues if dialogue.is_rule]
        self._rules = _learn(of_rules)
        self._unhappy = _learn_unhappy(dialogues)
        self._index()
        self._in_stories, contradictions = self._compare(dialogues)
        if contradictions and self._check:
            raise ProjectErrors(contradictions)

    def _index(self) -> None:
        self._has_text_rules = any("text" in state.get("user", {}) for rule in self._rules for state in rule.states)
        self._after = defaultdict(list)
        for rule in self._rules:
            self._after[_latest_action(rule.states)].append(rule)

    def _compare(self, dialogues: Sequence[TrainingDialogue]) -> tuple[set[str], list[DataError]]:
        """The rules that stories follow, too, and the places where a rule and a dialogue disagree."""
        used: set[str] = set()
        found: list[DataError] = []
        for dialogue in dialogues:
            for states, step in dialogue.prefixes():
                if step.action == SNIPPET or step.unpredictable:
                    continue
                predicted, source = self._predict_in_training(states)
                if predicted == step.action and not dialogue.is_rule:
                    used.add(source)
                elif predicted not in (None, step.action):
                    best = self._best(states)
                    if best is None or self._is_listen_after_action(best, dialogue):
                        continue
                    found.append(_contradiction(dialogue, step, best, predicted or ""))
        return used, found

    def _is_listen_after_action(self, rule: Learned, dialogue: TrainingDialogue) -> bool:
        """A rule `intent, action` also says that the bot listens then; a story may go on instead."""
        return not dialogue.is_rule and rule.action == LISTEN and len(rule.states) <= 2

    def _predict_in_training(self, states: Sequence[State]) -> tuple[str | None, str]:
        """As in a conversation; form turns inside a training dialogue are unhappy ones, so loops do not count."""
        state = states[-1]
        loop = _loop(state)
        after_listen = state.get("prev_action", {}).get("action_name") == LISTEN
        default = DEFAULT_ACTIONS.get(state.get("user", {}).get("intent", "")) if after_listen else None
        if default:
            return default, f"default {default}"
        if loop and state.get("prev_action", {}).get("action_name") == loop:
            return LISTEN, f"loop {loop} listen"
        best = self._best(states)
        if best is None:
            return None, ""
        if loop and best.action == LISTEN and not _loop(best.states[-1]):
            return None, ""
        return best.action, best.key

    # ---- deciding ----

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        states: list[State] | None = None
        interrupted = False
        if self._has_text_rules and tracker.latest_action_name == LISTEN and tracker.latest_message:
            states = all_states(tracker.history, tracker.state())
            with_text = [*states[:-1], {**states[-1], "user": {"text": tracker.latest_message.text}}]
            action, source, interrupted = self._from_rules(tracker, with_text)
            if action and self._happy_path(tracker) is None:
                return self._say(action, source, tracker, interrupted=interrupted, end_to_end=True)
        intent = tracker.latest_message.intent_name if tracker.latest_message else None
        default = DEFAULT_ACTIONS.get(intent or "")
        if default and tracker.latest_action_name == LISTEN:
            return self._say(default, f"default {default}", tracker)
        happy = self._happy_path(tracker)
        if happy:
            return self._say(happy[0], happy[1], tracker)
        states = states or all_states(tracker.history, tracker.state())
        action, source, interrupted = self._from_rules(tracker, states)
        if action is not None:
            return self._say(action, source, tracker, interrupted=interrupted)
        events = (LoopInterrupted(is_interrupted=True),) if interrupted else ()
        if not self._enable_fallback:
            return Prediction(LISTEN, 0.0, type(self).__name__, events=events) if events else None
        return Prediction(self._fallback_action, self._fallback_confidence, type(self).__name__, events=events)

    def _say(
        self, action: str, source: str, tracker: Tracker, *, interrupted: bool = False, end_to_end: bool = False
    ) -> Prediction:
        confidence = 1.0
        if self._use_nlu_confidence and tracker.latest_message:
            confidence = tracker.latest_message.intent.confidence
        return Prediction(
            action,
            confidence,
            type(self).__name__,
            events=(LoopInterrupted(is_interrupted=True),) if interrupted else (),
            is_end_to_end=end_to_end,
            hide_rule_turn=source not in self._in_stories,
        )

    def _happy_path(self, tracker: Tracker) -> tuple[str, str] | None:
        """A running form that has not declined goes on; after it has asked, the bot listens."""
        loop = tracker.active_loop
        if loop is None or loop.rejected:
            return None
        if tracker.latest_action_name == loop.name:
            return LISTEN, f"loop {loop.name} listen"
        return (loop.name, f"loop {loop.name}") if tracker.latest_action_name else None

    def _from_rules(self, tracker: Tracker, states: Sequence[State]) -> tuple[str | None, str, bool]:
        """The action of the best rule, that rule's key, and whether a form returns from a digression."""
        best = self._best(states)
        action = best.action if best else None
        loop = tracker.active_loop_name
        interrupted = False
        if loop:
            conditions = {learned.action for learned in self._unhappy if _applies(learned.states, states)}
            if best and action == LISTEN and not _loop(best.states[-1]):
                # A rule that knows nothing of the form ended: the form goes on, unless something else must.
                if NOT_THE_LOOP not in conditions:
                    return loop, best.key, False
                action = None
            interrupted = INTERRUPTED in conditions
        return action, best.key if best else "", interrupted

    def _best(self, states: Sequence[State]) -> Learned | None:
        """The longest rule that applies: of those alone that go on after the latest action."""
        fitting = [rule for rule in self._after.get(_latest_action(states), ()) if _applies(rule.states, states)]
        return max(fitting, key=lambda rule: len(rule.key), default=None)

    # ---- keeping ----

    def save(self, folder: Path) -> None:
        data = {
            # Not where the rules stand: a model does not change with the folder it was trained in.
            "rules": [[rule.states, rule.action] for rule in self._rules],
            "unhappy": [[rule.states, rule.action] for rule in self._unhappy],
            "in_stories": sorted(self._in_stories),
        }
        (folder / "rules.json").write_bytes(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))

    def load(self, folder: Path) -> None:
        data = orjson.loads((folder / "rules.json").read_bytes())
        self._rules = [Learned(tuple(states), action, _key(states)) for states, action, *_ in data["rules"]]
        self._unhappy = [Learned(tuple(states), action, _key(states)) for states, action, *_ in data["unhappy"]]
        self._in_stories = set(data["in_stories"])
        self._index()


def _key(states: Sequence[State]) -> str:
    return orjson.dumps(list(states), option=orjson.OPT_SORT_KEYS).decode()


def _latest_action(states: Sequence[State]) -> str | None:
    """What ran last: an action's name or its text; None at the beginning."""
    previous: State = states[-1].get("prev_action") or {}
    return previous.get("action_name") or previous.get("action_text")


def _loop(state: State) -> str | None:
    name: str | None = state.get("active_loop", {}).get("name")
    return None if name == NOT_SET else name


def _after_snippet(states: Sequence[State]) -> list[State]:
    """The states of a rule without whatever went before it."""
    for index in range(len(states) - 1, -1, -1):
        if states[index].get("prev_action", {}).get("action_name") == SNIPPET:
            return list(states[index + 1 :])
    return list(states)


def _learn(dialogues: Iterable[TrainingDialogue]) -> list[Learned]:
    """One entry per step of every rule; two rules that disagree at once are told by `_compare`."""
    learned: dict[str, Learned] = {}
    for dialogue in dialogues:
        for states, step in dialogue.prefixes():
            kept = _after_snippet(states)
            if not kept:
                continue
            key = _key(kept)
            if key not in learned:
                learned[key] = Learned(tuple(kept), step.action, key, f"{dialogue.source}: rule '{dialogue.name}'")
    return [rule for rule in learned.values() if rule.action != SNIPPET]


def _learn_unhappy(dialogues: Iterable[TrainingDialogue]) -> list[Learned]:
    """How a form comes back after something else answered, from rules and stories that tell of it."""
    learned: dict[str, Learned] = {}
    for dialogue in dialogues:
        for states, step in dialogue.prefixes():
            loop = _loop(states[-1])
            if loop is None:
                continue
            if len(states) == 1 or not states[-2].get("prev_action"):
                kept = [states[-1]]
            else:
                kept = [{"prev_action": states[-2]["prev_action"]}, states[-1]]
            kept = _after_snippet(kept)
            if not kept:
                continue
            after_listen = states[-1].get("prev_action", {}).get("action_name") == LISTEN
            key = _key(kept)
            if after_listen and step.action == loop:
                learned[key] = Learned(tuple(kept), INTERRUPTED, key)
            elif not after_listen and step.action != loop:
                learned[key] = Learned(tuple(kept), NOT_THE_LOOP, key)
    return list(learned.values())


def _applies(rule: Sequence[State], states: Sequence[State]) -> bool:
    """Whether the rule's states are contained in the latest states of the dialogue."""
    if len(rule) > len(states):
        return False
    for rule_state, state in zip(reversed(rule), reversed(states), strict=False):
        begins_rule = not rule_state.get("prev_action")
        begins_dialogue = not state.get("prev_action")
        if begins_rule and begins_dialogue:
            return True
        if begins_rule or begins_dialogue or not _contains(state, rule_state):
            return False
    return True


def _contains(state: State, rule_state: State) -> bool:
    for part, expected in rule_state.items():
        given = state.get(part, {})
        for key, value in expected.items():
            actual = given.get(key)
            if value == NOT_SET:
                if actual and actual != NOT_SET:
                    return False
            elif value and actual != value:
                return False
    return True


def _check_one_message(rules: Sequence[Rule]) -> None:
    errors = [
        DataError(
            f"rule '{rule.name}' has {count} messages of the customer; a rule has at most one. Make it a story.",
            rule.source,
        )
        for rule in rules
        if (count := sum(isinstance(step, UserStep) for step in rule.steps)) > 1
    ]
    if errors:
        raise ProjectErrors(errors)


def _contradiction(dialogue: TrainingDialogue, step: DialogueStep, rule: Learned, predicted: str) -> Contradiction:
    kind = "rule" if dialogue.is_rule else "story"
    before: list[Any] = [step.state.get("user", {}).get("intent"), step.state.get("prev_action", {}).get("action_name")]
    path = ", ".join(f"'{name}'" for name in before if name not in (None, LISTEN)) or "the beginning"
    return Contradiction(
        f"{kind} '{dialogue.name}' goes on with '{step.action}' after {path}, "
        f"but {rule.rule} goes on with '{predicted}' there. Make them agree, or give a rule a condition.",
        step.source,
    )
