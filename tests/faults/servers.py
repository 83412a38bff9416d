"""Real Redis servers for the fault suite: one alone, or a master and a replica that three Sentinels watch.

All write an append-only file and wait for the disk with every command (`appendfsync always`): what Redis has answered
is there after its death.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from network import Proxy
from redis.asyncio import Redis
from redis.exceptions import RedisError

SERVICE = "frontdesk"
DOWN_AFTER = 1.0
"""Seconds of silence after which a Sentinel takes a master for dead."""


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(is_so: Callable[[], Awaitable[bool]], pause: float = 0.02) -> None:
    """Waits for something that tells nobody: asks every `pause` seconds."""
    while True:
        if await is_so():
            return
        await asyncio.sleep(pause)


class RedisServer:
    """One process; `options` are lines of its configuration file."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self._folder = folder
        self._arguments = ["--sentinel"] if sentinel else []
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(parents=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}", *options]
        if not sentinel:
            lines += ["appendonly yes", "appendfsync always", 'save ""']
        (folder / "redis.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def client(self) -> Any:
        """Its types say less than it does."""
        return Redis(port=self.port, socket_timeout=5)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns when it answers."""
        command = shutil.which("redis-server")
        assert command, "the fault suite needs redis-server: sudo apt-get install redis-server"
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                command,
                str(self._folder / "redis.conf"),
                *self._arguments,
                stdout=log,
                stderr=log,
                # SIGXFSZ stays ignored, as Python has it: a file that may not grow is an error and no death.
                restore_signals=False,
            )
        async with self.client() as client:

            async def answers() -> bool:
                with contextlib.suppress(RedisError, OSError):
                    return not self.is_running or bool(await client.ping())
                return False

            await until(answers)
        assert self.is_running, f"redis-server did not start: see {self._folder / 'log'}"

    async def kill(self) -> None:
        """As by a power cut, but for what the disk has."""
        await self._end(gently=False)

    async def stop(self) -> None:
        await self._end(gently=True)

    async def _end(self, *, gently: bool) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate() if gently else process.kill()
        await process.wait()

    def fill_disk(self) -> None:
        """From now on the append-only file cannot grow, as on a full disk."""
        assert self._process is not None
        size = max(file.stat().st_size for file in self._folder.rglob("*.aof"))
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def free_disk(self) -> None:
        """There is room again; Redis, which ends itself rather than forget what it has answered, is started anew."""
        assert self._process is not None
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limit)
        try:
            async with self.client() as client:
                await client.ping()
        except (RedisError, OSError):
            await self._process.wait()
            await self.start()


class Trio:
    """A master, a replica and three Sentinels. They reach each other by proxies, and so do the bot's processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.redis: list[RedisServer] = []
        self.proxies: list[Proxy] = []
        self.sentinels: list[RedisServer] = []

    async def start(self) -> None:
        for number in range(2):
            proxy = Proxy(lambda number=number: self.redis[number].port)  # type: ignore[misc]
            await proxy.start()
            self.proxies.append(proxy)
            master = (f"replicaof 127.0.0.1 {self.proxies[0].port}",) if number else ()
            announced = (
                "repl-diskless-sync-delay 0",
                "replica-announce-ip 127.0.0.1",
                f"replica-announce-port {proxy.port}",
            )
            self.redis.append(RedisServer(self._folder / f"redis-{number}", *announced, *master))
            await self.redis[number].start()
        for number in range(3):
            watch = f"sentinel monitor {SERVICE} 127.0.0.1 {self.proxies[0].port} 2"
            options = (f"down-after-milliseconds {SERVICE} {DOWN_AFTER * 1000:.0f}", f"failover-timeout {SERVICE} 3000")
            sentinel = RedisServer(
                self._folder / f"sentinel-{number}",
                watch,
                *(f"sentinel {option}" for option in options),
                sentinel=True,
            )
            await sentinel.start()
            async with sentinel.client() as client:
                # They look around several times a second, in place of every ten seconds.
                await client.execute_command("SENTINEL", "DEBUG", "info-period", "200", "publish-period", "200")
            self.sentinels.append(sentinel)
        async with asyncio.timeout(30):
            await until(self._are_acquainted)

    async def _are_acquainted(self) -> bool:
        async with self.redis[0].client() as client:
            followers = await client.info("replication")
        for sentinel in self.sentinels:
            async with sentinel.client() as client:
                master = await client.sentinel_master(SERVICE)
            if master["num-slaves"] != 1 or master["num-other-sentinels"] != 2:
                return False
        return bool(followers["connected_slaves"] == 1 and followers["slave0"]["state"] == "online")

    async def master(self) -> int:
        """The number of the server that the Sentinels take for the master."""
        async with self.sentinels[0].client() as client:
            _, port = await client.sentinel_get_master_addr_by_name(SERVICE)
        return [proxy.port for proxy in self.proxies].index(int(port))

    async def fail_over(self) -> None:
        """On the operator's word; the old master lives on as a replica."""

        async def is_agreed() -> bool:
            # Not while another is under way, nor before the Sentinels know a replica that is fit.
            with contextlib.suppress(RedisError):
                return bool(await client.execute_command("SENTINEL", "FAILOVER", SERVICE))
            return False

        async with self.sentinels[0].client() as client, asyncio.timeout(30):
            await until(is_agreed, 0.1)

    async def is_whole(self) -> bool:
        """Whether the one follows the other, up to date."""
        try:
            async with self.redis[await self.master()].client() as client:
                found = await client.info("replication")
        except (RedisError, OSError):
            return False
        return bool(
            found["role"] == "master" and found["connected_slaves"] == 1 and found["slave0"]["state"] == "online"
        )

    async def stop(self) -> None:
        for server in (*self.sentinels, *self.redis):
            await server.kill()
        for proxy in self.proxies:
            await proxy.close()
