"""TEDPolicy: goes on where no story does word for word, and doubts where it knows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain import Domain, IntentSpec, SlotSpec
from bot.events import ActionExecuted, SlotSet, UserUttered
from bot.interfaces import Prediction
from bot.policies.ted_policy import TEDPolicy
from bot.tracker import LISTEN, Tracker
from bot.training_data import ActionStep, SlotStep, Story, UserStep

INTENTS = ("greet", "sad", "glad", "yes", "bye", "other", "order")
DOMAIN = Domain(
    intents={name: IntentSpec(name) for name in INTENTS},
    slots={"vip": SlotSpec("vip", "bool")},
)


def story(*steps: str) -> Story:
    """`+vip` sets the slot, `utter_…` is an action, everything else an intent."""
    kinds = (
        SlotStep(step[1:], True)
        if step.startswith("+")
        else ActionStep(step)
        if step.startswith("utter_")
        else UserStep(step)
        for step in steps
    )
    return Story(" ".join(steps), tuple(kinds))


STORIES = (
    story("greet", "utter_greet", "sad", "utter_cheer_up", "yes", "utter_happy"),
    story("greet", "utter_greet", "glad", "utter_happy", "bye", "utter_bye"),
    story("greet", "utter_greet", "order", "utter_queue"),
    story("greet", "utter_greet", "+vip", "order", "utter_at_once"),
)


@pytest.fixture(scope="module")
def ted() -> TEDPolicy:
    policy = TEDPolicy(max_history=5, epochs=60)
    policy.train(STORIES, (), DOMAIN)
    return policy


def asked(policy: TEDPolicy, *said: str) -> Prediction | None:
    tracker = Tracker.new("rest:anna", DOMAIN)
    for step in said:
        if step.startswith("+"):
            tracker.apply(SlotSet(name=step[1:], value=True))
        elif step.startswith("utter_"):
            tracker.apply(ActionExecuted(name=step))
        else:
            parse = {"intent": {"name": step, "confidence": 1.0}, "entities": []}
            tracker.apply_all([ActionExecuted(name=LISTEN), UserUttered(text=step, parse_data=parse)])
    return policy.predict(tracker, DOMAIN)


@pytest.mark.parametrize(
    ("said", "action"),
    [
        (("greet", "utter_greet", "sad"), "utter_cheer_up"),
        (("sad",), "utter_cheer_up"),
        (("greet", "utter_greet", "greet", "utter_greet", "glad"), "utter_happy"),
        (("bye", "utter_bye", "greet", "utter_greet"), LISTEN),
        (("greet", "utter_greet", "order"), "utter_queue"),
        (("greet", "utter_greet", "+vip", "order"), "utter_at_once"),
    ],
)
def test_it_goes_on_as_the_nearest_story_does(ted: TEDPolicy, said: tuple[str, ...], action: str) -> None:
    prediction = asked(ted, *said)
    assert prediction is not None
    assert (prediction.action, prediction.policy) == (action, "TEDPolicy")
    assert 0.3 < prediction.confidence < 1


def test_it_has_nothing_to_say_after_an_intent_that_no_story_has(ted: TEDPolicy) -> None:
    assert asked(ted, "other") is None


def test_it_has_nothing_to_say_without_stories() -> None:
    policy = TEDPolicy()
    policy.train((), (), DOMAIN)
    assert asked(policy, "greet") is None


def test_it_is_kept_and_read_again(ted: TEDPolicy, tmp_path: Path) -> None:
    ted.save(tmp_path)
    again = TEDPolicy(max_history=5)
    again.load(tmp_path)
    assert asked(again, "sad") == asked(ted, "sad")


def test_same_data_and_seed_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        policy = TEDPolicy(max_history=3, epochs=3, seed=7)
        policy.train(STORIES, (), DOMAIN)
        (tmp_path / name).mkdir()
        policy.save(tmp_path / name)
    for file in ("weights.safetensors", "labels.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_message_counts_by_its_words_where_stories_have_texts() -> None:
    policy = TEDPolicy(max_history=5, epochs=80)
    policy.train(
        [
            *STORIES,
            Story("open", (UserStep(None, text="when do you open on sundays"), ActionStep("utter_hours"))),
            Story(
                "lost", (UserStep(None, text="i lost my umbrella"), ActionStep(None, text="It may be in the cellar."))
            ),
        ],
        (),
        DOMAIN,
    )
    said = {"when are you open, on sundays?": "utter_hours", "my umbrella is lost": "It may be in the cellar."}
    for text, action in said.items():
        tracker = Tracker.new("rest:anna", DOMAIN)
        parse = {"intent": {"name": "other", "confidence": 0.4}, "entities": []}
        tracker.apply_all([ActionExecuted(name=LISTEN), UserUttered(text=text, parse_data=parse)])
        prediction = policy.predict(tracker, DOMAIN)
        assert prediction is not None
        assert (prediction.action, prediction.is_end_to_end) == (action, True)
    by_intent = asked(policy, "greet", "utter_greet", "sad")
    assert by_intent is not None
    assert (by_intent.action, by_intent.is_end_to_end) == ("utter_cheer_up", False)


def test_after_a_story_the_bot_listens_however_many_stories_begin_with_an_action() -> None:
    beginnings = ("utter_greet", "utter_queue", "utter_at_once", "utter_bye")
    policy = TEDPolicy(max_history=5, epochs=60)
    policy.train([story(beginning, "yes", "utter_happy") for beginning in beginnings], (), DOMAIN)
    prediction = asked(policy, "greet", "utter_greet", "yes", "utter_happy")
    assert prediction is not None
    assert prediction.action == LISTEN
    assert prediction.confidence > 0.5
