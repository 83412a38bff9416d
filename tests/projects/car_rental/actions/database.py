"""Bookings and claims, in SQLite."""

import os
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS bookings (
  number TEXT PRIMARY KEY, pickup TEXT NOT NULL, dropoff TEXT NOT NULL, start TEXT NOT NULL, car TEXT NOT NULL,
  cover INTEGER NOT NULL, extras TEXT NOT NULL, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS claims (number TEXT PRIMARY KEY, part TEXT NOT NULL, text TEXT NOT NULL, other TEXT);
"""
FIRST = ("WH-3301", "London", "York", "the 3rd of May", "small", 1, "", "booked")


def connect() -> sqlite3.Connection:
    """The database, with its first booking when it is new."""
    connection = sqlite3.connect(os.environ.get("RENTAL_DB", "rental.db"))
    connection.executescript(SCHEMA)
    with connection:
        connection.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", FIRST)
    return connection


def book(pickup: str, dropoff: str, start: str, car: str, cover: bool, extras: list[str]) -> str:
    """The new booking's number."""
    with connect() as connection:
        (latest,) = connection.execute("SELECT MAX(CAST(SUBSTR(number, 4) AS INTEGER)) FROM bookings").fetchone()
        number = f"WH-{latest + 1}"
        row = (number, pickup, dropoff, start, car, int(cover), ", ".join(extras), "booked")
        connection.execute("INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return number


def find_booking(number: str) -> tuple[str, str, str, str] | None:
    """Its cities, its start and its car; none when it is cancelled."""
    query = "SELECT pickup, dropoff, start, car FROM bookings WHERE number = ? AND state = 'booked'"
    with connect() as connection:
        return connection.execute(query, (number.upper(),)).fetchone()


def cancel(number: str) -> None:
    with connect() as connection:
        connection.execute("UPDATE bookings SET state = 'cancelled' WHERE number = ?", (number.upper(),))


def note_claim(part: str, text: str, other: str | None) -> str:
    """The new claim's number."""
    with connect() as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM claims").fetchone()
        number = f"C-{count + 1}"
        connection.execute("INSERT INTO claims VALUES (?, ?, ?, ?)", (number, part, text, other))
    return number
