"""The pipeline at work: never in the way of the event loop, and messages that wait together are read together."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bot.messages import Parse

if TYPE_CHECKING:
    from bot.nlu.pipeline import Pipeline

QUICK = 0.0008
"""Seconds. A pipeline that takes less per message is called in place: a thread switch would cost more."""

LARGEST_BATCH = 32
LONGEST_TEXT = 2000
"""Characters that are read of a message; nobody's intent starts later."""


class Understanding:
    """Reads texts with a loaded pipeline in a thread of its own."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="understanding")
        self._waiting: list[tuple[str, asyncio.Future[Parse]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._quick = False

    async def warm_up(self, text: str = "hello, how are you?") -> None:
        """Load what is loaded on first use, see how quick the pipeline is, and load the rest beside the first turns."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._pipeline.parse, [text])
        start = time.perf_counter()
        await loop.run_in_executor(self._thread, self._pipeline.parse, [text])
        self._quick = time.perf_counter() - start < QUICK
        threading.Thread(target=self._pipeline.warm_up, name="warm-up", daemon=True).start()

    async def parse(self, text: str) -> Parse:
        """What the pipeline makes of the text."""
        text = text[:LONGEST_TEXT]
        if self._quick:
            return self._pipeline.parse([text])[0]
        future: asyncio.Future[Parse] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            try:
                parses = await loop.run_in_executor(self._thread, self._pipeline.parse, [text for text, _ in batch])
            except Exception as error:  # each of the waiting turns gets it, and reports it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), parse in zip(batch, parses, strict=True):
                if not future.done():
                    future.set_result(parse)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
