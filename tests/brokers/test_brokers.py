"""What every event broker promises, with a real server behind each."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from bot.brokers import streamed
from bot.brokers.file import FileBroker
from bot.brokers.kafka import KafkaBroker
from bot.brokers.rabbitmq import RabbitMQBroker
from bot.brokers.redis import RedisBroker
from bot.brokers.sql import SQLBroker
from bot.errors import ConfigError, EndpointError, UnknownName
from bot.events import BotUttered, SlotSet, UserUttered, event_to_json
from bot.interfaces import EventBroker, Published, StreamedEvent
from tests.brokers.servers import KafkaPeer, RabbitServer, RedisServer, Server, free_port
from tests.stores.postgres_server import PASSWORD, USER, postgres
from tests.stores.redis_servers import cluster, sentinels

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"), certificates)
    server.start()
    yield server
    server.kill()
    server.stop_epmd()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def kafka() -> Iterator[KafkaPeer]:
    peer = KafkaPeer()
    yield peer
    peer.stop()


@dataclass
class Case:
    """A broker, and what a receiver sees: a list of (id, body)."""

    broker: EventBroker
    received: Callable[[int], Awaitable[list[tuple[str, dict[str, Any]]]]]
    """Waits for so many different ones; repeats are shown, too."""


@pytest.fixture(params=["redis", "rabbitmq", "kafka", "file", "sql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with CASES[request.param](request, tmp_path) as made:
        yield made
        await made.broker.close()


@contextlib.asynccontextmanager
async def redis_case(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Case]:
    server: RedisServer = request.getfixturevalue("redis_server")
    stream = f"events:{folder.name}"

    async def received(count: int) -> list[tuple[str, dict[str, Any]]]:
        with redis.Redis(port=server.port, decode_responses=True) as client:
            entries: Any = client.xrange(stream)
        return [(fields["id"], json.loads(fields["event"])) for _, fields in entries]

    yield Case(RedisBroker(url="127.0.0.1", port=server.port, stream=stream), received)


@contextlib.asynccontextmanager
async def rabbitmq_case(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Case]:
    server: RabbitServer = request.getfixturevalue("rabbit")
    queue = f"queue-{folder.name}"
    got: list[tuple[str, dict[str, Any]]] = []

    async def received(count: int) -> list[tuple[str, dict[str, Any]]]:
        got.extend([(message.message_id, json.loads(message.body)) for message in await consume(server, queue, count)])
        return got

    broker = RabbitMQBroker(
        url="127.0.0.1",
        port=str(server.port),
        username="bot",
        password="secret",
        queues=[queue],
        exchange_name=f"exchange-{folder.name}",
        environment="production",
    )
    yield Case(broker, received)


async def consume(server: RabbitServer, queue: str, count: int) -> list[Any]:
    import aio_pika

    connection = await aio_pika.connect(f"amqp://bot:secret@127.0.0.1:{server.port}/")
    async with connection, asyncio.timeout(20):
        source = await (await connection.channel()).get_queue(queue)
        messages = []
        async with source.iterator(no_ack=True) as incoming:
            async for message in incoming:
                messages.append(message)
                if len({one.message_id for one in messages}) == count:
                    break
        return messages


@contextlib.asynccontextmanager
async def kafka_case(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Case]:
    peer: KafkaPeer = request.getfixturevalue("kafka")

    async def received(count: int) -> list[tuple[str, dict[str, Any]]]:
        records = await asyncio.to_thread(read_topic, peer, "events", count)
        return [(event_id(record), json.loads(record.value())) for record in records]

    yield Case(KafkaBroker(url=f"127.0.0.1:{peer.port}", topic="events", security_protocol="PLAINTEXT"), received)


def read_topic(peer: KafkaPeer, topic: str, count: int) -> list[Any]:
    """The records until there are so many different ones, as another client than ours receives them."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{peer.port}", "group.id": "receiver"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        records: list[Any] = []
        while len(set(map(event_id, records))) < count:
            record = consumer.poll(10)
            assert record is not None, "no more records came"
            records.append(record)
        return records
    finally:
        consumer.close()


def event_id(record: Any) -> str:
    found: str = dict(record.headers())["event_id"].decode()
    return found


@contextlib.asynccontextmanager
async def file_case(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Case]:
    async def received(count: int) -> list[tuple[str, dict[str, Any]]]:
        rows = [json.loads(line) for line in (folder / "events.log").read_text().splitlines()]
        return [(row["event_id"], row) for row in rows]

    yield Case(FileBroker(path="events.log", root=folder), received)


@contextlib.asynccontextmanager
async def sql_case(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Case]:
    async def received(count: int) -> list[tuple[str, dict[str, Any]]]:
        with contextlib.closing(sqlite3.connect(folder / "events.db")) as connection:
            rows = connection.execute("SELECT sender_id, data FROM events ORDER BY id").fetchall()
        bodies = [json.loads(data) for _, data in rows]
        assert [sender for sender, _ in rows] == [body["sender_id"] for body in bodies]
        return [(body["event_id"], body) for body in bodies]

    yield Case(SQLBroker(root=folder), received)


CASES: dict[str, Callable[[pytest.FixtureRequest, Path], contextlib.AbstractAsyncContextManager[Case]]] = {
    "redis": redis_case,
    "rabbitmq": rabbitmq_case,
    "kafka": kafka_case,
    "file": file_case,
    "sql": sql_case,
}


def events(conversation_id: str = "rest:anna", count: int = 3, first: int = 0) -> list[StreamedEvent]:
    turn = tuple(
        SlotSet(name="amount", value=number, timestamp=float(number)) for number in range(first, first + count)
    )
    return streamed(Published("1", conversation_id, first, turn))


def values(received: list[tuple[str, dict[str, Any]]], conversation_id: str = "rest:anna") -> list[Any]:
    """What a receiver keeps of a conversation: each event once, in the order in which it came."""
    kept = {key: body for key, body in received if body["conversation_id"] == conversation_id}
    return [body["value"] for body in kept.values()]


# ---- the contract --------------------------------------------------------------------------------


async def test_an_event_arrives_as_rasas_json_with_its_id(case: Case) -> None:
    said = UserUttered(text="我要转账", parse_data={"text": "我要转账", "intent": {"name": "transfer"}})
    answer = BotUttered(text="To whom?", metadata={"utter_action": "utter_ask_payee"})
    out = streamed(Published("1", "telegram:4711", 5, (said, answer)))
    await case.broker.publish(out)
    received = await case.received(2)
    assert [key for key, _ in received] == [event.id for event in out]
    whose = {"sender_id": "4711", "conversation_id": "telegram:4711"}
    expected = [
        json.loads(json.dumps({**event_to_json(event), **whose, "event_id": one.id}))
        for event, one in zip((said, answer), out, strict=True)
    ]
    assert [body for _, body in received] == expected


async def test_the_events_of_each_conversation_arrive_in_order(case: Case) -> None:
    names = [f"rest:{number}" for number in range(5)]
    mixed = [event for turn in range(4) for name in names for event in events(name, 3, 3 * turn)]
    await case.broker.publish(mixed[: len(mixed) // 2])
    await case.broker.publish(mixed[len(mixed) // 2 :])
    received = await case.received(len(mixed))
    assert {name: values(received, name) for name in names} == {name: list(range(12)) for name in names}


async def test_what_is_published_again_has_the_same_id(case: Case) -> None:
    await case.broker.publish(events())
    await case.broker.publish(events())
    await case.broker.publish(events(count=1, first=3))
    assert values(await case.received(4)) == [0, 1, 2, 3]


async def test_a_broker_that_was_closed_opens_again(case: Case) -> None:
    await case.broker.publish(events(count=1))
    await case.broker.close()
    await case.broker.publish(events(count=1, first=1))
    assert values(await case.received(2)) == [0, 1]


@pytest.mark.parametrize("name", ["redis_server", "rabbit"])
async def test_a_server_that_dies_and_comes_back_has_missed_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    server: Server = request.getfixturevalue(name)
    async with CASES["redis" if name == "redis_server" else "rabbitmq"](request, tmp_path) as case:
        await case.broker.publish(events(count=2))
        await asyncio.to_thread(server.kill)
        try:
            with pytest.raises(EndpointError, match=f"127.0.0.1:{server.port}"):
                await case.broker.publish(events(count=2, first=2))
            with pytest.raises(EndpointError, match=f"127.0.0.1:{server.port}"):
                await case.broker.publish(events(count=2, first=2))
        finally:
            await asyncio.to_thread(server.start)
        await case.broker.publish(events(count=2, first=2))
        assert values(await case.received(4)) == [0, 1, 2, 3]
        await case.broker.close()


async def test_a_kafka_that_answers_nothing_for_a_while_has_missed_nothing(kafka: KafkaPeer) -> None:
    broker = KafkaBroker(url=f"127.0.0.1:{kafka.port}", security_protocol="PLAINTEXT", patience=0.5)
    await publish_at_last(broker, events(count=2))
    kafka.freeze()
    with pytest.raises(EndpointError, match=f"127.0.0.1:{kafka.port}"):
        await broker.publish(events(count=4, first=2))
    with pytest.raises(EndpointError, match=f"127.0.0.1:{kafka.port}"):
        await broker.publish(events(count=4, first=2))
    kafka.thaw()
    await publish_at_last(broker, events(count=4, first=2))
    records = await asyncio.to_thread(read_topic, kafka, "rasa_core_events", 6)
    received = [(event_id(record), json.loads(record.value())) for record in records]
    assert values(received) == [0, 1, 2, 3, 4, 5]
    await broker.close()


async def publish_at_last(broker: EventBroker, out: list[StreamedEvent]) -> None:
    """As the publisher does it, on a slow machine too."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(EndpointError):
                return await broker.publish(out)


# ---- one by one ----------------------------------------------------------------------------------


async def test_rabbitmq_gets_what_rasa_sends(rabbit: RabbitServer) -> None:
    broker = RabbitMQBroker(
        url=f"amqp://127.0.0.1:{rabbit.port}",
        username="bot",
        password="secret",
        queues="as-rasa",
        exchange_name="as-rasa",
        environment="staging",
    )
    await broker.publish(events(count=1))
    await broker.close()
    [message] = await consume(rabbit, "as-rasa", 1)
    assert (message.app_id, message.delivery_mode, message.headers, message.content_type) == ("staging", 2, {}, None)


async def test_an_exchange_and_queues_that_are_there_are_used_as_they_are(rabbit: RabbitServer) -> None:
    import aio_pika

    async with await aio_pika.connect(f"amqp://bot:secret@127.0.0.1:{rabbit.port}/") as connection:
        channel = await connection.channel()
        await channel.declare_exchange("durable", aio_pika.ExchangeType.TOPIC, durable=True)
        await channel.declare_queue("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    broker = rabbit_broker(rabbit, queues=["quorum", "rasa"], exchange_name="durable")
    await broker.publish(events(count=1))
    await broker.close()
    for queue in ("quorum", "rasa"):
        assert len(await consume(rabbit, queue, 1)) == 1


async def test_an_event_that_no_queue_takes_is_not_published(rabbit: RabbitServer) -> None:
    import aio_pika

    broker = rabbit_broker(rabbit, queues=["gone"], exchange_name="gone")
    await broker.publish(events(count=1))
    async with await aio_pika.connect(f"amqp://bot:secret@127.0.0.1:{rabbit.port}/") as connection:
        await (await connection.channel()).queue_delete("gone")
    with pytest.raises(EndpointError, match="did not confirm"):
        await broker.publish(events(count=1, first=1))
    await broker.publish(events(count=1, first=1))
    assert len(await consume(rabbit, "gone", 1)) == 1
    await broker.close()


async def test_rabbitmq_says_no_to_a_wrong_password(rabbit: RabbitServer) -> None:
    broker = RabbitMQBroker(url=f"amqp://bot:hunter2@127.0.0.1:{rabbit.port}/")
    with pytest.raises(EndpointError, match=f"127.0.0.1:{rabbit.port} cannot be used") as caught:
        await broker.publish(events())
    assert "hunter2" not in str(caught.value)


async def test_rabbitmq_over_tls_with_a_certificate_of_ours(rabbit: RabbitServer, certificates: Path) -> None:
    url = f"amqps://bot:secret@localhost:{rabbit.tls_port}/%2F?cacertfile={certificates / 'ca.pem'}"
    ours = {"ssl_certfile": str(certificates / "client.pem"), "ssl_keyfile": str(certificates / "client.key")}
    broker = RabbitMQBroker(url=url, queues=["tls"], exchange_name="tls", **ours)
    await broker.publish(events(count=1))
    await broker.close()
    assert len(await consume(rabbit, "tls", 1)) == 1
    with pytest.raises(EndpointError, match="cannot be used"):
        await RabbitMQBroker(url=url.partition("?")[0], **ours).publish(events())


def rabbit_broker(server: RabbitServer, **options: Any) -> RabbitMQBroker:
    return RabbitMQBroker(url="127.0.0.1", port=server.port, username="bot", password="secret", **options)


async def test_kafka_keeps_a_senders_events_in_one_partition(kafka: KafkaPeer) -> None:
    broker = KafkaBroker(url=[f"127.0.0.1:{kafka.port}"], security_protocol="plaintext", environment="staging")
    await broker.publish(events(count=10))
    await broker.close()
    records = await asyncio.to_thread(read_topic, kafka, "rasa_core_events", 10)
    assert {record.key() for record in records} == {b"anna"}
    assert len({record.partition() for record in records}) == 1
    assert dict(records[0].headers())["RASA_ENVIRONMENT"] == b"staging"


async def test_kafka_spreads_events_where_rasas_setting_says_so(kafka: KafkaPeer) -> None:
    broker = KafkaBroker(url=f"127.0.0.1:{kafka.port}", security_protocol="PLAINTEXT", partition_by_sender=False)
    await broker.publish(events(count=40))
    await broker.close()
    records = await asyncio.to_thread(read_topic, kafka, "rasa_core_events", 40)
    assert {record.key() for record in records} == {None}
    assert len({record.partition() for record in records}) > 1


@pytest.mark.parametrize("kind", ["kafka", "rabbitmq"])
async def test_a_note_goes_out_for_an_event_that_the_broker_would_not_take(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with CASES[kind](request, tmp_path) as case:
        broker: Any = case.broker
        broker._largest = 1000
        picture = BotUttered(text="secret", data={"custom": {"picture": "x" * 2000}})
        out = streamed(Published("1", "rest:anna", 0, (picture, SlotSet(name="amount", value=1))))
        await case.broker.publish(out)
        (_, note), (_, following) = await case.received(2)
        assert note == {
            "event": "bot",
            "timestamp": picture.timestamp,
            "sender_id": "anna",
            "conversation_id": "rest:anna",
            "event_id": out[0].id,
            "too_large": len(out[0].body),
        }
        assert following["value"] == 1
        assert out[0].id in caplog.text
        assert "secret" not in caplog.text
        await case.broker.close()


async def test_redis_drops_the_oldest_of_a_stream_that_has_grown_long(redis_server: RedisServer) -> None:
    broker = RedisBroker(url=f"redis://127.0.0.1:{redis_server.port}/3", stream="short", max_length=100)
    await broker.publish(events(count=1000))
    await broker.close()
    with redis.Redis(port=redis_server.port, db=3) as client:
        assert 100 <= client.xlen("short") < 400


async def test_a_refusal_of_redis_is_told_without_what_was_said(redis_server: RedisServer) -> None:
    with redis.Redis(port=redis_server.port) as client:
        client.set("taken", "by another program")
    broker = RedisBroker(url="127.0.0.1", port=redis_server.port, stream="taken", password=None)
    with pytest.raises(EndpointError, match="WRONGTYPE") as caught:
        await broker.publish(streamed(Published("1", "rest:anna", 0, (UserUttered(text="my card number"),))))
    assert "my card number" not in str(caught.value)
    await broker.close()


async def test_redis_behind_sentinels_has_everything_after_a_failover(tmp_path: Path) -> None:
    with sentinels(tmp_path) as trio:
        broker = RedisBroker(sentinels=trio.addresses, service="bank")
        await publish_at_last(broker, events(count=3))
        old = await asyncio.to_thread(trio.master)
        old.kill()
        await publish_at_last(broker, events(count=3, first=3))
        await broker.close()
        with trio.master().client() as client:
            entries: Any = client.xrange("frontdesk:events")
    received = [(fields[b"id"].decode(), json.loads(fields[b"event"])) for _, fields in entries]
    assert values(received) == [0, 1, 2, 3, 4, 5]


async def test_a_redis_cluster_has_the_stream_on_one_of_its_servers(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        broker = RedisBroker(url=servers.url, cluster=True)
        await publish_at_last(broker, events(count=3))
        await broker.close()
        with redis.RedisCluster.from_url(servers.url) as client:
            assert client.xlen("frontdesk:events") == 3


async def test_half_a_line_that_a_crash_left_in_the_file_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "rasa_event.log"
    file.write_text('{"event": "us')
    await FileBroker(root=tmp_path).publish(events(count=2))
    assert [json.loads(line)["value"] for line in file.read_text().splitlines()[1:]] == [0, 1]


async def test_a_file_that_cannot_be_written_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"rasa_event\.log cannot be written: No such file"):
        await FileBroker(root=tmp_path / "nowhere").publish(events())


async def test_postgresql_has_rasas_table() -> None:
    with postgres() as server:
        options = {"url": "127.0.0.1", "port": server.port, "db": "postgres", "username": USER, "password": PASSWORD}
        broker = SQLBroker(dialect="postgresql", **options)
        await broker.publish(events(count=2))
        await asyncio.to_thread(server.stop)
        with pytest.raises(EndpointError):
            await broker.publish(events(count=1, first=2))
        await asyncio.to_thread(server.start)
        await broker.publish(events(count=1, first=2))
        await broker.close()
        rows = server.sql("SELECT id, sender_id, data::json->>'value' FROM events ORDER BY id").splitlines()
    assert [row.split("|")[1:] for row in rows] == [["anna", "0"], ["anna", "1"], ["anna", "2"]]


async def test_a_database_that_is_away_is_an_outage() -> None:
    broker = SQLBroker(dialect="postgresql", url="127.0.0.1", port=free_port(), db="events", username="u", password="p")
    with pytest.raises(EndpointError, match=r"postgresql database 'events' at 127\.0\.0\.1 took no events"):
        await broker.publish(events())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KafkaBroker(url="localhost:9092"), "sasl_username"),
        (lambda: KafkaBroker(url="", security_protocol="SSL"), "localhost:9092"),
        (lambda: KafkaBroker(url="k", security_protocol="TLS"), "SASL_SSL"),
        (lambda: KafkaBroker(url="k", sasl_mechanism="MD5", sasl_username="u", sasl_password="p"), "SCRAM-SHA-256"),
        (lambda: KafkaBroker(url="k", security_protocol="SSL", ssl_cafile="none.pem"), "none.pem"),
        (lambda: RabbitMQBroker(url="amqp://"), "amqp:// URL"),
        (lambda: RabbitMQBroker(port="many"), "a host and a port"),
        (lambda: RabbitMQBroker(queues=[1]), "list of names"),  # type: ignore[list-item]
        (lambda: RedisBroker(max_length=0), "at least 1"),
        (lambda: RedisBroker(url="http://localhost"), "no URL of Redis"),
        (lambda: RedisBroker(ssl_ca_certs="none.pem"), "none.pem"),
        (lambda: SQLBroker(dialect="clay"), "no driver"),
    ],
)
def test_a_wrong_option_is_told(make: Callable[[], EventBroker], message: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        make()


def test_kafkas_login_is_what_the_options_say(certificates: Path) -> None:
    broker = KafkaBroker(
        url="one:9093, two:9093",
        client_id="bot",
        security_protocol="SASL_SSL",
        sasl_mechanism="scram-sha-512",
        sasl_username="bot",
        sasl_password="secret",
        ssl_cafile=str(certificates / "ca.pem"),
        ssl_certfile=str(certificates / "client.pem"),
        ssl_keyfile=str(certificates / "client.key"),
        ssl_check_hostname=True,
    )
    options = broker._options
    assert options["bootstrap_servers"] == ["one:9093", "two:9093"]
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("bot", "secret")
    assert options["ssl_context"].check_hostname
    assert options["ssl_context"].get_ca_certs()


def make_certificates(folder: Path) -> Path:
    """An authority, and what it signed for a server on localhost and for a client."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    authority = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    for name in ("ca", "server", "client"):
        key = authority if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        certificate = builder.sign(authority, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return folder
