"""Plays conversations against real processes while everything breaks, and holds the ledger against the script.

Usage: python tests/faults/driver.py [--store redis --store sentinel --store sqlite] [--kill-points 300] [--seed 1]

The last line is `kill points: N, lost: 0, twice: 0, out of order: 0`. What was found is printed before it, with the
command that plays the same again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

sys.path.append(str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parent / "project"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "stores"))

import bank
from fleet import Fleet, Platform, Process
from ledger import Ledger, Verdict, judge, read, repeated
from network import Proxy
from plan import Fault, faults
from postgres_server import PostgresServer, postgres
from script import Customer, customers
from servers import SERVICE, RedisServer, Trio, until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARES = {"redis": 0.55, "sentinel": 0.15, "postgresql": 0.15, "sqlite": 0.15}
"""Of the kill points, where no store is named."""
AT_ONCE = {"sqlite": 1}
"""Faults that are on their way at the same time; three where there are several processes."""
ATTEMPTS = 20
"""After which a message counts as poison, in place of the product's three: here innocent ones die with others."""
LEASE = 2.0
"""Seconds after which a dead worker's conversation is taken over, in place of the product's ten."""
OUTAGE = 0.5, 3.0
"""Seconds that something is away."""
UNREACHED = 60.0
"""Seconds after which a fault whose point nobody passes is taken back."""
QUIET = 90.0
"""Seconds in which all must be answered once nothing breaks any more."""
AFTERMATH = 4.0
"""Seconds that are left to whatever might still come twice."""
SUPERVISED = "web-2"
"""The process that keeps two others."""
CUSTOMERS, LENGTH, FAULTS = 12, 10, 20
"""Of one act: customers, messages of each, faults."""

Say = Callable[[str], None]


def say_at_once(line: str) -> None:
    print(line, flush=True)


class Run:
    """One store, one seed: servers, processes, acts, verdict."""

    def __init__(
        self,
        store: str,
        seed: int,
        folder: Path,
        say: Say = say_at_once,
        *,
        quiet: float = QUIET,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.store = store
        self.seed = seed
        self.folder = folder
        self._say = say
        self._quiet = quiet
        self._attempts = attempts
        self._warrants = folder / "warrants"
        self._warrants.mkdir(parents=True)
        self._ledger = Ledger(folder / "ledger.jsonl")
        self._secret = secrets.token_hex(16)
        self._bank = folder / "bank.db"
        self._platform = Platform(folder / "ledger.jsonl", str(seed), self._secret)
        self._fleet = Fleet([], self._platform)
        self._redis: RedisServer | None = None
        self._trio: Trio | None = None
        self._postgres: PostgresServer | None = None
        self._servers = contextlib.ExitStack()
        self._proxies: dict[str, Proxy] = {}
        self._faults: dict[str, Fault] = {}
        self._done: dict[str, asyncio.Event] = {}
        self._struck: Counter[str] = Counter()
        self._customers: list[Customer] = []
        self._control: asyncio.Server | None = None
        self._mending: list[asyncio.Task[None]] = []
        self._server = asyncio.Lock()
        """Held while the store's server is not what it should be: one of its troubles at a time."""
        self.passed: Counter[str] = Counter()
        self.deeds: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    async def __aenter__(self) -> Run:
        try:
            bank.found(self._bank)
            self._control = await asyncio.start_server(self._passed, "127.0.0.1", 0)
            await self._platform.start()
            await self._start_store()
            await self._prepare_project()
            self._fleet = Fleet(await self._processes(), self._platform)
            await self._fleet.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._mending:
            task.cancel()
        await asyncio.gather(*self._mending, return_exceptions=True)
        await self._fleet.stop()
        await self._platform.stop()
        for proxy in self._proxies.values():
            await proxy.close()
        if self._redis is not None:
            await self._redis.kill()
        if self._trio is not None:
            await self._trio.stop()
        self._servers.close()
        if self._control is not None:
            self._control.close()
        self._ledger.close()

    # ---- the stage ----

    async def _start_store(self) -> None:
        if self.store == "redis":
            self._redis = RedisServer(self.folder / "redis")
            await self._redis.start()
        elif self.store == "sentinel":
            self._trio = Trio(self.folder / "trio")
            await self._trio.start()
        elif self.store == "postgresql":
            self._postgres = self._servers.enter_context(postgres())

    async def _prepare_project(self) -> None:
        """A copy of the project with the store in its configuration, trained."""
        project = self.folder / "project"
        shutil.copytree(HERE / "project", project, ignore=shutil.ignore_patterns("models", "__pycache__"))
        with (project / "config.yml").open("a", encoding="utf-8") as config:
            config.write(f"store: {json.dumps(self._store_options())}\n")
        environment = {**os.environ, **self._environment("train", port=1)}
        pipe = asyncio.subprocess.PIPE
        training = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.cli", "train"), cwd=project, env=environment, stdout=pipe, stderr=pipe
        )
        _, complaint = await training.communicate()
        assert training.returncode == 0, f"the project could not be trained: {complaint.decode()}"

    def _store_options(self) -> Mapping[str, Any]:
        match self.store:
            case "redis":
                return {"type": "redis", "url": "${FAULTS_URL}", "lease": LEASE}
            case "sentinel":
                assert self._trio is not None
                watchers = [f"127.0.0.1:{sentinel.port}" for sentinel in self._trio.sentinels]
                return {"type": "redis", "sentinels": watchers, "service": SERVICE, "lease": LEASE}
            case "postgresql":
                assert self._postgres is not None
                return {"type": "postgresql", "url": "${FAULTS_URL}", "lease": LEASE}
        return {"type": self.store}

    def _environment(self, name: str, port: int) -> dict[str, str]:
        assert self._control is not None
        python_path = os.pathsep.join((str(ROOT), str(self.folder / "project")))
        return {
            "HOOK_SECRET": self._secret,
            "HOOK_PLATFORM": self._platform.url,
            "FAULTS_BANK": str(self._bank),
            "FAULTS_WARRANTS": str(self._warrants) if name != "train" else "",
            "FAULTS_CONTROL": str(self._control.sockets[0].getsockname()[1]),
            "FAULTS_STORE": "redis" if self.store == "sentinel" else self.store,
            "FAULTS_URL": self._url(port),
            "FAULTS_NAME": name,
            "FAULTS_ATTEMPTS": str(self._attempts),
            "PYTHONPATH": python_path,
        }

    def _url(self, port: int) -> str:
        """The store, by a proxy's port."""
        if self._postgres is not None:
            return replace(self._postgres, port=port).url()
        return f"redis://127.0.0.1:{port}/0"

    async def _processes(self) -> list[Process]:
        """One for SQLite; else web processes and workers, each with a network of its own."""
        if self.store in ("sqlite", "memory"):
            words = {"web": ["run", "--port", "0"]}
        else:
            words = {
                "web-1": ["run", "--port", "0"],
                SUPERVISED: ["run", "--port", "0", "--workers", "2"],
                "worker": ["run", "worker"],
            }
        processes = []
        for name, command in words.items():
            port = 1
            if server := self._redis or self._postgres:
                proxy = self._proxies[name] = Proxy(lambda port=server.port: port)  # type: ignore[misc]
                await proxy.start()
                port = proxy.port
            processes.append(Process(name, command, self.folder, self._environment(name, port)))
        return processes

    # ---- the acts ----

    async def act(self, number: int, count: int, *, size: int = CUSTOMERS, length: int = LENGTH) -> None:
        """`size` new customers with `length` messages each, and so many faults while they talk."""
        cast = customers(self.seed, number, size, length=length)
        await self.play(cast, faults(self.seed, number, self.store, cast, count))

    async def play(self, cast: Sequence[Customer], plan: Sequence[Fault]) -> None:
        """Returns when all has been said and answered, or nothing moves any more."""
        self._customers += cast
        self._faults = {fault.warrant: fault for fault in plan}
        self._done = {fault.warrant: asyncio.Event() for fault in plan}
        await self._platform.play([one.to_json() for one in cast], [fault.message_id for fault in plan])
        room = asyncio.Semaphore(AT_ONCE.get(self.store, 3))
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await room.acquire()
                group.create_task(self._strike(fault, room))
        await asyncio.gather(*self._mending)
        self._mending.clear()
        await self._fleet.whole()
        for key in await self._platform.done(self._quiet):
            self._say(f"  {key} has not come to its end")

    async def _strike(self, fault: Fault, room: asyncio.Semaphore) -> None:
        """Lay out the warrant, let the message come, and wait until it has struck."""
        try:
            await self._fleet.whole()
            (self._warrants / fault.warrant).touch()
            await self._platform.open_gate(fault.conversation_id, fault.message_id)
            try:
                async with asyncio.timeout(UNREACHED):
                    await self._done[fault.warrant].wait()
            except TimeoutError:
                (self._warrants / fault.warrant).unlink(missing_ok=True)
                self.missed[fault.point] += 1
        finally:
            room.release()

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A process stands at a point: the deed is done, and what is left of it may go on."""
        said = json.loads(await reader.readline())
        fault = self._faults[said["warrant"]]
        self._ledger.write(
            "fault", deed=fault.deed, point=fault.point, conversation=fault.conversation_id, message=fault.message_id
        )
        self.passed[fault.point] += 1
        self._struck[fault.warrant] += 1
        is_over = self._struck[fault.warrant] == fault.times
        if not is_over:
            (self._warrants / fault.warrant).touch()
        self.deeds[fault.deed] += 1
        doing = asyncio.create_task(self._do(fault, int(said["pid"]), _outage(fault)))
        self._mending.append(doing)
        await asyncio.wait([doing])
        if is_over:
            self._done[fault.warrant].set()
        writer.transport.abort()

    async def _do(self, fault: Fault, pid: int, seconds: float) -> None:
        match fault.deed:
            case "kill":
                _kill(pid)
                await _end_of(pid)
                for process in self._fleet.processes:
                    if process.pid == pid:
                        await process.is_over.wait()
            case "supervisor killed":
                supervisor = next(one for one in self._fleet.processes if one.name == SUPERVISED)
                if supervisor.pid is not None and supervisor.is_ready.is_set():
                    _kill(supervisor.pid)
            case "pause":
                # Longer than a lease: who wakes up has lost it, and must notice.
                await asyncio.sleep(LEASE + seconds)
            case "cut" | "black hole" | "deaf" | "slow" if _is_alive(pid):
                proxy = self._proxies[_name_of(pid)]
                _spoil_network(fault.deed, proxy)
                self._later(seconds, _call(proxy.mend))
            case "disk full" if self.store == "sqlite" and _is_alive(pid):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
                self._later(seconds, lambda: _free_disk_of(pid))
            case _ if _is_alive(pid):
                await self._server.acquire()
                try:
                    mends = await self._trouble_server(fault.deed)
                except BaseException:
                    self._server.release()
                    raise
                self._later(seconds, *mends, _call(self._server.release))

    async def _trouble_server(self, deed: str) -> Sequence[Callable[[], Awaitable[None]]]:
        """What happens to the store's server, and how it is undone."""
        if self._redis is not None:
            match deed:
                case "disk full":
                    self._redis.fill_disk()
                    return [self._redis.free_disk]
                case "memory full":
                    await self._limit_memory(1)
                    return [lambda: self._limit_memory(0)]
                case "server killed":
                    await self._redis.kill()
                    return [self._redis.start]
                case "server stopped":
                    await self._redis.stop()
                    return [self._redis.start]
        if self._postgres is not None:
            # `immediate` is as if its power was cut.
            await asyncio.to_thread(self._postgres.stop, "immediate" if deed == "server killed" else "fast")
            return [partial(asyncio.to_thread, self._postgres.start)]
        if self._trio is not None:
            number = await self._trio.master()
            match deed:
                case "failover":
                    await self._trio.fail_over()
                    return [self._whole_again]
                case "master killed":
                    await self._trio.redis[number].kill()
                    return [self._succeeded(number), self._trio.redis[number].start, self._whole_again]
                case "master cut":
                    self._trio.proxies[number].cut()
                    return [self._succeeded(number), _call(self._trio.proxies[number].mend), self._whole_again]
        raise AssertionError(f"there is no deed '{deed}' on {self.store}")

    def _later(self, seconds: float, *mends: Callable[[], Awaitable[None]]) -> None:
        async def mending() -> None:
            await asyncio.sleep(seconds)
            for mend in mends:
                await mend()

        self._mending.append(asyncio.create_task(mending()))

    async def _limit_memory(self, size: int) -> None:
        assert self._redis is not None
        async with self._redis.client() as client:
            await client.config_set("maxmemory", size)

    def _succeeded(self, number: int) -> Callable[[], Awaitable[None]]:
        """Waits until this server is not the master any more."""
        trio = self._trio
        assert trio is not None

        async def has_successor() -> bool:
            return await trio.master() != number

        return lambda: until(has_successor)

    async def _whole_again(self) -> None:
        assert self._trio is not None
        async with asyncio.timeout(60):
            await until(self._trio.is_whole)

    # ---- the verdict ----

    async def verdict(self, *, aftermath: float = AFTERMATH) -> Verdict:
        """Of all acts, once whatever might come twice has had its time."""
        await asyncio.sleep(aftermath)
        histories = {one.conversation_id: await self.history(one) for one in self._customers}
        return judge(self.entries, self._customers, histories, bank.moved(self._bank))

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        return read(self.folder / "ledger.jsonl")

    async def history(self, customer: Customer) -> list[Mapping[str, Any]]:
        """The conversation's events, as the bot tells them."""
        url = f"{self._fleet.doors[0]}/conversations/{quote(customer.conversation_id, safe='')}/tracker"
        async with aiohttp.request("GET", url, params={"include_events": "ALL"}) as response:
            response.raise_for_status()
            return list((await response.json())["events"])

    def summary(self) -> list[str]:
        entries = self.entries
        counted = Counter(entry["what"] for entry in entries)
        tried, moved = bank.attempts(self._bank), sum(bank.moved(self._bank).values())
        return [
            f"  {len(self._customers)} customers; {counted['sent']} attempts at a message, {counted['acknowledged']} "
            f"acknowledged; {counted['received']} attempts at a reply, {repeated(entries)} of them repeated with a "
            f"key that the platform knew; money moved {moved} times in {tried} attempts",
            f"  deeds: {_counted(self.deeds)}",
            f"  points: {_counted(self.passed)}",
            f"  points that nobody passed: {_counted(self.missed)}",
        ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counter.items())) or "none"


def _outage(fault: Fault) -> float:
    """Seconds, by the fault."""
    share = int(fault.warrant[:4], 16) / 0xFFFF
    return OUTAGE[0] + share * (OUTAGE[1] - OUTAGE[0])


def _spoil_network(deed: str, proxy: Proxy) -> None:
    match deed:
        case "cut":
            proxy.cut()
        case "black hole":
            proxy.swallow()
        case "deaf":
            proxy.deafen()
        case "slow":
            proxy.slow_down(0.03)


def _call(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


def _kill(pid: int) -> None:
    """It may have died with another."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def _free_disk_of(pid: int) -> None:
    if _is_alive(pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def _end_of(pid: int) -> None:
    async def is_over() -> bool:
        return not _is_alive(pid)

    await until(is_over, 0.001)


def _is_alive(pid: int) -> bool:
    """A process whose parent has not noticed yet is dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _name_of(pid: int) -> str:
    """Which of ours it is, or whose child."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(one for one in environment if one.startswith(b"FAULTS_NAME=")).partition(b"=")[2].decode()


async def prove(store: str, seed: int, kill_points: int, folder: Path, say: Say = say_at_once) -> Verdict:
    """One store: acts until so many faults have struck, and the verdict."""
    begun = time.monotonic()
    say(f"{store}, seed {seed}: {kill_points} kill points")
    async with Run(store, seed, folder, say) as run:
        number = 0
        while (missing := kill_points - run.passed.total()) > 0:
            await run.act(number, min(missing, FAULTS))
            number += 1
            say(f"  act {number}: {run.passed.total()} kill points after {time.monotonic() - begun:.0f} s")
        verdict = await run.verdict()
        for line in run.summary():
            say(line)
    for finding in verdict.findings:
        say(f"  {finding}")
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="append", choices=sorted(SHARES), help="Which; all of them unless named.")
    parser.add_argument("--kill-points", type=int, default=320, help="In all. Default: 320.")
    parser.add_argument("--seed", type=int, default=None, help="Default: another one each time.")
    parser.add_argument("--keep", type=Path, default=None, help="A new folder for ledgers and logs, which is kept.")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else secrets.randbelow(10**6)
    stores = given.store or list(SHARES)
    whole = sum(SHARES[store] for store in stores)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    total = Verdict()
    for store in stores:
        count = round(given.kill_points * SHARES[store] / whole)
        verdict = asyncio.run(prove(store, seed, count, folder / store))
        if not verdict.is_clean:
            print(f"  again: python tests/faults/driver.py --store {store} --kill-points {count} --seed {seed}")
        total.kill_points += verdict.kill_points
        total.lost += verdict.lost
        total.twice += verdict.twice
        total.out_of_order += verdict.out_of_order
    if total.is_clean and given.keep is None:
        shutil.rmtree(folder)
    else:
        print(f"ledgers and logs: {folder}")
    print(total)
    return 0 if total.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
