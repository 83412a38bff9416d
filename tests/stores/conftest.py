"""The stores that are under the contract of bot/interfaces.py. A new one is added to `STORES`, and passes as it is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.interfaces import Store
from bot.stores.memory import MemoryStore
from bot.stores.postgresql import PostgreSQLStore
from bot.stores.redis import RedisStore
from bot.stores.redis_bodies import unpack
from bot.stores.sqlite import SQLiteStore
from tests.stores.postgres_server import PostgresServer, postgres
from tests.stores.redis_servers import Cluster, Server, cluster, single


@dataclass(frozen=True)
class Kind:
    """How a store is opened: `open(folder, server, **options)`; for the same folder it shows the same conversations.

    `needs` names the session's fixture whose value is the server. In a store that is `shared`, several may be open for
    one folder at once. `kept` is all that is stored for a folder, as bytes; one that keeps nothing has none.
    """

    open: Callable[..., Awaitable[Store]]
    needs: str | None = None
    durable: bool = True
    shared: bool = True
    kept: Callable[[Path, Any], bytes] | None = None


async def open_memory(folder: Path, server: None) -> Store:
    return MemoryStore()


async def open_sqlite(folder: Path, server: None, **options: Any) -> Store:
    return SQLiteStore(folder / "frontdesk.db", synchronous="OFF", **options)


async def open_encrypted(folder: Path, server: None) -> Store:
    return await open_sqlite(folder, server, encryption_keys="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


async def open_postgresql(folder: Path, server: PostgresServer, **options: Any) -> Store:
    store = PostgreSQLStore(url=server.url(), schema=schema_of(folder), **options)
    try:
        await store.conversation_ids()
    except BaseException:
        await store.close()
        raise
    return store


def schema_of(folder: Path) -> str:
    """One for each test: what it keeps is its own."""
    return f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


async def open_redis(folder: Path, server: Server, **options: Any) -> Store:
    store = RedisStore(server.url, key_prefix=schema_of(folder), **options)
    await store.conversation_ids()
    return store


async def open_redis_cluster(folder: Path, server: Cluster, **options: Any) -> Store:
    store = RedisStore(server.url, cluster=True, key_prefix=schema_of(folder), **options)
    await store.conversation_ids()
    return store


def kept_by_sqlite(folder: Path, server: None) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def kept_by_postgresql(folder: Path, server: PostgresServer) -> bytes:
    return server.everything_in(schema_of(folder))


def kept_by_redis(folder: Path, server: Server) -> bytes:
    return b"\n".join(unpack(value) for value in server.everything_under(schema_of(folder)))


STORES = {
    "memory": Kind(open_memory, durable=False, shared=False),
    "sqlite": Kind(open_sqlite, shared=False, kept=kept_by_sqlite),
    "sqlite, encrypted": Kind(open_encrypted, shared=False),
    "postgresql": Kind(open_postgresql, needs="postgres_server", kept=kept_by_postgresql),
    "redis": Kind(open_redis, needs="redis_server", kept=kept_by_redis),
    "redis cluster": Kind(open_redis_cluster, needs="redis_cluster"),
}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with single(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("redis_cluster")) as masters:
        yield masters


@dataclass
class Place:
    """Where the conversations of one test are. What is opened here is closed in the end."""

    kind: Kind
    folder: Path
    server: Any
    opened: list[Store] = field(default_factory=list)

    async def open(self, **options: Any) -> Store:
        self.opened.append(await self.kind.open(self.folder, self.server, **options))
        return self.opened[-1]

    def kept(self) -> bytes:
        assert self.kind.kept is not None
        return self.kind.kept(self.folder, self.server)


def places(wanted: Callable[[Kind], bool]) -> Any:
    @pytest.fixture(params=[name for name, kind in STORES.items() if wanted(kind)])
    async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
        kind = STORES[request.param]
        place = Place(kind, tmp_path, request.getfixturevalue(kind.needs) if kind.needs else None)
        yield place
        for store in reversed(place.opened):
            await store.close()

    return place


place = places(lambda kind: True)
durable_place = places(lambda kind: kind.durable)
shared_place = places(lambda kind: kind.shared)
encrypting_place = places(lambda kind: kind.kept is not None)
shared_encrypting_place = places(lambda kind: kind.shared and kind.kept is not None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(place: Place) -> Store:
    return await place.open()


@pytest.fixture(params=list(STORES))
def kind(request: pytest.FixtureRequest) -> Kind:
    return STORES[request.param]


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: Kind) -> Any:
    return request.getfixturevalue(kind.needs) if kind.needs else None
