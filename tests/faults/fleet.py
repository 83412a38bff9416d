"""The bot's processes, started again whenever they end, and the platform's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

READY = re.compile(rb"(?:Frontdesk is ready at http://localhost:(\d+)|The worker is ready|workers are ready)")
LONGEST_START = 120.0
"""Seconds."""


class Process:
    """`frontdesk …` that is started again when it dies. `door` is its address, if it serves pages."""

    def __init__(self, name: str, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.door: str | None = None
        self.is_ready = asyncio.Event()
        self.is_over = asyncio.Event()
        self.was_ready = False
        self._is_stopping = False
        self.complaint = ""
        self._words = [sys.executable, "-m", "bot.cli", *words]
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._changed: list[asyncio.Event] = []

    @property
    def serves(self) -> bool:
        return "worker" not in self._words

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, changed: asyncio.Event) -> None:
        """`changed` is set whenever it has become ready or has died."""
        self._changed = [changed]
        self._keeping = asyncio.create_task(self._keep())

    async def ready(self) -> None:
        """Returns when it is; `AssertionError` when it could never start."""
        assert self._keeping is not None
        waiting = asyncio.ensure_future(self.is_ready.wait())
        await asyncio.wait((waiting, self._keeping), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not self.complaint, self.complaint

    async def stop(self) -> None:
        """Gently at first. What it has started goes with it."""
        if self._keeping is None or self._process is None:
            return
        self._is_stopping = True
        for end in (self._process.terminate, self._process.kill):
            with contextlib.suppress(ProcessLookupError):
                end()
            done, _ = await asyncio.wait((self._keeping,), timeout=15)
            if done:
                return
        self._keeping.cancel()

    async def _keep(self) -> None:
        while not self._is_stopping:
            with (self._folder / f"{self.name}.log").open("ab") as log:
                self._process = process = await asyncio.create_subprocess_exec(
                    *self._words,
                    cwd=self._folder / "project",
                    env=self._environment,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            self.is_over.clear()
            assert process.stdout is not None
            async for line in process.stdout:
                if found := READY.search(line):
                    self.door = f"http://127.0.0.1:{found[1].decode()}" if found[1] else None
                    self.is_ready.set()
                    self._tell()
            code = await process.wait()
            self.was_ready = self.was_ready or self.is_ready.is_set()
            self.is_ready.clear()
            self.is_over.set()
            self.door = None
            if not self.was_ready and not self._is_stopping:
                self.complaint = f"{self.name} ended with {code}: see {self._folder / self.name}.log"
                return
            self._tell()

    def _tell(self) -> None:
        for event in self._changed:
            event.set()


class Fleet:
    """All processes of the bot; the platform is told where they are."""

    def __init__(self, processes: Sequence[Process], platform: Platform) -> None:
        self.processes = list(processes)
        self._platform = platform
        self._changed = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for process in self.processes:
            process.start(self._changed)
        self._telling = asyncio.create_task(self._tell())
        await self.whole()

    async def whole(self) -> None:
        """Returns when all processes are ready; `TimeoutError` when that takes too long."""
        async with asyncio.timeout(LONGEST_START):
            for process in self.processes:
                await process.ready()

    @property
    def doors(self) -> list[str]:
        return [process.door for process in self.processes if process.door]

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self.processes))

    async def _tell(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._platform.set_doors(self.doors)


class Platform:
    """The process of messenger.py, and what the driver asks of it."""

    def __init__(self, ledger: Path, seed: str, secret: str) -> None:
        script = Path(__file__).with_name("messenger.py")
        self._command = [sys.executable, str(script), str(ledger), seed, secret]
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        # Where `bot` is, and beside it nothing of this folder.
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, env=environment)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(await self._process.stdout.readline())}"
        self._session = aiohttp.ClientSession()

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()

    async def play(self, customers: Sequence[Mapping[str, Any]], gates: Sequence[str]) -> None:
        await self._post("/play", {"customers": list(customers), "gates": list(gates)})

    async def set_doors(self, doors: Sequence[str]) -> None:
        await self._post("/doors", list(doors))

    async def open_gate(self, conversation_id: str, message_id: str) -> None:
        await self._post("/gate", {"conversation": conversation_id, "message": message_id})

    async def done(self, seconds: float) -> list[str]:
        """Waits for all customers, so many seconds at most; the conversations that are not at their end."""
        assert self._session is not None
        async with self._session.get(f"{self.url}/done", params={"seconds": str(seconds)}) as response:
            return list(await response.json())

    async def _post(self, path: str, data: Any) -> None:
        assert self._session is not None
        async with self._session.post(self.url + path, json=data) as response:
            response.raise_for_status()
