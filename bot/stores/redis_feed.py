"""What is committed in Redis and waits to be published: see redis_scripts/feed.lua."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from bot.errors import StoreError
from bot.interfaces import Published
from bot.stores.redis_bodies import Bodies, as_bytes
from bot.stores.redis_connection import RedisConnection, Script
from bot.stores.redis_rounds import Partition

_PERIOD = 1.0
"""Seconds after which all partitions are looked at, if nobody has said that something is there."""


class Feed:
    """A partition's is in the hands of one process, for as long as that lives."""

    def __init__(
        self,
        redis: RedisConnection,
        script: Script,
        partitions: Sequence[Partition],
        process: str,
        bodies: Bodies,
        patience: float,
    ) -> None:
        self._redis = redis
        self._script = script
        self._partitions = partitions
        self._process = process
        self._bodies = bodies
        self._patience = patience
        self._filled = set(range(len(partitions)))
        """Partitions in which there may be something."""
        self._is_filled = asyncio.Event()

    def has_more(self, partition: Partition) -> None:
        """Something was committed there."""
        self._filled.add(partition.number)
        self._is_filled.set()

    async def read(self, limit: int) -> list[Published]:
        """See `Store.feed`."""
        while True:
            self._is_filled.clear()
            filled, self._filled = self._filled, set()
            calls = (self._run(self._partitions[number].key, "read", limit) for number in filled)
            entries: list[tuple[str, bytes]] = []
            try:
                for number, reply in zip(filled, await asyncio.gather(*calls), strict=True):
                    if reply:
                        # It is shown again until it is struck off.
                        self._filled.add(number)
                    entries += ((key.decode(), entry) for key, entry in zip(reply[::2], reply[1::2], strict=True))
            except BaseException:
                self._filled |= filled
                raise
            if entries:
                return [self._published(key, entry) for key, entry in entries]
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._is_filled.wait()
            except TimeoutError:
                self._filled = set(range(len(self._partitions)))

    async def strike(self, turns: Sequence[tuple[Partition, Published]]) -> None:
        """See `Store.published`."""
        by_partition: dict[bytes, list[Any]] = {}
        for partition, turn in turns:
            by_partition.setdefault(partition.key, []).extend((as_bytes(turn.conversation_id), turn.id))
        await asyncio.gather(*(self._run(key, "strike", *pairs) for key, pairs in by_partition.items()))

    def _run(self, key: bytes, step: str, *values: Any) -> asyncio.Future[Any]:
        patience = self._patience if step == "strike" else 0.0
        return self._redis.run(self._script, key, "", self._process, "", step, *values, patience=patience)

    def _published(self, key: str, entry: bytes) -> Published:
        try:
            first, length, rest = entry.split(b":", 2)
            name, body = rest[: int(length)].decode(), rest[int(length) :]
            return Published(name, key, int(first), tuple(self._bodies.events([body], key)))
        except ValueError as error:
            raise StoreError(f"what is to be published of '{key}' is damaged") from error
