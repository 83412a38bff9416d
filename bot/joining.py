"""Joins a customer's conversations on several channels: codes, messages that are passed on, trust, and the way back.

A customer gets a code in one conversation and enters it on another channel. From then on that one is the guest of the
first: its messages are taken there, and the replies go back to where each came from. One conversation never changes
another. It leaves a message in its inbox, before its own turn is committed and under an id that is the same when the
turn is tried again. So whatever dies in between, each is taken once.

A code's record is a small conversation of its own, `join:<key>`, which is deleted when the code is over. Whoever joins
another first closes the code that is open to itself. So of two that join each other at the same moment one is refused,
and no circle comes about.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.domain import REQUESTED_SLOT
from bot.errors import ActionError, StoreFull
from bot.events import BotUttered, Event, IdentityChanged, SessionEnded, SlotSet
from bot.forms import ask
from bot.identity import Code
from bot.interfaces import Timer, Turn
from bot.messages import EMPTY, BotMessage, UserMessage
from bot.tracker import Tracker

if TYPE_CHECKING:
    from bot.action_execution import Actions
    from bot.assistant import Assistant

LIFETIME = 600.0
"""Seconds that a code is open."""
AFTERLIFE = 300.0
"""Seconds that its record stays, for a turn that is tried again."""
PAUSE = 1.0
"""Seconds until a message for a host whose inbox is full is tried again."""
MOST_GUESTS = 10
MOST_HOPS = 5
"""How often a message is passed on; then it is answered where it is."""
RECENT = 1000
"""Events in which a message that comes again is looked for."""
LETTERS = ("joined", "told", "left", "leave", "moved")
"""Kinds of message that one conversation leaves to another: a guest has joined it, is to be told something, has left;
it is to leave its host; its host has joined another."""
RECORD = "join_code"
"""The kind of message that is due when a code is over."""

_ALPHABET = "CDFGHJKMNPQRTVWXY23456789"
"""Without vowels, so that no word is a code, and without what looks alike: 0 O, 1 I L, 5 S, 2 Z, 8 B."""
_CODE = re.compile(rf"(?=.*\d)(?=.*[A-Z])([{_ALPHABET}]{{4}})([- ]?)([{_ALPHABET}]{{4}})", re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_KEY_BYTES, _TIME_BYTES, _MAC_BYTES = 12, 4, 16

WORDS: dict[str, dict[str, str]] = {
    "utter_joined": {
        "en": "These two chats are one conversation now. You can go on in either.",
        "zh": "这两个聊天现在是同一个对话了，您可以在任意一边继续。",
    },
    "utter_join_refused": {
        "en": "That code was used before, or its time is over. Please get a new one in the other chat.",
        "zh": "这个代码已被使用过，或已过期。请在另一个聊天中重新获取。",
    },
    "utter_join_here": {
        "en": "Please enter this code in the other chat: the one that is to join this conversation.",
        "zh": "请在另一个聊天中输入这个代码，也就是要加入本对话的那个聊天。",
    },
    "utter_join_code": {
        "en": "Enter this code in the other chat within {minutes} minutes, and go on there: {code}",
        "zh": "请在{minutes}分钟内在另一个聊天中输入这个代码，然后在那里继续：{code}",
    },
    "utter_left": {
        "en": "This chat is a conversation of its own again.",
        "zh": "这个聊天又是单独的对话了。",
    },
}
"""What the bot says where the domain has no such response."""


# ---- codes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A code as the customer sees it, and for a link the same as `token` (43 characters of A-Z, a-z, 0-9, - and _).

    There is a token where the project has an `identity_key`. Both open the conversation until `expires`, one of them
    once. `event` goes into the tracker.
    """

    code: str
    token: str | None
    expires: float
    event: IdentityChanged

    def to_json(self) -> dict[str, Any]:
        """What is given to whoever asked for it."""
        return {"code": self.code, "token": self.token, "expires": self.expires}


def make(tracker: Tracker, secret: str) -> Made:
    """A code that opens the conversation of this tracker; the one before it opens nothing any more."""
    bare = ""
    while not _CODE.fullmatch(bare):
        bare = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key, expires = _key_of(bare, secret), time.time() + LIFETIME
    earlier = tracker.identity.code
    data = {"key": key.hex(), "conversation_id": tracker.conversation_id, "expires": expires}
    if earlier:
        data["earlier"] = earlier.key
    token = write_token(key, expires, secret) if secret else None
    return Made(f"{bare[:4]}-{bare[4:]}", token, expires, IdentityChanged(change="code", data=data))


def _key_of(bare: str, secret: str) -> bytes:
    """The record's key. Only who knows the secret can find the code by trying all of them."""
    return hmac.digest(secret.encode(), b"frontdesk code" + bare.upper().encode(), "sha256")[:_KEY_BYTES]


def write_token(key: bytes, expires: float, secret: str) -> str:
    """The record's key and the time, signed, for a link."""
    body = key + int(expires).to_bytes(_TIME_BYTES, "big")
    return base64.urlsafe_b64encode(body + _signature(body, secret)).decode().rstrip("=")


def read_token(token: str, secret: str) -> str | None:
    """The record's key in hexadecimal, when we signed the token and its time is not over."""
    if not secret or not _TOKEN.fullmatch(token):
        return None
    signed = base64.urlsafe_b64decode(token + "=")
    body, signature = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
    if not hmac.compare_digest(signature, _signature(body, secret)):
        return None
    expires = int.from_bytes(body[_KEY_BYTES:], "big")
    return body[:_KEY_BYTES].hex() if time.time() < expires else None


def _signature(body: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"frontdesk link" + body, "sha256")[:_MAC_BYTES]


@dataclass(frozen=True, slots=True)
class Entered:
    """A code that was entered: the record's key, None when there can be none. `is_plain`: it may be something else."""

    key: str | None
    is_plain: bool = False


def entered(message: UserMessage, secret: str) -> Entered | None:
    """The code that the message is; None when it is none.

    A code is the whole text, or `join` in the metadata, where a channel puts what a link handed over.
    """
    if message.kind != "message" or message.joined_to or message.payload:
        return None
    given = message.metadata.get("join")
    text = given if given and isinstance(given, str) else message.text
    text = text.strip() if len(text) < 100 else ""
    if found := _CODE.fullmatch(text):
        return Entered(_key_of(found[1] + found[3], secret).hex(), is_plain=not given and not found[2])
    key = read_token(text, secret)
    return Entered(key) if key or given else None


# ---- a message comes in --------------------------------------------------------------------------


async def redirect(assistant: Assistant, tracker: Tracker, messages: Sequence[UserMessage]) -> bool:
    """Whether the messages are dealt with: they are a code, or were passed on to the host.

    The tracker has taken in what follows from that. Nothing is left to be answered here.
    """
    first = messages[0]
    if first.kind != "message":
        return False
    code = entered(first, assistant.actions.identity_key)
    if code and await _enter(assistant, tracker, first, code):
        return True
    host = tracker.identity.host
    if host is None or _hops(first) >= MOST_HOPS:
        return False
    for message in messages:
        await _pass_on(assistant, tracker, message, host)
    return True


async def _pass_on(
    assistant: Assistant, tracker: Tracker, message: UserMessage, host: str, kind: str = "message"
) -> None:
    """Leave the message in the inbox of the host, and note that here."""
    sent = _for_host(message, host, kind)
    try:
        await assistant.store.accept(sent)
    except StoreFull:
        # Whoever asks again at once would not find it emptier.
        await asyncio.sleep(PAUSE)
        raise
    data = {"message_id": message.message_id, "host": host, "as": sent.message_id, "kind": kind}
    tracker.apply(IdentityChanged(change="passed_on", data=data))


def _for_host(message: UserMessage, host: str, kind: str = "message") -> UserMessage:
    """The message as the host takes it: two channels may have the same ids for their messages."""
    origin = {"from": message.conversation_id, "message_id": message.message_id}
    if message.joined_to:
        origin = message.metadata["joined"]
    return dataclasses.replace(
        message,
        kind=kind,
        joined_to=host,
        message_id=f"{_hops(message) + 1}~{_digest(message.conversation_id, message.message_id)}",
        metadata={**message.metadata, "joined": origin},
    )


def original_id(message: UserMessage) -> str:
    """The id that its channel gave the message."""
    found: str = message.metadata["joined"]["message_id"] if message.joined_to else message.message_id
    return found


def _hops(message: UserMessage) -> int:
    """How often the message was passed on before."""
    return int(message.message_id.partition("~")[0]) if message.joined_to else 0


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


async def followed(assistant: Assistant, message: UserMessage) -> UserMessage | None:
    """The message as it was passed on from its conversation; None when it was answered there."""
    conversation_id = message.conversation_id
    tracker = await assistant.tracker(conversation_id)
    if not tracker.identity.changes:
        return None
    after = max(tracker.event_count - RECENT, 0)
    for event in reversed(await assistant.store.events(conversation_id, after=after)):
        match event:
            case IdentityChanged(change="passed_on", data=data) if data.get("message_id") == message.message_id:
                return _for_host(message, data["host"], data["kind"])
    return None


# ---- a code is entered ---------------------------------------------------------------------------


async def _enter(assistant: Assistant, tracker: Tracker, message: UserMessage, code: Entered) -> bool:
    """Whether it was a code. Then the tracker has joined another, or the customer hears why not."""
    identity = tracker.identity
    by = _digest(message.conversation_id, message.message_id)
    found: Code | None = None
    tries = identity.may_try(time.time())
    if tries and code.key:
        found = await _open_code(assistant, tracker, code.key, by)
    if not found and identity.host is None:
        await assistant.start_session_if_due(tracker)
    if not found and tries:
        tracker.apply(IdentityChanged(change="refused"))
    name = "utter_join_refused"
    if found and found.conversation_id == tracker.conversation_id:
        name = "utter_join_here"
    elif found and found.conversation_id == identity.host:
        name = "utter_joined"
    elif found and await _may_join(assistant, tracker, found) and await _use(assistant, found.key, by):
        await _join(assistant, tracker, message, found.conversation_id)
        return True
    if not found and code.is_plain:
        return False
    if identity.host:
        # All that a guest hears is said in the host.
        told = dataclasses.replace(message, metadata={**message.metadata, "say": name})
        await _pass_on(assistant, tracker, told, identity.host, "told")
    else:
        await assistant.start_session_if_due(tracker)
        tracker.apply_all(await say(name, tracker, assistant.actions, message.language or assistant.languages[0]))
    return True


async def _open_code(assistant: Assistant, tracker: Tracker, key: str, by: str) -> Code | None:
    """What the record says of a code that is open, or has led here: to the same host, or in an earlier attempt."""
    code = (await assistant.tracker(_record_id(key))).identity.code
    if code is None or code.expires <= time.time():
        return None
    return code if code.used_by in (None, by) or code.conversation_id == tracker.identity.host else None


async def _may_join(assistant: Assistant, tracker: Tracker, code: Code) -> bool:
    """Whether the host takes guests; then nobody can join this conversation any more by a code of its own."""
    host = (await assistant.tracker(code.conversation_id)).identity
    if host.host is not None or len(host.guests) >= MOST_GUESTS:
        return False
    own = tracker.identity.code
    return own is None or own.expires < time.time() or await _use(assistant, own.key, tracker.conversation_id)


async def _use(assistant: Assistant, key: str, by: str) -> bool:
    """Whether the code is used now, by this one and no other."""
    record_id = _record_id(key)
    async with assistant.store.lease(record_id) as lease:
        record = await assistant.store.resume(lease, assistant.domain)
        code = record.identity.code
        if code is None or code.used_by not in (None, by):
            return False
        if code.used_by is None:
            used = IdentityChanged(change="code_used", data={"by": by})
            record.apply(used)
            await assistant.store.commit(lease, Turn(record_id, (used,)), record)
    return True


async def _join(assistant: Assistant, tracker: Tracker, message: UserMessage, host: str) -> None:
    data: dict[str, Any] = {"host": host, "since": (await assistant.tracker(host)).event_count}
    if tracker.identity.host:
        data["earlier"] = tracker.identity.host
    if tracker.identity.guests:
        data["guests"] = list(tracker.identity.guests)
    if not tracker.event_count:
        # Its first session is still to begin, if it is on its own again one day.
        tracker.apply(SessionEnded())
    tracker.apply(IdentityChanged(change="joined", data=data))
    await _pass_on(assistant, tracker, message, host, "joined")


def _record_id(key: str) -> str:
    return f"join:{key}"


# ---- what one conversation tells another ---------------------------------------------------------


async def settle(assistant: Assistant, tracker: Tracker, events: Sequence[Event]) -> None:
    """Before a turn is committed: do elsewhere what its events bring about."""
    for event in events:
        if not isinstance(event, IdentityChanged):
            continue
        match event.change, dict(event.data):
            case "code", {"key": str(key)} if event.data.get("conversation_id") == tracker.conversation_id:
                await _keep_record(assistant, key, event)
                if earlier := event.data.get("earlier"):
                    await _use(assistant, earlier, "nobody")
            case "joined", {"host": str(host)}:
                if earlier := event.data.get("earlier"):
                    await _tell(assistant, tracker, earlier, "left")
                for guest in event.data.get("guests") or ():
                    await _tell(assistant, tracker, guest, "moved", to=host)
            case "left", {"host": str(host)}:
                await _tell(assistant, tracker, host, "left")
            case "guest_left", {"guest": str(guest), "by": str(by)}:
                await _tell(assistant, tracker, guest, "leave", by=by, is_erased=bool(event.data.get("is_erased")))


async def _tell(assistant: Assistant, tracker: Tracker, conversation_id: str, kind: str, **more: Any) -> None:
    channel, _, sender = conversation_id.partition(":")
    letter = UserMessage(
        sender_id=sender,
        channel=channel,
        kind=kind,
        joined_to=conversation_id,
        metadata={"of": tracker.conversation_id, **more},
    )
    await assistant.store.accept(letter)


async def _keep_record(assistant: Assistant, key: str, event: IdentityChanged) -> None:
    record_id, over = _record_id(key), event.data["expires"] + AFTERLIFE
    message = UserMessage(sender_id=key, channel="join", message_id="over", timestamp=over, kind=RECORD)
    async with assistant.store.lease(record_id) as lease:
        record = await assistant.store.resume(lease, assistant.domain)
        if record.event_count:
            return
        record.apply(event)
        await assistant.store.commit(lease, Turn(record_id, (event,), timers=(Timer("over", over, message),)), record)


async def take(assistant: Assistant, tracker: Tracker, message: UserMessage) -> None:
    """All that follows from what another conversation of the customer tells. Nothing is stored yet."""
    of, host = message.metadata.get("of"), tracker.identity.host
    match message.kind:
        case "joined":
            await _welcome(assistant, tracker, message)
        case "told":
            tracker.apply_all(await say(message.metadata["say"], tracker, assistant.actions))
        case "left" if of in tracker.identity.guests:
            tracker.apply(IdentityChanged(change="guest_left", data={"guest": of}))
        case "leave" if host == of:
            # A host that is erased must not begin again with the news of it.
            data = {} if message.metadata.get("is_erased") else {"host": host}
            tracker.apply(IdentityChanged(change="left", data=data))
            if message.metadata.get("by") != tracker.conversation_id:
                tracker.apply_all(await say("utter_left", tracker, assistant.actions))
        case "moved" if host == of:
            to = message.metadata["to"]
            since = (await assistant.tracker(to)).event_count
            tracker.apply(IdentityChanged(change="joined", data={"host": to, "since": since}))
            await assistant.store.accept(
                UserMessage(
                    sender_id=message.sender_id,
                    channel=message.channel,
                    kind="joined",
                    joined_to=to,
                    metadata={"joined": {"from": tracker.conversation_id}, "is_known": True},
                )
            )


async def _welcome(assistant: Assistant, tracker: Tracker, message: UserMessage) -> None:
    """Another conversation has joined this one: both hear so, and a question that is open is asked again."""
    await arrive(assistant, tracker, message)
    if message.metadata.get("is_known"):
        return
    language = message.language or assistant.languages[0]
    tracker.apply_all(await say("utter_joined", tracker, assistant.actions, language))
    form, slot = tracker.domain.forms.get(tracker.active_loop_name or ""), tracker.slots.get(REQUESTED_SLOT)
    if form is None or slot is None or tracker.slots.get(slot) is not None or tracker.paused:
        return
    tracker.idempotency_key = f"{_digest(message.conversation_id, message.message_id)}-1"
    try:
        await assistant.take_in(tracker, await ask(form, slot, tracker, assistant.actions))
    except ActionError as error:
        assistant.actions.log_failure(error, tracker)


async def arrive(assistant: Assistant, tracker: Tracker, message: UserMessage) -> None:
    """Before a message is taken: who has written, and on a channel of which trust."""
    if message.joined_to:
        if not tracker.event_count:
            # The host was erased.
            await assistant.start_session_if_due(tracker)
        guest = message.metadata["joined"]["from"]
        if guest not in tracker.identity.guests:
            tracker.apply(IdentityChanged(change="guest_joined", data={"guest": guest}))
    elif tracker.identity.trust is None:
        return
    own = assistant.trust_of(tracker.conversation_id.partition(":")[0])
    tracker.apply_all(at_trust(tracker, own, assistant.trust_of(message.channel)))


def at_trust(tracker: Tracker, own: int, now: int) -> list[Event]:
    """What changes when the customer writes on a channel trusted as `now`; `own` is that of the conversation's own.

    Each sensitive slot has the value that it was given on channels of this trust, or none: a weaker channel does not
    see what was said on a stronger one, and cannot put anything into its place.
    """
    before = own if tracker.identity.trust is None else tracker.identity.trust
    sensitive = [slot for slot in tracker.domain.slots.values() if slot.sensitive]
    if now == before or not sensitive:
        return []
    events: list[Event] = [IdentityChanged(change="trust", data={"trust": now})]
    change = {"trust": {"from": before, "to": now}}
    for slot in sensitive:
        value = tracker.identity.kept.get(slot.name, EMPTY).get(str(now), slot.initial_value)
        if value is not None or tracker.slots[slot.name] is not None:
            events.append(SlotSet(name=slot.name, value=value, metadata=change))
    return events


# ---- where replies go ----------------------------------------------------------------------------


def addresses(tracker: Tracker, channel: str | None, message: UserMessage | None) -> list[tuple[str | None, str]]:
    """(channel, sender id) of those who get the replies of a turn.

    They go to where its message came from. That two chats are joined is told in both. What the bot says by itself goes
    to where the customer wrote last; what an API caller lets it say, to the channel that was named.
    """
    own, _, sender = tracker.conversation_id.partition(":")
    guests = [guest.partition(":")[::2] for guest in tracker.identity.guests]
    if message is None:
        named = [address for address in guests if address[0] == channel and channel != own]
        return [named[-1] if named else (channel, tracker.sender_id)]
    if message.kind == "joined":
        return [(message.channel, message.sender_id), (own, sender)]
    latest = tracker.identity.latest if message.kind in ("reminder", "scheduled") else None
    return [latest.partition(":")[::2] if latest else (message.channel, message.sender_id)]


async def say(
    name: str, tracker: Tracker, actions: Actions, language: str | None = None, values: Mapping[str, Any] = EMPTY
) -> list[BotUttered]:
    """The domain's response, or our own words; `language` is that of a customer who has said nothing here yet."""
    if name in actions.domain.responses:
        return await actions.utter(name, tracker, values)
    words = WORDS[name]
    text = words.get(tracker.language or language or "en", words["en"])
    return [BotUttered.of(BotMessage(text=text.format(**values), metadata={"utter_action": name}))]


# ---- what customers and API callers ask for ------------------------------------------------------


async def action_join_code(tracker: Tracker, actions: Actions) -> list[Event]:
    """Says a code that joins another chat to this one, in `utter_join_code`: `{code}`, `{token}`, `{minutes}`."""
    made = make(tracker, actions.identity_key)
    values = {"code": made.code, "token": made.token, "minutes": round(LIFETIME / 60)}
    return [made.event, *await say("utter_join_code", tracker, actions, values=values)]


async def action_leave(tracker: Tracker, actions: Actions) -> list[Event]:
    """Takes the chat that asks for it out of the conversation; on the conversation's own channel, all the others."""
    by = tracker.identity.latest
    guests = (by,) if by else tracker.identity.guests
    by = by or tracker.conversation_id
    left = [IdentityChanged(change="guest_left", data={"guest": guest, "by": by}) for guest in guests]
    return [*left, *await say("utter_left", tracker, actions)]


async def new_code(assistant: Assistant, conversation_id: str) -> Made:
    """A code that opens the conversation, or its host."""
    conversation_id = (await assistant.tracker(conversation_id)).identity.host or conversation_id
    async with assistant.turn(conversation_id) as (now, tracker):
        if not tracker.event_count:
            await now.start_session_if_due(tracker)
        made = make(tracker, now.actions.identity_key)
        tracker.apply(made.event)
    return made


async def leave(assistant: Assistant, conversation_id: str, *, is_erased: bool = False) -> bool:
    """Take the conversation out of its host, and its guests out of it; False when it is joined with none.

    `is_erased`: it will be erased next.
    """
    identity = (await assistant.tracker(conversation_id)).identity
    if not identity.host and not identity.guests:
        return False
    channel = conversation_id.partition(":")[0]
    async with assistant.turn(conversation_id, channel=channel) as (now, tracker):
        identity = tracker.identity
        if identity.host:
            tracker.apply(IdentityChanged(change="left", data={"host": identity.host}))
            tracker.apply_all(await say("utter_left", tracker, now.actions))
        for guest in identity.guests:
            data = {"guest": guest, "by": conversation_id, "is_erased": is_erased}
            tracker.apply(IdentityChanged(change="guest_left", data=data))
    return bool(identity.host or identity.guests)
