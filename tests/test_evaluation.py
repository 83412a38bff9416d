"""`frontdesk test`: what counts as right, and what is said of what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.evaluation import Report, evaluate, print_report
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import find_model, load_assistant, train

SHOP = {
    "config.yml": """
domains: []
languages: [en, zh]
pipeline:
- {name: KeywordIntentClassifier, case_sensitive: false}
- {name: RegexEntityExtractor, use_word_boundaries: false}
- name: FallbackClassifier
policies: [{name: RulePolicy}]
""",
    "domain.yml": """
intents: [greet, buy, bye]
entities: [thing]
slots:
  thing: {type: text, influence_conversation: false, mappings: [{type: from_entity, entity: thing}]}
  count: {type: float, initial_value: 0, influence_conversation: false, mappings: [{type: custom}]}
responses:
  utter_greet:
  - text: Hello there.
    translation: {zh: 你好。}
    buttons: [{title: Buy tea, payload: '/buy{"thing": "tea"}'}]
  utter_bye: [{text: So long.}]
  utter_sold: [{text: "You have bought {thing}."}]
actions: [action_count]
""",
    "data/all.yml": """
nlu:
- intent: greet
  examples: |
    - hello
- intent: buy
  examples: |
    - buy
    - buy [milk](thing)
- intent: bye
  examples: |
    - so long
- lookup: thing
  examples: |
    - tea
    - milk
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: buy, steps: [{intent: buy}, {action: action_count}, {action: utter_sold}]}
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
""",
    "actions/shop.py": """
from bot.events import SlotSet
from bot.interfaces import Action

STOCK = {"sold": 0}


def empty_the_till():
    STOCK["sold"] = 0


class Count(Action):
    def name(self):
        return "action_count"

    def run(self, dispatcher, tracker, domain):
        STOCK["sold"] += 1
        dispatcher.utter_message(text=f"Sale number {STOCK['sold']}.")
        return [SlotSet(name="count", value=float(STOCK["sold"]))]
""",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project without tests."""
    root = tmp_path_factory.mktemp("shop")
    for name, text in SHOP.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    train(load_project(root))
    return root


def report(root: Path, tests: str, what: str | None = None) -> Report:
    (root / "tests").mkdir(exist_ok=True)
    (root / "tests" / "shop.yml").write_text(tests, encoding="utf-8")
    project = load_project(root)
    assert find_model(project)
    return asyncio.run(evaluate(project, load_assistant(project, store=MemoryStore()), what))


def failures(root: Path, tests: str) -> list[str]:
    return [failure.replace(f"{root}/", "") for failure in report(root, tests).failures]


def conversation(*steps: str) -> str:
    return "conversations:\n- name: sale\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


def story(*steps: str) -> str:
    return "stories:\n- story: sale\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


# ---- examples ----

EXAMPLES = """
nlu:
- intent: greet
  examples: |
    - hello
    - hello again
    - buy?
- intent: buy
  examples: |
    - buy [tea](thing)
    - buy [coffee](thing) and [milk](thing)
    - so long
"""


def test_examples_are_counted_and_confusions_shown(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(shop, EXAMPLES)
    assert (found.examples, found.right, found.failed) == (6, 4, False)
    assert found.confusions == {("greet", "buy"): 1, ("buy", "bye"): 1}
    assert (found.entities_expected, found.entities_found, found.entities_right) == (3, 2, 2)
    print_report(found)
    assert capsys.readouterr().out.splitlines() == [
        "understanding: 4 of 6 messages (66.7%)",
        "  greet                      2 of   3   heard as buy 1x",
        "  buy                        2 of   3   heard as bye 1x",
        "entities: 66.7% of 3 found; of those found 100.0% are right",
    ]


def test_one_half_of_the_tests_can_be_left_out(shop: Path) -> None:
    both = EXAMPLES + conversation("user: hello", "bot: Hello")
    assert (report(shop, both).examples, report(shop, both).conversations) == (6, 1)
    assert (report(shop, both, "nlu").examples, report(shop, both, "nlu").conversations) == (6, 0)
    assert (report(shop, both, "core").examples, report(shop, both, "core").conversations) == (0, 1)
    with pytest.raises(ConfigError, match="'frontdesk test nlp' is not known: it is 'nlu', 'core' or nothing"):
        report(shop, both, "nlp")


def test_a_project_without_tests_says_where_they_go(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(shop, ""))
    assert capsys.readouterr().out == "There are no tests: put them into tests/*.yml.\n"


# ---- rasa's test stories ----


def test_a_story_that_goes_as_written_passes(shop: Path) -> None:
    steps = (
        *("user: hello", "  intent: greet", "action: utter_greet"),
        *("user: buy [tea](thing)", "  intent: buy", "slot_was_set: [{thing: tea}]", "action: action_count"),
        *("action: utter_sold", "intent: bye", "action: utter_bye"),
    )
    text = story(*steps).replace("  -   intent", "    intent")
    assert report(shop, text).stories == 1
    assert failures(shop, text) == []


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (("intent: greet", "action: utter_bye"), "5: story 'sale': 'utter_greet' comes next, not 'utter_bye'"),
        (
            ("{user: hello, intent: bye}", "action: utter_bye"),
            "4: story 'sale': 'hello' is understood as 'greet', not as 'bye'",
        ),
        (
            ("{user: 'buy [coffee](thing)', intent: buy}", "action: action_count"),
            "4: story 'sale': in 'buy coffee' the thing 'coffee' is not found",
        ),
        (
            ("intent: buy", "action: action_count", "intent: greet"),
            "6: story 'sale': 'utter_sold' comes next, where the customer should speak",
        ),
        (("intent: buy", "action: action_count"), "2: story 'sale': goes on with 'utter_sold' after its end"),
        (("checkpoint: start", "intent: greet"), "4: story 'sale': a test story has no checkpoints and no `or`"),
    ],
)
def test_a_story_that_goes_otherwise_fails_at_its_line(shop: Path, steps: tuple[str, ...], problem: str) -> None:
    assert failures(shop, story(*steps)) == [f"tests/shop.yml:{problem}"]


def test_in_a_story_custom_actions_do_not_run(shop: Path) -> None:
    text = story("intent: buy", "action: action_count", "action: utter_sold") + conversation(
        "user: buy tea", "bot: Sale number 1"
    )
    assert failures(shop, f'setup: "actions.shop:empty_the_till"\n{text}') == []


# ---- conversations ----


def test_in_a_conversation_actions_run_and_everything_can_be_checked(shop: Path) -> None:
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
    assert failures(shop, f'setup: "actions.shop:empty_the_till"\n{text}') == []


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
def test_a_conversation_that_goes_otherwise_fails_at_its_line(shop: Path, steps: tuple[str, ...], problem: str) -> None:
    (found,) = failures(shop, conversation(*steps))
    assert found.startswith(f"tests/shop.yml:{problem}")


def test_a_conversation_may_be_in_another_language(shop: Path) -> None:
    text = conversation("user: hello", "bot: 你好").replace("sale\n", "sale\n  language: zh\n")
    assert failures(shop, text) == []


def test_each_conversation_begins_afresh(shop: Path) -> None:
    first = conversation("user: buy milk", "slot: {thing: milk}")
    second = "- name: next\n  steps:\n  - user: buy it\n  - slot: {thing: null}\n"
    assert failures(shop, first + second) == []


@pytest.mark.parametrize("setup", ["actions.shop:nothing", "no_such_module:f", "actions.shop"])
def test_a_setup_that_is_not_there_is_one_error(shop: Path, setup: str) -> None:
    with pytest.raises(ConfigError, match=f"the setup '{setup}' cannot be imported"):
        report(shop, f'setup: "{setup}"\n' + conversation("user: hello", "bot: Hello"))


def test_a_setup_that_fails_is_one_error(shop: Path) -> None:
    with pytest.raises(ConfigError, match=r"the setup 'math:sqrt' failed: TypeError"):
        report(shop, 'setup: "math:sqrt"\n' + conversation("user: hello", "bot: Hello"))


def test_what_failed_is_printed_before_the_sums(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(shop, story("intent: greet", "action: utter_bye") + conversation("user: hello", "bot: Hello"))
    print_report(found)
    failed, sums = capsys.readouterr().out.splitlines()
    assert failed.startswith("failed: ")
    assert failed.endswith("tests/shop.yml:5: story 'sale': 'utter_greet' comes next, not 'utter_bye'")
    assert sums == "stories: 1; conversations: 1; failed: 1"
