"""What the fault suite has found, each on its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from network import Proxy
from servers import RedisServer

from bot.domain import Domain
from bot.errors import StoreUnavailable
from bot.interfaces import Delivery, Turn
from bot.messages import BotMessage
from bot.stores.redis import RedisStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_reply_whose_delivery_could_not_be_noted_down_is_delivered_again(tmp_path: Path) -> None:
    """Its worker lived on, and nobody else was told: the conversation's replies waited for that worker's death."""
    server = RedisServer(tmp_path / "redis")
    await server.start()
    proxy = Proxy(lambda: server.port)
    await proxy.start()
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}", lease=0.5, timeout=0.2)
    delivery = Delivery("hook:anna", "key-1", "hook", "anna", BotMessage(text="Hello."))
    async with store.lease("hook:anna") as lease:
        tracker = await store.resume(lease, Domain())
        await store.commit(lease, Turn("hook:anna", (), deliveries=(delivery,)), tracker)
    outbox = await store.claim_outbox("hook:anna")
    assert outbox is not None

    proxy.cut()
    with pytest.raises(StoreUnavailable):
        await store.delivered(outbox)
    proxy.mend()

    async with asyncio.timeout(10):
        work = await store.ready()
    assert (work.kind, work.conversation_id) == ("outbox", "hook:anna")
    again = await store.claim_outbox("hook:anna")
    assert again is not None
    assert [one.key for one in again.deliveries] == ["key-1"]
    await store.close()
    await proxy.close()
    await server.kill()
