"""Real Redis for tests: a single server, one behind Sentinels, a cluster. On loopback, at ports that the OS chooses."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis


def free_port() -> int:
    """A port that nobody listens on, below those that the OS gives away by itself: a cluster also needs it + 10000."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1] - 10_000
            with socket.socket() as other:
                other.bind(("127.0.0.1", port))
                return port


def until(is_so: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait for something that a server does by itself."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError):
            if is_so():
                return
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


class Server:
    """One `redis-server` with these options; what it keeps survives `kill` and `start`."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self.folder = folder
        self._options = options
        self._is_sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Server:
        command = ["redis-server", *([str(self.folder / "sentinel.conf"), "--sentinel"] if self._is_sentinel else [])]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--logfile", "log"]
        if not self._is_sentinel:
            command += ["--save", "", "--appendonly", "yes", "--appendfsync", "no"]
        self._process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)
        until(self._answers, f"Redis answers: {' '.join(command)}")
        return self

    def _answers(self) -> bool:
        assert self._process is None or self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, socket_timeout=10)

    def everything_under(self, prefix: str) -> list[bytes]:
        """All keys that begin so, and all values or parts of values under them."""
        found: list[Any] = []
        with self.client() as client:
            for key in client.scan_iter(f"{prefix}:*"):
                found.append(key)
                match client.type(key):
                    case b"string":
                        found.append(client.get(key))
                    case b"list":
                        found += client.lrange(key, 0, -1)
                    case b"hash":
                        found += itertools.chain.from_iterable(client.hgetall(key).items())
                    case b"stream":
                        found += [value for _, fields in client.xrange(key) for value in fields.values()]
                    case b"zset":
                        found += client.zrange(key, 0, -1)
                    case b"set":
                        found += client.smembers(key)
        return found

    def kill(self) -> None:
        """Without a word, as the OOM killer does it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def single(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server.start()
    finally:
        server.kill()


class Trio:
    """A master with two replicas, watched by three Sentinels."""

    def __init__(self, folder: Path) -> None:
        master = Server(folder / "0")
        replicas = [Server(folder / str(n), "--replicaof", f"127.0.0.1 {master.port}") for n in (1, 2)]
        self.servers = [master, *replicas]
        self.sentinels = [Server(folder / f"sentinel{number}", sentinel=True) for number in range(3)]
        for sentinel in self.sentinels:
            (sentinel.folder / "sentinel.conf").write_text(
                f"sentinel monitor bank 127.0.0.1 {master.port} 2\n"
                "sentinel down-after-milliseconds bank 500\n"
                "sentinel failover-timeout bank 2000\n"
            )

    def start(self) -> Trio:
        for server in (*self.servers, *self.sentinels):
            server.start()
        until(self._is_complete, "the Sentinels know each other and the replicas")
        return self

    def _is_complete(self) -> bool:
        with self.sentinels[0].client() as client:
            state = client.sentinel_masters()["bank"]
        with self.servers[0].client() as client:
            replication = client.info("replication")
        are_online = all(replication.get(f"slave{number}", {}).get("state") == "online" for number in range(2))
        return are_online and state["num-slaves"] == 2 and state["num-other-sentinels"] == 2

    @property
    def addresses(self) -> list[str]:
        return [sentinel.address for sentinel in self.sentinels]

    def master(self) -> Server:
        with self.sentinels[0].client() as client:
            _, port = client.sentinel_get_master_addr_by_name("bank")
        return next(server for server in self.servers if server.port == port)

    def kill(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


@contextlib.contextmanager
def sentinels(folder: Path) -> Iterator[Trio]:
    trio = Trio(folder)
    try:
        yield trio.start()
    finally:
        trio.kill()


class Cluster:
    """Three masters, a third of the slots each."""

    def __init__(self, folder: Path, *options: str) -> None:
        own = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
        self.servers = [Server(folder / str(number), *own) for number in range(3)]

    def start(self) -> Cluster:
        for number, server in enumerate(self.servers):
            with server.start().client() as client:
                first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        with self.servers[0].client() as client:
            for server in self.servers[1:]:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        until(self.is_well, "the cluster is complete")
        return self

    def is_well(self) -> bool:
        for server in self.servers:
            with server.client() as client:
                info = client.execute_command("CLUSTER", "INFO")
                if b"cluster_state:ok" not in info or b"cluster_known_nodes:3" not in info:
                    return False
        return True

    @property
    def url(self) -> str:
        return self.servers[0].url

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


@contextlib.contextmanager
def cluster(folder: Path, *options: str) -> Iterator[Cluster]:
    trio = Cluster(folder, *options)
    try:
        yield trio.start()
    finally:
        trio.kill()


class Proxy:
    """A connection to Redis that a test can break: `cut` all there are, `refuse` new ones, or `swallow` one answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_refusing = False
        self.is_silent = False
        self.swallowed_after: bytes | None = None
        """The answer to the next command that contains this is swallowed, and the connection cut."""
        self.swallowed = asyncio.Event()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        dropping: list[bool] = []
        try:
            with contextlib.suppress(OSError):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, back, dropping))
                    both.create_task(self._answer(there, writer, dropping))
        except BaseExceptionGroup:
            pass
        finally:
            self._writers -= {writer, back}
            for one in (writer, back):
                one.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dropping: list[bool]) -> None:
        while data := await reader.read(1 << 20):
            if self.swallowed_after is not None and self.swallowed_after in data:
                self.swallowed_after = None
                dropping.append(True)
            while self.is_silent:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.write(data)
            await writer.drain()
        raise ConnectionError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dropping: list[bool]) -> None:
        while data := await reader.read(1 << 20):
            if dropping:
                self.swallowed.set()
                raise ConnectionError
            writer.write(data)
            await writer.drain()
        raise ConnectionError
