"""Two workers, any interleaving: whatever is done in whatever order, every store does what the model here says.

Every message has one turn, in the order of arrival; every reply is delivered in order; no attempt goes uncounted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from bot.domain import Domain, SlotSpec
from bot.errors import LeaseLost, StoreError
from bot.events import BotUttered, Event, SlotSet, UserUttered
from bot.interfaces import Delivery, Lease, OutboxLease, Store, Turn, Work
from bot.messages import BotMessage, UserMessage

T = TypeVar("T")
DOMAIN = Domain(slots={"n": SlotSpec("n")})
NAMES = ("anna", "ben")

names = st.sampled_from(NAMES)
workers = st.integers(0, 1)
message_ids = st.integers(1, 6).map("m{}".format)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@dataclass
class Talk:
    """What the model knows of a conversation. `inbox` and `outbox` are (id, attempts), in order."""

    inbox: list[tuple[str, int]] = field(default_factory=list)
    outbox: list[tuple[str, int]] = field(default_factory=list)
    answered: dict[str, str | None] = field(default_factory=dict)
    """The reply to a message; None when a later one of its turn was, or the conversation has been replaced since."""
    events: list[str] = field(default_factory=list)
    value: Any = None
    holder: tuple[int, Lease] | None = None
    deliverer: tuple[int, OutboxLease] | None = None


class Conversations(RuleBasedStateMachine):
    def __init__(self, kind: Any, server: Any) -> None:
        super().__init__()
        self.kind, self.server = kind, server
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.talks = {name: Talk() for name in NAMES}
        self.arrivals: list[tuple[str, str]] = []
        """(conversation, message) of what waits, in order of arrival."""
        self.letters: list[tuple[str, str, str]] = []
        """(conversation, kind, id) of what was given up, in order."""
        self.answers: list[tuple[str, str, asyncio.Future[list[BotMessage]]]] = []
        self.stale: list[tuple[int, Lease]] = []
        self.keys = 0
        self.open()

    def open(self) -> None:
        first = self.do(self.kind.open(Path(self.folder.name), self.server))
        second = self.do(self.kind.open(Path(self.folder.name), self.server)) if self.kind.shared else first
        self.stores: list[Store] = [first, second]

    def close(self) -> None:
        for store in {id(store): store for store in self.stores}.values():
            self.do(store.close())

    def do(self, awaited: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(awaited, 20))

    def is_known(self, name: str, message_id: str) -> bool:
        talk = self.talks[name]
        return message_id in talk.answered or any(message_id == waiting for waiting, _ in talk.inbox)

    # ---- the inbox ----

    @rule(worker=workers, name=names, messages=st.lists(message_ids, min_size=1, max_size=4))
    def accept(self, worker: int, name: str, messages: list[str]) -> None:
        for message_id in messages:
            is_new = not self.is_known(name, message_id)
            assert self.do(self.stores[worker].accept(message(name, message_id))) == is_new
            if is_new:
                self.arrived(name, message_id)
        self.check(name)

    @rule(worker=workers, name=names, message_id=message_ids)
    def begin(self, worker: int, name: str, message_id: str) -> None:
        talk = self.talks[name]
        begun = self.do(self.stores[worker].begin(message(name, message_id)))
        if message_id in talk.answered:
            assert begun.lease is None
            assert said(self.do(begun.answer)) == talk.answered[message_id]
            return
        if not self.is_known(name, message_id):
            self.arrived(name, message_id)
        assert not begun.answer.done()
        self.answers.append((name, message_id, begun.answer))
        assert (begun.lease is not None) == (talk.holder is None)
        if begun.lease:
            self.taken(worker, name, begun.lease)
        self.check(name)

    @rule(worker=workers, name=names)
    def claim(self, worker: int, name: str) -> None:
        talk = self.talks[name]
        lease = self.do(self.stores[worker].claim(conversation(name)))
        assert (lease is not None) == (bool(talk.inbox) and talk.holder is None)
        if lease:
            self.taken(worker, name, lease)

    @precondition(lambda self: self.work())
    @rule(worker=workers)
    def take_what_is_ready(self, worker: int) -> None:
        work = self.do(self.stores[worker].ready())
        assert work in self.work()
        name = work.conversation_id.removeprefix("rest:")
        if work.kind == "inbox":
            self.claim(worker, name)
        else:
            self.claim_outbox(worker, name)

    def work(self) -> set[Work]:
        """What must be ready."""
        inboxes = {name for name, talk in self.talks.items() if talk.inbox and not talk.holder}
        outboxes = {name for name, talk in self.talks.items() if talk.outbox and not talk.deliverer}
        return {Work("inbox", conversation(name)) for name in inboxes} | {
            Work("outbox", conversation(name)) for name in outboxes
        }

    def arrived(self, name: str, message_id: str) -> None:
        self.talks[name].inbox.append((message_id, 0))
        self.arrivals.append((name, message_id))

    def taken(self, worker: int, name: str, lease: Lease) -> None:
        """The lease shows what waits, and counts an attempt at the oldest."""
        talk = self.talks[name]
        assert [one.message_id for one in lease.messages] == [message_id for message_id, _ in talk.inbox]
        first, attempts = talk.inbox[0]
        assert lease.attempts == attempts
        talk.inbox[0] = (first, attempts + 1)
        talk.holder = (worker, lease)

    # ---- turns ----

    @rule(
        name=names,
        messages=st.integers(0, 3),
        deliveries=st.integers(0, 2),
        value=values,
        set_aside=st.sampled_from((None, None, None, "it failed")),
    )
    def commit(self, name: str, messages: int, deliveries: int, value: Any, set_aside: str | None) -> None:
        talk = self.talks[name]
        if not talk.holder:
            return
        worker, lease = talk.holder
        consumed = tuple(one.message_id for one in lease.messages[:messages])
        reply = f"reply {len(talk.events)}"
        events = heard(consumed, reply, value)
        out = tuple(self.delivery(name) for _ in range(deliveries))
        turn = Turn(lease.conversation_id, events, consumed, out, set_aside=set_aside)
        following = self.do(self.turn(worker, lease, turn))
        self.stale.append((worker, lease))
        talk.inbox = [one for one in talk.inbox if one[0] not in consumed]
        self.arrivals = [one for one in self.arrivals if one[0] != name or one[1] not in consumed]
        talk.answered.update(dict.fromkeys(consumed[:-1]))
        talk.answered.update(dict.fromkeys(consumed[-1:], reply))
        talk.events += [text(event) for event in events]
        talk.value = value
        talk.outbox += [(one.key, 0) for one in out]
        if set_aside:
            self.letters += [(name, "message", message_id) for message_id in consumed]
        talk.holder = None
        assert (following is not None) == bool(talk.inbox)
        if following:
            self.taken(worker, name, following)
        self.check(name)

    async def turn(self, worker: int, lease: Lease, turn: Turn) -> Lease | None:
        tracker = await self.stores[worker].resume(lease, DOMAIN)
        tracker.apply_all(turn.events)
        return await self.stores[worker].commit(lease, turn, tracker)

    @rule(name=names, failed=st.booleans())
    def release(self, name: str, failed: bool) -> None:
        talk = self.talks[name]
        if not talk.holder:
            return
        worker, lease = talk.holder
        self.do(self.stores[worker].release(lease, failed=failed))
        self.stale.append((worker, lease))
        talk.holder = None
        if not failed:
            first, attempts = talk.inbox[0]
            talk.inbox[0] = (first, attempts - 1)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), does=st.sampled_from(("commit", "release", "fail")))
    def use_a_lease_that_is_over(self, data: st.DataObject, does: str) -> None:
        worker, lease = data.draw(st.sampled_from(self.stale))
        talk = self.talks[lease.conversation_id.removeprefix("rest:")]
        if talk.holder and talk.holder[1].token == lease.token:
            return
        if does != "commit":
            self.do(self.stores[worker].release(lease, failed=does == "fail"))
            return
        turn = Turn(lease.conversation_id, heard(("nothing",), "nothing", 0))
        with pytest.raises(LeaseLost):
            self.do(self.turn(worker, lease, turn))
        self.check(lease.conversation_id.removeprefix("rest:"))

    @rule(worker=workers, name=names, value=values, is_new=st.booleans())
    def change_without_a_message(self, worker: int, name: str, value: Any, is_new: bool) -> None:
        talk, store = self.talks[name], self.stores[worker]
        if talk.holder:
            return
        event = SlotSet(name="n", value=value, timestamp=1.0)

        async def change() -> None:
            async with store.lease(conversation(name)) as lease:
                tracker = await store.resume(lease, DOMAIN)
                if is_new:
                    tracker = type(tracker).new(lease.conversation_id, DOMAIN)
                tracker.apply(event)
                put = store.replace if is_new else store.commit
                await put(lease, Turn(lease.conversation_id, (event,)), tracker)

        self.do(change())
        if is_new:
            talk.events = []
            talk.answered = dict.fromkeys(talk.answered)
        talk.events.append(text(event))
        talk.value = value
        self.check(name)

    # ---- deliveries ----

    def delivery(self, name: str) -> Delivery:
        self.keys += 1
        return Delivery(conversation(name), f"d{self.keys}", "rest", name, BotMessage(text=f"reply {self.keys}"))

    @rule(worker=workers, name=names)
    def claim_outbox(self, worker: int, name: str) -> None:
        talk = self.talks[name]
        lease = self.do(self.stores[worker].claim_outbox(conversation(name)))
        assert (lease is not None) == (bool(talk.outbox) and talk.deliverer is None)
        if lease:
            self.delivers(worker, name, lease)

    def delivers(self, worker: int, name: str, lease: OutboxLease) -> None:
        talk = self.talks[name]
        assert [(one.key, one.attempts) for one in lease.deliveries] == talk.outbox[:20]
        talk.deliverer = (worker, lease)

    @rule(name=names, what=st.sampled_from(("delivered", "delivered", "postpone", "give_up")))
    def deliver(self, name: str, what: str) -> None:
        talk = self.talks[name]
        if not talk.deliverer:
            return
        worker, lease = talk.deliverer
        key, attempts = lease.deliveries[0].key, lease.deliveries[0].attempts
        talk.deliverer = None
        if what == "postpone":
            self.do(self.stores[worker].postpone(lease, 0.0))
            talk.outbox[0] = (key, attempts + 1)
            return
        if what == "delivered":
            left = self.do(self.stores[worker].delivered(lease))
        else:
            left = self.do(self.stores[worker].give_up(lease, "no answer"))
            self.letters.append((name, "delivery", key))
        talk.outbox.pop(0)
        # What came since is shown as well.
        assert (left is not None) == bool(talk.outbox)
        if left:
            self.delivers(worker, name, left)

    @precondition(lambda self: self.letters)
    @rule(worker=workers, data=st.data(), back=st.booleans())
    def decide_on_a_dead_letter(self, worker: int, data: st.DataObject, back: bool) -> None:
        store = self.stores[worker]
        assert self.known_letters() == self.letters
        number = data.draw(st.integers(0, len(self.letters) - 1))
        found = self.do(store.dead_letters())
        assert self.do(store.revive(found[number].id) if back else store.bury(found[number].id))
        name, kind, one = self.letters.pop(number)
        talk = self.talks[name]
        if back and kind == "message":
            talk.answered.pop(one)
            self.arrived(name, one)
        elif back:
            talk.outbox.append((one, 0))
        self.check(name)

    def known_letters(self) -> list[tuple[str, str, str]]:
        return [
            (letter.conversation_id.removeprefix("rest:"), "message", letter.content.message_id)
            if isinstance(letter.content, UserMessage)
            else (letter.conversation_id.removeprefix("rest:"), "delivery", letter.content.key)
            for letter in self.do(self.stores[0].dead_letters())
        ]

    # ---- the whole ----

    @precondition(lambda self: any(len(talk.events) > 5 for talk in self.talks.values()))
    @rule(worker=workers, name=names)
    def delete(self, worker: int, name: str) -> None:
        talk = self.talks[name]
        self.do(self.stores[worker].delete(conversation(name)))
        if talk.holder:
            self.stale.append(talk.holder)
        for whose, _, answer in self.answers:
            if whose == name and not answer.done():
                with pytest.raises(StoreError, match="deleted"):
                    self.do(answer)
        if talk.deliverer:
            worker, lease = talk.deliverer
            with pytest.raises(LeaseLost):
                self.do(self.stores[worker].delivered(lease))
        self.arrivals = [one for one in self.arrivals if one[0] != name]
        self.letters = [one for one in self.letters if one[0] != name]
        self.answers = [one for one in self.answers if one[0] != name]
        self.talks[name] = Talk()
        assert self.known_letters() == self.letters
        self.check(name)

    @precondition(lambda self: self.kind.durable and not self.kind.shared)
    @precondition(lambda self: self.arrivals or any(talk.outbox for talk in self.talks.values()))
    @rule()
    def restart(self) -> None:
        """With everything in hand: whoever waited for an answer has to ask again, and every attempt counts."""
        self.close()
        for _, _, answer in self.answers:
            assert answer.done()
        self.open()
        self.answers, self.stale = [], []
        for name, talk in self.talks.items():
            talk.holder = talk.deliverer = None
            self.check(name)
            self.claim(0, name)
            self.release(name, failed=False)
            self.claim_outbox(1, name)

    @rule(name=names, after=st.integers(0, 12), limit=st.none() | st.integers(0, 12))
    def read(self, name: str, after: int, limit: int | None) -> None:
        events = self.do(self.stores[0].events(conversation(name), after=after, limit=limit))
        last = None if limit is None else after + limit
        assert [text(event) for event in events] == self.talks[name].events[after:last]

    def check(self, name: str) -> None:
        talk = self.talks[name]
        for store in self.stores if self.kind.shared else self.stores[:1]:
            tracker = self.do(store.load(conversation(name), DOMAIN))
            assert (tracker.event_count, tracker.slots["n"]) == (len(talk.events), talk.value)
            assert [text(event) for event in tracker.events] == talk.events[-len(tracker.events) :]
            assert [(one.sender_id, one.message_id) for one in self.do(store.pending()) if one.sender_id == name] == [
                one for one in self.arrivals if one[0] == name
            ]
            for message_id, reply in talk.answered.items():
                replies = self.do(store.replies(conversation(name), message_id))
                assert replies is not None
                assert said(replies) == reply
        for whose, message_id, answer in self.answers:
            if whose == name and message_id in talk.answered:
                assert said(self.do(answer)) == talk.answered[message_id]
        self.answers = [one for one in self.answers if not one[2].done()]

    def teardown(self) -> None:
        """Two workers, who do nothing but work, leave nothing behind."""
        for name in NAMES:
            self.release(name, failed=False)
            self.deliver(name, "postpone")
        while self.work():
            self.take_what_is_ready(0)
            for name in NAMES:
                while self.talks[name].holder:
                    self.commit(name, 2, 1, 1, None)
                while self.talks[name].deliverer:
                    self.deliver(name, "delivered")
        assert self.do(self.stores[0].pending()) == []
        self.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


def conversation(name: str) -> str:
    return f"rest:{name}"


def message(name: str, message_id: str) -> UserMessage:
    return UserMessage(message_id, sender_id=name, message_id=message_id, timestamp=1.0)


def heard(message_ids: tuple[str, ...], reply: str, value: Any) -> tuple[Event, ...]:
    said = [UserUttered(text=message_id, timestamp=1.0) for message_id in message_ids]
    return (*said, SlotSet(name="n", value=value, timestamp=1.0), BotUttered(text=reply, timestamp=1.0))


def text(event: Event) -> str:
    return str(getattr(event, "text", event.kind))


def said(replies: list[BotMessage]) -> str | None:
    return replies[0].text if replies else None


def test_any_interleaving_is_as_the_model_says(kind: Any, server: Any) -> None:
    # A step is a round trip where there is a server.
    examples = 25 if kind.needs else 80
    run_state_machine_as_test(
        lambda: Conversations(kind, server),  # type: ignore[arg-type]
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True),
    )
