"""RulePolicy: rules, default actions and the happy path of forms. What it says overrules all other policies.

A rule is learned as the states that must lie behind and the action that follows. It applies when each of
its states is contained in the dialogue's state at that place; of several, the longest wins.
Source of the behaviour: https://rasa.com/docs/rasa/rules
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bot.domain import Domain
from bot.errors import ConfigError, DataError, ProjectErrors, suggest
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    LoopInterrupted,
)
from bot.interfaces import Prediction
from bot.policies.contradictions import Disagreement, Place, contradiction, told_once
from bot.policies.rule_checks import WrongRule, incomplete, latest_action, too_long
from bot.policies.training_dialogues import SNIPPET, TrainingDialogue, unroll
from bot.states import NOT_SET, State
from bot.states import rule_states as all_states
from bot.tracker import LISTEN, Tracker
from bot.training_data import Rule, Story
from bot.validation import known_actions

DEFAULT_ACTIONS = {"restart": "action_restart", "back": "action_back", "session_start": "action_session_start"}
INTERRUPTED = "interrupted"
NOT_THE_LOOP = "not the loop"
DEFAULT = "default "
LOOP = "loop "


@dataclass(frozen=True, slots=True)
class Learned:
    """`states` (oldest first) lead to `action`; `key` is their JSON, whose length ranks rules."""

    states: tuple[State, ...]
    action: str
    key: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say, and which rule (its key) or built-in says it."""

    action: str | None
    source: str
    interrupted: bool = False
    end_to_end: bool = False
    needs_no_message: bool = False


class RulePolicy:
    """See the module. Options are Rasa's; `core_fallback_threshold` is the confidence of the core fallback."""

    overrules = True
    """A running form goes on whatever another policy is certain of: this one is always asked."""

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
        self.compares = check_for_contradictions
        self._use_nlu_confidence = use_nlu_confidence_as_score
        self._rules: list[Learned] = []
        self._after: dict[str | None, list[Learned]] = {}
        self._unhappy: list[Learned] = []
        self._not_in_stories: set[str] = set()
        self._has_text_rules = False

    # ---- learning ----

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        """Learn the rules. `ProjectErrors` tell of all that disagree at once, each pair once."""
        if self._enable_fallback and self._fallback_action not in known_actions(domain):
            hint = suggest(self._fallback_action, known_actions(domain))
            raise ConfigError(f"core_fallback_action_name: the domain has no action '{self._fallback_action}'.{hint}")
        dialogues = unroll(stories, rules, domain)
        of_rules = [dialogue for dialogue in dialogues if dialogue.is_rule]
        wrong: list[DataError] = []
        if self._restrict_rules:
            wrong += too_long(rules)
        if self.compares:
            wrong += incomplete(of_rules, domain)
        self._rules = _learn(of_rules)
        self._unhappy = _learn_unhappy(dialogues)
        self._index()
        if self.compares:
            # What a rule leaves out may be all that it disagrees about.
            unsure = {error.rule for error in wrong if isinstance(error, WrongRule)}
            wrong += [
                contradiction(found)
                for found in told_once(self._compare(dialogues, domain))
                if unsure.isdisjoint(place.dialogue.source for place in (found.here, found.there) if place)
            ]
        if wrong:
            raise ProjectErrors(wrong)

    def _index(self) -> None:
        self._has_text_rules = any("text" in state.get("user", {}) for rule in self._rules for state in rule.states)
        self._after = defaultdict(list)
        for rule in self._rules:
            self._after[latest_action(rule.states)].append(rule)

    def _compare(self, dialogues: Sequence[TrainingDialogue], domain: Domain) -> list[Disagreement]:
        """Find the rules that no story follows, and where rules and stories disagree.

        What the rules predict at each step of each dialogue is what they would in a conversation.
        """
        told: dict[str, list[tuple[Place | None, str]]] = defaultdict(list)
        for dialogue in dialogues:
            if dialogue.is_rule:
                for place, found in self._predictions(dialogue, domain):
                    is_own = not found.source.startswith((DEFAULT, LOOP))
                    told[found.source].append((place, place.step.action) if is_own else (None, found.action or ""))
        followed: set[str] = set()
        wrong: list[Disagreement] = []
        for dialogue in dialogues:
            for place, found in self._predictions(dialogue, domain):
                action = place.step.action
                predicted = found.action or (self._fallback_action if dialogue.is_rule else None)
                if predicted == action and not dialogue.is_rule:
                    followed.add(found.source)
                if predicted in (None, action) or self._forget_listening(dialogue, found):
                    continue
                others = [(there, other) for there, other in told[found.source] if other != action]
                # Of several, those that say what is predicted; where rules cancel each other out, none does.
                said = [(there, other) for there, other in others if other == predicted] or others
                wrong += [Disagreement(place, there, other) for there, other in said]
        defaults = {f"{DEFAULT}{intent}" for intent in DEFAULT_ACTIONS}
        loops = {f"{LOOP}{form}{end}" for form in domain.forms for end in ("", f" {LISTEN}")}
        self._not_in_stories = (set(told) | defaults | loops) - followed
        return wrong

    def _predictions(self, dialogue: TrainingDialogue, domain: Domain) -> Iterator[tuple[Place, Decision]]:
        """What the rules say at each step of a dialogue where they can be asked."""
        tracker = Tracker.new(dialogue.name, domain)
        number = 0
        for event in dialogue.events:
            if isinstance(event, ActionExecuted):
                step = dialogue.steps[number]
                if step.action != SNIPPET and not step.unpredictable:
                    found = self._decide(tracker)
                    loop = tracker.active_loop_name
                    if loop and found.action == loop != step.action:
                        # Inside a form, a training dialogue tells of what happens when the form declines.
                        tracker.apply(ActionExecutionRejected(name=loop))
                        found = self._decide(tracker)
                    yield Place(dialogue, number), found
                number += 1
            tracker.apply(event)

    def _forget_listening(self, dialogue: TrainingDialogue, found: Decision) -> bool:
        """A rule `intent, action` says that the bot listens then, until a story goes on with another rule."""
        if dialogue.is_rule or found.action != LISTEN or found.source.count("prev_action") > 1:
            return False
        if not any(rule.key.startswith(found.source[:-2]) and rule.key != found.source for rule in self._rules):
            return False
        self._rules = [rule for rule in self._rules if rule.key != found.source]
        self._index()
        return True

    # ---- deciding ----

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        found = self._decide(tracker)
        action, confidence = found.action or LISTEN, 1.0 if found.action else 0.0
        if found.action and self._use_nlu_confidence and tracker.latest_message:
            confidence = tracker.latest_message.intent.confidence
        unsure = action == tracker.rejected_action or confidence < self._fallback_confidence
        if self._enable_fallback and unsure and action != self._fallback_action:
            action, confidence = self._fallback_action, self._fallback_confidence
        return Prediction(
            action,
            confidence,
            type(self).__name__,
            events=(LoopInterrupted(is_interrupted=True),) if found.interrupted else (),
            is_end_to_end=found.end_to_end,
            hide_rule_turn=found.source in self._not_in_stories,
            needs_no_message=found.needs_no_message,
        )

    def _decide(self, tracker: Tracker) -> Decision:
        states = all_states(tracker.history, tracker.state())
        by_text = Decision(None, "")
        if self._has_text_rules and tracker.latest_action_name == LISTEN and tracker.latest_message:
            with_text = [*states[:-1], {**states[-1], "user": {"text": tracker.latest_message.text}}]
            by_text = dataclasses.replace(self._from_rules(tracker, with_text), end_to_end=True)
        intent = tracker.latest_message.intent_name if tracker.latest_message else None
        default = DEFAULT_ACTIONS.get(intent or "")
        if default and tracker.latest_action_name == LISTEN and not by_text.action:
            return Decision(default, f"{DEFAULT}{intent}")
        happy = self._happy_path(tracker)
        if happy or by_text.action:
            return happy or by_text
        by_intent = self._from_rules(tracker, states)
        return dataclasses.replace(by_intent, interrupted=True) if by_text.interrupted else by_intent

    def _happy_path(self, tracker: Tracker) -> Decision | None:
        """A running form that has not declined goes on; after it has asked, the bot listens."""
        loop = tracker.active_loop
        if loop is None or loop.rejected:
            return None
        if tracker.latest_action_name == loop.name:
            return Decision(LISTEN, f"{LOOP}{loop.name} {LISTEN}", needs_no_message=True)
        return Decision(loop.name, f"{LOOP}{loop.name}", needs_no_message=True) if tracker.latest_action_name else None

    def _from_rules(self, tracker: Tracker, states: Sequence[State]) -> Decision:
        """The action of the best rule, that rule's key, and whether a form returns from a digression."""
        best = self._best(states)
        action, source = (best.action, best.key) if best else (None, _key(_after_snippet(states)))
        loop = tracker.active_loop_name
        interrupted = False
        if loop:
            conditions = {learned.action for learned in self._unhappy if _applies(learned.states, states)}
            if best and action == LISTEN and not _loop(best.states[-1]):
                # A rule that knows nothing of the form ended: the form goes on, unless something else must.
                if NOT_THE_LOOP not in conditions:
                    return Decision(loop, source)
                action = None
            interrupted = INTERRUPTED in conditions
        return Decision(action, source, interrupted)

    def _best(self, states: Sequence[State]) -> Learned | None:
        """The longest rule that applies: of those alone that go on after the latest action."""
        fitting = [rule for rule in self._after.get(latest_action(states), ()) if _applies(rule.states, states)]
        return max(fitting, key=lambda rule: len(rule.key), default=None)

    # ---- keeping ----

    def save(self, folder: Path) -> None:
        data = {
            # Not where the rules stand: a model does not change with the folder it was trained in.
            "rules": [[rule.states, rule.action] for rule in self._rules],
            "unhappy": [[rule.states, rule.action] for rule in self._unhappy],
            "not_in_stories": sorted(self._not_in_stories),
        }
        (folder / "rules.json").write_bytes(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))

    def load(self, folder: Path) -> None:
        data = orjson.loads((folder / "rules.json").read_bytes())
        self._rules = [Learned(tuple(states), action, _key(states)) for states, action, *_ in data["rules"]]
        self._unhappy = [Learned(tuple(states), action, _key(states)) for states, action, *_ in data["unhappy"]]
        self._not_in_stories = set(data["not_in_stories"])
        self._index()


def _key(states: Sequence[State]) -> str:
    """As Rasa writes it, since of the rules that apply the longest text wins."""
    return json.dumps(list(states), sort_keys=True)


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
    """One entry per step of every rule; where rules disagree at once, none (see `_compare`)."""
    learned: dict[str, Learned] = {}
    ambiguous: set[str] = set()
    for dialogue in dialogues:
        for states, step in dialogue.prefixes():
            kept = _after_snippet(states)
            if not kept:
                continue
            key = _key(kept)
            if learned.setdefault(key, Learned(tuple(kept), step.action, key)).action != step.action:
                ambiguous.add(key)
    return [rule for rule in learned.values() if rule.action != SNIPPET and rule.key not in ambiguous]


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
