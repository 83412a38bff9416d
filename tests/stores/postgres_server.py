"""A PostgreSQL server of the tests' own, in a temporary folder. As root it runs as another user, as it must."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER = "frontdesk"
PASSWORD = "p@ss/word"
"""With letters that a URL must escape."""


def binaries() -> Path:
    """Where the newest server is installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    found = shutil.which("initdb")
    if not folders and found is None:
        raise FileNotFoundError("the tests need PostgreSQL: bash tests/need-postgres.sh")
    return folders[-1] if folders else Path(found or "").resolve().parent


@dataclass
class PostgresServer:
    """A server on the loopback interface and on a socket in its folder."""

    folder: Path
    port: int

    def url(self, database: str = "postgres", user: str = USER) -> str:
        return f"postgresql://{user}:p%40ss%2Fword@127.0.0.1:{self.port}/{database}"

    def start(self, *options: str) -> None:
        """Returns when it answers."""
        settings = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200", *options]
        flags = " ".join(f"-c {setting}" for setting in settings)
        self._control("start", "-l", str(self.folder / "log"), "-o", f"-k {self.folder} -p {self.port} {flags}")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is as if its power was cut; `fast` ends the connections and says so."""
        self._control("stop", "-m", mode)

    def pause(self) -> None:
        """Its processes answer no more, and their connections stay."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints, without headings."""
        command = [binaries() / "psql", "-h", self.folder, "-p", str(self.port), "-U", USER, "-d", database]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        return subprocess.run(
            [*command, "-v", "ON_ERROR_STOP=1", "-Atqc", statement],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    def everything_in(self, schema: str) -> bytes:
        """All rows of a schema's tables, with bytes as they are."""
        tables = self.sql(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'").split()
        rows = "\n".join(self.sql(f"SELECT * FROM {schema}.{table}") for table in tables).encode()
        return re.sub(rb"\\x([0-9a-f]+)", lambda match: bytes.fromhex(match[1].decode()), rows)

    def _signal(self, number: int) -> None:
        parent = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _control(self, *arguments: str) -> None:
        _run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *arguments)


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that runs until the block ends. Its user `frontdesk` may do everything."""
    folder = Path(tempfile.mkdtemp(prefix="frontdesk-postgres-"))
    server = PostgresServer(folder, _free_port())
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            shutil.chown(password, "postgres")
        how = ("-U", USER, "-A", "scram-sha-256", f"--pwfile={password}")
        _run("initdb", "-D", str(folder / "data"), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", *how)
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *arguments: str) -> None:
    user = "postgres" if os.getuid() == 0 else None
    command = [str(binaries() / program), *arguments]
    done = subprocess.run(
        command, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stderr}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
