"""Real Redis for tests: a single server, with others behind Sentinels, or a cluster. On loopback, ports of the OS's choice."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """One `redis-server` with these options; what it keeps survives `kill` and `start`."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Server:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning", *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.AuthenticationError:
                    return
                except redis.ConnectionError:
                    if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                        raise AssertionError((self.folder / "log").read_text()) from None
                    time.sleep(0.02)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, retry=None, socket_timeout=10)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def single(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options).start()
    try:
        yield server
    finally:
        server.kill()
