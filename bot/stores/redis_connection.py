"""The connection to Redis: where it is, scripts that run there, what is told from there. One kind of error comes out.

Calls that come together go together: one write, one read. On a single server, behind Sentinels and on a cluster alike.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bot.errors import ConfigError, StoreError, StoreUnavailable

log = logging.getLogger(__name__)

BLOCK = 2.0
"""Seconds that a blocking call waits on the server before it is made again."""
_LANES = 2
"""Batches that are on the way to one server. The calls of a partition keep their order: they are in one lane."""
_MOST_CALLS = 200
"""Calls of one batch."""
_BREATH = 0.05
"""Seconds before a call is made again, at first."""
_PASSING = {
    "OOM": "its memory is full: raise 'maxmemory', or delete old conversations (see 'ttl')",
    "MISCONF": "it cannot write to its disk",
    "NOREPLICAS": "too few of its replicas are there",
    "LOADING": "it is starting",
    "READONLY": "it is a replica: a failover is under way, or the address is not the master's",
    "MASTERDOWN": "its master is away",
    "CLUSTERDOWN": "a part of the cluster is away",
    "TRYAGAIN": "the cluster is being rearranged",
    "BUSY": "it is busy with a script",
    "MOVED": "the cluster is being rearranged",
    "ASK": "the cluster is being rearranged",
}
"""Answers of Redis that pass by themselves, or when the operator has done something."""
_CODE = re.compile(rf"(?:^|-)({'|'.join(_PASSING)})\b")
_CLASSES: dict[type[Exception], str] = {
    BusyLoadingError: "LOADING",
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
    TryAgainError: "TRYAGAIN",
    ReadOnlyError: "READONLY",
    OutOfMemoryError: "OOM",
    AskError: "ASK",
}


class Script:
    """A Lua script: `source` as the server keeps it under the name `sha`."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source.encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


def read_scripts(constants: str) -> dict[str, Script]:
    """All scripts in redis_scripts/, by their names, each behind what they share and the constants."""
    folder = Path(__file__).with_name("redis_scripts")
    common = constants + (folder / "common.lua").read_text(encoding="utf-8")
    files = [file for file in folder.glob("*.lua") if file.stem != "common"]
    return {file.stem: Script(file.stem, common + file.read_text(encoding="utf-8")) for file in files}


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis is, and what to show of it: never a password.

    `options` are those of a connection of redis-py. With `sentinels` or `nodes` they have no host and port.
    """

    name: str
    options: dict[str, Any] = field(repr=False)
    service: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)
    is_cluster: bool = False


def find_place(
    url: str,
    *,
    host: str | None,
    port: int | None,
    db: int | None,
    username: str | None,
    password: str | None,
    use_ssl: bool,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    ssl_ca_certs: str | None,
    sentinels: Sequence[str],
    service: str,
    sentinel_username: str | None,
    sentinel_password: str | None,
    cluster: bool,
) -> Place:
    """The place that the store's options describe. `url` is a URL, or a host's name as in Rasa's endpoints.yml."""
    options: dict[str, Any] = {"host": "localhost", "port": 6379}
    if "://" in url:
        try:
            options.update(parse_url(url))
        except ValueError as error:
            shown = re.sub(r"//[^/]*@", "//", url.partition("?")[0])
            raise ConfigError(f"'{shown}' is no URL of Redis: it begins with redis://, rediss:// or unix://") from error
        use_ssl = use_ssl or url.startswith("rediss://")
        options.pop("connection_class", None)
    elif url:
        options["host"] = url
    given = {"host": host, "port": port, "db": db, "username": username, "password": password}
    options.update({name: value for name, value in given.items() if value is not None})
    if use_ssl:
        files = {"ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile, "ssl_ca_certs": ssl_ca_certs}
        options.update({name: value for name, value in files.items() if value is not None}, ssl=True)
    if "path" in options:
        options = {name: value for name, value in options.items() if name not in ("host", "port")}
        options["unix_socket_path"] = options.pop("path")
        name = f"unix://{options['unix_socket_path']}"
    else:
        name = f"redis{'s' if use_ssl else ''}://{options['host']}:{options['port']}"
    if options.get("db"):
        name += f"/{options['db']}"
    if sentinels:
        if cluster:
            raise ConfigError("'sentinels' and 'cluster' cannot both be: a cluster fails over by itself")
        addresses = tuple(_address(one, 26379) for one in sentinels)
        shared = {key: value for key, value in options.items() if key.startswith("ssl")}
        login = {"username": sentinel_username, "password": sentinel_password}
        shared.update({key: value for key, value in login.items() if value is not None})
        for key in ("host", "port"):
            options.pop(key, None)
        name = f"the Redis '{service}' of the Sentinels {', '.join(f'{host}:{port}' for host, port in addresses)}"
        return Place(name, options, service, addresses, shared)
    if cluster:
        if options.pop("db", 0):
            raise ConfigError("a Redis cluster has no databases: leave 'db' out")
        return Place(f"the Redis cluster at {name}", options, is_cluster=True)
    return Place(name, options)


def _address(text: str, port: int) -> tuple[str, int]:
    host, _, number = text.rpartition(":") if ":" in text else (text, "", str(port))
    if not host or not number.isdigit():
        raise ConfigError(f"'{text}' is no address of a Sentinel: write host:port")
    return host, int(number)


class _Call:
    """One command on its way. `tries_until` is the loop's time up to which it is repeated."""

    __slots__ = ("command", "future", "key", "repeated", "script", "tries_until")

    def __init__(self, key: bytes, command: tuple[Any, ...], script: Script | None, tries_until: float) -> None:
        self.key = key
        self.command = command
        self.script = script
        self.tries_until = tries_until
        self.repeated = 0
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Any) -> None:
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class _Line:
    """The way to one server: what is called while others are on the way goes with the next batch."""

    def __init__(self, send: Callable[[list[_Call]], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: deque[_Call] = deque()
        self._working: asyncio.Task[None] | None = None

    def put(self, call: _Call) -> None:
        self._waiting.append(call)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_CALLS))]
            await self._send(batch)
        self._working = None

    async def close(self) -> None:
        while self._working:
            await asyncio.wait([self._working])


class RedisConnection:
    """Scripts and commands at `place`. Everything that goes wrong is a `StoreUnavailable` or a `StoreError`.

    `timeout` is how many seconds Redis may take for an answer. `replicas` is how many replicas must have what was
    written before a call is done. `check` is a script that tells which key is not ours.
    """

    def __init__(self, place: Place, *, timeout: float, replicas: int, check: Script) -> None:
        self.place = place
        self._check = check
        self._timeout = timeout
        self._replicas = replicas
        self._sentinels: list[Sentinel] = []
        # Redis looks every tenth of a second who has waited for replicas for long enough.
        self._client = self._open(timeout + 0.5 if replicas else timeout)
        self._blocking = self._open(timeout + BLOCK)
        self._lines: dict[tuple[str, int], _Line] = {}
        self._later: set[asyncio.Task[None]] = set()

    def _options(self, timeout: float) -> dict[str, Any]:
        return {
            **self.place.options,
            "socket_timeout": timeout,
            "socket_connect_timeout": self._timeout,
            "socket_keepalive": True,
            # We repeat ourselves: what is repeated, and for how long, depends on the call.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }

    def _open(self, timeout: float) -> Redis | RedisCluster:
        options = self._options(timeout)
        if self.place.is_cluster:
            return RedisCluster(**options, max_connections=1000)
        if self.place.sentinels:
            shared = {name: options[name] for name in ("socket_connect_timeout", "retry", "protocol", "driver_info")}
            shared.update(self.place.sentinel_options, socket_timeout=self._timeout)
            sentinel = Sentinel(self.place.sentinels, sentinel_kwargs=shared, **options)  # type: ignore[no-untyped-call]
            self._sentinels.append(sentinel)
            client: Redis = sentinel.master_for(self.place.service)
            return client
        return Redis(**options)

    # ---- calls ----

    def run(self, script: Script, key: bytes, *values: Any, patience: float = 0.0) -> asyncio.Future[Any]:
        """Run a script on the partition whose keys begin with `key`.

        A connection that breaks is tried once more at once, and again and again for `patience` seconds: scripts
        recognise a request that they have dealt with.
        """
        command = ("EVALSHA", script.sha, 2, key, key + b"token", *values)
        return self._put(_Call(key, command, script, asyncio.get_running_loop().time() + patience))

    def command(self, *command: Any) -> asyncio.Future[Any]:
        """Any command whose first argument is a key. It must be one that may be repeated."""
        return self._put(_Call(command[1], command, None, 0.0))

    def _put(self, call: _Call) -> asyncio.Future[Any]:
        if isinstance(self._client, RedisCluster):
            # Before the cluster is known, and while it is in disorder, one line makes its acquaintance.
            name = ""
            if self._client.get_default_node():
                with suppress(RedisClusterException):
                    node = self._client.get_node_from_key(call.key.decode())
                    name = node.name if node else ""
        else:
            name = ""
        lane = zlib.crc32(call.key) % _LANES
        line = self._lines.get((name, lane))
        if line is None:
            line = self._lines[name, lane] = _Line(self._send)
        line.put(call)
        return call.future

    async def _send(self, calls: list[_Call]) -> None:
        outcomes: Sequence[Any]
        try:
            outcomes = await self._round_trip(calls)
        except Exception as error:
            outcomes = [error] * len(calls)
        again = [call for call, outcome in zip(calls, outcomes, strict=True) if not self._settle(call, outcome)]
        if again:
            is_new = any(call.repeated < 2 for call in again)
            self._later_do(self._repeat(again, 0.0 if is_new else _BREATH))

    async def _round_trip(self, calls: list[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        if not self._replicas:
            return await pipeline.execute(raise_on_error=False)
        milliseconds = int(self._timeout * 1000)
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            node = self._client.get_node_from_key(calls[0].key.decode())
            pipeline.execute_command("WAIT", self._replicas, milliseconds, target_nodes=node)
        else:
            pipeline.execute_command("WAIT", self._replicas, milliseconds)
        *outcomes, confirmed = await pipeline.execute(raise_on_error=False)
        if isinstance(confirmed, Exception):
            raise confirmed
        if confirmed < self._replicas:
            raise _TooFewReplicas(f"{confirmed} of {self._replicas} replicas have confirmed")
        return outcomes

    def _settle(self, call: _Call, outcome: Any) -> bool:
        """Whether the call is done with; else it is to be made again."""
        if not isinstance(outcome, Exception):
            call.settle(outcome)
        elif isinstance(outcome, NoScriptError) and call.script is not None:
            call.command = ("EVAL", call.script.source, *call.command[2:])
            self._put(call)
        elif "WRONGTYPE" in str(outcome) and call.script not in (None, self._check):
            self._later_do(self._diagnose(call, outcome))
        elif self._may_pass(outcome) and (not call.repeated or asyncio.get_running_loop().time() < call.tries_until):
            call.repeated += 1
            return False
        else:
            call.settle(self.ours(outcome))
        return True

    async def _repeat(self, calls: list[_Call], seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            if isinstance(self._client, RedisCluster):
                # Whatever has happened to the cluster: redis-py finds out by a call of its own, at the second one.
                for _ in range(2):
                    with suppress(*_TROUBLE):
                        await self._client.execute_command("EXISTS", calls[0].key)
                        break
            for call in calls:
                self._put(call)
        except BaseException as error:
            for call in calls:
                call.settle(self.ours(error) if isinstance(error, Exception) else self._closed())
            raise

    def _later_do(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _diagnose(self, call: _Call, error: Exception) -> None:
        try:
            await self.run(self._check, call.key, *call.command[5:8])
            call.settle(self.ours(error))
        except StoreError as found:
            call.settle(found)

    async def scan(self, command: str, key: bytes) -> AsyncIterator[tuple[bytes, Any]]:
        """All of a sorted set (ZSCAN: member, score) or a hash (HSCAN: field, value); some may come twice."""
        cursor = 0
        while True:
            cursor, page = await self.command(command, key, cursor, "COUNT", 500)
            for item in page.items() if isinstance(page, dict) else page:
                yield item
            if not cursor:
                return

    # ---- what Redis tells ----

    def together(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """The keys in groups that one call can wait for: on a cluster, each alone."""
        return [[key] for key in keys] if self.place.is_cluster else [list(keys)]

    async def pop(self, keys: Sequence[bytes]) -> bytes | None:
        """The least member of the first of these sorted sets that has one; None when there is none for `BLOCK` s."""
        try:
            found = await self._blocking.execute_command("BZPOPMIN", *keys, BLOCK)
        except Exception as error:
            raise self.ours(error) from error
        return found[1] if found else None

    async def listen(self, channel: str) -> AsyncIterator[bytes | None]:
        """What is published there. None says that from here on nothing is missed; before, something may have been."""
        client: Redis | None = None
        try:
            client = await self._any_server()
            async with client.pubsub() as subscription:
                await subscription.subscribe(channel)
                asked_at = asyncio.get_running_loop().time()
                is_asked = False
                while True:
                    message = await subscription.get_message(timeout=BLOCK)
                    now = asyncio.get_running_loop().time()
                    if message:
                        is_asked, asked_at = False, now
                        if message["type"] == "message":
                            yield message["data"]
                        elif message["type"] == "subscribe":
                            yield None
                    elif is_asked and now - asked_at > self._timeout:
                        raise RedisTimeoutError("no answer to a ping")
                    elif not is_asked:
                        # A connection that was cut without a word is found by asking.
                        is_asked, asked_at = True, now
                        await subscription.ping()
        except Exception as error:
            raise self.ours(error) from error
        finally:
            if client is not None and client is not self._blocking:
                with suppress(*_TROUBLE):
                    await client.aclose()

    async def _any_server(self) -> Redis:
        """One that hears all channels: on a cluster, every master does."""
        if not isinstance(self._blocking, RedisCluster):
            return self._blocking
        await self._blocking.initialize()
        node: ClusterNode = self._blocking.get_random_primary_node()
        options = self._options(self._timeout + BLOCK)
        return Redis(**{**options, "host": node.host, "port": node.port})

    async def close(self) -> None:
        for line in self._lines.values():
            await line.close()
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        for client in (self._client, self._blocking, *self._sentinels):
            with suppress(*_TROUBLE):
                await client.aclose()

    async def warnings(self) -> list[str]:
        """What in the settings of Redis will lose conversations one day; nothing where it may not be asked."""
        try:
            # On a cluster it may be that of several servers, by their names.
            answer = await self._client.execute_command("INFO", "everything")
        except _TROUBLE:
            return []
        found = []
        for info in [answer] if "redis_version" in answer else answer.values():
            policy = info.get("maxmemory_policy", "noeviction")
            if info.get("maxmemory") and policy != "noeviction":
                found.append(
                    f"{self.place.name} forgets conversations when its memory is full (maxmemory-policy {policy}): set"
                    " it to noeviction"
                )
            if info.get("aof_enabled") == 0:
                found.append(f"{self.place.name} loses what it took in last when it stops: set 'appendonly yes'")
        return list(dict.fromkeys(found))

    # ---- errors ----

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.place.name}: the store has been closed")

    def _may_pass(self, error: Exception) -> bool:
        return isinstance(error, _CONNECTION) or _code(error) is not None

    def ours(self, error: Exception) -> StoreError:
        """An error of redis-py as ours. Nothing of what was sent is in it."""
        where, text = self.place.name, str(error)
        if code := _code(error):
            return StoreUnavailable(f"{where} cannot do this now ({code}): {_PASSING[code]}. It is tried again")
        if isinstance(error, AuthenticationError | AuthorizationError):
            return StoreUnavailable(f"{where} does not accept the store's user or password: {text}")
        if isinstance(error, RedisClusterException):
            return StoreUnavailable(f"{where} is not reached, or is no cluster. It is tried again")
        if isinstance(error, _CONNECTION):
            reason = text.rstrip(".") or type(error).__name__
            return StoreUnavailable(f"{where} does not answer: {reason}. It is tried again")
        if text.startswith("FOREIGN "):
            return self.foreign(text)
        if not isinstance(error, RedisError):
            return StoreError(f"{where}: {type(error).__name__} in redis-py")
        if isinstance(error, NoPermissionError) or "user executing the script" in text:
            return StoreError(f"{where}: the store's user lacks a right that it needs (see docs/redis.md): {text}")
        return StoreError(f"{where} refuses a step: {text}")

    def foreign(self, text: str) -> StoreError:
        """What a script says of a key that is not ours."""
        return StoreError(
            f"{self.place.name}: the key '{text.removeprefix('FOREIGN ')}: something else has written it. Nothing was"
            " changed. Move it away, or give the store a 'key_prefix' of its own"
        )


class _TooFewReplicas(RedisConnectionError):
    """It is written, and would be lost if the master were lost now."""


_CONNECTION = (RedisConnectionError, RedisTimeoutError, RedisClusterException, ClusterError, OSError, TimeoutError)
_TROUBLE = (RedisError, RedisClusterException, OSError, TimeoutError)


def _code(error: Exception) -> str | None:
    """Redis' word for what passes by itself; before Redis 7 it stands within the text of a script's error."""
    for kind, code in _CLASSES.items():
        if isinstance(error, kind):
            return code
    if not isinstance(error, ResponseError):
        return None
    if "non local key" in str(error):
        return "TRYAGAIN"
    found = _CODE.search(str(error))
    return found[1] if found else None
