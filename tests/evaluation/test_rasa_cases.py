"""Rasa Pro's end-to-end test cases run unchanged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.errors import ProjectErrors
from bot.evaluation import Report

Run = Callable[..., Report]

CASES = """
fixtures:
- premium:
  - thing: gold
  - count: 7
metadata:
- region: {country: UK}
- device: {os: linux}
stub_custom_actions:
  action_count:
    events: [{event: slot, name: count, value: 1}]
    responses: [{text: Stubbed.}]
  special::action_count:
    events: []
    responses: [{text: Special.}]
test_cases:
- test_case: buying
  fixtures: [premium]
  metadata: region
  steps:
  - user: hello
    metadata: device
  - slot_was_set:
    - thing
    - count: 7
  - utter: utter_greet
  - user: '/buy{"thing": "tea"}'
  - bot: Stubbed.
  - utter: utter_sold
  - slot_was_set:
    - thing: tea
  - slot_was_not_set:
    - count: 7
- test_case: special
  steps:
  - user: buy it
  - slot_was_not_set:
    - thing
  - bot: Special.
- test_case: asserted
  steps:
  - user: buy tea
    assertions:
    - bot_uttered: {utter_name: utter_sold, text_matches: "bought t.a"}
    - action_executed: action_count
    - slot_was_set: [{name: thing, value: tea}, {name: count}]
    - bot_did_not_utter: {utter_name: utter_bye}
  - user: hello
    assertions:
    - bot_uttered: {buttons: [{title: Buy tea, payload: '/buy{"thing": "tea"}'}]}
"""


def test_cases_with_fixtures_metadata_stubs_and_assertions_pass(run: Run) -> None:
    report = run(CASES)
    assert (report.failures, [talk.conversation.name for talk in report.talks]) == (
        [],
        ["buying", "special", "asserted"],
    )
    heard = [event for event in report.talks[0].turns[0].events if event.kind == "user"]
    assert heard[0].metadata == {"country": "UK", "os": "linux"}


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("- bot: Hello", "5: 'x': no reply is 'Hello'; there is: Hello there."),
        ("- utter: utter_bye", "5: 'x': no reply is of 'utter_bye'; there is: utter_greet"),
        ("- slot_was_set: [thing]", "5: 'x': slot 'thing' is not set"),
        ("- slot_was_not_set: [count]", "5: 'x': slot 'count' is set: 0"),
        ("  assertions: [{bot_did_not_utter: {utter_name: utter_greet}}]", "5: 'x': 'utter_greet' was said"),
        ("  assertions: [{bot_uttered: {utter_name: utter_bye}}]", "5: 'x': no reply is of 'utter_bye'; there is:"),
    ],
)
def test_a_case_that_goes_otherwise_fails_at_its_line(run: Run, step: str, problem: str) -> None:
    (found,) = run(f"test_cases:\n- test_case: x\n  steps:\n  - user: hello\n  {step}\n").failures
    assert found.startswith(f"tests/shop.yml:{problem}")


@pytest.mark.parametrize(
    ("steps", "mistake"),
    [
        ("[{user: hello, assertions: [{flow_started: pay}]}]", "the assertion 'flow_started' cannot be checked here;"),
        ("[{intent: greet}]", "a step has one of the keys user, bot, utter, slot_was_set, slot_was_not_set"),
        ("[{user: hello}, {slot_was_set: [thin]}]", "there is no slot called 'thin'. Did you mean 'thing'?"),
    ],
)
def test_what_a_case_asks_for_and_cannot_be_had_is_told(run: Run, steps: str, mistake: str) -> None:
    with pytest.raises(ProjectErrors) as errors:
        run(f"test_cases: [{{test_case: x, steps: {steps}}}]")
    assert mistake in str(errors.value)
