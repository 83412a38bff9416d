"""What is asked of both servers, in this order, and what of an answer is compared.

`python tests/api/exchanges.py http://localhost:5005` asks a server of real Rasa 3.6.21 (`rasa run --enable-api` in a
copy of tests/api/project, after `rasa train`) and writes `recorded.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

FOLDER = Path(__file__).resolve().parent
RECORDED = FOLDER / "recorded.json"
PROJECT = FOLDER / "project"


class Exchange(NamedTuple):
    """One request; `body` is JSON unless it is a text. Where we answer otherwise, `differs` is our status, and why."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012
    differs: tuple[int, str] | None = None


YAML = {"Content-Type": "application/x-yaml"}
HEARD = {
    "event": "user",
    "text": "hello",
    "timestamp": 2.0,
    "parse_data": {"text": "hello", "intent": {"name": "greet", "confidence": 1.0}, "entities": []},
}
LISTENS = {"event": "action", "name": "action_listen", "timestamp": 1.0}
SAID = {"event": "bot", "text": "Hello from the shop.", "timestamp": 4.0, "data": {}}
GREETED = {"event": "action", "name": "utter_greet", "timestamp": 3.0}
STORY = """
stories:
- story: a visit
  steps:
  - intent: greet
  - action: utter_greet
  - intent: goodbye
  - action: utter_goodbye
"""
END_TO_END = """
stories:
- story: a visit
  steps:
  - user: |
      hello
    intent: greet
  - action: utter_greet
"""
EXAMPLES = """
nlu:
- intent: greet
  examples: |
    - hello
    - good evening
- intent: goodbye
  examples: |
    - bye
- intent: order
  examples: |
    - order [tea](drink)
"""


def training_data() -> str:
    """The project in one text, as `POST /model/train` takes it."""
    files = ("config.yml", "domain.yml", "data/nlu.yml", "data/rules.yml", "data/stories.yml")
    return "\n".join((PROJECT / name).read_text().replace('version: "3.1"\n', "") for name in files)


def exchanges() -> Iterator[Exchange]:
    get, post, put = (partial(Exchange, method) for method in ("GET", "POST", "PUT"))
    yield get("/", differs=(200, "the name is ours"))
    yield get("/version", differs=(200, "the name is ours"))
    yield get("/status")
    yield get("/nowhere", differs=(404, "an error of the API's shape, and no page"))
    # ---- reading a conversation ----
    yield get("/conversations/new/tracker")
    yield post("/webhooks/rest/webhook", {"sender": "anna", "message": "hello"})
    for events in ("NONE", "APPLIED", "AFTER_RESTART", "ALL", "applied", "some"):
        yield get(f"/conversations/anna/tracker?include_events={events}")
    yield get("/conversations/anna/tracker?until=1")
    yield get("/conversations/anna/tracker?until=soon", differs=(400, "Rasa passes over what is no number"))
    # ---- adding and replacing events ----
    yield post(
        "/conversations/ben/tracker/events", {"event": "slot", "name": "drink", "value": "tea", "timestamp": 1.0}
    )
    yield post("/conversations/ben/tracker/events?include_events=NONE", [LISTENS, HEARD, GREETED, SAID])
    yield get("/conversations/ben/tracker")
    yield post("/conversations/cleo/tracker/events", [{"event": "session_started", "timestamp": 1.0}, LISTENS])
    yield post("/conversations/dora/tracker/events?execute_side_effects=true&output_channel=latest", [SAID])
    yield post(
        "/conversations/dora/tracker/events",
        {"event": "nonsense"},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield post(
        "/conversations/dora/tracker/events",
        {"name": "drink"},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield post("/conversations/dora/tracker/events", [], differs=(400, "Rasa answers 500"))
    yield post(
        "/conversations/dora/tracker/events",
        {"event": "slot", "name": "drink"},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield post("/conversations/dora/tracker/events", {"event": "slot", "name": "none_such", "value": 1})
    yield post(
        "/conversations/dora/tracker/events",
        {"event": "slot", "name": 5, "value": 1},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield post("/conversations/dora/tracker/events", {"event": "followup", "name": "utter_greet"})
    yield post("/conversations/dora/tracker/events", [{"event": "pause"}, {"event": "resume"}, {"event": "restart"}])
    yield post("/conversations/dora/tracker/events", "{no json", differs=(400, "Rasa answers with a page"))
    yield put("/conversations/ben/tracker/events", [LISTENS, HEARD])
    yield get("/conversations/ben/tracker")
    yield put(
        "/conversations/ben/tracker/events",
        {"event": "nonsense"},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield put("/conversations/ben/tracker/events", [])
    yield put("/conversations/eve/tracker/events", [LISTENS, HEARD, GREETED, SAID])
    # ---- stories ----
    yield get("/conversations/anna/story")
    yield get("/conversations/eve/story")
    yield get("/conversations/eve/story?until=3")
    yield get("/conversations/nobody/story")
    yield post("/webhooks/rest/webhook", {"sender": "ford", "message": "I want chai"})
    yield post("/webhooks/rest/webhook", {"sender": "ford", "message": '/inform{"drink": "coffee"}'})
    yield get("/conversations/ford/story")
    yield post(
        "/conversations/ford/tracker/events",
        [{"event": "action", "name": "action_session_start"}, {"event": "session_started"}, LISTENS],
    )
    yield get("/conversations/ford/story?all_sessions=true")
    yield get("/conversations/ford/story")
    # ---- acting ----
    yield post("/conversations/gil/trigger_intent", {"name": "greet"})
    yield post("/conversations/gil/trigger_intent", {"name": "order", "entities": {"drink": "tea"}})
    yield post(
        "/conversations/gil/trigger_intent", {"name": "order", "entities": [{"entity": "drink", "value": "tea"}]}
    )
    yield post("/conversations/gil/trigger_intent?include_events=NONE&output_channel=latest", {"name": "goodbye"})
    yield post("/conversations/gil/trigger_intent", {"name": "none_such"}, differs=(404, "Rasa names its own function"))
    yield post("/conversations/gil/trigger_intent", {})
    yield post(
        "/conversations/gil/execute",
        {"name": "utter_goodbye"},
        differs=(200, "Rasa tells the conversation as it was before the action"),
    )
    yield post(
        "/conversations/gil/execute",
        {"name": "utter_greet", "policy": "me", "confidence": 0.5},
        differs=(200, "Rasa tells the conversation as it was before the action"),
    )
    yield post(
        "/conversations/gil/execute",
        {"name": "order_form"},
        differs=(200, "Rasa tells the conversation as it was before the action"),
    )
    yield post("/conversations/gil/execute", {"name": "none_such"}, differs=(404, "Rasa answers 500"))
    yield post("/conversations/gil/execute", {})
    yield post("/conversations/nobody/execute", {"name": "utter_greet"})
    yield post("/conversations/hans/messages", {"text": "hello", "sender": "user"})
    yield post("/conversations/hans/predict")
    yield post("/conversations/hans/predict?include_events=NONE", differs=(200, "Rasa passes over include_events here"))
    yield post("/conversations/nobody/predict")
    yield post("/conversations/hans/messages", {"text": "I want chai", "sender": "user"})
    yield post(
        "/conversations/hans/messages",
        {
            "text": "hm",
            "sender": "user",
            "parse_data": {"intent": {"name": "goodbye", "confidence": 0.9}, "entities": []},
        },
    )
    yield post(
        "/conversations/hans/messages",
        {"text": "hello", "sender": "bot"},
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield post("/conversations/hans/messages", {"text": "hello"})
    yield post("/conversations/hans/messages")
    # ---- the model ----
    yield post("/model/parse", {"text": "hello"})
    yield post("/model/parse", {"text": "I want chai"})
    yield post("/model/parse", {"text": '/order{"drink": "tea"}'})
    yield post("/model/parse", {"text": "zzz"})
    for mode in ("WIT", "LUIS", "DIALOGFLOW", "luis", "other"):
        yield post(f"/model/parse?emulation_mode={mode}", {"text": "I want chai"})
    yield post("/model/parse?emulation_mode=LUIS", {"text": "zzz"})
    yield post("/model/parse")
    yield post("/model/parse", {}, differs=(400, "Rasa answers 500"))
    yield post("/model/parse", "{no json", differs=(400, "Rasa answers 500"))
    yield post("/model/predict", [LISTENS, HEARD])
    yield post("/model/predict?include_events=NONE", [LISTENS, HEARD, GREETED])
    yield post("/model/predict", [], differs=(200, "Rasa's prediction has used up the followup action"))
    yield post(
        "/model/predict",
        [{"event": "nonsense"}],
        differs=(400, "the words are ours: where the mistake is, without the whole schema"),
    )
    yield get("/domain", differs=(200, "Rasa cannot give JSON to one who accepts anything"))
    yield get("/domain", None, {"Accept": "application/json"})
    yield get("/domain", None, {"Accept": "application/x-yaml"})
    yield get("/domain", None, {"Accept": "text/html"}, differs=(406, "a misprint in Rasa's words"))
    # ---- tests and training ----
    yield post(
        "/model/test/stories",
        STORY,
        YAML,
        differs=(200, "Rasa does not know its own memorising policies: in_training_data_fraction is 0 there"),
    )
    yield post(
        "/model/test/stories?e2e=true",
        END_TO_END,
        YAML,
        differs=(200, "Rasa does not know its own memorising policies: in_training_data_fraction is 0 there"),
    )
    yield post("/model/test/stories")
    yield post("/model/test/stories", "stories: [", YAML, differs=(400, "the words of another YAML reader"))
    yield post("/model/test/intents", EXAMPLES, YAML)
    yield post("/model/test/intents")
    yield post("/model/train")
    yield post("/model/train", "nlu: [", YAML, differs=(400, "the words of another YAML reader"))
    yield post("/model/train?save_to_default_model_directory=false", training_data(), YAML)
    # ---- loading and unloading ----
    yield put("/model")
    yield put("/model", {"model_file": "no/such/model.tar.gz"}, differs=(400, "says also what is wrong with it"))
    yield put("/model", {"model_server": {"url": "no address"}}, differs=(400, "says also what is wrong with it"))
    yield put("/model", {"model_server": {"nothing": 1}}, differs=(400, "says also what is wrong with it"))
    yield Exchange("DELETE", "/model")
    for path in ("/status", "/conversations/anna/tracker", "/conversations/anna/story", "/domain"):
        yield get(path)
    for path in ("/conversations/anna/trigger_intent", "/conversations/anna/predict", "/model/parse", "/model/predict"):
        yield post(path, {"name": "greet", "text": "hello"})
    yield post("/model/test/stories", STORY, YAML)


def ask(client: httpx.Client, one: Exchange) -> dict[str, Any]:
    """The answer: status, content type without its parameters, and the body, what varies taken out."""
    content = one.body if isinstance(one.body, str) else json.dumps(one.body) if one.body is not None else None
    answer = client.request(one.method, one.path, content=content, headers=one.headers)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    body: Any = "(bytes)"
    if kind == "application/json":
        body = steady(answer.json()) if answer.content else ""
    elif kind.startswith("text/") or kind.endswith("yaml"):
        body = answer.text
    return {"status": answer.status_code, "type": kind, "body": body}


VARIES = (
    "timestamp",
    "latest_event_time",
    "message_id",
    "version",
    "model_file",
    "model_id",
    "responseId",
    "assistant_id",
)


def steady(value: Any) -> Any:
    """Without times, identifiers and versions."""
    if isinstance(value, dict):
        return {
            key: "(varies)" if key in VARIES and inner is not None else steady(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    return value


if __name__ == "__main__":
    with httpx.Client(base_url=sys.argv[1], timeout=120) as client:
        pairs = [{"request": list(one[:2]), "answer": ask(client, one)} for one in exchanges()]
    RECORDED.write_text(json.dumps(pairs, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(pairs)} exchanges in {RECORDED}")
