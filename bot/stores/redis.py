"""Conversations in Redis, shared by any number of processes: a single server, behind Sentinels, or a cluster.

A conversation belongs to one of a few partitions, whose keys lie in one slot of a cluster, so that one script can do a
whole step: `begin` and `commit` are one round trip each. What a partition keeps is described in
redis_scripts/common.lua. A process that says nothing for `lease` seconds has lost what it had in hand.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from redis.crc import key_slot

from bot.domain import Domain
from bot.errors import ConfigError, LeaseLost, StoreError, StoreFull, StoreUnavailable
from bot.events import BotUttered, Event
from bot.interfaces import DAY, Begun, DeadLetter, Delivery, Lease, OutboxLease, Published, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores import decode_events, decode_tracker, encode, encode_events, fold
from bot.stores.answers import Answers
from bot.stores.redis_bodies import Bodies, arrival, as_bytes
from bot.stores.redis_connection import RedisConnection, find_place, read_scripts
from bot.stores.redis_feed import Feed
from bot.stores.redis_opening import check_format, check_keys, check_rights
from bot.stores.redis_ready import Ready
from bot.stores.redis_resealing import reseal
from bot.stores.redis_rounds import Partition, Rounds
from bot.stores.sealing import Seal
from bot.tracker import RECENT_EVENTS, Tracker

log = logging.getLogger(__name__)

SLOTS = 16384
MOST_SHOWN = 20
"""Messages or deliveries that a lease shows at once."""
MOST_WAITING = 200
"""Messages of one conversation that wait; more are turned away."""
MOST_IN_A_PART = 50
"""Events in one piece of a turn: a huge one is read in pieces."""
_GRACE = 1000
"""Milliseconds after which another worker is told of what the first one has not taken."""
_PAGE = 100
"""Turns that are read at once."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Recent:
    """A conversation as this process knows it: the snapshot as it was stored, and the latest events.

    `later` are bodies of turns that are not decoded yet, behind `events`. Without a version nothing is stored.
    """

    version: bytes
    snapshot: bytes
    events: tuple[Event, ...] = ()
    later: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Held:
    """A lease that this process has; `is_by_message` when it came by `begin` or `claim`."""

    is_by_message: bool
    recent: _Recent | None = None
    """None: it has to be read."""
    shown: frozenset[bytes] = frozenset()
    """The ids of its messages."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is another one."""


class RedisStore:
    """The store for many processes. Redis 6.2 or later; `appendonly yes` and `maxmemory-policy noeviction` are needed.

    `url` is `redis://`, `rediss://` (TLS) or `unix://`, or a host's name; the options of Rasa's Redis tracker store
    are understood beside it (`record_exp` is `ttl`). With `sentinels` (host:port each) the master of `service` is
    followed; with `cluster` the address is that of any of its servers.

    `ttl` is how many seconds after the latest turn a conversation goes (None: never). `replicas` must have a turn
    before it counts as stored (None: one behind Sentinels, else none). `timeout` is how many seconds Redis may take
    for an answer, `lease` how many a process may say nothing before its conversations are taken from it. `capacity`
    is how many messages may wait in all; `partitions` cannot be changed later. `cache_size` is the number of
    conversations kept in memory, about 70 kB each. `encryption_keys`: see docs/encryption.md. With `feed` what is
    committed is kept until it is `published`.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        host: str | None = None,
        port: int | None = None,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        key_prefix: str | None = None,
        use_ssl: bool = False,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_ca_certs: str | None = None,
        sentinels: Sequence[str] = (),
        service: str = "mymaster",
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
        cluster: bool = False,
        ttl: float | None = None,
        record_exp: float | None = None,
        replicas: int | None = None,
        timeout: float = 3.0,
        lease: float = 10.0,
        capacity: int = 100_000,
        partitions: int = 16,
        cache_size: int = 256,
        encryption_keys: str = "",
        encryption_required: bool = False,
        feed: bool = False,
    ) -> None:
        place = find_place(
            url,
            host=host,
            port=port,
            db=db,
            username=username,
            password=password,
            use_ssl=use_ssl,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            ssl_ca_certs=ssl_ca_certs,
            sentinels=sentinels,
            service=service,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
            cluster=cluster,
        )
        prefix = key_prefix or "frontdesk"
        if set(prefix) & set(" {}[]*?\\\"'|^"):
            raise ConfigError(f"'{prefix}' cannot be a key_prefix: letters, digits and '.:_-' are fine")
        if lease <= 0 or timeout <= 0 or partitions < 1 or capacity < 1 or cache_size < 0:
            raise ConfigError("'lease', 'timeout', 'partitions' and 'capacity' are above 0, 'cache_size' is not below")
        if replicas is None:
            replicas = 1 if place.sentinels else 0
        self._place = place.name
        self._prefix = prefix
        self._bodies = Bodies(Seal(encryption_keys, required=encryption_required))
        self._lease_seconds = lease
        self._partitions = [Partition(i, key) for i, key in enumerate(_partition_keys(prefix, partitions))]
        seconds = ttl if ttl is not None else record_exp
        constants = {
            "LEASE": int(lease * 1000),
            "GRACE": _GRACE,
            "TTL": int((seconds or 0) * 1000),
            "MOST": MOST_WAITING,
            "SHOWN": MOST_SHOWN,
            "RECENT": RECENT_EVENTS,
            "CAPACITY": max(capacity // partitions, 1),
            "REMEMBER": int(DAY),
            "CHANNEL": f"'{prefix}:process:'",
            "FEEDS": str(feed).lower(),
        }
        lines = (f"local {name} = {value}\n" for name, value in constants.items())
        self._scripts = read_scripts("".join(lines))
        self._redis = RedisConnection(place, timeout=timeout, replicas=replicas, check=self._scripts["check"])
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._cache: OrderedDict[str, _Recent] = OrderedDict()
        self._cache_size = cache_size
        self._answers = Answers()
        self._held: dict[tuple[str, int], _Held] = {}
        self._delivering: set[tuple[str, int]] = set()
        self._tickets: dict[str, tuple[str, asyncio.Future[int]]] = {}
        ready = [partition.key + b"ready" for partition in self._partitions]
        self._ready = Ready(self._redis, ready, self._still_waits, self._put_back)
        self._rounds = Rounds(
            self._redis, self._scripts["look"], self._partitions, self._process, lease, self._check_awaited
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._closed = False
        self._missing: set[tuple[str, str]] = set()
        self._feed = Feed(self._redis, self._scripts["feed"], self._partitions, self._process, self._bodies, lease)

    # ---- the inbox ----

    async def accept(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> bool:
        await self._opened()
        key = message.conversation_id
        body = self._bodies.close_message(message, key)
        values = (as_bytes(message.message_id), body, int(remember), int(wait * 1000), "accept", "")
        outcome, *rest = await self._run("accept", key, *values)
        if outcome == b"full":
            raise self._full(key, rest[0])
        if wait and outcome == b"accepted":
            self._rounds.look_in(self._partition(key), wait)
        return bool(outcome == b"accepted")

    async def begin(self, message: UserMessage, *, remember: float = DAY) -> Begun:
        await self._opened()
        key = message.conversation_id
        body = self._bodies.close_message(message, key)
        known = self._cache.get(key)
        version = known.version if known else ""
        answer = self._answers.expect(key, message.message_id)
        values = (as_bytes(message.message_id), body, int(remember), 0, "begin", version)
        try:
            outcome, *rest = await self._take("accept", key, *values)
            if outcome == b"full":
                raise self._full(key, rest[0])
            if outcome == b"answered":
                self._answers.give(key, message.message_id, self._bodies.replies(rest[0], key))
            if outcome == b"taken":
                token, attempts, messages, state = rest
                return Begun(answer, self._lease(key, token, attempts, messages, self._recent(key, state, known)))
        except BaseException:
            answer.cancel()
            raise
        return Begun(answer)

    async def ready(self) -> Work:
        await self._opened()
        return await self._ready.next()

    async def claim(self, conversation_id: str) -> Lease | None:
        await self._opened()
        known = self._cache.get(conversation_id)
        reply = await self._take("claim", conversation_id, known.version if known else "")
        if not reply:
            return None
        token, attempts, messages, state = reply
        return self._lease(conversation_id, token, attempts, messages, self._recent(conversation_id, state, known))

    async def arrival(self, lease: Lease) -> None:
        held = self._held.get(_name(lease)) or _Held(is_by_message=True)
        await held.arrived.wait()

    async def pending(self) -> list[UserMessage]:
        await self._opened()
        found: list[tuple[int, UserMessage]] = []
        for partition in self._partitions:
            members = [member async for member, _ in self._redis.scan("ZSCAN", partition.key + b"due")]
            keys = [member[1:] for member in dict.fromkeys(members) if member.startswith(b"i")]
            lists = (self._redis.command("LRANGE", partition.key + b"i:" + key, 0, -1) for key in keys)
            for key, entries in zip(keys, await asyncio.gather(*lists), strict=True):
                found += ((arrival(entry), self._bodies.message(entry, key.decode())) for entry in entries)
        return [message for _, message in sorted(found, key=lambda one: one[0])]

    # ---- leases ----

    @asynccontextmanager
    async def lease(self, conversation_id: str) -> AsyncIterator[Lease]:
        await self._opened()
        lease = await self._ask(conversation_id)
        try:
            yield lease
        finally:
            held = self._held.pop(_name(lease), None)
            if held is not None:
                with suppress(StoreUnavailable):
                    await self._give_back(lease.conversation_id, lease.token)

    async def _ask(self, conversation_id: str) -> Lease:
        ticket = self._request()
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tickets[ticket] = conversation_id, granted
        known = self._cache.get(conversation_id)
        try:
            reply = await self._take("ask", conversation_id, known.version if known else "", request=ticket)
            if reply:
                token, state = reply
                return self._lease(
                    conversation_id, token, 0, (), self._recent(conversation_id, state, known), is_by_message=False
                )
            try:
                token = await granted
            except BaseException:
                self._undo(conversation_id, ticket)
                raise
            return self._lease(conversation_id, token, 0, (), None, is_by_message=False)
        finally:
            del self._tickets[ticket]

    async def release(self, lease: Lease, *, failed: bool = False) -> None:
        await self._opened()
        self._held.pop(_name(lease), None)
        await self._give_back(lease.conversation_id, lease.token, counts=failed or not lease.messages)

    async def _give_back(self, conversation_id: str, token: int, *, counts: bool = True) -> None:
        values = (token, "", "" if counts else "1")
        await self._finish(self._run("release", conversation_id, *values, patience=self._lease_seconds))

    def _lease(
        self,
        conversation_id: str,
        token: int,
        attempts: int,
        entries: Sequence[bytes],
        recent: _Recent | None,
        *,
        is_by_message: bool = True,
    ) -> Lease:
        messages = tuple(self._bodies.message(entry, conversation_id) for entry in entries)
        shown = frozenset(as_bytes(message.message_id) for message in messages)
        self._held[conversation_id, token] = _Held(is_by_message, recent, shown)
        return Lease(conversation_id, token, messages, attempts)

    # ---- the turn ----

    async def resume(self, lease: Lease, domain: Domain) -> Tracker:
        held = self._held.get(_name(lease))
        if held is None:
            return await self.load(lease.conversation_id, domain)
        if held.recent is None:
            held.recent = await self._read(lease.conversation_id)
        return await self._tracker(lease.conversation_id, held.recent, domain)

    async def load(self, conversation_id: str, domain: Domain) -> Tracker:
        return await self._tracker(conversation_id, await self._read(conversation_id), domain)

    async def _read(self, conversation_id: str) -> _Recent:
        await self._opened()
        known = self._cache.get(conversation_id)
        state = await self._run("read", conversation_id, "load", known.version if known else "")
        return self._recent(conversation_id, state, known)

    async def _tracker(self, conversation_id: str, recent: _Recent, domain: Domain) -> Tracker:
        if not recent.version:
            return Tracker.new(conversation_id, domain)
        if recent.later:
            recent.events = (*recent.events, *decode_events(recent.later, conversation_id))[-RECENT_EVENTS:]
            recent.later = ()
        tracker = decode_tracker(recent.snapshot, recent.events, conversation_id, domain)
        return tracker or fold(await self.events(conversation_id), conversation_id, domain)

    def _recent(self, conversation_id: str, state: Sequence[Any], known: _Recent | None) -> _Recent:
        """What a script's `state` says: nothing stored, as `known`, or what it brings."""
        if not state:
            return _Recent(b"", b"")
        if len(state) == 1 and known is not None:
            self._remember(conversation_id, known)
            return known
        version, snapshot, bodies = state
        later = tuple(self._bodies.open_turns(bodies, conversation_id))
        recent = _Recent(version, self._bodies.open_snapshot(snapshot, conversation_id), (), later)
        self._remember(conversation_id, recent)
        return recent

    def _remember(self, conversation_id: str, recent: _Recent) -> None:
        self._cache[conversation_id] = recent
        self._cache.move_to_end(conversation_id)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> Lease | None:
        start = tracker.event_count - len(turn.events)
        return await self._finish(self._store(lease, turn, tracker, start=start))

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        await self._finish(self._store(lease, turn, tracker, start=None))

    async def _store(self, lease: Lease, turn: Turn, tracker: Tracker, *, start: int | None) -> Lease | None:
        await self._opened()
        key = lease.conversation_id
        if not key == turn.conversation_id == tracker.conversation_id:
            raise StoreError(f"a turn of '{turn.conversation_id}' was to be stored under '{key}'")
        held = self._held.get(_name(lease))
        if held is None:
            raise LeaseLost(f"the lease on '{key}' is over: this turn must not be stored")
        goes_on = held.is_by_message and start is not None
        parts = [(len(part), encode_events(part)) for part in _parts(turn.events)]
        snapshot = encode(tracker.to_json())
        request = self._request()
        letters = [self._letter(key, turn.set_aside or "", message) for message in _set_aside(lease, turn)]
        values = [
            lease.token,
            "" if start is None else start,
            tracker.event_count,
            "1" if goes_on else "",
            self._bodies.close_snapshot(snapshot, key),
            *_listed((count, self._bodies.close_turn(body, key)) for count, body in parts),
            *_listed((as_bytes(message_id),) for message_id in turn.message_ids),
            *_listed((self._bodies.close_delivery(one, key),) for one in turn.deliveries),
            *_listed(self._timer(timer, key) for timer in turn.timers),
            *_listed(letters),
        ]
        # Somebody may read the old state while we write.
        self._cache.pop(key, None)
        reply = await self._run("commit", key, *values, request=request, patience=self._lease_seconds)
        outcome, *rest = reply
        if outcome == b"lost":
            self._held.pop(_name(lease), None)
            raise LeaseLost(_why(key, *rest))
        before, held.recent = held.recent, None
        if start == 0:
            before = _Recent(b"", b"")
        if start is not None and before is not None:
            later = (*before.later, *(body for _, body in parts))
            held.recent = _Recent(request.encode(), snapshot, before.events, later)
            self._remember(key, held.recent)
        self._feed.has_more(self._partition(key))
        due = [timer.due for timer in turn.timers if timer.message is not None]
        if due:
            self._rounds.look_in(self._partition(key), min(due) - time.time())
        replies = [event.message for event in turn.events if isinstance(event, BotUttered)]
        for message_id in turn.message_ids:
            self._answers.give(key, message_id, replies if message_id == turn.message_ids[-1] else ())
        if outcome == b"next":
            attempts, entries = rest
            return self._lease(key, lease.token, attempts, entries, held.recent)
        if goes_on:
            self._held.pop(_name(lease), None)
        return None

    def _timer(self, timer: Timer, key: str) -> tuple[Any, ...]:
        if timer.message is None:
            return as_bytes(timer.name), "", "", ""
        body = self._bodies.close_message(timer.message, key)
        return as_bytes(timer.name), int(timer.due * 1000), as_bytes(timer.message.message_id), body

    # ---- the outbox ----

    async def claim_outbox(self, conversation_id: str) -> OutboxLease | None:
        await self._opened()
        reply = await self._take("outbox", conversation_id, "claim", "", undone_by="outbox")
        if not reply:
            return None
        token, attempts, bodies = reply
        deliveries = [self._bodies.delivery(body, conversation_id) for body in bodies]
        deliveries[0] = replace(deliveries[0], attempts=attempts)
        self._delivering.add((conversation_id, token))
        return OutboxLease(conversation_id, token, tuple(deliveries))

    async def delivered(self, lease: OutboxLease) -> OutboxLease | None:
        return await self._struck_off(lease, "delivered")

    async def give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None:
        return await self._struck_off(
            lease, "give_up", *self._letter(lease.conversation_id, reason, lease.deliveries[0])
        )

    async def postpone(self, lease: OutboxLease, seconds: float) -> None:
        await self._step_out(lease, "postpone", int(seconds * 1000))
        self._delivering.discard(_name(lease))
        self._rounds.look_in(self._partition(lease.conversation_id), seconds)

    async def _struck_off(self, lease: OutboxLease, step: str, *letter: Any) -> OutboxLease | None:
        outcome, *rest = await self._step_out(lease, step, len(lease.deliveries), *letter)
        if outcome == b"free":
            self._delivering.discard(_name(lease))
            return None
        later = (self._bodies.delivery(body, lease.conversation_id) for body in rest[0])
        return replace(lease, deliveries=(*lease.deliveries[1:], *later))

    async def _step_out(self, lease: OutboxLease, step: str, *values: Any) -> list[Any]:
        await self._opened()
        key = lease.conversation_id
        try:
            reply: list[Any] = await self._finish(
                self._run("outbox", key, step, lease.token, *values, patience=self._lease_seconds)
            )
        except StoreUnavailable:
            # Nobody here goes on with it: the next round finds that, and another worker is told.
            self._delivering.discard(_name(lease))
            raise
        except asyncio.CancelledError:
            # It is done, and whoever would go on with what is left has gone.
            with suppress(StoreError):
                await self._finish(self._run("outbox", key, "release", lease.token, "", patience=self._lease_seconds))
            self._delivering.discard(_name(lease))
            raise
        if reply[0] == b"lost":
            self._delivering.discard(_name(lease))
            raise LeaseLost(f"the deliveries of '{key}' are in other hands")
        return reply

    # ---- dead letters ----

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        await self._opened()
        found: list[DeadLetter] = []
        for partition in self._partitions:
            ids = await self._redis.command("ZRANGE", partition.key + b"letters", 0, limit - 1)
            if limit > 0 and ids:
                bodies = await self._redis.command("HMGET", partition.key + b"letter", *ids)
                found += (self._bodies.letter(body) for body in bodies if body is not None)
        return sorted(found, key=lambda letter: letter.at)[:limit]

    async def revive(self, letter_id: str) -> bool:
        letter = await self._find_letter(letter_id)
        match letter:
            case None:
                return False
            case DeadLetter(content=UserMessage() as message):
                body = self._bodies.close_message(message, letter.conversation_id)
                values: tuple[Any, ...] = ("message", body, as_bytes(message.message_id))
            case DeadLetter(content=Delivery() as delivery):
                body = self._bodies.close_delivery(replace(delivery, attempts=0), letter.conversation_id)
                values = ("delivery", body)
        return bool(await self._run("letter", letter.conversation_id, letter_id, *values))

    async def bury(self, letter_id: str) -> bool:
        letter = await self._find_letter(letter_id)
        return letter is not None and bool(await self._run("letter", letter.conversation_id, letter_id, "bury"))

    async def _find_letter(self, letter_id: str) -> DeadLetter | None:
        await self._opened()
        number, _, _ = letter_id.partition("-")
        if not number.isdigit() or int(number) >= len(self._partitions):
            return None
        body = await self._redis.command("HGET", self._partitions[int(number)].key + b"letter", as_bytes(letter_id))
        return self._bodies.letter(body) if body is not None else None

    def _letter(self, key: str, reason: str, content: UserMessage | Delivery) -> tuple[str, bytes]:
        letter_id = f"{self._partition(key).number}-{secrets.token_hex(8)}"
        return letter_id, self._bodies.close_letter(DeadLetter(letter_id, key, reason, time.time(), content))

    # ---- reading ----

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None:
        await self._opened()
        outcome, *rest = await self._run("read", conversation_id, "replies", as_bytes(message_id))
        return self._bodies.replies(rest[0], conversation_id) if outcome == b"answered" else None

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        await self._opened()
        last = None if limit is None else after + limit
        while True:
            generations: set[bytes] = set()
            bodies: list[bytes] = []
            start = position = after
            while last is None or position < last:
                generation, turns = await self._run("read", conversation_id, "events", position, _PAGE)
                generations.add(generation)
                for entry, count, body in turns:
                    position = int(entry.partition(b"-")[0])
                    if not bodies:
                        start = position - int(count)
                    bodies.append(body)
                if len(turns) < _PAGE:
                    break
            if len(generations) < 2:
                break
            # It was replaced meanwhile: what has been read is of two histories.
        if len(bodies) > _PAGE:
            # A long history takes its time: others are served meanwhile.
            found = await asyncio.to_thread(self._bodies.events, bodies, conversation_id)
        else:
            found = self._bodies.events(bodies, conversation_id)
        return found[after - start : None if last is None else max(last - start, 0)]

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]:
        await self._opened()
        first = b"(" + as_bytes(after) if after else b"-"
        pages = await asyncio.gather(
            *(
                self._redis.command("ZRANGEBYLEX", partition.key + b"ids", first, b"+", b"LIMIT", 0, limit)
                for partition in self._partitions
            )
        )
        return [key.decode() for key in sorted(itertools.chain.from_iterable(pages))[:limit]]

    async def reseal(self) -> int:
        await self._opened()
        counts = [await reseal(self._redis, self._bodies, self._swap, one.key) for one in self._partitions]
        await check_keys(self._redis, self._prefix, self._bodies)
        self._cache.clear()
        return sum(counts)

    def _swap(self, conversation_id: str, kind: str, key: bytes, *values: Any) -> Awaitable[int]:
        return self._run("swap", conversation_id, kind, key, *values)

    async def delete(self, conversation_id: str) -> None:
        await self._opened()
        self._cache.pop(conversation_id, None)
        await self._run("erase", conversation_id, patience=self._lease_seconds)
        self._cache.pop(conversation_id, None)
        for (key, _), held in self._held.items():
            if key == conversation_id:
                held.recent = None

    # ---- the feed ----

    async def feed(self, limit: int = 100) -> list[Published]:
        await self._opened()
        return await self._feed.read(limit)

    async def published(self, turns: Sequence[Published]) -> None:
        await self._opened()
        await self._feed.strike([(self._partition(turn.conversation_id), turn) for turn in turns])

    # ---- a step ----

    def _request(self) -> str:
        """A name for a step that is the same however often it is tried."""
        return f"{self._process}-{next(self._numbers)}"

    def _partition(self, conversation_id: str) -> Partition:
        return self._partitions[zlib.crc32(as_bytes(conversation_id)) % len(self._partitions)]

    def _run(
        self, script: str, conversation_id: str, *values: Any, request: str = "", patience: float = 0.0
    ) -> asyncio.Future[Any]:
        key = as_bytes(conversation_id)
        partition = self._partitions[zlib.crc32(key) % len(self._partitions)]
        values = (key, self._process, request or self._request(), *values)
        return self._redis.run(self._scripts[script], partition.key, *values, patience=patience)

    async def _take(
        self, script: str, conversation_id: str, *values: Any, request: str = "", undone_by: str = "release"
    ) -> Any:
        """A step that may give this process a lease, which is given back when nobody is there to have it."""
        request = request or self._request()
        call = self._run(script, conversation_id, *values, request=request)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:

            def undo(call: asyncio.Future[Any]) -> None:
                # Nobody is there any more to hear of its error.
                _ = call.cancelled() or call.exception()
                self._undo(conversation_id, request, undone_by)

            call.add_done_callback(undo)
            raise
        except StoreUnavailable:
            # It may have been done, or may still be.
            self._undo(conversation_id, request, undone_by)
            raise

    def _undo(self, conversation_id: str, request: str, script: str = "release") -> None:
        values = ("", request, "1") if script == "release" else ("release", "", request)
        self._spawn(self._run(script, conversation_id, *values, patience=self._lease_seconds))

    async def _finish(self, doing: Awaitable[_T]) -> _T:
        """Do it to the end, also when the caller is cancelled: a lease must not pass on before its commit is known."""
        task = asyncio.ensure_future(doing)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise

    def _spawn(self, doing: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(_without_trouble(doing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _full(self, key: str, which: bytes) -> StoreFull:
        if which == b"all":
            return StoreFull(f"{self._place}: too many messages wait ('capacity'): send this one again later")
        return StoreFull(f"'{key}' has {MOST_WAITING} messages that wait: send this one again later")

    async def _still_waits(self, work: Work) -> bool:
        return bool(await self._run("tell", work.conversation_id, work.kind, ""))

    def _put_back(self, work: Work) -> None:
        """Nobody here wants it: another process may."""
        if not self._closed:
            self._spawn(self._run("tell", work.conversation_id, work.kind, "1"))

    # ---- what other processes tell ----

    async def _listen(self, is_listening: asyncio.Future[None]) -> None:
        while True:
            try:
                async for told in self._redis.listen(f"{self._prefix}:process:{self._process}"):
                    if told is not None:
                        self._understand(told)
                    elif is_listening.done():
                        await self._check_awaited()
                    else:
                        is_listening.set_result(None)
            except StoreError as error:
                if not is_listening.done():
                    is_listening.set_exception(error)
                    return
            await asyncio.sleep(0.1)

    def _understand(self, told: bytes) -> None:
        try:
            self._hear(told)
        except ValueError:
            log.warning("%s: something else publishes on the channels of '%s'", self._place, self._prefix)

    def _hear(self, told: bytes) -> None:
        """What a script has published: its first letter says what it is. Nothing else is ours to understand."""
        kind, rest = told[:1], told[1:]
        match kind:
            case b"g":
                ticket, token, key = rest.split(b":", 2)
                self._granted(ticket.decode(), int(token), key.decode())
            case b"a":
                key_length, id_length, rest = rest.split(b":", 2)
                key, rest = _cut(rest, int(key_length))
                message_id, body = _cut(rest, int(id_length))
                self._spawn(self._answered(key.decode(), message_id.decode(), body))
            case b"f":
                self._feed.has_more(self._partition(rest.decode()))
            case b"d":
                deleted = rest.decode()
                self._answers.fail(deleted, StoreError(f"'{deleted}' was deleted before its message was answered"))
            case b"n":
                token, length, rest = rest.split(b":", 2)
                key, message_id = _cut(rest, int(length))
                held = self._held.get((key.decode(), int(token)))
                if held is not None and message_id not in held.shown:
                    held.arrived.set()
            case b"h":
                token, member = rest.split(b":", 1)
                self._asked(int(token), member[:1], member[1:].decode())

    def _asked(self, token: int, kind: bytes, key: str) -> None:
        """Whether this process has the lease still in hand: one that was taken for nobody is given back."""
        if kind == b"i" and (key, token) not in self._held:
            self._spawn(self._run("release", key, token, "", "1"))
        elif kind == b"o" and (key, token) not in self._delivering:
            self._spawn(self._run("outbox", key, "release", token, ""))

    def _granted(self, ticket: str, token: int, key: str) -> None:
        _, future = self._tickets.get(ticket, (key, None))
        if future is None:
            self._undo(key, ticket)
        elif not future.done():
            future.set_result(token)

    async def _answered(self, key: str, message_id: str, body: bytes) -> None:
        if message_id not in self._answers.awaited(key):
            return
        if body:
            self._answers.give(key, message_id, self._bodies.replies([body], key))
        else:
            await self._check(key, message_id)

    async def _check_awaited(self) -> None:
        """What was told may have been missed: look at what somebody here waits for."""
        asking = [(ticket, key) for ticket, (key, _) in self._tickets.items()]
        asked = await asyncio.gather(*(self._run("ask", key, "", request=ticket) for ticket, key in asking))
        for (ticket, key), reply in zip(asking, asked, strict=True):
            if reply:
                self._granted(ticket, reply[0], key)
        awaited = [(key, one) for key in self._answers.conversations() for one in self._answers.awaited(key)]
        are_there = await asyncio.gather(*(self._check(*one) for one in awaited))
        missing = {one for one, is_there in zip(awaited, are_there, strict=True) if not is_there}
        for key, message_id in self._missing & missing:
            # Twice: a message may be on its way there.
            error = StoreUnavailable(f"{self._place}: a message of '{key}' is not there any more: send it again")
            self._answers.fail(key, error, message_id)
        self._missing = missing

    async def _check(self, key: str, message_id: str) -> bool:
        """Give its answer to those who wait for it, if it is there; False when the message is not."""
        outcome, *rest = await self._run("read", key, "replies", as_bytes(message_id))
        if outcome == b"answered":
            self._answers.give(key, message_id, self._bodies.replies(rest[0], key))
        return bool(outcome != b"unknown")

    # ---- opening and closing ----

    async def _opened(self) -> None:
        if self._is_open:
            return
        if self._closed:
            raise StoreUnavailable(f"{self._place}: the store has been closed")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_up())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            if self._closed and opening.cancelled():
                raise StoreUnavailable(f"{self._place}: the store has been closed") from None
            raise
        finally:
            if opening.done() and self._opening is opening:
                self._opening = None

    async def _open_up(self) -> None:
        await check_rights(self._redis, self._run("rights", ""))
        await check_format(self._redis, self._prefix, len(self._partitions))
        await check_keys(self._redis, self._prefix, self._bodies)
        await self._rounds.look(self._partitions)
        is_listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._spawn(self._listen(is_listening))
        await is_listening
        for warning in await self._redis.warnings():
            log.warning("%s", warning)
        self._spawn(self._rounds.run())
        self._is_open = not self._closed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        was_open, self._is_open = self._is_open, False
        error = StoreUnavailable(f"{self._place}: the store has been closed")
        for _, granted in self._tickets.values():
            if not granted.done():
                granted.set_exception(error)
        await self._ready.close(error)
        self._answers.fail_all(error)
        tasks = [*self._tasks, *([self._opening] if self._opening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if was_open:
            with suppress(StoreError):
                await asyncio.gather(*self._farewell())
        await self._redis.close()

    def _farewell(self) -> Iterator[Awaitable[Any]]:
        """Others need not wait until they find that this process is gone."""
        for key, token in self._held:
            yield self._run("release", key, token, "", "")
        for key, token in self._delivering:
            yield self._run("outbox", key, "release", token, "")
        for partition in self._partitions:
            yield self._redis.command("ZREM", partition.key + b"processes", self._process)


# ---- values of scripts ---------------------------------------------------------------------------


def _partition_keys(prefix: str, count: int) -> list[bytes]:
    """How the keys of each partition begin: tags whose slots lie evenly over a cluster."""
    tags: dict[int, str] = {}
    for number in itertools.count():
        tags.setdefault(key_slot(str(number).encode()) * count // SLOTS, str(number))
        if len(tags) == count:
            break
    return [f"{prefix}:{{{tags[i]}}}:".encode() for i in range(count)]


def _parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[start : start + MOST_IN_A_PART] for start in range(0, len(events), MOST_IN_A_PART))


def _listed(rows: Iterable[Sequence[Any]]) -> list[Any]:
    """Their number, and all that is in them."""
    found = list(rows)
    return [len(found), *itertools.chain.from_iterable(found)]


def _set_aside(lease: Lease, turn: Turn) -> list[UserMessage]:
    if turn.set_aside is None:
        return []
    return [message for message in lease.messages if message.message_id in turn.message_ids]


def _name(lease: Lease | OutboxLease) -> tuple[str, int]:
    """Tokens are those of a partition."""
    return lease.conversation_id, lease.token


def _cut(data: bytes, length: int) -> tuple[bytes, bytes]:
    return data[:length], data[length:]


def _why(key: str, reason: bytes, message_id: bytes = b"") -> str:
    match reason:
        case b"answered":
            return f"message '{message_id.decode()}' of '{key}' was answered before"
        case b"moved":
            return f"'{key}' has moved on since this turn was begun: it must not be stored"
        case _:
            return f"the lease on '{key}' is over: this turn must not be stored"


async def _without_trouble(doing: Awaitable[Any]) -> None:
    """What is repeated by itself, or not needed, may fail."""
    try:
        await doing
    except StoreError as error:
        log.debug("%s", error)
