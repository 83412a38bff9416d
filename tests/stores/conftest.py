"""The stores that are under the contract of bot/interfaces.py. A new one is added to `STORES`, and passes as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.interfaces import Store
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore


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


def kept_by_sqlite(folder: Path, server: None) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


STORES = {
    "memory": Kind(open_memory, durable=False, shared=False),
    "sqlite": Kind(open_sqlite, shared=False, kept=kept_by_sqlite),
    "sqlite, encrypted": Kind(open_encrypted, shared=False),
}


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
