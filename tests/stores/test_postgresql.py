"""The PostgreSQL store on a real server: what goes wrong on the way to it, in it, and in other processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot.domain import Domain, SlotSpec
from bot.errors import ConfigError, LeaseLost, MissingExtra, StoreError, StoreFull, StoreUnavailable
from bot.events import ActionExecuted, BotUttered, Event, UserUttered
from bot.interfaces import Delivery, Lease, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores import postgresql
from bot.stores.postgresql import PostgreSQLStore
from tests.stores.postgres_server import PASSWORD, USER, PostgresServer, postgres
from tests.stores.redis_servers import Proxy

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"payee": SlotSpec("payee")})
ANNA = "rest:anna"
SCHEMAS = itertools.count()
Open = Callable[..., PostgreSQLStore]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def schema() -> str:
    """One that no other test has."""
    return f"own_{next(SCHEMAS)}"


@pytest.fixture
async def open_store(postgres_server: PostgresServer, schema: str) -> AsyncIterator[Open]:
    opened: list[PostgreSQLStore] = []

    def open_one(server: PostgresServer = postgres_server, **options: Any) -> PostgreSQLStore:
        opened.append(PostgreSQLStore(**{"url": server.url(), "schema": schema, **options}))
        return opened[-1]

    yield open_one
    for store in reversed(opened):
        await store.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with postgres() as server:
        yield server


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as proxy:
        yield proxy


def through(proxy: Proxy) -> dict[str, Any]:
    return {"url": "127.0.0.1", "port": urlsplit(proxy.url).port, "db": "postgres", **WHO}


WHO = {"username": USER, "password": PASSWORD}


def message(text: str = "hi", message_id: str = "m1", sender_id: str = "anna") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, message_id=message_id)


def delivery(number: int) -> Delivery:
    return Delivery(ANNA, f"k{number}", "rest", "anna", BotMessage(text=str(number)))


def said(text: str, reply: str) -> tuple[Event, ...]:
    return (UserUttered(text=text), BotUttered(text=reply), ActionExecuted(name="action_listen"))


async def begin(store: PostgreSQLStore, one: UserMessage | None = None) -> Lease:
    begun = await store.begin(one or message())
    assert begun.lease is not None
    return begun.lease


async def commit(store: PostgreSQLStore, lease: Lease | None, events: Sequence[Event], **more: Any) -> Lease | None:
    assert lease is not None
    tracker = await store.resume(lease, DOMAIN)
    tracker.apply_all(events)
    message_ids = tuple(one.message_id for one in lease.messages[:1])
    return await store.commit(lease, Turn(lease.conversation_id, tuple(events), message_ids, **more), tracker)


async def append(store: PostgreSQLStore, events: Sequence[Event]) -> None:
    async with store.lease(ANNA) as lease:
        await commit(store, lease, events)


async def replies(store: PostgreSQLStore) -> list[str | None]:
    return [event.text for event in await store.events(ANNA) if isinstance(event, BotUttered)]


async def soon(awaited: Any) -> Any:
    return await asyncio.wait_for(awaited, 30)


async def until(condition: Callable[[], Any]) -> None:
    """Until something is so that nothing tells of."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def counted(store: PostgreSQLStore) -> Iterator[list[str]]:
    """The statements that go to the server meanwhile, without those that look after the store."""
    run, statements = store._database.run, []

    async def counting(statement: str, /, **values: Any) -> Sequence[Any]:
        if statement not in (postgresql.sql.BEAT, postgresql.sql.LOOK):
            statements.append(statement)
        return await run(statement, **values)

    store._database.run = counting  # type: ignore[method-assign]
    yield statements
    store._database.run = run  # type: ignore[method-assign]


# ---- what it costs -------------------------------------------------------------------------------


async def test_a_turn_is_two_statements(open_store: Open) -> None:
    store = open_store()
    await commit(store, await begin(store, message("first", "m0")), said("first", "hello"))
    with counted(store) as statements:
        begun = await store.begin(message())
        timers = (Timer("later", 2e9, message("tea?", "m2")),)
        assert await commit(store, begun.lease, said("hi", "hello"), timers=timers) is None
        assert await begun.answer == [BotMessage(text="hello")]
    assert len(statements) == 2


async def test_what_this_process_knows_is_not_read_again(open_store: Open) -> None:
    store, other = open_store(), open_store()
    for number in range(3):
        await commit(store, await begin(store, message(message_id=f"m{number}")), said("hi", "hello"))
    knows, reads = [
        (await one._run(postgresql.sql.READ, id=ANNA, known=recent.version if recent else 0))[0]
        for one in (store, other)
        for recent in [one._cache.get(ANNA)]
    ]
    assert (knows.snapshot, knows.turns) == (None, None)
    assert len(reads.turns) == 3
    assert (await other.load(ANNA, DOMAIN)).to_json() == (await store.load(ANNA, DOMAIN)).to_json()


# ---- a connection breaks -------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def answer_lost(proxy: Proxy, store: PostgreSQLStore, text: str) -> AsyncIterator[None]:
    """The server does what contains this text, and its answer is lost."""
    # What the store tells others may contain it, too.
    await until(lambda: not store._tells)
    proxy.swallowed.clear()
    proxy.swallowed_after = text.encode()
    yield
    assert proxy.swallowed.is_set()


async def test_an_accept_whose_answer_is_lost_was_the_first(proxy: Proxy, open_store: Open) -> None:
    store = open_store(**through(proxy))
    await store.conversation_ids()
    async with answer_lost(proxy, store, "m1"):
        assert await store.accept(message())
    assert not await store.accept(message())
    assert len(await store.pending()) == 1


async def test_a_begin_whose_answer_is_lost_has_its_lease(proxy: Proxy, open_store: Open) -> None:
    store = open_store(**through(proxy))
    await store.conversation_ids()
    async with answer_lost(proxy, store, "m1"):
        lease = await begin(store)
    assert ([one.message_id for one in lease.messages], lease.attempts) == (["m1"], 0)
    assert await commit(store, lease, said("hi", "hello")) is None
    assert await replies(store) == ["hello"]


async def test_a_claim_whose_answer_is_lost_has_its_lease(proxy: Proxy, open_store: Open) -> None:
    store = open_store(**through(proxy))
    await store.accept(message())
    async with answer_lost(proxy, store, ANNA):
        lease = await store.claim(ANNA)
    assert lease is not None
    assert lease.attempts == 0
    async with answer_lost(proxy, store, ANNA):
        await store.release(lease)
    async with answer_lost(proxy, store, ANNA), store.lease(ANNA) as asked:
        await commit(store, asked, said("asked", "yes"))
    await commit(store, await store.claim(ANNA), said("hi", "hello"))
    assert await replies(store) == ["yes", "hello"]


async def test_a_commit_whose_answer_is_lost_is_stored_once(proxy: Proxy, open_store: Open) -> None:
    store = open_store(**through(proxy))
    lease = await begin(store, message("hi", "m1"))
    begun = await store.begin(message("bye", "m2"))
    async with answer_lost(proxy, store, "hello"):
        following = await commit(store, lease, said("hi", "hello"), deliveries=(delivery(1),))
    assert following is not None
    assert ([one.message_id for one in following.messages], following.attempts) == (["m2"], 0)
    async with answer_lost(proxy, store, "see you"):
        assert await commit(store, following, said("bye", "see you"), deliveries=(delivery(2),)) is None
    assert await begun.answer == [BotMessage(text="see you")]
    assert await replies(store) == ["hello", "see you"]


async def test_a_delivery_is_struck_off_once_though_the_answer_is_lost(proxy: Proxy, open_store: Open) -> None:
    store = open_store(**through(proxy))
    await commit(store, await begin(store), said("hi", "hello"), deliveries=(delivery(1), delivery(2)))
    async with answer_lost(proxy, store, ANNA):
        outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    async with answer_lost(proxy, store, ANNA):
        await store.postpone(outbox, 0.0)
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    assert [(one.key, one.attempts) for one in outbox.deliveries] == [("k1", 1), ("k2", 0)]
    async with answer_lost(proxy, store, ANNA):
        left = await store.delivered(outbox)
    assert left is not None
    assert [one.key for one in left.deliveries] == ["k2"]
    async with answer_lost(proxy, store, ANNA):
        assert await store.delivered(left) is None


async def test_what_is_not_heard_is_found_by_looking(
    proxy: Proxy, open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store, other = open_store(), open_store(**through(proxy))
    async with store.lease(ANNA):
        asks = asyncio.ensure_future(append(other, said("asks", "granted")))
        elsewhere = await other.begin(message())
        await until(lambda: postgres_server.sql(f"SELECT count(*) FROM {schema}.tickets") == "1")
        proxy.is_refusing = True
        proxy.cut()
    proxy.is_refusing = False
    await soon(asks)
    lease = await store.claim(ANNA)
    proxy.cut()
    await commit(store, lease, said("hi", "there you are"))
    assert await soon(elsewhere.answer) == [BotMessage(text="there you are")]


async def test_a_caller_who_leaves_at_any_moment_holds_nothing_up(open_store: Open) -> None:
    store = open_store()
    await store.conversation_ids()
    for number in range(40):
        caller = asyncio.ensure_future(store.begin(message(message_id=f"m{number}")))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        if number % 20 == 19:
            await asyncio.sleep(0.002)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            begun = await caller
            if begun.lease:
                await store.release(begun.lease)
    await soon(append(store, said("next", "please")))
    while await store.pending():
        assert (await soon(store.ready())).conversation_id == ANNA
        lease = await store.claim(ANNA)
        while lease:
            assert lease.attempts == 0
            lease = await commit(store, lease, said("hi", lease.messages[0].message_id))


# ---- the server is away --------------------------------------------------------------------------


async def test_a_server_that_stops_is_said_and_passes(open_store: Open, own_server: PostgresServer) -> None:
    store = open_store(own_server)
    lease = await begin(store)
    waits = asyncio.ensure_future(store.ready())
    elsewhere = await store.begin(message("bye", "m2"))
    tracker = await store.resume(lease, DOMAIN)
    events = said("hi", "hello")
    tracker.apply_all(events)
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(StoreUnavailable, match=rf"postgresql://127.0.0.1:{own_server.port}/postgres") as failed:
        await store.commit(lease, Turn(ANNA, events, ("m1",)), tracker)
    assert PASSWORD not in str(failed.value)
    assert "p%40ss" not in str(failed.value)
    with pytest.raises(StoreUnavailable):
        await store.accept(message("again", "m3"))
    with pytest.raises(StoreUnavailable):
        await store.load(ANNA, DOMAIN)
    await store.release(lease)
    await asyncio.to_thread(own_server.start)
    assert await soon(waits) == Work("inbox", ANNA)
    lease = await store.claim(ANNA)
    assert lease is not None
    assert ([one.message_id for one in lease.messages], lease.attempts) == (["m1", "m2"], 0)
    await commit(store, await commit(store, lease, events), said("bye", "see you"))
    assert await soon(elsewhere.answer) == [BotMessage(text="see you")]


async def test_a_server_that_does_not_answer_is_away(open_store: Open, own_server: PostgresServer) -> None:
    store = open_store(own_server, timeout=0.5)
    await store.accept(message())
    own_server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            await soon(store.load(ANNA, DOMAIN))
    finally:
        own_server.go_on()
    await until(lambda: own_server.sql("SELECT 1") == "1")
    assert await soon(store.ready()) == Work("inbox", ANNA)


async def test_a_server_that_is_not_there_yet(open_store: Open, own_server: PostgresServer) -> None:
    store = open_store(own_server)
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await store.accept(message())
    await asyncio.to_thread(own_server.start)
    assert await store.accept(message())


async def test_connections_that_the_server_ends_are_made_anew(
    open_store: Open, postgres_server: PostgresServer
) -> None:
    store = open_store(query={"application_name": "own"})
    lease = await begin(store)
    await asyncio.gather(*(store.load(f"rest:{number}", DOMAIN) for number in range(20)))
    postgres_server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'own'")
    assert await commit(store, lease, said("hi", "hello")) is None
    await asyncio.gather(*(store.load(f"rest:{number}", DOMAIN) for number in range(20)))
    assert await replies(store) == ["hello"]


async def test_what_a_customer_says_is_in_no_error(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store = open_store()
    await store.conversation_ids()
    postgres_server.sql(f"ALTER TABLE {schema}.inbox RENAME COLUMN body TO content")
    with pytest.raises(StoreError, match='column "body" of relation "inbox" does not exist') as failed:
        await store.accept(message("my PIN is 1234"))
    errors: list[BaseException | None] = [failed.value]
    while errors[-1]:
        errors.append(errors[-1].__cause__ or errors[-1].__context__)
    assert "1234" not in "".join(str(error) for error in errors)


# ---- other processes -----------------------------------------------------------------------------

HOLDER = """
import asyncio, sys
from bot.messages import UserMessage
from bot.stores.postgresql import PostgreSQLStore

async def main():
    store = PostgreSQLStore(url=sys.argv[1], schema=sys.argv[2], lease=float(sys.argv[3]))
    for number in range(2):
        begun = await store.begin(UserMessage("hi", sender_id="anna", message_id=f"m{number}"))
        print(begun.lease is not None, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_dead_process_had_is_taken_over(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store = open_store(lease=2.0)
    await store.conversation_ids()
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, postgres_server.url(), schema, "2", stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert holder.stdout is not None
    assert [await holder.stdout.readline() for _ in range(2)] == [b"True\n", b"False\n"]
    assert await store.claim(ANNA) is None
    asks = asyncio.ensure_future(append(store, said("asks", "granted")))
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    assert await soon(store.ready()) == Work("inbox", ANNA)
    lease = await store.claim(ANNA)
    assert lease is not None
    assert ([one.message_id for one in lease.messages], lease.attempts) == (["m0", "m1"], 1)
    await commit(store, await commit(store, lease, said("hi", "hello")), said("hi", "hello again"))
    await soon(asks)
    assert await replies(store) == ["hello", "hello again", "granted"]


async def test_a_process_that_was_taken_for_dead_can_store_nothing(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store, other = open_store(), open_store()
    lease = await begin(store)
    assert await other.claim(ANNA) is None
    postgres_server.sql(f"UPDATE {schema}.processes SET alive_until = now() WHERE process = '{store._me}'")
    taken = await other.claim(ANNA)
    assert taken is not None
    assert (taken.token > lease.token, taken.attempts) == (True, 1)
    with pytest.raises(LeaseLost):
        await commit(store, lease, said("hi", "hello"))
    await commit(other, taken, said("hi", "hello"))
    assert await replies(store) == ["hello"]


async def test_a_process_that_nobody_took_over_may_still_store(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store = open_store()
    lease = await begin(store)
    postgres_server.sql(f"DELETE FROM {schema}.processes")
    assert await commit(store, lease, said("hi", "hello")) is None


async def test_what_a_process_has_is_free_when_it_ends(open_store: Open) -> None:
    store, other = open_store(), open_store(lease=1000)
    lease = await begin(other)
    outbox = await begin(store, message(sender_id="ben"))
    await commit(
        store, outbox, said("hi", "hello"), deliveries=(Delivery("rest:ben", "k", "rest", "ben", BotMessage()),)
    )
    assert await other.claim_outbox("rest:ben")
    await other.close()
    works = {await soon(store.ready()) for _ in range(2)}
    assert works == {Work("inbox", ANNA), Work("outbox", "rest:ben")}
    await store.claim(ANNA)
    with pytest.raises(StoreUnavailable, match="closed"):
        await commit(other, lease, said("hi", "hello"))


async def test_messages_from_many_processes_make_one_turn_each_in_order(open_store: Open) -> None:
    stores = [open_store(connections=2) for _ in range(3)]
    count = 30

    async def work(store: PostgreSQLStore) -> None:
        while True:
            lease = await store.claim((await store.ready()).conversation_id)
            while lease:
                lease = await commit(store, lease, said(lease.messages[0].text, lease.messages[0].text))

    workers = [asyncio.ensure_future(work(store)) for store in stores for _ in range(2)]
    for number in range(count):
        one = message(str(number), f"m{number}")
        await asyncio.gather(*(store.accept(one) for store in stores))
    begun = await stores[0].begin(message("last", "last"))
    if begun.lease:
        await stores[0].release(begun.lease)
    await soon(begun.answer)
    for worker in workers:
        worker.cancel()
    assert await replies(stores[1]) == [*map(str, range(count)), "last"]


# ---- what is kept --------------------------------------------------------------------------------


async def test_a_message_is_forgotten_after_its_time(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store = open_store()
    begun = await store.begin(message(), remember=1000)
    await commit(store, begun.lease, said("hi", "hello"))
    assert not await store.accept(message())
    postgres_server.sql(f"UPDATE {schema}.answered SET remember_until = now()")
    assert await store.replies(ANNA, "m1") is None
    assert await store.accept(message(), remember=1000)
    await commit(store, await store.claim(ANNA), said("hi", "hello again"))
    assert await store.replies(ANNA, "m1") == [BotMessage(text="hello again")]


async def test_what_is_of_no_use_is_removed(
    open_store: Open, postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "PURGES", 0.0)
    store = open_store()
    await commit(store, await begin(store), said("hi", "hello"))
    postgres_server.sql(
        f"UPDATE {schema}.answered SET remember_until = now();"
        f"INSERT INTO {schema}.processes VALUES ('dead', now() - interval '2 hours');"
        f"INSERT INTO {schema}.tickets VALUES (1, '{ANNA}', 'dead', 1)"
    )
    left = f"SELECT (SELECT count(*) FROM {schema}.answered) + (SELECT count(*) FROM {schema}.tickets)"
    await until(lambda: postgres_server.sql(left) == "0")
    assert postgres_server.sql(f"SELECT count(*) FROM {schema}.processes") == "1"


async def test_a_conversation_goes_when_it_was_silent_for_long(
    open_store: Open, postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "PURGES", 0.0)
    store = open_store(ttl=3600)
    for sender in ("anna", "ben", "cara"):
        await commit(store, await begin(store, message(sender_id=sender)), said("hi", "hello"))
    await store.accept(message("wait", "m2", "cara"))
    postgres_server.sql(
        f"UPDATE {schema}.conversations SET stored_at = now() - interval '2 hours' WHERE conversation_id <> 'rest:ben'"
    )
    left = f"SELECT count(DISTINCT t.conversation_id) FROM {schema}.turns t"
    await until(lambda: postgres_server.sql(left) == "2")
    assert await store.conversation_ids() == ["rest:ben", "rest:cara"]
    assert (await store.load(ANNA, DOMAIN)).event_count == 0
    assert await store.accept(message())


async def test_a_full_store_takes_no_more(open_store: Open) -> None:
    store = open_store(capacity=2)
    for number in range(2):
        await store.accept(message(sender_id=str(number)))
    await until(lambda: store._is_full)
    with pytest.raises(StoreFull, match="2 messages wait in the store"):
        await store.accept(message())
    await commit(store, await store.claim("rest:0"), said("hi", "hello"))
    await until(lambda: not store._is_full)
    assert await store.accept(message())


@pytest.mark.parametrize("name", ["id", "message"])
async def test_an_id_that_no_index_holds_is_refused(open_store: Open, name: str) -> None:
    store = open_store()
    one = message(sender_id="a" * 2000) if name == "id" else message(message_id="a" * 2000)
    with pytest.raises(StoreError, match="at most 1000 bytes"):
        await store.accept(one)


async def test_ids_are_read_as_they_were(open_store: Open) -> None:
    store = open_store()
    senders = ["a\x00b", "a\\0b", "\\", "\\\\0", "a\\ud83d", "看"]
    for sender in senders:
        await commit(store, await begin(store, message(sender_id=sender)), said("hi", "hello"))
    assert sorted(await store.conversation_ids()) == sorted(f"rest:{sender}" for sender in senders)


# ---- tables that are not ours --------------------------------------------------------------------


async def test_two_processes_may_make_the_tables_at_once(open_store: Open) -> None:
    stores = [open_store() for _ in range(4)]
    assert sum(await asyncio.gather(*(store.accept(message()) for store in stores))) == 1


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ("CREATE TABLE inbox (a int); CREATE TABLE others (a int)", "has tables that are not Frontdesk's: inbox"),
        ("CREATE TABLE format (size int)", "is damaged, as it lacks the tables answered, conversations"),
    ],
)
async def test_foreign_tables_are_left_alone(
    open_store: Open, postgres_server: PostgresServer, schema: str, tables: str, problem: str
) -> None:
    postgres_server.sql(f"CREATE SCHEMA {schema}; SET search_path = {schema}; {tables}")
    there = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"
    before = postgres_server.sql(there)
    for _ in range(2):
        with pytest.raises(StoreError, match=problem):
            await open_store().accept(message())
    assert postgres_server.sql(there) == before


async def test_tables_of_a_later_version_are_left_alone(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    await open_store().accept(message())
    postgres_server.sql(f"UPDATE {schema}.format SET version = 99")
    with pytest.raises(StoreError, match="of version 99, and this Frontdesk uses 1: install a newer one"):
        await open_store().accept(message("again", "m2"))


async def test_a_message_that_cannot_be_read_holds_up_no_other(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    store = open_store()
    await store.accept(message())
    postgres_server.sql(f"UPDATE {schema}.inbox SET body = 'nonsense'")
    await store.accept(message(sender_id="ben"))
    with pytest.raises(StoreError, match="a stored message of 'rest:anna' is damaged"):
        await store.claim(ANNA)
    assert await soon(store.ready()) == Work("inbox", "rest:ben")
    assert postgres_server.sql(f"SELECT attempts FROM {schema}.inbox ORDER BY position LIMIT 1") in ("0", "1")


@pytest.mark.parametrize(
    ("table", "problem"),
    [("conversations SET snapshot", "the stored state of 'rest:anna' is damaged"),
     ("turns SET body", "the stored events of 'rest:anna' are damaged")],
)  # fmt: skip
async def test_damage_is_told_with_its_conversation(
    open_store: Open, postgres_server: PostgresServer, schema: str, table: str, problem: str
) -> None:
    await commit(store := open_store(), await begin(store), said("hi", "hello"))
    postgres_server.sql(f"UPDATE {schema}.{table} = 'nonsense'")
    with pytest.raises(StoreError, match=problem):
        await open_store().load(ANNA, DOMAIN)


# ---- options -------------------------------------------------------------------------------------


async def test_rasas_options_are_taken(open_store: Open, postgres_server: PostgresServer) -> None:
    options = {"url": "127.0.0.1", "port": postgres_server.port, **WHO}
    store = open_store(**options, db="made_by_us", login_db="postgres", query={"sslmode": "prefer"})
    assert await store.accept(message())
    again = open_store(**options, db="made_by_us", login_db="postgres")
    assert not await again.accept(message())
    assert postgres_server.sql("SELECT count(*) FROM pg_database WHERE datname = 'made_by_us'") == "1"


async def test_of_several_servers_the_one_that_is_there_is_used(
    open_store: Open, postgres_server: PostgresServer, own_server: PostgresServer
) -> None:
    servers = "&".join(f"host=127.0.0.1:{server.port}" for server in (own_server, postgres_server))
    own_server.stop()
    store = open_store(url=f"postgresql:///postgres?{servers}", query={"target_session_attrs": "read-write"}, **WHO)
    assert await store.accept(message())
    assert (
        store._database.where == f"postgresql://127.0.0.1:{own_server.port},127.0.0.1:{postgres_server.port}/postgres"
    )


async def test_a_user_without_rights_is_told_what_is_needed(
    open_store: Open, postgres_server: PostgresServer, schema: str
) -> None:
    postgres_server.sql(f"CREATE USER {schema} PASSWORD '{PASSWORD}'")
    url = postgres_server.url(user=schema)
    with pytest.raises(StoreError, match=f"CREATE SCHEMA {schema} AUTHORIZATION {schema}"):
        await open_store(url=url).accept(message())
    postgres_server.sql(f"CREATE SCHEMA {schema} AUTHORIZATION {schema}")
    assert await open_store(url=url).accept(message())


async def test_a_wrong_password_is_said_and_not_shown(open_store: Open, postgres_server: PostgresServer) -> None:
    store = open_store(url="127.0.0.1", port=postgres_server.port, username=USER, password="s3cret", db="postgres")
    with pytest.raises(StoreUnavailable, match="password authentication failed") as failed:
        await store.accept(message())
    assert "s3cret" not in json.dumps([str(failed.value), str(failed.value.__cause__)])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "mysql://localhost/bank"}, "begins with mysql://: this store needs postgresql://"),
        ({"url": "postgresql://anna:s3cret@db:port/bank"}, "is no URL"),
    ],
)
def test_another_database_is_a_mistake(options: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as failed:
        PostgreSQLStore(**options)  # type: ignore[arg-type]
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"schema": "My Schema"}, "'schema' must be small letters"),
        ({"ttl": 0}, "ttl must be at least 1, not 0"),
        ({"connections": 1}, "connections must be at least 2"),
        ({"cache_size": -1}, "cache_size must be at least 0"),
        ({"lease": 0.5}, "lease must be at least 2"),
    ],
)
def test_a_value_that_cannot_be_is_a_mistake(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PostgreSQLStore(**options)


@pytest.mark.parametrize("name", ["sqlalchemy", "psycopg", "greenlet"])
def test_without_its_packages_the_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"frontdesk\[sql\]"):
        PostgreSQLStore()


def test_nothing_of_sqlalchemy_is_imported_before_it_is_used() -> None:
    program = "import sys, bot.stores.postgresql; print(sorted({'sqlalchemy', 'psycopg'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
