"""Which difference is recognised as one on purpose, and which is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.certify.dialogues import Dialogue
from bot.certify.here import Held
from bot.certify.known import Seen, explanation
from bot.certify.turns import Turn, read_turn
from bot.errors import Source
from bot.project import load_project

SHOP = load_project(Path(__file__).parent / "shop")


def turn(said: str, *events: dict[str, Any], slots: dict[str, Any] | None = None) -> Turn:
    return read_turn({"said": said, "seconds": 0.0, "events": list(events), "slots": slots or {}, "active_loop": None})


def action(name: str, policy: str = "RulePolicy", confidence: float = 1.0) -> dict[str, Any]:
    return {"event": "action", "name": name, "policy": policy, "confidence": confidence}


LISTEN = action("action_listen")
PAUSE = {"event": "pause"}


def why(ours: list[Turn], theirs: Turn) -> str:
    held = Held(Dialogue("d", "story", Source("s.yml", 1), ()), ours)
    return explanation(Seen(SHOP, held, len(ours) - 1, theirs))


def test_a_pause_explains_what_comes_after_it_alone() -> None:
    paused = turn("/greet", action("action_handoff"), PAUSE)
    assert why([paused], turn("/greet", action("utter_greet"), LISTEN)) == ""
    later = turn("/greet", LISTEN, action("utter_greet"), LISTEN)
    assert "paused by an action" in why([paused, later], turn("/greet"))


@pytest.mark.parametrize(
    ("said", "row"),
    [
        ("/faq/open", "a payload `/faq/ask_name` of a retrieval intent"),
        ('/inform{\n"size": "small"}', "a payload's JSON over several lines"),
        ("/inform" + '{"size": ' * 21 + "1" + "}" * 21, "a payload's JSON deeper than 20 levels"),
    ],
)
def test_payloads_that_rasa_reads_otherwise(said: str, row: str) -> None:
    ours, theirs = turn(said, action("utter_greet"), LISTEN), turn(said, action("action_default_fallback"), LISTEN)
    assert row in why([ours], theirs)


def test_a_date_in_a_payload_is_no_retrieval_intent() -> None:
    said = '/inform{"size": "1/2"}'
    assert why([turn(said, action("utter_greet"), LISTEN)], turn(said, LISTEN)) == ""


def test_ten_actions_in_one_turn_explain_that_turn_and_those_after() -> None:
    many = turn("/greet", *(action(f"action_{number}") for number in range(10)))
    assert "more than ten actions" in why([many], turn("/greet", LISTEN))
    assert "more than ten actions" in why([many, turn("/greet", LISTEN)], turn("/greet"))
    assert why([turn("/greet", action("action_1"), LISTEN)], turn("/greet", LISTEN)) == ""


def test_odd_braces_explain_a_reply_that_rasa_does_not_say() -> None:
    said = {"event": "bot", "text": "Use {} like this", "metadata": {}, "data": {}}
    assert "braces in a response" in why([turn("/greet", said)], turn("/greet"))
    assert why([turn("/greet", said)], turn("/greet", {**said, "text": "Use it"})) == ""


def test_a_guess_of_one_engine_is_enough_and_a_rule_is_none() -> None:
    guessed = turn("/greet", action("utter_greet", "TEDPolicy", 0.4), LISTEN)
    fell_back = turn("/greet", action("action_default_fallback", "RulePolicy", 0.3), LISTEN)
    assert why([guessed], fell_back) == (
        "a learned policy guesses: utter_greet (TEDPolicy, 0.40) here, "
        "action_default_fallback (RulePolicy, 0.30) in Rasa"
    )
    ruled = turn("/greet", action("utter_greet"), LISTEN)
    assert why([ruled], turn("/greet", action("utter_cancelled"), LISTEN)) == ""


def test_what_a_learned_policy_is_sure_of_is_no_guess() -> None:
    sure = turn("/greet", action("utter_greet", "TEDPolicy", 0.95), LISTEN)
    fell_back = turn("/greet", action("action_default_fallback", "RulePolicy", 0.3), LISTEN)
    assert why([fell_back], sure) == why([sure], fell_back) == ""
