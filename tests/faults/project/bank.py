"""The demo bank: an SQLite file that moves money once for each key, and counts every attempt."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS transfers (key TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (key TEXT NOT NULL);
"""


def found(path: str | Path) -> None:
    """A new bank."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)


def transfer(path: str | Path, key: str, conversation_id: str, amount: int) -> None:
    """Move the money, unless this key has moved it before."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute("INSERT INTO attempts VALUES (?)", (key,))
        connection.execute("INSERT OR IGNORE INTO transfers VALUES (?, ?, ?)", (key, conversation_id, amount))


def moved(path: str | Path) -> Counter[tuple[str, int]]:
    """How often each (conversation, amount) has moved."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        return Counter(connection.execute("SELECT conversation_id, amount FROM transfers").fetchall())


def attempts(path: str | Path) -> int:
    """How often an action tried to move money."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM attempts").fetchone()[0])
