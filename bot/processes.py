"""Several processes that serve one bot: `frontdesk run --workers N` (not on Windows).

The first process listens, starts the others and keeps them running; each of them loads the model, answers on the
common socket and works off what waits. A model that one of them has taken over is told to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.errors import FrontdeskError, describe

log = logging.getLogger(__name__)

GRACE = 5
"""Seconds that turns in hand have to finish when a process is stopped."""
LISTENER = "FRONTDESK_LISTENER"
"""In a worker's environment: the file descriptor of the socket that all listen on."""
CONTROL = "FRONTDESK_CONTROL"
"""In a worker's environment: the file descriptor of the socket on which it and the first process talk."""
LONGEST_START = 600.0
"""Seconds that the processes have to be ready."""
SOON = 5.0
"""A process that ends sooner than that after its start is not started again at once."""


@dataclass(slots=True)
class _Process:
    number: int
    process: subprocess.Popen[bytes]
    control: socket.socket
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False


class Processes:
    """`command` starts one of them. `run` returns their exit code when all have ended."""

    def __init__(self, command: Sequence[str], number: int, listener: socket.socket | None, ready: str) -> None:
        self._command = list(command)
        self._number = number
        self._listener = listener
        self._ready = ready
        self._running: dict[int, _Process] = {}
        self._selector = selectors.DefaultSelector()
        self._is_stopping = False
        self._was_ready = False
        self._model = b""
        """What was said of the latest model that was taken over; a process that takes a place begins with another."""

    def run(self) -> None:
        """Until Ctrl-C or SIGTERM; each process finishes its turns in hand."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        for number in range(self._number):
            self._start(number)
        begun = time.monotonic()
        while self._running:
            for key, _ in self._selector.select(timeout=0.5):
                self._hear(key.data)
            self._look_after_them()
            if not self._was_ready and not self._is_stopping:
                self._look_whether_ready(begun)

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = [theirs.fileno()]
        environment = {**os.environ, CONTROL: str(theirs.fileno())}
        if self._listener:
            inherited.append(self._listener.fileno())
            environment[LISTENER] = str(self._listener.fileno())
        with theirs:
            # In a group of its own: Ctrl-C comes to the first process, which passes it on.
            process = subprocess.Popen(self._command, env=environment, pass_fds=inherited, process_group=0)
        one = _Process(number, process, ours)
        self._running[number] = one
        self._selector.register(ours, selectors.EVENT_READ, one)
        if self._is_stopping:
            # A signal came while it was started, and went to the others alone.
            process.terminate()

    def _hear(self, one: _Process) -> None:
        """What a process says: that it is ready, or which model it has now."""
        try:
            said = one.control.recv(65536)
        except OSError:
            said = b""
        if not said:
            self._selector.unregister(one.control)
            return
        message = json.loads(said)
        if message.get("ready"):
            one.is_ready = True
            if self._was_ready:
                log.warning("worker %d is ready again", one.number)
            if self._model:
                _tell(one, self._model)
        if "model" in message:
            self._model = said
            for other in self._running.values():
                if other is not one:
                    _tell(other, said)

    def _look_after_them(self) -> None:
        for one in list(self._running.values()):
            code = one.process.poll()
            if code is None:
                continue
            with contextlib.suppress(KeyError):
                self._selector.unregister(one.control)
            one.control.close()
            del self._running[one.number]
            if self._is_stopping:
                continue
            if not self._was_ready:
                # Its own message has been printed: the same would come from a second attempt.
                self._stop()
                raise FrontdeskError(f"worker {one.number} could not start (exit code {code}): see above")
            log.error("worker %d ended (exit code %d): another takes its place", one.number, code)
            if time.monotonic() - one.started < SOON:
                time.sleep(1.0)
            if not self._is_stopping:
                self._start(one.number)

    def _look_whether_ready(self, begun: float) -> None:
        if all(one.is_ready for one in self._running.values()):
            self._was_ready = True
            print(self._ready, flush=True)
        elif time.monotonic() - begun > LONGEST_START:
            self._stop()
            raise FrontdeskError(f"the workers were not ready within {LONGEST_START:g} s")

    def _stop(self, *_: object) -> None:
        self._is_stopping = True
        for one in self._running.values():
            one.process.terminate()


def _tell(one: _Process, said: bytes) -> None:
    # One that has just ended is noticed soon.
    with contextlib.suppress(OSError):
        one.control.send(said)


def shared_listener() -> socket.socket | None:
    """The socket that this process was given to listen on, if it is one of several."""
    number = os.environ.get(LISTENER)
    return socket.socket(fileno=int(number)) if number else None


class Control:
    """How one of several processes talks to the first one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setblocking(False)

    @staticmethod
    def inherited() -> Control | None:
        """None in a process that is alone."""
        number = os.environ.get(CONTROL)
        return Control(socket.socket(fileno=int(number))) if number else None

    def say(self, **message: object) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps(message).encode())

    async def listen(self, take_model: Callable[[Any], Awaitable[None]]) -> None:
        """Hear which model another process has taken over. Without the first process this one ends, too."""
        loop = asyncio.get_running_loop()
        while said := await loop.sock_recv(self._connection, 65536):
            try:
                await take_model(json.loads(said)["model"])
            except Exception as error:
                # Whatever a model's components may raise: this process goes on with the one that works.
                log.error("the model that the other processes have cannot be loaded here: %s", describe(error))
        log.error("the first process is gone: this one stops")
        signal.raise_signal(signal.SIGTERM)


def is_one_of_several() -> bool:
    return CONTROL in os.environ


def run_several(number: int, listener: socket.socket | None, ready: str) -> None:
    """This same command `number` times, on a common listener, until Ctrl-C or SIGTERM."""
    Processes([sys.executable, "-m", "bot.cli", *sys.argv[1:]], number, listener, ready).run()


def leave_soon() -> None:
    """Let this process, which is at its end, be gone in `GRACE` seconds: Python waits for threads that hang, too."""
    leaving = threading.Timer(GRACE, os._exit, [0])
    leaving.daemon = True
    leaving.start()


def settle() -> None:
    """What this process has now stays: the garbage collector need not look at a model again and again.

    A collection that goes through all of it stops every turn for a twentieth of a second, several times a second
    under load.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, which is everywhere but on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
