"""What the Redis store promises beyond the contract: many processes, lost answers, lost processes, foreign values."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from bot.domain import Domain, SlotSpec
from bot.errors import ConfigError, LeaseLost, StoreError, StoreFull, StoreUnavailable
from bot.events import ActionExecuted, BotUttered, Event, SlotSet, UserUttered
from bot.interfaces import Delivery, Lease, Timer, Turn
from bot.messages import BotMessage, UserMessage
from bot.stores.redis import RedisStore
from bot.stores.redis_bodies import unpack
from bot.stores.redis_connection import find_place
from bot.stores.sealing import new_key
from bot.tracker import RECENT_EVENTS, Tracker
from tests.stores.redis_servers import Proxy, Server, single

pytestmark = pytest.mark.anyio

DOMAIN = Domain(slots={"payee": SlotSpec("payee")})
ANNA = "rest:anna"
Open = Callable[..., RedisStore]
_prefixes = (f"test{number}" for number in itertools.count())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with single(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return next(_prefixes)


@pytest.fixture
async def open_store(server: Server, prefix: str) -> AsyncIterator[Open]:
    """`open_store(**options)`: another process's view of the same conversations."""
    stores: list[RedisStore] = []

    def open_one(url: str = server.url, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **{"key_prefix": prefix, **options}))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


def message(text: str = "hi", message_id: str = "m1", sender_id: str = "anna") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, message_id=message_id)


def said(text: str, reply: str) -> tuple[Event, ...]:
    return (
        UserUttered(text=text),
        BotUttered.of(BotMessage(text=reply)),
        ActionExecuted(name="action_listen"),
    )


def delivery(number: int, conversation_id: str = ANNA) -> Delivery:
    return Delivery(conversation_id, f"k{number}", "rest", "anna", BotMessage(text=str(number)))


async def begin(store: RedisStore, one: UserMessage) -> Lease:
    """The lease of a message in a conversation that nobody has."""
    lease = (await store.begin(one)).lease
    assert lease is not None
    return lease


async def commit(store: RedisStore, lease: Lease, events: Sequence[Event], **more: Any) -> Lease | None:
    tracker = await store.resume(lease, DOMAIN)
    tracker.apply_all(events)
    ids = tuple(one.message_id for one in lease.messages[:1])
    return await store.commit(lease, Turn(lease.conversation_id, tuple(events), ids, **more), tracker)


async def append(store: RedisStore, events: Sequence[Event], conversation_id: str = ANNA, **more: Any) -> Tracker:
    async with store.lease(conversation_id) as lease:
        tracker = await store.resume(lease, DOMAIN)
        tracker.apply_all(events)
        await store.commit(lease, Turn(conversation_id, tuple(events), **more), tracker)
    return tracker


async def die(store: RedisStore) -> None:
    """What is left of a process that was killed: nothing, and nobody was told."""
    await be_silent(store)
    await store._redis.close()
    store._redis._put = lambda call: call.future  # type: ignore[method-assign]
    store._closed = True


async def be_silent(store: RedisStore) -> None:
    """As one whose machine is asleep."""
    for task in store._tasks:
        task.cancel()
    await asyncio.gather(*store._tasks, return_exceptions=True)


async def until_asked(store: RedisStore, count: int = 1) -> None:
    """So many wait for the lease."""
    while len(await store._redis.command("LRANGE", _key(store, "q"), 0, -1)) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def replies(events: Sequence[Event]) -> list[str | None]:
    return [event.message.text for event in events if isinstance(event, BotUttered)]


def everything(client: redis.Redis, prefix: str) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter(f"{prefix}:*")}


# ---- what a turn costs ---------------------------------------------------------------------------


async def test_a_turn_is_two_round_trips(open_store: Open, client: redis.Redis) -> None:
    store = open_store()
    await commit(store, await begin(store, message("hi", "m0")), said("hi", "0"))
    with client.monitor() as monitor:
        for number in range(1, 11):
            lease = await begin(store, message("hi", f"m{number}"))
            await commit(store, lease, said("hi", str(number)), deliveries=(delivery(number),))
        client.echo("the end")
        commands = itertools.takewhile(lambda one: "the end" not in one["command"], monitor.listen())
        ours = [one["command"] for one in commands if one["client_type"] != "lua" and ANNA in one["command"]]
    assert len(ours) == 20
    assert all(command.startswith("EVALSHA") for command in ours)


async def test_a_turn_moves_as_many_bytes_at_event_ten_thousand(open_store: Open, client: redis.Redis) -> None:
    def moved() -> int:
        info = client.info("stats")
        return int(info["total_net_input_bytes"] + info["total_net_output_bytes"])

    async def cost(store: RedisStore, name: str) -> int:
        """Of ten turns; what is asked for the figures, and rounds, are about the same each time."""
        before = moved()
        for number in range(10):
            await commit(store, await begin(store, message("hi", f"{name}{number:06}")), said("hi", "ok"))
        return moved() - before

    # A process that knows the conversation, and one that keeps nothing.
    knowing, unknowing = open_store(partitions=1), open_store(partitions=1, cache_size=0)
    for number in range(RECENT_EVENTS):
        await commit(knowing, await begin(knowing, message("hi", f"a{number:06}")), said("hi", "ok"))
    early = await cost(knowing, "b"), await cost(unknowing, "c")
    for _ in range(34):
        await append(knowing, [event for _ in range(100) for event in said("hi", "ok")])
    for number in range(RECENT_EVENTS):
        await commit(knowing, await begin(knowing, message("hi", f"d{number:06}")), said("hi", "ok"))
    late = await cost(knowing, "e"), await cost(unknowing, "f")
    assert (await knowing.load(ANNA, DOMAIN)).event_count > 10_000
    assert late[0] <= early[0] * 1.1
    assert late[1] <= early[1] * 1.1


async def test_a_huge_turn_is_read_in_pieces(open_store: Open) -> None:
    store, other = open_store(), open_store()
    lease = await begin(store, message())
    await commit(store, lease, [*said("hi", "hello"), *(SlotSet(name="payee", value=n) for n in range(997))])
    assert len(await other.events(ANNA)) == 1000
    assert len((await other.load(ANNA, DOMAIN)).events) == RECENT_EVENTS
    assert await other.replies(ANNA, "m1") == [BotMessage(text="hello")]


# ---- several processes ---------------------------------------------------------------------------


async def test_an_answer_reaches_the_process_that_waits_for_it(open_store: Open) -> None:
    one, other = open_store(), open_store()
    lease = await begin(one, message("hi", "m1"))
    second = await other.begin(message("bye", "m2"))
    assert second.lease is None
    following = await commit(one, lease, said("hi", "hello"))
    assert following is not None
    assert [waiting.message_id for waiting in following.messages] == ["m2"]
    assert await commit(one, following, said("bye", "see you")) is None
    assert await second.answer == [BotMessage(text="see you")]


async def test_work_is_told_to_one_process(open_store: Open) -> None:
    workers = [open_store() for _ in range(3)]
    waiting = [asyncio.ensure_future(worker.ready()) for worker in workers]
    web = open_store()
    for name in ("ann", "ben", "eve"):
        assert await web.accept(message(sender_id=name))
    works = await asyncio.gather(*waiting)
    assert sorted(work.conversation_id for work in works) == ["rest:ann", "rest:ben", "rest:eve"]


async def test_conversations_are_asked_for_in_order_across_processes(open_store: Open) -> None:
    stores = [open_store() for _ in range(3)]
    order: list[int] = []

    async def turn(number: int) -> None:
        async with stores[number % 3].lease(ANNA):
            order.append(number)

    async with stores[0].lease(ANNA):
        tasks = []
        for number in range(9):
            tasks.append(asyncio.ensure_future(turn(number)))
            # Each has asked before the next one does.
            await until_asked(stores[0], number + 1)
    await asyncio.gather(*tasks)
    assert order == list(range(9))


def _key(store: RedisStore, kind: str, conversation_id: str = ANNA) -> bytes:
    return store._partition(conversation_id).key + f"{kind}:{conversation_id}".encode()


async def test_work_that_nobody_wants_any_more_goes_to_another_process(open_store: Open) -> None:
    gone, other = open_store(), open_store()
    waiting = asyncio.ensure_future(gone.ready())
    await gone.conversation_ids()
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await other.accept(message())
    assert (await other.ready()).conversation_id == ANNA


async def test_two_hundred_turns_of_eight_workers_lose_nothing(open_store: Open) -> None:
    workers, web = [open_store() for _ in range(4)], open_store()

    async def work(store: RedisStore) -> None:
        while True:
            found = await store.ready()
            lease = await store.claim(found.conversation_id)
            while lease:
                lease = await commit(store, lease, said(lease.messages[0].text, lease.messages[0].text))

    tasks = [asyncio.ensure_future(work(store)) for store in workers for _ in range(2)]

    async def customer(name: str) -> None:
        begun = []
        for number in range(20):
            one = message(str(number), f"m{number}", name)
            if number % 2:
                assert await web.accept(one)
            else:
                begun.append((one, await web.begin(one)))
        for one, started in begun:
            lease = started.lease
            while lease:
                lease = await commit(web, lease, said(lease.messages[0].text, lease.messages[0].text))
            assert replies_of(await started.answer) == [one.text]

    await asyncio.gather(*(customer(f"c{number}") for number in range(10)))
    while await web.pending():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for number in range(10):
        assert replies(await web.events(f"rest:c{number}")) == [str(n) for n in range(20)]


def replies_of(messages: Sequence[BotMessage]) -> list[str | None]:
    return [one.text for one in messages]


# ---- a process dies ------------------------------------------------------------------------------


async def test_what_a_dead_process_had_in_hand_is_ready_again_and_counted(open_store: Open) -> None:
    doomed, other = open_store(lease=0.5), open_store(lease=0.5)
    lease = await begin(doomed, message())
    await other.conversation_ids()
    await die(doomed)
    assert await other.ready() == _inbox()
    again = await other.claim(ANNA)
    assert again is not None
    assert (again.attempts, [one.message_id for one in again.messages]) == (1, ["m1"])
    assert again.token > lease.token
    await commit(other, again, said("hi", "hello"))
    assert replies(await other.events(ANNA)) == ["hello"]


def _inbox(conversation_id: str = ANNA) -> Any:
    from bot.interfaces import Work

    return Work("inbox", conversation_id)


async def test_one_whose_lease_was_taken_over_cannot_commit(open_store: Open) -> None:
    late, other = open_store(lease=0.5), open_store(lease=0.5)
    lease = await begin(late, message())
    await be_silent(late)
    await other.ready()
    taken = await other.claim(ANNA)
    assert taken is not None
    with pytest.raises(LeaseLost):
        await commit(late, lease, said("hi", "too late"))
    await commit(other, taken, said("hi", "hello"))
    assert replies(await other.events(ANNA)) == ["hello"]


async def test_one_whose_lease_ran_out_may_commit_while_nobody_has_taken_it(open_store: Open) -> None:
    late, other = open_store(lease=0.5), open_store(lease=0.5)
    lease = await begin(late, message())
    await be_silent(late)
    assert await other.ready() == _inbox()
    assert await commit(late, lease, said("hi", "just in time")) is None
    assert await other.claim(ANNA) is None
    assert replies(await other.events(ANNA)) == ["just in time"]


async def test_a_dead_process_that_asked_is_passed_over(open_store: Open) -> None:
    doomed, other, third = (open_store(lease=0.5) for _ in range(3))
    async with other.lease(ANNA):
        asks = asyncio.ensure_future(doomed.lease(ANNA).__aenter__())
        await until_asked(other)
        await die(doomed)
        asks.cancel()
        waits = asyncio.ensure_future(append(third, said("hi", "hello")))
        await until_asked(other, 2)
        alive = _partition_key(other, "processes")
        while await other._redis.command("ZSCORE", alive, doomed._process):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await waits).event_count == 3


def _partition_key(store: RedisStore, name: str) -> bytes:
    return store._partition(ANNA).key + name.encode()


async def test_deliveries_of_a_dead_process_go_on_in_order(open_store: Open) -> None:
    doomed, other = open_store(lease=0.5), open_store(lease=0.5)
    await append(doomed, said("hi", "hello"), deliveries=(delivery(1), delivery(2)))
    lease = await doomed.claim_outbox(ANNA)
    assert lease is not None
    await doomed.delivered(lease)
    await other.conversation_ids()
    await die(doomed)
    work = await other.ready()
    assert (work.kind, work.conversation_id) == ("outbox", ANNA)
    again = await other.claim_outbox(ANNA)
    assert again is not None
    assert [one.key for one in again.deliveries] == ["k2"]


async def test_a_process_that_closes_leaves_its_work_to_others_at_once(open_store: Open) -> None:
    leaving, other = open_store(), open_store()
    await begin(leaving, message())
    await append(other, said("hi", "hello"), "rest:ben", deliveries=(delivery(1, "rest:ben"),))
    assert await leaving.claim_outbox("rest:ben") is not None
    await leaving.close()
    works = [await other.ready(), await other.ready()]
    assert sorted((work.kind, work.conversation_id) for work in works) == [("inbox", ANNA), ("outbox", "rest:ben")]
    lease = await other.claim(ANNA)
    assert lease is not None
    assert lease.attempts == 1


async def test_a_lease_that_was_taken_for_nobody_is_given_back(open_store: Open) -> None:
    """Its request arrived after the caller had given it up."""
    store = open_store(lease=0.5)
    assert await store.accept(message())
    await store._run("claim", ANNA, "")
    assert await store.ready() == _inbox()
    assert await store.ready() == _inbox()
    assert await store.claim(ANNA) is not None


# ---- a connection breaks -------------------------------------------------------------------------


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def answer_lost(proxy: Proxy, text: str) -> AsyncIterator[None]:
    """The server does it, and its answer is lost."""
    proxy.swallowed.clear()
    proxy.swallowed_after = text.encode()
    yield
    assert proxy.swallowed.is_set()


async def test_a_begin_whose_answer_is_lost_has_its_lease(open_store: Open, proxy: Proxy) -> None:
    store = open_store(proxy.url)
    await store.conversation_ids()
    async with answer_lost(proxy, "m1"):
        lease = await begin(store, message())
    assert ([one.message_id for one in lease.messages], lease.attempts) == (["m1"], 0)
    assert await commit(store, lease, said("hi", "hello")) is None
    assert len(await store.events(ANNA)) == 3


async def test_an_accept_whose_answer_is_lost_was_the_first(open_store: Open, proxy: Proxy) -> None:
    store = open_store(proxy.url)
    await store.conversation_ids()
    async with answer_lost(proxy, "m1"):
        assert await store.accept(message())
    assert not await store.accept(message())
    assert len(await store.pending()) == 1


async def test_a_commit_whose_answer_is_lost_is_stored_once(open_store: Open, proxy: Proxy) -> None:
    store = open_store(proxy.url)
    lease = await begin(store, message("hi", "m1"))
    begun = await store.begin(message("bye", "m2"))
    async with answer_lost(proxy, '"k1"'):
        following = await commit(store, lease, said("hi", "hello"), deliveries=(delivery(1),))
    assert following is not None
    assert ([one.message_id for one in following.messages], following.attempts) == (["m2"], 0)
    async with answer_lost(proxy, '"k2"'):
        assert await commit(store, following, said("bye", "see you"), deliveries=(delivery(2),)) is None
    assert await begun.answer == [BotMessage(text="see you")]
    assert replies(await store.events(ANNA)) == ["hello", "see you"]
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    async with answer_lost(proxy, "delivered"):
        left = await store.delivered(outbox)
    assert left is not None
    assert [one.key for one in left.deliveries] == ["k2"]
    async with answer_lost(proxy, "delivered"):
        assert await store.delivered(left) is None


async def test_a_lease_whose_grant_is_not_heard_is_had_all_the_same(
    open_store: Open, proxy: Proxy, client: redis.Redis
) -> None:
    store, other = open_store(), open_store(proxy.url)
    async with store.lease(ANNA):
        asks = asyncio.ensure_future(append(other, said("hi", "hello")))
        await until_asked(store)
        waiting = await store.begin(message())
        elsewhere = await other.begin(message())
        proxy.is_refusing = True
        proxy.cut()
    proxy.is_refusing = False
    await asks
    lease = await store.claim(ANNA)
    assert lease is not None
    proxy.cut()
    await commit(store, lease, said("hi", "there you are"))
    assert await waiting.answer == await elsewhere.answer == [BotMessage(text="there you are")]


async def test_redis_away_is_said_and_passes(open_store: Open, proxy: Proxy) -> None:
    store = open_store(proxy.url, timeout=0.5)
    lease = await begin(store, message())
    listening = asyncio.ensure_future(store.ready())
    proxy.is_refusing = True
    proxy.cut()
    for attempt in (store.accept(message("x", "m2")), store.load(ANNA, DOMAIN), store.events(ANNA), listening):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await attempt
    committing = asyncio.ensure_future(commit(store, lease, said("hi", "hello")))
    await asyncio.sleep(0.1)
    assert not committing.done()
    proxy.is_refusing = False
    assert await committing is None
    assert await store.accept(message("x", "m2"))
    assert await store.ready() == _inbox()


async def test_a_silent_redis_is_given_up_after_the_timeout(open_store: Open, proxy: Proxy) -> None:
    store = open_store(proxy.url, timeout=0.2, lease=1)
    await commit(store, await begin(store, message("hi", "m0")), said("hi", "hello"))
    proxy.is_silent = True
    with pytest.raises(StoreUnavailable):
        await store.begin(message())
    proxy.is_silent = False
    # The request has got through in the end, and nobody is there to have the lease: it is given back.
    assert await store.ready() == _inbox()


async def test_scripts_that_were_forgotten_are_taught_again(open_store: Open, client: redis.Redis) -> None:
    store = open_store()
    await append(store, said("hi", "hello"))
    client.script_flush()
    await append(store, said("hi", "hello"))
    assert len(await store.events(ANNA)) == 6


async def test_who_gives_up_begins_nothing(open_store: Open, proxy: Proxy) -> None:
    store, other = open_store(proxy.url), open_store()
    await commit(store, await begin(store, message("hi", "m0")), said("hi", "hello"))
    proxy.is_silent = True
    beginning = asyncio.ensure_future(store.begin(message()))
    await asyncio.sleep(0.05)
    beginning.cancel()
    proxy.is_silent = False
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert await other.ready() == _inbox()


# ---- a restart -----------------------------------------------------------------------------------


async def test_all_is_there_after_a_restart_and_goes_on_by_itself(tmp_path: Path) -> None:
    with single(tmp_path, "--appendfsync", "always") as server:
        store, other = RedisStore(server.url), RedisStore(server.url)
        await commit(store, await begin(store, message("hi", "m0")), said("hi", "hello"), deliveries=(delivery(1),))
        lease = await begin(store, message("hi", "m1"))
        begun = await other.begin(message("bye", "m2"))
        server.kill()
        server.start()
        following = await commit(store, lease, said("hi", "I am back"))
        assert following is not None
        await commit(store, following, said("bye", "see you"))
        assert await begun.answer == [BotMessage(text="see you")]
        outbox = await other.claim_outbox(ANNA)
        assert outbox is not None
        assert [one.key for one in outbox.deliveries] == ["k1"]
        assert replies(await other.events(ANNA)) == ["hello", "I am back", "see you"]
        await store.close()
        await other.close()


async def test_timers_survive_a_restart(tmp_path: Path) -> None:
    with single(tmp_path, "--appendfsync", "always") as server:
        store = RedisStore(server.url)
        await append(store, said("hi", "hello"), timers=(Timer("later", 0.0, message("due", "t1")),))
        await store.close()
        server.kill()
        server.start()
        other = RedisStore(server.url)
        assert await other.ready() == _inbox()
        lease = await other.claim(ANNA)
        assert lease is not None
        assert [one.text for one in lease.messages] == ["due"]
        await commit(other, lease, said("due", "remember!"))
        assert await other.pending() == []
        await other.close()


# ---- values that are not ours --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["c", "s", "t", "m", "i", "o", "q", "y"])
async def test_a_foreign_value_is_named_and_nothing_is_changed(
    open_store: Open, client: redis.Redis, prefix: str, kind: str
) -> None:
    store = open_store()
    await append(store, said("hi", "hello"), "rest:ben")
    client.sadd(_key(store, kind), "something else")
    partition = _key(store, kind).rpartition(b"}")[0]

    def ours() -> dict[bytes, bytes]:
        # A round changes only who is alive.
        return {key: client.dump(key) for key in client.scan_iter(partition + b"*") if b":processes" not in key}

    before = ours()

    async def turn() -> None:
        await commit(store, await begin(store, message()), said("hi", "hello"), deliveries=(delivery(1),))

    with pytest.raises(StoreError, match=rf"the key '{prefix}:.*:{kind}:rest:anna' is a set") as error:
        await turn()
    assert not isinstance(error.value, StoreUnavailable)
    if kind in "sty":
        # The message was taken in and its turn was refused: it waits.
        assert [one.message_id for one in await store.pending()] == ["m1"]
    elif kind not in "oq":
        assert ours() == before
    assert client.smembers(_key(store, kind)) == {b"something else"}


async def test_a_damaged_snapshot_names_its_conversation(open_store: Open, client: redis.Redis) -> None:
    store, other = open_store(), open_store()
    await append(store, said("hi", "hello"))
    for damaged in ("{", "z{"):
        client.set(_key(store, "s"), damaged)
        with pytest.raises(StoreError, match="'rest:anna' is damaged"):
            await other.load(ANNA, DOMAIN)


async def test_what_others_publish_on_our_channels_is_passed_over(
    open_store: Open, client: redis.Redis, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = open_store(), open_store()
    lease = await begin(one, message("hi", "m1"))
    begun = await other.begin(message("bye", "m2"))
    for told in (b"", b"g", b"a1:x", b"h:", b"n\xff:1:", b"gx:y:z", b"?"):
        client.publish(f"{prefix}:process:{other._process}", told)
    following = await commit(one, lease, said("hi", "hello"))
    assert following is not None
    await commit(one, following, said("bye", "see you"))
    assert await begun.answer == [BotMessage(text="see you")]
    assert "something else publishes" in caplog.text


async def test_a_stream_without_its_conversation_is_not_written_to(open_store: Open, client: redis.Redis) -> None:
    store = open_store()
    await append(store, said("hi", "hello"))
    client.delete(_key(store, "c"))
    with pytest.raises(StoreError, match=r"t:rest:anna' is what was left"):
        await append(open_store(), said("hi", "hello"))


async def test_another_number_of_partitions_is_turned_away(open_store: Open) -> None:
    await open_store(partitions=4).conversation_ids()
    with pytest.raises(StoreError, match="made with 4 partitions, not 16: set 'partitions: 4'"):
        await open_store().accept(message())


async def test_what_a_newer_version_has_written_is_left_alone(
    open_store: Open, client: redis.Redis, prefix: str
) -> None:
    client.set(f"{prefix}:format", "frontdesk 2 16")
    with pytest.raises(StoreError, match=f"the key '{prefix}:format'"):
        await open_store().accept(message())
    assert everything(client, prefix).keys() == {f"{prefix}:format".encode()}


# ---- bounds --------------------------------------------------------------------------------------


async def test_too_many_messages_in_all_are_turned_away(open_store: Open) -> None:
    store = open_store(capacity=3, partitions=1)
    for number in range(3):
        assert await store.accept(message(sender_id=f"c{number}"))
    with pytest.raises(StoreFull, match="capacity"):
        await store.accept(message(sender_id="c3"))
    with pytest.raises(StoreFull, match="capacity"):
        await store.begin(message(sender_id="c3"))
    lease = await store.claim("rest:c0")
    assert lease is not None
    await commit(store, lease, said("hi", "hello"))
    assert await store.accept(message(sender_id="c3"))
    await store.delete("rest:c1")
    assert await store.accept(message(sender_id="c4"))


async def test_a_redis_without_memory_refuses_whole_steps(tmp_path: Path) -> None:
    with single(tmp_path) as server, server.client() as client:
        store = RedisStore(server.url, timeout=0.5, lease=1)
        lease = await begin(store, message())
        await append(store, said("hi", "hello"), "rest:ben", deliveries=(delivery(1, "rest:ben"),))
        outbox = await store.claim_outbox("rest:ben")
        assert outbox is not None
        client.config_set("maxmemory", "1mb")
        with pytest.raises(StoreUnavailable, match="memory is full"):
            await store.accept(message("x", "m2"))
        with pytest.raises(StoreUnavailable, match="memory is full"):
            await commit(store, lease, said("hi", "hello"))
        assert await store.events(ANNA) == []
        assert await store.replies(ANNA, "m1") is None
        # What makes room is done.
        assert await store.delivered(outbox) is None
        client.config_set("maxmemory", 0)
        assert await commit(store, lease, said("hi", "hello")) is None
        await store.close()


async def test_old_message_ids_take_no_room_for_long(open_store: Open, client: redis.Redis) -> None:
    store = open_store()
    await commit(store, await begin(store, message()), ())
    long_ago = {f"old{number}": "1600000000|-||" for number in range(300)}
    client.hset(_key(store, "m"), mapping=long_ago)
    await commit(store, await begin(store, message("hi", "m2")), ())
    assert set(client.hgetall(_key(store, "m"))) == {b"m1", b"m2"}


async def test_an_answered_message_is_forgotten_after_its_time(open_store: Open) -> None:
    store = open_store()
    lease = (await store.begin(message(), remember=0)).lease
    assert lease is not None
    await commit(store, lease, said("hi", "hello"))
    while not await store.accept(message(), remember=0):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert await store.replies(ANNA, "m1") is None
    # While it waits it is known, whatever its time.
    assert not await store.accept(message(), remember=0)


# ---- the end of a conversation -------------------------------------------------------------------


async def test_a_deleted_conversation_leaves_no_key(open_store: Open, client: redis.Redis, prefix: str) -> None:
    store = open_store()
    lease = await begin(store, message())
    await commit(
        store,
        lease,
        said("hi", "hello"),
        deliveries=(delivery(1), delivery(2)),
        timers=(Timer("later", 2e9, message("due", "t1")),),
        set_aside="it failed",
    )
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    await store.give_up(outbox, "gone")
    await store.accept(message("x", "m2"))
    assert len(await store.dead_letters()) == 2
    await store.delete(ANNA)
    assert not list(client.scan_iter(f"{prefix}:*anna*"))
    assert await store.dead_letters() == []
    for name in ("ready", "due", "timers", "ids", "letters"):
        assert client.zcard(_partition_key(store, name)) == 0
    assert int(client.get(_partition_key(store, "waiting")) or 0) == 0


async def test_who_waits_for_the_answer_of_a_deleted_conversation_hears_of_it(open_store: Open) -> None:
    store, other = open_store(), open_store()
    await begin(store, message("hi", "m1"))
    begun = await other.begin(message("bye", "m2"))
    await store.delete(ANNA)
    with pytest.raises(StoreError, match="was deleted"):
        await begun.answer


async def test_a_conversation_goes_when_its_time_is_over(open_store: Open, client: redis.Redis) -> None:
    store = open_store(ttl=0.3, lease=0.5)
    await append(store, said("hi", "hello"))
    await append(store, said("hi", "hello"), "rest:ben")
    assert await store.accept(message(sender_id="ben"))
    while await store.conversation_ids() != ["rest:ben"]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await store.events(ANNA) == []
    assert not list(client.scan_iter(_key(store, "*")))
    # What waits is answered first.
    assert len(await store.events("rest:ben")) == 3


async def test_a_lease_without_a_commit_leaves_no_key(open_store: Open, client: redis.Redis, prefix: str) -> None:
    store = open_store()
    async with store.lease(ANNA):
        assert (await store.load(ANNA, DOMAIN)).event_count == 0
    assert not list(client.scan_iter(f"{prefix}:*anna*"))


# ---- encryption ----------------------------------------------------------------------------------


async def test_nothing_that_was_said_is_readable_with_keys(open_store: Open, server: Server, prefix: str) -> None:
    keys = new_key()
    store = open_store(encryption_keys=keys)
    secret = "mein Geheimnis"
    lease = await begin(store, message(secret))
    await store.accept(message(secret, "m2"))
    await commit(
        store,
        lease,
        said(secret, secret),
        deliveries=(Delivery(ANNA, "k", "rest", "anna", BotMessage(text=secret)),) * 2,
        timers=(Timer("later", 2e9, message(secret, "t1")),),
        set_aside="it failed",
    )
    await store.give_up(await store.claim_outbox(ANNA), "gone")  # type: ignore[arg-type]
    assert not any(b"Geheimnis" in unpack(value) for value in server.everything_under(prefix))
    other = open_store(encryption_keys=keys)
    assert (await other.load(ANNA, DOMAIN)).latest_message.text == secret  # type: ignore[union-attr]
    assert (await other.dead_letters())[0].content.text == secret  # type: ignore[union-attr]


async def test_all_is_sealed_anew_with_the_first_key(open_store: Open) -> None:
    old, new = new_key(), new_key()
    store = open_store(encryption_keys=old)
    lease = await begin(store, message())
    await store.accept(message("bye", "m2"))
    await commit(
        store,
        lease,
        said("hi", "hello"),
        deliveries=(delivery(1), delivery(2)),
        timers=(Timer("later", 2e9, message("due", "t1")),),
        set_aside="it failed",
    )
    await store.give_up(await store.claim_outbox(ANNA), "gone")  # type: ignore[arg-type]
    both = open_store(encryption_keys=f"{new},{old}")
    # Turn, snapshot, a message, a delivery, a timer, two dead letters.
    assert await both.reseal() == 7
    assert await both.reseal() == 0
    other = open_store(encryption_keys=new)
    assert replies(await other.events(ANNA)) == ["hello"]
    assert (await other.load(ANNA, DOMAIN)).event_count == 3
    assert [one.text for one in await other.pending()] == ["bye"]
    assert len(await other.dead_letters()) == 2


# ---- settings ------------------------------------------------------------------------------------

_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        *("host", "port", "db", "username", "password", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs"),
        *("sentinel_username", "sentinel_password"),
    )
)


def place(url: str = "", **options: Any) -> Any:
    given = {**_NOTHING, "use_ssl": False, "sentinels": (), "service": "mymaster", "cluster": False, **options}
    return find_place(url, **given)


def test_rasas_settings_are_understood() -> None:
    found = place("redis.bank.example", port=6380, db=2, username="bot", password="s3cret", use_ssl=True)
    assert found.name == "rediss://redis.bank.example:6380/2"
    assert found.options == {
        "host": "redis.bank.example",
        "port": 6380,
        "db": 2,
        "username": "bot",
        "password": "s3cret",
        "ssl": True,
    }


def test_a_url_says_the_same() -> None:
    found = place("rediss://bot:s3cret@redis.bank.example:6380/2")
    assert found == place("redis.bank.example", port=6380, db=2, username="bot", password="s3cret", use_ssl=True)


def test_a_unix_socket_has_no_host() -> None:
    assert place("unix:///run/redis.sock").options == {"unix_socket_path": "/run/redis.sock"}


def test_no_password_is_shown() -> None:
    for found in (
        place("redis://bot:s3cret@redis.bank.example"),
        place("redis://bot:s3cret@redis.bank.example", sentinels=["a:1"], sentinel_password="s3cret"),
        place("redis://bot:s3cret@redis.bank.example", cluster=True),
    ):
        assert "s3cret" not in repr(found) + found.name
    with pytest.raises(ConfigError) as error:
        place("postgres://bot:s3cret@redis.bank.example")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "http://localhost"}, "no URL of Redis"),
        ({"key_prefix": "bank {1}"}, "key_prefix"),
        ({"sentinels": ["localhost:x"]}, "no address of a Sentinel"),
        ({"sentinels": ["localhost:26379"], "cluster": True}, "cannot both be"),
        ({"cluster": True, "db": 1}, "no databases"),
        ({"lease": 0}, "above 0"),
    ],
)
async def test_settings_that_cannot_be_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        RedisStore(**options)


async def test_a_redis_that_is_not_there_is_named_without_the_password() -> None:
    store = RedisStore("redis://bot:s3cret@127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match=r"redis://127.0.0.1:1 does not answer") as error:
        await store.accept(message())
    assert "s3cret" not in str(error.value)
    await store.close()


async def test_settings_that_lose_conversations_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    with single(tmp_path, *options) as server:
        store = RedisStore(server.url)
        await store.conversation_ids()
        await store.close()
    assert "set it to noeviction" in caplog.text
    assert "set 'appendonly yes'" in caplog.text
