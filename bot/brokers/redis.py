"""Events to a Redis stream, which any number of receivers read in their own time (`XREAD`, consumer groups)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from bot.errors import ConfigError, EndpointError
from bot.interfaces import StreamedEvent
from bot.stores.redis_connection import Place, find_place

TIMEOUT = 10.0
"""Seconds that Redis may take for an answer."""
ADD = """
for i = 2, #ARGV, 4 do
  local row = {'*', 'id', ARGV[i], 'sender_id', ARGV[i + 1], 'conversation_id', ARGV[i + 2], 'event', ARGV[i + 3]}
  if ARGV[1] ~= '' then row = {'MAXLEN', '~', ARGV[1], unpack(row)} end
  redis.call('XADD', KEYS[1], unpack(row))
end
"""
"""In order, and none behind one that could not be added."""


class RedisBroker:
    """Adds to `stream`, from which Redis drops the oldest when it has clearly more than `max_length` (None: never).

    An entry has the fields `id`, `sender_id`, `conversation_id` and `event` (JSON). Where Redis is, is said as for the
    Redis store. `replicas` must have an event before it counts as published (None: one behind Sentinels, else none).
    """

    def __init__(
        self,
        *,
        url: str = "localhost",
        host: str | None = None,
        port: int | str | None = None,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_ssl: bool = False,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_ca_certs: str | None = None,
        sentinels: Sequence[str] = (),
        service: str = "mymaster",
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
        cluster: bool = False,
        replicas: int | None = None,
        stream: str = "frontdesk:events",
        max_length: int | None = 1_000_000,
    ) -> None:
        if max_length is not None and max_length < 1:
            raise ConfigError(f"'max_length' of event_broker must be at least 1, not {max_length}")
        for file in (ssl_certfile, ssl_keyfile, ssl_ca_certs):
            if file is not None and not Path(file).is_file():
                raise ConfigError(f"event_broker names a file that does not exist: {file}")
        place = find_place(
            url,
            host=host,
            port=int(port) if port else None,
            db=db,
            username=username,
            password=password,
            use_ssl=use_ssl,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            ssl_ca_certs=ssl_ca_certs,
            sentinels=sentinels,
            service=service,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
            cluster=cluster,
        )
        if cluster and replicas:
            raise ConfigError("'replicas' of event_broker cannot be with 'cluster'")
        self._replicas = int(bool(place.sentinels)) if replicas is None else replicas
        self._place = place.name
        self._stream = stream
        self._max_length = max_length
        self._sentinel, self._client = _open(place)

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        values: list[Any] = [self._max_length or ""]
        for event in events:
            values += (event.id, event.sender_id, event.conversation_id, event.body)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("EVAL", ADD, 1, self._stream, *values)
        if self._replicas:
            pipeline.execute_command("WAIT", self._replicas, int(TIMEOUT * 500))
        try:
            _, *confirmed = await pipeline.execute()
        except (RedisError, RedisClusterException, OSError) as error:
            raise EndpointError(f"{self._place} took no events: {_reason(error)}") from error
        if confirmed and confirmed[0] < self._replicas:
            raise EndpointError(f"{self._place}: {confirmed[0]} of {self._replicas} replicas have the events")

    async def close(self) -> None:
        await self._client.aclose()
        if self._sentinel:
            await self._sentinel.aclose()


def _open(place: Place) -> tuple[Sentinel | None, Redis | RedisCluster]:
    options: dict[str, Any] = {
        **place.options,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        # The publisher repeats all of it: a part alone would come behind what follows it.
        "retry": Retry(NoBackoff(), 0),
    }
    if place.is_cluster:
        return None, RedisCluster(**options)
    if not place.sentinels:
        return None, Redis(**options)
    shared = {**place.sentinel_options, "socket_timeout": TIMEOUT}
    sentinel = Sentinel(place.sentinels, sentinel_kwargs=shared, **options)  # type: ignore[no-untyped-call]
    return sentinel, sentinel.master_for(place.service)


def _reason(error: Exception) -> str:
    """Redis's own word for it (`OOM`, `MISCONF`), without the command that its client repeats."""
    return f"{type(error).__name__}: {str(error).rpartition(' of pipeline caused error: ')[2][:200]}"
