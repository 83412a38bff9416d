"""What is looked at before conversations in Redis are touched: rights, who has written there, encryption."""

from __future__ import annotations

from collections.abc import Awaitable

from bot.errors import StoreError
from bot.stores.redis_bodies import Bodies, as_bytes
from bot.stores.redis_connection import RedisConnection

FORMAT = "frontdesk 1"
"""What is written at `<prefix>:format`, with the number of partitions behind it."""


async def check_rights(redis: RedisConnection, missing: Awaitable[list[bytes]]) -> None:
    """`missing` is what redis_scripts/rights.lua finds."""
    names = " ".join(f"+{name.decode()}" for name in await missing)
    if names:
        raise StoreError(
            f"{redis.place.name}: the store's user lacks rights that it needs (see docs/redis.md): {names}"
        )


async def check_format(redis: RedisConnection, prefix: str, partitions: int) -> None:
    """What is under our keys is ours, and as this version writes it."""
    where, key = redis.place.name, as_bytes(f"{prefix}:format")
    wanted = f"{FORMAT} {partitions}".encode()
    await redis.command("SET", key, wanted, "NX")
    found: bytes = await redis.command("GET", key) or b""
    if found == wanted:
        return
    number = found.removeprefix(f"{FORMAT} ".encode())
    if number.isdigit():
        raise StoreError(
            f"{where}: '{prefix}' was made with {int(number)} partitions, not {partitions}: set"
            f" 'partitions: {int(number)}', or give the store another 'key_prefix'"
        )
    raise StoreError(
        f"{where}: the key '{prefix}:format' is none of this version's: a newer Frontdesk has written it, or another"
        " program. Give the store another 'key_prefix'"
    )


async def check_keys(redis: RedisConnection, prefix: str, bodies: Bodies) -> None:
    """What others have encrypted can be read here (see `Seal.mark`)."""
    key = as_bytes(f"{prefix}:seal")
    await redis.command("SET", key, bodies.mark(await redis.command("GET", key)))
