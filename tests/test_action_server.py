"""Our action server and rasa-sdk's: one contract over both, spoken by a plain HTTP client and by `RemoteActions`."""

import json
import signal
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from bot.action_server import find_actions, read_tracker, serve
from bot.domain import Domain, SlotSpec
from bot.errors import ActionError, ActionRejected, ConfigError
from bot.events import ActionExecuted, ActiveLoopChanged, SlotSet, UserUttered
from bot.remote_actions import RemoteActions
from bot.tracker import Tracker
from bot.tracker_state import tracker_state

pytestmark = pytest.mark.anyio

DOMAIN = Domain(
    slots={"payee": SlotSpec("payee"), "amount": SlotSpec("amount")},
    raw={
        "intents": ["greet"],
        "slots": {name: {"type": "any", "mappings": [{"type": "custom"}]} for name in ("payee", "amount")},
        "forms": {"transfer_form": {"required_slots": ["payee", "amount"]}},
    },
)

# `from actions.rates import …`, a relative import and a module beside the package, as in any Rasa project.
FILES = {
    "shared/fees.py": "FEE = 5",
    "actions/__init__.py": "",
    "actions/rates.py": "from shared.fees import FEE\nRATE = FEE * 2",
    "actions/bank.py": """
from rasa_sdk import Action
from rasa_sdk.events import SlotSet
from rasa_sdk.forms import FormValidationAction
from rasa_sdk.interfaces import ActionExecutionRejection

from actions.rates import RATE
from .rates import RATE as SAME


class Talk(Action):
    def name(self):
        return "action_talk"

    def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(response="utter_done", amount=tracker.get_slot("amount"))
        return [SlotSet("payee", tracker.sender_id), SlotSet("amount", RATE + SAME)]


class Domain(Action):
    def name(self):
        return "action_domain"

    async def run(self, dispatcher, tracker, domain):
        domain["forms"]["transfer_form"]["required_slots"].append("iban")
        return [SlotSet("amount", domain["intents"] + domain["forms"]["transfer_form"]["required_slots"])]


class Reject(Action):
    def name(self):
        return "action_reject"

    def run(self, dispatcher, tracker, domain):
        raise ActionExecutionRejection("action_reject", "not now")


class Fail(Action):
    def name(self):
        return "action_fail"

    def run(self, dispatcher, tracker, domain):
        raise ValueError("broken")


class ValidateTransfer(FormValidationAction):
    def name(self):
        return "validate_transfer_form"

    def validate_amount(self, value, dispatcher, tracker, domain):
        return {"amount": None if value > 1000 else float(value)}
""",
}
OURS = """
from bot.events import SlotSet
from bot.interfaces import Action, FormValidationAction


class Talk(Action):
    def name(self):
        return "action_ours"

    async def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(text=f"{tracker.sender_id} {tracker.latest_message.text} {tracker.active_loop_name}")
        dispatcher.utter_message(text=f"{tracker.idempotency_key} {tracker.language} {domain['intents']}")
        return [SlotSet(name="payee", value=tracker.get_slot("amount"))]


class Validate(FormValidationAction):
    def name(self):
        return "validate_order_form"

    def validate_amount(self, value, dispatcher, tracker, domain):
        return {"amount": value * 2}
"""
SERVE = (
    "import sys; from pathlib import Path; from bot.action_server import serve; serve(Path(), port=int(sys.argv[1]))"
)
START = {"ours": ["-c", SERVE], "rasa-sdk": ["-m", "rasa_sdk", "--actions", "actions", "-p"]}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@contextmanager
def started(folder: Path, kind: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A server in a process of its own, as its users start it; its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *START[kind], str(port)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                threading.Event().wait(0.05)
        yield url, process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("project"), {**FILES, "actions/ours.py": OURS})


@pytest.fixture(scope="module")
def ours(folder: Path) -> Iterator[str]:
    with started(folder, "ours") as (url, _):
        yield url


@pytest.fixture(scope="module")
def rasa_sdk(folder: Path) -> Iterator[str]:
    with started(folder, "rasa-sdk") as (url, _):
        yield url


@pytest.fixture(params=["ours", "rasa_sdk"])
def server(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


def tracker() -> Tracker:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply(ActionExecuted(name="action_listen"))
    parse = {"text": "send 100", "intent": {"name": "inform"}, "language": "de"}
    tracker.apply(UserUttered(text="send 100", parse_data=parse, input_channel="rest"))
    tracker.apply(ActiveLoopChanged(name="transfer_form"))
    tracker.apply(SlotSet(name="amount", value=100))
    return tracker


def call(action: str, **more: Any) -> dict[str, Any]:
    state = tracker_state(tracker(), tracker().events, "ALL")
    return {"next_action": action, "sender_id": "anna", "tracker": state, "version": "3.6.21", **more}


# ---- what both do --------------------------------------------------------------------------------


def test_actions_are_listed(server: str) -> None:
    names = {one["name"] for one in httpx.get(f"{server}/actions").json()}
    assert {"action_talk", "action_domain", "action_reject", "action_fail", "validate_transfer_form"} <= names


def test_events_and_responses_come_back(server: str) -> None:
    answer = httpx.post(f"{server}/webhook", json=call("action_talk", domain=DOMAIN.raw, domain_digest="d0"))
    assert answer.status_code == 200
    assert [(one["event"], one["name"], one["value"]) for one in answer.json()["events"]] == [
        ("slot", "payee", "anna"),
        ("slot", "amount", 20),
    ]
    said = {"text", "buttons", "elements", "custom", "template", "response", "image", "attachment", "amount"}
    assert set(answer.json()["responses"][0]) == said


@pytest.mark.parametrize(
    ("action", "status", "keys"),
    [
        ("action_reject", 400, {"error": "not now", "action_name": "action_reject"}),
        (
            "action_nope",
            404,
            {"error": "No registered action found for name 'action_nope'.", "action_name": "action_nope"},
        ),
    ],
)
def test_what_went_otherwise_is_said_in_the_same_words(server: str, action: str, status: int, keys: Any) -> None:
    answer = httpx.post(f"{server}/webhook", json=call(action, domain=DOMAIN.raw, domain_digest="d0"))
    assert (answer.status_code, answer.json()) == (status, keys)


def test_a_failure_is_500_with_what_was_asked(server: str) -> None:
    asked = call("action_fail", domain=DOMAIN.raw, domain_digest="d0")
    answer = httpx.post(f"{server}/webhook", json=asked)
    assert answer.status_code == 500
    assert set(answer.json()) == {"error", "request_body"}
    assert answer.json()["request_body"]["next_action"] == "action_fail"


def test_a_digest_that_nobody_has_sent_asks_for_the_domain(server: str) -> None:
    answer = httpx.post(f"{server}/webhook", json=call("action_talk", domain_digest="new"))
    assert (answer.status_code, answer.json()["action_name"]) == (449, "action_talk")
    assert set(answer.json()) == {"error", "action_name"}


def test_a_domain_is_kept_by_its_digest(server: str) -> None:
    post = f"{server}/webhook"
    assert httpx.post(post, json=call("action_talk", domain=DOMAIN.raw, domain_digest="d1")).status_code == 200
    answer = httpx.post(post, json=call("action_talk", domain_digest="d1"))
    assert answer.status_code == 200


def test_what_is_sent_may_be_deflated(server: str) -> None:
    body = zlib.compress(orjson.dumps(call("action_talk", domain=DOMAIN.raw, domain_digest="d0")))
    headers = {"Content-Encoding": "deflate", "Content-Type": "application/json"}
    assert httpx.post(f"{server}/webhook", content=body, headers=headers).status_code == 200


def test_no_action_is_no_answer(server: str) -> None:
    answer = httpx.post(f"{server}/webhook", json={"version": "3.6.21"})
    assert (answer.status_code, answer.json()) == (200, None)
    answer = httpx.post(f"{server}/webhook", content="null", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid body request"})


async def test_our_client_speaks_with_it(server: str) -> None:
    for options in ({}, {"enable_selective_domain": True}, {"compress": True}):
        remote = RemoteActions(f"{server}/webhook", **options)  # type: ignore[arg-type]
        result = await remote.run("validate_transfer_form", tracker(), DOMAIN)
        assert result.events == [SlotSet(name="amount", value=100.0)]
        with pytest.raises(ActionRejected):
            await remote.run("action_reject", tracker(), DOMAIN)
        with pytest.raises(ActionError, match="does not know this action"):
            await remote.run("action_nope", tracker(), DOMAIN)
        await remote.close()


# ---- ours ----------------------------------------------------------------------------------------


async def test_an_action_of_our_own_gets_our_tracker(ours: str) -> None:
    remote = RemoteActions(f"{ours}/webhook")
    result = await remote.run("action_ours", tracker(), DOMAIN, idempotency_key="k7")
    await remote.close()
    assert [one["text"] for one in result.messages] == ["anna send 100 transfer_form", "k7 de ['greet']"]
    assert result.events == [SlotSet(name="payee", value=100)]


async def test_a_form_of_our_own_is_validated(ours: str) -> None:
    remote = RemoteActions(f"{ours}/webhook", enable_selective_domain=True)
    result = await remote.run("validate_order_form", tracker(), DOMAIN)
    await remote.close()
    assert result.events == [SlotSet(name="amount", value=200)]


def test_what_an_action_does_to_its_domain_stays_with_it(ours: str) -> None:
    for _ in range(2):
        answer = httpx.post(f"{ours}/webhook", json=call("action_domain", domain=DOMAIN.raw, domain_digest="d2"))
        assert answer.json()["events"][0]["value"] == ["greet", "payee", "amount", "iban"]
        assert httpx.post(f"{ours}/webhook", json=call("action_talk", domain_digest="d2")).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "words"),
    [
        (b"<html>", {}, "Invalid body request"),
        (b"[1]", {}, "Invalid body request"),
        (b'{"next_action": 7}', {}, "Invalid body request"),
        (b"plain", {"Content-Encoding": "deflate"}, "not deflated"),
        (zlib.compress(b" " * 60_000_000), {"Content-Encoding": "deflate"}, "longer than 50 MB"),
        (b'{"next_action": "action_ours"}', {}, "'tracker'"),
        (b'{"next_action": "action_ours", "tracker": [1]}', {}, "'tracker'"),
        (b'{"next_action": "action_ours", "tracker": {"slots": 7}}', {}, "'tracker'"),
    ],
)
def test_rubbish_is_answered_and_the_next_call_works(
    ours: str, content: bytes, headers: dict[str, str], words: str
) -> None:
    answer = httpx.post(f"{ours}/webhook", content=content, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert httpx.post(f"{ours}/webhook", json=call("action_ours", domain=DOMAIN.raw)).status_code == 200


def test_rasas_older_calls_without_a_digest_are_served(ours: str) -> None:
    assert httpx.post(f"{ours}/webhook", json=call("validate_transfer_form")).status_code == 200


def test_a_failure_is_logged_with_its_line_and_without_a_word_of_the_customer(folder: Path) -> None:
    with started(folder, "ours") as (url, process):
        httpx.post(f"{url}/webhook", json=call("action_fail", domain=DOMAIN.raw))
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 0
    assert "action 'action_fail' failed at actions/bank.py:42: ValueError" in printed
    assert "send 100" not in printed
    assert "Traceback" not in printed


def test_a_state_of_rasas_becomes_our_tracker() -> None:
    state = tracker_state(tracker(), tracker().events, "ALL")
    state["events"].append({"event": "flow_started", "flow_id": "x"})
    read = read_tracker(json.loads(orjson.dumps(state)), DOMAIN.raw)
    assert read.conversation_id == "rest:anna"
    assert (read.slots, read.active_loop_name, read.latest_action_name) == (
        {"payee": None, "amount": 100},
        "transfer_form",
        "action_listen",
    )
    assert [event.kind for event in read.events] == ["action", "user", "active_loop", "slot", "unknown"]
    read.events.pop()
    assert read.slots_to_validate() == {"amount": 100}


def test_a_project_without_actions_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are no actions in actions\.py or actions/ in '.*': nothing to serve"):
        find_actions(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        find_actions(tmp_path / "nowhere")


def test_another_module_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"lib/refunds.py": OURS, "actions.py": FILES["shared/fees.py"]})
    assert set(find_actions(tmp_path, "lib.refunds")) == {"action_ours", "validate_order_form"}


def test_a_port_in_use_and_a_missing_certificate_are_one_line(tmp_path: Path) -> None:
    write(tmp_path, {"actions.py": OURS})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            serve(tmp_path, host="127.0.0.1", port=port)
    with pytest.raises(ConfigError, match="the certificate cannot be read"):
        serve(tmp_path, host="127.0.0.1", port=0, ssl_certificate=tmp_path / "none.pem")
