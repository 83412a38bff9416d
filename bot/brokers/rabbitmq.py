"""Events to RabbitMQ: Rasa's `pika` broker, by the same exchange and queues."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.brokers import fitting, in_order
from bot.errors import ConfigError, EndpointError, MissingExtra
from bot.interfaces import StreamedEvent

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
    from yarl import URL

QUEUE = "rasa_core_events"
CONNECTING = 10.0
"""Seconds until a server that does not answer is given up."""


class RabbitMQBroker:
    """Publishes to the exchange `exchange_name`, to which `queues` are bound; what is missing of these is made.

    A message is persistent, its body is the event, `message_id` is the event's id and `app_id` the `environment`. It
    counts as published when RabbitMQ has confirmed it. `url` is a host or a whole URL (`amqp://`, `amqps://`), whose
    parts come before the other options. A body of more than `largest_message` bytes is one that it would refuse.
    """

    passes_over = frozenset(
        ("connection_attempts", "retry_delay_in_seconds", "should_keep_unpublished_messages", "raise_on_failure")
    )
    """What is not published is in the store, and tried again for as long as it takes."""

    def __init__(
        self,
        *,
        url: str = "localhost",
        username: str | None = None,
        password: str | None = None,
        port: int | str | None = None,
        queues: str | Sequence[str] | None = None,
        exchange_name: str = "rasa-exchange",
        ssl_cafile: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        environment: str | None = None,
        largest_message: int = 16_000_000,
    ) -> None:
        try:
            import aio_pika  # noqa: F401
        except ImportError as error:
            raise MissingExtra("the event broker 'rabbitmq'", "rabbitmq") from error
        # What they say of an outage again and again, the publisher says once.
        for name in ("aio_pika", "aiormq"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._queues = (queues,) if isinstance(queues, str) else tuple(queues or (QUEUE,))
        if not all(isinstance(name, str) and name for name in self._queues):
            raise ConfigError("'queues' of event_broker must be a list of names")
        self._exchange_name = exchange_name
        self._url = _whole_url(url, username, password, port, secure=bool(ssl_cafile or ssl_certfile))
        self._place = f"RabbitMQ at {self._url.host}:{self._url.port}"
        files = (
            ssl_cafile or self._url.query.get("cacertfile") or self._url.query.get("cafile"),
            ssl_certfile or self._url.query.get("certfile"),
            ssl_keyfile or self._url.query.get("keyfile"),
        )
        self._context = _context(*files) if self._url.scheme == "amqps" else None
        self._environment = environment
        self._largest = largest_message
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        import aio_pika

        exchange = self._exchange or await self._connect()

        async def send(event: StreamedEvent) -> None:
            event = fitting(event, self._largest)
            message = aio_pika.Message(
                event.body,
                message_id=event.id,
                app_id=self._environment,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await exchange.publish(message, "")

        try:
            await in_order(events, send)
        except BaseException as error:
            # Whatever it was: a new connection, with a new look at exchange and queues, is a sound beginning.
            await self.close()
            if _is_outage(error):
                raise EndpointError(f"{self._place} did not confirm an event ({type(error).__name__})") from error
            raise

    async def close(self) -> None:
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            # It may be broken, which is why it is closed.
            await asyncio.gather(asyncio.wait_for(connection.close(), CONNECTING), return_exceptions=True)

    async def _connect(self) -> AbstractExchange:
        import aio_pika

        try:
            async with asyncio.timeout(CONNECTING):
                self._connection = await aio_pika.connect(self._url, ssl_context=self._context)
                self._exchange = await self._open()
        except BaseException as error:
            await self.close()
            if _is_outage(error):
                raise EndpointError(f"{self._place} cannot be used: {_reason(error)}") from error
            raise
        return self._exchange

    async def _open(self) -> AbstractExchange:
        """The exchange with its queues: as they are, if they are there (durable, quorum queues), else as Rasa's."""
        import aio_pika

        channel = await self._channel()
        exchange: AbstractExchange
        try:
            exchange = await channel.get_exchange(self._exchange_name, ensure=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            channel = await self._channel()
            exchange = await channel.declare_exchange(self._exchange_name, aio_pika.ExchangeType.FANOUT)
        for name in self._queues:
            try:
                queue = await channel.get_queue(name, ensure=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                channel = await self._channel()
                queue = await channel.declare_queue(name, durable=True)
            await queue.bind(exchange, "")
        channel = await self._channel()
        return await channel.get_exchange(self._exchange_name, ensure=False)

    async def _channel(self) -> AbstractChannel:
        """A new one: a question that RabbitMQ says no to closes the channel on which it was asked.

        An event that no queue has taken is an error.
        """
        assert self._connection is not None
        return await self._connection.channel(publisher_confirms=True, on_return_raises=True)


def _whole_url(url: str, username: str | None, password: str | None, port: int | str | None, *, secure: bool) -> URL:
    from yarl import URL

    try:
        if not url.startswith(("amqp://", "amqps://")):
            host = f"[{url}]" if ":" in url else url
            url = f"{'amqps' if secure else 'amqp'}://{host}"
        whole = URL(url)
        if not whole.host:
            raise ValueError(url)
        if username is not None and whole.user is None:
            whole = whole.with_user(str(username))
        if password is not None and whole.password is None:
            whole = whole.with_password(str(password))
        if whole.port is None:
            whole = whole.with_port(int(port) if port is not None else 5671 if whole.scheme == "amqps" else 5672)
    except ValueError as error:
        raise ConfigError("'url' and 'port' of event_broker must be a host and a port, or an amqp:// URL") from error
    return whole


def _context(cafile: str | None, certfile: str | None, keyfile: str | None) -> ssl.SSLContext:
    for file in (cafile, certfile, keyfile):
        if file is not None and not Path(file).is_file():
            raise ConfigError(f"event_broker names a file that does not exist: {file}")
    try:
        context = ssl.create_default_context(cafile=cafile)
        if certfile:
            context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates of event_broker cannot be used: {type(error).__name__}") from error
    return context


def _is_outage(error: BaseException) -> bool:
    """Whether this is the server's doing, or the network's."""
    import aio_pika

    vendors: tuple[type[BaseException], ...] = (
        aio_pika.exceptions.AMQPError,
        aio_pika.exceptions.ChannelInvalidStateError,
    )
    return isinstance(error, (*vendors, OSError, TimeoutError))


def _reason(error: Any) -> str:
    """The server's own words, where there are any."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")
