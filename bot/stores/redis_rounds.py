"""The round that every process makes through the partitions, about once a second: see redis_scripts/look.lua."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bot.errors import StoreError
from bot.stores.redis_connection import RedisConnection, Script

log = logging.getLogger(__name__)

_PERIOD = 1.0
"""Seconds between two looks at a partition, at most."""
_CHECK = 5.0
"""Seconds after which what is awaited is looked up, in case that it was told and not heard."""


@dataclass(slots=True)
class Partition:
    """`key` is how its keys begin. Times are the loop's; `steady_since`: no round has failed since."""

    number: int
    key: bytes
    next_look: float = 0.0
    looked_at: float = 0.0
    steady_since: float = 0.0


class Rounds:
    """Says for `process` that it is alive, which it counts as for `lease` seconds, and sees what is due.

    `check` is done every few seconds beside it.
    """

    def __init__(
        self,
        redis: RedisConnection,
        script: Script,
        partitions: Sequence[Partition],
        process: str,
        lease: float,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._redis = redis
        self._script = script
        self._partitions = partitions
        self._process = process
        self._lease = lease
        self._check = check
        self._is_early = asyncio.Event()

    def look_in(self, partition: Partition, seconds: float) -> None:
        """Something is due there then: it is seen at its time, not in the next round."""
        when = asyncio.get_running_loop().time() + max(seconds, 0.0) + 0.001
        if when < partition.next_look:
            partition.next_look = when
            self._is_early.set()

    async def run(self) -> None:
        """Round after round. An outage is logged once."""
        loop = asyncio.get_running_loop()
        is_away, check_at = False, loop.time() + _CHECK
        while True:
            await self._wait()
            try:
                await self.look([one for one in self._partitions if one.next_look <= loop.time()])
                if loop.time() > check_at:
                    check_at = loop.time() + _CHECK
                    await self._check()
            except StoreError as error:
                if not is_away:
                    log.error("%s", error)
                is_away = True
                continue
            if is_away:
                log.warning("%s is back", self._redis.place.name)
            is_away = False

    async def _wait(self) -> None:
        self._is_early.clear()
        seconds = min(partition.next_look for partition in self._partitions) - asyncio.get_running_loop().time()
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._is_early.wait()

    async def look(self, partitions: Sequence[Partition]) -> None:
        """Raises the first error when all have been tried."""
        loop = asyncio.get_running_loop()
        period = min(_PERIOD, self._lease / 5)
        began = loop.time()
        for partition in partitions:
            partition.next_look = began + period
        calls = (
            self._redis.run(self._script, one.key, "", self._process, "", "1" if self._is_steady(one, began) else "")
            for one in partitions
        )
        errors: list[BaseException] = []
        for partition, reply in zip(partitions, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if isinstance(reply, BaseException):
                errors.append(reply)
                partition.next_look = began + period / 4
                continue
            if began - partition.looked_at > self._lease / 2:
                partition.steady_since = began
            partition.looked_at = began
            planned, problems = reply
            if 0 <= planned < period * 1000:
                partition.next_look = min(partition.next_look, loop.time() + max(planned / 1000, 0.001))
            for problem in problems:
                log.error("%s", self._redis.foreign(problem.decode("utf-8", "replace")))
        if errors:
            raise errors[0]

    def _is_steady(self, partition: Partition, now: float) -> bool:
        """After an outage the others must have had the time to say that they are there."""
        return now - partition.looked_at < self._lease / 2 < now - partition.steady_since
