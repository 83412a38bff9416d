"""How fast a project trains, starts and answers over REST, beside Rasa 3.6.21 on the same project.

    python bench/serve.py                 # the `rasa init` project, then the banking pack
    python bench/serve.py --runs 5

Each figure is the median of several runs. The client is a separate process from the server: plain
HTTP/1.1 on kept-alive connections, one per sender.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import yaml

ROOT = Path(__file__).resolve().parent.parent
FRONTDESK = [sys.executable, "-m", "bot.cli"]

# Measured on two cores with rasa 3.6.21 on its own `rasa init` project, the same client.
RASA = {
    "training, s": "64 to 95",
    "training, peak MB": "1100",
    "start to first answer, s": "32",
    "resident, MB": "1100",
    "turn p50, ms": "27",
    "turn p50 after 500 turns, ms": "560",
    "turns/s, 16 senders": "38",
}
WANTED = {
    "rasa init": {
        "training, s": "< 6",
        "start to first answer, s": "< 3",
        "resident, MB": "< 400",
        "turn p50, ms": "< 3",
        "turn p50 after 500 turns, ms": "the same",
        "turns/s, 16 senders": ">= 600",
    },
    "banking": {"start to first answer, s": "< 3", "turn p50, ms": "< 12", "turns/s, 16 senders": ">= 150"},
}
# A conversation begins with the first of these; what it goes on with is said again and again.
OPENING = {"rasa init": ["hello", "I am sad", "yes"], "banking": ["hello there"]}
MESSAGES = {
    "rasa init": ["bye", "are you a bot?", "see you later", "are you human?"],
    "banking": [],
}


def held_out_messages() -> list[str]:
    """The pack's 400 held-out messages in both languages, shuffled: none is read twice within a minute.

    Those that ask for a human agent are left out: the bot keeps quiet afterwards.
    """
    found: list[str] = []
    for file in sorted((ROOT / "domains" / "banking" / "tests").glob("nlu_*.yml")):
        for block in yaml.safe_load(file.read_text("utf-8"))["nlu"]:
            lines = [line.removeprefix("- ") for line in block["examples"].splitlines()]
            if block["intent"] != "human_handoff":
                found += [re.sub(r"\[([^\]]+)\](?:\([^)]*\)|\{[^}]*\})", r"\1", line) for line in lines]
    random.Random(0).shuffle(found)
    return found


MESSAGES["banking"] = held_out_messages()


@dataclass
class Figures:
    """One run's figures by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long to load the server in each run")
    parser.add_argument("--only", choices=sorted(MESSAGES))
    options = parser.parse_args()
    for name in [options.only] if options.only else ["rasa init", "banking"]:
        figures = Figures()
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(name, Path(folder) / "project")
            for _ in range(options.runs):
                measure(name, project, figures, options.seconds)
        report(name, figures)


def make_project(name: str, folder: Path) -> Path:
    """A copy of the project, without a model."""
    if name == "rasa init":
        shutil.copytree(ROOT / "tests" / "projects" / "rasa_init", folder)
    else:
        folder.mkdir()
        shutil.copy(ROOT / "config.yml", folder)
    return folder


def measure(name: str, project: Path, figures: Figures, seconds: float) -> None:
    shutil.rmtree(project / "models", ignore_errors=True)
    for left in project.glob("*.db*"):
        left.unlink()
    before = time.perf_counter()
    trained = subprocess.Popen([*FRONTDESK, "train", "--project", "."], cwd=project, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(trained.pid, 0)
    trained.returncode = os.waitstatus_to_exitcode(status)
    if trained.returncode:
        sys.exit(f"training {name} failed")
    figures.add("training, s", time.perf_counter() - before)
    figures.add("training, peak MB", peak_mb(usage))

    port = free_port()
    before = time.perf_counter()
    server = subprocess.Popen(
        [*FRONTDESK, "run", "--project", ".", "--port", str(port)], cwd=project, stdout=subprocess.DEVNULL
    )
    try:
        first_answer(port, OPENING[name][0])
        figures.add("start to first answer, s", time.perf_counter() - before)
        asyncio.run(load(name, port, figures, seconds))
        figures.add("resident, MB", resident_mb(server.pid))
    finally:
        server.terminate()
        server.wait(20)


def peak_mb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def first_answer(port: int, text: str) -> None:
    body = orjson.dumps({"sender": "first", "message": text})
    request = urllib.request.Request(f"http://127.0.0.1:{port}/webhooks/rest/webhook", body)
    for _ in range(3000):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                if orjson.loads(response.read()):
                    return
                sys.exit("the first message got no answer")
        except OSError:
            time.sleep(0.01)
    sys.exit("the server did not start")


class Client:
    """One sender on one connection."""

    def __init__(self, port: int, sender: str) -> None:
        self._port = port
        self._sender = sender

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def say(self, text: str) -> float:
        """Send and read the whole reply; seconds. An empty answer or an error status ends the benchmark."""
        body = orjson.dumps({"sender": self._sender, "message": text})
        head = (
            "POST /webhooks/rest/webhook HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        before = time.perf_counter()
        self._writer.write(head.encode() + body)
        header = await self._reader.readuntil(b"\r\n\r\n")
        length = int(header.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        reply = await self._reader.readexactly(length)
        taken = time.perf_counter() - before
        if not header.startswith(b"HTTP/1.1 200") or reply == b"[]":
            sys.exit(f"{text!r} was answered with {header[:20]!r} {reply[:200]!r}")
        return taken


async def load(name: str, port: int, figures: Figures, seconds: float) -> None:
    opening, texts = OPENING[name], MESSAGES[name]
    fresh = []
    for number in range(20):
        async with Client(port, f"fresh{number}") as client:
            some = [texts[(4 * number + i) % len(texts)] for i in range(4)]
            fresh += [await client.say(text) for text in [*opening, *some]]
    figures.add("turn p50, ms", statistics.median(fresh) * 1000)
    async with Client(port, "one") as client:
        for text in opening:
            await client.say(text)
        long = [await client.say(texts[number % len(texts)]) for number in range(560)]
        figures.add("turn p50 after 500 turns, ms", statistics.median(long[500:]) * 1000)
    figures.add("turns/s, 16 senders", await throughput(port, opening, texts, senders=16, seconds=seconds))


async def throughput(port: int, opening: Sequence[str], texts: Sequence[str], *, senders: int, seconds: float) -> float:
    """Turns per second of `senders` who each answer at once."""
    end = time.perf_counter() + seconds
    done = 0

    async def sender(number: int) -> None:
        nonlocal done
        async with Client(port, f"sender{number}") as client:
            for text in opening:
                await client.say(text)
            turn = number * 23
            while time.perf_counter() < end:
                await client.say(texts[turn % len(texts)])
                turn += 1
                done += 1

    before = time.perf_counter()
    await asyncio.gather(*(sender(number) for number in range(senders)))
    return done / (time.perf_counter() - before)


def report(name: str, figures: Figures) -> None:
    print(f"\n{name} ({os.cpu_count()} cores, median of {len(next(iter(figures.values.values())))} runs)")
    print(f"{'':32}{'Frontdesk':>12}{'wanted':>12}{'Rasa 3.6.21':>14}")
    for key, values in figures.values.items():
        rasa = RASA.get(key, "") if name == "rasa init" else ""
        print(f"{key:32}{statistics.median(values):12.2f}{WANTED[name].get(key, ''):>12}{rasa:>14}")


if __name__ == "__main__":
    main()
