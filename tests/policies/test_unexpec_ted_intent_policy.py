"""UnexpecTEDIntentPolicy: doubts an intent where no story has it, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain import Domain, IntentSpec
from bot.events import ActionExecuted, UserUttered
from bot.interfaces import Prediction
from bot.policies.memoization_policy import MemoizationPolicy
from bot.policies.unexpec_ted_intent_policy import UnexpecTEDIntentPolicy
from bot.tracker import LISTEN, Tracker
from bot.training_data import ActionStep, Story, UserStep

INTENTS = ("greet", "order", "pay", "thank", "bye", "new")
DOMAIN = Domain(intents={name: IntentSpec(name) for name in INTENTS})


def story(*steps: str) -> Story:
    """`utter_…` and `action_…` are actions, everything else an intent."""
    kinds = (ActionStep(step) if step.startswith(("utter_", "action_")) else UserStep(step) for step in steps)
    return Story(" ".join(steps), tuple(kinds))


STORIES = (
    story("greet", "utter_greet", "order", "utter_total", "pay", "utter_paid", "thank", "utter_welcome"),
    story("greet", "utter_greet", "order", "utter_total", "bye", "utter_bye"),
    story("greet", "utter_greet", "bye", "utter_bye"),
)


def learnt(**options: object) -> UnexpecTEDIntentPolicy:
    # Without augmentation: joined stories let every first intent follow every last action.
    policy = UnexpecTEDIntentPolicy(max_history=4, epochs=80, augmentation=0, **options)  # type: ignore[arg-type]
    policy.train(STORIES, (), DOMAIN)
    return policy


@pytest.fixture(scope="module")
def policy() -> UnexpecTEDIntentPolicy:
    return learnt()


def told(*said: str) -> Tracker:
    tracker = Tracker.new("rest:anna", DOMAIN)
    for step in said:
        if step.startswith(("utter_", "action_")):
            tracker.apply(ActionExecuted(name=step))
        else:
            parse = {"intent": {"name": step, "confidence": 1.0}, "entities": []}
            tracker.apply_all([ActionExecuted(name=LISTEN), UserUttered(text=step, parse_data=parse)])
    return tracker


def asked(policy: UnexpecTEDIntentPolicy, *said: str) -> Prediction | None:
    return policy.predict(told(*said), DOMAIN)


ORDERED = ("greet", "utter_greet", "order", "utter_total")


@pytest.mark.parametrize("said", [("greet",), ("greet", "utter_greet", "bye"), (*ORDERED, "pay"), (*ORDERED, "bye")])
def test_what_a_story_lets_expect_is_not_doubted(policy: UnexpecTEDIntentPolicy, said: tuple[str, ...]) -> None:
    assert asked(policy, *said) is None


@pytest.mark.parametrize("said", [("pay",), ("thank",), ("greet", "utter_greet", "pay"), (*ORDERED, "thank")])
def test_what_no_story_has_here_is_doubted(policy: UnexpecTEDIntentPolicy, said: tuple[str, ...]) -> None:
    prediction = asked(policy, *said)
    assert prediction is not None
    assert (prediction.action, prediction.confidence) == ("action_unlikely_intent", 1.0)
    query = prediction.metadata["query_intent"]
    assert query["name"] == said[-1]
    assert query["severity"] == query["threshold"] - query["score"] > 0
    scores = [one["score"] for one in prediction.metadata["ranking"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5


def test_it_doubts_once_and_then_leaves_the_answer_to_others(policy: UnexpecTEDIntentPolicy) -> None:
    assert asked(policy, "pay", "action_unlikely_intent") is None


def test_an_intent_of_no_story_is_not_doubted(policy: UnexpecTEDIntentPolicy) -> None:
    assert asked(policy, "new") is None


def test_intents_can_be_left_out() -> None:
    assert asked(learnt(ignore_intents_list=["pay"]), "pay") is None


def test_the_more_tolerant_the_fewer_doubts() -> None:
    said = [(*before, intent) for before in ((), ("greet", "utter_greet"), ORDERED) for intent in INTENTS]
    doubts = [
        sum(asked(policy, *one) is not None for one in said) for policy in (learnt(tolerance=0.9), learnt(tolerance=0))
    ]
    assert doubts[0] < doubts[1]


def test_it_is_kept_and_read_again(policy: UnexpecTEDIntentPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    again = UnexpecTEDIntentPolicy(max_history=4)
    again.load(tmp_path)
    assert asked(again, "pay") == asked(policy, "pay")


def test_same_data_and_seed_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        policy = UnexpecTEDIntentPolicy(epochs=2, seed=7)
        policy.train(STORIES, (), DOMAIN)
        (tmp_path / name).mkdir()
        policy.save(tmp_path / name)
    for file in ("weights.safetensors", "labels.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_story_goes_on_after_a_doubt_as_it_says_or_as_if_there_had_been_none() -> None:
    policy = MemoizationPolicy()
    policy.train([*STORIES, story("pay", "action_unlikely_intent", "utter_not_yet")], (), DOMAIN)

    def then(*said: str) -> str | None:
        prediction = policy.predict(told(*said), DOMAIN)
        return prediction.action if prediction else None

    assert then("pay", "action_unlikely_intent") == "utter_not_yet"
    assert then("greet", "action_unlikely_intent") == "utter_greet"
    assert then("pay") is None
