"""Test stories: what counts as right, and what is said of what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.evaluation import Report, StoryReport, evaluate_stories
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.story_file import read_stories
from bot.training import load_assistant
from bot.yaml_file import Problems, parse_yaml

Run = Callable[..., Report]


def story(*steps: str) -> str:
    return "stories:\n- story: sale\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


def test_a_story_that_goes_as_written_passes(run: Run) -> None:
    found = run(
        story(
            *("{user: hello, intent: greet}", "action: utter_greet"),
            *("{user: 'buy [tea](thing)', intent: buy}", "slot_was_set: [{thing: tea}]", "action: action_count"),
            *("action: utter_sold", "intent: bye", "action: utter_bye"),
        )
    )
    assert (found.stories, found.failures) == (1, [])


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (
            ("intent: greet", "action: utter_bye"),
            "5: story 'sale': 'utter_greet' comes next, not 'utter_bye'",
        ),
        (
            ("{user: hello, intent: bye}", "action: utter_bye"),
            "4: story 'sale': 'hello' is understood as 'greet', not as 'bye'",
        ),
        (
            ("{user: 'buy [coffee](thing)', intent: buy}", "action: action_count", "action: utter_sold"),
            "4: story 'sale': in 'buy coffee' the thing 'coffee' is not found",
        ),
        (
            ("{user: 'buy tea', intent: buy}", "action: action_count", "action: utter_sold"),
            "4: story 'sale': in 'buy tea' the thing 'tea' is found: the story has none",
        ),
        (
            ("intent: buy", "action: action_count", "intent: greet", "action: utter_greet"),
            "6: story 'sale': 'utter_sold' comes next, where the customer should speak",
        ),
        (
            ("intent: buy", "action: action_count"),
            "2: story 'sale': 'utter_sold' comes next, after the story's end",
        ),
        (("checkpoint: start", "intent: greet"), "4: story 'sale': no story leads to its checkpoint 'start'"),
    ],
)
def test_a_story_that_goes_otherwise_fails_at_its_line(run: Run, steps: tuple[str, ...], problem: str) -> None:
    assert run(story(*steps)).failures == [f"tests/shop.yml:{problem}"]


def test_a_story_goes_on_after_a_mistake_and_shows_all_of_them(run: Run) -> None:
    steps = ("intent: greet", "action: utter_bye", "{user: buy, intent: greet}", "action: utter_greet")
    (result,) = run(story(*steps)).story_report.failed
    assert [(one.source.line, one.got) for one in result.mismatches] == [
        *((5, "utter_greet"), (6, "action_default_fallback"), (6, "buy")),
    ]


def test_an_or_is_followed_both_ways(run: Run) -> None:
    found = run(story("or: [{intent: greet}, {intent: bye}]", "action: utter_greet"))
    assert found.stories == 2
    assert found.failures == ["tests/shop.yml:5: story 'sale': 'utter_bye' comes next, not 'utter_greet'"]


def test_in_a_story_custom_actions_do_not_run(run: Run) -> None:
    text = story("intent: buy", "action: action_count", "action: utter_sold")
    talk = "conversations: [{name: sale, steps: [{user: buy tea}, {bot: Sale number 1}]}]"
    assert run(f'setup: "actions.shop:empty_the_till"\n{text}{talk}').failures == []


def evaluated(shop: Path, text: str, *, e2e: bool) -> StoryReport:
    project, problems = load_project(shop), Problems()
    content = parse_yaml(text, "tests/shop.yml", problems)
    stories = read_stories(content["stories"], content.source, problems)
    return asyncio.run(evaluate_stories(load_assistant(project, store=MemoryStore()), stories, e2e))


def test_the_report_has_rasas_shape(shop: Path) -> None:
    text = story("{user: 'buy [tea](thing)', intent: buy}", "action: action_count", "action: utter_bye")
    found = evaluated(shop, text, e2e=True).to_json()
    assert [(one["action"], one["predicted"], one["policy"]) for one in found["actions"]] == [
        ("action_count", "action_count", "RulePolicy"),
        ("utter_bye", "utter_sold", "RulePolicy"),
        ("action_listen", "action_default_fallback", "RulePolicy"),
    ]
    assert set(found) == {
        *("report", "precision", "f1", "accuracy", "actions"),
        *("in_training_data_fraction", "is_end_to_end_evaluation"),
    }
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert (found["in_training_data_fraction"], found["is_end_to_end_evaluation"]) == (1.0, True)
    assert found["report"]["[tea](thing)"] == {"precision": 1.0, "recall": 1.0, "f1-score": 1.0, "support": 1.0}
    assert {"buy", "utter_bye", "macro avg", "weighted avg", "micro avg", "accuracy"} <= set(found["report"])


def test_without_end_to_end_what_is_typed_counts_as_understood(shop: Path) -> None:
    text = story("{user: whatever, intent: buy}", "action: action_count", "action: utter_sold")
    assert evaluated(shop, text, e2e=False).failed == []
    assert [str(one) for one in evaluated(shop, text, e2e=True).failed] == [
        "tests/shop.yml:4: story 'sale': 'whatever' is understood as 'nlu_fallback', not as 'buy'"
    ]
