"""Conversations in memory, for tests and trying out: gone when the process ends."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from bot.domain import Domain
from bot.errors import LeaseLost
from bot.events import Event
from bot.interfaces import DAY, Begun, DeadLetter, Delivery, Lease, OutboxLease, Published, Timer, Turn, Work
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    answers_of,
    decode_delivery,
    decode_events,
    decode_message,
    decode_replies,
    decode_tracker,
    encode,
    encode_delivery,
    encode_events,
    encode_message,
    fold,
)
from bot.stores.desk import Desk
from bot.tracker import RECENT_EVENTS, Tracker

_Content = TypeVar("_Content", UserMessage, Delivery)


@dataclass(slots=True)
class _StoredTurn:
    start: int
    end: int
    body: bytes


_SILENCE = _StoredTurn(0, 0, b"[]")


@dataclass(slots=True)
class _Conversation:
    """`answered` says which turn has the replies to a message id."""

    snapshot: bytes
    event_count: int = 0
    turns: list[_StoredTurn] = field(default_factory=list)
    answered: dict[str, _StoredTurn] = field(default_factory=dict)


class MemoryStore:
    """Dictionaries of the same JSON that the other stores keep, so that nothing is shared with a tracker.

    What is accepted is remembered for good, whatever `remember` says. With `feed` what is committed is kept until it
    is `published`.
    """

    def __init__(self, *, feed: bool = False) -> None:
        self._desk = Desk()
        self._conversations: dict[str, _Conversation] = {}
        self._letters: dict[str, DeadLetter] = {}
        self._feeds = feed
        self._feed: dict[str, tuple[str, _StoredTurn]] = {}
        """What is to be published, in order, by a number that no other had; with its conversation."""
        self._feed_numbers = itertools.count(1)
        self._fed = asyncio.Event()

    # ---- the inbox ----

    async def accept(self, message: UserMessage, *, remember: float = DAY, wait: float = 0.0) -> bool:
        if self._knows(message):
            return False
        self._desk.check_room(message.conversation_id)
        self._desk.put(_copied(message), wait=wait)
        return True

    async def begin(self, message: UserMessage, *, remember: float = DAY) -> Begun:
        key, message_id = message.conversation_id, message.message_id
        answers, replies = self._desk.answers, await self.replies(key, message_id)
        if replies is not None:
            answer = answers.expect(key, message_id)
            answers.give(key, message_id, replies)
            return Begun(answer)
        if self._desk.is_waiting(key, message_id):
            return Begun(answers.expect(key, message_id), self._desk.take(key))
        self._desk.check_room(key)
        token = self._desk.reserve(key)
        self._desk.put(_copied(message))
        return Begun(answers.expect(key, message_id), None if token is None else self._desk.begin(key, token))

    async def ready(self) -> Work:
        while True:
            match await self._desk.ready():
                case Work() as work:
                    return work
                case (conversation_id, Timer(message=UserMessage() as message) as timer):
                    if self._desk.fired(conversation_id, timer) and not self._knows(message):
                        self._desk.put(message)

    async def claim(self, conversation_id: str) -> Lease | None:
        return self._desk.take(conversation_id)

    async def pending(self) -> list[UserMessage]:
        return self._desk.pending()

    # ---- the turn ----

    @asynccontextmanager
    async def lease(self, conversation_id: str) -> AsyncIterator[Lease]:
        lease = await self._desk.ask(conversation_id)
        try:
            yield lease
        finally:
            self._desk.give_back(lease)

    async def arrival(self, lease: Lease) -> None:
        await self._desk.arrival(lease)

    async def resume(self, lease: Lease, domain: Domain) -> Tracker:
        return await self.load(lease.conversation_id, domain)

    async def load(self, conversation_id: str, domain: Domain) -> Tracker:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            return Tracker.new(conversation_id, domain)
        recent = decode_events(_last_turns(conversation), conversation_id)[-RECENT_EVENTS:]
        tracker = decode_tracker(conversation.snapshot, recent, conversation_id, domain)
        return tracker or fold(await self.events(conversation_id), conversation_id, domain)

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> Lease | None:
        following = self._desk.following(lease, turn.message_ids)
        self._store(lease, turn, tracker, is_new=False)
        return self._desk.go_on(lease, following)

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._store(lease, turn, tracker, is_new=True)

    def _store(self, lease: Lease, turn: Turn, tracker: Tracker, *, is_new: bool) -> None:
        """The turn after those that are there, or, when it is new, in their place."""
        self._desk.check(lease, turn, tracker)
        # Everything that can fail comes before the first change.
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        deliveries = [_copied(delivery) for delivery in turn.deliveries]
        timers = [
            timer if timer.message is None else dataclasses.replace(timer, message=_copied(timer.message))
            for timer in turn.timers
        ]
        key = turn.conversation_id
        conversation = self._conversations.get(key) or _Conversation(snapshot)
        start = 0 if is_new else tracker.event_count - len(turn.events)
        if not is_new and start != conversation.event_count:
            raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
        for message_id in turn.message_ids:
            if message_id in conversation.answered:
                raise LeaseLost(f"message '{message_id}' of '{key}' was answered before")
        if is_new:
            # What is left of an answered message is that it was answered.
            conversation.answered = dict.fromkeys(conversation.answered, _SILENCE)
            conversation.turns = []
        stored = _StoredTurn(start, tracker.event_count, body)
        conversation.snapshot, conversation.event_count = snapshot, tracker.event_count
        conversation.turns.append(stored)
        conversation.answered.update(dict.fromkeys(turn.message_ids[:-1], _SILENCE))
        conversation.answered.update(dict.fromkeys(turn.message_ids[-1:], stored))
        self._conversations[key] = conversation
        if self._feeds and turn.events:
            self._feed[str(next(self._feed_numbers))] = key, stored
            self._fed.set()
        for message in self._desk.consume(key, turn.message_ids):
            if turn.set_aside is not None:
                self._keep_letter(key, turn.set_aside, message)
        self._desk.send(key, deliveries)
        self._desk.set_timers(key, timers)
        for message_id, replies in answers_of(turn):
            self._desk.answers.give(key, message_id, replies)

    async def release(self, lease: Lease, *, failed: bool = False) -> None:
        if not failed:
            self._desk.take_back_attempt(lease)
        self._desk.give_back(lease)

    # ---- the outbox ----

    async def claim_outbox(self, conversation_id: str) -> OutboxLease | None:
        return self._desk.take_outbox(conversation_id)

    async def delivered(self, lease: OutboxLease) -> OutboxLease | None:
        self._desk.first(lease)
        return self._desk.next_delivery(lease)

    async def postpone(self, lease: OutboxLease, seconds: float) -> None:
        first = self._desk.first(lease)
        self._desk.put_off(lease, dataclasses.replace(first, attempts=first.attempts + 1), time.time() + seconds)

    async def give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None:
        self._keep_letter(lease.conversation_id, reason, self._desk.first(lease))
        return self._desk.next_delivery(lease)

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return list(self._letters.values())[:limit]

    async def revive(self, letter_id: str) -> bool:
        letter = self._letters.pop(letter_id, None)
        match letter:
            case DeadLetter(content=UserMessage() as message):
                conversation = self._conversations.get(letter.conversation_id)
                if conversation:
                    conversation.answered.pop(message.message_id, None)
                self._desk.put(message)
            case DeadLetter(content=Delivery() as delivery):
                self._desk.send(letter.conversation_id, (dataclasses.replace(delivery, attempts=0),))
        return letter is not None

    async def bury(self, letter_id: str) -> bool:
        return self._letters.pop(letter_id, None) is not None

    def _keep_letter(self, conversation_id: str, reason: str, content: UserMessage | Delivery) -> None:
        letter = DeadLetter(secrets.token_hex(8), conversation_id, reason, time.time(), content)
        self._letters[letter.id] = letter

    # ---- the feed ----

    async def feed(self, limit: int = 100) -> list[Published]:
        while not self._feed:
            self._fed.clear()
            await self._fed.wait()
        first = itertools.islice(self._feed.items(), limit)
        return [
            Published(number, key, turn.start, tuple(decode_events([turn.body], key))) for number, (key, turn) in first
        ]

    async def published(self, turns: Sequence[Published]) -> None:
        for turn in turns:
            self._feed.pop(turn.id, None)

    # ---- reading ----

    async def replies(self, conversation_id: str, message_id: str) -> list[BotMessage] | None:
        conversation = self._conversations.get(conversation_id)
        turn = conversation.answered.get(message_id) if conversation else None
        return decode_replies(turn.body, conversation_id) if turn else None

    async def events(self, conversation_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            return []
        last = conversation.event_count if limit is None else after + limit
        turns = [turn for turn in conversation.turns if turn.end > after and turn.start < last]
        events = decode_events([turn.body for turn in turns], conversation_id)
        start = turns[0].start if turns else 0
        return events[max(after - start, 0) : max(last - start, 0)]

    async def conversation_ids(self, *, after: str = "", limit: int = 1000) -> list[str]:
        return sorted(key for key in self._conversations if key > after)[:limit]

    async def delete(self, conversation_id: str) -> None:
        self._desk.forget(self._desk.revoke(conversation_id))
        self._conversations.pop(conversation_id, None)
        for number in [number for number, (key, _) in self._feed.items() if key == conversation_id]:
            del self._feed[number]
        for letter in [letter for letter in self._letters.values() if letter.conversation_id == conversation_id]:
            del self._letters[letter.id]

    async def reseal(self) -> int:
        return 0

    async def close(self) -> None:
        self._desk.close()

    def _knows(self, message: UserMessage) -> bool:
        key, message_id = message.conversation_id, message.message_id
        conversation = self._conversations.get(key)
        is_answered = conversation is not None and message_id in conversation.answered
        return is_answered or self._desk.is_waiting(key, message_id)


def _copied(content: _Content) -> _Content:
    """As a store on a disk would give it back."""
    if isinstance(content, UserMessage):
        return decode_message(encode_message(content), content.conversation_id)
    return decode_delivery(encode_delivery(content), content.conversation_id)


def _last_turns(conversation: _Conversation) -> list[bytes]:
    """The bodies of those that hold the latest `RECENT_EVENTS`, without looking at older ones."""
    first = len(conversation.turns)
    while first and conversation.turns[first - 1].end > conversation.event_count - RECENT_EVENTS:
        first -= 1
    return [turn.body for turn in conversation.turns[first:]]
