"""What is kept in Redis as bytes: JSON, sealed where there are keys, with what the scripts must read in front of it.

Turns and snapshots, which are most of it, are packed: a fifth of the memory, and less time on the way than it takes.

| in                      | bytes                                                                     |
|-------------------------|---------------------------------------------------------------------------|
| inbox, timer            | microseconds, `:`, length of the message's id, `:`, that id, the message |
| snapshot, turn          | the body alone, packed before it is sealed                                |
| outbox                  | the body alone                                                            |
| dead letters            | JSON of what stays readable, a line break, the message or the reply      |
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import orjson

from bot.errors import StoreError
from bot.events import BotUttered, Event
from bot.interfaces import DeadLetter, Delivery
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    decode_delivery,
    decode_events,
    decode_message,
    encode,
    encode_delivery,
    encode_message,
)
from bot.stores.sealing import Seal

_PACKED = b"z"
"""How a packed body begins, and which dictionary it needs. JSON and what is sealed begin otherwise."""
_WORDS = (
    b'"elements":null,"quick_replies":null,"buttons":[{"title":"","payload":"/"}],"attachment":null,"image":null,'
    b'"custom":null,"metadata":{"utter_action":"utter_"},{"event":"session_started","event":"reminder","event":'
    b'"undo","event":"rewind","event":"restart","event":"followup","event":"reset_slots","event":"pause","event":'
    b'"resume","event":"action_execution_rejected","event":"loop_interrupted","is_interrupted":false,"event":'
    b'"user_featurization","use_text_for_featurization":false,"event":"entities","entities":[],"before_message":null,'
    b'"version":1,"conversation_id":"rest:","event_count":"latest_event_time":"latest_input_channel":"reminders":{},'
    b'"before_listening":{"latest_action":{"followup_action":null,"prev_action":{"action_name":"action_listen"},'
    b'"slots":{},"slots_set":[],"latest_message":null,"latest_bot_message":{"paused":false,"history":"active_loop":'
    b'{"name":"trigger_message":"rejected":false},"requested_slot","session_started_metadata","user":{"intent":'
    b'{"event":"active_loop","timestamp":17,"name":"_form"},{"event":"slot","timestamp":17,"name":"","value":null},'
    b'"extractor":"DIETClassifier","start":0,"end":,"value":"","role":null,"group":null,"confidence_entity":0.99,'
    b'"processors":["EntitySynonymMapper"],"response_selector":{"all_retrieval_intents":[]},"message_id":"",'
    b'{"event":"user","timestamp":17,"text":"","parse_data":{"text":"","intent":{"name":"","confidence":0.99},'
    b'"entities":[],"intent_ranking":[{"name":"","confidence":0.0},{"name":"nlu_fallback","confidence":0.0}],'
    b'"text_tokens":[[0,5],[6,9],[10,14]],"language":"en"},"input_channel":"rest","message_id":""},'
    b'{"event":"bot","timestamp":17,"text":"","data":{"elements":null,"quick_replies":null,"buttons":null,'
    b'"attachment":null,"image":null,"custom":null},"metadata":{}},'
    b'{"event":"action","timestamp":17,"name":"utter_","policy":"RulePolicy","confidence":1.0,"action_text":null},'
    b'{"event":"action","timestamp":17,"name":"action_listen","policy":"RulePolicy","confidence":1.0,'
    b'"action_text":null}]'
)
"""What occurs in most bodies. It must stay as it is, for what was packed with it: another one has another letter."""


def pack(body: bytes) -> bytes:
    """The body, smaller where that is possible."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=_WORDS)
    packed = _PACKED + packer.compress(body) + packer.flush()
    return packed if len(packed) < len(body) else body


def unpack(body: bytes) -> bytes:
    """What was packed; damage is a `zlib.error`."""
    if not body.startswith(_PACKED):
        return body
    return zlib.decompressobj(-zlib.MAX_WBITS, zdict=_WORDS).decompress(body[len(_PACKED) :])


def as_bytes(text: str) -> bytes:
    """As Redis can keep it and we read it again: a lone surrogate, which UTF-8 cannot hold, is written as \\udXXX."""
    return text.encode("utf-8", "backslashreplace")


class Bodies:
    """Closes and opens them. What is damaged is a `StoreError` that names the conversation."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def mark(self, earlier: bytes | None) -> bytes:
        """See `Seal.mark`."""
        return self._seal.mark(earlier)

    def close_turn(self, body: bytes, key: str) -> bytes:
        return self._seal.close(pack(body), f"turn:{key}")

    def open_turns(self, bodies: Sequence[bytes], key: str) -> list[bytes]:
        return [self._unpacked(self._seal.open(body, f"turn:{key}"), key) for body in bodies]

    def events(self, bodies: Sequence[bytes], key: str) -> list[Event]:
        return decode_events(self.open_turns(bodies, key), key)

    def replies(self, bodies: Sequence[bytes], key: str) -> list[BotMessage]:
        """What the bot said in a turn."""
        return [event.message for event in self.events(bodies, key) if isinstance(event, BotUttered)]

    def close_snapshot(self, body: bytes, key: str) -> bytes:
        return self._seal.close(pack(body), f"snapshot:{key}")

    def open_snapshot(self, body: bytes, key: str) -> bytes:
        return self._unpacked(self._seal.open(body, f"snapshot:{key}"), key)

    def _unpacked(self, body: bytes, key: str) -> bytes:
        try:
            return unpack(body)
        except zlib.error as error:
            raise StoreError(f"what is stored of '{key}' is damaged: {error}") from error

    def close_message(self, message: UserMessage, key: str) -> bytes:
        return self._seal.close(encode_message(message), f"message:{key}")

    def message(self, entry: bytes, key: str) -> UserMessage:
        """Of the inbox."""
        return decode_message(self._seal.open(split(entry, key)[1], f"message:{key}"), key)

    def close_delivery(self, delivery: Delivery, key: str) -> bytes:
        return self._seal.close(encode_delivery(delivery), f"delivery:{key}")

    def delivery(self, body: bytes, key: str) -> Delivery:
        return decode_delivery(self._seal.open(body, f"delivery:{key}"), key)

    def close_letter(self, letter: DeadLetter) -> bytes:
        key, content = letter.conversation_id, letter.content
        if isinstance(content, UserMessage):
            kind, body = "message", self.close_message(content, key)
        else:
            kind, body = "delivery", self.close_delivery(content, key)
        head = {"id": letter.id, "conversation_id": key, "reason": letter.reason, "at": letter.at, "kind": kind}
        return encode(head) + b"\n" + body

    def letter(self, body: bytes) -> DeadLetter:
        head, _, content = body.partition(b"\n")
        try:
            data = orjson.loads(head)
            kind, key = data.pop("kind"), data["conversation_id"]
            opened = self._seal.open(content, f"{kind}:{key}")
            read = decode_message(opened, key) if kind == "message" else decode_delivery(opened, key)
            return DeadLetter(content=read, **data)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"a dead letter is damaged: {error}") from error

    # ---- closing with the first key what another one did: the new bytes, or None ----

    def renewed(self, body: bytes, place: str) -> bytes | None:
        return self._seal.renewed(body, place)

    def renewed_entry(self, entry: bytes, key: str, kind: str = "message") -> bytes | None:
        head, body = split(entry, key)
        renewed = self._seal.renewed(body, f"{kind}:{key}")
        return None if renewed is None else head + renewed

    def renewed_letter(self, letter: bytes) -> bytes | None:
        head, line, content = letter.partition(b"\n")
        data = orjson.loads(head)
        renewed = self._seal.renewed(content, f"{data['kind']}:{data['conversation_id']}")
        return None if renewed is None else head + line + renewed


def split(entry: bytes, key: str) -> tuple[bytes, bytes]:
    """An entry of the inbox: what stands before the message, and the message."""
    try:
        time, length, _ = entry.split(b":", 2)
        start = len(time) + len(length) + 2 + int(length)
        return entry[:start], entry[start:]
    except ValueError as error:
        raise StoreError(f"a stored message of '{key}' is damaged") from error


def arrival(entry: bytes) -> int:
    """When an entry came into the inbox, in microseconds."""
    return int(entry.partition(b":")[0])
