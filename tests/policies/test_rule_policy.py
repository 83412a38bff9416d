"""Rules, stories and forms decide as Rasa's do."""

from __future__ import annotations

import pytest

from bot.domain import Domain, FormSpec, IntentSpec, Response, SlotMapping, SlotSpec
from bot.errors import ProjectErrors, Source
from bot.events import ActionExecuted, ActionExecutionRejected, ActiveLoopChanged, SessionStarted, SlotSet, UserUttered
from bot.messages import BotMessage
from bot.policies.augmented_memoization_policy import AugmentedMemoizationPolicy
from bot.policies.memoization_policy import MemoizationPolicy
from bot.policies.rule_policy import RulePolicy
from bot.tracker import Tracker
from bot.training_data import ActionStep, LoopStep, Rule, SlotStep, Story, UserStep

INTENTS = ("greet", "goodbye", "transfer", "faq", "mood_great", "mood_unhappy", "inform")
DOMAIN = Domain(
    intents={name: IntentSpec(name) for name in INTENTS},
    slots={
        "amount": SlotSpec("amount", "text", mappings=(SlotMapping("from_entity", entity="amount"),)),
        "name": SlotSpec("name", "text"),
        "requested_slot": SlotSpec("requested_slot", "text", influence_conversation=False),
    },
    responses={
        name: (Response(BotMessage(text=name)),) for name in ("utter_greet", "utter_bye", "utter_faq", "utter_done")
    },
    forms={"transfer_form": FormSpec("transfer_form", ("amount",))},
)


def said(intent: str) -> UserUttered:
    return UserUttered(text=f"({intent})", parse_data={"intent": {"name": intent, "confidence": 1.0}, "entities": []})


def conversation(*events: object) -> Tracker:
    tracker = Tracker.new("test:1", DOMAIN)
    for event in (SessionStarted(), ActionExecuted(name="action_listen"), *events):
        match event:
            case str():
                tracker.apply(ActionExecuted(name=event))
            case _:
                tracker.apply(event)  # type: ignore[arg-type]
    return tracker


def rule(name: str, *steps: object, **more: object) -> Rule:
    return Rule(name, tuple(steps), source=Source("rules.yml", 1), **more)  # type: ignore[arg-type]


FAREWELL = rule("bye", UserStep("goodbye"), ActionStep("utter_bye"))
START_FORM = rule("start", UserStep("transfer"), ActionStep("transfer_form"), LoopStep("transfer_form"))
SUBMIT = rule(
    "submit",
    ActionStep("transfer_form"),
    LoopStep(None),
    ActionStep("utter_done"),
    condition=(LoopStep("transfer_form"),),
)
DIGRESSION = rule(
    "faq in form",
    UserStep("faq"),
    ActionStep("utter_faq"),
    ActionStep("transfer_form"),
    LoopStep("transfer_form"),
    condition=(LoopStep("transfer_form"),),
)
FAQ = rule("faq", UserStep("faq"), ActionStep("utter_faq"))


def policy(*rules: Rule, stories: tuple[Story, ...] = ()) -> RulePolicy:
    made = RulePolicy()
    made.train(stories, rules, DOMAIN)
    return made


def next_action(made: RulePolicy | MemoizationPolicy, tracker: Tracker) -> str | None:
    prediction = made.predict(tracker, DOMAIN)
    return prediction.action if prediction else None


def test_a_rule_answers_whatever_went_before() -> None:
    made = policy(FAREWELL)
    tracker = conversation(said("greet"), "utter_greet", "action_listen", said("goodbye"))
    assert next_action(made, tracker) == "utter_bye"
    tracker.apply(ActionExecuted(name="utter_bye"))
    assert next_action(made, tracker) == "action_listen"


def test_without_a_rule_the_core_fallback_is_said_with_its_threshold() -> None:
    prediction = policy(FAREWELL).predict(conversation(said("greet")), DOMAIN)
    assert prediction is not None
    assert (prediction.action, prediction.confidence) == ("action_default_fallback", 0.3)


def test_a_form_runs_until_it_is_done_and_then_its_submit_rule() -> None:
    made = policy(START_FORM, SUBMIT)
    tracker = conversation(said("transfer"))
    assert next_action(made, tracker) == "transfer_form"
    tracker.apply_all([ActionExecuted(name="transfer_form"), ActiveLoopChanged(name="transfer_form")])
    tracker.apply(SlotSet(name="requested_slot", value="amount"))
    assert next_action(made, tracker) == "action_listen"
    tracker.apply_all([ActionExecuted(name="action_listen"), said("inform")])
    assert next_action(made, tracker) == "transfer_form"
    tracker.apply_all([SlotSet(name="amount", value="5"), ActionExecuted(name="transfer_form")])
    tracker.apply_all([SlotSet(name="requested_slot", value=None), ActiveLoopChanged(name=None)])
    assert next_action(made, tracker) == "utter_done"


@pytest.mark.parametrize("rules", [(FAQ,), (DIGRESSION,), (FAQ, DIGRESSION)])
def test_a_digression_is_answered_and_the_form_goes_on(rules: tuple[Rule, ...]) -> None:
    made = policy(START_FORM, SUBMIT, *rules)
    tracker = conversation(
        said("transfer"),
        "transfer_form",
        ActiveLoopChanged(name="transfer_form"),
        SlotSet(name="requested_slot", value="amount"),
        "action_listen",
        said("faq"),
    )
    assert next_action(made, tracker) == "transfer_form"
    tracker.apply(ActionExecutionRejected(name="transfer_form"))
    assert next_action(made, tracker) == "utter_faq"
    tracker.apply(ActionExecuted(name="utter_faq"))
    assert next_action(made, tracker) == "transfer_form"


def test_a_condition_on_a_slot_must_hold() -> None:
    known = rule("known", UserStep("greet"), ActionStep("utter_bye"), condition=(SlotStep("name", any_value=True),))
    unknown = rule("unknown", UserStep("greet"), ActionStep("utter_greet"), condition=(SlotStep("name", None),))
    made = policy(known, unknown)
    assert next_action(made, conversation(said("greet"))) == "utter_greet"
    assert next_action(made, conversation(SlotSet(name="name", value="Anna"), said("greet"))) == "utter_bye"


def test_restart_is_obeyed_without_a_rule() -> None:
    assert next_action(policy(FAREWELL), conversation(said("restart"))) == "action_restart"


def test_two_rules_that_disagree_are_named_with_their_places() -> None:
    step = ActionStep("utter_greet", source=Source("more.yml", 9))
    other = Rule("other", (UserStep("goodbye"), step), source=Source("more.yml", 7))
    with pytest.raises(
        ProjectErrors, match=r"rule 'bye' disagrees with rule 'other' \(more\.yml:9\) after \[user: good"
    ):
        policy(FAREWELL, other)


def test_a_story_that_disagrees_with_a_rule_is_named() -> None:
    story = Story("s", (UserStep("goodbye"), ActionStep("utter_greet", source=Source("stories.yml", 3))))
    with pytest.raises(ProjectErrors, match=r"stories.yml:3: story 's' disagrees with rule 'bye' .*Here 'utter_greet'"):
        policy(FAREWELL, stories=(story,))


def test_a_rule_with_two_messages_is_refused() -> None:
    with pytest.raises(ProjectErrors, match="at most one"):
        policy(rule("long", UserStep("greet"), ActionStep("utter_greet"), UserStep("goodbye"), ActionStep("utter_bye")))


HAPPY = Story(
    "happy",
    (UserStep("greet"), ActionStep("utter_greet"), UserStep("mood_great"), ActionStep("utter_done")),
)


def test_memoization_goes_on_as_the_story_does() -> None:
    made = MemoizationPolicy()
    made.train([HAPPY], [], DOMAIN)
    tracker = conversation(said("greet"))
    assert next_action(made, tracker) == "utter_greet"
    tracker.apply(ActionExecuted(name="utter_greet"))
    assert next_action(made, tracker) == "action_listen"
    tracker.apply_all([ActionExecuted(name="action_listen"), said("mood_great")])
    assert next_action(made, tracker) == "utter_done"


def test_memoization_says_nothing_of_a_dialogue_in_no_story() -> None:
    made = MemoizationPolicy()
    made.train([HAPPY], [], DOMAIN)
    assert next_action(made, conversation(said("mood_great"))) is None


def test_a_rule_only_turn_does_not_disturb_a_story() -> None:
    rules = RulePolicy()
    rules.train([HAPPY], [FAREWELL], DOMAIN)
    stories = MemoizationPolicy()
    stories.train([HAPPY], [FAREWELL], DOMAIN)
    tracker = conversation(said("goodbye"))
    prediction = rules.predict(tracker, DOMAIN)
    assert prediction is not None
    assert prediction.hide_rule_turn
    tracker.apply(ActionExecuted(name="utter_bye", hide_rule_turn=True))
    tracker.apply(ActionExecuted(name="action_listen", hide_rule_turn=True))
    tracker.apply(said("greet"))
    assert next_action(stories, tracker) == "utter_greet"


def test_augmented_memoization_forgets_the_beginning() -> None:
    made = AugmentedMemoizationPolicy()
    made.train([HAPPY], [], DOMAIN)
    tracker = conversation(said("goodbye"), "utter_bye", "action_listen", said("greet"))
    assert next_action(made, tracker) == "utter_greet"


def test_what_was_learned_survives_saving(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = policy(START_FORM, SUBMIT, FAREWELL)
    made.save(tmp_path)
    loaded = RulePolicy()
    loaded.load(tmp_path)
    assert next_action(loaded, conversation(said("goodbye"))) == "utter_bye"
