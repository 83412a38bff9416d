"""Work that is told to one process of many: who waits for it here waits on the server, and nobody polls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Literal

from bot.errors import StoreError
from bot.interfaces import Work
from bot.stores.redis_connection import RedisConnection

_KEPT = 0.2
"""Seconds that work stays here which came when nobody waited any more."""


class Ready:
    """`keys` are the sorted sets that the scripts put work into.

    What came when nobody waited any more stays for a moment: `waits` says whether it still waits to be done, and
    `put_back` tells others of it in the end.
    """

    def __init__(
        self,
        redis: RedisConnection,
        keys: Sequence[bytes],
        waits: Callable[[Work], Awaitable[bool]],
        put_back: Callable[[Work], None],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._waits = waits
        self._put_back = put_back
        self._work: deque[Work] = deque()
        self._idle: deque[asyncio.Future[Work]] = deque()
        self._pullers: dict[int, asyncio.Task[None]] = {}

    async def next(self) -> Work:
        """The next piece of work for this process."""
        while self._work:
            work = self._work.popleft()
            if await self._waits(work):
                return work
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Work] = loop.create_future()
        self._idle.append(future)
        for number, keys in enumerate(self._redis.together(self._keys)):
            if number not in self._pullers:
                self._pullers[number] = loop.create_task(self._pull(number, deque(keys)))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and not future.exception():
                self._hand_out(future.result())
            raise
        finally:
            with suppress(ValueError):
                self._idle.remove(future)

    async def close(self, error: StoreError) -> None:
        for future in self._idle:
            if not future.done():
                future.set_exception(error)
        pullers = list(self._pullers.values())
        for puller in pullers:
            puller.cancel()
        await asyncio.gather(*pullers, return_exceptions=True)

    async def _pull(self, number: int, keys: deque[bytes]) -> None:
        try:
            while self._idle:
                member = await self._redis.pop(keys)
                # No partition comes first for ever.
                keys.rotate(-1)
                if member is not None:
                    kind: Literal["inbox", "outbox"] = "inbox" if member.startswith(b"i") else "outbox"
                    self._hand_out(Work(kind, member[1:].decode("utf-8", "replace")))
        except StoreError as error:
            while self._idle:
                future = self._idle.popleft()
                if not future.done():
                    future.set_exception(error)
        finally:
            del self._pullers[number]

    def _hand_out(self, work: Work) -> None:
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(work)
                return
        self._work.append(work)
        asyncio.get_running_loop().call_later(_KEPT, self._give_away, work)

    def _give_away(self, work: Work) -> None:
        with suppress(ValueError):
            self._work.remove(work)
            self._put_back(work)
