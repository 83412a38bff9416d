"""Conversations in which actions and services are stood in for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.evaluation import Report

Run = Callable[..., Report]

STOCK = "GET https://stock.example/items/*"


def talk(stubs: str, *steps: str) -> str:
    return f"stubs:\n{stubs}\nconversations:\n- name: sale\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


def problem(run: Run, text: str) -> str | None:
    (result,) = run(text).talks
    return result.problem


def test_a_stub_says_and_does_what_the_action_would(run: Run) -> None:
    stubs = """
  action_count:
  - events: [{slot: {count: 41}}]
    responses: [{text: Sold.}, {response: utter_bye}]
  - events: [{event: slot, name: count, value: 42}]
"""
    steps = (
        *("user: buy tea", "bot: [Sold., So long., bought tea]", "slot: {count: 41}"),
        *("user: buy milk", "slot: {count: 42}", "user: buy milk", "slot: {count: 42}"),
    )
    assert problem(run, talk(stubs, *steps)) is None


def test_a_stub_is_gone_after_its_conversation(run: Run) -> None:
    steps = "steps: [{user: buy tea}, {bot: Sale number}]"
    text = f"""
setup: "actions.shop:empty_the_till"
conversations:
- {{name: stubbed, stubs: {{action_count: {{responses: [{{text: Sale number x.}}]}}}}, {steps}}}
- {{name: real, {steps}}}
"""
    first, second = run(text).talks
    assert (first.turns[0].replies[0].text, second.turns[0].replies[0].text) == ("Sale number x.", "Sale number 1.")


def test_an_action_may_fail(run: Run) -> None:
    steps = ("user: buy tea", "bot: 'Sorry, something went wrong'", "not_action: utter_sold")
    assert problem(run, talk("  action_count: {fails: true}", *steps)) is None


def test_an_action_that_breaks_is_told_with_its_line_and_its_own_words(run: Run) -> None:
    (result,) = run(talk(f"  {STOCK}: {{json: {{lft: 0}}}}", "user: tea in stock", "bot: There")).talks
    assert "          ! action 'action_stock' failed at actions/shop.py:32: KeyError: 'left'" in result.transcript()


def test_where_there_are_stubs_of_any_kind_no_call_gets_out(run: Run) -> None:
    text = "conversations: [{name: sale, stubs: {}, steps: [{user: tea in stock}, {bot: tea}]}]"
    assert problem(run, text) == ("an action called what has no stub: GET https://stock.example/items/tea?branch=north")


def test_an_action_runs_and_its_service_does_not(run: Run) -> None:
    stubs = f"""
  {STOCK}: {{json: {{left: 0}}}}
  POST https://stock.example/orders: {{status: 201}}
"""
    steps = (
        "user: is tea in stock",
        "bot: There is 0 of tea.",
        f"called: {STOCK}",
        "called: {request: 'GET https://stock.example/items/tea?branch=north', times: 1}",
        "called: {request: POST https://stock.example/orders, json: {thing: tea}}",
        "not_called: GET https://stock.example/items/milk",
        "user: hello",
        f"not_called: {STOCK}",
    )
    assert problem(run, talk(stubs, *steps)) is None


@pytest.mark.parametrize(
    ("stub", "reply"),
    [
        ("{status: 503}", "There is error 503 of tea."),
        ("{down: true}", "There is nobody knows how many of tea."),
        ("[{json: {left: 2}}, {json: {left: 1}}]", "There is 2 of tea."),
    ],
)
def test_a_service_may_refuse_be_down_or_change(run: Run, stub: str, reply: str) -> None:
    assert problem(run, talk(f"  {STOCK}: {stub}", "user: tea in stock", f"bot: {reply}")) is None


def test_a_call_that_has_no_stub_fails_the_conversation_and_is_named(run: Run) -> None:
    (result,) = run(talk("  action_count: {}", "user: is tea in stock", "bot: tea")).talks
    assert str(result) == (
        "tests/shop.yml:6: 'sale': an action called what has no stub: GET https://stock.example/items/tea?branch=north"
    )
    assert result.transcript()[-1] == "expected: user: is tea in stock      <- tests/shop.yml:6"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            "called: POST https://stock.example/orders",
            "POST https://stock.example/orders was called 0 times; the calls were: "
            "GET https://stock.example/items/tea?branch=north",
        ),
        (
            f"called: {{request: {STOCK}, times: 2}}",
            f"{STOCK} was called 1 times, not 2 times; the calls were: "
            "GET https://stock.example/items/tea?branch=north",
        ),
        (f"not_called: {STOCK}", f"{STOCK} was called"),
    ],
)
def test_calls_that_were_expected_and_not_made_are_told(run: Run, step: str, told: str) -> None:
    assert problem(run, talk(f"  {STOCK}: {{json: {{left: 3}}}}", "user: tea in stock", step)) == told
