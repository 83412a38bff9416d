"""Several processes on one Redis: `frontdesk run --workers`, `run worker`, `run --pages-only`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.model_archive import pack
from bot.processes import Control
from bot.project import load_project
from bot.training import train
from tests.stores.redis_servers import Server

PROJECT = Path(__file__).with_name("api") / "project"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A trained project whose conversations are in a Redis of its own."""
    folder = tmp_path_factory.mktemp("processes")
    server = Server(folder / "redis").start()
    root = folder / "shop"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("models"))
    with (root / "config.yml").open("a") as config:
        config.write(f"\nstore: {{type: redis, url: {server.url}}}\n")
    train(load_project(root))
    yield root
    server.kill()


@contextlib.contextmanager
def frontdesk(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`frontdesk run …`, and the line with which it says that it is ready."""
    command = [sys.executable, "-m", "bot.cli", "run", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def address(line: str) -> str:
    assert line.startswith("Frontdesk is ready at "), line
    return line.removeprefix("Frontdesk is ready at ").replace("localhost", "127.0.0.1")


def say(url: str, text: str, sender: str, **more: str) -> list[str]:
    body = {"sender": sender, "message": text, **more}
    answer = httpx.post(f"{url}/webhooks/rest/webhook", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return [message["text"] for message in answer.json()]


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_two_workers_answer_on_one_port_and_one_that_dies_is_replaced(shop: Path) -> None:
    with frontdesk(shop, "--workers", "2", "--port", "0") as (process, line):
        url = address(line)
        workers = children(process)
        assert len(workers) == 2
        for number in range(10):
            assert say(url, "hello", f"anna{number}") == ["Hello from the shop."]
        os.kill(workers[0], signal.SIGKILL)
        assert say(url, "order", "ben") == ["What would you like to drink?"]
        until(lambda: len(children(process)) == 2 and workers[0] not in children(process), "another takes its place")
    assert process.returncode == 0
    assert children(process) == []


def test_a_form_goes_on_in_whichever_process_the_next_message_comes(shop: Path) -> None:
    with frontdesk(shop, "--port", "0") as (_, first), frontdesk(shop, "--port", "0") as (_, second):
        assert say(address(first), "order", "cleo") == ["What would you like to drink?"]
        assert say(address(second), "tea", "cleo") == ["One tea is on its way."]


def test_a_model_that_one_process_is_told_to_load_is_taken_over_by_all(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shop, other, ignore=shutil.ignore_patterns("models"))
    domain = (other / "domain.yml").read_text()
    (other / "domain.yml").write_text(domain.replace("Hello from the shop.", "Hello from the new shop."))
    archive = tmp_path / "new.tar.gz"
    pack(other, train(load_project(other)), archive)
    with frontdesk(shop, "--workers", "2", "--port", "0") as (_, line):
        url = address(line)
        assert say(url, "hello", "dan") == ["Hello from the shop."]
        assert httpx.put(f"{url}/model", json={"model_file": str(archive)}, timeout=60).status_code == 204

        numbers = itertools.count()

        def is_everywhere() -> bool:
            # Each call is a connection of its own, which either of the two may take; each sender is a new one.
            said = [say(url, "hello", f"dan{next(numbers)}") for _ in range(20)]
            return all(words == ["Hello from the new shop."] for words in said)

        until(is_everywhere, "both have the new model")


def test_pages_wait_for_a_worker_however_late_it_comes(shop: Path) -> None:
    with frontdesk(shop, "--pages-only", "--port", "0") as (_, line):
        url = address(line)
        with httpx.Client(timeout=60) as client:
            with frontdesk(shop, "worker") as (_, ready):
                assert ready == "The worker is ready"
                assert say(url, "hello", "eve") == ["Hello from the shop."]
            assert httpx.get(f"{url}/conversations/eve/tracker").status_code == 404
            late = subprocess.Popen([sys.executable, "-c", LATE, url], stdout=subprocess.PIPE, text=True)
            with frontdesk(shop, "worker"):
                said, _ = late.communicate(timeout=60)
            assert "Hello from the shop." in said
            assert client.get(url).status_code == 200


LATE = """
import sys

import httpx

answer = httpx.post(sys.argv[1] + "/webhooks/rest/webhook", json={"sender": "fay", "message": "hello"}, timeout=60)
print(answer.text)
"""


# ---- the first process, with others that do as little as they can --------------------------------

FIRST = """
import sys
from bot import processes

processes.Processes([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], 1, None, "ready").run()
"""
OTHER = """
import json, os, signal, socket, sys, time
from pathlib import Path

notes = Path(sys.argv[1])
control = socket.socket(fileno=int(os.environ["FRONTDESK_CONTROL"]))
is_first = not notes.exists()
notes.touch()
control.send(json.dumps({"ready": True}).encode())
"""


@contextlib.contextmanager
def first_process(folder: Path, life: str) -> Iterator[subprocess.Popen[str]]:
    """Another process does `life` when it has said that it is ready; `is_first` in the first one of them."""
    command = [sys.executable, "-c", FIRST, OTHER + life, str(folder / "notes")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            others = children(process)
            process.kill()
            for pid in others:
                os.kill(pid, signal.SIGKILL)


def test_who_is_stopped_while_another_process_is_to_take_a_place_starts_none(tmp_path: Path) -> None:
    life = """
if is_first:
    time.sleep(1)
    sys.exit(7)
time.sleep(600)
"""
    with first_process(tmp_path, life) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "ready\n"
        assert "(exit code 7): another takes its place" in process.stderr.readline()
        process.terminate()
        process.wait(30)
    assert process.returncode == 0


def test_a_process_that_takes_a_place_takes_the_others_model_over(tmp_path: Path) -> None:
    life = """
if is_first:
    time.sleep(1)
    control.send(json.dumps({"model": {"model_file": "new"}}).encode())
    sys.exit(7)
notes.write_bytes(control.recv(65536))
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(600)
"""
    with first_process(tmp_path, life) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads((tmp_path / "notes").read_text()) == {"model": {"model_file": "new"}}


def test_a_model_that_cannot_be_taken_over_is_said_and_the_next_one_is_heard_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    heard: list[Any] = []

    async def take(model: Any) -> None:
        heard.append(model)
        if model == "two":
            raise asyncio.CancelledError
        raise KeyError("a component's own")

    with ours, theirs, contextlib.suppress(asyncio.CancelledError):
        for name in ("one", "two"):
            ours.send(json.dumps({"model": name}).encode())
        asyncio.run(Control(theirs).listen(take))
    assert heard == ["one", "two"]
    assert "cannot be loaded here: KeyError" in caplog.text


@pytest.mark.parametrize("words", [("--workers", "2"), ("--pages-only",), ("worker",)])
def test_several_processes_need_a_store_that_they_share(words: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "shop"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("models"))
    command = [sys.executable, "-m", "bot.cli", "run", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "the store 'sqlite' is one process's" in done.stderr
    assert "Traceback" not in done.stderr
