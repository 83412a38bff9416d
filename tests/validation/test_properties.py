"""What training refuses, validation finds, and nothing else: over small rules and stories of every kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import ProjectErrors, Source
from bot.events import ActionExecuted
from bot.policies.rule_policy import RulePolicy
from bot.policies.training_dialogues import SNIPPET, unroll
from bot.project import Project, load_project
from bot.tracker import LISTEN, Tracker
from bot.training import learn_dialogues
from bot.training_data import ActionStep, LoopStep, OrStep, Rule, SlotStep, Step, Story, UserStep
from bot.validation import validate

FALLBACK = "action_default_fallback"
DOMAIN = """\
intents: [a, b]
slots:
  flag: {type: bool, mappings: [{type: custom}]}
  name: {type: text, influence_conversation: false, mappings: [{type: from_text}]}
forms:
  ask: {required_slots: [name]}
responses:
  utter_x: [{text: X}]
  utter_y: [{text: Y}]
  utter_ask_name: [{text: Name?}]
"""

intents = st.sampled_from(["a", "b"]).map(UserStep)
flags = st.sampled_from([True, False, None]).map(lambda value: SlotStep("flag", value))
loops = st.sampled_from(["ask", None]).map(LoopStep)
actions = st.sampled_from([["utter_x"], ["utter_y"], ["utter_x", "utter_y"]]).map(
    lambda names: [ActionStep(name) for name in names]
)
forms = st.just([ActionStep("ask"), LoopStep("ask")])
messages = st.one_of(intents, st.just(OrStep((UserStep("a"), UserStep("b")))))
turns = st.tuples(messages, st.one_of(actions, forms)).map(lambda turn: [turn[0], *turn[1]])
ends = st.tuples(actions).map(lambda one: [ActionStep("ask"), LoopStep(None), *one[0]])


def placed(dialogues: list[Story | Rule]) -> list[Story | Rule]:
    """Each with a name and lines of its own."""
    out: list[Story | Rule] = []
    line = 0
    for number, one in enumerate(dialogues):
        first = line = line + 1
        steps: list[Step] = []
        for step in one.steps:
            line += 1
            steps.append(dataclasses.replace(step, source=Source("all.yml", line)))
        out.append(dataclasses.replace(one, name=f"d{number}", steps=tuple(steps), source=Source("all.yml", first)))
    return out


rules = st.builds(
    Rule,
    name=st.just(""),
    steps=st.one_of(turns, ends).map(tuple),
    condition=st.lists(st.one_of(flags, loops), max_size=1).map(tuple),
    wait_for_user_input=st.sampled_from([True, True, False]),
)
stories = st.lists(st.one_of(turns, flags.map(lambda step: [step])), min_size=1, max_size=3).map(
    lambda parts: Story("", tuple(step for part in parts for step in part))
)
projects = st.lists(st.one_of(rules, stories), min_size=1, max_size=5).map(placed)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root: Path = tmp_path_factory.mktemp("project")
    (root / "domain.yml").write_text(DOMAIN)
    (root / "config.yml").write_text("pipeline: [KeywordIntentClassifier]\npolicies: [MemoizationPolicy, RulePolicy]\n")
    return load_project(root)


def with_dialogues(project: Project, dialogues: list[Story | Rule]) -> Project:
    return dataclasses.replace(
        project,
        stories=tuple(one for one in dialogues if isinstance(one, Story)),
        rules=tuple(one for one in dialogues if isinstance(one, Rule)),
    )


def refused(train: Callable[[], object]) -> list[tuple[Source | None, str]]:
    try:
        train()
    except ProjectErrors as errors:
        return [(one.source, one.message) for one in errors.errors]
    return []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dialogues=projects)
def test_validation_finds_what_training_refuses_and_nothing_else(empty: Project, dialogues: list[Story | Rule]) -> None:
    project = with_dialogues(empty, dialogues)
    found = [(one.source, one.message) for one in validate(project) if one.kind in ("contradiction", "rule")]
    assert sorted(found) == sorted(refused(lambda: learn_dialogues(project)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dialogues=projects)
def test_each_pair_is_told_once(empty: Project, dialogues: list[Story | Rule]) -> None:
    project = with_dialogues(empty, dialogues)
    starts = sorted(one.source for one in dialogues)

    def dialogue(place: Source | None) -> Source | None:
        """Where the dialogue begins that has this line."""
        return max((start for start in starts if place and start <= place), default=None)

    for kind in ("contradiction", "story-conflict"):
        pairs = [
            frozenset((dialogue(one.source), dialogue(one.other))) for one in validate(project) if one.kind == kind
        ]
        assert len(pairs) == len(set(pairs))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dialogues=projects)
def test_where_nothing_is_found_every_dialogue_goes_on_as_it_is_written(
    empty: Project, dialogues: list[Story | Rule]
) -> None:
    project = with_dialogues(empty, dialogues)
    policy = RulePolicy()
    if refused(lambda: policy.train(project.stories, project.rules, project.domain)):
        return
    for dialogue in unroll(project.stories, project.rules, project.domain):
        tracker = Tracker.new("c", project.domain)
        steps = iter(dialogue.steps)
        for event in dialogue.events:
            if isinstance(event, ActionExecuted):
                step = next(steps)
                # A form that runs goes on by itself until it declines; a rule's listening may yield to a story.
                if step.action not in (SNIPPET, LISTEN) and not step.unpredictable and not tracker.active_loop:
                    prediction = policy.predict(tracker, project.domain)
                    assert prediction is not None
                    expected = (step.action,) if dialogue.is_rule else (step.action, FALLBACK)
                    assert prediction.action in expected
            tracker.apply(event)
