"""The Redis store as it is deployed: TLS, users with few rights, Sentinels, a cluster."""

import asyncio
import datetime
import ipaddress
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import NoPermissionError

import bot.stores.redis
from bot.domain import Domain
from bot.errors import StoreError, StoreUnavailable
from bot.events import BotUttered, Event, UserUttered
from bot.interfaces import Delivery, Lease, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores.redis import RedisStore
from tests.stores.redis_servers import Cluster, Server, cluster, free_port, sentinels, single, until

pytestmark = pytest.mark.anyio

DOMAIN = Domain()
ANNA = "rest:anna"
DOCS = Path(__file__).parents[2] / "docs" / "redis.md"


def message(text: str = "hi", message_id: str = "m1", sender_id: str = "anna") -> UserMessage:
    return UserMessage(text, sender_id=sender_id, message_id=message_id)


def said(text: str) -> tuple[Event, ...]:
    return UserUttered(text=text), BotUttered.of(BotMessage(text=text))


def replies(events: Sequence[Event]) -> list[str | None]:
    return [event.message.text for event in events if isinstance(event, BotUttered)]


async def answer(store: RedisStore, lease: Lease, *, set_aside: str | None = None) -> Lease | None:
    """The bot says what it hears."""
    tracker = await store.resume(lease, DOMAIN)
    one, key = lease.messages[0], lease.conversation_id
    events = said(one.text)
    tracker.apply_all(events)
    reply = Delivery(key, one.message_id, "rest", one.sender_id, BotMessage(text=one.text))
    return await store.commit(lease, Turn(key, events, (one.message_id,), (reply,), set_aside=set_aside), tracker)


async def use_all(store: RedisStore) -> None:
    """Every call once."""
    begun = await store.begin(message())
    assert begun.lease is not None
    assert await store.accept(message("bye", "m2"))
    lease = await answer(store, begun.lease, set_aside="it failed")
    assert lease is not None
    await store.release(lease)
    assert await store.ready() in (Work("inbox", ANNA), Work("outbox", ANNA))
    assert [one.message_id for one in await store.pending()] == ["m2"]
    lease = await store.claim(ANNA)
    assert lease is not None
    await answer(store, lease)
    outbox = await store.claim_outbox(ANNA)
    assert outbox is not None
    left = await store.delivered(outbox)
    assert left is not None
    assert await store.give_up(left, "gone") is None
    letters = await store.dead_letters()
    assert len(letters) == 2
    assert await store.bury(letters[0].id)
    assert await store.revive(letters[1].id)
    async with store.lease(ANNA):
        assert (await store.load(ANNA, DOMAIN)).event_count == 4
    assert replies(await store.events(ANNA)) == ["hi", "bye"]
    assert await store.replies(ANNA, "m2") == [BotMessage(text="bye")]
    assert await store.conversation_ids() == [ANNA]
    await store.delete(ANNA)
    assert await store.conversation_ids() == []


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    with single(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")):
        store = RedisStore(f"unix://{tmp_path / 'redis.sock'}?db=3")
        await use_all(store)
        await store.close()


# ---- users ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with single(tmp_path_factory.mktemp("redis")) as server:
        yield server


def rule(name: str = "frontdesk") -> list[str]:
    """The user that the documentation asks for."""
    found = re.search(r"^ACL SETUSER frontdesk (.*)$", DOCS.read_text(), re.MULTILINE)
    assert found
    return ["ACL", "SETUSER", name, *found[1].split()]


async def test_the_user_of_the_documentation_has_all_rights_that_are_needed(server: Server) -> None:
    with server.client() as client:
        client.execute_command(*rule())
        client.execute_command("ACL", "LOG", "RESET")
        store = RedisStore(server.url, username="frontdesk", password="password", replicas=0)
        await use_all(store)
        await store.close()
        assert client.execute_command("ACL", "LOG") == []
        with redis.Redis(port=server.port, username="frontdesk", password="password") as limited:
            with pytest.raises(NoPermissionError):
                limited.set("elsewhere", 1)
            with pytest.raises(NoPermissionError):
                limited.config_get("maxmemory")


async def test_a_right_that_is_missing_is_named(server: Server) -> None:
    with server.client() as client:
        client.execute_command(*rule("poor"), "-xadd", "-publish")
        store = RedisStore(server.url, username="poor", password="password")
        with pytest.raises(StoreError, match=r"lacks rights .*: \+xadd \+publish$"):
            await store.begin(message())
        await store.close()
        client.execute_command(*rule("other"), "-ping")
        store = RedisStore(server.url, username="other", password="password", key_prefix="bank")
        with pytest.raises(StoreError, match="lacks a right"):
            await store.accept(message())
        await store.close()


def test_all_commands_of_the_scripts_are_tried_before_they_are_needed() -> None:
    scripts = Path(bot.stores.redis.__file__).with_name("redis_scripts")
    used = {name for file in scripts.glob("*.lua") for name in re.findall(r"call\('([A-Z]+)'", file.read_text())}
    assert used <= set(re.findall(r"\{'([A-Z]+)'", (scripts / "rights.lua").read_text()))


async def test_a_wrong_password_is_not_shown(server: Server) -> None:
    store = RedisStore(server.url, username="frontdesk", password="s3cret")
    with pytest.raises(StoreUnavailable, match="does not accept the store's user or password") as error:
        await store.accept(message())
    assert "s3cret" not in str(error.value)
    await store.close()


# ---- TLS -----------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """`name`.crt and `name`.key, signed by the issuer's key, or its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    parent, signer = subject, key
    if issuer:
        parent = x509.load_pem_x509_certificate((folder / f"{issuer}.crt").read_bytes()).subject
        loaded = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{name}.key").write_bytes(pem)


async def test_over_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    for name, issuer in (("authority", None), ("stranger", None), ("server", "authority"), ("bot", "authority")):
        certificate(tmp_path, name, issuer)
    port = free_port()
    files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "authority.crt"}
    options = [part for name, file in files.items() for part in (f"--tls-{name}", str(tmp_path / file))]
    with single(tmp_path, "--tls-port", str(port), "--tls-auth-clients", "yes", *options):
        own = {"ssl_certfile": str(tmp_path / "bot.crt"), "ssl_keyfile": str(tmp_path / "bot.key")}
        store = RedisStore(f"rediss://127.0.0.1:{port}", ssl_ca_certs=str(tmp_path / "authority.crt"), **own)
        await use_all(store)
        await store.close()
        rasas = {"url": "127.0.0.1", "port": port, "use_ssl": True}
        for wrong in (
            {"ssl_ca_certs": str(tmp_path / "stranger.crt"), **own},
            {"ssl_ca_certs": str(tmp_path / "authority.crt")},
        ):
            store = RedisStore(**rasas, **wrong)
            with pytest.raises(StoreUnavailable, match=f"rediss://127.0.0.1:{port}"):
                await store.accept(message())
            await store.close()


# ---- Sentinel ------------------------------------------------------------------------------------


async def converse(store: RedisStore, name: str, count: int) -> None:
    """A platform that sends each message again until it is answered."""
    for number in range(count):
        one = message(str(number), f"m{number}", name)
        while True:
            try:
                begun = await store.begin(one)
                lease = begun.lease
                while lease:
                    lease = await answer(store, lease)
                async with asyncio.timeout(20):
                    assert [reply.text for reply in await begun.answer] == [one.text]
                break
            except StoreError:
                await asyncio.sleep(0.05)


async def work(store: RedisStore) -> None:
    """A worker, for what a process had in hand that could not go on."""
    while True:
        try:
            found = await store.ready()
            if found.kind == "inbox":
                lease = await store.claim(found.conversation_id)
                while lease:
                    lease = await answer(store, lease)
        except StoreError:
            await asyncio.sleep(0.05)


async def test_nothing_is_lost_or_answered_twice_when_the_master_dies(tmp_path: Path) -> None:
    with sentinels(tmp_path) as trio:
        options: dict[str, Any] = {"sentinels": trio.addresses, "service": "bank", "timeout": 1.0, "lease": 2.0}
        web, worker = RedisStore(**options), RedisStore(**options)
        working = asyncio.ensure_future(work(worker))
        talking = [asyncio.ensure_future(converse(web, f"c{number}", 60)) for number in range(4)]
        while len(await web.events("rest:c0")) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        master = trio.master()
        await asyncio.to_thread(master.kill)
        await asyncio.gather(*talking)
        assert trio.master() is not master
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        for number in range(4):
            assert replies(await worker.events(f"rest:c{number}")) == [str(n) for n in range(60)]
            outbox = await worker.claim_outbox(f"rest:c{number}")
            assert outbox is not None
            assert outbox.deliveries[0].key == "m0"
        await web.close()
        await worker.close()


async def test_without_a_replica_nothing_is_acknowledged(tmp_path: Path) -> None:
    with single(tmp_path) as server:
        store = RedisStore(server.url, replicas=1, timeout=0.2, lease=0.5)
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas have confirmed"):
            await store.accept(message())
        await store.close()


# ---- cluster -------------------------------------------------------------------------------------


@pytest.fixture
def masters(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, "--appendfsync", "always") as masters:
        yield masters


async def test_all_partitions_are_used_and_lie_evenly(masters: Cluster) -> None:
    store = RedisStore(masters.url, cluster=True)
    await asyncio.gather(*(converse(store, f"c{number}", 1) for number in range(200)))
    assert len(await store.conversation_ids()) == 200
    await store.close()
    counts = []
    for server in masters.servers:
        with server.client() as client:
            counts.append(len(list(client.scan_iter("*:ids"))))
    assert sorted(counts) == [5, 5, 6]


async def test_a_slot_moves_to_another_master_under_turns(masters: Cluster) -> None:
    store, worker = (RedisStore(masters.url, cluster=True, partitions=1, timeout=1, lease=2) for _ in range(2))
    await use_all(store)
    working = asyncio.ensure_future(work(worker))
    talking = [asyncio.ensure_future(converse(store, f"c{number}", 40)) for number in range(3)]
    while len(await store.events("rest:c0")) < 10:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    # One partition, of which the slot is that of its tag.
    with masters.servers[0].client() as client:
        slot = client.execute_command("CLUSTER", "KEYSLOT", store._partitions[0].key)
    source = masters.servers[slot * 3 // 16384]
    target = masters.servers[(slot * 3 // 16384 + 1) % 3]
    await asyncio.to_thread(move_slot, slot, source, target, masters)
    await asyncio.gather(*talking)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    for number in range(3):
        assert replies(await store.events(f"rest:c{number}")) == [str(n) for n in range(40)]
    with target.client() as client:
        assert client.exists(store._partitions[0].key + b"ids")
    await store.close()
    await worker.close()


def move_slot(slot: int, source: Server, target: Server, masters: Cluster) -> None:
    """As `redis-cli --cluster reshard` does it, one key after the other."""
    with source.client() as here, target.client() as there:
        here_id, there_id = (one.execute_command("CLUSTER", "MYID") for one in (here, there))
        there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here_id)
        here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there_id)
        while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            here.execute_command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
    for server in (target, source, *masters.servers):
        with server.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", there_id)


async def test_a_master_that_comes_back_is_used_again(masters: Cluster) -> None:
    store, worker = (RedisStore(masters.url, cluster=True, timeout=0.5, lease=1) for _ in range(2))
    await asyncio.gather(*(converse(store, f"c{number}", 1) for number in range(8)))
    working = asyncio.ensure_future(work(worker))
    talking = [asyncio.ensure_future(converse(store, f"d{number}", 40)) for number in range(8)]
    await asyncio.sleep(0)
    await asyncio.to_thread(masters.servers[1].kill)

    async def accept_until_it_is_missed() -> None:
        for number in itertools.count():
            await store.accept(message(sender_id=f"e{number}"))

    with pytest.raises(StoreUnavailable):
        await accept_until_it_is_missed()
    await asyncio.to_thread(masters.servers[1].start)
    await asyncio.to_thread(until, masters.is_well, "the cluster is well")
    await asyncio.gather(*talking)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    for number in range(8):
        assert replies(await store.events(f"rest:d{number}")) == [str(n) for n in range(40)]
    await store.close()
    await worker.close()
