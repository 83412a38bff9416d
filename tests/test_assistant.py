"""Turns in which we go on purpose another way than Rasa (docs/rasa-differences.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.assistant import Assistant
from bot.events import ConversationResumed
from bot.interfaces import Turn
from bot.messages import UserMessage
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

CONFIG = """
language: en
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]
policies: [{name: RulePolicy}]
"""
DOMAIN = """
version: "3.1"
intents: [greet, go]
actions: [action_go]
responses: {utter_greet: [{text: Hello}], utter_done: [{text: Done}], utter_error: [{text: Sorry}]}
"""
DATA = """
version: "3.1"
nlu: [{intent: greet, examples: "- hello"}, {intent: go, examples: "- go"}]
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: go, steps: [{intent: go}, {action: action_go}, {action: utter_done}]}
"""
ACTION = """
from bot.events import ConversationPaused, FollowupAction
from bot.interfaces import Action

class Go(Action):
    def name(self):
        return "action_go"

    async def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(text="going")
        %s
"""


def assistant(folder: Path, action: str) -> Assistant:
    for name, text in (("config", CONFIG), ("domain", DOMAIN), ("data/data", DATA)):
        (folder / "data").mkdir(exist_ok=True)
        (folder / f"{name}.yml").write_text(text)
    (folder / "actions.py").write_text(ACTION % action)
    project = load_project(folder)
    train(project)
    return load_assistant(project, store=MemoryStore())


def say(bot: Assistant, text: str) -> list[str | None]:
    message = UserMessage(text=text, sender_id="anna", channel="rest")
    return [reply.text for reply in asyncio.run(bot.handle(message))]


def test_the_message_after_ten_actions_is_answered_as_any_other(tmp_path: Path) -> None:
    bot = assistant(tmp_path, "return [FollowupAction(name='action_go')]")
    assert say(bot, "go") == ["going"] * 10
    assert say(bot, "hello") == ["Hello"]


def test_a_conversation_that_is_resumed_is_answered_as_any_other(tmp_path: Path) -> None:
    bot = assistant(tmp_path, "return [ConversationPaused()]")
    assert [say(bot, "go"), say(bot, "hello")] == [["going"], []]

    async def resume() -> None:
        async with bot.store.lease("rest:anna") as lease:
            tracker = await bot.tracker("rest:anna")
            tracker.apply(ConversationResumed())
            await bot.store.commit(lease, Turn("rest:anna", (tracker.events[-1],)), tracker)

    asyncio.run(resume())
    assert say(bot, "hello") == ["Hello"]


def test_an_action_that_fails_ends_the_turn_with_an_apology(tmp_path: Path) -> None:
    bot = assistant(tmp_path, "raise ValueError('broken')")
    assert [say(bot, "go"), say(bot, "hello")] == [["Sorry"], ["Hello"]]
