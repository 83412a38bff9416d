"""What is packed is unpacked as it was, by every later version."""

from hypothesis import given
from hypothesis import strategies as st

from bot.stores.redis_bodies import pack, unpack

TURN = (
    '[{"event":"user","timestamp":1.5,"text":"查一下余额","parse_data":{"intent":{"name":"balance","confidence":0.98}}},'
    '{"event":"action","timestamp":1.5,"name":"action_listen","policy":"RulePolicy","confidence":1.0,'
    '"action_text":null}]'
).encode()


@given(st.binary(max_size=2000).map(lambda body: b"[" + body))
def test_what_is_packed_is_unpacked_as_it_was(body: bytes) -> None:
    packed = pack(body)
    assert unpack(packed) == body
    assert len(packed) <= len(body)


def test_a_turn_takes_a_quarter() -> None:
    assert len(pack(TURN)) * 4 <= len(TURN)


def test_what_this_version_packs_is_read_by_later_ones() -> None:
    packed = (
        "7a032612989d5812ab9e293c0a9ecd5ffa6447c3931ddd4ff6ce7cb9682ec85294c48b916493128169026835aa3b8029d7a29670b0822ca6"
        "ba5f01"
    )
    assert unpack(bytes.fromhex(packed)) == TURN
