"""What the proxy and the servers do to a real Redis: the faults must be those that their names say."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError

sys.path.insert(0, str(Path(__file__).resolve().parent))

from network import Proxy
from servers import RedisServer, Trio, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
async def proxy(redis: RedisServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(lambda: redis.port)
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Any]:
    """By the proxy; not patient."""
    async with Redis(port=proxy.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
        yield client


async def test_what_is_cut_breaks_and_what_is_mended_works(proxy: Proxy, client: Any) -> None:
    await client.set("a", "1")
    proxy.cut()
    with pytest.raises(RedisError):
        await client.get("a")
    proxy.mend()
    assert await client.get("a") == b"1"


async def test_nothing_reaches_a_black_hole(redis: RedisServer, proxy: Proxy, client: Any) -> None:
    await client.set("a", "1")
    proxy.swallow()
    with pytest.raises(RedisError):
        await client.set("a", "2")
    async with redis.client() as inside:
        assert await inside.get("a") == b"1"
    proxy.mend()
    assert await client.get("a") == b"1"


async def test_who_is_deaf_has_written_without_knowing(redis: RedisServer, proxy: Proxy, client: Any) -> None:
    await client.set("a", "1")
    proxy.deafen()
    with pytest.raises(RedisError):
        await client.set("a", "2")
    async with redis.client() as inside:
        assert await inside.get("a") == b"2"


async def test_what_was_answered_survives_the_end_of_redis(redis: RedisServer) -> None:
    async with redis.client() as client:
        await client.set("a", "1")
        await redis.kill()
        await redis.start()
        assert await client.get("a") == b"1"


async def test_a_full_disk_takes_nothing_and_forgets_nothing(redis: RedisServer, client: Any) -> None:
    await client.set("a", "1")
    redis.fill_disk()
    with pytest.raises(RedisError):
        await client.set("a", "2")
    await redis.free_disk()
    async with redis.client() as inside:
        assert await inside.get("a") == b"1"
        assert await inside.set("a", "3")


async def test_a_full_memory_takes_nothing(redis: RedisServer, client: Any) -> None:
    await client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await client.set("a", "1")


async def test_a_killed_master_is_succeeded_by_its_replica(tmp_path: Path) -> None:
    trio = Trio(tmp_path)
    try:
        await trio.start()
        before = await trio.master()
        await trio.redis[before].kill()

        async def has_successor() -> bool:
            return await trio.master() != before

        async with asyncio.timeout(30):
            await until(has_successor)
            await trio.redis[before].start()
            await until(trio.is_whole)
    finally:
        await trio.stop()
