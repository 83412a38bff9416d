"""How the PostgreSQL store reaches its database: a pool of connections, one statement at a time, its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from bot.errors import ConfigError, MissingExtra, StoreError, StoreUnavailable
from bot.stores.postgresql_statements import FORMAT, FURTHER, TABLES
from bot.stores.sealing import Seal

_SETTINGS = (
    # Why: see postgresql_statements.py.
    r"-c default_transaction_isolation=repeatable\ read",
    # The statements look up few rows by their keys, whatever the tables' sizes were when they were planned.
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off",
)
_MOVED_ON = ("40001", "40P01", "23505")
"""Somebody else changed the same conversation at the same time: the statement is run again."""
_AWAY = ("08", "25", "53", "57", "58", "55", "28", "3D")
"""Classes of errors that pass, or that an operator mends in the database."""
_LOCK = 0x46524454
"""Of whoever makes the tables."""


class AnswerLost(StoreUnavailable):
    """The connection broke when a statement was on its way: nobody knows whether it was done."""


class Database:
    """`parts` and `query` are set in the `url`. `where` is what messages call it: without user and password.

    Raises `StoreUnavailable` when the server does not answer within `timeout` seconds, or will do so again by itself;
    other `StoreError`s when the tables are not ours, or damaged.
    """

    def __init__(
        self,
        url: str,
        parts: Mapping[str, Any],
        query: Mapping[str, str],
        *,
        schema: str,
        login_db: str,
        connections: int,
        timeout: float,
        seal: Seal,
    ) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,29}", schema):
            raise ValueError(f"'schema' must be small letters, digits and '_', at most 30, not '{schema}'")
        try:
            import greenlet  # type: ignore[import-untyped]  # noqa: F401
            import psycopg
            import psycopg.types.numeric
            import sqlalchemy
            import sqlalchemy.ext.asyncio
        except ImportError as error:
            raise MissingExtra("the PostgreSQL store", "sql") from error
        self._sql, self._psycopg = sqlalchemy, psycopg
        self._url = _read_url(sqlalchemy, url).set(**parts).update_query_dict(query)
        self.where = _without_user(self._url)
        self.schema = schema
        self._login_db = login_db
        self._timeout = timeout
        self._seal = seal
        # One connection is for listening.
        self._engine = self._new_engine(self._url, connections + 1)
        self._texts: dict[str, Any] = {}

    def _new_engine(self, url: Any, connections: int) -> Any:
        options = url.query.get("options", "")
        settings = {
            "application_name": "frontdesk",
            "connect_timeout": max(2, int(self._timeout)),
            # A server that has gone without a word is noticed.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": int(self._timeout * 1000),
        }
        engine = self._sql.ext.asyncio.create_async_engine(
            url,
            # Neither logs nor errors show what customers say.
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._timeout,
            pool_recycle=1800,
            connect_args={
                **{name: value for name, value in settings.items() if name not in url.query},
                "autocommit": True,
                "prepare_threshold": 0,
                "options": " ".join((options, f"-c search_path={self.schema}", *_SETTINGS)),
            },
        )

        @self._sql.event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            # A number has the same type however large it is, so that each statement is planned once.
            connection.driver_connection.adapters.register_dumper(int, self._psycopg.types.numeric.Int8Dumper)

        return engine

    # ---- statements ----

    async def run(self, statement: str, /, **values: Any) -> Sequence[Any]:
        """The rows of one statement, which is a transaction by itself. `AnswerLost` when it may have been done."""
        text = self._texts.get(statement)
        if text is None:
            # psycopg reads a statement of more than 4,096 letters anew each time.
            text = self._texts[statement] = self._sql.text(" ".join(statement.split()))
        while True:
            was_sent = False
            try:
                async with self._engine.connect() as connection:
                    was_sent = True
                    with self._limited(connection):
                        result = await connection.execute(text, values)
                        return result.all() if result.returns_rows else ()
            except (self._sql.exc.SQLAlchemyError, OSError) as error:
                if _state(error) not in _MOVED_ON:
                    raise self._ours(error, was_sent=was_sent) from error

    async def listen(self, channels: Sequence[str]) -> AsyncIterator[str | None]:
        """What is notified on these channels, for as long as the connection lasts; first None, when it listens."""
        try:
            async with self._engine.connect() as connection:
                try:
                    for channel in channels:
                        await connection.exec_driver_sql(f'LISTEN "{channel}"')
                    yield None
                    driver = (await connection.get_raw_connection()).driver_connection
                    while True:
                        async for note in driver.notifies(timeout=self._timeout):
                            yield note.payload
                        with self._limited(connection):
                            await connection.exec_driver_sql("SELECT 1")
                finally:
                    # Nobody else is to get a connection that listens.
                    await connection.invalidate()
        except (self._sql.exc.SQLAlchemyError, self._psycopg.Error, OSError) as error:
            raise self._ours(error) from error

    async def close(self) -> None:
        await self._engine.dispose()

    @contextlib.contextmanager
    def _limited(self, connection: Any) -> Iterator[None]:
        """Cut the connection when the server takes too long: nothing else ends the wait for one that is gone."""
        driver = connection.sync_connection.connection.driver_connection
        timer = asyncio.get_running_loop().call_later(self._timeout, _cut, driver)
        try:
            yield
        finally:
            timer.cancel()

    # ---- the tables ----

    async def open(self) -> None:
        """Make the tables where they are not there; `StoreError` when those that are there are not ours."""
        try:
            if self._login_db:
                await self._make_database()
            async with self._engine.connect() as connection:
                with self._limited(connection):
                    await self._make_tables(connection)
        except (self._sql.exc.SQLAlchemyError, OSError) as error:
            raise self._ours(error) from error

    async def _make_database(self) -> None:
        engine = self._new_engine(self._url.set(database=self._login_db), 1)
        name = str(self._url.database)
        try:
            async with engine.connect() as connection:
                known = self._sql.text("SELECT FROM pg_database WHERE datname = :name")
                if (await connection.execute(known, {"name": name})).first() is None:
                    quoted = name.replace('"', '""')
                    await connection.exec_driver_sql(f'CREATE DATABASE "{quoted}"')
        except self._sql.exc.ProgrammingError as error:
            # Another process was faster.
            if _state(error) != "42P04":
                raise
        finally:
            await engine.dispose()

    async def _make_tables(self, connection: Any) -> None:
        there = await self._tables(connection)
        if "format" not in there:
            await connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            there = await self._tables(connection)
            if foreign := sorted(there & set(TABLES) if "format" not in there else ()):
                raise StoreError(
                    f"{self.where}: the schema '{self.schema}' has tables that are not Frontdesk's:"
                    f" {', '.join(foreign)}. Name another one in the store's 'schema'"
                )
            known = self._sql.text("SELECT FROM pg_namespace WHERE nspname = :schema")
            if (await connection.execute(known, {"schema": self.schema})).first() is None:
                await connection.exec_driver_sql(f"CREATE SCHEMA {self.schema}")
            if "format" not in there:
                for statement in (*TABLES.values(), *FURTHER, f"INSERT INTO format (version) VALUES ({FORMAT})"):
                    await connection.exec_driver_sql(statement)
            await connection.exec_driver_sql("COMMIT")
            there = await self._tables(connection)
        if missing := sorted(set(TABLES) - there):
            raise StoreError(
                f"{self.where}: the schema '{self.schema}' is damaged, as it lacks the tables {', '.join(missing)}."
                " Restore it from a backup, or name another one in the store's 'schema'"
            )
        rows = (await connection.exec_driver_sql("SELECT version, mark FROM format")).all()
        if len(rows) != 1 or rows[0].version > FORMAT:
            raise StoreError(
                f"{self.where}: the tables in the schema '{self.schema}' are of version"
                f" {rows[0].version if rows else 'none'}, and this Frontdesk uses {FORMAT}: install a newer one, or"
                " name another schema in the store's 'schema'"
            )
        mark = self._seal.mark(rows[0].mark)
        await connection.execute(self._sql.text("UPDATE format SET mark = :mark"), {"mark": mark})

    async def _tables(self, connection: Any) -> set[str]:
        """The tables in our schema."""
        named = self._sql.text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
        rows = await connection.execute(named, {"schema": self.schema})
        return {row.tablename for row in rows}

    # ---- errors ----

    def _ours(self, error: Exception, *, was_sent: bool = False) -> StoreError:
        """An error of SQLAlchemy's or psycopg's as ours; without the values of a statement."""
        cause = getattr(error, "orig", None) or error
        state = _state(error)
        diagnosis = getattr(cause, "diag", None)
        lines = [line.strip() for line in str((diagnosis and diagnosis.message_primary) or cause).splitlines()]
        reason = next((line for line in lines if line), type(cause).__name__)
        if was_sent and getattr(error, "connection_invalidated", False):
            return AnswerLost(f"{self.where}: the connection broke ({reason}). It is made anew")
        if isinstance(error, self._sql.exc.TimeoutError):
            return StoreUnavailable(f"{self.where}: no connection was free for {self._timeout:g} s")
        if state is None or state[:2] in _AWAY:
            return StoreUnavailable(f"{self.where} cannot be used: {reason}. It is tried again")
        if state == "42501":
            return StoreError(
                f"{self.where}: {reason}. The user needs a schema of its own:"
                f" CREATE SCHEMA {self.schema} AUTHORIZATION {self._url.username}"
            )
        return StoreError(
            f"{self.where}: {reason} ({state}). Are the tables in the schema '{self.schema}' as Frontdesk made them?"
        )


def _read_url(sqlalchemy: Any, text: str) -> Any:
    try:
        url = sqlalchemy.make_url(re.sub(r"^postgres://", "postgresql://", text))
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # Without the cause, which may show a part of the password.
        message = "the store's 'url' is no URL: write postgresql://user:password@host:5432/database"
        raise ConfigError(message) from None
    if url.get_backend_name() != "postgresql":
        raise ConfigError(f"the store's 'url' begins with {url.drivername}://: this store needs postgresql://")
    return url.set(drivername="postgresql+psycopg")


def _without_user(url: Any) -> str:
    """The URL as it may be shown; of several servers all."""
    hosts = url.query.get("host", ())
    hosts = (hosts,) if isinstance(hosts, str) else hosts
    return f"postgresql://{','.join(hosts) or f'{url.host or str()}:{url.port or 5432}'}/{url.database or ''}"


def _state(error: Exception) -> str | None:
    """The five letters by which SQL knows an error; None when the server had no say in it."""
    return getattr(getattr(error, "orig", None) or error, "sqlstate", None)


def _cut(connection: Any) -> None:
    """Whoever waits for this connection learns that it is gone."""
    # Whatever goes wrong here: the connection is closed already.
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as one:
        one.shutdown(socket.SHUT_RDWR)
