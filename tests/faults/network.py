"""A TCP proxy whose network can be bad: cut, a black hole, deaf, or slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Proxy:
    """Passes connections on to `target` (a port of this machine, or what tells it). `port` is its own, once started."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._delay = 0.0
        self._requests_pass, self._answers_pass = asyncio.Event(), asyncio.Event()
        self._requests_pass.set()
        self._answers_pass.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- what can happen ----

    def cut(self) -> None:
        """Every connection breaks, and no new one comes about."""
        self._is_cut = True
        self._break_all()

    def swallow(self) -> None:
        """A black hole: connections stand, and nothing comes through."""
        self._requests_pass.clear()
        self._answers_pass.clear()

    def deafen(self) -> None:
        """Requests arrive and are executed; the answers do not come back."""
        self._answers_pass.clear()

    def slow_down(self, seconds: float) -> None:
        """Everything takes that much longer in each direction."""
        self._delay = seconds

    def mend(self) -> None:
        """All is well for new connections; those that were stuck break."""
        if not (self._requests_pass.is_set() and self._answers_pass.is_set()):
            self._break_all()
        self._is_cut, self._delay = False, 0.0
        self._requests_pass.set()
        self._answers_pass.set()

    # ----

    def _break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            if self._is_cut:
                return
            answers, onward = await asyncio.open_connection("127.0.0.1", self._target())
            self._writers.add(onward)
            await asyncio.gather(
                self._pump(reader, onward, self._requests_pass), self._pump(answers, writer, self._answers_pass)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, onward):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await passes.wait()
                writer.write(chunk)
                await writer.drain()
        # The other direction ends with this one.
        writer.transport.abort()
