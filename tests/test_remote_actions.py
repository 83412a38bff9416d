"""Actions on an action server: rasa-sdk's own server for what it does, a few lines of HTTP for what it never does."""

import asyncio
import http.server
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.action_answers import ActionResult
from bot.domain import Domain, SlotSpec
from bot.errors import ActionError, ActionRejected, ConfigError
from bot.events import ActionExecuted, FollowupAction, SlotSet, UserUttered
from bot.interfaces import Turn
from bot.remote_actions import RemoteActions
from bot.stores.memory import MemoryStore
from bot.tracker import Tracker

pytestmark = pytest.mark.anyio

DOMAIN = Domain(
    slots={"payee": SlotSpec("payee"), "amount": SlotSpec("amount")},
    raw={
        "intents": ["greet"],
        "actions": ["action_domain", {"action_sent": {"send_domain": True}}],
        "forms": {"transfer_form": {"required_slots": ["payee", "amount"]}},
    },
)

ACTIONS = """
from rasa_sdk import Action
from rasa_sdk.events import FollowupAction, SlotSet
from rasa_sdk.forms import FormValidationAction
from rasa_sdk.interfaces import ActionExecutionRejection


class Talk(Action):
    def name(self):
        return "action_talk"

    def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(response="utter_done", amount=tracker.get_slot("amount"))
        dispatcher.utter_message(text=tracker.latest_message["text"])
        return [SlotSet("payee", tracker.sender_id), FollowupAction("action_listen")]


class Domain(Action):
    def name(self):
        return "action_domain"

    def run(self, dispatcher, tracker, domain):
        return [SlotSet("amount", domain["intents"])]


class Events(Action):
    def name(self):
        return "action_events"

    def run(self, dispatcher, tracker, domain):
        return [SlotSet("amount", [event["event"] for event in tracker.events])]


class Reject(Action):
    def name(self):
        return "action_reject"

    def run(self, dispatcher, tracker, domain):
        raise ActionExecutionRejection("action_reject", "not now")


class Fail(Action):
    def name(self):
        return "action_fail"

    def run(self, dispatcher, tracker, domain):
        raise ValueError("IBAN DE89 is wrong")


class ValidateTransfer(FormValidationAction):
    def name(self):
        return "validate_transfer_form"

    def validate_amount(self, value, dispatcher, tracker, domain):
        return {"amount": None if value > 1000 else float(value)}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def sdk_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A rasa-sdk action server, as its users start it."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "actions.py").write_text(ACTIONS)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "rasa_sdk", "--actions", "actions", "-p", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output: list[str] = []
    assert process.stdout is not None
    ready = threading.Event()

    def read() -> None:
        for line in process.stdout or ():
            output.append(line)
            if "up and running" in line:
                ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        ready.wait(60)
        wait_for(f"http://127.0.0.1:{port}/health", process, output)
        yield f"http://127.0.0.1:{port}/webhook"
    finally:
        process.terminate()
        process.wait(20)
        reader.join()


def wait_for(url: str, process: "subprocess.Popen[str]", output: list[str]) -> None:
    """The server says that it is up a moment before it listens."""
    for _ in range(200):
        assert process.poll() is None, "".join(output)
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            threading.Event().wait(0.05)
    raise AssertionError("".join(output))


@pytest.fixture
async def remote(sdk_url: str) -> AsyncIterator[RemoteActions]:
    remote = RemoteActions(sdk_url)
    yield remote
    await remote.close()


def tracker() -> Tracker:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply(ActionExecuted(name="action_listen"))
    tracker.apply(UserUttered(text="send 100", parse_data={"text": "send 100", "intent": {"name": "inform"}}))
    tracker.apply(SlotSet(name="amount", value=100))
    return tracker


# ---- rasa-sdk's server ---------------------------------------------------------------------------


async def test_an_action_speaks_and_returns_events(remote: RemoteActions) -> None:
    result = await remote.run("action_talk", tracker(), DOMAIN)
    assert result.events == [SlotSet(name="payee", value="anna"), FollowupAction(name="action_listen")]
    assert [(one["response"], one["text"]) for one in result.messages] == [("utter_done", None), (None, "send 100")]
    assert result.messages[0]["amount"] == 100


async def test_a_form_is_validated(remote: RemoteActions) -> None:
    result = await remote.run("validate_transfer_form", tracker(), DOMAIN)
    assert result.events == [SlotSet(name="amount", value=100.0)]


async def test_a_rejection_is_ours(remote: RemoteActions) -> None:
    with pytest.raises(ActionRejected) as caught:
        await remote.run("action_reject", tracker(), DOMAIN)
    assert caught.value.action_name == "action_reject"


async def test_an_action_that_the_server_lacks_is_named(remote: RemoteActions) -> None:
    with pytest.raises(ActionError, match=r"'action_nope': .*/webhook does not know this action"):
        await remote.run("action_nope", tracker(), DOMAIN)


async def test_a_failure_over_there_says_where_to_look_and_nothing_of_the_customer(remote: RemoteActions) -> None:
    with pytest.raises(ActionError, match=r"'action_fail': .* answered 500: its log has the reason") as caught:
        await remote.run("action_fail", tracker(), DOMAIN)
    assert "DE89" not in str(caught.value)


async def test_a_server_that_has_lost_the_domain_gets_it_again(sdk_url: str) -> None:
    remote = RemoteActions(sdk_url, enable_selective_domain=True)
    for intents in (["greet"], ["bye"]):
        domain = Domain(slots=DOMAIN.slots, raw={**DOMAIN.raw, "intents": intents})
        for _ in range(2):
            result = await remote.run("action_domain", tracker(), domain)
            assert result.events == [SlotSet(name="amount", value=intents)]
    await remote.close()


async def test_what_is_sent_may_be_compressed(sdk_url: str) -> None:
    remote = RemoteActions(sdk_url, compress=True)
    assert (await remote.run("action_talk", tracker(), DOMAIN)).events
    await remote.close()


async def test_the_latest_events_are_sent_and_earlier_ones_on_request(remote: RemoteActions) -> None:
    recent = ["action", "user", "slot"]
    result = await remote.run("action_events", tracker(), DOMAIN)
    assert result.events == [SlotSet(name="amount", value=recent)]


async def test_the_whole_history_is_sent_on_request(sdk_url: str) -> None:
    long, store = tracker(), MemoryStore()
    for _ in range(100):
        long.apply(FollowupAction(name="action_listen"))
    async with store.lease("rest:anna") as lease:
        await store.commit(lease, Turn("rest:anna", tuple(long.events)), long)
    remote = RemoteActions(sdk_url, all_events=True)
    remote.history = store.events
    result = await remote.run("action_events", await store.load("rest:anna", DOMAIN), DOMAIN)
    assert result.events == [SlotSet(name="amount", value=["action", "user", "slot", *["followup"] * 100])]
    await remote.close()


async def test_what_is_sent_does_not_grow_with_the_conversation(server: "Server") -> None:
    talk, remote = tracker(), RemoteActions(server.url)
    sizes = []
    for _ in range(3):
        for _ in range(400):
            talk.apply(SlotSet(name="amount", value=100, timestamp=0.0))
        await remote.run("action_a", talk, DOMAIN)
        sizes.append(server.headers[-1]["content-length"])
    assert sizes[0] == sizes[1] == sizes[2]
    await remote.close()


async def test_many_actions_run_at_once(remote: RemoteActions) -> None:
    results = await asyncio.gather(*(remote.run("action_talk", tracker(), DOMAIN) for _ in range(16)))
    assert all(result.events for result in results)


# ---- what is sent, and other answers -------------------------------------------------------------

Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


class Server:
    """Answers every call with `answer(call)` and keeps what was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda call: (200, b"null")
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                call = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.calls.append(call)
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                outer.paths.append(self.path)
                status, body = outer.answer(call)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A client that has given up is no news.
        self.http.handle_error = lambda request, address: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.http.server_port}/webhook"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


async def run(remote: RemoteActions, name: str = "action_a") -> ActionResult:
    try:
        return await remote.run(name, tracker(), DOMAIN, idempotency_key="rest:anna/m1/2")
    finally:
        await remote.close()


async def test_the_call_has_rasas_shape(server: Server) -> None:
    assert await run(RemoteActions(server.url)) == ActionResult([], [])
    call = server.calls[0]
    assert sorted(call) == ["domain", "domain_digest", "next_action", "sender_id", "tracker", "version"]
    assert (call["next_action"], call["sender_id"], call["version"]) == ("action_a", "anna", "3.6.21")
    assert call["domain"] == DOMAIN.raw
    assert call["tracker"]["slots"] == {"payee": None, "amount": 100}
    assert [event["event"] for event in call["tracker"]["events"]] == ["action", "user", "slot"]


async def test_the_server_can_tell_a_retry(server: Server) -> None:
    await run(RemoteActions(server.url))
    assert server.headers[0]["idempotency-key"] == "rest:anna/m1/2"


async def test_headers_token_and_password_are_sent(server: Server) -> None:
    await run(
        RemoteActions(
            server.url + "?c=d",
            headers={"X-Bank": "1"},
            token="t&k",
            token_name="key",
            params={"a": "b"},
            basic_auth={"username": "u", "password": "p"},
        )
    )
    assert (server.headers[0]["x-bank"], server.headers[0]["authorization"]) == ("1", "Basic dTpw")
    assert server.paths == ["/webhook?c=d&a=b&key=t%26k"]


async def test_the_domain_is_sent_selectively_on_request(server: Server) -> None:
    await run(RemoteActions(server.url, enable_selective_domain=True))
    await run(RemoteActions(server.url, enable_selective_domain=True), "action_sent")
    assert ["domain" in call for call in server.calls] == [False, True]


async def test_a_server_that_keeps_asking_for_the_domain_is_an_error(server: Server) -> None:
    server.answer = lambda call: (449, b'{"error": "?", "action_name": "action_a"}')
    with pytest.raises(ActionError, match="answered 449"):
        await run(RemoteActions(server.url, enable_selective_domain=True))
    assert ["domain" in call for call in server.calls] == [False, True]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "answered 200 with something that is no JSON"),
        (200, b"", "answered 200 with something that is no JSON"),
        (200, b"[1]", "something else than events and responses"),
        (200, b'{"responses": "hi"}', "something else than events and responses"),
        (200, b'{"responses": ["hi"]}', "said something that is no message: a message must be an object, not a text"),
        (
            200,
            b'{"responses": [{"text": {"de": "hi"}}]}',
            "no message: 'text' must be a text, not an object",
        ),
        (200, b'{"responses": [{"response": ["hi"]}]}', "said something that is no message: 'response' must be a text"),
        (200, b'{"responses": [{"custom": [1]}]}', "'custom' must be an object, not a list"),
        (200, b'{"events": {"event": "slot"}}', "'action_a' must return a list of events, not an object"),
        (200, b'{"events": [{"event": "slott"}]}', "'action_a' returned something that is no event"),
        (200, b'{"events": [{"name": "amount"}]}', "an event needs its kind as 'event'"),
        (200, b'{"events": [{"event": "slot", "name": 5}]}', "'name' of the event 'slot' must be a text, not a number"),
        (200, b'{"events": [{"event": "user", "parse_data": {"entities": [7]}}]}', "'parse_data' of the event 'user'"),
        (200, b'{"events": [{"event": "active_loop", "name": "tansfer_form"}]}', "started the form 'tansfer_form'"),
        (
            200,
            b'{"events": [{"event": "slot", "name": "requested_slot", "value": [1]}]}',
            "'requested_slot' to a list",
        ),
        (200, b'{"events": [{"event": "slot", "name": "amount", "value": %b}]}' % (b"[" * 40 + b"]" * 40), "nested"),
        (400, b'{"error": "Invalid body request"}', "answered 400"),
        (400, b'["no"]', "answered 400"),
        (401, b"{}", r"refused us \(401\): check 'token'"),
        (502, b"<html>Bad gateway</html>", "answered 502 with something that is no JSON"),
    ],
)
async def test_any_other_answer_is_one_clear_error(server: Server, status: int, body: bytes, words: str) -> None:
    server.answer = lambda call: (status, body)
    with pytest.raises(ActionError, match=words):
        await run(RemoteActions(server.url))


async def test_empty_lists_and_missing_keys_mean_nothing(server: Server) -> None:
    for body in ({}, {"events": None, "responses": None}, {"events": [], "responses": []}):
        encoded = json.dumps(body).encode()
        server.answer = lambda call, encoded=encoded: (200, encoded)  # type: ignore[misc]
        assert await run(RemoteActions(server.url)) == ActionResult([], [])


async def test_a_server_that_is_not_there_is_named_without_its_secrets() -> None:
    url = f"http://bank:secret@127.0.0.1:{free_port()}/webhook?token=secret"
    with pytest.raises(
        ActionError, match=r"http://127\.0\.0\.1:\d+/webhook cannot be reached .* Is it running"
    ) as caught:
        await run(RemoteActions(url, token="secret"))
    assert "secret" not in str(caught.value)


async def test_a_server_that_does_not_answer_is_given_up(server: Server) -> None:
    go_on = threading.Event()

    def hang(call: dict[str, Any]) -> tuple[int, bytes]:
        go_on.wait(20)
        return 200, b"null"

    server.answer = hang
    with pytest.raises(ActionError, match=r"did not answer within 0\.05 s"):
        await run(RemoteActions(server.url, timeout=0.05))
    go_on.set()


@pytest.mark.parametrize("url", ["", "localhost:5055/webhook", "ftp://x/y", "http:///webhook"])
def test_an_address_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="'url' of action_endpoint must be like http://"):
        RemoteActions(url)


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'cafile' of action_endpoint does not exist: .*ca\.pem"):
        RemoteActions("https://localhost/webhook", cafile=str(tmp_path / "ca.pem"))
