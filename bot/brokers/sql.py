"""Events to a table of an SQL database, as Rasa's `SQL` broker writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.errors import ConfigError, EndpointError, MissingExtra
from bot.interfaces import StreamedEvent

DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""Drivers that are not SQLAlchemy's own choice; whoever names another one gets that."""


class SQLBroker:
    """Appends to the table `events` (`id`, `sender_id`, `data`: JSON), which is made if there is none.

    `url` is the host. For SQLite, `db` is a file, relative to the project's folder `root`.
    """

    def __init__(
        self,
        *,
        dialect: str = "sqlite",
        url: str | None = None,
        port: int | str | None = None,
        db: str = "events.db",
        username: str | None = None,
        password: str | None = None,
        root: Path = Path(),
    ) -> None:
        try:
            import sqlalchemy as sql
        except ImportError as error:
            raise MissingExtra("the event broker 'sql'", "sql") from error
        is_file = dialect.partition("+")[0] == "sqlite"
        address = sql.URL.create(
            DRIVERS.get(dialect, dialect),
            username,
            password,
            url,
            int(port) if port else None,
            str(root / db) if is_file else db,
        )
        self._place = f"{dialect} database '{db}'" + (f" at {url}" if url else "")
        self._table = sql.Table(
            "events",
            sql.MetaData(),
            sql.Column("id", sql.Integer, primary_key=True),
            sql.Column("sender_id", sql.String(255)),
            sql.Column("data", sql.Text),
        )
        self._is_there = False
        try:
            # A connection that has died is noticed before it is used.
            self._engine = sql.create_engine(address, pool_pre_ping=True)
        except (sql.exc.NoSuchModuleError, ImportError) as error:
            raise ConfigError(f"there is no driver for 'dialect: {dialect}' of event_broker: {error}") from error

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        import sqlalchemy as sql

        rows = [{"sender_id": event.sender_id[:255], "data": event.body.decode()} for event in events]
        try:
            await asyncio.to_thread(self._insert, rows)
        except sql.exc.SQLAlchemyError as error:
            # The database's own words could repeat the row.
            reason = type(getattr(error, "orig", None) or error).__name__
            raise EndpointError(f"the {self._place} took no events: {reason}") from error

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            if not self._is_there:
                self._table.create(connection, checkfirst=True)
            connection.execute(self._table.insert(), rows)
        self._is_there = True
