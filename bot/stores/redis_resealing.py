"""Closing what is in Redis with the first key, while others go on: see `Store.reseal`."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from bot.stores.redis_bodies import Bodies
from bot.stores.redis_connection import RedisConnection

_PAGE = 100

Swap = Callable[..., Awaitable[int]]
"""`swap(conversation, kind, key, old, new, field)`, see redis_scripts/swap.lua: 1 when it was done."""


async def reseal(redis: RedisConnection, bodies: Bodies, swap: Swap, start: bytes) -> int:
    """Go through the partition whose keys begin with `start`: how many pieces were closed anew."""
    committed = [key async for key, _ in redis.scan("ZSCAN", start + b"ids")]
    unfinished = [member[1:] async for member, _ in redis.scan("ZSCAN", start + b"due")]
    count = 0
    for key in dict.fromkeys(committed + unfinished):
        count += await _conversation(redis, bodies, swap, start, key)
    async for letter, body in redis.scan("HSCAN", start + b"letter"):
        if renewed := bodies.renewed_letter(body):
            count += await swap(bodies.letter(body).conversation_id, "hash", b"letter", body, renewed, letter)
    return count


async def _conversation(redis: RedisConnection, bodies: Bodies, swap: Swap, start: bytes, key: bytes) -> int:
    name = key.decode()
    count = await _turns(redis, bodies, swap, start, key)
    snapshot = await redis.command("GET", start + b"s:" + key)
    if snapshot and (renewed := bodies.renewed(snapshot, f"snapshot:{name}")):
        count += await swap(name, "string", b"s:" + key, snapshot, renewed)
    # What moves meanwhile moves from timer to inbox, and from there to the dead letters: it is met in one of them.
    async for timer, entry in redis.scan("HSCAN", start + b"y:" + key):
        if renewed := bodies.renewed_entry(entry, name):
            count += await swap(name, "hash", b"y:" + key, entry, renewed, timer)
    for entry in await redis.command("LRANGE", start + b"i:" + key, 0, -1):
        if renewed := bodies.renewed_entry(entry, name):
            count += await swap(name, "list", b"i:" + key, entry, renewed)
    for entry in await redis.command("LRANGE", start + b"f:" + key, 0, -1):
        if renewed := bodies.renewed_entry(entry, name, "turn"):
            count += await swap(name, "list", b"f:" + key, entry, renewed)
    for entry in await redis.command("LRANGE", start + b"o:" + key, 0, -1):
        if renewed := bodies.renewed(entry, f"delivery:{name}"):
            count += await swap(name, "list", b"o:" + key, entry, renewed)
    return count


async def _turns(redis: RedisConnection, bodies: Bodies, swap: Swap, start: bytes, key: bytes) -> int:
    """A stream cannot be changed: another one is written beside it, and takes its place."""
    stream, other, place = start + b"t:" + key, start + b"x:" + key, f"turn:{key.decode()}"
    while True:
        version = await redis.command("HGET", start + b"c:" + key, "v")
        turns = await _read(redis, stream)
        renewed = {entry: body for entry, fields in turns if (body := bodies.renewed(fields[b"e"], place))}
        if not renewed:
            return 0
        await redis.command("DEL", other)
        for entry, fields in turns:
            fields[b"e"] = renewed.get(entry, fields[b"e"])
            await redis.command("XADD", other, entry, *itertools.chain.from_iterable(fields.items()))
        if await swap(key.decode(), "stream", b"t:" + key, version, b"x:" + key):
            return len(renewed)


async def _read(redis: RedisConnection, stream: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    turns: list[tuple[bytes, dict[bytes, bytes]]] = []
    first = b"-"
    while page := await redis.command("XRANGE", stream, first, "+", "COUNT", _PAGE):
        turns += page
        first = b"(" + page[-1][0]
    return turns
