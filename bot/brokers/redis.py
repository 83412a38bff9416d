"""Events to a Redis stream, which any number of receivers read in their own time (`XREAD`, consumer groups)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from bot.errors import ConfigError, EndpointError
from bot.interfaces import StreamedEvent
from bot.rasa_trackers import without_password


class RedisBroker:
    """Adds to `stream`, from which Redis drops the oldest when it has clearly more than `max_length` (None: never).

    An entry has the fields `id`, `sender_id`, `conversation_id` and `event` (JSON). `url` is a host, or a whole URL
    (`redis://`, `rediss://`, `unix://`), whose parts come before the other options.
    """

    def __init__(
        self,
        *,
        url: str = "localhost",
        port: int | None = None,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        stream: str = "frontdesk:events",
        max_length: int | None = 1_000_000,
        use_ssl: bool = False,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_ca_certs: str | None = None,
    ) -> None:
        if max_length is not None and max_length < 1:
            raise ConfigError(f"'max_length' of event_broker must be at least 1, not {max_length}")
        for file in (ssl_certfile, ssl_keyfile, ssl_ca_certs):
            if file is not None and not Path(file).is_file():
                raise ConfigError(f"event_broker names a file that does not exist: {file}")
        if "://" not in url:
            host = f"[{url}]" if ":" in url else url
            url = f"{'rediss' if use_ssl else 'redis'}://{host}:{port or 6379}"
        options: dict[str, Any] = {"username": username, "password": password, "db": db}
        if url.startswith("rediss://"):
            files = {"ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile, "ssl_ca_certs": ssl_ca_certs}
            options.update(files)
        given = {name: value for name, value in options.items() if value is not None}
        self._place = without_password(url)
        self._stream = stream
        self._max_length = max_length
        try:
            self._client = redis.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0, **given)
        except ValueError as error:
            raise ConfigError(f"the 'url' of event_broker is no URL of Redis: {self._place}") from error

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        # One transaction: all of them, in order, or none.
        pipeline = self._client.pipeline(transaction=True)
        for event in events:
            fields: dict[Any, Any] = {
                "id": event.id,
                "sender_id": event.sender_id,
                "conversation_id": event.conversation_id,
                "event": event.body,
            }
            pipeline.xadd(self._stream, fields, maxlen=self._max_length, approximate=True)
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            raise EndpointError(f"Redis at {self._place} took no events: {_reason(error)}") from error

    async def close(self) -> None:
        await self._client.aclose()


def _reason(error: Exception) -> str:
    """Redis's own word for it (`OOM`, `MISCONF`), without the command that its client repeats."""
    return f"{type(error).__name__}: {str(error).rpartition(' of pipeline caused error: ')[2][:200]}"
