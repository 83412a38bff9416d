"""Conversations with their actions: what can be said and checked, and what is said of what went otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.errors import ConfigError
from bot.evaluation import Report, print_report

Run = Callable[..., Report]


def conversation(*steps: str) -> str:
    return "conversations:\n- name: sale\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


def test_a_project_without_tests_says_where_they_go(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(run(""))
    assert capsys.readouterr().out == "There are no tests: put them into tests/*.yml.\n"


def test_in_a_conversation_actions_run_and_everything_can_be_checked(run: Run) -> None:
    text = conversation(
        "user: hello",
        "bot: Hello there",
        'user: \'/buy{"thing": "tea"}\'',
        "action: action_count",
        "bot: 'Sale number \\d+\\.'",
        "bot: You have bought tea.",
        "slot: {thing: tea, count: 1}",
        "user: buy milk",
        "bot: [Sale, bought milk]",
        "slot: {thing: milk, count: 2}",
    )
    assert run(f'setup: "actions.shop:empty_the_till"\n{text}').failures == []


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (("user: hello", "bot: Goodbye"), "5: 'sale': no reply has 'Goodbye'; there is: Hello there."),
        (("user: hello", "bot: 'Hel+o, '"), "5: 'sale': no reply has 'Hel+o, '; there is: Hello there."),
        (("user: hello", "bot: '(('"), "5: 'sale': no reply has '(('; there is: Hello there."),
        (("user: hello", "bot: Hello", "bot: Hello"), "6: 'sale': no reply has 'Hello'; there is: there."),
        (("user: hello", "user: hm", "bot: Hello"), "6: 'sale': no reply has 'Hello'; there is: (nothing)"),
        (("bot: Hello", "user: hello"), "4: 'sale': no reply has 'Hello'; there is: (nothing)"),
        (("user: buy tea", "bot: [bought, Sale]"), "5: 'sale': no reply has 'Sale'; there is: tea."),
        (
            ("user: hello", "action: action_count"),
            "5: 'sale': 'action_count' did not run; these did: action_session_start, utter_greet",
        ),
        (("user: buy tea", "slot: {thing: milk}"), "5: 'sale': slot 'thing' is 'tea', not 'milk'"),
        (("user: /bye", "bot: So long"), "5: 'sale': no reply has 'So long'"),
    ],
)
def test_a_conversation_that_goes_otherwise_fails_at_its_line(run: Run, steps: tuple[str, ...], problem: str) -> None:
    (found,) = run(conversation(*steps)).failures
    assert found.startswith(f"tests/shop.yml:{problem}")


def test_a_conversation_may_be_in_another_language(run: Run) -> None:
    text = conversation("user: 99", "bot: 你好").replace("sale\n", "sale\n  language: zh\n")
    assert run(text).failures == []


def test_each_conversation_begins_afresh(run: Run) -> None:
    first = conversation("user: buy milk", "slot: {thing: milk}")
    second = "- name: next\n  steps:\n  - user: buy it\n  - slot: {thing: null}\n"
    assert run(first + second).failures == []


@pytest.mark.parametrize("setup", ["actions.shop:nothing", "no_such_module:f", "actions.shop"])
def test_a_setup_that_is_not_there_is_one_error(run: Run, setup: str) -> None:
    with pytest.raises(ConfigError, match=f"the setup '{setup}' cannot be imported"):
        run(f'setup: "{setup}"\n' + conversation("user: hello", "bot: Hello"))


def test_a_setup_that_fails_is_one_error(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"the setup 'math:sqrt' failed: TypeError"):
        run('setup: "math:sqrt"\n' + conversation("user: hello", "bot: Hello"))


def test_what_failed_is_printed_before_the_sums(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    story = "stories: [{story: sale, steps: [{intent: greet}, {action: utter_bye}, {action: utter_bye}]}]"
    print_report(run(f"{story}\n{conversation('user: hello', 'bot: Hello')}"))
    assert capsys.readouterr().out.splitlines() == [
        "failed: tests/shop.yml:1: story 'sale': 'utter_greet' comes next, not 'utter_bye' (and 2 more)",
        "stories: 1; conversations: 1; failed: 1",
    ]
