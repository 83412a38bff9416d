"""Conversations in a PostgreSQL database, for any number of processes. What was committed is as safe as the database.

A turn of a caller who waits is two statements: `PUT` takes the message in and the conversation in hand, `COMMIT` stores
all that the turn leaves behind. Whoever waits for something is told by NOTIFY; about once a second each process looks
by itself, too (`LOOK`), for what a notification that got lost, or a process that died, has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson

from bot.domain import Domain
from bot.errors import LeaseLost, StoreError, StoreFull, StoreUnavailable
from bot.events import Event
from bot.interfaces import DAY, Begun, DeadLetter, Delivery, Lease, OutboxLease, Published, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    decode_delivery,
    decode_events,
    decode_message,
    decode_replies,
    decode_tracker,
    encode,
    encode_delivery,
    encode_events,
    encode_message,
    fold,
    replies_in,
)
from bot.stores import postgresql_statements as sql
from bot.stores.answers import Answers
from bot.stores.desk import MOST_SHOWN, MOST_WAITING, MOST_WAITING_IN_ALL, PATIENCE
from bot.stores.postgresql_connection import AnswerLost, Database
from bot.stores.sealing import Seal
from bot.tracker import RECENT_EVENTS, Tracker

log = logging.getLogger(__name__)

LOOKS = 1.0
"""Seconds between two looks at what is to be done."""
PURGES = 600.0
"""Seconds between two removals of what is of no use any more."""
MOST_FOUND = 50
"""Conversations that one look finds; where there are more, the next look is soon."""
LONGEST_NOTE = 7900
"""Bytes of a notification: PostgreSQL takes 8,000."""
LONGEST_ID = 1000
"""Bytes of an id: an index of PostgreSQL takes 2,700 for two of them."""
MOST_PURGED = 1000
"""Rows that are removed by one statement."""
PAGE = 500
"""Bodies that are encrypted anew by one statement."""
GIVEN_BACK = 20
"""How often a lease whose answer got lost is given back, a look apart: the server may get round to it late."""

_Found = TypeVar("_Found", UserMessage, Delivery)
_NUMBER = re.compile(r"[0-9]{1,18}")
_UNREADABLE = re.compile(r"\\(\\|0|u[0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class _Recent:
    """What `resume` needs: the snapshot as it was stored, and the latest events. `version` tells it from any other."""

    version: int
    snapshot: bytes
    events: tuple[Event, ...]


@dataclass(slots=True)
class _Held:
    """What a lease stands for here. `recent` is None in a conversation of which nothing is stored."""

    request: int
    recent: _Recent | None = field(repr=False)


@dataclass(slots=True)
class _HeldOutbox:
    """Whose an outbox is, and where its deliveries are."""

    request: int
    positions: list[int] = field(default_factory=list)


class PostgreSQLStore:
    """The store for many processes on many machines, in the `schema` of a database; the tables are made at first use.

    `url` is a whole URL (postgresql://user:password@host:5432/database), or the host as in Rasa's `tracker_store` of
    type SQL: then `port` and `db` count. `username`, `password` and `query` (options of libpq, such as `sslmode`) add
    to either. From `login_db` the database is created when it is not there.

    `connections` are those of one process, and one more to listen. A server that does not answer within `timeout`
    seconds is away. What a process has in hand when it dies is free `lease` seconds later, by the server's clock.
    `ttl` is how many seconds after the latest turn a conversation goes (None: never). When `capacity` messages wait,
    no more are taken. `cache_size` is the number of conversations kept in memory, about 70 kB each.
    """

    def __init__(
        self,
        *,
        url: str = "",
        port: int | None = None,
        db: str = "frontdesk",
        username: str = "",
        password: str = "",
        query: Mapping[str, Any] | None = None,
        login_db: str = "",
        schema: str = "frontdesk",
        connections: int = 8,
        timeout: float = 10.0,
        lease: float = 10.0,
        ttl: float | None = None,
        capacity: int = MOST_WAITING_IN_ALL,
        cache_size: int = 256,
        feed: bool = False,
        encryption_keys: str = "",
        encryption_required: bool = False,
    ) -> None:
        for name, value, least in (
            ("connections", connections, 2),
            ("cache_size", cache_size, 0),
            ("capacity", capacity, 1),
            ("lease", lease, 2 * LOOKS),
            ("ttl", ttl, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least:g}, not {value:g}")
        parts: dict[str, Any] = {"username": username or None, "password": password or None}
        if "://" not in url:
            parts |= {"host": url or None, "port": port, "database": db}
        self._seal = Seal(encryption_keys, required=encryption_required)
        self._database = Database(
            url if "://" in url else "postgresql://",
            {name: value for name, value in parts.items() if value is not None},
            {name: str(value) for name, value in (query or {}).items()},
            schema=schema,
            login_db=login_db,
            connections=connections,
            timeout=timeout,
            seal=self._seal,
        )
        self._me = secrets.token_hex(8)
        self._lease_seconds, self._ttl, self._capacity = lease, ttl, capacity
        self._feeds = feed
        self._channel = f"frontdesk_{schema}"
        """On which all processes are told; one of them alone, on a channel of its own."""
        self._cache_size = cache_size
        self._cache: OrderedDict[str, _Recent] = OrderedDict()
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Steps of one conversation, from this process, are done one after the other, in the order of calling."""
        self._answers = Answers()
        self._begun: set[tuple[str, str]] = set()
        """Messages whose answers are awaited, and which the database knows."""
        self._asking: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._arrivals: dict[str, set[asyncio.Future[None]]] = {}
        self._boxes: dict[int, _HeldOutbox] = {}
        self._left: dict[tuple[str, str, int, bool], int] = {}
        """Leases that may still be held though nobody here has them: kind, key, request, whether an attempt is to be
        taken back; and how often they are given back yet."""
        # Work: what was heard of, who waits for it, and what is not told here any more, as it cannot be read.
        self._hints: OrderedDict[Work, None] = OrderedDict()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._damaged: set[Work] = set()
        self._may_be_more = True
        self._works = False
        self._is_full = False
        self._soon: set[tuple[str, str, str | None]] = set()
        self._seen_asking: dict[int, float] = {}
        """Since when (on the loop's clock) a caller waits for a conversation that nobody has."""
        self._has_feed: asyncio.Event = asyncio.Event()
        self._to_tell: dict[tuple[str, str], None] = {}
        self._tells = False
        self._look_now = asyncio.Event()
        self._opening = asyncio.Lock()
        self._is_open = self._is_closed = False
        self._is_away = False
        """Whether the server is, or was a moment ago: the other processes may not have said yet that they live."""
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- the inbox ----

    async def accept(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> bool:
        key, request = _key(message.conversation_id), _new_request()
        row = await self._put(message, key, request, remember=remember, wait=wait, takes=False, is_asked=False)
        if row.is_answered or row.same not in (None, request):
            return False
        if row.is_free:
            self._offer(Work("inbox", message.conversation_id), float(row.rests or 0))
        elif row.holder:
            self._tell(row.holder, "arrived", message.conversation_id)
        return True

    async def begin(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> Begun:
        conversation_id, message_id = message.conversation_id, message.message_id
        key, request = _key(conversation_id), _new_request()
        recent = self._cache.get(key)
        with self._leaving("inbox", key, request, is_unbegun=True):
            row = await self._put(
                message, key, request, remember=remember, wait=wait, takes=not wait, is_asked=True, known=recent
            )
            answer = self._answers.expect(conversation_id, message_id)
            if row.is_answered:
                await self._fetch_answer(conversation_id, message_id)
                return Begun(answer)
            self._begun.add((conversation_id, message_id))
            if row.is_taken:
                return Begun(answer, self._leased(conversation_id, row, request, recent, self._own(message, row)))
        if not row.is_free:
            if row.holder:
                self._tell(row.holder, "arrived", conversation_id)
        elif not wait:
            # It was there already, and nobody has it in hand.
            return Begun(answer, await self.claim(conversation_id))
        elif row.same is None:
            self._offer(Work("inbox", conversation_id), float(row.rests))
        return Begun(answer)

    async def _put(
        self,
        message: UserMessage,
        key: str,
        request: int,
        *,
        remember: float,
        wait: float,
        takes: bool,
        is_asked: bool,
        known: _Recent | None = None,
    ) -> Any:
        """The row of `PUT`. A conversation, or a store, in which too many messages wait is a `StoreFull`."""
        conversation_id = message.conversation_id
        if self._is_full:
            raise StoreFull(f"{self._capacity} messages wait in the store: send this one again later")
        body = self._seal.close(encode_message(message), f"message:{conversation_id}")
        values = {
            "id": key,
            "message": _key(message.message_id),
            "body": body,
            "me": self._me,
            "request": request,
            "takes": takes,
            "is_asked": is_asked,
            "known": known.version if known else 0,
            "remember": float(remember),
            "wait": float(wait),
        }
        async with self._line(key):
            try:
                [row] = await self._run(sql.PUT, **values)
            except AnswerLost:
                # The message may be in, and the conversation in hand: begin again from there.
                await self._give_back(key, request, is_unbegun=True)
                [row] = await self._run(sql.PUT, **values)
        if row.same is None and not row.is_answered and row.waiting >= MOST_WAITING:
            raise StoreFull(f"'{conversation_id}' has {MOST_WAITING} messages that wait: send this one again later")
        return row

    def _own(self, message: UserMessage, row: Any) -> Sequence[UserMessage]:
        """The message that was just put in, when a lease shows so many, as it would be read again."""
        if row.waiting >= MOST_SHOWN:
            return ()
        return (decode_message(encode_message(message), message.conversation_id),)

    async def ready(self) -> Work:
        self._works = True
        await self._opened()
        while True:
            try:
                work = await self._next_hint()
                if work not in self._damaged and await self._tell_worker(work):
                    return work
            except StoreUnavailable:
                # The server is away: `_keep` has said so.
                self._may_be_more = True
                self._check_open()
                await asyncio.sleep(LOOKS / 4)

    async def _tell_worker(self, work: Work) -> bool:
        """Whether a worker here is the one to be told of this; no other is then, for a while."""
        key = _key(work.conversation_id)
        statement = sql.TELL_INBOX if work.kind == "inbox" else sql.TELL_OUTBOX
        try:
            async with self._line(key):
                return bool(await self._run(statement, id=key, seconds=PATIENCE))
        except BaseException:
            # The hint is gone: the next one looks.
            self._may_be_more = True
            raise

    async def _next_hint(self) -> Work:
        """A conversation in which there may be work."""
        while True:
            if self._hints:
                return self._hints.popitem(last=False)[0]
            if self._may_be_more and not self._is_away:
                await self._look()
                continue
            self._check_open()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(future)
            try:
                await future
            finally:
                with contextlib.suppress(ValueError):
                    self._idle.remove(future)
                if self._hints:
                    self._wake_idle()

    def _hint(self, work: Work) -> bool:
        """Have somebody here look there; False when nobody waits for work."""
        if not self._idle:
            return False
        self._hints[work] = None
        self._wake_idle()
        return True

    def _wake_idle(self) -> None:
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _offer(self, work: Work, delay: float = 0.0) -> None:
        """There is work that nobody has in hand, so many seconds from now: for a worker here, or anywhere."""
        if delay > 0:
            self._later(delay, (work.kind, work.conversation_id, None), self._offer, work)
        elif not self._hint(work):
            self._may_be_more = True
            self._tell(None, work.kind, work.conversation_id)

    async def claim(self, conversation_id: str) -> Lease | None:
        try:
            return await self._take(conversation_id)
        except (StoreUnavailable, LeaseLost):
            raise
        except StoreError:
            # What cannot be read would be told again and again.
            self._damaged.add(Work("inbox", conversation_id))
            raise

    async def _take(self, conversation_id: str) -> Lease | None:
        key, request, recent = _key(conversation_id), _new_request(), self._cache.get(_key(conversation_id))
        values = {"id": key, "me": self._me, "request": request, "known": recent.version if recent else 0}
        with self._leaving("inbox", key, request, is_unbegun=True):
            async with self._line(key):
                try:
                    rows = await self._run(sql.TAKE, **values)
                except AnswerLost:
                    await self._give_back(key, request, is_unbegun=True)
                    rows = await self._run(sql.TAKE, **values)
            return self._leased(conversation_id, rows[0], request, recent) if rows else None

    async def arrival(self, lease: Lease) -> None:
        conversation_id = lease.conversation_id
        known = [_key(message.message_id) for message in lease.messages]
        waiting = self._arrivals.setdefault(conversation_id, set())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.add(future)
        try:
            while True:
                [row] = await self._run(sql.ARRIVED, id=_key(conversation_id), messages=known)
                if row.is_there:
                    return
                await future
                waiting.discard(future)
                future = asyncio.get_running_loop().create_future()
                waiting.add(future)
        finally:
            waiting.discard(future)
            if not waiting:
                self._arrivals.pop(conversation_id, None)

    async def pending(self) -> list[UserMessage]:
        rows = await self._run(sql.PENDING)
        return [self._message(row.body, _unkey(row.conversation_id)) for row in rows]

    # ---- the turn ----

    def _leased(
        self,
        conversation_id: str,
        row: Any,
        request: int,
        known: _Recent | None,
        further: Sequence[UserMessage] = (),
    ) -> Lease:
        """The lease that a row tells of."""
        messages = (*(self._message(body, conversation_id) for body in row.messages), *further)
        held = _Held(request, self._recent(conversation_id, row, known))
        return Lease(conversation_id, row.token, messages, row.attempts or 0, held)

    def _recent(self, conversation_id: str, row: Any, known: _Recent | None) -> _Recent | None:
        """What a row says of the stored state; kept at hand."""
        if row.version == 0:
            return None
        if known is None or known.version != row.version:
            snapshot = self._seal.open(row.snapshot, f"snapshot:{conversation_id}")
            events = self._events(row.turns, conversation_id)
            known = _Recent(row.version, snapshot, tuple(events[-RECENT_EVENTS:]))
        self._remember(_key(conversation_id), known)
        return known

    def _remember(self, key: str, recent: _Recent) -> None:
        self._cache[key] = recent
        self._cache.move_to_end(key)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    @asynccontextmanager
    async def lease(self, conversation_id: str) -> AsyncIterator[Lease]:
        lease = await self._ask(conversation_id)
        try:
            yield lease
        finally:
            await self.release(lease)

    async def _ask(self, conversation_id: str) -> Lease:
        key, request, recent = _key(conversation_id), _new_request(), self._cache.get(_key(conversation_id))
        values = {"id": key, "me": self._me, "request": request, "known": recent.version if recent else 0}
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking[request] = (key, granted)
        try:
            with self._leaving("inbox", key, request):
                async with self._line(key):
                    try:
                        [row] = await self._run(sql.ASK, **values)
                    except AnswerLost:
                        await self._give_back(key, request)
                        [row] = await self._run(sql.ASK, **values)
                if not row.is_free:
                    await granted
                    [row] = await self._run(sql.GRANTED, **values) or [None]
                if row is None:
                    raise LeaseLost(f"'{conversation_id}' was taken over by another process: try again")
                return Lease(
                    conversation_id, row.token, state=_Held(request, self._recent(conversation_id, row, recent))
                )
        finally:
            del self._asking[request]

    async def resume(self, lease: Lease, domain: Domain) -> Tracker:
        held: _Held = lease.state
        return await self._tracker(lease.conversation_id, held.recent, domain)

    async def load(self, conversation_id: str, domain: Domain) -> Tracker:
        key = _key(conversation_id)
        recent = self._cache.get(key)
        rows = await self._run(sql.READ, id=key, known=recent.version if recent else 0)
        found = self._recent(conversation_id, rows[0], recent) if rows else None
        return await self._tracker(conversation_id, found, domain)

    async def _tracker(self, conversation_id: str, recent: _Recent | None, domain: Domain) -> Tracker:
        if recent is None:
            return Tracker.new(conversation_id, domain)
        tracker = decode_tracker(recent.snapshot, recent.events, conversation_id, domain)
        return tracker or fold(await self.events(conversation_id), conversation_id, domain)

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> Lease | None:
        return await self._store(lease, turn, tracker, replaces=False)

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        await self._store(lease, turn, tracker, replaces=True)

    async def _store(self, lease: Lease, turn: Turn, tracker: Tracker, *, replaces: bool) -> Lease | None:
        who, key, following = turn.conversation_id, _key(turn.conversation_id), _new_request()
        if not lease.conversation_id == who == tracker.conversation_id:
            raise StoreError(f"a turn of '{who}' was to be stored under '{lease.conversation_id}'")
        held: _Held = lease.state
        start = 0 if replaces else tracker.event_count - len(turn.events)
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        events = (*(held.recent.events if held.recent and start else ()), *decode_events([body], who))
        recent = _Recent(_version(lease, turn, start, body), snapshot, events[-RECENT_EVENTS:])
        parts = {
            "replaces": replaces,
            "feeds": self._feeds and bool(turn.events),
            "sets_aside": turn.set_aside is not None,
            "sends": bool(turn.deliveries),
            "times": bool(turn.timers),
        }
        values = {
            "id": key,
            "me": self._me,
            "token": lease.token,
            "next": following,
            "ends": bool(lease.messages) and not replaces,
            "start": start,
            "end": tracker.event_count,
            "version": recent.version,
            "snapshot": self._seal.close(snapshot, f"snapshot:{who}"),
            "body": self._seal.close(body, f"turn:{who}"),
            "messages": [_key(message_id) for message_id in turn.message_ids],
            "last_message": _key(turn.message_ids[-1]) if turn.message_ids else "",
            "remember": DAY,
            **self._besides(turn),
        }
        statement = sql.store(*(part for part, is_there in parts.items() if is_there))
        with self._leaving("inbox", key, following, is_unbegun=True):
            async with self._line(key):
                row = await self._commit(statement, values)
        held.recent = recent
        self._remember(key, recent)
        self._answer(turn, row.consumed or ())
        self._expect_timers(turn)
        if self._feeds:
            self._tell(row.feeder, "fed")
        if turn.deliveries:
            self._offer(Work("outbox", who))
        match row.fate:
            case "next":
                messages = tuple(self._message(body, who) for body in row.messages)
                return Lease(who, row.token, messages, row.attempts, _Held(following, recent))
            case "granted":
                self._tell(row.holder, "granted", who, row.request)
            case "free" if row.messages:
                self._offer(Work("inbox", who), float(row.rests))
        return None

    async def _commit(self, statement: str, values: Mapping[str, Any]) -> Any:
        """The row of a commit, or what it would be when the very turn had been stored before. Else `LeaseLost`."""
        try:
            rows = await self._run(statement, **values)
        except AnswerLost:
            rows = await self._run(statement, **values)
        if rows:
            return rows[0]
        names = ("id", "me", "next", "version", "end", "messages")
        stored = next(iter(await self._run(sql.STORED, **{name: values[name] for name in names})), None)
        who = _unkey(values["id"])
        if stored is not None and stored.is_stored:
            if not stored.goes_on:
                return _Stored("free", stored.token)
            # The attempt that begins now is counted already.
            return _Stored("next", stored.token, stored.messages, stored.attempts - 1)
        if stored is not None and stored.is_answered is not None:
            raise LeaseLost(f"message '{_unkey(stored.is_answered)}' of '{who}' was answered before")
        if stored is not None and stored.event_count == values["start"]:
            raise LeaseLost(f"the lease on '{who}' is over: this turn must not be stored")
        raise LeaseLost(f"'{who}' has moved on since this turn was begun: it must not be stored")

    def _besides(self, turn: Turn) -> dict[str, Any]:
        """The values of the further parts of `store`."""
        timers = {timer.name: timer for timer in turn.timers}
        is_set = [(timer, timer.message) for timer in timers.values() if timer.message is not None]
        who = turn.conversation_id
        return {
            "reason": None if turn.set_aside is None else _escaped(turn.set_aside),
            "deliveries": [
                self._seal.close(encode_delivery(delivery), f"delivery:{who}") for delivery in turn.deliveries
            ],
            "cancelled": [_key(name) for name, timer in timers.items() if timer.message is None],
            "timers": [_key(timer.name) for timer, _ in is_set],
            "dues": [float(timer.due) for timer, _ in is_set],
            "timer_messages": [_key(message.message_id) for _, message in is_set],
            "timer_bodies": [self._seal.close(encode_message(message), f"message:{who}") for _, message in is_set],
        }

    def _answer(self, turn: Turn, consumed: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Whoever waits for the answer to one of the turn's messages has it, here or in another process."""
        who = turn.conversation_id
        for message_id in turn.message_ids:
            is_last = message_id == turn.message_ids[-1]
            self._answers.give(who, message_id, replies_in(turn.events) if is_last else [])
        for message_id, processes in consumed:
            for process in processes:
                if process != self._me:
                    self._tell(process, "answered", who, _unkey(message_id))

    async def release(self, lease: Lease, *, failed: bool = False) -> None:
        held: _Held = lease.state
        is_unbegun = bool(lease.messages) and not failed
        await asyncio.shield(self._spawn(self._release(lease.conversation_id, held.request, is_unbegun)))

    async def _release(self, conversation_id: str, request: int, is_unbegun: bool) -> None:
        key = _key(conversation_id)
        try:
            async with self._line(key):
                await self._give_back(key, request, is_unbegun=is_unbegun)
        except StoreUnavailable as error:
            log.warning("conversation %s: its lease is given back later: %s", conversation_id, error)

    async def _give_back(self, key: str, request: int, *, is_unbegun: bool = False) -> None:
        """Whatever this request has or has asked for is free; where that cannot be done now, it is done later."""
        try:
            rows = await self._run(sql.RELEASE, id=key, me=self._me, request=request, is_unbegun=is_unbegun)
        except StoreError:
            self._leave_behind("inbox", key, request, is_unbegun=is_unbegun)
            raise
        if not rows:
            return
        self._left.pop(("inbox", key, request, is_unbegun), None)
        row, conversation_id = rows[0], _unkey(key)
        if row.holder is not None:
            self._tell(row.holder, "granted", conversation_id, row.request)
        elif row.waits:
            self._offer(Work("inbox", conversation_id), float(row.rests))

    def _leave_behind(self, kind: str, key: str, request: int, *, is_unbegun: bool = False) -> None:
        """Nobody here has this any more, whatever the database says, now or after a while."""
        if not self._is_closed:
            self._left[kind, key, request, is_unbegun] = GIVEN_BACK
            self._look_now.set()

    @contextlib.contextmanager
    def _leaving(self, kind: str, key: str, request: int, *, is_unbegun: bool = False) -> Iterator[None]:
        """Whatever a step in the block has taken is given back when the block fails and nobody will hear of it."""
        try:
            yield
        except (LeaseLost, StoreFull):
            raise
        except BaseException:
            self._leave_behind(kind, key, request, is_unbegun=is_unbegun)
            raise

    # ---- the outbox ----

    async def claim_outbox(self, conversation_id: str) -> OutboxLease | None:
        try:
            return await self._take_outbox(conversation_id)
        except (StoreUnavailable, LeaseLost):
            raise
        except StoreError:
            self._damaged.add(Work("outbox", conversation_id))
            raise

    async def _take_outbox(self, conversation_id: str) -> OutboxLease | None:
        key, held = _key(conversation_id), _HeldOutbox(_new_request())
        values = {"id": key, "me": self._me, "request": held.request}
        with self._leaving("outbox", key, held.request):
            try:
                rows = await self._run(sql.TAKE_OUTBOX, **values)
            except AnswerLost:
                await self._run(sql.RELEASE_OUTBOX, **values)
                rows = await self._run(sql.TAKE_OUTBOX, **values)
            return self._outbox(conversation_id, rows[0].token, held, rows) if rows else None

    def _outbox(self, conversation_id: str, token: int, held: _HeldOutbox, rows: Sequence[Any]) -> OutboxLease:
        deliveries = tuple(self._delivery(row, conversation_id) for row in rows)
        held.positions = [row.position for row in rows]
        self._boxes[token] = held
        return OutboxLease(conversation_id, token, deliveries)

    async def delivered(self, lease: OutboxLease) -> OutboxLease | None:
        return await self._strike(lease, None)

    async def give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None:
        return await self._strike(lease, _escaped(reason))

    async def _strike(self, lease: OutboxLease, reason: str | None) -> OutboxLease | None:
        held, key = self._out_of_box(lease), _key(lease.conversation_id)
        values = {"id": key, "me": self._me, "token": lease.token, "position": held.positions[0], "reason": reason}
        with self._leaving("outbox", key, held.request):
            try:
                rows, may_be_done = await self._run(sql.STRIKE, **values), False
            except AnswerLost:
                rows, may_be_done = await self._run(sql.STRIKE, **values), True
            if not rows and not may_be_done:
                raise LeaseLost(f"the deliveries of '{lease.conversation_id}' are in other hands")
            if not rows or rows[0].position is None:
                return None
            return self._outbox(lease.conversation_id, lease.token, held, rows)

    async def postpone(self, lease: OutboxLease, seconds: float) -> None:
        held, key = self._out_of_box(lease), _key(lease.conversation_id)
        values = {"id": key, "me": self._me, "token": lease.token, "position": held.positions[0], "seconds": seconds}
        with self._leaving("outbox", key, held.request):
            try:
                rows, may_be_done = await self._run(sql.POSTPONE, **values), False
            except AnswerLost:
                rows, may_be_done = await self._run(sql.POSTPONE, **values), True
        if not rows and not may_be_done:
            raise LeaseLost(f"the deliveries of '{lease.conversation_id}' are in other hands")
        self._offer(Work("outbox", lease.conversation_id), seconds)

    def _out_of_box(self, lease: OutboxLease) -> _HeldOutbox:
        """What the lease stands for. It is over with the next step, which may give another one."""
        held = self._boxes.pop(lease.token, None)
        if held is None:
            raise LeaseLost(f"the lease on the deliveries of '{lease.conversation_id}' is over")
        return held

    # ---- dead letters ----

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        letters = []
        for row in await self._run(sql.LETTERS, limit=limit):
            conversation_id = _unkey(row.conversation_id)
            content: UserMessage | Delivery = (
                self._message(row.body, conversation_id) if row.is_message else self._delivery(row, conversation_id)
            )
            letters.append(DeadLetter(str(row.letter), conversation_id, _unkey(row.reason), float(row.at), content))
        return letters

    async def revive(self, letter_id: str) -> bool:
        if not _NUMBER.fullmatch(letter_id):
            return False
        rows = await self._run(sql.REVIVE, letter=int(letter_id), request=_new_request(), remember=DAY)
        for row in rows:
            self._offer(Work("inbox" if row.is_message else "outbox", _unkey(row.conversation_id)))
        return bool(rows)

    async def bury(self, letter_id: str) -> bool:
        return bool(_NUMBER.fullmatch(letter_id)) and bool(await self._run(sql.BURY, letter=int(letter_id)))

    # ---- reading ----

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None:
        rows = await self._run(sql.REPLIES, id=_key(conversation_id), message=_key(message_id))
        if not rows:
            return None
        body = rows[0].body
        if body is None:
            return []
        return decode_replies(self._seal.open(body, f"turn:{conversation_id}"), conversation_id)

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        last = 2**62 if limit is None else after + limit
        rows = await self._run(sql.EVENTS, id=_key(conversation_id), after=after, last=last)
        if not rows:
            return []
        # A long history takes its time to read: others are served meanwhile.
        events = await asyncio.to_thread(self._events, [row.body for row in rows], conversation_id)
        start = rows[0].start_count
        return events[max(after - start, 0) : max(last - start, 0)]

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]:
        return [_unkey(row.conversation_id) for row in await self._run(sql.IDS, after=_key(after), limit=limit)]

    async def delete(self, conversation_id: str) -> None:
        key = _key(conversation_id)
        async with self._line(key):
            rows = await self._run(sql.DELETE, id=key)
            self._cache.pop(key, None)
            await self._grant(conversation_id)
        self._answers.fail(conversation_id, _deleted(conversation_id))
        for row in rows:
            for process in row.asked_by:
                if process != self._me:
                    self._tell(process, "answered", conversation_id, _unkey(row.message_id))

    async def _grant(self, conversation_id: str) -> None:
        for row in await self._run(sql.GRANT, id=_key(conversation_id)):
            self._tell(row.holder, "granted", conversation_id, row.request)

    def _message(self, body: bytes, conversation_id: str) -> UserMessage:
        return decode_message(self._seal.open(body, f"message:{conversation_id}"), conversation_id)

    def _delivery(self, row: Any, conversation_id: str) -> Delivery:
        delivery = decode_delivery(self._seal.open(row.body, f"delivery:{conversation_id}"), conversation_id)
        return dataclasses.replace(delivery, attempts=row.attempts)

    def _events(self, bodies: Sequence[bytes], conversation_id: str) -> list[Event]:
        place = f"turn:{conversation_id}"
        return decode_events([self._seal.open(body, place) for body in bodies], conversation_id)

    # ---- the feed ----

    async def feed(self, limit: int = 100) -> list[Published]:
        while True:
            self._has_feed.clear()
            rows = await self._run(sql.FEED, me=self._me, seconds=self._lease_seconds, limit=limit)
            if rows:
                return [self._published(row) for row in rows]
            with contextlib.suppress(TimeoutError):
                # Whoever asks no more, loses it to another process.
                async with asyncio.timeout(self._lease_seconds / 3):
                    await self._has_feed.wait()

    def _published(self, row: Any) -> Published:
        conversation_id = _unkey(row.conversation_id)
        events = tuple(self._events([row.body], conversation_id))
        return Published(str(row.position), conversation_id, row.start_count, events)

    async def published(self, turns: Sequence[Published]) -> None:
        await self._run(sql.PUBLISHED, positions=[int(turn.id) for turn in turns])

    # ---- encryption ----

    async def reseal(self) -> int:
        count = 0
        for table in sql.SEALED:
            statement = sql.sealed(table, is_first=True)
            last: dict[str, Any] = {}
            while rows := await self._run(statement, limit=PAGE, **last):
                number, is_done = await self._reseal(table, rows)
                count += number
                if is_done:
                    statement, last = sql.sealed(table, is_first=False), _ids(table, rows[-1])
        await self._run(sql.MARK, mark=self._seal.mark(None))
        return count

    async def _reseal(self, table: str, rows: Sequence[Any]) -> tuple[int, bool]:
        """Close these bodies anew: how many that were, and whether nobody changed one of them meanwhile."""
        renewed = [
            (row.place, row.body, new)
            for row in rows
            if (new := self._seal.renewed(row.body, f"{row.kind}:{_unkey(row.conversation_id)}")) is not None
        ]
        if not renewed:
            return 0, True
        columns = [list(column) for column in zip(*renewed, strict=True)]
        done = await self._run(sql.resealed(table), places=columns[0], old=columns[1], new=columns[2])
        return len(done), len(done) == len(renewed)

    # ---- telling and hearing ----

    def _tell(self, process: str | None, what: str, *about: str | int) -> None:
        """Let a process know, or every one that listens; this one at once."""
        if process == self._me:
            self._heard(what, *about)
            return
        note = orjson.dumps([what, *about]).decode()
        if len(note.encode()) > LONGEST_NOTE:
            note = '["look"]'
        self._to_tell[self._channel if process is None else f"{self._channel}_{process}", note] = None
        if not self._tells and not self._is_closed:
            self._tells = True
            self._spawn(self._tell_all())

    async def _tell_all(self) -> None:
        """By one statement, however much has come together meanwhile; what gets lost is found by a look."""
        try:
            while self._to_tell:
                notes, self._to_tell = list(self._to_tell), {}
                channels, payloads = zip(*notes, strict=True)
                await self._run(sql.TELL, channels=list(channels), payloads=list(payloads))
        finally:
            self._tells = False

    def _heard(self, what: str, *about: Any) -> None:
        match (what, *about):
            case ("inbox" | "outbox" as kind, str(conversation_id)):
                if not self._hint(Work(kind, conversation_id)):
                    self._may_be_more = True
            case ("answered", str(conversation_id), str(message_id)):
                self._spawn(self._fetch_answer(conversation_id, message_id))
            case ("granted", str(), int(request)) if request in self._asking:
                granted = self._asking[request][1]
                if not granted.done():
                    granted.set_result(None)
            case ("arrived", str(conversation_id)):
                for future in self._arrivals.get(conversation_id, ()):
                    if not future.done():
                        future.set_result(None)
            case ("fed",):
                self._has_feed.set()
            case _:
                self._look_now.set()

    async def _fetch_answer(self, conversation_id: str, message_id: str) -> None:
        """Give the answer that is stored to whoever waits for it; there is none when the conversation was deleted."""
        if message_id in self._answers.awaited(conversation_id):
            replies = await self.replies(conversation_id, message_id)
            if replies is None:
                self._answers.fail(conversation_id, _deleted(conversation_id), message_id)
            else:
                self._answers.give(conversation_id, message_id, replies)

    async def _listen(self) -> None:
        while not self._is_closed:
            try:
                async for note in self._database.listen((self._channel, f"{self._channel}_{self._me}")):
                    # What was told before we listened is found by looking.
                    self._heard(*(orjson.loads(note) if note else ("look",)))
            except StoreError as error:
                log.debug("not listening: %s", error)
            await asyncio.sleep(LOOKS / 4)

    # ---- looking after it all ----

    async def _keep(self) -> None:
        """Say that this process lives, and look, about once a second."""
        loop = asyncio.get_running_loop()
        purged_at = loop.time()
        while not self._is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOKS):
                    await self._look_now.wait()
            self._look_now.clear()
            try:
                await self._beat()
                if self._is_away:
                    await asyncio.sleep(LOOKS)
                await self._give_back_left()
                await self._look()
                if self._is_away:
                    log.warning("%s is back", self._database.where)
                    self._is_away = False
                if loop.time() > purged_at + PURGES:
                    purged_at = loop.time()
                    await self._purge()
            except StoreError as error:
                if not self._is_away:
                    log.error("%s", error)
                self._is_away = True
                await asyncio.sleep(LOOKS / 4)
                self._look_now.set()

    async def _purge(self) -> None:
        self._damaged.clear()
        for statement in (*sql.PURGE, sql.EXPIRE) if self._ttl else sql.PURGE:
            while (await self._run(statement, limit=MOST_PURGED, ttl=self._ttl))[0].number == MOST_PURGED:
                pass

    async def _beat(self) -> None:
        await self._database.run(sql.BEAT, me=self._me, seconds=self._lease_seconds)

    async def _give_back_left(self) -> None:
        for one, times in list(self._left.items()):
            kind, key, request, is_unbegun = one
            if kind == "outbox":
                rows = await self._run(sql.RELEASE_OUTBOX, id=key, me=self._me, request=request)
                for _ in rows:
                    self._left.pop(one, None)
                    self._offer(Work("outbox", _unkey(key)))
            else:
                async with self._line(key):
                    await self._give_back(key, request, is_unbegun=is_unbegun)
            if one in self._left:
                self._left[one] = times - 1
                if times <= 1:
                    del self._left[one]

    async def _look(self) -> None:
        """See what is to be done, and what is awaited here and has come."""
        self._may_be_more = not self._works
        awaited = [one for one in self._begun if one[1] in self._answers.awaited(one[0])]
        self._begun.intersection_update(awaited)
        asking = [(key, request) for request, (key, future) in self._asking.items() if not future.done()]
        rows = await self._run(
            sql.LOOK,
            me=self._me,
            works=self._works,
            soon=1.5 * LOOKS,
            most=MOST_FOUND,
            limit=self._capacity,
            asking=[key for key, _ in asking],
            requests=[request for _, request in asking],
            awaited=[_key(conversation_id) for conversation_id, _ in awaited],
            messages=[_key(message_id) for _, message_id in awaited],
        )
        seen, self._seen_asking = self._seen_asking, {}
        found: dict[str, int] = {}
        for row in rows:
            found[row.kind] = found.get(row.kind, 0) + 1
            await self._found(row.kind, _unkey(row.conversation_id), row.name, row.number, seen)
        if max(found.get("inbox", 0), found.get("outbox", 0)) >= MOST_FOUND:
            self._may_be_more = True

    async def _found(
        self, kind: str, conversation_id: str, name: str | None, number: Any, seen: Mapping[int, float]
    ) -> None:
        match kind:
            case "inbox" | "outbox":
                work = Work(kind, conversation_id)
                if number > 0:
                    self._later(float(number), (kind, conversation_id, None), self._heard, kind, conversation_id)
                else:
                    self._hints[work] = None
                    self._wake_idle()
            case "timer":
                self._later(float(number), (kind, conversation_id, name), self._fire, conversation_id, name)
            case "asked":
                # A worker has a moment to take what came before; then whoever asked has it.
                now = asyncio.get_running_loop().time()
                since = self._seen_asking[int(number)] = seen.get(int(number), now)
                if now >= since + PATIENCE:
                    await self._grant(conversation_id)
            case "granted":
                self._heard("granted", conversation_id, int(number))
            case "answered":
                await self._fetch_answer(conversation_id, _unkey(name or ""))
            case "waiting":
                self._is_full = number >= self._capacity

    def _later(self, delay: float, name: tuple[str, str, str | None], do: Callable[..., None], *about: Any) -> None:
        """Do it when it is due, once."""
        if name not in self._soon and not self._is_closed:
            self._soon.add(name)
            # The server's clock may be a little behind when this one says that the time has come.
            asyncio.get_running_loop().call_later(max(delay, 0.0) + 0.002, self._do_later, name, do, about)

    def _do_later(self, name: tuple[str, str, str | None], do: Callable[..., None], about: tuple[Any, ...]) -> None:
        self._soon.discard(name)
        if not self._is_closed:
            do(*about)

    def _expect_timers(self, turn: Turn) -> None:
        """What may be due before the next look has come round, is waited for."""
        for timer in turn.timers:
            delay = timer.due - time.time()
            if self._works and timer.message is not None and delay < LOOKS:
                name = _key(timer.name)
                self._later(delay, ("timer", turn.conversation_id, name), self._fire, turn.conversation_id, name)

    def _fire(self, conversation_id: str, name: str) -> None:
        self._spawn(self._fire_timer(conversation_id, name))

    async def _fire_timer(self, conversation_id: str, name: str) -> None:
        key = _key(conversation_id)
        async with self._line(key):
            rows = await self._run(sql.FIRE, id=key, name=name, request=_new_request(), remember=DAY)
        for row in rows:
            if row.is_free:
                self._offer(Work("inbox", conversation_id), float(row.rests))
            elif row.holder:
                self._tell(row.holder, "arrived", conversation_id)

    # ---- the connection ----

    async def _run(self, statement: str, **values: Any) -> Sequence[Any]:
        await self._opened()
        return await self._database.run(statement, **values)

    async def _opened(self) -> None:
        self._check_open()
        if not self._is_open:
            async with self._opening:
                if not self._is_open:
                    await self._database.open()
                    await self._beat()
                    self._is_open = True
                    self._spawn(self._keep())
                    self._spawn(self._listen())

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store has been closed")

    def _line(self, key: str) -> asyncio.Lock:
        # A lock lives as long as somebody holds it or waits for it.
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = asyncio.Lock()
        return line

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)
        return task

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, StoreUnavailable):
            log.error("%s: %s", type(error).__name__, error)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        error = StoreUnavailable("the store has been closed")
        self._answers.fail_all(error)
        for future in (*self._idle, *(future for _, future in self._asking.values())):
            if not future.done():
                future.set_exception(error)
        while tasks := self._tasks - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            # Before Python 3.12, `wait_for` may swallow it, and psycopg uses that.
            await asyncio.wait(tasks, timeout=LOOKS)
        if self._is_open:
            with contextlib.suppress(StoreError):
                # What this process had in hand is free at once, and the others look for it.
                await self._database.run(sql.LEAVE, me=self._me)
                await self._database.run(sql.TELL, channels=[self._channel], payloads=['["look"]'])
        await self._database.close()


@dataclass(frozen=True, slots=True)
class _Stored:
    """The row of a commit whose answer got lost. Whoever else was to hear of it finds out by looking."""

    fate: str
    token: int
    messages: Sequence[bytes] = ()
    attempts: int = 0
    holder: str | None = None
    request: int | None = None
    rests: float = 0.0
    consumed: Sequence[tuple[str, Sequence[str]]] = ()
    feeder: str | None = None


def _ids(table: str, row: Any) -> dict[str, Any]:
    """What tells a row of a table, as `sealed` takes it."""
    return {f"last_{number}": getattr(row, name) for number, name in enumerate(sql.SEALED[table][1].split(", "))}


def _deleted(conversation_id: str) -> LeaseLost:
    return LeaseLost(f"'{conversation_id}' was deleted before this was answered")


def _new_request() -> int:
    return secrets.randbits(62)


def _version(lease: Lease, turn: Turn, start: int, body: bytes) -> int:
    """A number for the stored state: the same when the very turn is stored again, and never 0."""
    names = [lease.token, start, turn.message_ids, [delivery.key for delivery in turn.deliveries]]
    digest = hashlib.sha256(encode(names) + body).digest()
    return int.from_bytes(digest[:8], "big") >> 2 | 1


def _key(text: str) -> str:
    """An id as a column of type text and its index hold it."""
    kept = _escaped(text)
    if len(kept.encode()) > LONGEST_ID:
        raise StoreError(f"an id that begins with '{text[:40]}' is too long: at most {LONGEST_ID} bytes are kept")
    return kept


def _escaped(text: str) -> str:
    r"""`\0` for the character 0, which PostgreSQL does not keep, `\udXXX` for half a character, `\\` for `\`."""
    return text.replace("\\", "\\\\").replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _unkey(kept: str) -> str:
    """What `_key` or `_escaped` was given."""
    return _UNREADABLE.sub(_read_again, kept) if "\\" in kept else kept


def _read_again(match: re.Match[str]) -> str:
    code = match[1]
    return {"\\": "\\", "0": "\0"}.get(code) or chr(int(code[1:], 16))
