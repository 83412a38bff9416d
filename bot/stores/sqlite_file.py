"""One SQLite file and the thread that writes it. It takes all that is there to be written into one transaction.

Many turns that end together so share the price of reaching the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bot.errors import StoreError, StoreUnavailable
from bot.stores.sealing import Seal

APPLICATION_ID = 0x46524454
"""Says in the file's header that it is ours ("FRDT")."""

SCHEMA_VERSION = 2
SCHEMA = """
-- `body` holds the events after the first `start_count` ones, up to `end_count`, as a JSON array.
CREATE TABLE turns (
    turn INTEGER PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    start_count INTEGER NOT NULL,
    end_count INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX turns_in_order ON turns (conversation_id, end_count);

-- The turn with the replies to a message; NULL when there are none, as for one that was answered with a later one, or
-- when the conversation has been replaced since.
CREATE TABLE answered (
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    turn INTEGER,
    PRIMARY KEY (conversation_id, message_id)
) WITHOUT ROWID;

-- Tells which keys open the rest (see `Seal.mark`).
CREATE TABLE seal (id INTEGER PRIMARY KEY, mark BLOB NOT NULL);

-- Accepted and not yet answered, in the order of `position`.
CREATE TABLE inbox (
    conversation_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (conversation_id, message_id)
) WITHOUT ROWID;

-- Replies to deliver, in the order of `position`, but not before `due`.
CREATE TABLE outbox (
    conversation_id TEXT NOT NULL,
    delivery_key TEXT NOT NULL,
    position INTEGER NOT NULL,
    due REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (conversation_id, delivery_key)
) WITHOUT ROWID;

-- Messages that come into the inbox when they are due.
CREATE TABLE timers (
    conversation_id TEXT NOT NULL,
    name TEXT NOT NULL,
    due REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (conversation_id, name)
) WITHOUT ROWID;

-- `body` is a message or a delivery, as `kind` says.
CREATE TABLE dead_letters (
    letter INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
);

-- Turns that are to be published, in the order of `position`; `body` is that of the turn.
CREATE TABLE feed (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    start_count INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""
"""Times are seconds since 1970. What was there in version 1 already is in `BEGINNINGS`."""

BEGINNINGS = """
CREATE TABLE openings (count INTEGER NOT NULL);
INSERT INTO openings VALUES (0);

CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    event_count INTEGER NOT NULL,
    token INTEGER NOT NULL,
    snapshot BLOB NOT NULL
);
"""

FROM_VERSION_1 = f"""
DROP INDEX turns_in_order;
ALTER TABLE turns RENAME TO turns_1;
ALTER TABLE inbox RENAME TO inbox_1;
{SCHEMA}
INSERT INTO turns SELECT rowid, conversation_id, start_count, end_count, body FROM turns_1;
INSERT INTO answered SELECT conversation_id, message_id, rowid FROM turns_1 WHERE message_id IS NOT NULL;

-- Version 1 took no turn later: whoever sent these was told that it failed. To do it now might surprise them.
INSERT INTO dead_letters (conversation_id, reason, at, kind, body)
    SELECT conversation_id, 'an earlier version of Frontdesk did not answer it', strftime('%s'), 'message', body
    FROM inbox_1 ORDER BY position;
DROP TABLE turns_1;
DROP TABLE inbox_1;
"""

Write = Callable[[sqlite3.Connection], Any]
"""Writes within a transaction. It may be called again, when something beside it could not be written."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to write. `then` makes the caller's result of what `write` returned, once that is on the disk.

    It and `undo`, after an error, run in the caller's loop, in the order of writing, whether or not the caller is
    still there.
    """

    write: Write
    then: Callable[[Any], Any]
    undo: Callable[[], None]
    future: asyncio.Future[Any]
    survives_power_cut: bool

    def settle(self, outcome: Any) -> None:
        try:
            if isinstance(outcome, BaseException):
                self.undo()
                raise outcome
            result = self.then(outcome)
        except Exception as error:
            if not self.future.cancelled():
                self.future.set_exception(error)
        else:
            if not self.future.cancelled():
                self.future.set_result(result)


class SQLiteFile:
    """The file of this process, and nobody else's while it is open. `opening` counts how often it was opened."""

    def __init__(self, path: Path, synchronous: str, seal: Seal) -> None:
        self._path = path
        self._synchronous = synchronous
        # What a power cut may take away waits for the disk no more than this.
        self._in_haste = "OFF" if synchronous == "OFF" else "NORMAL"
        self._mode = synchronous
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._guard = _take_possession(path)
        try:
            self._writer, self.opening = _open(path, synchronous, seal)
            self.reader = connect(path)
            self.reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self._guard.close()
            raise
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name=f"sqlite:{path.name}", daemon=True)
        self._thread.start()

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows, of what is committed by now."""
        try:
            return self.reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise ours(error, self._path) from error

    def read_apart(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        """The same for any thread, by a connection of its own."""
        try:
            with closing(connect(self._path)) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise ours(error, self._path) from error

    def rewrite(self) -> None:
        """Copy all rows to a new file in its place: between rows that were moved, SQLite leaves pieces of older ones.

        For any thread.
        """
        try:
            with closing(connect(self._path)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise ours(error, self._path) from error

    def submit(
        self,
        write: Write,
        then: Callable[[Any], Any],
        undo: Callable[[], None],
        *,
        survives_power_cut: bool = True,
    ) -> asyncio.Future[Any]:
        """Have the thread write it. Done with what `then` makes of the result when it is durable."""
        if self._closed:
            undo()
            raise StoreUnavailable(f"{self._path}: the store has been closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job(write, then, undo, future, survives_power_cut))
        return future

    async def close(self) -> None:
        """What was submitted is written first."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self.reader.close()
        self._writer.close()
        self._guard.close()

    # ---- the thread ----

    def _write_all(self) -> None:
        ended = False
        while not ended:
            waiting = [self._queue.get()]
            with suppress(Empty):
                while True:
                    waiting.append(self._queue.get_nowait())
            jobs = [job for job in waiting if job is not None]
            ended = len(jobs) < len(waiting)
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Any]]] = {}
            for job, outcome in zip(jobs, self._write_together(jobs), strict=True):
                by_loop.setdefault(job.future.get_loop(), []).append((job, outcome))
            for loop, settled in by_loop.items():
                # A loop that was closed has nobody left who waits.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_settle, settled)

    def _write_together(self, jobs: list[_Job]) -> list[Any]:
        """The result of each, or its error; all that can be written is durable."""
        try:
            return self._transaction(jobs)
        except Exception as error:
            if len(jobs) > 1:
                # One of them cannot be written; the others must not suffer for it.
                return [outcome for job in jobs for outcome in self._write_together([job])]
            return [ours(error, self._path) if isinstance(error, sqlite3.Error) else error]

    def _transaction(self, jobs: list[_Job]) -> list[Any]:
        mode = self._synchronous if any(job.survives_power_cut for job in jobs) else self._in_haste
        if mode != self._mode:
            self._writer.execute(f"PRAGMA synchronous = {mode}")
            self._mode = mode
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            results = [job.write(self._writer) for job in jobs]
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return results


def _settle(settled: list[tuple[_Job, Any]]) -> None:
    for job, outcome in settled:
        job.settle(outcome)


# ---- opening -------------------------------------------------------------------------------------


def connect(path: Path) -> sqlite3.Connection:
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
        raise ours(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error.strerror}. Check the folder and its rights") from error
    return guard


def _open(path: Path, synchronous: str, seal: Seal) -> tuple[sqlite3.Connection, int]:
    """A connection that writes, and how many times the file was opened, this one included."""
    connection = connect(path)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            # Pages that hold a snapshot in one or two pieces: half the time of a commit with smaller ones.
            connection.execute("PRAGMA page_size = 8192")
            connection.executescript(
                f"BEGIN; {BEGINNINGS} {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
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
        if version == 1:
            connection.executescript(f"BEGIN; {FROM_VERSION_1} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        marks = connection.execute("SELECT mark FROM seal").fetchone() or (None,)
        connection.execute("INSERT OR REPLACE INTO seal VALUES (1, ?)", (seal.mark(marks[0]),))
        connection.execute("UPDATE openings SET count = count + 1")
        opening: int = connection.execute("SELECT count FROM openings").fetchone()[0]
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise ours(error, path) from error
        raise
    return connection, opening


def ours(error: sqlite3.Error, path: Path) -> StoreError:
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
