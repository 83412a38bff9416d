"""Real servers for the brokers' tests: Redis, RabbitMQ, and librdkafka's own Kafka peer. Each can be taken away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
KAFKA_PEER = """
import sys
from confluent_kafka import Producer
peer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "-"})
broker = next(iter(peer.list_topics(timeout=10).brokers.values()))
print(broker.port, flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process with its own folder and ports, which can die and come back as it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command, environment = self.command()
        with (self.folder / "out.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{command[0]} did not start: {(self.folder / 'out.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut does it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class RedisServer(Server):
    def command(self) -> tuple[list[str], dict[str, str]]:
        options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder)]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *options], {}


class RabbitServer(Server):
    """RabbitMQ as Debian has it, with a user `bot`/`secret`; `tls` says where certificates for its second port are."""

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        super().__init__(folder)
        self.tls_port = free_port()
        self._tls = tls
        self._others = (free_port(), free_port())

    def command(self) -> tuple[list[str], dict[str, str]]:
        distribution, epmd = self._others
        lines = [f"listeners.tcp.default = 127.0.0.1:{self.port}", "default_user = bot", "default_pass = secret"]
        if self._tls:
            lines += [
                f"listeners.ssl.default = 127.0.0.1:{self.tls_port}",
                f"ssl_options.cacertfile = {self._tls / 'ca.pem'}",
                f"ssl_options.certfile = {self._tls / 'server.pem'}",
                f"ssl_options.keyfile = {self._tls / 'server.key'}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
            ]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        return [str(RABBITMQ)], {
            "HOME": str(self.folder),
            # The process that we kill is RabbitMQ then, and no shell before it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"bot{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }

    def stop_epmd(self) -> None:
        """Erlang's own name service, which RabbitMQ started, stays behind by itself."""
        command = [shutil.which("epmd") or "epmd", "-port", str(self._others[1]), "-kill"]
        subprocess.run(command, check=False, capture_output=True)


class KafkaPeer:
    """One broker that lives in librdkafka and speaks Kafka's protocol; it makes topics as they are named."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", KAFKA_PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def freeze(self) -> None:
        """It answers nothing from now on, as behind a network that is cut."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
