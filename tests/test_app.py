"""The web application over a real socket: API, limits, errors, and the end of a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app import Limits, create_app, listen, open_channels
from bot.assistant import Assistant
from bot.errors import ConfigError, StoreUnavailable
from bot.serving import without_model
from bot.stores.memory import MemoryStore

Serve = Callable[[Any], str]
Make = Callable[..., Assistant]
Started = contextlib.AbstractContextManager[tuple[subprocess.Popen[str], str]]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def client(serve: Serve, assistant: Assistant) -> httpx.Client:
    return httpx.Client(base_url=serve(create_app(assistant)))


def say(client: httpx.Client, text: str, sender: str = "anna", **more: Any) -> httpx.Response:
    return client.post("/webhooks/rest/webhook", json={"sender": sender, "message": text, **more})


def test_health_version_and_greeting_are_open_to_all(serve: Serve, assistant: Assistant) -> None:
    client = httpx.Client(base_url=serve(create_app(assistant, auth_token="secret")))
    assert client.get("/health").json() == {"status": "ok"}
    assert set(client.get("/version").json()) == {"version", "minimum_compatible_version"}
    assert client.get("/").text.startswith("Hello from Frontdesk: ")
    assert client.get("/webhooks/rest/").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/status", "/conversations/anna/tracker"])
def test_the_api_wants_the_token(serve: Serve, assistant: Assistant, path: str) -> None:
    client = httpx.Client(base_url=serve(create_app(assistant, auth_token="secret")))
    refused = client.get(path)
    assert (refused.status_code, refused.json()["reason"]) == (401, "NotAuthenticated")
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200
    assert client.get(path, params={"token": "secret"}).status_code == 200


def test_the_api_can_be_left_out(serve: Serve, assistant: Assistant) -> None:
    client = httpx.Client(base_url=serve(create_app(assistant, enable_api=False)))
    assert client.get("/conversations/anna/tracker").status_code == 404
    assert say(client, "hello").status_code == 200


def test_an_unknown_path_or_method_is_an_error_in_rasas_shape(client: httpx.Client) -> None:
    missing, wrong = client.get("/nowhere"), client.get("/model/parse")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    for answer in (missing.json(), wrong.json()):
        assert set(answer) == {"version", "status", "message", "reason", "details", "help", "code"}


def test_a_text_is_parsed_and_a_payload_is_read(client: httpx.Client) -> None:
    parsed = client.post("/model/parse", json={"text": "hello there"}).json()
    assert parsed["intent"] == {"name": "greet", "confidence": 1.0}
    payload = client.post("/model/parse", json={"text": '/buy{"what": "tea"}'}).json()
    assert (payload["intent"]["name"], payload["entities"][0]["value"]) == ("buy", "tea")


def test_parsing_nothing_is_a_bad_request(client: httpx.Client) -> None:
    assert client.post("/model/parse", json={}).json()["reason"] == "BadRequest"
    assert client.post("/model/parse", json={"text": 5}).status_code == 400


@pytest.mark.parametrize("payload", ["/buy[]", "/unknown", "/"])
def test_a_payload_of_no_known_intent_is_text(client: httpx.Client, payload: str) -> None:
    parsed = client.post("/model/parse", json={"text": payload}).json()
    assert parsed["intent"]["name"] == "nlu_fallback"


@pytest.mark.parametrize(
    "payload",
    [
        '/buy{"a": ' + "[" * 5000 + "]" * 5000 + "}",
        '/buy{"a": ' + "[" * 200 + "]" * 200 + "}",
        '/buy{"a": ' + "9" * 5000 + "}",
        '/buy{"a": "\\ud800"}',
        '/buy{"a": NaN}',
        "/buy@1.2.3",
        "/buy{",
    ],
)
def test_of_a_payload_that_cannot_be_read_its_intent_counts(client: httpx.Client, payload: str) -> None:
    parsed = client.post("/model/parse", json={"text": payload}).json()
    assert (parsed["intent"]["name"], parsed["entities"]) == ("buy", [])


def test_a_conversation_is_found_by_bare_sender_and_by_channel(client: httpx.Client) -> None:
    say(client, "hello")
    bare = client.get("/conversations/anna/tracker").json()
    assert bare == client.get("/conversations/rest:anna/tracker").json()
    assert bare["latest_message"]["text"] == "hello"
    assert [event["event"] for event in bare["events"]][-3:] == ["action", "bot", "action"]


def test_a_bare_sender_may_contain_a_colon_or_a_slash(client: httpx.Client) -> None:
    for sender in ("shop:7", "shop/7"):
        say(client, "hello", sender)
        assert client.get(f"/conversations/{sender}/tracker").json()["latest_message"]["text"] == "hello"


def test_a_conversation_is_told_as_it_was_at_a_time(client: httpx.Client) -> None:
    say(client, "hello")
    then = client.get("/conversations/anna/tracker").json()["latest_event_time"]
    say(client, "hours")
    state = client.get("/conversations/anna/tracker", params={"until": then}).json()
    assert state["latest_message"]["text"] == "hello"
    assert client.get("/conversations/anna/tracker", params={"until": "soon"}).status_code == 400


def test_include_events_is_read_in_any_case_and_checked(client: httpx.Client) -> None:
    say(client, "hello")
    assert client.get("/conversations/anna/tracker", params={"include_events": "none"}).json()["events"] is None
    assert client.get("/conversations/anna/tracker", params={"include_events": "some"}).status_code == 400


def test_only_named_origins_may_call_from_a_browser(serve: Serve, make: Make) -> None:
    asked = {"Origin": "https://bank.example", "Access-Control-Request-Method": "POST"}
    closed = httpx.Client(base_url=serve(create_app(make())))
    opened = httpx.Client(base_url=serve(create_app(make(), cors=["https://bank.example"])))
    path = "/webhooks/webchat/webhook"
    assert "access-control-allow-origin" not in closed.options(path, headers=asked).headers
    assert opened.options(path, headers=asked).headers["access-control-allow-origin"] == "https://bank.example"
    refused = opened.post(path, content="{", headers={"Origin": "https://bank.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (400, "https://bank.example")


class _BrokenStore(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def load(self, conversation_id: str, domain: Any) -> Any:
        raise self.error


def test_an_unexpected_error_tells_neither_caller_nor_log_what_was_said(
    serve: Serve, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    store = _BrokenStore(ValueError("cannot read 'my code is 4711'"))
    client = httpx.Client(base_url=serve(create_app(make(store))))
    with caplog.at_level(logging.ERROR):
        answer = say(client, "my code is 4711")
    assert (answer.status_code, answer.json()["reason"]) == (500, "ConversationError")
    assert "conversation rest:anna" in caplog.text
    assert "test_app.py" in caplog.text
    assert "4711" not in caplog.text + answer.text


def test_a_store_out_of_reach_asks_to_come_again(serve: Serve, make: Make) -> None:
    client = httpx.Client(base_url=serve(create_app(make(_BrokenStore(StoreUnavailable("redis is away"))))))
    answer = say(client, "hello")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_message_that_failed_is_answered_when_it_comes_again(serve: Serve, make: Make) -> None:
    store = _BrokenStore(StoreUnavailable("redis is away"))
    assistant = make(store)
    client = httpx.Client(base_url=serve(create_app(assistant)))
    assert say(client, "hello", message_id="m1").status_code == 503
    assistant.store = MemoryStore()
    assert say(client, "hello", message_id="m1").json() == [{"recipient_id": "anna", "text": "Hello from the shop."}]


def test_an_answer_that_takes_too_long_is_cut_off_and_its_message_may_come_again(serve: Serve, make: Make) -> None:
    assistant = make()
    parse = assistant.parse

    async def hang(text: str) -> Any:
        assistant.parse = parse  # type: ignore[method-assign]
        await asyncio.sleep(99)

    assistant.parse = hang  # type: ignore[method-assign]
    client = httpx.Client(base_url=serve(create_app(assistant, limits=Limits(response=0.2))))
    late = say(client, "hello", message_id="m1")
    assert (late.status_code, late.json()["reason"]) == (503, "ResponseTimeout")
    assert say(client, "hello", message_id="m1").json() == [{"recipient_id": "anna", "text": "Hello from the shop."}]


def test_a_request_that_does_not_arrive_whole_is_given_up(serve: Serve, make: Make) -> None:
    client = httpx.Client(base_url=serve(create_app(make(), limits=Limits(request=0.2))))
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        connection.sendall(b'POST /webhooks/rest/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"mess')
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    assert say(client, "hello").status_code == 200


def test_a_server_without_a_model_says_so_and_keeps_the_message(serve: Serve, make: Make) -> None:
    assistant = make()
    client = httpx.Client(base_url=serve(create_app(assistant)))
    assistant.take_over(without_model(assistant.store))
    refused = say(client, "hello", message_id="m1")
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
    assistant.take_over(make())
    assert say(client, "hello", message_id="m1").json() == [{"recipient_id": "anna", "text": "Hello from the shop."}]


# ---- whatever is sent ----


@pytest.fixture(scope="module")
def shared(running: Callable[..., Any], make: Make) -> Iterator[httpx.Client]:
    """One server for the tests that throw many requests at it."""
    with running(create_app(make())) as address, httpx.Client(base_url=address) as client:
        yield client


ANY_TEXT = st.text(max_size=30)
NAMES = ("message", "text", "session", "sender", "message_id", "payload", "metadata", "language", "include_events")
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.just([[{}]]) | st.just("/buy{}")
PATHS = st.sampled_from(
    [
        *("/", "/health", "/status", "/model/parse", "/conversations/anna/tracker"),
        *("/webchat/session", "/webchat/widget.js", "/webhooks/webchat/webhook"),
        *("/webhooks/", "/webhooks/rest", "/webhooks/rest/webhook"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=PATHS | ANY_TEXT.map(lambda name: f"/conversations/{name}/tracker") | ANY_TEXT.map(lambda name: f"/{name}"),
    query=st.dictionaries(st.sampled_from(["token", "until", "include_events", "stream", "x"]), ANY_TEXT, max_size=2),
    body=st.dictionaries(st.sampled_from(NAMES), VALUES).map(lambda data: json.dumps(data).encode()) | st.binary(),
)
def test_no_request_ends_in_an_error_of_ours(
    shared: httpx.Client, method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    url = quote(path, errors="surrogatepass") + "?" + urlencode(query, errors="surrogatepass")
    # Joined by hand: what begins with two slashes would name another server.
    assert shared.request(method, f"http://{shared.base_url.netloc.decode()}{url}", content=body).status_code < 500
    assert say(shared, "hello").json() == [{"recipient_id": "anna", "text": "Hello from the shop."}]


def test_what_is_no_http_is_refused_and_the_next_is_answered(shared: httpx.Client) -> None:
    for noise in (b"\x16\x03\x01\x00\xff\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"):
        with socket.create_connection((shared.base_url.host, shared.base_url.port or 0)) as connection:
            connection.sendall(noise)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert shared.get("/health").status_code == 200


def test_a_caller_that_hangs_up_in_the_middle_is_no_error(
    shared: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection((shared.base_url.host, shared.base_url.port or 0)) as connection:
        connection.sendall(b'POST /webhooks/rest/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"mess')
    assert say(shared, "hello").status_code == 200
    assert caplog.text == ""


# ---- serving ----


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use.*--port {port + 1}"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on '203\.0\.113\.1'"):
        listen("203.0.113.1", 5005)


def test_an_unknown_channel_or_option_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'webchat'"):
        open_channels({"webchatt": {}})
    with pytest.raises(ConfigError, match="Did you mean 'title'"):
        open_channels({"webchat": {"titel": "Bank"}})


SERVER = """
import asyncio, sys
sys.path.insert(0, "tests")
from conftest import make_assistant
import bot.app

assistant = make_assistant()
parse = assistant.parse


async def slow(text):
    print("thinking", flush=True)
    await {wait}
    return await parse(text)


assistant.parse = slow
bot.app.GRACE = {grace}
bot.app.serve(assistant, port=0, auth_token="t")
"""
A_LINE = "asyncio.to_thread(sys.stdin.readline)"
STOPS = [signal.SIGINT, signal.SIGTERM]


def server(wait: str = A_LINE, grace: float = 5) -> Started:
    """A server in a process of its own; each of its turns waits for `wait`."""
    return started([sys.executable, "-c", SERVER.format(wait=wait, grace=grace)])


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process, read_line(process).removeprefix("Frontdesk is ready at ")
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def rest_of(process: subprocess.Popen[str], line: str = "") -> tuple[int, str, str]:
    """Exit code, and what it said in the end, after reading `line`."""
    out, err = process.communicate(line, timeout=10)
    return process.returncode, out, err


@pytest.mark.parametrize("how", STOPS)
def test_a_server_says_where_it_is_and_stops_without_a_word(how: signal.Signals) -> None:
    with server() as (process, address):
        assert re.fullmatch(r"http://localhost:\d+", address)
        assert httpx.get(address + "/health").status_code == 200
        process.send_signal(how)
        assert rest_of(process) == (0, "", "")


@pytest.mark.parametrize("how", STOPS)
def test_a_turn_in_hand_is_finished_before_the_server_stops(how: signal.Signals) -> None:
    with server() as (process, address), ThreadPoolExecutor() as threads:
        reply = threads.submit(httpx.post, address + "/webhooks/rest/webhook", json={"message": "hello"})
        assert read_line(process) == "thinking"
        process.send_signal(how)
        until_refused(address)
        assert rest_of(process, "go on\n") == (0, "", "")
        assert reply.result().json() == [{"recipient_id": "default", "text": "Hello from the shop."}]


def until_refused(address: str) -> None:
    """Until the server takes no more callers: it is stopping."""
    with pytest.raises(OSError):  # noqa: PT011, PT012
        while True:
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()


@pytest.mark.parametrize("wait", ["asyncio.sleep(99)", A_LINE])
def test_a_turn_that_hangs_is_cut_off_and_its_caller_may_come_again(wait: str) -> None:
    with server(wait, grace=0.2) as (process, address), ThreadPoolExecutor() as threads:
        reply = threads.submit(httpx.post, address + "/webhooks/rest/webhook", json={"message": "hello"})
        assert read_line(process) == "thinking"
        process.send_signal(signal.SIGTERM)
        assert (reply.result().status_code, reply.result().json()["reason"]) == (503, "Stopping")
        assert process.wait(10) == 0
        assert process.stderr
        assert process.stderr.read() == ""


PROJECT = {
    "config.yml": """
languages: [en]
pipeline: [{name: KeywordIntentClassifier}]
policies: [{name: RulePolicy}]
channels: {webchat: {title: Corner Shop}}
store: {type: memory}
""",
    "domain.yml": """
intents: [greet, goodbye]
responses:
  utter_greet: [{text: Hello from the shop.}]
  utter_goodbye: [{text: Until tomorrow.}]
""",
    "data.yml": """
nlu:
- {intent: greet, examples: "- hello"}
- {intent: goodbye, examples: "- bye"}
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: goodbye, steps: [{intent: goodbye}, {action: utter_goodbye}]}
""",
}


@pytest.fixture
def project(tmp_path: Path) -> list[str]:
    """`frontdesk run` in a small project."""
    (tmp_path / "data").mkdir()
    for name, text in PROJECT.items():
        (tmp_path / ("data/nlu.yml" if name == "data.yml" else name)).write_text(text)
    return [sys.executable, "-m", "bot.cli", "run", "--project", str(tmp_path), "--port"]


def test_frontdesk_run_trains_and_serves_a_project(project: list[str]) -> None:
    with started([*project, "0"]) as (process, address):
        answer = httpx.post(address + "/webhooks/rest/webhook", json={"message": "hello"})
        assert answer.json() == [{"recipient_id": "default", "text": "Hello from the shop."}]
        session = {"Authorization": "Bearer 6f9619ff-8b86-4d01-b42d-00cf4fc964ff"}
        assert httpx.get(address + "/webchat/session", headers=session).json()["title"] == "Corner Shop"
        process.send_signal(signal.SIGTERM)
        code, out, err = rest_of(process)
        assert (code, out) == (0, "")
        assert "Traceback" not in err


def test_frontdesk_run_says_in_one_line_that_the_port_is_in_use(project: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = subprocess.run([*project, port], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1].startswith(f"error: port {port} is in use by another program.")
