"""The JSON that stores keep, beside what the contract's tests see of it."""

from __future__ import annotations

import orjson
import pytest

from bot.errors import StoreError
from bot.messages import UserMessage
from bot.stores import decode_message, encode_message


def test_what_a_later_version_added_to_a_message_is_passed_over() -> None:
    message = UserMessage("hello", sender_id="anna", message_id="m1", metadata={"title": "Hi"})
    later = orjson.dumps({**orjson.loads(encode_message(message)), "mood": "cheerful"})
    assert decode_message(later, "rest:anna") == message


@pytest.mark.parametrize("body", [b"[]", b"3", b"{", b'{"text": "hello"}'])
def test_a_damaged_message_is_an_error_that_names_the_conversation(body: bytes) -> None:
    with pytest.raises(StoreError, match="'rest:anna' is damaged"):
        decode_message(body, "rest:anna")
