"""Models: trained from a text, loaded from an archive, a folder or a server, and unloaded, while the bot answers."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.errors import DataError, MissingExtra, ModelError
from bot.messages import UserMessage
from bot.model_archive import pack, unpack
from bot.model_server import ModelServer
from bot.model_storage import download
from bot.project import Project
from bot.serving import Serving
from bot.training import find_model
from bot.training_process import split

YAML = {"Content-Type": "application/x-yaml"}
Open = Callable[[], Assistant]


def text_of(project: Path, farewell: str = "Until tomorrow.") -> str:
    files = ("config.yml", "domain.yml", "data/nlu.yml", "data/rules.yml", "data/stories.yml")
    text = "\n".join((project / name).read_text().replace('version: "3.1"\n', "") for name in files)
    return text.replace("Until tomorrow.", farewell)


@pytest.fixture(scope="session")
def archive(shop: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's model in one file; it says goodbye otherwise."""
    from bot.project import load_project
    from bot.training import train

    root = tmp_path_factory.mktemp("other") / "shop"
    shutil.copytree(shop.root, root, ignore=shutil.ignore_patterns("models"))
    domain = root / "domain.yml"
    domain.write_text(domain.read_text().replace("Until tomorrow.", "Come back soon."))
    file = root.parent / "other.tar.gz"
    pack(root, train(load_project(root)), file)
    return file


@pytest.fixture
def client(running: Callable[..., Any], shop: Project, open_shop: Open) -> Iterator[httpx.Client]:
    app = create_app(open_shop(), open_channels({"rest": {}}), project=shop, model_file=str(find_model(shop)))
    with running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def farewell(client: httpx.Client, sender: str = "anna") -> Any:
    answer = client.post("/webhooks/rest/webhook", json={"sender": sender, "message": "bye"})
    return answer.json()[0]["text"] if answer.status_code == 200 else answer.status_code


# ---- training ----


def test_a_model_is_trained_from_a_text_kept_and_loaded(client: httpx.Client, shop: Project) -> None:
    answer = client.post("/model/train", content=text_of(shop.root, "Good night."), headers=YAML)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-tar")
    name = answer.headers["filename"]
    assert (shop.root / "models" / name).read_bytes() == answer.content
    assert farewell(client) == "Until tomorrow."
    assert client.put("/model", json={"model_file": f"models/{name}"}).status_code == 204
    assert farewell(client) == "Good night."
    status = client.get("/status").json()
    assert (status["model_id"], status["num_active_training_jobs"]) == (name.removesuffix(".tar.gz"), 0)


def test_what_cannot_be_trained_on_is_told_with_its_lines(client: httpx.Client, shop: Project) -> None:
    text = text_of(shop.root).replace("- action: utter_greet", "- action: utter_gret")
    answer = client.post("/model/train", content=text, headers=YAML)
    assert (answer.status_code, answer.json()["reason"]) == (400, "TrainingError")
    line = next(number for number, one in enumerate(text.split("\n"), 1) if "utter_gret" in one)
    assert f"body:{line}: " in answer.json()["message"]
    assert "Did you mean 'utter_greet'?" in answer.json()["message"]


def test_the_parts_of_a_text_keep_their_lines() -> None:
    files = split("nlu:\n- intent: greet\n# note\npipeline:\n- name: X\nintents: [greet]\nrules: []\n")
    assert files["config.yml"].split("\n")[3:5] == ["pipeline:", "- name: X"]
    assert files["domain.yml"].split("\n")[5] == "intents: [greet]"
    assert files["data/training.yml"].split("\n")[:2] == ["nlu:", "- intent: greet"]
    assert files["data/training.yml"].split("\n")[6] == "rules: []"
    assert len({text.count("\n") for text in files.values()}) == 1


@pytest.mark.parametrize("text", ["{a: 1, b: 2}", "- a", "text", "nlu: [", "a: &x [*x", ""])
def test_a_text_that_is_no_project_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        split(text)


# ---- loading ----


def test_an_archive_is_the_same_each_time_and_brings_all_it_needs(archive: Path, tmp_path: Path) -> None:
    unpacked = unpack(archive, tmp_path)
    assert (unpacked.project / "domain.yml").is_file()
    pack(unpacked.project, unpacked.model, tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()


def test_a_model_is_unloaded_and_another_loaded(client: httpx.Client, archive: Path) -> None:
    assert client.delete("/model").status_code == 204
    assert farewell(client) == 409
    assert client.get("/status").json()["reason"] == "Conflict"
    assert client.put("/model", json={"model_file": str(archive)}).status_code == 204
    assert farewell(client) == "Come back soon."
    assert client.get("/status").json()["model_id"] == "other"


def test_a_model_of_the_projects_folder_is_loaded_with_its_present_data(client: httpx.Client) -> None:
    client.delete("/model")
    assert client.put("/model", json={"model_file": "models"}).status_code == 204
    assert farewell(client) == "Until tomorrow."


def test_a_conversation_goes_on_under_the_new_model(client: httpx.Client, archive: Path) -> None:
    farewell(client)
    client.put("/model", json={"model_file": str(archive)})
    assert farewell(client) == "Come back soon."
    state = client.get("/conversations/anna/tracker").json()
    said = [event["text"] for event in state["events"] if event["event"] == "bot"]
    assert said == ["Until tomorrow.", "Come back soon."]


def _tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "is no model's archive"),
        (b"", "is no model's archive"),
        (_tar(readme=b"x"), "it has no model/"),
        (_tar(**{"..__outside": b"x"}), "outside the destination"),
        (_tar(**{"metadata.json": b"{}", "components__x": b""}), "is a model of Rasa's"),
        (_tar(**{"model__manifest.json": b"{}", "project__config.yml": b""}), "project has neither packs"),
    ],
)
def test_what_is_no_model_is_refused_and_the_one_before_stays(
    client: httpx.Client, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(content)
    answer = client.put("/model", json={"model_file": str(file)})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert reason in answer.json()["message"]
    assert farewell(client) == "Until tomorrow."
    assert not (tmp_path.parent / "outside").exists()


def test_an_archive_that_was_changed_is_refused(client: httpx.Client, archive: Path, tmp_path: Path) -> None:
    unpacked = unpack(archive, tmp_path)
    file = next(path for path in sorted(unpacked.model.rglob("*.json")) if path.name != "manifest.json")
    file.write_bytes(file.read_bytes() + b" ")
    pack(unpacked.project, unpacked.model, tmp_path / "changed.tar.gz")
    answer = client.put("/model", json={"model_file": str(tmp_path / "changed.tar.gz")})
    assert answer.status_code == 400
    assert "is damaged" in answer.json()["message"]


def test_no_turn_is_dropped_or_mixed_while_models_change(open_shop: Open, shop: Project, archive: Path) -> None:
    """Each turn is one model's from beginning to end, and those that ask after the change have the new one."""
    assistant = open_shop()
    serving = Serving(assistant, shop)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def story() -> None:
        await assistant.start()
        parse = assistant.understanding.parse

        async def slow(text: str) -> Any:
            begun.set()
            await goes_on.wait()
            return await parse(text)

        assistant.understanding.parse = slow  # type: ignore[method-assign]
        first = [asyncio.create_task(assistant.handle(UserMessage("bye", f"c{number}"))) for number in range(20)]
        waiting = asyncio.create_task(assistant.handle(UserMessage("bye", "c0")))
        await begun.wait()
        await serving.load(archive)
        later = [asyncio.create_task(assistant.handle(UserMessage("bye", f"d{number}"))) for number in range(20)]
        assert [[one.text for one in replies] for replies in await asyncio.gather(*later)] == [["Come back soon."]] * 20
        goes_on.set()
        replies = await asyncio.gather(*first)
        assert [[one.text for one in said] for said in replies] == [["Until tomorrow."]] * 20
        assert [one.text for one in await waiting] == ["Come back soon."]
        await assistant.close()

    asyncio.run(story())


# ---- a model server ----


@contextmanager
def answering(handle: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A small HTTP server of `handle`; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            status, headers, body = handle(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_server_is_asked_for_what_is_newer(client: httpx.Client, archive: Path) -> None:
    seen: list[tuple[str | None, str]] = []
    second = threading.Event()

    def handle(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        seen.append((request.headers["If-None-Match"], request.path))
        if request.headers["If-None-Match"] == "v1":
            second.set()
            return 304, {}, b""
        return 200, {"ETag": "v1", "filename": "new.tar.gz"}, archive.read_bytes()

    with answering(handle) as address:
        server = {"url": f"{address}/bot", "token": "t", "wait_time_between_pulls": 0.05}
        assert client.put("/model", json={"model_server": server}).status_code == 204
        assert farewell(client) == "Come back soon."
        assert client.get("/status").json()["model_file"] == "new.tar.gz"
        assert second.wait(10)
        client.delete("/model")
    assert seen[:2] == [(None, "/bot?token=t"), ("v1", "/bot?token=t")]


def test_a_server_of_models_may_have_none_yet_at_the_start(
    running: Callable[..., Any], shop: Project, open_shop: Open, archive: Path
) -> None:
    from bot.serving import without_model

    has_one = threading.Event()
    loaded = threading.Event()

    def handle(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if request.headers["If-None-Match"]:
            loaded.set()
            return 304, {}, b""
        return (200, {"ETag": "v1"}, archive.read_bytes()) if has_one.is_set() else (404, {}, b"")

    with answering(handle) as address:
        server = ModelServer(address, wait_time_between_pulls=0.05)
        app = create_app(
            without_model(open_shop().store), open_channels({"rest": {}}), project=shop, model_server=server
        )
        with running(app) as served, httpx.Client(base_url=served) as client:
            assert farewell(client) == 409
            has_one.set()
            assert loaded.wait(20)
            assert farewell(client) == "Come back soon."


def test_a_model_server_that_fails_is_a_clear_error(client: httpx.Client) -> None:
    with answering(lambda _: (500, {}, b"")) as address:
        answer = client.put("/model", json={"model_server": {"url": address}})
        assert answer.status_code == 400
        assert f"the model server {address} answered 500" in answer.json()["message"]
    gone = client.put("/model", json={"model_server": {"url": f"{address}/?key=secret"}}).json()["message"]
    assert "cannot be reached (ConnectError)" in gone
    assert "secret" not in gone
    assert farewell(client) == "Until tomorrow."


# ---- storages ----


@pytest.mark.parametrize(
    ("storage", "library"), [("aws", "boto3"), ("gcs", "google.cloud.storage"), ("azure", "azure")]
)
def test_a_storage_whose_library_is_not_there_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, storage: str, library: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'frontdesk\[{storage}\]'"):
        download(storage, {}, "model", tmp_path)


# ---- answers that come later ----


def test_a_callback_gets_the_result_or_the_error(client: httpx.Client, shop: Project) -> None:
    got: list[tuple[str, bytes]] = []
    told = threading.Semaphore(0)

    def handle(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        got.append((request.headers["Content-Type"], body))
        told.release()
        return 200, {}, b""

    with answering(handle) as address:
        params = {"callback_url": address}
        examples = "nlu:\n- intent: greet\n  examples: |\n    - hello\n"
        assert client.post("/model/test/intents", content=examples, headers=YAML, params=params).status_code == 204
        assert told.acquire(timeout=20)
        assert client.post("/model/train", content="nlu: 5", headers=YAML, params=params).status_code == 204
        assert told.acquire(timeout=20)
        assert client.post("/model/train", content="nlu: 5", params={"callback_url": "soon"}).status_code == 400
    (kind, report), (_, error) = got
    assert kind == "application/json"
    assert json.loads(report)["intent_evaluation"]["accuracy"] == 1.0
    assert json.loads(error)["reason"] == "TrainingError"
    assert "'nlu' must be a list" in json.loads(error)["message"]


# ---- tests of a model ----


def test_examples_are_tested_in_json_with_another_model_and_in_parts(
    client: httpx.Client, archive: Path, shop: Project
) -> None:
    rasa = {"rasa_nlu_data": {"common_examples": [{"text": "hello", "intent": "greet"}]}}
    assert client.post("/model/test/intents", json=rasa).json()["intent_evaluation"]["accuracy"] == 1.0
    examples = "nlu:\n- intent: greet\n  examples: |\n    - hello\n"
    other = client.post("/model/test/intents", content=examples, headers=YAML, params={"model": str(archive)})
    assert other.json()["intent_evaluation"]["accuracy"] == 1.0
    text = text_of(shop.root)
    parts = client.post("/model/test/intents", content=text, headers=YAML, params={"cross_validation_folds": "2"})
    assert {"intent_evaluation", "entity_evaluation", "response_selection_evaluation"} == set(parts.json())
    refused = client.post("/model/test/intents", json=rasa, params={"cross_validation_folds": "2"}).json()
    assert refused["message"] == "Cross-validation is only supported for YAML data."


def test_conversations_go_on_while_stories_are_tested(client: httpx.Client) -> None:
    story = "- story: s{}\n  steps:\n  - user: |\n      bye\n    intent: goodbye\n  - action: utter_goodbye\n"
    text = "stories:\n" + "".join(story.format(number) for number in range(400))
    with ThreadPoolExecutor(1) as threads:
        report = threads.submit(client.post, "/model/test/stories?e2e=true", content=text, headers=YAML)
        said = []
        while not report.done():
            said.append(farewell(client, f"c{len(said)}"))
    assert report.result().json()["accuracy"] == 1.0
    assert len(said) > 3
    assert set(said) == {"Until tomorrow."}


def test_a_model_that_does_not_exist_is_no_model() -> None:
    with pytest.raises(ModelError, match="without a project"):
        asyncio.run(Serving(Assistant.__new__(Assistant)).load(Path("x")))
