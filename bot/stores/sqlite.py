"""Conversations in one SQLite file, written by one process. What was committed survives a power cut.

A turn is one row with all its events, so that a commit writes three rows however much was said. One
thread writes: it takes all commits that are waiting into a single transaction, so that many
conversations share the price of reaching the disk. A small cache keeps what busy conversations need next.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bot.domain import Domain
from bot.errors import LeaseLost, StoreError, StoreUnavailable, UnknownName
from bot.events import Event
from bot.interfaces import Lease, Turn
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    Leases,
    decode_events,
    decode_message,
    decode_replies,
    decode_tracker,
    encode,
    encode_events,
    encode_message,
    fold,
)
from bot.tracker import RECENT_EVENTS, Tracker

APPLICATION_ID = 0x46524454
"""Says in the file's header that it is ours ("FRDT")."""

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE openings (count INTEGER NOT NULL);
INSERT INTO openings VALUES (0);

-- Accepted and not yet answered, in order of arrival.
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (conversation_id, message_id)
);

-- `body` holds the events after the first `start_count` ones, up to `end_count`, as a JSON array.
CREATE TABLE turns (
    conversation_id TEXT NOT NULL,
    start_count INTEGER NOT NULL,
    end_count INTEGER NOT NULL,
    message_id TEXT,
    body BLOB NOT NULL
);
CREATE INDEX turns_in_order ON turns (conversation_id, end_count);
CREATE UNIQUE INDEX turns_by_message ON turns (conversation_id, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    event_count INTEGER NOT NULL,
    token INTEGER NOT NULL,
    snapshot BLOB NOT NULL
);
"""

_Write = Callable[[sqlite3.Connection], Any]


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
    conversations kept in memory, about 70 kB each.
    """

    def __init__(self, path: str | Path = "frontdesk.db", *, synchronous: str = "FULL", cache_size: int = 256) -> None:
        if synchronous not in ("EXTRA", "FULL", "NORMAL", "OFF"):
            raise UnknownName("value of 'synchronous'", synchronous, ("EXTRA", "FULL", "NORMAL", "OFF"))
        if cache_size < 0:
            raise ValueError(f"cache_size must be at least 0, not {cache_size}")
        self._path = Path(path)
        self._cache_size = cache_size
        self._cache: OrderedDict[str, _Recent] = OrderedDict()
        self._queue: SimpleQueue[tuple[_Write, asyncio.Future[Any]] | None] = SimpleQueue()
        self._guard = _take_possession(self._path)
        try:
            self._writer, opening = _open(self._path, synchronous)
            self._reader = _connect(self._path)
            self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self._guard.close()
            raise
        self._closed = False
        # Tokens grow from one opening of the file to the next, too.
        self._leases = Leases(opening << 32)
        self._thread = threading.Thread(target=self._write_all, name=f"sqlite:{self._path.name}", daemon=True)
        self._thread.start()

    # ---- the contract ----

    async def accept(self, message: UserMessage) -> bool:
        key, message_id = _text(message.conversation_id), _text(message.message_id)
        body = encode_message(message)

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO inbox (conversation_id, message_id, body) SELECT ?1, ?2, ?3"
                " WHERE NOT EXISTS (SELECT 1 FROM turns WHERE conversation_id = ?1 AND message_id = ?2)",
                (key, message_id, body),
            )
            return cursor.rowcount == 1

        accepted: bool = await self._submit(write)
        return accepted

    async def pending(self) -> list[UserMessage]:
        rows = self._read("SELECT body, conversation_id FROM inbox ORDER BY position")
        return [decode_message(body, key) for body, key in rows]

    def lease(self, conversation_id: str) -> AbstractAsyncContextManager[Lease]:
        return self._leases.lease(conversation_id)

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

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._leases.check(lease, turn, tracker)
        key = _text(turn.conversation_id)
        message_id = None if turn.message_id is None else _text(turn.message_id)
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        start, end = tracker.event_count - len(turn.events), tracker.event_count

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO conversations SELECT ?1, ?2, ?3, ?4 WHERE ?5 = 0"
                " OR EXISTS (SELECT 1 FROM conversations WHERE conversation_id = ?1)"
                " ON CONFLICT (conversation_id) DO UPDATE SET event_count = ?2, token = ?3, snapshot = ?4"
                " WHERE event_count = ?5 AND token <= ?3",
                (key, end, lease.token, snapshot, start),
            )
            if cursor.rowcount != 1:
                raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
            try:
                connection.execute("INSERT INTO turns VALUES (?, ?, ?, ?, ?)", (key, start, end, message_id, body))
            except sqlite3.IntegrityError as error:
                raise LeaseLost(f"message '{message_id}' of '{key}' was answered before") from error
            if message_id is not None:
                connection.execute("DELETE FROM inbox WHERE conversation_id = ? AND message_id = ?", (key, message_id))

        recent = self._cache.pop(turn.conversation_id, None)
        await self._submit(write)
        if recent is None and start > 0:
            # Somebody may have read the old state while we wrote.
            self._cache.pop(turn.conversation_id, None)
        else:
            events = (*(recent.events if recent else ()), *decode_events([body], key))
            self._remember(turn.conversation_id, _Recent(snapshot, events[-RECENT_EVENTS:]))

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._leases.check(lease, turn, tracker)
        key = _text(turn.conversation_id)
        body, snapshot, end = encode_events(turn.events), encode(tracker.to_json()), tracker.event_count

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO conversations VALUES (?1, ?2, ?3, ?4) ON CONFLICT (conversation_id)"
                " DO UPDATE SET event_count = ?2, token = ?3, snapshot = ?4 WHERE token <= ?3",
                (key, end, lease.token, snapshot),
            )
            if cursor.rowcount != 1:
                raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
            # What is left of an answered message is that it was answered.
            connection.execute("DELETE FROM turns WHERE conversation_id = ? AND message_id IS NULL", (key,))
            connection.execute(
                "UPDATE turns SET start_count = 0, end_count = 0, body = ? WHERE conversation_id = ?", (b"[]", key)
            )
            connection.execute("INSERT INTO turns VALUES (?, 0, ?, NULL, ?)", (key, end, body))

        self._cache.pop(turn.conversation_id, None)
        await self._submit(write)
        self._cache.pop(turn.conversation_id, None)

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None:
        key = _text(conversation_id)
        rows = self._read(
            "SELECT body FROM turns WHERE conversation_id = ? AND message_id = ?", (key, _text(message_id))
        )
        return decode_replies(rows[0][0], key) if rows else None

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        key = _text(conversation_id)
        # A long history takes its time to read: others are served meanwhile.
        return await asyncio.to_thread(_read_events, self._path, key, after, limit)

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]:
        rows = self._read(
            "SELECT conversation_id FROM conversations WHERE conversation_id > ? ORDER BY conversation_id LIMIT ?",
            (_text(after), limit),
        )
        return [key for (key,) in rows]

    async def delete(self, conversation_id: str) -> None:
        key = _text(conversation_id)

        def write(connection: sqlite3.Connection) -> None:
            for table in ("inbox", "turns", "conversations"):
                connection.execute(f"DELETE FROM {table} WHERE conversation_id = ?", (key,))

        self._leases.revoke(conversation_id)
        await self._submit(write)
        self._cache.pop(conversation_id, None)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._writer.close()
        self._guard.close()

    # ---- reading ----

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _ours(error, self._path) from error

    def _read_recent(self, conversation_id: str) -> _Recent | None:
        key = _text(conversation_id)
        # One statement, so that snapshot and events are of the same moment.
        rows = self._read(
            "SELECT c.snapshot, t.body FROM conversations c LEFT JOIN turns t"
            " ON t.conversation_id = c.conversation_id AND t.end_count > c.event_count - ?"
            " WHERE c.conversation_id = ? ORDER BY t.end_count, t.rowid",
            (RECENT_EVENTS, key),
        )
        if not rows:
            return None
        events = decode_events([body for _, body in rows if body is not None], key)
        return _Recent(rows[0][0], tuple(events[-RECENT_EVENTS:]))

    def _remember(self, conversation_id: str, recent: _Recent) -> None:
        self._cache[conversation_id] = recent
        self._cache.move_to_end(conversation_id)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    # ---- writing ----

    async def _submit(self, write: _Write) -> Any:
        """Have the writing thread do it; returns when the transaction is durable."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store has been closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put((write, future))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The lease must not pass on while its commit is on the way to the disk.
            await asyncio.wait([future])
            raise

    def _write_all(self) -> None:
        ended = False
        while not ended:
            waiting = [self._queue.get()]
            with suppress(Empty):
                while True:
                    waiting.append(self._queue.get_nowait())
            jobs = [job for job in waiting if job is not None]
            ended = len(jobs) < len(waiting)
            outcomes = self._write_together([write for write, _ in jobs])
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
            for (_, future), outcome in zip(jobs, outcomes, strict=True):
                by_loop.setdefault(future.get_loop(), []).append((future, outcome))
            for loop, settled in by_loop.items():
                # A loop that was closed has nobody left who waits.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_settle, settled)

    def _write_together(self, writes: list[_Write]) -> list[Any]:
        """The result of each, or its error; all that can be written is durable."""
        try:
            return self._transaction(writes)
        except Exception as error:
            if len(writes) > 1:
                # One of them cannot be written; the others must not suffer for it.
                return [outcome for write in writes for outcome in self._write_together([write])]
            return [_ours(error, self._path) if isinstance(error, sqlite3.Error) else error]

    def _transaction(self, writes: list[_Write]) -> list[Any]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            results = [write(self._writer) for write in writes]
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return results


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if future.cancelled():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _read_events(path: Path, key: str, after: int, limit: int | None) -> list[Event]:
    last = 2**62 if limit is None else after + limit
    try:
        # Its own connection: it reads in a thread of its own.
        with closing(_connect(path)) as connection:
            rows = connection.execute(
                "SELECT start_count, body FROM turns WHERE conversation_id = ? AND end_count > ? AND start_count < ?"
                " ORDER BY end_count, rowid",
                (key, after, last),
            ).fetchall()
    except sqlite3.Error as error:
        raise _ours(error, path) from error
    events = decode_events([body for _, body in rows], key)
    start = rows[0][0] if rows else 0
    return events[max(after - start, 0) : max(last - start, 0)]


# ---- the file ------------------------------------------------------------------------------------


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _take_possession(path: Path) -> sqlite3.Connection:
    """Keep other processes out for as long as the connection is open; a crash gives the file free."""
    lock = path.with_name(path.name + ".lock")
    try:
        # What customers say is nobody else's business: the file is its owner's alone.
        for file in (path, lock):
            if not file.exists():
                file.touch(mode=0o600)
        guard = sqlite3.connect(lock, isolation_level=None, check_same_thread=False, timeout=0)
        guard.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StoreUnavailable(
                f"{path} is in use by another process: stop that one, or give this one a file of its own"
            ) from error
        raise _ours(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error.strerror}. Check the folder and its rights") from error
    return guard


def _open(path: Path, synchronous: str) -> tuple[sqlite3.Connection, int]:
    """A connection that writes, and how many times the file was opened, this one included."""
    connection = _connect(path)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            # Pages that hold a snapshot in one or two pieces: half the time of a commit with smaller ones.
            connection.execute("PRAGMA page_size = 8192")
            connection.executescript(
                f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
                f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{path} is a database of another program: name another file in the store's 'path'")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path} was written by a newer Frontdesk (version {version} of the database, this one reads"
                f" {SCHEMA_VERSION}): install that version, or name another file in the store's 'path'"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        # What is deleted, or replaced, is overwritten and not merely forgotten.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("UPDATE openings SET count = count + 1")
        opening: int = connection.execute("SELECT count FROM openings").fetchone()[0]
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _ours(error, path) from error
        raise
    return connection, opening


def _ours(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's error as ours: what can pass by itself is `StoreUnavailable`."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_NOTADB"):
        return StoreError(f"{path} is not a database: move it away, or name another file in the store's 'path'")
    if name.startswith("SQLITE_CORRUPT"):
        return StoreError(f"{path} is damaged: restore it from a backup, or recover it with 'sqlite3 {path} .recover'")
    if name.startswith("SQLITE_FULL"):
        return StoreUnavailable(f"{path} cannot grow: the disk is full")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailable(f"{path} is locked by another process")
    if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreUnavailable(f"{path} cannot be read or written: {error}. Check the disk and the file's rights")
    return StoreError(f"{path}: {error}")


def _text(text: str) -> str:
    """As SQLite can keep it: a lone surrogate, which UTF-8 cannot hold, is written as \\udXXX."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
