"""What waits in the conversations of one process, and who has them in hand.

The stores of one process (memory, SQLite) share it: they make durable what it keeps in order. A conversation is free,
or in hand: of whoever takes its turns (`reserve`, `take`), or of a caller who asked for the right to it (`ask`).
Its outbox is in hand by itself (`take_outbox`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.errors import LeaseLost, StoreError, StoreFull, StoreUnavailable
from bot.interfaces import Delivery, Lease, OutboxLease, Timer, Turn, Work
from bot.messages import UserMessage
from bot.stores.alarms import Alarms
from bot.stores.answers import Answers
from bot.tracker import Tracker

MOST_SHOWN = 20
"""Messages or deliveries that a lease shows at once."""
MOST_WAITING = 200
"""Messages of one conversation that wait; more are turned away."""
MOST_WAITING_IN_ALL = 100_000
"""Messages of all conversations that wait."""
PATIENCE = 1.0
"""Seconds in which a worker takes what it was told of: then another is told, or who asked behind it has it."""


@dataclass(slots=True)
class Waiting:
    """A message of the inbox. `position` grows from one arrival to the next, over all conversations."""

    message: UserMessage
    position: int
    attempts: int = 0


@dataclass(slots=True, eq=False)
class _Asking:
    """A caller who asked for the right to a conversation when so many had arrived; `token` is what they get."""

    position: int
    token: asyncio.Future[int]


@dataclass(slots=True)
class _Conversation:
    inbox: dict[str, Waiting] = field(default_factory=dict)
    outbox: deque[Delivery] = field(default_factory=deque)
    timers: dict[str, Timer] = field(default_factory=dict)
    asking: deque[_Asking] = field(default_factory=deque)
    listening: set[asyncio.Future[None]] = field(default_factory=set)
    """Who wants to hear of the next message while the conversation is in hand."""
    holder: int | None = None
    out_holder: int | None = None
    begins_at: float = 0.0
    """Before that the inbox rests: more may come (`wait`)."""
    sends_at: float = 0.0

    @property
    def is_idle(self) -> bool:
        waits = self.inbox or self.outbox or self.timers or self.asking or self.listening
        return not waits and self.holder is None and self.out_holder is None

    @property
    def first(self) -> Waiting | None:
        return next(iter(self.inbox.values()), None)

    @property
    def first_asking(self) -> _Asking | None:
        """Who asked first and has not gone."""
        while self.asking and self.asking[0].token.done():
            self.asking.popleft()
        return self.asking[0] if self.asking else None

    @property
    def is_free(self) -> bool:
        return self.holder is None and self.first_asking is None


class Desk:
    """`last_token` is one that no lease will have again. Times are seconds since 1970."""

    def __init__(self, last_token: int = 0) -> None:
        self.answers = Answers()
        self._tokens = itertools.count(last_token + 1)
        self._positions = itertools.count()
        self._conversations: dict[str, _Conversation] = {}
        self._waiting = 0
        self._told: OrderedDict[Work, None] = OrderedDict()
        """What `ready` is to tell, in order."""
        self._alarms: Alarms[Work | tuple[str, str]] = Alarms()
        """For work that rests, or was told and not taken, and for a (conversation, timer's name)."""
        self._sleepers: set[asyncio.Future[None]] = set()
        self._closed = False

    # ---- the inbox ----

    def check_room(self, conversation_id: str) -> None:
        """`StoreFull` when too many messages wait, in this conversation or in all."""
        conversation = self._conversations.get(conversation_id)
        if conversation and len(conversation.inbox) >= MOST_WAITING:
            raise StoreFull(f"'{conversation_id}' has {MOST_WAITING} messages that wait: send this one again later")
        if self._waiting >= MOST_WAITING_IN_ALL:
            raise StoreFull(f"{MOST_WAITING_IN_ALL} messages wait in the store: send this one again later")

    def is_waiting(self, conversation_id: str, message_id: str) -> bool:
        """Whether the message is in the inbox, in hand or not."""
        conversation = self._conversations.get(conversation_id)
        return conversation is not None and message_id in conversation.inbox

    def put(self, message: UserMessage, *, wait: float = 0.0, attempts: int = 0) -> None:
        """The message waits; a worker is told when the conversation is free and has rested."""
        conversation_id = message.conversation_id
        conversation = self._of(conversation_id)
        conversation.inbox[message.message_id] = Waiting(message, next(self._positions), attempts)
        self._waiting += 1
        if wait > 0:
            conversation.begins_at = max(conversation.begins_at, time.time() + wait)
        for listener in conversation.listening:
            if not listener.done():
                listener.set_result(None)
        self._tell(conversation_id, conversation)

    async def arrival(self, lease: Lease) -> None:
        """Until a message waits that the lease does not show. For ever, when none comes or the lease is over."""
        shown = {message.message_id for message in lease.messages}
        while True:
            conversation = self._of(lease.conversation_id)
            if self.holds(lease) and any(message_id not in shown for message_id in conversation.inbox):
                return
            listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            conversation.listening.add(listener)
            try:
                await listener
            finally:
                conversation.listening.discard(listener)
                self._tidy(lease.conversation_id, conversation)

    def pending(self) -> list[UserMessage]:
        """All that is accepted and not consumed, in the order of arrival."""
        everything = [one for conversation in self._conversations.values() for one in conversation.inbox.values()]
        return [one.message for one in sorted(everything, key=lambda one: one.position)]

    def oldest(self, conversation_id: str) -> Waiting | None:
        """The first message in the inbox of a conversation, in hand or not."""
        conversation = self._conversations.get(conversation_id)
        return conversation.first if conversation else None

    def consume(self, conversation_id: str, message_ids: Iterable[str]) -> list[UserMessage]:
        """These messages have been dealt with; the result is those that were in the inbox."""
        conversation = self._conversations.get(conversation_id)
        inbox = conversation.inbox if conversation else {}
        consumed = [inbox.pop(message_id).message for message_id in message_ids if message_id in inbox]
        self._waiting -= len(consumed)
        return consumed

    # ---- leases ----

    def reserve(self, conversation_id: str) -> int | None:
        """The token of a free conversation, for whoever is about to put a message into it; None when it is in hand."""
        conversation = self._of(conversation_id)
        if not conversation.is_free:
            return None
        conversation.holder = next(self._tokens)
        return conversation.holder

    def take(self, conversation_id: str) -> Lease | None:
        """The lease of a free conversation in which messages wait. Counts an attempt at the oldest."""
        if not self._is_due(Work("inbox", conversation_id)):
            return None
        conversation = self._conversations[conversation_id]
        conversation.holder = next(self._tokens)
        return self._begin(conversation_id, conversation)

    def begin(self, conversation_id: str, token: int) -> Lease | None:
        """The lease of a reserved conversation, like `take`; None when it was revoked meanwhile."""
        conversation = self._conversations.get(conversation_id)
        if conversation is None or conversation.holder != token:
            return None
        return self._begin(conversation_id, conversation)

    def _begin(self, conversation_id: str, conversation: _Conversation) -> Lease:
        assert conversation.holder is not None
        shown = list(itertools.islice(conversation.inbox.values(), MOST_SHOWN))
        attempts = shown[0].attempts
        shown[0].attempts += 1
        return Lease(conversation_id, conversation.holder, tuple(one.message for one in shown), attempts)

    async def ask(self, conversation_id: str) -> Lease:
        """The right to a conversation: at once when nobody has it in hand, else in the order of arrival.

        Whoever has it in hand goes on with the messages that were there before. What waits and is taken by no
        worker does not hold up the caller.
        """
        self._check_open()
        conversation = self._of(conversation_id)
        if conversation.is_free:
            conversation.holder = next(self._tokens)
            return Lease(conversation_id, conversation.holder)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asking = _Asking(next(self._positions), future)
        conversation.asking.append(asking)
        try:
            return Lease(conversation_id, await future)
        except asyncio.CancelledError:
            if asking in conversation.asking:
                conversation.asking.remove(asking)
                self._tidy(conversation_id, conversation)
            elif not future.cancelled() and future.exception() is None:
                # It was given to one who has just gone.
                self.give_back(Lease(conversation_id, future.result()))
            raise

    def check(self, lease: Lease, turn: Turn, tracker: Tracker) -> None:
        """`LeaseLost` unless this lease is the one in force; `StoreError` when the three do not belong together."""
        if not lease.conversation_id == turn.conversation_id == tracker.conversation_id:
            raise StoreError(f"a turn of '{turn.conversation_id}' was to be stored under '{lease.conversation_id}'")
        if not self.holds(lease):
            raise LeaseLost(f"the lease on '{lease.conversation_id}' is over: this turn must not be stored")

    def holds(self, lease: Lease) -> bool:
        """Whether this lease is the one in force."""
        conversation = self._conversations.get(lease.conversation_id)
        return conversation is not None and conversation.holder == lease.token

    def following(self, lease: Lease, message_ids: Iterable[str]) -> Waiting | None:
        """What the holder would go on with when these messages are consumed.

        None when nothing waits then or it rests, when somebody asked before it came, and for a lease that came
        without a message.
        """
        if not lease.messages or not self.holds(lease):
            return None
        conversation = self._conversations[lease.conversation_id]
        following = next((one for name, one in conversation.inbox.items() if name not in message_ids), None)
        if following is None or conversation.begins_at > time.time():
            return None
        asking = conversation.first_asking
        return None if asking and asking.position < following.position else following

    def go_on(self, lease: Lease, following: Waiting | None) -> Lease | None:
        """After a commit: the next lease, for the message that follows; without one, the lease is given back.

        A lease that came without a message stays what it is.
        """
        if not lease.messages or not self.holds(lease):
            return None
        conversation = self._conversations[lease.conversation_id]
        if following is None or conversation.first is not following:
            self._free(lease.conversation_id, conversation)
            return None
        conversation.holder = next(self._tokens)
        return self._begin(lease.conversation_id, conversation)

    def give_back(self, lease: Lease) -> None:
        """The conversation is free for whoever comes next. Nothing happens when the lease is not in force."""
        if self.holds(lease):
            self._free(lease.conversation_id, self._conversations[lease.conversation_id])

    def take_back_attempt(self, lease: Lease) -> Waiting | None:
        """The attempt that began with this lease is not to count: the message as it waits now.

        None when the lease is not in force, or came without a message.
        """
        if not lease.messages or not self.holds(lease):
            return None
        first = self._conversations[lease.conversation_id].first
        if first is not None:
            first.attempts -= 1
        return first

    def revoke(self, conversation_id: str) -> Lease:
        """Whatever is in hand there can no longer be committed; the lease is for who deletes the conversation."""
        conversation = self._of(conversation_id)
        conversation.holder = conversation.out_holder = next(self._tokens)
        return Lease(conversation_id, conversation.holder)

    def forget(self, lease: Lease) -> None:
        """Nothing waits any more in a conversation that was revoked, and is deleted now."""
        conversation_id = lease.conversation_id
        self.answers.fail(conversation_id, LeaseLost(f"'{conversation_id}' was deleted before this was answered"))
        conversation = self._of(conversation_id)
        self._waiting -= len(conversation.inbox)
        conversation.inbox.clear()
        conversation.outbox.clear()
        conversation.timers.clear()
        self.spare(lease)
        self._tidy(conversation_id, conversation)

    def spare(self, lease: Lease) -> None:
        """A conversation that was revoked is free for whoever comes next."""
        if self.holds(lease):
            self._conversations[lease.conversation_id].out_holder = None
            self.give_back(lease)

    def _free(self, conversation_id: str, conversation: _Conversation) -> None:
        """Whoever came first has it next: a caller who asked, or a worker, who is told."""
        conversation.holder = None
        first, asking = conversation.first, conversation.first_asking
        if asking:
            if first is None or asking.position < first.position or conversation.begins_at > time.time():
                self._grant(conversation)
                return
            asyncio.get_running_loop().call_later(PATIENCE, self._lose_patience, conversation_id)
        self._tell(conversation_id, conversation)
        self._tidy(conversation_id, conversation)

    def _grant(self, conversation: _Conversation) -> None:
        conversation.holder = next(self._tokens)
        conversation.asking.popleft().token.set_result(conversation.holder)

    def _lose_patience(self, conversation_id: str) -> None:
        conversation = self._conversations.get(conversation_id)
        if conversation and conversation.holder is None and conversation.first_asking:
            self._grant(conversation)

    # ---- the outbox ----

    def send(self, conversation_id: str, deliveries: Iterable[Delivery], *, at: float = 0.0) -> None:
        """These replies wait for their delivery, not before `at`."""
        conversation = self._of(conversation_id)
        conversation.outbox.extend(deliveries)
        conversation.sends_at = max(conversation.sends_at, at)
        self._tell(conversation_id, conversation)
        self._tidy(conversation_id, conversation)

    def take_outbox(self, conversation_id: str) -> OutboxLease | None:
        """The right to deliver, when something waits and nobody has it."""
        if not self._is_due(Work("outbox", conversation_id)):
            return None
        conversation = self._conversations[conversation_id]
        conversation.out_holder = next(self._tokens)
        return self._outbox(conversation_id, conversation)

    def first(self, lease: OutboxLease) -> Delivery:
        """The delivery that is being made; `LeaseLost` when it is no longer this holder's."""
        conversation = self._conversations.get(lease.conversation_id)
        if conversation is None or conversation.out_holder != lease.token:
            raise LeaseLost(f"the deliveries of '{lease.conversation_id}' are in other hands")
        return conversation.outbox[0]

    def next_delivery(self, lease: OutboxLease) -> OutboxLease | None:
        """The first one is done with: what is left, or None and the outbox is free."""
        conversation = self._conversations.get(lease.conversation_id)
        if conversation is None or conversation.out_holder != lease.token:
            return None
        conversation.outbox.popleft()
        if conversation.outbox:
            return self._outbox(lease.conversation_id, conversation)
        conversation.out_holder = None
        self._tidy(lease.conversation_id, conversation)
        return None

    def put_off(self, lease: OutboxLease, first: Delivery, until: float) -> None:
        """The first one is tried again, as it is here, and not before `until`."""
        conversation = self._conversations.get(lease.conversation_id)
        if conversation is None or conversation.out_holder != lease.token:
            return
        conversation.outbox[0] = first
        conversation.out_holder = None
        conversation.sends_at = until
        self._tell(lease.conversation_id, conversation)

    def _outbox(self, conversation_id: str, conversation: _Conversation) -> OutboxLease:
        assert conversation.out_holder is not None
        shown = tuple(itertools.islice(conversation.outbox, MOST_SHOWN))
        return OutboxLease(conversation_id, conversation.out_holder, shown)

    # ---- timers ----

    def set_timers(self, conversation_id: str, timers: Iterable[Timer]) -> None:
        """Set those that have a message, cancel the others."""
        for timer in timers:
            conversation = self._of(conversation_id)
            if timer.message is None:
                conversation.timers.pop(timer.name, None)
                self._alarms.cancel((conversation_id, timer.name))
                self._tidy(conversation_id, conversation)
            else:
                conversation.timers[timer.name] = timer
                self._set_alarm((conversation_id, timer.name), timer.due)

    def fired(self, conversation_id: str, timer: Timer) -> bool:
        """The timer is over, unless it was cancelled or set anew meanwhile: then the answer is False."""
        conversation = self._conversations.get(conversation_id)
        if conversation is None or conversation.timers.get(timer.name) is not timer:
            return False
        del conversation.timers[timer.name]
        self._alarms.cancel((conversation_id, timer.name))
        self._tidy(conversation_id, conversation)
        return True

    # ---- work for the workers ----

    async def ready(self) -> Work | tuple[str, Timer]:
        """The next conversation that has something to be done, or a timer that is due (with its conversation).

        The timer stays until it is `fired`. What was told and is not taken is told again.
        """
        while True:
            self._check_open()
            now = time.time()
            while (name := self._alarms.pop(now)) is not None:
                conversation_id = name.conversation_id if isinstance(name, Work) else name[0]
                conversation = self._conversations.get(conversation_id)
                if conversation is None:
                    continue
                if isinstance(name, Work):
                    self._tell(conversation_id, conversation)
                elif timer := conversation.timers.get(name[1]):
                    self._alarms.set(name, now + PATIENCE)
                    return conversation_id, timer
            while self._told:
                work, _ = self._told.popitem(last=False)
                if self._is_due(work):
                    self._alarms.set(work, now + PATIENCE)
                    return work
            await self._sleep()

    async def _sleep(self) -> None:
        """Until something is told, an alarm is due or set anew, or the clock may have been put forward."""
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        next_time = self._alarms.next_time()
        timeout = 60.0 if next_time is None else min(max(next_time - time.time(), 0.0), 60.0)
        try:
            await asyncio.wait((sleeper,), timeout=timeout)
        finally:
            self._sleepers.discard(sleeper)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def _is_due(self, work: Work) -> bool:
        """Whether something waits there that has rested and is in nobody's hands."""
        conversation = self._conversations.get(work.conversation_id)
        if conversation is None:
            return False
        if work.kind == "inbox":
            waits = bool(conversation.inbox) and conversation.holder is None
            return waits and conversation.begins_at <= time.time()
        waits = bool(conversation.outbox) and conversation.out_holder is None
        return waits and conversation.sends_at <= time.time()

    def _tell(self, conversation_id: str, conversation: _Conversation) -> None:
        """A worker, of what waits here and is in nobody's hands; later, where it is to rest."""
        if conversation.inbox and conversation.holder is None:
            self._tell_at(conversation.begins_at, Work("inbox", conversation_id))
        if conversation.outbox and conversation.out_holder is None:
            self._tell_at(conversation.sends_at, Work("outbox", conversation_id))

    def _tell_at(self, when: float, work: Work) -> None:
        if when > time.time():
            self._set_alarm(work, when)
        else:
            self._told[work] = None
            self._wake()

    def _set_alarm(self, name: Work | tuple[str, str], when: float) -> None:
        self._alarms.set(name, when)
        if self._alarms.next_time() == when:
            self._wake()

    # ---- conversations ----

    def close(self) -> None:
        """Whoever waits for something learns that nothing more will come."""
        self._closed = True
        error = StoreUnavailable("the store has been closed")
        self.answers.fail_all(error)
        for conversation in self._conversations.values():
            while asking := conversation.first_asking:
                asking.token.set_exception(error)
        self._wake()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store has been closed")

    def _of(self, conversation_id: str) -> _Conversation:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            conversation = self._conversations[conversation_id] = _Conversation()
        return conversation

    def _tidy(self, conversation_id: str, conversation: _Conversation) -> None:
        """Nothing is kept of a conversation in which nothing waits."""
        if conversation.is_idle and self._conversations.get(conversation_id) is conversation:
            del self._conversations[conversation_id]
