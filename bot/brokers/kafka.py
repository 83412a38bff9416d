"""Events to Kafka, with the settings of Rasa's `kafka` broker."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.brokers import fitting, in_order
from bot.errors import ConfigError, EndpointError, MissingExtra, UnknownName
from bot.interfaces import StreamedEvent

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
OVERHEAD = 2048
"""Bytes that a record takes beside its body, generously."""


class KafkaBroker:
    """Publishes to `topic`; an event counts as published when all in-sync replicas have it.

    `url` is one bootstrap server (`host:port`), several with commas between them, or a list. The key of a record is the
    sender id, so that a conversation's events are in one partition and in order; `partition_by_sender: false` spreads
    them over all. Headers are `event_id` and `RASA_ENVIRONMENT`. A body of more than `largest_message` bytes is one
    that the topic would refuse. An answer is waited for `patience` seconds.
    """

    passes_over = frozenset(("queue_size",))

    def __init__(
        self,
        *,
        url: str | Sequence[str],
        topic: str = "rasa_core_events",
        client_id: str | None = None,
        partition_by_sender: bool = True,
        sasl_username: str | None = None,
        sasl_password: str | None = None,
        sasl_mechanism: str = "PLAIN",
        ssl_cafile: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_check_hostname: bool = False,
        security_protocol: str = "SASL_PLAINTEXT",
        environment: str = "RASA_ENVIRONMENT_NOT_SET",
        largest_message: int = 1_000_000,
        patience: float = 10.0,
    ) -> None:
        try:
            import aiokafka  # noqa: F401
        except ImportError as error:
            raise MissingExtra("the event broker 'kafka'", "kafka") from error
        # What it says of an outage again and again, the publisher says once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        servers = url.split(",") if isinstance(url, str) else list(url)
        if not all(isinstance(server, str) and server.strip() for server in servers) or not servers:
            raise ConfigError("'url' of event_broker must be like localhost:9092, or a list of such")
        protocol = security_protocol.upper()
        if protocol not in PROTOCOLS:
            raise UnknownName("security_protocol", security_protocol, PROTOCOLS)
        self._options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in servers],
            "client_id": client_id,
            "security_protocol": protocol,
            "max_request_size": largest_message + OVERHEAD,
            "acks": "all",
            "request_timeout_ms": round(patience * 1000),
        }
        if protocol.startswith("SASL"):
            self._options.update(_login(sasl_mechanism, sasl_username, sasl_password))
        if protocol.endswith("SSL"):
            self._options["ssl_context"] = _context(ssl_cafile, ssl_certfile, ssl_keyfile, ssl_check_hostname)
        self._place = f"Kafka at {', '.join(self._options['bootstrap_servers'])}"
        self._topic = topic
        self._by_sender = partition_by_sender
        self._environment = environment.encode()
        self._largest = largest_message
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        from aiokafka.errors import KafkaError

        try:
            producer = self._producer or await self._connect()

            async def send(event: StreamedEvent) -> None:
                event = fitting(event, self._largest)
                key = event.sender_id.encode() if self._by_sender else None
                headers = [("event_id", event.id.encode()), ("RASA_ENVIRONMENT", self._environment)]
                await producer.send_and_wait(self._topic, event.body, key=key, headers=headers)

            await in_order(events, send)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            # Kafka's own word for it: TopicAuthorizationFailedError, KafkaConnectionError.
            reason = type(error).__name__
            raise EndpointError(f"{self._place} took no events for '{self._topic}': {reason}") from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # What it has in hand goes out first or is given up, so that it cannot arrive behind what comes later.
            await asyncio.gather(producer.stop(), return_exceptions=True)

    async def _connect(self) -> AIOKafkaProducer:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(**self._options)
        try:
            await producer.start()
        except BaseException:
            await asyncio.gather(producer.stop(), return_exceptions=True)
            raise
        self._producer = producer
        return producer


def _login(mechanism: str, username: str | None, password: str | None) -> dict[str, Any]:
    mechanism = mechanism.upper()
    if mechanism not in MECHANISMS:
        raise UnknownName("sasl_mechanism", mechanism, MECHANISMS)
    if mechanism == "GSSAPI":
        if importlib.util.find_spec("gssapi") is None:
            raise ConfigError("'sasl_mechanism: GSSAPI' of event_broker needs: pip install gssapi")
    elif username is None or password is None:
        raise ConfigError(
            "event_broker needs 'sasl_username' and 'sasl_password', or 'security_protocol: PLAINTEXT' where Kafka "
            "asks for neither"
        )
    return {"sasl_mechanism": mechanism, "sasl_plain_username": username, "sasl_plain_password": password}


def _context(cafile: str | None, certfile: str | None, keyfile: str | None, check_hostname: bool) -> ssl.SSLContext:
    for file in (cafile, certfile, keyfile):
        if file is not None and not Path(file).is_file():
            raise ConfigError(f"event_broker names a file that does not exist: {file}")
    try:
        context = ssl.create_default_context(cafile=cafile)
        context.check_hostname = check_hostname
        if certfile:
            context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates of event_broker cannot be used: {type(error).__name__}") from error
    return context
