"""What conversations leave behind in a project's files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot import training
from bot.errors import Source
from bot.events import UserUttered
from bot.interactive.conversation import BY_HAND, Conversation, corrected
from bot.interactive.export import learned, write_domain, write_examples, write_stories
from bot.interfaces import Prediction
from bot.nlu_file import read_annotations
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.yaml_file import Problems

SHOP = {
    "config.yml": """
recipe: default.v1
language: en
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domain.yml": """
intents: [order, inform, out_of_scope, faq]
entities: [cup, {city: {roles: [from, to]}}]
slots: {cup: {type: text, mappings: [{type: from_entity, entity: cup, conditions: [{active_loop: tea_form}]}]}}
forms: {tea_form: {required_slots: [cup]}}
responses:
  utter_ask_cup: [{text: Which cup?}]
  utter_done: [{text: Done.}]
  utter_faq/open: [{text: At nine.}]
""",
    "data/order.yml": """nlu:
- intent: order
  examples: |
    - tea please
""",
    "data/nlu.json": """{"rasa_nlu_data": {"common_examples": [{"text": "a big one", "intent": "inform"}]}}""",
    "data/rest.yml": """
nlu:
- intent: faq/open
  examples: "- when do you open"
rules:
- {rule: order, steps: [{intent: order}, {action: tea_form}, {active_loop: tea_form}]}
- rule: done
  condition: [{active_loop: tea_form}]
  steps: [{action: tea_form}, {active_loop: null}, {slot_was_set: [{requested_slot: null}]}, {action: utter_done}]
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return load_project(tmp_path)


Talk = Callable[..., Conversation]


@pytest.fixture
def talk(project: Project) -> Talk:
    """`talk([("order", "tea please"), …])`: what is said with its intent, and the bot does what it thinks right."""
    training.train(project)

    def hold(said: list[tuple[str, str]], by_hand: str = "") -> Conversation:
        async def run() -> Conversation:
            assistant = training.load_assistant(project, store=MemoryStore())
            conversation = await Conversation.begin(assistant, "cmdline:anna")
            for intent, text in said:
                words, entities = read_annotations(text, Source("x"), Problems())
                heard = UserUttered(text=words, parse_data={}) if intent else await conversation.hear(text)
                await conversation.take_in(corrected(heard, intent, words, entities) if intent else heard)
                for action in (by_hand, "action_listen") if by_hand else ():
                    await conversation.run(Prediction(action, 1.0, BY_HAND))
                while not conversation.listens:
                    await conversation.run(assistant.decide(conversation.tracker))
            return conversation

        return asyncio.run(run())

    return hold


def steps(project: Project, conversation: Conversation, **options: Any) -> Any:
    return learned(project, conversation.all_events, {}, **options).stories[0]["steps"]


def test_a_form_and_its_answers_are_told_as_in_rasa(project: Project, talk: Talk) -> None:
    conversation = talk([("order", "tea please"), ("inform", "a [blue](cup) one")])
    assert steps(project, conversation) == [
        {"intent": "order"},
        {"action": "tea_form"},
        {"active_loop": "tea_form"},
        {"slot_was_set": [{"requested_slot": "cup"}]},
        {"slot_was_set": [{"cup": "blue"}]},
        {"slot_was_set": [{"requested_slot": None}]},
        {"active_loop": None},
        {"action": "utter_done"},
    ]


def test_examples_go_beside_those_of_their_intent_or_into_a_file_of_their_own(project: Project, talk: Talk) -> None:
    said = [
        ("order", "tea please"),
        ("inform", "a [blue](cup) one"),
        ("order", 'one [Rome]{"entity": "city", "role": "from"} tea'),
        ("faq/open", "open when"),
        ("out_of_scope", "sing"),
    ]
    found = learned(project, talk(said).all_events, {})
    assert [example.text for example in found.examples] == ["a blue one", "one Rome tea", "open when", "sing"]
    written = write_examples(found, project, None)
    root = project.root
    assert [file.relative_to(root).as_posix() for file in written] == [
        *("data/nlu_interactive.yml", "data/order.yml", "data/rest.yml")
    ]
    assert (root / "data/order.yml").read_text() == SHOP["data/order.yml"] + (
        '    - one [Rome]{"entity": "city", "role": "from"} tea\n'
    )
    assert (root / "data/nlu_interactive.yml").read_text() == (
        'version: "3.1"\nnlu:\n- intent: inform\n  examples: |\n    - a [blue](cup) one\n'
    )
    new = load_project(root).data.examples
    assert {(one.text, one.intent) for one in new} >= {("open when", "faq/open"), ("sing", "out_of_scope")}


def test_what_the_domain_lacks_is_added_to_it(project: Project, talk: Talk) -> None:
    conversation = talk([("complain", "the [lid](part) is broken")], by_hand="action_refund")
    conversation.new_responses["utter_sorry"] = "Sorry!"
    found = learned(project, conversation.all_events, conversation.new_responses)
    assert found.domain == {
        "intents": ["complain"],
        "entities": ["part"],
        "responses": {},
        "actions": ["action_refund"],
    }
    write_domain(found, project.root / "domain.yml")
    write_stories(found, project.root / "data" / "stories.yml")
    again = load_project(project.root)
    assert "complain" in again.domain.intents
    assert again.domain.actions == ("action_refund",)
    assert again.stories[0].name == "interactive_story_1"


def test_stories_end_to_end_have_the_words(project: Project, talk: Talk) -> None:
    conversation = talk([("order", "a [big](cup) tea")])
    assert steps(project, conversation, e2e=True)[0] == {"intent": "order", "user": "a [big](cup) tea"}


def test_stories_are_numbered_after_those_that_are_there(project: Project, talk: Talk) -> None:
    file = project.root / "data" / "stories.yml"
    for number in (1, 2):
        now = load_project(project.root)
        write_stories(learned(now, talk([("order", "tea please")]).all_events, {}), file)
        told = yaml.safe_load(file.read_text(encoding="utf-8"))["stories"]
        assert [story["story"] for story in told] == [f"interactive_story_{one}" for one in range(1, number + 1)]
