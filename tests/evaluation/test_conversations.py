"""Conversations with their actions: what can be said and checked, and what is said of what went otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.errors import ConfigError, ProjectErrors
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


def test_a_failure_is_printed_with_the_conversation_as_it_went(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    story = "stories: [{story: sale, steps: [{intent: greet}, {action: utter_bye}, {action: utter_bye}]}]"
    talk = conversation("user: hello", "bot: Hello", "user: buy tea", "bot: bought milk")
    print_report(run(f'setup: "actions.shop:empty_the_till"\n{story}\n{talk}'))
    assert capsys.readouterr().out.splitlines() == [
        "failed: tests/shop.yml:2: story 'sale': 'utter_greet' comes next, not 'utter_bye'",
        "    tests/shop.yml:2: 'action_default_fallback' comes next, not 'utter_bye'",
        "    tests/shop.yml:2: 'action_default_fallback' comes next, after the story's end",
        "failed: tests/shop.yml:9: 'sale': no reply has 'bought milk'; there is: Sale number 1.",
        "You have bought tea.",
        "    customer: hello",
        "              (greet: action_session_start, utter_greet)",
        "    bot:      Hello there.",
        '                1: Buy tea (/buy{"thing": "tea"})',
        "    customer: buy tea",
        "              (buy: action_count, utter_sold)",
        "    bot:      Sale number 1.",
        "    bot:      You have bought tea.",
        "              [thing = 'tea', count = 1.0]",
        "    expected: bot: bought milk      <- tests/shop.yml:9",
        "stories: 1; conversations: 1; failed: 2",
    ]


# ---- more that can be said and checked ----


def test_buttons_are_pressed_by_their_title_and_checked(run: Run) -> None:
    steps = (
        *("user: hello", "buttons: [Buy tea]", 'buttons: [{Buy tea: \'/buy{"thing": "tea"}\'}]'),
        *("button: Buy tea", "intent: buy", "action: [action_count, utter_sold]", "not_action: utter_greet"),
        *("not_bot: [milk, 'Sale number \\d\\d+']", "bot: [Sale, tea.]", "bot: []", "not_slot: {thing: milk}"),
        *("active_loop: null", "event: {slot: {thing: tea}}", "event: {event: action, policy: RulePolicy}"),
    )
    assert run(conversation(*steps)).failures == []


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("buttons: [Buy milk]", "the buttons are none, not Buy milk"),
        ("intent: greet", "it was understood as 'buy', not as 'greet'"),
        (
            "action: [utter_sold, action_count]",
            "'action_count' did not run after 'utter_sold'; these ran: action_session_start, action_count, utter_sold",
        ),
        ("not_action: utter_sold", "'utter_sold' ran"),
        ("not_bot: bought", "a reply has 'bought': Sale number 1.\nYou have bought tea."),
        ("bot: []", "nothing more should be said; there is: Sale number 1.\nYou have bought tea."),
        ("not_slot: {thing: tea}", "slot 'thing' is 'tea'"),
        ("active_loop: action_two_stage_fallback", "the active loop is none, not action_two_stage_fallback"),
        (
            "event: {slot: {thing: milk}}",
            "no event of this turn is {'event': 'slot', 'name': 'thing', 'value': 'milk'}; there is: "
            "{'event': 'slot', 'name': 'thing', 'value': 'tea'}; {'event': 'slot', 'name': 'count', 'value': 1.0}",
        ),
        (
            "event: {event: restart}",
            "no event of this turn is {'event': 'restart'}; there is: none of this kind, only: "
            "action, session_started, user, slot, user_featurization, bot",
        ),
        ("button: Buy milk", "no button 'Buy milk' was offered; these were: none"),
    ],
)
def test_what_is_expected_and_does_not_happen_is_told(run: Run, step: str, problem: str) -> None:
    text = conversation("user: buy tea", step)
    if step.startswith("button:"):
        text = conversation("user: buy tea", "intent: buy", step)
    (found,) = run(f'setup: "actions.shop:empty_the_till"\n{text}').failures
    assert found.partition(": 'sale': ")[2] == problem


def test_a_conversation_may_begin_with_slots_a_channel_metadata_and_a_time(run: Run) -> None:
    text = """
fixtures:
  rich: {thing: gold, count: 7}
conversations:
- name: rich
  fixtures: rich
  slots: {count: 8}
  channel: sms
  metadata: {branch: north}
  now: 2026-03-01T09:30:00+00:00
  steps:
  - user: hello
    metadata: {page: home}
  - slot: {thing: gold, count: 8}
  - event: {event: user, input_channel: sms, metadata: {branch: north, page: home}}
  - wait: 2 hours
  - user: buy it
  - event: {event: session_started}
"""
    (talk,) = run(text).talks
    assert talk.problem is None
    first, later = (turn.events[-1].timestamp for turn in talk.turns)
    assert 1772357400 <= first < 1772357460
    assert 7200 <= later - first < 7260


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "steps: [{user: a}, {slots: {}}]",
            "1: there is no step of a conversation called 'slots'. Did you mean 'slot'?",
        ),
        ("steps: [{user: a}, {slot: {thin: 1}}]", "1: there is no slot called 'thin'. Did you mean 'thing'?"),
        ("steps: [{user: a}, {action: utter_gret}]", "1: there is no action called 'utter_gret'."),
        ("steps: [{user: a}]", "1: conversation 'x' must have something that is said and something to check"),
        ("now: soon, steps: [{user: a}, {bot: b}]", "1: 'now' must be a time like 2026-03-01T09:30:00+01:00, not"),
        ("fixtures: [poor], steps: [{user: a}, {bot: b}]", "1: there is no fixture called 'poor'."),
        ("steps: [{user: a}, {wait: long}, {bot: b}]", "1: 'wait' must be like 30 minutes or 2 hours, not the text"),
        ("steps: [{user: a}, {called: bank}]", "1: a call is written like `called: GET https://bank.example/"),
        ("stubs: {action_cont: {}}, steps: [{user: a}, {bot: b}]", "1: there is no action called 'action_cont'."),
        ("stubs: {'FETCH http://a.b': {}}, steps: [{user: a}, {bot: b}]", "1: there is no method of a service called"),
        (
            "stubs: {action_count: {events: [{event: slt}]}}, steps: [{user: a}, {bot: b}]",
            "1: there is no event called",
        ),
        ("steps: [{user: a, bot: b}]", "1: a step has one of the keys user, button, wait, bot, not_bot,"),
    ],
)
def test_a_mistake_in_a_conversation_is_told_with_its_place(run: Run, text: str, mistake: str) -> None:
    with pytest.raises(ProjectErrors) as errors:
        run(f"conversations: [{{name: x, {text}}}]")
    assert f"tests/shop.yml:{mistake}" in str(errors.value)
