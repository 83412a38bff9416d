"""What is sealed opens with its keys, at its place, unchanged, and in no other way."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigError, StoreError
from bot.stores import sealing
from bot.stores.sealing import Seal, new_key

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
ANNA = "message:rest:anna"
BODY = '{"text": "查一下余额"}'.encode()


# ---- closing and opening -------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text(st.characters(), max_size=40))
def test_what_was_closed_is_opened_as_it_was(body: bytes, place: str) -> None:
    seal = Seal(NEW)
    assert seal.open(seal.close(body, place), place) == body


@given(st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    seal = Seal(f"{NEW},{OLD}", required=True)
    closed = bytearray(seal.close(BODY, ANNA))
    bit = data.draw(st.integers(0, len(closed) * 8 - 1))
    closed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreError):
        seal.open(bytes(closed), ANNA)


@given(st.data())
def test_no_end_can_be_cut_off(data: st.DataObject) -> None:
    seal = Seal(NEW, required=True)
    closed = seal.close(BODY, ANNA)
    with pytest.raises(StoreError):
        seal.open(closed[: data.draw(st.integers(0, len(closed) - 1))], ANNA)


@pytest.mark.parametrize("elsewhere", ["message:rest:ben", "snapshot:rest:anna", ""])
def test_a_body_opens_at_its_place_alone(elsewhere: str) -> None:
    seal = Seal(NEW)
    with pytest.raises(StoreError, match=f"'{elsewhere}' is damaged, or belongs to another place"):
        seal.open(seal.close(BODY, ANNA), elsewhere)


def test_a_place_is_the_same_as_a_database_gives_it_back() -> None:
    seal = Seal(NEW)
    assert seal.open(seal.close(BODY, "turn:rest:\ud800"), "turn:rest:\\ud800") == BODY


def test_nothing_of_the_body_is_seen_and_no_two_are_alike() -> None:
    seal = Seal(NEW)
    closed = [seal.close(BODY, ANNA) for _ in range(100)]
    assert len({body[1 + 4 + 12 :] for body in closed}) == 100
    assert not any(b"text" in body for body in closed)
    assert {len(body) - len(BODY) for body in closed} == {45}


def test_the_format_is_what_the_module_says() -> None:
    closed = Seal(NEW).close(BODY, ANNA)
    head, nonce, encrypted = closed[:17], closed[17:29], closed[29:]
    assert (head[:1], head[1:5].hex()) == (b"\x01", Seal(NEW).key_ids[0])
    key = HKDFExpand(SHA256(), 32, b"frontdesk seal" + head).derive(base64.b64decode(NEW))
    assert AESGCM(key).decrypt(nonce, encrypted, head + ANNA.encode()) == BODY


def test_what_an_earlier_version_sealed_can_be_read() -> None:
    closed = bytes.fromhex(
        "0123cb1eef367177e29f87494e4fef464614724f3ce4f22aa8c127ec24d47ec7975e5175b2964a64e3ec5be91a47523e"
        "60b671c3d4caaf4539f4396f32b5e3d51aa2d89b3ab044d7"
    )
    assert Seal(NEW).open(closed, ANNA) == BODY


def test_a_salt_is_used_for_a_limited_number_of_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_PER_SALT", 3)
    seal = Seal(NEW)
    closed = [seal.close(BODY, ANNA) for _ in range(7)]
    assert len({body[5:17] for body in closed}) == 3
    assert all(Seal(NEW).open(body, ANNA) == BODY for body in closed)


def test_bodies_of_more_processes_than_are_kept_in_mind_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_MOST_CIPHERS", 4)
    closed = [Seal(NEW).close(BODY, ANNA) for _ in range(10)]
    seal = Seal(NEW)
    assert [seal.open(body, ANNA) for body in closed + closed] == [BODY] * 20


def test_threads_share_a_seal() -> None:
    seal = Seal(NEW)

    def there_and_back(number: int) -> bool:
        body = os.urandom(1000 + number)
        return seal.open(seal.close(body, f"turn:{number}"), f"turn:{number}") == body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(2000)))


# ---- keys ----------------------------------------------------------------------------------------


def test_the_first_key_closes_and_all_open() -> None:
    with_old = Seal(OLD).close(BODY, ANNA)
    both = Seal(f" {NEW} ,{OLD}\n")
    assert both.open(with_old, ANNA) == BODY
    assert Seal(NEW).open(both.close(BODY, ANNA), ANNA) == BODY


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(StoreError, match=rf"'{ANNA}' was sealed with the key {Seal(OLD).key_ids[0]}.*Put that key"):
        Seal(NEW).open(Seal(OLD).close(BODY, ANNA), ANNA)


def test_without_keys_a_sealed_body_is_an_error_and_not_text() -> None:
    with pytest.raises(StoreError, match=r"sealed with the key [0-9a-f]{8}, .*\(there are none\)"):
        Seal().open(Seal(NEW).close(BODY, ANNA), ANNA)


def test_without_keys_bodies_stay_as_they_are() -> None:
    assert Seal().close(BODY, ANNA) == Seal().open(BODY, ANNA) == BODY


def test_what_was_there_before_the_keys_is_read() -> None:
    assert Seal(NEW).open(BODY, ANNA) == BODY


def test_where_encryption_is_required_nothing_else_is_read() -> None:
    with pytest.raises(StoreError, match=f"'{ANNA}' is not encrypted"):
        Seal(NEW, required=True).open(BODY, ANNA)


def test_required_encryption_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="'encryption_required' needs 'encryption_keys'"):
        Seal("", required=True)


def test_what_an_older_key_or_none_has_closed_is_renewed() -> None:
    both = Seal(f"{NEW},{OLD}")
    for body in (BODY, Seal(OLD).close(BODY, ANNA)):
        renewed = both.renewed(body, ANNA)
        assert renewed is not None
        assert Seal(NEW, required=True).open(renewed, ANNA) == BODY
        assert both.renewed(renewed, ANNA) is None
    assert Seal().renewed(BODY, ANNA) is None


def test_a_new_key_is_one() -> None:
    one, other = new_key(), new_key()
    assert one != other
    assert Seal(other).open(Seal(f"{other},{one}").close(BODY, ANNA), ANNA) == BODY


def test_base64_may_be_that_of_urls_and_without_its_padding() -> None:
    key = base64.b64encode(b"\xfb\xff" * 16).decode()
    for written in (key, key.rstrip("="), base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode()):
        assert Seal(written).key_ids == Seal(key).key_ids


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (f"{NEW},", "key 2 of 'encryption_keys' is empty"),
        ("correct horse battery staple", "key 1 of 'encryption_keys' is not base64"),
        (f"{NEW},{OLD[:-3]}", "key 2 of 'encryption_keys' is not base64"),
        (f"{NEW} {OLD}", "key 1 of 'encryption_keys' is not base64"),
        (base64.b64encode(b"x" * 16).decode(), "key 1 of 'encryption_keys' is of 16 bytes"),
        (NEW + "é", "key 1 of 'encryption_keys' is not base64"),
    ],
)
def test_a_wrong_key_is_explained_and_not_shown(keys: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Seal(keys)
    assert str(caught.value).startswith(problem)
    assert not any(part in str(caught.value) for part in (keys, NEW[:8], OLD[:8], "horse"))
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_keys_are_not_shown() -> None:
    assert repr(Seal(f"{NEW},{OLD}")) == f"Seal({', '.join(Seal(f'{NEW},{OLD}').key_ids)})"
    assert not any(key[:6] in repr(Seal(NEW)) for key in (NEW, base64.b64decode(NEW).hex()))


def test_a_store_is_opened_with_its_keys_alone() -> None:
    mark = Seal(OLD).mark(Seal().mark(None))
    with pytest.raises(StoreError, match=rf"sealed with the key {Seal(OLD).key_ids[0]}"):
        Seal().mark(mark)
    with pytest.raises(StoreError, match=rf"sealed with the key {Seal(OLD).key_ids[0]}"):
        Seal(NEW).mark(mark)
    assert Seal(NEW, required=True).mark(Seal(f"{NEW},{OLD}").mark(mark))
