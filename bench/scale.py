"""What conversations on Redis cost, and how many workers carry: `python bench/scale.py [--only NAME] [--runs 3]`.

    throughput   turns/s over REST of 64 senders on the `rasa init` project, beside two floors of the same run: an empty
                 endpoint of the same web server, and the two round trips to Redis that a turn takes
    latency      p99 of a steady stream at half of that throughput
    long         a turn at event 10,000 against one at event 10: seconds, and bytes between Redis and the worker
    many         a turn beside 100,000 conversations of 20 turns against one on an empty Redis; bytes of a turn in Redis
    slow         p95 of others while an action of 2 s runs in 50 conversations
    workers      two workers against one, on the banking pack (where the turns, not this client, are the work)

Redis is Debian's `redis-server` with an append-only file. Client, Redis and workers share the machine's cores. Each
figure is the median of several runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
import yaml
from serve import FRONTDESK, MESSAGES, OPENING, Client, first_answer, free_port, make_project, throughput

SENDERS = 64
CONVERSATIONS = 100_000
TURNS = 20
SLOW = 50
SLOW_ACTION = """
import asyncio

from bot.interfaces import Action


class ActionSlow(Action):
    def name(self):
        return "action_slow"

    async def run(self, dispatcher, tracker, domain):
        await asyncio.sleep(2)
        dispatcher.utter_message(text="done")
        return []
"""
EMPTY_ENDPOINT = """
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route


async def answer(request):
    await request.body()
    return Response(b'[{"text": "hello"}]', media_type="application/json")


app = Starlette(routes=[Route("/webhooks/rest/webhook", answer, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", access_log=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(PARTS), action="append")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or PARTS:
            print(f"\n{name}", flush=True)
            PARTS[name](Path(folder) / name, options)


# ---- what runs -----------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis of its own; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        client = redis.Redis(port=port)
        for _ in range(500):
            with contextlib.suppress(redis.exceptions.RedisError):
                client.ping()
                break
            time.sleep(0.01)
        try:
            yield port
        finally:
            server.terminate()


def project_on_redis(name: str, folder: Path, redis_port: int, *, slow: bool = False) -> Path:
    """A trained copy of the project whose conversations are in this Redis."""
    if not folder.exists():
        make_project(name, folder)
        if slow:
            (folder / "actions").mkdir(exist_ok=True)
            (folder / "actions" / "__init__.py").write_text("")
            (folder / "actions" / "actions.py").write_text(SLOW_ACTION)
            change(folder / "domain.yml", lambda domain: domain.setdefault("actions", []).append("action_slow"))
            change(folder / "domain.yml", lambda domain: domain["intents"].append("wait_for_it"))
            examples = "- wait for it\n- please wait for it\n- do wait for it now\n"
            rule = {"rule": "slow", "steps": [{"intent": "wait_for_it"}, {"action": "action_slow"}]}
            slow_data = {"nlu": [{"intent": "wait_for_it", "examples": examples}], "rules": [rule]}
            (folder / "data" / "slow.yml").write_text(yaml.safe_dump({"version": "3.1", **slow_data}))
        subprocess.run([*FRONTDESK, "train", "--project", "."], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    change(folder / "config.yml", lambda config: config.update(store={"type": "redis", "port": redis_port}))
    return folder


def change(file: Path, how: Callable[[dict[str, Any]], object]) -> None:
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    how(data)
    file.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


@contextlib.contextmanager
def serving(project: Path, opening: str, *options: str) -> Iterator[int]:
    """The bot on a port."""
    port = free_port()
    command = [*FRONTDESK, "run", "--project", ".", "--port", str(port), *options]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL) as server:
        try:
            first_answer(port, opening)
            yield port
        finally:
            server.terminate()
            server.wait(30)


@contextlib.contextmanager
def empty_endpoint() -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", EMPTY_ENDPOINT, str(port)]) as server:
        try:
            first_answer(port, "")
            yield port
        finally:
            server.terminate()


async def round_trips(port: int, seconds: float) -> float:
    """Times per second that 64 callers in one process go to Redis and back twice, with what a turn moves."""
    client = redis.asyncio.Redis(port=port, max_connections=SENDERS)
    end = time.perf_counter() + seconds
    done = 0

    async def caller(number: int) -> None:
        nonlocal done
        body = os.urandom(3000)
        while time.perf_counter() < end:
            await client.set(f"floor:{number}", body)
            await client.get(f"floor:{number}")
            done += 1

    await asyncio.gather(*(caller(number) for number in range(SENDERS)))
    await client.aclose()
    return done / seconds


# ---- what is measured ----------------------------------------------------------------------------


def measure_throughput(folder: Path, options: argparse.Namespace) -> None:
    opening, texts = OPENING["rasa init"], MESSAGES["rasa init"]
    rates, floors, trips = [], [], []
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("rasa init", folder / "project", redis_port)
        for _ in range(options.runs):
            redis.Redis(port=redis_port).flushall()
            with serving(project, opening[0]) as port:
                rates.append(asyncio.run(throughput(port, opening, texts, senders=SENDERS, seconds=options.seconds)))
            with empty_endpoint() as port:
                floors.append(asyncio.run(throughput(port, [], texts, senders=SENDERS, seconds=options.seconds / 2)))
            trips.append(asyncio.run(round_trips(redis_port, options.seconds / 2)))
    rate, floor, trip = map(statistics.median, (rates, floors, trips))
    row("turns/s, 64 senders, Redis", rate, ">= 500", "Rasa 3.6.21: 33")
    row("an empty endpoint, requests/s", floor, "", f"{floor / rate:.1f} times that")
    row("twice to Redis and back, times/s", trip, "", f"{trip / rate:.1f} times that")


def measure_latency(folder: Path, options: argparse.Namespace) -> None:
    opening, texts = OPENING["rasa init"], MESSAGES["rasa init"]
    seen = []
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("rasa init", folder / "project", redis_port)
        for _ in range(options.runs):
            redis.Redis(port=redis_port).flushall()
            with serving(project, opening[0]) as port:
                rate = asyncio.run(throughput(port, opening, texts, senders=SENDERS, seconds=options.seconds))
                seen.append((rate / 2, asyncio.run(steady(port, rate / 2, options.seconds))))
    row("messages/s, in a steady stream", statistics.median(rate for rate, _ in seen), "")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        value = statistics.median(quantile(times, share) for _, times in seen)
        row(f"{name}, ms", value * 1000, "< 100" if name == "p99" else "")


async def steady(port: int, rate: float, seconds: float, senders: int = 256) -> list[float]:
    """Seconds from when each message was due to its answer, however late its sender was."""
    times: list[float] = []
    begin = time.perf_counter() + 0.5

    async def sender(number: int) -> None:
        async with Client(port, f"steady{number}") as client:
            await client.say(OPENING["rasa init"][0])
            due = begin + number / rate
            while due < begin + seconds:
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                await client.say(MESSAGES["rasa init"][number % 4])
                times.append(time.perf_counter() - due)
                due += senders / rate

    await asyncio.gather(*(sender(number) for number in range(senders)))
    return times


def measure_long(folder: Path, options: argparse.Namespace) -> None:
    opening, texts = OPENING["rasa init"], MESSAGES["rasa init"]
    ratios, moved = [], []
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("rasa init", folder / "project", redis_port)
        client = redis.Redis(port=redis_port)
        for _ in range(options.runs):
            client.flushall()
            with serving(project, opening[0]) as port:
                short, long = asyncio.run(at_both_ends(port, texts, client))
            ratios.append(long[0] / short[0])
            moved.append((short[1], long[1]))
    row("a turn at event 10,000 / at event 10, time", statistics.median(ratios), "<= 1.1")
    short_bytes, long_bytes = (statistics.median(values) for values in zip(*moved, strict=True))
    row("bytes to and from Redis, at event 10", short_bytes, "")
    row("bytes to and from Redis, at event 10,000", long_bytes, "<= 1.1", f"{long_bytes / short_bytes:.2f} times")


async def at_both_ends(port: int, texts: list[str], client: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """(seconds, bytes) of a turn in new conversations, and in one with 10,000 events."""

    async def some(senders: list[str]) -> tuple[float, float]:
        times = []
        before = traffic(client)
        for number, sender in enumerate(senders):
            async with Client(port, sender) as talk:
                times.append(await talk.say(texts[number % len(texts)]))
        return statistics.median(times), (traffic(client) - before) / len(senders)

    young = [f"young{number}" for number in range(200)]
    await some(young)
    short = await some(young)
    async with Client(port, "old") as talk:
        for number in range(2000):
            await talk.say(texts[number % len(texts)])
    return short, await some(["old"] * 200)


def traffic(client: Any) -> int:
    stats = client.info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def measure_many(folder: Path, options: argparse.Namespace) -> None:
    opening, texts = OPENING["rasa init"], MESSAGES["rasa init"]
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("rasa init", folder / "project", redis_port)
        client = redis.Redis(port=redis_port)
        client.flushall()
        with serving(project, opening[0]) as port:
            empty = asyncio.run(fresh(port, opening, texts, "few"))
            before = client.info("memory")["used_memory"]
            made = asyncio.run(filled(port, texts, options.seconds * 10))
            size = client.info("memory")["used_memory"] - before
            full = asyncio.run(fresh(port, opening, texts, "many"))
    row("conversations of 20 turns", made, f"{CONVERSATIONS:,}")
    row("bytes of a turn in Redis", size / made / TURNS, "")
    row("a turn beside them / on an empty Redis, p50", statistics.median(full) / statistics.median(empty), "flat")
    row("the same, p99", quantile(full, 0.99) / quantile(empty, 0.99), "flat")


async def fresh(port: int, opening: list[str], texts: list[str], name: str) -> list[float]:
    """Seconds of turns in new conversations."""
    times = []
    for number in range(200):
        async with Client(port, f"{name}{number}") as client:
            times += [await client.say(text) for text in [*opening, *texts]]
    return times


async def filled(port: int, texts: list[str], seconds: float) -> int:
    """Talk until there are so many conversations, or for so many seconds; how many there are."""
    end = time.perf_counter() + seconds
    names = iter(range(CONVERSATIONS))
    made = 0

    async def sender() -> None:
        nonlocal made
        for number in names:
            if time.perf_counter() > end:
                return
            async with Client(port, f"filled{number}") as client:
                for turn in range(TURNS):
                    await client.say(texts[turn % len(texts)])
            made += 1

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    return made


def measure_slow(folder: Path, options: argparse.Namespace) -> None:
    ratios = []
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("rasa init", folder / "project", redis_port, slow=True)
        for _ in range(options.runs):
            redis.Redis(port=redis_port).flushall()
            with serving(project, OPENING["rasa init"][0]) as port:
                alone = quantile(asyncio.run(steady(port, 100, options.seconds)), 0.95)
                beside = quantile(asyncio.run(beside_slow_ones(port, options.seconds)), 0.95)
            ratios.append(beside / alone)
    row("p95 beside 50 slow conversations / alone", statistics.median(ratios), "<= 1.1")


async def beside_slow_ones(port: int, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds + 1

    async def slow(number: int) -> None:
        async with Client(port, f"slow{number}") as client:
            # Not all at the same moment, as no 50 customers are.
            await asyncio.sleep(2 * number / SLOW)
            while time.perf_counter() < end:
                await client.say("wait for it")

    others = [asyncio.create_task(slow(number)) for number in range(SLOW)]
    times = await steady(port, 100, seconds)
    await asyncio.gather(*others)
    return times


def measure_workers(folder: Path, options: argparse.Namespace) -> None:
    opening, texts = OPENING["banking"], MESSAGES["banking"]
    ratios, ones = [], []
    with redis_server(folder / "redis") as redis_port:
        project = project_on_redis("banking", folder / "project", redis_port)
        for _ in range(options.runs):
            rates = {}
            for number in (1, 2):
                redis.Redis(port=redis_port).flushall()
                with serving(project, opening[0], "--workers", str(number)) as port:
                    rates[number] = asyncio.run(
                        throughput(port, opening, texts, senders=SENDERS, seconds=options.seconds)
                    )
            ratios.append(rates[2] / rates[1])
            ones.append(rates[1])
    row("turns/s of one worker, banking", statistics.median(ones), "")
    row("two workers / one", statistics.median(ratios), ">= 1.7")


PARTS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "throughput": measure_throughput,
    "latency": measure_latency,
    "long": measure_long,
    "many": measure_many,
    "slow": measure_slow,
    "workers": measure_workers,
}


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def row(what: str, value: float, wanted: str, remark: str = "") -> None:
    print(f"  {what:46}{value:12,.2f}{wanted:>12}  {remark}", flush=True)


if __name__ == "__main__":
    main()
