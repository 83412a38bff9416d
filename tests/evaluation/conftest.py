"""A small trained shop whose actions run, and its tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.evaluation import Report, evaluate
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import find_model, load_assistant, train

SHOP = {
    "config.yml": """
domains: []
languages: [en, zh]
pipeline:
- {name: WhitespaceTokenizer}
- {name: KeywordIntentClassifier, case_sensitive: false}
- {name: RegexEntityExtractor, use_word_boundaries: false}
- name: FallbackClassifier
policies: [{name: RulePolicy}]
""",
    "domain.yml": """
intents: [greet, buy, bye, stock]
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
actions: [action_count, action_stock]
""",
    "data/all.yml": """
nlu:
- intent: greet
  examples: |
    - hello
    - 99
- intent: buy
  examples: |
    - buy
    - buy [milk](thing)
- intent: bye
  examples: |
    - so long
- intent: stock
  examples: |
    - in stock
- lookup: thing
  examples: |
    - tea
    - milk
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: buy, steps: [{intent: buy}, {action: action_count}, {action: utter_sold}]}
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
- {rule: stock, steps: [{intent: stock}, {action: action_stock}]}
""",
    "actions/shop.py": """
import httpx

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


class Stock(Action):
    def name(self):
        return "action_stock"

    def run(self, dispatcher, tracker, domain):
        thing = tracker.get_slot("thing")
        try:
            answer = httpx.get(f"https://stock.example/items/{thing}", params={"branch": "north"})
            left = answer.json()["left"] if answer.status_code == 200 else f"error {answer.status_code}"
        except httpx.ConnectError:
            left = "nobody knows how many"
        dispatcher.utter_message(text=f"There is {left} of {thing}.")
        if left == 0:
            httpx.post("https://stock.example/orders", json={"thing": thing, "number": 10})
        return []
""",
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project without tests."""
    root = tmp_path_factory.mktemp("shop")
    for name, text in SHOP.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    train(load_project(root))
    return root


Run = Callable[..., Report]


@pytest.fixture
def run(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(yaml, what)` → the report on these tests of the shop's."""
    monkeypatch.chdir(shop)

    def run(tests: str, what: str | None = None) -> Report:
        (shop / "tests").mkdir(exist_ok=True)
        (shop / "tests" / "shop.yml").write_text(tests, encoding="utf-8")
        project = load_project(shop)
        assert find_model(project)
        return asyncio.run(evaluate(project, load_assistant(project, store=MemoryStore()), what))

    return run
