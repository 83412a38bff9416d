"""Conversations in memory, for tests and trying out: gone when the process ends."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from bot.domain import Domain
from bot.errors import LeaseLost
from bot.events import Event
from bot.interfaces import Lease, Turn
from bot.messages import BotMessage, UserMessage
from bot.stores import (
    Leases,
    decode_events,
    decode_message,
    decode_replies,
    decode_tracker,
    encode,
    encode_events,
    encode_message,
    fold,
)
from bot.tracker import RECENT_EVENTS, Tracker


@dataclass(slots=True)
class _StoredTurn:
    start: int
    end: int
    body: bytes


@dataclass(slots=True)
class _Conversation:
    """`answered` says which turn consumed a message id."""

    snapshot: bytes
    event_count: int = 0
    turns: list[_StoredTurn] = field(default_factory=list)
    answered: dict[str, _StoredTurn] = field(default_factory=dict)


class MemoryStore:
    """Dictionaries of the same JSON that the other stores keep, so that nothing is shared with a tracker."""

    def __init__(self) -> None:
        self._inbox: dict[tuple[str, str], bytes] = {}
        self._conversations: dict[str, _Conversation] = {}
        self._leases = Leases()

    async def accept(self, message: UserMessage) -> bool:
        key = (message.conversation_id, message.message_id)
        conversation = self._conversations.get(message.conversation_id)
        if key in self._inbox or (conversation and message.message_id in conversation.answered):
            return False
        self._inbox[key] = encode_message(message)
        return True

    async def pending(self) -> list[UserMessage]:
        return [decode_message(body, key) for (key, _), body in self._inbox.items()]

    def lease(self, conversation_id: str) -> AbstractAsyncContextManager[Lease]:
        return self._leases.lease(conversation_id)

    async def load(self, conversation_id: str, domain: Domain) -> Tracker:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            return Tracker.new(conversation_id, domain)
        recent = decode_events(_last_turns(conversation), conversation_id)[-RECENT_EVENTS:]
        tracker = decode_tracker(conversation.snapshot, recent, conversation_id, domain)
        return tracker or fold(await self.events(conversation_id), conversation_id, domain)

    async def commit(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._leases.check(lease, turn, tracker)
        # Everything that can fail comes before the first change.
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        key = turn.conversation_id
        start = tracker.event_count - len(turn.events)
        conversation = self._conversations.get(key)
        if start != (conversation.event_count if conversation else 0):
            raise LeaseLost(f"'{key}' has moved on since this turn was begun: it must not be stored")
        if conversation and turn.message_id in conversation.answered:
            raise LeaseLost(f"message '{turn.message_id}' of '{key}' was answered before")
        conversation = self._conversations.setdefault(key, _Conversation(snapshot))
        stored = _StoredTurn(start, tracker.event_count, body)
        conversation.snapshot, conversation.event_count = snapshot, tracker.event_count
        conversation.turns.append(stored)
        if turn.message_id is not None:
            conversation.answered[turn.message_id] = stored
            self._inbox.pop((key, turn.message_id), None)

    async def replace(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        self._leases.check(lease, turn, tracker)
        body, snapshot = encode_events(turn.events), encode(tracker.to_json())
        conversation = self._conversations.setdefault(turn.conversation_id, _Conversation(snapshot))
        silence = _StoredTurn(0, 0, b"[]")
        conversation.answered = dict.fromkeys(conversation.answered, silence)
        conversation.snapshot, conversation.event_count = snapshot, tracker.event_count
        conversation.turns = [_StoredTurn(0, tracker.event_count, body)]

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
        self._leases.revoke(conversation_id)
        self._conversations.pop(conversation_id, None)
        for key in [key for key in self._inbox if key[0] == conversation_id]:
            del self._inbox[key]

    async def close(self) -> None:
        pass


def _last_turns(conversation: _Conversation) -> list[bytes]:
    """The bodies of those that hold the latest `RECENT_EVENTS`, without looking at older ones."""
    first = len(conversation.turns)
    while first and conversation.turns[first - 1].end > conversation.event_count - RECENT_EVENTS:
        first -= 1
    return [turn.body for turn in conversation.turns[first:]]
