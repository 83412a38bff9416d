"""Packs are ours alone, so no judge tells what they do: a bot of several packs says what is written here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.assistant import Assistant
from bot.errors import ProjectErrors
from bot.messages import UserMessage
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

BASE = {
    "config.yml": """
domains: [desk, shop]
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}, {name: RegexEntityExtractor}]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domains/desk/domain.yml": """
intents: [greet, buy, faq]
entities: [thing]
slots: {thing: {type: text, mappings: [{type: from_entity, entity: thing}]}}
forms: {buy_form: {required_slots: [thing]}}
responses:
  utter_greet: [{text: Hello from the desk}]
  utter_ask_thing: [{text: "What?"}]
  utter_faq: [{text: Ask me}]
  utter_default: [{text: Pardon}]
""",
    "domains/desk/nlu.yml": """
nlu:
- {intent: greet, examples: "- hello\\n"}
- {intent: faq, examples: "- question\\n"}
- {intent: buy, examples: "- buy\\n- buy [tea](thing)\\n"}
- {lookup: thing, examples: "- tea\\n"}
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: faq, steps: [{intent: faq}, {action: utter_faq}]}
- {rule: buy, steps: [{intent: buy}, {action: buy_form}, {active_loop: buy_form}]}
""",
    "domains/shop/domain.yml": """
intents: [bye]
responses:
  utter_greet: [{text: Hello from the shop}]
  utter_bye: [{text: Bye}]
  utter_sold: [{text: "Sold: {thing}"}]
""",
    "domains/shop/nlu.yml": """
nlu:
- {intent: bye, examples: "- farewell\\n"}
- {intent: buy, examples: "- i take [milk](thing)\\n"}
- {lookup: thing, examples: "- milk\\n"}
rules:
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
- {rule: faq, steps: [{intent: faq}, {action: utter_bye}]}
- rule: sold
  condition: [active_loop: buy_form]
  steps: [{action: buy_form}, {active_loop: null}, {action: utter_sold}]
""",
}


def assistant_of(root: Path, changes: dict[str, str] | None = None) -> Assistant:
    for name, text in {**BASE, **(changes or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    train(load_project(root))
    return load_assistant(load_project(root), store=MemoryStore())


def answers(assistant: Assistant, *texts: str) -> list[str]:
    async def talk() -> list[str]:
        await assistant.start()
        said = [
            " ".join(reply.text or "" for reply in await assistant.handle(UserMessage(text=text, sender_id="ann")))
            for text in texts
        ]
        await assistant.close()
        return said

    return asyncio.run(talk())


def test_a_later_pack_adds_to_an_earlier_one_and_replaces_what_has_its_name(tmp_path: Path) -> None:
    assistant = assistant_of(tmp_path)
    assert answers(assistant, "hello", "question", "farewell") == ["Hello from the shop", "Bye", "Bye"]


def test_a_form_of_one_pack_ends_in_a_rule_of_another_with_the_words_of_both(tmp_path: Path) -> None:
    assistant = assistant_of(tmp_path)
    assert answers(assistant, "buy", "i take milk", "buy") == ["What?", "Sold: milk", "Sold: milk"]
    assert answers(assistant_of(tmp_path), "buy tea") == ["Sold: tea"]


def test_the_order_of_the_packs_decides_and_the_projects_own_files_come_last(tmp_path: Path) -> None:
    turned = {"config.yml": BASE["config.yml"].replace("[desk, shop]", "[shop, desk]")}
    assert answers(assistant_of(tmp_path, turned), "hello", "question") == ["Hello from the desk", "Ask me"]
    own = {**turned, "domain.yml": "responses: {utter_greet: [{text: Hello from us}]}\n"}
    assert answers(assistant_of(tmp_path, own), "hello", "question") == ["Hello from us", "Ask me"]


def test_packs_that_contradict_each_other_are_refused_with_both_places(tmp_path: Path) -> None:
    clash = "rules:\n- {rule: another, steps: [{intent: greet}, {action: utter_bye}]}\n"
    with pytest.raises(ProjectErrors) as raised:
        assistant_of(tmp_path, {"domains/shop/more.yml": clash})
    told = " ".join(map(str, raised.value.errors))
    assert "domains/shop/more.yml:2" in told
    assert "domains/desk/nlu.yml:8" in told
