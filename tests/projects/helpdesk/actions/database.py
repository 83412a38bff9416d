"""The tickets, in SQLite."""

import os
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
  number TEXT PRIMARY KEY, email TEXT NOT NULL, problem TEXT NOT NULL, priority TEXT NOT NULL, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS employees (email TEXT PRIMARY KEY, code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (sender TEXT NOT NULL, satisfied INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS calls (sender TEXT NOT NULL, time TEXT NOT NULL);
"""
TICKETS = [
    ("INC-1040", "ada@example.com", "The screen stays black", "high", "open"),
    ("INC-1041", "ben@example.com", "I need another mailbox", "low", "waiting"),
    ("INC-1042", "cem@example.com", "The printer is out of ink", "medium", "closed"),
]
EMPLOYEES = [("ada@example.com", "1815"), ("ben@example.com", "1706"), ("cem@example.com", "1962")]


def connect() -> sqlite3.Connection:
    """The database, with its first rows when it is new."""
    connection = sqlite3.connect(os.environ.get("HELPDESK_DB", "helpdesk.db"))
    connection.executescript(SCHEMA)
    with connection:
        connection.executemany("INSERT OR IGNORE INTO tickets VALUES (?, ?, ?, ?, ?)", TICKETS)
        connection.executemany("INSERT OR IGNORE INTO employees VALUES (?, ?)", EMPLOYEES)
    return connection


def open_ticket(email: str, problem: str, priority: str) -> str:
    """The new ticket's number."""
    with connect() as connection:
        (latest,) = connection.execute("SELECT MAX(CAST(SUBSTR(number, 5) AS INTEGER)) FROM tickets").fetchone()
        number = f"INC-{latest + 1}"
        connection.execute("INSERT INTO tickets VALUES (?, ?, ?, ?, 'open')", (number, email, problem, priority))
    return number


def find_ticket(number: str) -> tuple[str, str] | None:
    """The ticket's problem and state."""
    with connect() as connection:
        return connection.execute("SELECT problem, state FROM tickets WHERE number = ?", (number.upper(),)).fetchone()


def close_ticket(number: str) -> bool:
    with connect() as connection:
        done = connection.execute("UPDATE tickets SET state = 'closed' WHERE number = ?", (number.upper(),))
        return done.rowcount == 1


def knows(email: str, code: str) -> bool:
    """Whether the badge belongs to the address."""
    with connect() as connection:
        found = connection.execute("SELECT 1 FROM employees WHERE email = ? AND code = ?", (email, code)).fetchone()
    return found is not None


def save_feedback(sender: str, satisfied: bool) -> None:
    with connect() as connection:
        connection.execute("INSERT INTO feedback VALUES (?, ?)", (sender, int(satisfied)))


def book_call(sender: str, time: str) -> None:
    with connect() as connection:
        connection.execute("INSERT INTO calls VALUES (?, ?)", (sender, time))
