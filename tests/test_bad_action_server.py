"""An action server that hangs, dies or answers rubbish: the customer hears of it, and the conversation goes on."""

import json
import logging
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.action_execution import SORRY, Actions
from bot.assistant import Assistant
from bot.domain import Domain
from bot.errors import ConfigError
from bot.messages import UserMessage
from bot.project import load_project
from bot.remote_actions import RemoteActions
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

pytestmark = pytest.mark.anyio

CONFIG = """
recipe: default.v1
language: en
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
"""
DOMAIN = """
version: "3.1"
intents: [greet, go, order]
entities: [drink]
slots:
  t: {type: text, mappings: [{type: custom}]}
  b: {type: bool, mappings: [{type: custom}]}
  f: {type: float, mappings: [{type: custom}]}
  l: {type: list, mappings: [{type: custom}]}
  c: {type: categorical, values: [x, y], mappings: [{type: custom}]}
  a: {type: any, mappings: [{type: custom}]}
  drink: {type: text, mappings: [{type: from_entity, entity: drink}]}
forms:
  order_form: {required_slots: [drink]}
actions: [action_go, validate_order_form]
responses:
  utter_greet: [{text: "Hello {t} {l}"}]
  utter_done: [{text: Done.}]
  utter_ask_drink: [{text: Which drink?}]
  utter_error: [{text: Our fault., translation: {de: Unser Fehler.}}]
"""
DATA = """
version: "3.1"
nlu: [{intent: greet, examples: "- hello"}, {intent: go, examples: "- go"}, {intent: order, examples: "- order"}]
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: go, steps: [{intent: go}, {action: action_go}, {action: utter_done}]}
- {rule: order, steps: [{intent: order}, {action: order_form}, {active_loop: order_form}]}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Behaviour = Callable[[socket.socket, bytes], None]


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> Behaviour:
    def behave(client: socket.socket, asked: bytes) -> None:
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    return behave


def events(*events: Any) -> Behaviour:
    return answer(json.dumps({"events": events, "responses": []}).encode())


def responses(*said: Any) -> Behaviour:
    return answer(json.dumps({"events": [], "responses": said}).encode())


WORKS = responses({"text": "gone"})


class Server:
    """A server of bytes: reads a call, then does to the connection what it is told."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.behave: Behaviour = WORKS
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/webhook"
        self.end = threading.Event()
        self._context = context
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self.end.is_set():
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(20)
                if self._context:
                    client = self._context.wrap_socket(client, server_side=True)
                while asked := self._call(client):
                    self.behave(client, asked)
        except OSError:
            pass

    def _call(self, client: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
        while len(body) < length:
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.end.set()
        self.listener.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    running.end.clear()
    running.behave = WORKS
    yield running
    # Whoever still hangs goes on.
    running.end.set()
    running.end = threading.Event()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bad")
    (root / "data").mkdir()
    for name, text in (("config.yml", CONFIG), ("domain.yml", DOMAIN), ("data/data.yml", DATA)):
        (root / name).write_text(text)
    train(load_project(root))
    return root


def assistant(root: Path, server: Server, domain: Domain | None = None, **options: Any) -> Assistant:
    bot = load_assistant(load_project(root), store=MemoryStore())
    bot.actions = Actions(domain or bot.domain, remote=RemoteActions(server.url, **{"timeout": 5.0, **options}))
    return bot


async def say(bot: Assistant, text: str, sender: str = "anna") -> list[str | None]:
    return [reply.text for reply in await bot.handle(UserMessage(text=text, sender_id=sender))]


def hang(client: socket.socket, asked: bytes) -> None:
    threading.Event().wait(3)


def drip(client: socket.socket, asked: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    for _ in range(300):
        client.sendall(b" ")
        threading.Event().wait(0.01)


def flood(client: socket.socket, asked: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    for _ in range(200):
        client.sendall(b" " * 100_000)


def die(client: socket.socket, asked: bytes) -> None:
    client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"events": [')
    client.close()


def close(client: socket.socket, asked: bytes) -> None:
    client.close()


def rubbish(client: socket.socket, asked: bytes) -> None:
    client.sendall(b"\x00\xff\x01 SECRET nothing of HTTP\r\n\r\n")
    client.close()


def redirect(status: str, to: str) -> Behaviour:
    return answer(b"", status, f"Location: {to}\r\n")


BAD: dict[str, tuple[Behaviour, str]] = {
    "hangs": (hang, "did not answer within 0.2 s"),
    "drips": (drip, "did not answer within 0.2 s"),
    "floods": (flood, "answered with more than 10 MB"),
    "dies": (die, "broke off its answer"),
    "closes": (close, "broke off its answer"),
    "rubbish": (rubbish, "broke off its answer"),
    "500": (answer(b'{"error": "SECRET"}', "500 X"), "answered 500: its log has the reason"),
    "502 html": (answer(b"<html>SECRET", "502 X"), "answered 502 with something that is no JSON"),
    "html": (answer(b"<html>SECRET"), "answered 200 with something that is no JSON"),
    "array": (answer(b'["SECRET"]'), "something else than events and responses"),
    "no gzip": (answer(b"SECRET", headers="Content-Encoding: gzip\r\n"), "broke off its answer (ClientPayloadError)"),
    "302": (redirect("302 X", "/elsewhere"), "sends us to another address"),
    "307 away": (redirect("307 X", "http://localhost:1/x"), "sends us to another address"),
    "307 in circles": (redirect("307 X", "/webhook"), "sends us round in circles"),
    "unknown event": (events({"event": "SECRET"}), "returned something that is no event"),
    "unknown form": (events({"event": "active_loop", "name": "old_form"}), "started the form 'old_form'"),
    "text": (responses({"text": ["SECRET"]}), "'text' must be a text, not a list"),
    "response": (responses({"response": {"SECRET": 1}}), "'response' must be a text, not an object"),
    "buttons": (responses({"text": "a", "buttons": {"SECRET": 1}}), "'buttons' must be a list of objects"),
    "deep": (responses({"custom": json.loads('{"a":' * 50 + "1" + "}" * 50)}), "nested deeper than 20 levels"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_the_customer_hears_of_it_and_the_next_turn_works(
    kind: str, root: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.behave, words = BAD[kind]
    bot = assistant(root, server, timeout=0.2 if kind in ("hangs", "drips") else 5.0)
    with caplog.at_level(logging.DEBUG, "bot"):
        assert await say(bot, "go SECRET") == ["Our fault."]
        assert await say(bot, "hello") == ["Hello None None"]
    server.behave = WORKS
    assert await say(bot, "go") == ["gone", "Done."]
    line = next(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert line.startswith("conversation rest:anna: ")
    assert "action 'action_go'" in line
    assert words in line
    assert "SECRET" not in caplog.text.replace("there is no event called 'SECRET'", "")


async def test_a_server_that_is_not_there_is_the_same(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/webhook"
    bot = load_assistant(load_project(root), store=MemoryStore())
    bot.actions = Actions(bot.domain, remote=RemoteActions(url))
    assert await say(bot, "go") == ["Our fault."]
    assert await say(bot, "hello") == ["Hello None None"]
    assert f"the action server {url} cannot be reached (ConnectionRefusedError). Is it running?" in caplog.text


async def test_a_validation_that_fails_leaves_the_form_where_it_was(root: Path, server: Server) -> None:
    bot = assistant(root, server)
    server.behave = events()
    assert await say(bot, "order") == ["Which drink?"]
    server.behave = close
    assert await say(bot, "tea please") == ["Our fault."]
    server.behave = events({"event": "slot", "name": "drink", "value": "tea"})
    assert await say(bot, "tea please") != ["Our fault."]


async def test_without_a_response_of_the_domain_the_apology_is_in_the_customers_language(
    root: Path, server: Server
) -> None:
    bare = load_project(root).domain
    domain = Domain(actions=bare.actions, responses={k: v for k, v in bare.responses.items() if k != "utter_error"})
    server.behave = close
    go = UserMessage(payload="/go", language="zh")
    assert [reply.text for reply in await assistant(root, server, domain).handle(go)] == [SORRY["zh"]]
    go = UserMessage(payload="/go", language="de")
    assert [reply.text for reply in await assistant(root, server).handle(go)] == ["Unser Fehler."]


async def test_a_redirect_that_keeps_the_call_is_followed_on_the_same_host(root: Path, server: Server) -> None:
    def behave(client: socket.socket, asked: bytes) -> None:
        first = asked.startswith(b"POST /webhook HTTP")
        (redirect("308 X", "/webhook/") if first else WORKS)(client, asked)

    server.behave = behave
    assert await say(assistant(root, server), "go") == ["gone", "Done."]


async def test_a_deflated_call_arrives(root: Path, server: Server) -> None:
    asked: list[bytes] = []

    def behave(client: socket.socket, call: bytes) -> None:
        asked.append(call)
        WORKS(client, call)

    server.behave = behave
    assert await say(assistant(root, server, compress=True), "go") == ["gone", "Done."]
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert b"content-encoding: deflate" in head.lower()
    assert json.loads(zlib.decompress(body))["next_action"] == "action_go"


ODD: list[Any] = [
    None, True, 0, -1.5, 1e300, 10**15, "", "x", "true", [], [None], [[1]], {}, {"a": [1]}, "\u0000", "{t}", "x" * 5000,
]  # fmt: skip
ODD_EVENTS: list[Any] = [
    *({"event": "slot", "name": name, "value": value} for name in "tbflca" for value in ODD),
    *({"event": "slot", "name": "requested_slot", "value": value} for value in (None, "drink", "nothing", 5, [])),
    *({"event": "slot", "name": name} for name in ("", None, "unknown", "t")),
    *({"event": "followup", "name": name} for name in ("nothing", "action_listen", "", None, 5)),
    *({"event": "active_loop", "name": name} for name in (None, "order_form", "", 5)),
    *({"event": kind} for kind in ("undo", "rewind", "restart", "reset_slots", "session_started", "session_ended")),
    *({"event": kind} for kind in ("user", "bot", "action", "entities", "loop_interrupted", "form", "agent", "export")),
    *({"event": kind} for kind in ("reminder", "cancel_reminder", "user_featurization", "action_execution_rejected")),
    {"event": "user", "text": "x", "parse_data": {"intent": "greet"}},
    {"event": "user", "text": "x", "parse_data": {"intent": {"name": "nothing", "confidence": None}}},
    {"event": "user", "text": "x", "parse_data": {"response_selector": {"all_retrieval_intents": 5, "default": []}}},
    {"event": "user", "text": None, "parse_data": {"entities": [{"entity": "drink"}], "intent_ranking": [None]}},
    {"event": "bot", "text": "x", "data": {"buttons": [{"title": 5}], "elements": [5]}},
    {"event": "bot", "text": 5},
    {"event": "action", "name": "action_listen"},
    {"event": "action", "name": "nothing", "confidence": "high"},
    {"event": "entities", "entities": [{"entity": "drink", "value": {"a": 1}}]},
    {"event": "entities", "entities": {"drink": "tea"}},
    {"event": "action_execution_rejected", "name": "action_listen"},
    {"event": "slot", "name": "t", "value": 1, "timestamp": "now"},
    {"event": "slot", "name": "t", "value": 1, "timestamp": 1e308, "metadata": []},
    None, 5, "slot", [], {"event": 5}, {"event": ""}, {},
]  # fmt: skip


@pytest.mark.parametrize("start", ["", "order"])
async def test_whatever_an_event_holds_the_conversation_stays_usable(start: str, root: Path, server: Server) -> None:
    bot = assistant(root, server)
    for number, event in enumerate(ODD_EVENTS):
        sender = f"{start}{number}"
        server.behave = events()
        if start:
            await say(bot, start, sender)
        server.behave = events(event)
        await say(bot, "go", sender)
        server.behave = WORKS
        await say(bot, "hello", sender)
        # A pause or a form that it has started: a restart always leads out.
        await bot.handle(UserMessage(payload="/restart", sender_id=sender))
        assert await say(bot, "hello", sender) == ["Hello None None"], event
        assert await say(bot, "go", sender) == ["gone", "Done."], event


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def own_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key, and the certificate of 127.0.0.1 that it has signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=me -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key, certificate


async def test_a_certificate_of_ones_own_is_trusted_when_it_is_named(
    root: Path, own_certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    key, certificate = own_certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(context)
    server.url = server.url.replace("http://", "https://")
    try:
        assert await say(assistant(root, server, cafile=str(certificate)), "go") == ["gone", "Done."]
        assert await say(assistant(root, server), "go") == ["Our fault."]
        assert "cannot be reached (its certificate: self-signed certificate)" in caplog.text
        with pytest.raises(ConfigError, match="the 'cafile' of action_endpoint holds no certificate"):
            assistant(root, server, cafile=str(root / "config.yml"))
    finally:
        server.close()
