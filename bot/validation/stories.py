"""Stories and rules that disagree, and what is told twice."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from bot.component_config import ComponentConfig
from bot.domain import NOWHERE, Domain
from bot.interfaces import Policy
from bot.policies.contradictions import Disagreement, Place, contradiction, told_once
from bot.policies.memoization_policy import MemoizationPolicy
from bot.policies.rule_policy import RulePolicy
from bot.policies.ted_policy import TEDPolicy
from bot.policies.training_dialogues import TrainingDialogue, unroll
from bot.states import UNLIKELY
from bot.tracker import LISTEN
from bot.training import untrained_policies
from bot.training_data import CheckpointStep, OrStep, Rule, Step, Story
from bot.validation.finding import Finding, raised, warning
from bot.validation.names import all_dialogues, called

if TYPE_CHECKING:
    from bot.project import Project


def check_training(project: Project) -> list[Finding]:
    """What makes training fail: policies that cannot be made, rules that are wrong or disagree with anything."""
    policies: list[tuple[ComponentConfig, Policy]] = []
    found = raised("policy", lambda: policies.extend(untrained_policies(project)))
    for config, policy in policies:
        if isinstance(policy, RulePolicy):
            learn = functools.partial(policy.train, project.stories, project.rules, project.domain)
            found += raised("rule", learn, config.source)
    return found


def check_stories(project: Project, max_history: int | None = None) -> Iterator[Finding]:
    """Stories that go on differently after the same beginning, of which no policy can learn both.

    `max_history` is how many states count; None: as many as the policy sees that looks back furthest.
    """
    most = max_history or _most_states(project)
    found = told_once(_conflicts(unroll(project.stories, (), project.domain), most))
    for error in (contradiction(one, most) for one in found):
        yield warning("story-conflict", error.message, error.source or NOWHERE, error.other)


def _most_states(project: Project) -> int | None:
    """How far back the policies look that learn stories; None: to the beginning."""
    seen: list[int | None] = []
    for config, policy in untrained_policies(project):
        if isinstance(policy, MemoizationPolicy | TEDPolicy):
            default = inspect.signature(type(policy)).parameters["max_history"].default
            seen.append(config.options.get("max_history", default))
    return None if None in seen else max((most for most in seen if most), default=None)


def _conflicts(dialogues: list[TrainingDialogue], max_history: int | None) -> Iterator[Disagreement]:
    first: dict[object, Place] = {}
    numbers: dict[object, int] = {}
    for dialogue in dialogues:
        states: list[int] = []
        whole = 0
        for number, step in enumerate(dialogue.steps):
            state = numbers.setdefault(orjson.dumps(step.state, option=orjson.OPT_SORT_KEYS), len(numbers))
            states.append(state)
            # All states up to here, by one number.
            whole = numbers.setdefault((whole, state), len(numbers))
            if step.action == UNLIKELY or not _something_was(step.state):
                continue
            place = Place(dialogue, number)
            key = tuple(states[-max_history:]) if max_history else whole
            other = first.setdefault(key, place)
            if other.step.action != step.action:
                yield Disagreement(place, other, other.step.action)


def _something_was(state: dict[str, dict[str, str]]) -> bool:
    """Whether anything was said or done: how stories begin is for the customer to choose."""
    previous = state.get("prev_action", {})
    return bool(state.get("user")) or previous.get("action_name", LISTEN) != LISTEN or "action_text" in previous


def check_repetitions(project: Project) -> Iterator[Finding]:
    """Names that stand twice, and dialogues that are told twice."""
    named: dict[tuple[bool, str], Story | Rule] = {}
    told: dict[tuple[bool, str], Story | Rule] = {}
    for one in all_dialogues(project):
        is_rule = isinstance(one, Rule)
        namesake = named.setdefault((is_rule, one.name), one)
        twin = told.setdefault((is_rule, _content(one, project.domain)), one)
        kind = "rule" if is_rule else "story"
        if twin is not one:
            message = f"{called(one)} says the same as {called(twin)} ({twin.source}): leave one out"
            yield warning(f"repeated-{kind}", message, one.source, twin.source)
        elif namesake is not one and one.name:
            message = f"there is another {kind} '{one.name}' ({namesake.source}): give one of them another name"
            yield warning(f"repeated-{kind}-name", message, one.source, namesake.source)


def _content(one: Story | Rule, domain: Domain) -> str:
    """The same for two rules that policies cannot tell apart, and for stories that differ in name and place alone."""
    if isinstance(one, Rule):
        return repr([[(step.state, step.action) for step in way.steps] for way in unroll((), (one,), domain)])
    return repr([_nowhere(step) for step in one.steps])


def _nowhere(step: Step) -> Step:
    if isinstance(step, OrStep):
        return OrStep(tuple(dataclasses.replace(choice, source=NOWHERE) for choice in step.choices), NOWHERE)
    if isinstance(step, CheckpointStep):
        return CheckpointStep(
            step.name, tuple(dataclasses.replace(slot, source=NOWHERE) for slot in step.slots), NOWHERE
        )
    return dataclasses.replace(step, source=NOWHERE)
