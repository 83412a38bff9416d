"""bot.testing: what a team's own pytest tests can do with their bot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bot.errors import FrontdeskError, ProjectErrors
from bot.testing import Bot

PROJECT = {
    "config.yml": """
domains: []
pipeline: [{name: KeywordIntentClassifier, case_sensitive: false}]
policies: [{name: RulePolicy}]
""",
    "domain.yml": """
intents: [greet, weather]
slots:
  city: {type: text, influence_conversation: false, mappings: [{type: custom}]}
responses:
  utter_greet: [{text: "Hello {city}.", buttons: [{title: Weather, payload: /weather}]}]
actions: [action_weather]
""",
    "data/all.yml": """
nlu: [{intent: greet, examples: "- hello"}, {intent: weather, examples: "- sunny"}]
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: weather, steps: [{intent: weather}, {action: action_weather}]}
""",
    # Where nobody listens: the project's own actions run in the process of the test.
    "endpoints.yml": "action_endpoint: {url: 'http://127.0.0.1:9/webhook'}",
    "actions.py": """
import httpx

from bot.interfaces import Action


class Weather(Action):
    def name(self):
        return "action_weather"

    async def run(self, dispatcher, tracker, domain):
        async with httpx.AsyncClient() as client:
            answer = await client.get("https://weather.example/now", params={"city": tracker.get_slot("city")})
        dispatcher.utter_message(text=answer.json().get("sky", "unknown"))
        return [{"event": "slot", "name": "city", "value": None}]
""",
}


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    root = tmp_path_factory.mktemp("weather")
    for name, text in PROJECT.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    with Bot.load(root) as bot:
        yield bot
    shutil.rmtree(root)


def test_a_chat_shows_what_was_said_and_done(bot: Bot) -> None:
    chat = bot.chat(slots={"city": "Rome"}, channel="sms", metadata={"page": "home"})
    turn = chat.say("hello")
    assert (turn.text, turn.intent, turn.actions) == (
        "Hello Rome.\n  1: Weather (/weather)",
        "greet",
        ["utter_greet"],
    )
    assert (chat.slots["city"], turn.active_loop, len(chat.turns)) == ("Rome", None, 1)
    assert turn.events[-1].kind == "action"
    assert str(chat).splitlines()[0] == "customer: hello"


def test_services_are_stood_in_for_and_their_calls_seen(bot: Bot) -> None:
    chat = bot.chat(slots={"city": "Rome"})
    chat.say("hello")
    with bot.stubs({"GET https://weather.example/*": {"json": {"sky": "blue"}}}) as services:
        turn = chat.press("Weather")
    assert (turn.text, turn.slots["city"]) == ("blue", None)
    assert [call.url for call in services.calls] == ["https://weather.example/now?city=Rome"]


def test_a_call_without_a_stub_is_an_assertion_that_fails(bot: Bot) -> None:
    with pytest.raises(AssertionError, match=r"no stub answers GET https://weather\.example/now\?city="), bot.stubs():
        bot.chat().say("is it sunny")


def test_actions_are_stood_in_for_as_long_as_it_lasts(bot: Bot) -> None:
    with bot.stubs({"action_weather": {"responses": [{"text": "grey"}], "events": [{"slot": {"city": "Oslo"}}]}}):
        turn = bot.chat().say("sunny")
    assert (turn.text, turn.slots["city"]) == ("grey", "Oslo")
    with pytest.raises(AssertionError, match="no stub answers"), bot.stubs():
        bot.chat().say("sunny")


def test_payloads_are_obeyed_only_when_asked(bot: Bot) -> None:
    assert bot.chat().say("/greet").intent is None
    assert bot.chat(obeys_payloads=True).say("/greet").intent == "greet"
    assert bot.parse("hello").intent.name == "greet"


def test_what_the_domain_does_not_have_is_told(bot: Bot) -> None:
    with pytest.raises(FrontdeskError, match="the domain has no slot called 'town'"):
        bot.chat(slots={"town": "Rome"})
    with (
        pytest.raises(ProjectErrors, match="no action called 'action_wether'"),
        bot.stubs({"action_wether": {}}),
    ):
        pass
    with pytest.raises(FrontdeskError, match="no button 'Rain' was offered; these were: none"):
        bot.chat().press("Rain")
