"""Responses that an NLG server words: what it is asked, what it may answer, and what is said when it fails."""

import http.server
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.assistant import Assistant
from bot.config import Config, load_config
from bot.errors import ConfigError
from bot.events import BotUttered
from bot.messages import UserMessage
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train
from bot.yaml_file import Problems

pytestmark = pytest.mark.anyio

CONFIG = """
recipe: default.v1
language: en
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]
policies: [{name: RulePolicy}]
"""
DOMAIN = """
version: "3.1"
intents: [greet, bye, buy, order]
slots:
  size: {type: text, initial_value: L, mappings: [{type: custom}]}
  drink: {type: text, mappings: [{type: from_text, conditions: [{active_loop: order_form, requested_slot: drink}]}]}
forms:
  order_form: {required_slots: [drink]}
actions: [utter_bye, action_buy]
responses:
  utter_greet:
  - {id: r7, text: "Hello from the domain, {size}", channel: rest}
  - {id: r8, text: "Hello from the domain"}
  utter_ask_drink: [{text: "Which drink?"}]
  utter_error: [{text: "Our fault."}]
"""
DATA = """
version: "3.1"
nlu:
- {intent: greet, examples: "- hello\\n"}
- {intent: bye, examples: "- bye\\n"}
- {intent: buy, examples: "- buy\\n"}
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
- {rule: buy, steps: [{intent: buy}, {action: action_buy}]}
- rule: order
  steps: [{intent: order}, {action: order_form}, {active_loop: order_form}]
"""
ACTIONS = """
from rasa_sdk import Action

class Buy(Action):
    def name(self):
        return "action_buy"

    def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(response="utter_greet", size="XL", buttons=[{"title": "Pay", "payload": "/pay"}])
        return []
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


def words(asked: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps({"text": f"The server says {asked['response']}."}).encode()


class Server:
    """An NLG server: `answer(question)` gives status and body; what was asked is kept."""

    def __init__(self) -> None:
        self.answer: Answer = words
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(asked)
                outer.headers.append((self.path, self.headers))
                status, body = outer.answer(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/nlg"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def server(running: Server) -> Server:
    running.answer = words
    running.asked.clear()
    running.headers.clear()
    return running


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, running: Server) -> Path:
    root = tmp_path_factory.mktemp("nlg")
    (root / "data").mkdir()
    for name, text in (
        ("config.yml", CONFIG),
        ("domain.yml", DOMAIN),
        ("data/data.yml", DATA),
        ("actions.py", ACTIONS),
    ):
        (root / name).write_text(text)
    (root / "endpoints.yml").write_text(f"nlg: {{url: '{running.url}', token: secret, headers: {{X-Bank: 1}}}}\n")
    train(load_project(root))
    return root


@pytest.fixture
def assistant(root: Path, server: Server) -> Iterator[Assistant]:
    assistant = load_assistant(load_project(root), store=MemoryStore())
    yield assistant
    assistant.understanding.close()


async def say(assistant: Assistant, text: str) -> list[str | None]:
    return [reply.text for reply in await assistant.handle(UserMessage(text, sender_id="anna"))]


async def test_the_server_is_asked_in_rasas_shape_and_words_the_response(assistant: Assistant, server: Server) -> None:
    assert await say(assistant, "hello") == ["The server says utter_greet."]
    asked = server.asked[0]
    assert set(asked) == {"response", "id", "arguments", "tracker", "channel"}
    assert (asked["response"], asked["id"], asked["arguments"]) == ("utter_greet", "r7", {})
    assert asked["channel"] == {"name": "rest"}
    assert (asked["tracker"]["sender_id"], asked["tracker"]["slots"]["size"]) == ("anna", "L")
    assert asked["tracker"]["events"][-1]["event"] in ("user", "slot", "user_featurization")
    path, headers = server.headers[0]
    assert (path, headers["X-Bank"]) == ("/nlg?token=secret", "1")


async def test_a_response_that_the_domain_lacks_is_the_servers_alone(assistant: Assistant, server: Server) -> None:
    assert await say(assistant, "bye") == ["The server says utter_bye."]
    assert server.asked[0]["id"] is None


async def test_the_question_of_a_form_comes_from_the_server(assistant: Assistant) -> None:
    replies = await assistant.handle(UserMessage(payload="/order", sender_id="anna"))
    assert [reply.text for reply in replies] == ["The server says utter_ask_drink."]


async def test_what_an_action_says_with_a_response_comes_from_the_server(assistant: Assistant, server: Server) -> None:
    replies = await assistant.handle(UserMessage("buy", sender_id="anna"))
    assert [reply.text for reply in replies] == ["The server says utter_greet."]
    assert list(replies[0].buttons) == [{"title": "Pay", "payload": "/pay"}]
    assert server.asked[0]["arguments"] == {"size": "XL"}


async def test_all_of_a_message_is_taken_over(assistant: Assistant, server: Server) -> None:
    said = {
        "text": "Hi {size}",
        "buttons": [{"title": "A", "payload": "/a"}],
        "image": "http://x/y.png",
        "elements": [{"title": "E"}],
        "custom": {"a": 1},
        "attachment": {"type": "file"},
        "tone": "warm",
    }
    server.answer = lambda asked: (200, json.dumps(said).encode())
    await say(assistant, "hello")
    event = next(event for event in await assistant.store.events("rest:anna") if isinstance(event, BotUttered))
    assert event.text == "Hi {size}"
    assert {key: value for key, value in event.data.items() if value is not None} == {
        key: said[key] for key in ("buttons", "image", "elements", "custom", "attachment")
    }
    assert event.metadata == {"utter_action": "utter_greet", "tone": "warm"}


async def test_an_empty_answer_says_nothing(assistant: Assistant, server: Server) -> None:
    server.answer = lambda asked: (200, b"{}")
    assert await say(assistant, "hello") == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b'{"error": "x"}', "answered 500: its log has the reason"),
        (200, b"<html>", "answered 200 with something that is no JSON"),
        (200, b"null", "answered something that is no message"),
        (
            200,
            b'{"text": {"en": "SECRET"}}',
            "answered something that is no message: 'text' must be a text, not an object",
        ),
        (200, b'{"text": "a", "buttons": ["SECRET"]}', "'buttons' must be a list of objects, not a list"),
        (401, b"{}", r"refused us \(401\): check 'token' of nlg in endpoints\.yml"),
    ],
)
async def test_a_server_that_fails_gives_way_to_the_domain(
    assistant: Assistant, server: Server, caplog: pytest.LogCaptureFixture, status: int, body: bytes, words: str
) -> None:
    server.answer = lambda asked: (status, body)
    with caplog.at_level(logging.ERROR, "bot"):
        assert await say(assistant, "hello") == ["Hello from the domain, L"]
    line = rf"conversation rest:anna: response 'utter_greet': the NLG server http://127\.0\.0\.1:\d+/nlg .*{words}"
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(caplog.text)
    assert "SECRET" not in caplog.text
    assert "secret" not in caplog.text


async def test_without_a_response_of_the_domain_the_customer_hears_of_the_failure_and_the_next_turn_works(
    assistant: Assistant, server: Server
) -> None:
    server.answer = lambda asked: (500, b"{}")
    assert await say(assistant, "bye") == ["Our fault."]
    server.answer = words
    assert await say(assistant, "bye") == ["The server says utter_bye."]


# ---- endpoints.yml -------------------------------------------------------------------------------


def config(root: Path, endpoints: str) -> tuple[Config, Problems]:
    (root / "config.yml").write_text(CONFIG)
    (root / "endpoints.yml").write_text(endpoints)
    problems = Problems()
    return load_config(root, problems), problems


def test_the_domains_own_responses_may_be_named(tmp_path: Path) -> None:
    found, problems = config(tmp_path, "nlg: {type: response}")
    assert (found.nlg, problems.errors, problems.warnings) == (None, [], [])
    assert config(tmp_path, "nlg: {type: callback, url: 'http://x/y'}")[0].nlg is not None


def test_a_generator_of_rasas_classes_is_said_to_be_left_out(tmp_path: Path) -> None:
    found, problems = config(tmp_path, "nlg:\n  type: my.Generator")
    assert found.nlg is None
    assert str(problems.warnings[0]).endswith("endpoints.yml:2: " + problems.warnings[0].message)
    assert "the generator 'my.Generator' is written for Rasa's own classes" in problems.warnings[0].message


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ("nlg:\n  url: 5", r"endpoints\.yml:2: 'url' of nlg must be text, not the number 5"),
        ("nlg:\n  timeout: 5", r"endpoints\.yml:1: nlg needs the option 'url'"),
        (
            "action_endpoint:\n  url: http://x\n  timeout: soon",
            r"endpoints\.yml:3: 'timeout' of action_endpoint must be",
        ),
    ],
)
def test_a_wrong_type_is_a_mistake_with_its_line(tmp_path: Path, endpoints: str, words: str) -> None:
    _, problems = config(tmp_path, endpoints)
    with pytest.raises(ConfigError, match=words):
        raise problems.errors[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("url: nowhere", r"endpoints\.yml:1: the 'url' of nlg must be like http"),
        ("url: 'http://[x'", r"endpoints\.yml:1: the 'url' of nlg must be like http"),
        ("{url: 'http://x', basic_auth: {username: a}}", "'basic_auth' of nlg needs 'username' and 'password'"),
        ("{url: 'http://x', headers: [a]}", "'headers' of nlg must be a mapping"),
        ("{url: 'http://x', timeout: 0}", "'timeout' of nlg must be more than 0 seconds"),
        ("{url: 'https://x', cafile: nowhere.pem}", r"the 'cafile' of nlg does not exist: nowhere\.pem"),
    ],
)
def test_an_option_that_cannot_be_is_a_mistake_when_the_bot_starts(root: Path, options: str, words: str) -> None:
    kept = (root / "endpoints.yml").read_text()
    try:
        (root / "endpoints.yml").write_text(f"nlg: {{{options}}}" if not options.startswith("{") else f"nlg: {options}")
        with pytest.raises(ConfigError, match=words):
            load_assistant(load_project(root), store=MemoryStore())
    finally:
        (root / "endpoints.yml").write_text(kept)


def test_rasas_variable_for_compression_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("true", True), ("1", True), ("false", None)):
        monkeypatch.setenv("COMPRESS_ACTION_SERVER_REQUEST", value)
        found = config(tmp_path, "action_endpoint: {url: 'http://x/webhook'}")[0].action_endpoint
        assert found is not None
        assert found.options.get("compress") is expected
