"""What a store with keys keeps: nothing that anybody said can be read in it, and all of it with the keys."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from bot.domain import Domain, SlotSpec
from bot.errors import ConfigError, StoreError
from bot.events import BotUttered, Event, SlotSet, UserUttered, event_to_json
from bot.interfaces import Delivery, Store, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores.sealing import Seal
from bot.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
DOMAIN = Domain(slots={"payee": SlotSpec("payee")})
ANNA, BEN, CARA = "rest:anna", "rest:ben", "rest:cara"
SAID = "to my aunt in Bern"


def message(number: int, sender_id: str = "anna", about: str = SAID) -> UserMessage:
    return UserMessage(f"{about} {number}", sender_id=sender_id, message_id=f"m{number}")


def delivery(number: int) -> Delivery:
    return Delivery(ANNA, f"d{number}", "rest", "anna", BotMessage(text=f"{SAID} {number}"))


async def talk(store: Store) -> None:
    """Something in each place where a store keeps what was said."""
    events: tuple[Event, ...] = (
        UserUttered(text=SAID),
        BotUttered(text=f"{SAID}?"),
        SlotSet(name="payee", value=f"aunt {SAID}"),
    )
    timers = (Timer("later", time.time() + 3600, message(8)),)
    await commit(store, Turn(ANNA, events, ("m0",), (delivery(1), delivery(2)), timers))
    await commit(store, Turn(CARA, (UserUttered(text="hi"),), (), (), (Timer("now", 1.0, message(9, "cara")),)))
    await store.accept(message(1))
    lease = await store.claim(ANNA)
    assert lease is not None
    given_up = Turn(ANNA, (UserUttered(text=SAID),), ("m1",), set_aside="it failed three times")
    tracker = await store.resume(lease, DOMAIN)
    tracker.apply_all(given_up.events)
    await store.commit(lease, given_up, tracker)
    await store.accept(message(2, "ben"))
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    outbox = await store.give_up(outbox, "the customer has left")
    assert outbox is not None
    await store.postpone(outbox, 0)


async def commit(store: Store, turn: Turn) -> None:
    async with store.lease(turn.conversation_id) as lease:
        tracker = await store.resume(lease, DOMAIN)
        tracker.apply_all(turn.events)
        await store.commit(lease, turn, tracker)


async def check(store: Store) -> None:
    """All that `talk` has left is there."""
    tracker = await store.load(ANNA, DOMAIN)
    assert tracker.slots["payee"] == f"aunt {SAID}"
    assert [event.text for event in tracker.events if isinstance(event, UserUttered)] == [SAID, SAID]
    assert [event_to_json(event) for event in await store.events(ANNA)] == [event_to_json(e) for e in tracker.events]
    assert await store.replies(ANNA, "m0") == [BotMessage(text=f"{SAID}?")]
    assert message(2, "ben").text in [one.text for one in await store.pending()]
    assert {letter.content.text if isinstance(letter.content, UserMessage) else letter.content.message.text
            for letter in await store.dead_letters()} == {f"{SAID} 1"}  # fmt: skip
    works = {await soon(store.ready()) for _ in range(3)}
    assert works == {Work("inbox", BEN), Work("inbox", CARA), Work("outbox", ANNA)}
    for conversation_id, text in ((BEN, f"{SAID} 2"), (CARA, f"{SAID} 9")):
        lease = await store.claim(conversation_id)
        assert lease is not None
        assert [one.text for one in lease.messages] == [text]
        await store.release(lease)
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    assert [one.message.text for one in outbox.deliveries] == [f"{SAID} 2"]
    await store.postpone(outbox, 0)
    first = next(turn for turn in await soon(store.feed()) if turn.conversation_id == ANNA).events[0]
    assert isinstance(first, UserUttered)
    assert first.text == SAID


async def soon(awaited: Any) -> Any:
    return await asyncio.wait_for(awaited, 20)


async def opened(place: Any, keys: str, *, required: bool = False) -> Store:
    return await place.open(feed=True, encryption_keys=keys, encryption_required=required)


async def used(place: Any, keys: str, *, required: bool = False) -> None:
    """Some stores look at what is there when they are first used."""
    store = await opened(place, keys, required=required)
    await store.accept(message(3))


async def test_without_keys_what_was_said_can_be_read(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, "")
    await talk(store)
    await check(store)
    assert encrypting_place.kept().count(SAID.encode()) >= 9


async def test_with_a_key_nothing_that_was_said_can_be_read(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, NEW)
    await talk(store)
    await check(store)
    for _ in range(2):
        kept = encrypting_place.kept()
        assert ANNA.encode() in kept
        assert b"aunt" not in kept
        await store.close()


async def test_what_was_encrypted_is_there_when_the_store_is_opened_again(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, NEW)
    await talk(store)
    await store.close()
    await check(await opened(encrypting_place, NEW, required=True))


@pytest.mark.parametrize("keys", ["", OLD], ids=["no key", "another key"])
async def test_an_encrypted_store_is_not_opened_without_its_key(encrypting_place: Any, keys: str) -> None:
    store = await opened(encrypting_place, NEW)
    await talk(store)
    await store.close()
    with pytest.raises(StoreError, match=f"sealed with the key {Seal(NEW).key_ids[0]}"):
        await used(encrypting_place, keys)
    await check(await opened(encrypting_place, f"{OLD},{NEW}"))


async def test_a_store_is_encrypted_when_it_has_been_used_for_long(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, "")
    await talk(store)
    await store.close()
    store = await opened(encrypting_place, NEW)
    await check(store)
    assert await store.reseal() > 0
    assert await store.reseal() == 0
    await store.close()
    assert b"aunt" not in encrypting_place.kept()
    await check(await opened(encrypting_place, NEW, required=True))


async def test_a_key_is_changed_for_another(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, OLD)
    await talk(store)
    await store.close()
    store = await opened(encrypting_place, f"{NEW},{OLD}")
    # Two snapshots and the turns of both, each of the latter twice for the feed; a message and two that are due;
    # a reply and a dead letter of each kind.
    assert await store.reseal() == 2 + 3 * 2 + 3 + 1 + 2
    assert await store.reseal() == 0
    await store.close()
    await check(await opened(encrypting_place, NEW))


async def test_a_key_is_changed_while_conversations_go_on(shared_encrypting_place: Any) -> None:
    old, new = (
        await opened(shared_encrypting_place, f"{OLD},{NEW}"),
        await opened(shared_encrypting_place, f"{NEW},{OLD}"),
    )

    async def converse(sender_id: str) -> None:
        for number in range(20):
            begun = await (old, new)[number % 2].begin(message(number, sender_id))
            assert begun.lease is not None
            tracker = await (old, new)[number % 2].resume(begun.lease, DOMAIN)
            turn = Turn(f"rest:{sender_id}", (UserUttered(text=f"{SAID} {number}"),), (f"m{number}",))
            tracker.apply_all(turn.events)
            await (old, new)[number % 2].commit(begun.lease, turn, tracker)

    async def rotate() -> None:
        for _ in range(10):
            await new.reseal()

    customers = [f"c{number}" for number in range(5)]
    await soon(asyncio.gather(rotate(), *(converse(sender_id) for sender_id in customers)))
    await old.close()
    await new.reseal()
    assert await new.reseal() == 0
    with_new = await opened(shared_encrypting_place, NEW)
    for sender_id in customers:
        events = await with_new.events(f"rest:{sender_id}")
        assert [event.text for event in events if isinstance(event, UserUttered)] == [f"{SAID} {n}" for n in range(20)]
        assert (await with_new.load(f"rest:{sender_id}", DOMAIN)).event_count == 20


async def test_where_encryption_is_required_plain_text_is_not_taken_for_ours(encrypting_place: Any) -> None:
    store = await opened(encrypting_place, "")
    await talk(store)
    await store.close()
    with pytest.raises(StoreError, match="not encrypted"):
        await used(encrypting_place, NEW, required=True)


async def test_a_wrong_key_is_a_mistake_of_the_configuration(encrypting_place: Any) -> None:
    with pytest.raises(ConfigError, match="key 2 of 'encryption_keys'"):
        await opened(encrypting_place, f"{NEW},abc")
    with pytest.raises(ConfigError, match="needs 'encryption_keys'"):
        await opened(encrypting_place, "", required=True)


# ---- SQLite --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE conversations SET snapshot ="
         " (SELECT c.snapshot FROM conversations c WHERE c.conversation_id = 'rest:cara')",
         "'snapshot:rest:anna' is damaged, or belongs to another place"),
        ("UPDATE turns SET conversation_id = 'rest:anna' WHERE conversation_id = 'rest:cara'",
         "'turn:rest:anna' is damaged, or belongs to another place"),
        ("UPDATE conversations SET snapshot = (SELECT body FROM turns WHERE conversation_id = 'rest:anna')",
         "'snapshot:rest:anna' is damaged, or belongs to another place"),
        ("UPDATE turns SET body = substr(body, 1, 30)", "'turn:rest:anna' is damaged: its end is missing"),
    ],
)  # fmt: skip
async def test_what_was_moved_or_cut_does_not_open(tmp_path: Path, change: str, problem: str) -> None:
    path = tmp_path / "bank.db"
    store = SQLiteStore(path, encryption_keys=NEW)
    await talk(store)
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    store = SQLiteStore(path, encryption_keys=NEW)
    with pytest.raises(StoreError, match=problem):
        await store.load(ANNA, DOMAIN)
    await store.close()


async def test_more_than_a_page_is_encrypted_anew(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    store = SQLiteStore(path, synchronous="OFF")
    await asyncio.gather(*(store.accept(message(number, f"c{number}")) for number in range(1203)))
    await store.close()
    store = SQLiteStore(path, synchronous="OFF", encryption_keys=NEW)
    assert await store.reseal() == 1203
    assert await store.reseal() == 0
    await store.close()
    assert b"aunt" not in path.read_bytes()
    store = SQLiteStore(path, synchronous="OFF", encryption_keys=NEW, encryption_required=True)
    assert len(await store.pending()) == 1203
    await store.close()
