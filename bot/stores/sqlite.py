"""Conversations in one SQLite file, written by one process. What was committed survives a power cut.

A turn is one row with all its events, so that a commit writes few rows however much was said. What waits is in
memory, too (see desk.py), and follows the file in the order of writing: whatever changes it does so in `then`, when
the transaction is durable. A small cache keeps what busy conversations need next.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bot.domain import Domain
from bot.errors import LeaseLost, StoreError, StoreFull, StoreUnavailable, UnknownName
from bot.events import Event
from bot.interfaces import DAY, Begun, DeadLetter, Delivery, Lease, OutboxLease, Published, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    answers_of,
    decode_delivery,
    decode_events,
    decode_message,
    decode_tracker,
    encode,
    encode_delivery,
    encode_events,
    encode_message,
    fold,
    replies_in,
)
from bot.stores.desk import PATIENCE, Desk
from bot.stores.sealing import Seal
from bot.stores.sqlite_file import SQLiteFile, Write
from bot.tracker import RECENT_EVENTS, Tracker

log = logging.getLogger(__name__)

_Content = TypeVar("_Content", UserMessage, Delivery)
_SEALED = {
    "conversations": "conversation_id",
    "turns": "turn",
    "inbox": "conversation_id, message_id",
    "outbox": "conversation_id, delivery_key",
    "timers": "conversation_id, name",
    "dead_letters": "letter",
    "feed": "position",
}
"""The tables with sealed bodies, and the columns that tell a row."""
_KINDS = {
    "conversations": "'snapshot'",
    "turns": "'turn'",
    "inbox": "'message'",
    "outbox": "'delivery'",
    "timers": "'message'",
    "feed": "'turn'",
}
_PAGE = 500
_LETTERS = "SELECT letter, conversation_id, reason, at, kind, body FROM dead_letters"


@dataclass(frozen=True, slots=True)
class _Recent:
    """What `load` needs: the snapshot as it was stored, and the latest events."""

    snapshot: bytes
    events: tuple[Event, ...]


class SQLiteStore:
    """The store for one process. A second process that opens the file is turned away.

    Beside the file lie SQLite's `-wal` and `-shm` while it is open, and `.lock`, which keeps others out.

    `synchronous` is SQLite's: "FULL" waits for the disk before a turn counts as stored; "NORMAL" may
    lose the last turns in a power cut (never in a crash of the program). `cache_size` is the number of
    conversations kept in memory, about 70 kB each. `encryption_keys`: see docs/encryption.md. What is
    accepted is remembered for good, whatever `remember` says. With `feed` what is committed is kept until it
    is `published`.
    """

    def __init__(
        self,
        path: str | Path = "frontdesk.db",
        *,
        synchronous: str = "FULL",
        cache_size: int = 256,
        encryption_keys: str = "",
        encryption_required: bool = False,
        feed: bool = False,
    ) -> None:
        if synchronous not in ("EXTRA", "FULL", "NORMAL", "OFF"):
            raise UnknownName("value of 'synchronous'", synchronous, ("EXTRA", "FULL", "NORMAL", "OFF"))
        if cache_size < 0:
            raise ValueError(f"cache_size must be at least 0, not {cache_size}")
        self._cache_size = cache_size
        self._cache: OrderedDict[str, _Recent] = OrderedDict()
        self._seal = Seal(encryption_keys, required=encryption_required)
        self._file = SQLiteFile(Path(path), synchronous, self._seal)
        # Tokens and positions grow from one opening of the file to the next, too.
        self._desk = Desk(self._file.opening << 32)
        self._positions = itertools.count(self._file.opening << 32)
        self._feeds = feed
        self._fed = asyncio.Event()
        self._fill_desk()

    def _fill_desk(self) -> None:
        """Take up what waited when the file was closed. What is damaged is told, and left where it is."""
        read = self._file.read
        for key, attempts, body in read("SELECT conversation_id, attempts, body FROM inbox ORDER BY position"):
            if message := _undamaged(self._message, body, key):
                self._desk.put(message, attempts=attempts)
        for key, due, body in read("SELECT conversation_id, due, body FROM outbox ORDER BY position"):
            if delivery := _undamaged(self._delivery, body, key):
                self._desk.send(key, [delivery], at=due)
        for key, name, due, body in read("SELECT conversation_id, name, due, body FROM timers"):
            if message := _undamaged(self._message, body, key):
                self._desk.set_timers(key, [Timer(name, due, message)])

    # ---- the inbox ----

    async def accept(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> bool:
        key, message_id, body = message.conversation_id, message.message_id, encode_message(message)
        if self._desk.is_waiting(key, message_id) or not await self._has_room_for(message):
            return False

        def then(is_new: bool) -> bool:
            if is_new:
                self._desk.put(message, wait=wait)
            return is_new

        accepted: bool = await self._write(self._inserting(message, body), then)
        return accepted

    async def begin(self, message: UserMessage, *, remember: float = DAY) -> Begun:
        key, message_id = message.conversation_id, message.message_id
        if not self._desk.is_waiting(key, message_id) and await self._has_room_for(message):
            begun = await self._begin_new(message)
            if begun:
                return begun
        replies = await self.replies(key, message_id)
        if replies is None and not self._desk.is_waiting(key, message_id):
            raise StoreError(f"message '{message_id}' of '{key}' was deleted a moment ago, or is damaged")
        answer = self._desk.answers.expect(key, message_id)
        if replies is None:
            return Begun(answer, await self.claim(key))
        self._desk.answers.give(key, message_id, replies)
        return Begun(answer)

    async def _begin_new(self, message: UserMessage) -> Begun | None:
        """None when the message is not new."""
        key, body = message.conversation_id, encode_message(message)
        token, oldest = self._desk.reserve(key), self._desk.oldest(key)
        # The attempt that begins now is counted at the oldest message, which mostly is this one.
        insert = self._inserting(message, body, attempts=int(token is not None and oldest is None))
        count = None
        if token is not None and oldest:
            count = _counting(key, oldest.message.message_id, oldest.attempts + 1)

        def write(connection: sqlite3.Connection) -> bool:
            is_new = insert(connection)
            if is_new and count:
                count(connection)
            return is_new

        def then(is_new: bool) -> Begun | None:
            if not is_new:
                undo()
                return None
            self._desk.put(message)
            answer = self._desk.answers.expect(key, message.message_id)
            return Begun(answer, None if token is None else self._desk.begin(key, token))

        def undo() -> None:
            if token is not None:
                self._desk.give_back(Lease(key, token))

        begun: Begun | None = await self._write(write, then, undo)
        return begun

    def _inserting(self, message: UserMessage, body: bytes, *, attempts: int = 0) -> Callable[..., bool]:
        """Puts the message, which is `body` as JSON, into the inbox; False when it is there or was answered."""
        key = message.conversation_id
        closed = self._close(body, "message", key)
        row = (_text(key), _text(message.message_id), next(self._positions), attempts, closed)

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO inbox (conversation_id, message_id, position, attempts, body)"
                " SELECT ?1, ?2, ?3, ?4, ?5"
                " WHERE NOT EXISTS (SELECT 1 FROM answered WHERE conversation_id = ?1 AND message_id = ?2)",
                row,
            )
            return cursor.rowcount == 1

        return write

    async def _has_room_for(self, message: UserMessage) -> bool:
        """False when there is no room, and none is needed: the message was answered. Else that is a `StoreFull`."""
        try:
            self._desk.check_room(message.conversation_id)
        except StoreFull:
            if await self.replies(message.conversation_id, message.message_id) is None:
                raise
            return False
        return True

    async def ready(self) -> Work:
        while True:
            match await self._desk.ready():
                case Work() as work:
                    return work
                case (conversation_id, Timer(message=UserMessage() as message) as timer):
                    await self._fire(conversation_id, timer, message)

    async def _fire(self, conversation_id: str, timer: Timer, message: UserMessage) -> None:
        """The timer's message comes into the inbox, however full that is."""
        insert = self._inserting(message, encode_message(message))

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "DELETE FROM timers WHERE conversation_id = ? AND name = ? AND due = ?",
                (_text(conversation_id), _text(timer.name), timer.due),
            )
            return cursor.rowcount == 1 and insert(connection)

        def then(is_new: bool) -> None:
            self._desk.fired(conversation_id, timer)
            if is_new:
                self._desk.put(message)

        await self._write(write, then)

    async def claim(self, conversation_id: str) -> Lease | None:
        lease = self._desk.take(conversation_id)
        oldest = self._desk.oldest(conversation_id)
        if lease is None or oldest is None:
            return None

        def undo() -> None:
            self._desk.take_back_attempt(lease)
            self._desk.give_back(lease)

        count = _counting(conversation_id, oldest.message.message_id, oldest.attempts)
        # A power cut is not the message's fault.
        await self._write(count, lambda _: lease, undo, survives_power_cut=False)
        return lease

    async def release(self, lease: Lease, *, failed: bool = False) -> None:
        if failed:
            self._desk.give_back(lease)
        elif written := self._release(lease):
            await asyncio.wait([written])

    def _release(self, lease: Lease) -> asyncio.Future[Any] | None:
        """The lease is given back, and its attempt does not count. If that cannot be written, one too many is."""
        oldest = self._desk.take_back_attempt(lease)
        if oldest is None:
            self._desk.give_back(lease)
            return None
        count = _counting(lease.conversation_id, oldest.message.message_id, oldest.attempts)
        self._desk.give_back(lease)
        with suppress(StoreUnavailable):
            written = self._file.submit(count, bool, lambda: None, survives_power_cut=False)
            written.add_done_callback(lambda future: future.cancelled() or future.exception())
            return written
        return None

    async def pending(self) -> list[UserMessage]:
        return self._desk.pending()

    # ---- the turn ----

    @asynccontextmanager
    async def lease(self, conversation_id: str) -> AsyncIterator[Lease]:
        lease = await self._desk.ask(conversation_id)
        try:
            yield lease
        finally:
            self._desk.give_back(lease)

    async def arrival(self, lease: Lease) -> None:
        await self._desk.arrival(lease)

    async def resume(self, lease: Lease, domain: Domain) -> Tracker:
        return await self.load(lease.conversation_id, domain)

    async def load(self, conversation_id: str, domain: Domain) -> Tracker:
        recent = self._cache.get(conversation_id)
        if recent is None:
            recent = self._read_recent(conversation_id)
            if recent is None:
                return Tracker.new(conversation_id, domain)
            self._remember(conversation_id, recent)
        else:
            self._cache.move_to_end(conversation_id)
        tracker = decode_tracker(recent.snapshot, recent.events, conversation_id, domain)
        return tracker or fold(await self.events(conversation_id), conversation_id, domain)

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> Lease | None:
        self._desk.check(lease, turn, tracker)
        key, following = turn.conversation_id, self._desk.following(lease, turn.message_ids)
        count = _counting(key, following.message.message_id, following.attempts + 1) if following else None
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        start, end = tracker.event_count - len(turn.events), tracker.event_count
        closed, settle = self._close(snapshot, "snapshot", key), self._settling(turn, body)

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO conversations SELECT ?1, ?2, ?3, ?4 WHERE ?5 = 0"
                " OR EXISTS (SELECT 1 FROM conversations WHERE conversation_id = ?1)"
                " ON CONFLICT (conversation_id) DO UPDATE SET event_count = ?2, token = ?3, snapshot = ?4"
                " WHERE event_count = ?5 AND token <= ?3",
                (_text(key), end, lease.token, closed, start),
            )
            if cursor.rowcount != 1:
                raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
            settle(connection, start, end)
            if count:
                count(connection)

        def then(_: None) -> Lease | None:
            if recent is None and start > 0:
                # Somebody may have read the old state while we wrote.
                self._cache.pop(key, None)
            else:
                events = (*(recent.events if recent else ()), *decode_events([body], key))
                self._remember(key, _Recent(snapshot, events[-RECENT_EVENTS:]))
            self._settled(turn)
            return self._desk.go_on(lease, following)

        recent = self._cache.pop(key, None)
        next_lease: Lease | None = await self._write(write, then)
        return next_lease

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._desk.check(lease, turn, tracker)
        key = turn.conversation_id
        body, snapshot, end = encode_events(turn.events), encode(tracker.to_json()), tracker.event_count
        closed, settle = self._close(snapshot, "snapshot", key), self._settling(turn, body)

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO conversations VALUES (?1, ?2, ?3, ?4) ON CONFLICT (conversation_id)"
                " DO UPDATE SET event_count = ?2, token = ?3, snapshot = ?4 WHERE token <= ?3",
                (_text(key), end, lease.token, closed),
            )
            if cursor.rowcount != 1:
                raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
            connection.execute("DELETE FROM turns WHERE conversation_id = ?", (_text(key),))
            connection.execute("UPDATE answered SET turn = NULL WHERE conversation_id = ?", (_text(key),))
            settle(connection, 0, end)

        def then(_: None) -> None:
            self._cache.pop(key, None)
            self._settled(turn)

        self._cache.pop(key, None)
        await self._write(write, then)

    def _settling(self, turn: Turn, body: bytes) -> Callable[[sqlite3.Connection, int, int], None]:
        """Writes all of a turn but the state of the conversation; `body` is its events."""
        key = _text(turn.conversation_id)
        closed = self._close(body, "turn", key)
        consumed = [(key, _text(message_id)) for message_id in turn.message_ids]
        deliveries = [
            (key, _text(delivery.key), next(self._positions), self._closed(delivery)) for delivery in turn.deliveries
        ]
        # The last word on a name counts.
        last = {timer.name: timer for timer in turn.timers}.values()
        timers = [(key, _text(one.name), one.due, self._closed(one.message)) for one in last if one.message]
        cancelled = [(key, _text(one.name)) for one in last if one.message is None]
        now = time.time()

        def write(connection: sqlite3.Connection, start: int, end: int) -> None:
            row = (key, start, end, closed)
            cursor = connection.execute(
                "INSERT INTO turns (conversation_id, start_count, end_count, body) VALUES (?, ?, ?, ?)", row
            )
            if self._feeds and turn.events:
                connection.execute(
                    "INSERT INTO feed (conversation_id, start_count, body) VALUES (?, ?, ?)", (key, start, closed)
                )
            for number, one in enumerate(consumed, 1):
                turn_id = cursor.lastrowid if number == len(consumed) else None
                try:
                    connection.execute("INSERT INTO answered VALUES (?, ?, ?)", (*one, turn_id))
                except sqlite3.IntegrityError as error:
                    raise LeaseLost(f"message '{one[1]}' of '{key}' was answered before") from error
                if turn.set_aside is not None:
                    connection.execute(
                        "INSERT INTO dead_letters (conversation_id, reason, at, kind, body)"
                        " SELECT conversation_id, ?, ?, 'message', body FROM inbox"
                        " WHERE conversation_id = ? AND message_id = ?",
                        (_text(turn.set_aside), now, *one),
                    )
                connection.execute("DELETE FROM inbox WHERE conversation_id = ? AND message_id = ?", one)
            if deliveries:
                connection.executemany("INSERT INTO outbox VALUES (?, ?, ?, 0, ?)", deliveries)
            if timers:
                connection.executemany("INSERT OR REPLACE INTO timers VALUES (?, ?, ?, ?)", timers)
            if cancelled:
                connection.executemany("DELETE FROM timers WHERE conversation_id = ? AND name = ?", cancelled)

        return write

    def _settled(self, turn: Turn) -> None:
        """What `_settling` has written takes effect."""
        key = turn.conversation_id
        self._desk.consume(key, turn.message_ids)
        self._desk.send(key, turn.deliveries)
        self._desk.set_timers(key, turn.timers)
        self._fed.set()
        for message_id, replies in answers_of(turn):
            self._desk.answers.give(key, message_id, replies)

    # ---- the outbox ----

    async def claim_outbox(self, conversation_id: str) -> OutboxLease | None:
        return self._desk.take_outbox(conversation_id)

    async def delivered(self, lease: OutboxLease) -> OutboxLease | None:
        return await self._strike_off(lease, None)

    async def give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None:
        return await self._strike_off(lease, reason)

    async def _strike_off(self, lease: OutboxLease, reason: str | None) -> OutboxLease | None:
        """The first delivery is over; with a reason, it becomes a dead letter."""
        first = self._desk.first(lease)
        row = (_text(lease.conversation_id), _text(first.key))
        now = time.time()

        def write(connection: sqlite3.Connection) -> None:
            if reason is not None:
                connection.execute(
                    "INSERT INTO dead_letters (conversation_id, reason, at, kind, body)"
                    " SELECT conversation_id, ?, ?, 'delivery', body FROM outbox"
                    " WHERE conversation_id = ? AND delivery_key = ?",
                    (_text(reason), now, *row),
                )
            connection.execute("DELETE FROM outbox WHERE conversation_id = ? AND delivery_key = ?", row)

        def then(_: None) -> OutboxLease | None:
            return self._desk.next_delivery(lease)

        def undo() -> None:
            self._desk.put_off(lease, first, time.time() + PATIENCE)

        left: OutboxLease | None = await self._write(write, then, undo)
        return left

    async def postpone(self, lease: OutboxLease, seconds: float) -> None:
        first = self._desk.first(lease)
        later, due = dataclasses.replace(first, attempts=first.attempts + 1), time.time() + seconds
        row = (due, self._closed(later), _text(lease.conversation_id), _text(first.key))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE outbox SET due = ?, body = ? WHERE conversation_id = ? AND delivery_key = ?", row
            )

        def undo() -> None:
            self._desk.put_off(lease, later, due)

        await self._write(write, lambda _: undo(), undo)

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return [self._letter(row) for row in self._file.read(f"{_LETTERS} ORDER BY letter LIMIT ?", (limit,))]

    async def revive(self, letter_id: str) -> bool:
        rows = self._file.read(f"{_LETTERS} WHERE letter = ?", (_text(letter_id),))
        if not rows:
            return False
        letter = self._letter(rows[0])
        if isinstance(letter.content, UserMessage):
            return await self._revive_message(letter, letter.content)
        return await self._revive_delivery(letter, dataclasses.replace(letter.content, attempts=0))

    async def _revive_message(self, letter: DeadLetter, message: UserMessage) -> bool:
        insert = self._inserting(message, encode_message(message))
        row = (_text(message.conversation_id), _text(message.message_id))

        def write(connection: sqlite3.Connection) -> tuple[bool, bool]:
            if not _bury(connection, letter.id):
                return False, False
            connection.execute("DELETE FROM answered WHERE conversation_id = ? AND message_id = ?", row)
            return True, insert(connection)

        def then(outcome: tuple[bool, bool]) -> bool:
            was_there, is_new = outcome
            if is_new:
                self._desk.put(message)
            return was_there

        revived: bool = await self._write(write, then)
        return revived

    async def _revive_delivery(self, letter: DeadLetter, delivery: Delivery) -> bool:
        key = letter.conversation_id
        row = (_text(key), _text(delivery.key), next(self._positions), self._closed(delivery))

        def write(connection: sqlite3.Connection) -> bool:
            was_there = _bury(connection, letter.id)
            if was_there:
                connection.execute("INSERT INTO outbox VALUES (?, ?, ?, 0, ?)", row)
            return was_there

        def then(was_there: bool) -> bool:
            if was_there:
                self._desk.send(key, [delivery])
            return was_there

        revived: bool = await self._write(write, then)
        return revived

    async def bury(self, letter_id: str) -> bool:
        buried: bool = await self._write(lambda connection: _bury(connection, letter_id))
        return buried

    # ---- the feed ----

    async def feed(self, limit: int = 100) -> list[Published]:
        statement = "SELECT position, conversation_id, start_count, body FROM feed ORDER BY position LIMIT ?"
        while not (rows := self._file.read(statement, (limit,))):
            self._fed.clear()
            await self._fed.wait()
        return [
            Published(str(position), key, start, tuple(self._events([body], key)))
            for position, key, start, body in rows
        ]

    async def published(self, turns: Sequence[Published]) -> None:
        positions = [(int(turn.id),) for turn in turns]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM feed WHERE position = ?", positions)

        # What a power cut brings back goes out once more.
        await self._write(write, survives_power_cut=False)

    # ---- reading ----

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None:
        rows = self._file.read(
            "SELECT t.body FROM answered a LEFT JOIN turns t ON t.turn = a.turn"
            " WHERE a.conversation_id = ? AND a.message_id = ?",
            (_text(conversation_id), _text(message_id)),
        )
        if not rows:
            return None
        return replies_in(self._events([body for (body,) in rows if body is not None], conversation_id))

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        last = 2**62 if limit is None else after + limit
        # A long history takes its time to read: others are served meanwhile.
        return await asyncio.to_thread(self._read_events, _text(conversation_id), after, last)

    def _read_events(self, key: str, after: int, last: int) -> list[Event]:
        rows = self._file.read_apart(
            "SELECT start_count, body FROM turns WHERE conversation_id = ? AND end_count > ? AND start_count < ?"
            " ORDER BY end_count, turn",
            (key, after, last),
        )
        events = self._events([body for _, body in rows], key)
        start = rows[0][0] if rows else 0
        return events[max(after - start, 0) : max(last - start, 0)]

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]:
        rows = self._file.read(
            "SELECT conversation_id FROM conversations WHERE conversation_id > ? ORDER BY conversation_id LIMIT ?",
            (_text(after), limit),
        )
        return [key for (key,) in rows]

    async def delete(self, conversation_id: str) -> None:
        # Now, so that no turn is committed any more; what is on the way to the file is forgotten when it has arrived.
        revoked = self._desk.revoke(conversation_id)

        def write(connection: sqlite3.Connection) -> None:
            for table in ("inbox", "outbox", "timers", "dead_letters", "answered", "feed", "turns", "conversations"):
                connection.execute(f"DELETE FROM {table} WHERE conversation_id = ?", (_text(conversation_id),))

        def then(_: None) -> None:
            self._cache.pop(conversation_id, None)
            self._desk.forget(revoked)

        await self._write(write, then, lambda: self._desk.spare(revoked))

    async def reseal(self) -> int:
        count = 0
        for table, ids in _SEALED.items():
            last: tuple[Any, ...] | None = ()
            while last is not None:
                renewed, last = await self._write(self._resealing(table, ids, last))
                count += renewed
        await asyncio.to_thread(self._file.rewrite)
        return count

    def _resealing(self, table: str, ids: str, after: tuple[Any, ...]) -> Write:
        """Closes some rows anew: how many that were, and the last one's ids when there may be more."""
        marks = ", ".join("?" * len(ids.split(", ")))
        body, kind = ("snapshot" if table == "conversations" else "body"), _KINDS.get(table, "kind")
        behind = f"WHERE ({ids}) > ({marks})" if after else ""
        rows = f"SELECT conversation_id, {kind}, {body}, {ids} FROM {table} {behind} ORDER BY {ids} LIMIT {_PAGE}"

        def write(connection: sqlite3.Connection) -> tuple[int, tuple[Any, ...] | None]:
            found = connection.execute(rows, after).fetchall()
            renewed = [
                (new, *row)
                for key, kind, old, *row in found
                if (new := self._seal.renewed(old, f"{kind}:{key}")) is not None
            ]
            connection.executemany(f"UPDATE {table} SET {body} = ? WHERE ({ids}) = ({marks})", renewed)
            return len(renewed), found[-1][3:] if len(found) == _PAGE else None

        return write

    async def close(self) -> None:
        self._desk.close()
        await self._file.close()

    # ---- sealed bodies ----

    def _close(self, body: bytes, kind: str, key: str) -> bytes:
        return self._seal.close(body, f"{kind}:{key}")

    def _open(self, body: bytes, kind: str, key: str) -> bytes:
        # Somebody else's hand may have put text or a number there.
        return self._seal.open(body if isinstance(body, bytes) else str(body).encode(), f"{kind}:{key}")

    def _closed(self, content: UserMessage | Delivery) -> bytes:
        """It stays as it is, whether it waits, is due later or has been given up."""
        if isinstance(content, UserMessage):
            return self._close(encode_message(content), "message", content.conversation_id)
        return self._close(encode_delivery(content), "delivery", content.conversation_id)

    def _message(self, body: bytes, key: str) -> UserMessage:
        return decode_message(self._open(body, "message", key), key)

    def _delivery(self, body: bytes, key: str) -> Delivery:
        return decode_delivery(self._open(body, "delivery", key), key)

    def _letter(self, row: tuple[Any, ...]) -> DeadLetter:
        letter, key, reason, at, kind, body = row
        content = self._message(body, key) if kind == "message" else self._delivery(body, key)
        return DeadLetter(str(letter), key, reason, at, content)

    def _events(self, bodies: Sequence[bytes], key: str) -> list[Event]:
        return decode_events([self._open(body, "turn", key) for body in bodies], key)

    def _read_recent(self, conversation_id: str) -> _Recent | None:
        key = _text(conversation_id)
        # One statement, so that snapshot and events are of the same moment.
        rows = self._file.read(
            "SELECT c.snapshot, t.body FROM conversations c LEFT JOIN turns t"
            " ON t.conversation_id = c.conversation_id AND t.end_count > c.event_count - ?"
            " WHERE c.conversation_id = ? ORDER BY t.end_count, t.turn",
            (RECENT_EVENTS, key),
        )
        if not rows:
            return None
        events = self._events([body for _, body in rows if body is not None], key)
        return _Recent(self._open(rows[0][0], "snapshot", key), tuple(events[-RECENT_EVENTS:]))

    def _remember(self, conversation_id: str, recent: _Recent) -> None:
        self._cache[conversation_id] = recent
        self._cache.move_to_end(conversation_id)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    # ---- writing ----

    async def _write(
        self,
        write: Write,
        then: Callable[[Any], Any] = lambda result: result,
        undo: Callable[[], None] = lambda: None,
        *,
        survives_power_cut: bool = True,
    ) -> Any:
        """The result of `then`, when the transaction is durable (see `SQLiteFile.submit`)."""
        future = self._file.submit(write, then, undo, survives_power_cut=survives_power_cut)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._give_back_what_came)
            # The lease must not pass on while its commit is on the way to the disk.
            await asyncio.wait([future])
            raise

    def _give_back_what_came(self, future: asyncio.Future[Any]) -> None:
        """The caller has gone: what they would have in hand now is free again."""
        if future.cancelled() or future.exception():
            return
        match future.result():
            case Begun(lease=Lease() as lease) | (Lease() as lease):
                self._release(lease)
            case OutboxLease() as lease:
                self._desk.put_off(lease, lease.deliveries[0], 0.0)


def _counting(conversation_id: str, message_id: str, attempts: int) -> Write:
    """Writes how often the turn of this message was begun."""
    row = (attempts, _text(conversation_id), _text(message_id))

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE inbox SET attempts = ? WHERE conversation_id = ? AND message_id = ?", row)

    return write


def _bury(connection: sqlite3.Connection, letter_id: str) -> bool:
    return connection.execute("DELETE FROM dead_letters WHERE letter = ?", (_text(letter_id),)).rowcount == 1


def _undamaged(decode: Callable[[bytes, str], _Content], body: bytes, key: str) -> _Content | None:
    try:
        return decode(body, key)
    except StoreError as error:
        log.error("%s: it stays where it is, and is passed over", error)
        return None


def _text(text: str) -> str:
    """As SQLite can keep it: a lone surrogate, which UTF-8 cannot hold, is written as \\udXXX."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
