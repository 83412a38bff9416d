"""Reads conversations as Rasa 3 keeps them: its Redis and SQL tracker stores, tracker dumps, and `rasa export`.

Nothing is held in memory but the conversation in hand. What cannot be read is handed on as a `DataError` in its place,
and the reading goes on with the next.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import orjson

from bot.errors import ConfigError, DataError, MissingExtra, Source, StoreUnavailable
from bot.yaml_file import shown

REDIS = ("redis", "rediss", "unix")
SQL = ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql")
SCHEMES = (*REDIS, *SQL)
TRACKER = "tracker:"
"""What Rasa's keys in Redis begin with, after the store's own `key_prefix`."""
_PAGE = 100
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RasaConversation:
    """A conversation as Rasa has it: its events are JSON values that nobody has checked.

    `conversation_id` is ours (`channel:sender`), where `frontdesk export` has written it down.
    """

    sender_id: str
    events: Sequence[Any]
    conversation_id: str | None = None


Found = Iterator[RasaConversation | DataError]


def read_conversations(place: str, *, key_prefix: str = "") -> Found:
    """All conversations in `place`: a URL of Redis or of an SQL database, or a file.

    `ConfigError` when it is neither, `StoreUnavailable` when it cannot be opened.
    """
    scheme = urlsplit(place).scheme.partition("+")[0]
    if "://" not in place:
        return _in_file(Path(place))
    if scheme in REDIS:
        return _in_redis(place, f"{key_prefix}:{TRACKER}" if key_prefix else TRACKER)
    if scheme in SQL:
        return _in_database(place)
    raise ConfigError(
        f"'{scheme}://' is not read: name a file, or a URL that begins with redis://, sqlite:/// or postgresql://"
    )


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


# ---- Redis ---------------------------------------------------------------------------------------


def _in_redis(url: str, start: str) -> Found:
    import redis

    try:
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            keys = client.scan_iter(match=f"{_literal(start)}*", count=_PAGE)
            for page in _pages(keys, _PAGE):
                for key, text in zip(page, client.mget(page), strict=True):
                    sender = key.decode("utf-8", "replace").removeprefix(start)
                    yield _dialogue(text, sender, f"the key '{start}{sender}'")
    except (redis.exceptions.RedisError, OSError) as error:
        raise StoreUnavailable(f"{without_password(url)} cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigError(f"'{without_password(url)}' is no URL of Redis: {error}") from error


def _literal(text: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _pages(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    there = iter(items)
    while page := list(itertools.islice(there, size)):
        yield page


def _dialogue(text: bytes | str | None, sender: str, what: str) -> RasaConversation | DataError:
    """`{"name", "events"}`: what Rasa keeps as text."""
    if text is None:
        return DataError(f"{what} holds no text: is it one of Rasa's?")
    try:
        dialogue = orjson.loads(text)
    except ValueError:
        return DataError(f"{what} holds no JSON: is it one of Rasa's?")
    if not isinstance(dialogue, dict) or not isinstance(dialogue.get("events"), list):
        return DataError(f"{what} holds no events: is it one of Rasa's?")
    return RasaConversation(sender, dialogue["events"])


# ---- SQL -----------------------------------------------------------------------------------------


def _in_database(url: str) -> Found:
    try:
        import sqlalchemy as sql
    except ImportError as error:
        raise MissingExtra("reading an SQL database", "sql") from error
    # Rasa's drivers are not ours; whoever names one gets that.
    address = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    columns: Any = (sql.column("sender_id"), sql.column("data"))
    rows = sql.select(*columns).select_from(sql.table("events")).order_by(columns[0], sql.column("id"))
    try:
        engine = sql.create_engine(address)
        if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
            raise ConfigError(f"there is no file '{engine.url.database}'")
        with contextlib.closing(engine.connect().execution_options(yield_per=1000)) as connection:
            for sender, group in itertools.groupby(connection.execute(rows), key=lambda row: str(row[0])):
                yield _stored_events(sender, [data for _, data in group])
        engine.dispose()
    except sql.exc.NoSuchModuleError as error:
        raise ConfigError(f"there is no driver for '{address.partition(':')[0]}': {error}") from error
    except ImportError as error:
        raise ConfigError(f"the driver '{error.name}' is not installed: pip install {error.name}") from error
    except sql.exc.ArgumentError as error:
        raise ConfigError(f"'{without_password(url)}' is no URL of a database") from error
    except sql.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreUnavailable(f"{without_password(url)} cannot be read: {reason}") from error


def _stored_events(sender: str, texts: Sequence[str | None]) -> RasaConversation | DataError:
    try:
        return RasaConversation(sender, [orjson.loads(text or "") for text in texts])
    except ValueError:
        return DataError(f"'{sender}' has an event in the table 'events' whose 'data' is no JSON")


# ---- files ---------------------------------------------------------------------------------------


def _in_file(path: Path) -> Found:
    """Tracker dumps as they come; events of several conversations, which may alternate, are sorted first."""
    if not path.is_file():
        raise ConfigError(f"there is no file '{shown(path)}'")
    # A database without a name is SQLite's own temporary file: on disk as soon as it is large.
    with contextlib.closing(sqlite3.connect("")) as sorted_events:
        sorted_events.execute("CREATE TABLE events (sender TEXT, ours TEXT, number INTEGER PRIMARY KEY, data BLOB)")
        for source, value in _values(path):
            match value:
                case DataError():
                    yield value
                case {"event": str(), "sender_id": str(sender)}:
                    ours = value.get("conversation_id")
                    data = {key: one for key, one in value.items() if key not in ("sender_id", "conversation_id")}
                    row = (sender, ours if isinstance(ours, str) else "", orjson.dumps(data))
                    sorted_events.execute("INSERT INTO events (sender, ours, data) VALUES (?, ?, ?)", row)
                case {"events": list(events), "sender_id": str(sender)} | {"events": list(events), "name": str(sender)}:
                    yield RasaConversation(sender, events)
                case {"events": None}:
                    yield DataError("the tracker has no events: ask for it with include_events=ALL", source)
                case _:
                    yield DataError("this is neither a tracker nor an event with a 'sender_id'", source)
        rows = sorted_events.execute("SELECT sender, ours, data FROM events ORDER BY sender, ours, number")
        for (sender, ours), group in itertools.groupby(rows, key=lambda row: (str(row[0]), str(row[1]))):
            yield RasaConversation(sender, [orjson.loads(data) for *_, data in group], ours or None)


def _values(path: Path) -> Iterator[tuple[Source, Any]]:
    """The JSON values of a file with its lines: one a line, those of an array, or the one that it is."""
    name = shown(path)
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            if first.lstrip().startswith("["):
                yield from _elements(file, name)
            elif first.lstrip().startswith("{") and not _is_json(first):
                yield from _whole(file.read(), name)
            else:
                yield from _lines(file, name)
    except OSError as error:
        raise ConfigError(f"'{name}' cannot be read: {error.strerror or error}") from error


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _lines(file: Iterable[str], name: str) -> Iterator[tuple[Source, Any]]:
    for number, line in enumerate(file, 1):
        source = Source(name, number)
        if line.strip():
            try:
                yield source, orjson.loads(line)
            except ValueError:
                yield source, DataError("this line is no JSON", source)


def _whole(text: str, name: str) -> Iterator[tuple[Source, Any]]:
    try:
        yield Source(name), json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        yield Source(name, line), DataError("the file is no JSON from here on", Source(name, line))


def _elements(file: IO[str], name: str) -> Iterator[tuple[Source, Any]]:
    """Those of an array, read a piece at a time."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    text, line, is_read = file.read(_CHUNK), 1, False
    at = text.index("[") + 1
    while True:
        begin = between.match(text, at)
        at = begin.end() if begin else at
        if text[at : at + 1] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            if is_read:
                source = Source(name, line + text.count("\n", 0, at))
                yield source, DataError("the file is no JSON from here on", source)
                return
            # Half a value: the next piece is as long as what there is, so that a long one is tried few times.
            line += text.count("\n", 0, at)
            more = file.read(max(_CHUNK, len(text) - at))
            text, at, is_read = text[at:] + more, 0, not more
            continue
        yield Source(name, line + text.count("\n", 0, at)), value
        at = end
