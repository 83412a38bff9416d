"""One turn: from a customer's message to the bot's replies. Read this first.

accept → lease → resume → understand → decide and act until the bot listens → commit
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import logging
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from bot import joining, reminders
from bot.action_execution import Actions
from bot.domain import REQUESTED_SLOT, Domain
from bot.errors import ActionError, ActionRejected, LeaseLost, ModelError, StoreError, StoreUnavailable, describe
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    ActionReverted,
    BotUttered,
    DefinePrevUserUtteredFeaturization,
    Event,
    ReminderScheduled,
    UserUtteranceReverted,
    UserUttered,
)
from bot.interfaces import DAY, Channel, Delivery, Lease, Policy, Prediction, Store, Turn
from bot.messages import BotMessage, Intent, Parse, UserMessage
from bot.nlu.languages import is_a_few_words, is_said_in_any_language
from bot.payloads import read_payload
from bot.tracker import LISTEN, Tracker
from bot.tracker_state import tracker_state
from bot.understanding import Understanding

log = logging.getLogger(__name__)

MOST_ACTIONS = 10
MOST_ATTEMPTS = 3
"""Of answering a message, before it is set aside."""
REST = 60.0
"""Seconds until a message is tried again that cannot even be set aside."""
LONGEST_TURN = 600
"""Seconds until a turn counts as failed."""
LONGEST_WAIT = 100
"""Seconds that a caller waits for an answer that is somebody else's to give."""
MOST_TOGETHER = 20
"""Messages that make one turn: as many as a lease shows."""
LONGEST_MESSAGE = 10_000
"""Characters of a message that are kept."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Assistant:
    """Takes turns. It knows no channel; everything it needs is given to it."""

    def __init__(
        self,
        domain: Domain,
        understanding: Understanding,
        policies: Sequence[Policy],
        actions: Actions,
        store: Store,
        *,
        languages: Sequence[str] = ("en",),
        typed_payloads: bool = False,
    ) -> None:
        self.domain = domain
        self.understanding = understanding
        self.policies = sorted(policies, key=lambda policy: -policy.priority)
        overruling = (number for number, policy in enumerate(self.policies) if getattr(policy, "overrules", False))
        self._all_heard = max(overruling, default=0)
        self.actions = actions
        self.store = store
        self.languages = tuple(languages)
        self.has_model = True
        self.takes_turns = True
        """False in a process that serves pages alone: what it accepts is answered by another."""
        self.channels: dict[str, Channel] = {}
        """Those that are open, by name: how their messages are kept, and whether they send the replies."""
        self._typed_payloads = typed_payloads
        self.writing: asyncio.Event | None = None
        """In a turn that may be broken off: set while an action runs whose answer is then worded anew."""
        self._going_on: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Make ready for the first message."""
        await self.understanding.warm_up()

    async def close(self) -> None:
        for task in self._going_on:
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        self.understanding.close()
        await self.actions.close()
        await self.store.close()

    def take_over(self, other: Assistant) -> None:
        """Be the other from the next turn on, with this one's store. Turns in hand finish as they began."""
        kept = {name: vars(self)[name] for name in ("store", "channels", "_going_on")}
        vars(self).update({**vars(other), **kept})

    # ---- a turn ----

    async def accept(self, message: UserMessage) -> bool:
        """Keep a message for a worker to answer. True when it is new; it is safe in the store when this returns.

        For channels that acknowledge at once: the replies go out by `Channel.send`.
        """
        remember = self._remember_on(message.channel)
        return await self.store.accept(message, remember=remember, wait=self._wait_on(message.channel))

    async def handle(self, message: UserMessage) -> list[BotMessage]:
        """Take one turn and return the replies. The same message a second time gets the same replies."""
        self._require_model()
        remember = self._remember_on(message.channel)
        if wait := self._wait_on(message.channel):
            # Then it rests in the inbox, and there is no lease to be had for it yet.
            await self.store.accept(message, remember=remember, wait=wait)
        begun = await self.store.begin(message, remember=remember)
        lease = begun.lease
        if lease and not self.takes_turns:
            await self.store.release(lease)
            lease = None
        while lease and not begun.answer.done():
            lease = await self._one_more(lease, message)
        if lease:
            # What waits in this conversation has nobody here who waits for it.
            self._in_the_background(self.work(lease))
        try:
            async with asyncio.timeout(None if begun.answer.done() else LONGEST_WAIT):
                replies = await begun.answer
        except TimeoutError as error:
            who = message.conversation_id
            raise StoreUnavailable(f"'{who}': no worker has answered within {LONGEST_WAIT} s") from error
        if not replies and (passed_on := await joining.followed(self, message)):
            return await self.handle(passed_on)
        return replies

    async def _one_more(self, lease: Lease, wanted: UserMessage) -> Lease | None:
        """A turn on the way to `wanted`: another message's failure is not this caller's."""
        is_wanted = lease.messages[0].message_id == wanted.message_id
        try:
            return await self.take_turn(lease)
        except StoreError:
            raise
        except Exception as error:
            if is_wanted:
                raise
            log.error("conversation %s: %s", lease.conversation_id, describe(error))
            return await self.store.claim(lease.conversation_id)

    def _in_the_background(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)

    async def work(self, lease: Lease | None) -> None:
        """Answer all that waits in the conversation. What fails is tried again, and in the end set aside."""
        while lease:
            conversation_id = lease.conversation_id
            try:
                lease = await self.take_turn(lease)
            except LeaseLost as error:
                log.warning("%s", error)
                return
            except Exception as error:
                log.error("conversation %s: %s", conversation_id, describe(error))
                return

    async def take_turn(self, lease: Lease) -> Lease | None:
        """Answer the oldest message under a lease that came by `begin` or `claim`; the next lease, if more waits.

        The lease is given back when the turn fails; a message that has failed `MOST_ATTEMPTS` times is set aside.
        """
        try:
            async with asyncio.timeout(LONGEST_TURN):
                return await self._take_turn(lease)
        except BaseException as error:
            failed = not isinstance(error, asyncio.CancelledError | StoreUnavailable)
            if failed and lease.attempts > MOST_ATTEMPTS:
                self._in_the_background(self._rest(lease))
            else:
                await self._give_back(lease, failed=failed)
            raise

    async def _take_turn(self, lease: Lease) -> Lease | None:
        messages = self._together(lease.messages)
        if messages[0].kind == joining.RECORD:
            await self.store.delete(lease.conversation_id)
            return None
        hand = await self._resume(lease)
        if lease.attempts >= MOST_ATTEMPTS:
            return await self._set_aside(hand, messages)
        passed_on = await joining.redirect(hand.assistant, hand.tracker, messages)
        if passed_on or await self._taken(hand, messages):
            return await self._commit(hand, messages)
        await self._give_back(lease, failed=False)
        return None

    async def _rest(self, lease: Lease) -> None:
        """Keep the conversation for a while: it can neither be answered nor left, and would be told at once again."""
        try:
            await asyncio.sleep(REST)
        finally:
            await self._give_back(lease, failed=True)

    async def _taken(self, hand: _InHand, messages: Sequence[UserMessage]) -> bool:
        """Take the turn. False when the customer has said more while an answer was still being written.

        Nothing of such a turn is kept: the next one answers all the messages.
        """
        message = merged(messages)
        # What comes behind messages that are no part of this turn, or too many, would be none of the next one either.
        may_grow = len(messages) == len(hand.lease.messages) < MOST_TOGETHER
        if not may_grow or not self._wait_on(message.channel):
            await hand.assistant.take(message, hand.tracker)
            return True
        hand.assistant.writing = asyncio.Event()
        taking = asyncio.create_task(hand.assistant.take(message, hand.tracker))
        more = asyncio.create_task(self._more_is_said(hand.lease, hand.assistant.writing))
        try:
            await asyncio.wait((taking, more), return_when=asyncio.FIRST_COMPLETED)
            if more.done() and not more.exception() and not taking.done():
                return False
            await taking
            return True
        finally:
            taking.cancel()
            more.cancel()
            await asyncio.gather(taking, more, return_exceptions=True)

    async def _more_is_said(self, lease: Lease, writing: asyncio.Event) -> None:
        await self.store.arrival(lease)
        await writing.wait()

    def _wait_on(self, channel: str) -> float:
        """Seconds in which what is typed in a row on this channel becomes one turn; 0 where each message is its own."""
        wait: float = getattr(self.channels.get(channel), "wait", 0.0)
        return wait

    def _remember_on(self, channel: str) -> float:
        """Seconds for which a message of this channel is known when it comes again."""
        seconds: float = getattr(self.channels.get(channel), "remember", DAY)
        return seconds

    def trust_of(self, channel: str) -> int:
        """How far a channel is trusted to know its customers: what is sensitive counts on equals alone."""
        trust: int = getattr(self.channels.get(channel), "trust", 1)
        return trust

    async def take(self, message: UserMessage, tracker: Tracker) -> None:
        """All that follows from a message. The tracker takes it in; nothing is stored yet."""
        if message.kind in joining.LETTERS:
            await joining.take(self, tracker, message)
            return
        if message.kind != "message":
            await reminders.take(self, tracker, message)
            return
        await joining.arrive(self, tracker, message)
        await self.start_session_if_due(tracker)
        await self.answer(tracker, await self.hear(message, tracker), message)

    def _together(self, waiting: Sequence[UserMessage]) -> list[UserMessage]:
        """The messages that make one turn: on a channel with a `wait`, all that was typed in a row there."""
        first = waiting[0]
        if not self._wait_on(first.channel):
            return [first]

        def is_plain(message: UserMessage) -> bool:
            is_pressed = message.payload or message.text.startswith("/")
            is_from_there = (message.channel, message.sender_id) == (first.channel, first.sender_id)
            is_text = message.kind == "message" and not is_pressed and not message.attachments
            return is_text and is_from_there and not joining.entered(message, self.actions.identity_key)

        return [*itertools.takewhile(is_plain, waiting)] or [first]

    async def _set_aside(self, hand: _InHand, messages: Sequence[UserMessage]) -> Lease | None:
        """Give a message up that nobody could answer: the customer hears so, and the others go on."""
        who, tracker = hand.lease.conversation_id, hand.tracker
        reason = f"it failed {hand.lease.attempts} times"
        log.error("conversation %s: message %s is set aside: %s", who, messages[0].message_id, reason)
        if messages[0].kind == "message":
            # Unless that is what fails.
            if hand.lease.attempts == MOST_ATTEMPTS:
                await hand.assistant.start_session_if_due(tracker)
            text = _text(messages[0])
            spoken = tracker.language or messages[0].language
            tracker.apply(_uttered(messages[0], text, Parse(text=text, language=spoken)))
            tracker.apply_all(hand.assistant.actions.apologise(tracker))
            tracker.apply(ActionExecuted(name=LISTEN))
        return await self._commit(hand, messages[:1], set_aside=reason)

    async def _give_back(self, lease: Lease, *, failed: bool) -> None:
        try:
            await self.store.release(lease, failed=failed)
        except StoreError as error:
            log.warning("conversation %s: its lease runs out by itself: %s", lease.conversation_id, error)

    @asynccontextmanager
    async def turn(
        self, conversation_id: str, *, channel: str | None = None
    ) -> AsyncIterator[tuple[Assistant, Tracker]]:
        """For whoever changes a conversation without a message: what the tracker takes in is committed in the end.

        The assistant that comes with it is this one as it is now, whatever takes over meanwhile. Replies are sent on
        `channel`, if one is named.
        """
        self._require_model()
        async with self.store.lease(conversation_id) as lease:
            hand = await self._resume(lease)
            yield hand.assistant, hand.tracker
            if hand.tracker.event_count > hand.before:
                await self._commit(hand, channel=channel)

    def _require_model(self) -> None:
        if not self.has_model:
            raise ModelError("there is no model loaded: load one, then send the same again")

    async def _resume(self, lease: Lease) -> _InHand:
        # As it is now, whatever takes over meanwhile; `copy.copy` would take a tenth of a turn.
        assistant = object.__new__(Assistant)
        vars(assistant).update(vars(self))
        tracker = await self.store.resume(lease, assistant.domain)
        return _InHand(assistant, lease, tracker, tracker.event_count, tracker.reminders)

    async def _commit(
        self,
        hand: _InHand,
        messages: Sequence[UserMessage] = (),
        *,
        channel: str | None = None,
        set_aside: str | None = None,
    ) -> Lease | None:
        tracker = hand.tracker
        events = tuple(tracker.events_since(hand.before))
        channel = channel or (messages[0].channel if messages else None)
        await joining.settle(hand.assistant, tracker, events)
        key = _key(messages[0]) if messages else _digest(tracker.conversation_id, str(events[0].timestamp))
        if set_aside or not messages:
            # The message may come back and be answered; an API caller's turn is done once, at its place.
            key = _digest(key, hand.before)
        turn = Turn(
            tracker.conversation_id,
            events,
            tuple(message.message_id for message in messages),
            self._deliveries(key, channel, tracker, events, messages),
            reminders.timers(hand.reminders, tracker, hand.assistant.domain),
            set_aside,
        )
        return await self.store.commit(hand.lease, turn, tracker)

    def _deliveries(
        self, key: str, channel: str | None, tracker: Tracker, events: Sequence[Event], messages: Sequence[UserMessage]
    ) -> tuple[Delivery, ...]:
        """The replies that a channel has to send by itself. `key` is that of the turn."""
        replies = [event.message for event in events if isinstance(event, BotUttered)]
        found: list[Delivery] = []
        for name, sender_id in joining.addresses(tracker, channel, messages[0] if messages else None):
            if name in self.channels and getattr(self.channels[name], "sends", True):
                found += [
                    Delivery(tracker.conversation_id, f"{key}-{number}", name, sender_id, reply)
                    for number, reply in enumerate(replies, len(found))
                ]
        return tuple(found)

    async def answer(self, tracker: Tracker, uttered: UserUttered, message: UserMessage) -> None:
        """What follows from what was heard: slots are filled, and actions run until the bot listens."""
        was_cut_short = tracker.latest_action_name not in (None, LISTEN)
        if was_cut_short and (not tracker.paused or uttered.intent_name == "restart"):
            # By a pause or the limit of actions; rules begin after listening.
            tracker.apply(ActionExecuted(name=LISTEN))
        tracker.apply(uttered)
        key = _key(message)
        tracker.idempotency_key = f"{key}-0"
        tracker.apply_all(await self.actions.run("action_extract_slots", tracker))
        if _may_answer(tracker):
            await self._act(tracker, key)

    # ---- understand ----

    async def hear(self, message: UserMessage, tracker: Tracker) -> UserUttered:
        """What the message means in this conversation."""
        text = _text(message)
        parse = None
        if message.payload or self._typed_payloads or _was_offered(text, tracker):
            parse = read_payload(text, self.domain)
        if parse is None:
            parse = await self.parse(text)
        if parse.language is None or _tells_no_language(text, tracker):
            parse.language = tracker.language or message.language or self.languages[0]
        return _uttered(message, text, parse)

    async def parse(self, text: str) -> Parse:
        """What the pipeline makes of a text; nothing said is no intent."""
        if not text.strip():
            intent = Intent("nlu_fallback", 1.0)
            return Parse(text=text, intent=intent, intent_ranking=[intent])
        return await self.understanding.parse(text)

    # ---- decide and act ----

    async def _act(self, tracker: Tracker, key: str) -> None:
        for number in range(1, MOST_ACTIONS + 1):
            prediction = self.decide(tracker)
            who, why = tracker.conversation_id, prediction.policy or "followup"
            log.debug("conversation %s: %s (%s, %.2f)", who, prediction.action, why, prediction.confidence)
            tracker.idempotency_key = f"{key}-{number}"
            if prediction.is_end_to_end:
                tracker.apply_all(await self.actions.run("action_extract_slots", tracker))
            if not await self._run(prediction, tracker) or not _may_answer(tracker):
                return
        log.warning("conversation %s: stopped after %d actions in one turn", tracker.conversation_id, MOST_ACTIONS)

    def decide(self, tracker: Tracker) -> Prediction:
        """The next action: a followup if one is asked for, else what the surest policy says.

        Policies are asked in the order of their priority; certainty ends the asking, once all were heard that
        may overrule it. An action that has just declined is not asked again.
        """
        if tracker.followup_action:
            if self.actions.has(tracker.followup_action):
                return Prediction(tracker.followup_action, 1.0, "followup_action")
            log.error("conversation %s: no action '%s' to follow up", tracker.conversation_id, tracker.followup_action)
            tracker.followup_action = None
        rejected = tracker.rejected_action
        best = Prediction(LISTEN, 0.0, type(self.policies[0]).__name__ if self.policies else "")
        events: tuple[Event, ...] = ()
        for number, policy in enumerate(self.policies):
            prediction = policy.predict(tracker, self.domain)
            if prediction is None:
                continue
            events += prediction.events
            if prediction.action != rejected and prediction.rank > best.rank:
                best = prediction
            if best.confidence >= 1.0 and number >= self._all_heard:
                break
        if tracker.latest_action_name == LISTEN:
            events += (DefinePrevUserUtteredFeaturization(use_text_for_featurization=best.is_end_to_end),)
        if events == best.events and not best.needs_no_message:
            return best
        return dataclasses.replace(best, events=events, needs_no_message=False)

    async def _run(self, prediction: Prediction, tracker: Tracker) -> bool:
        """Run the action and take its events in; False when the bot now listens."""
        name = prediction.action
        seen = tracker
        if prediction.events:
            seen = tracker.copy()
            seen.apply_all(prediction.events)
        if self.writing and self.actions.is_amendable(name):
            self.writing.set()
        elif self.actions.is_custom(name):
            # What it may do elsewhere is done, and this turn says so, whatever the customer says next.
            self.writing = None
        try:
            events = await self.actions.run(name, seen)
        except ActionRejected:
            policy, confidence = prediction.policy or None, prediction.confidence
            tracker.apply(ActionExecutionRejected(name=name, policy=policy, confidence=confidence))
            return name != LISTEN
        except ActionError as error:
            # A rule that says "done" after a failed action would lie: the turn ends here, and says so.
            self.actions.log_failure(error, tracker)
            tracker.apply_all(self.actions.apologise(tracker))
            tracker.apply(ActionExecuted(name=LISTEN))
            return False
        finally:
            if self.writing:
                self.writing.clear()
        if not any(isinstance(event, ActionExecutionRejected) for event in events):
            tracker.apply_all(prediction.events)
            tracker.apply(
                ActionExecuted(
                    name=None if name in self.domain.action_texts else name,
                    action_text=name if name in self.domain.action_texts else None,
                    policy=prediction.policy or None,
                    confidence=prediction.confidence,
                    hide_rule_turn=prediction.hide_rule_turn,
                    metadata=prediction.metadata,
                )
            )
        await self.take_in(tracker, events)
        if any(isinstance(event, UserUttered) for event in events):
            tracker.apply_all(await self.actions.run("action_extract_slots", tracker))
        return name not in (LISTEN, "action_session_start")

    async def execute(self, prediction: Prediction, tracker: Tracker, message: UserMessage) -> None:
        """Run one action because somebody asks for it, and none that would follow."""
        tracker.idempotency_key = f"{_key(message)}-1"
        await self._run(prediction, tracker)

    async def take_in(self, tracker: Tracker, events: Sequence[Event]) -> None:
        """Apply events from outside. To take back more than the latest message, the session must be at hand."""
        messages = sum(isinstance(event, UserUtteranceReverted) for event in events)
        takes_back = messages > bool(tracker.before_message) or any(
            isinstance(event, ActionReverted) for event in events
        )
        missing = tracker.event_count - len(tracker.events)
        if takes_back and missing > 0:
            earlier = await self.store.events(tracker.conversation_id, limit=missing)
            tracker.events = [*earlier, *tracker.events]
        tracker.apply_all(events)

    # ---- sessions ----

    async def start_session_if_due(self, tracker: Tracker) -> None:
        """Begin the first session of a conversation, or the next after a long silence."""
        if self._session_is_over(tracker):
            await self._start_session(tracker)

    def _session_is_over(self, tracker: Tracker) -> bool:
        if tracker.event_count == 0 or tracker.session_ended:
            return True
        minutes = self.domain.session.expiration_minutes
        heard = tracker.latest_message
        return heard is not None and 0 < minutes * 60 < time.time() - heard.timestamp

    async def _start_session(self, tracker: Tracker) -> None:
        name = "action_session_start"
        try:
            events = await self.actions.run(name, tracker)
        except ActionError as error:
            self.actions.log_failure(error, tracker)
            events = []
        tracker.apply(ActionExecuted(name=name, confidence=1.0))
        tracker.apply_all(events)

    # ---- what an API caller reads ----

    async def tracker(self, conversation_id: str) -> Tracker:
        """The conversation as it is stored; empty when there is none."""
        return await self.store.load(conversation_id, self.domain)

    async def state(self, conversation_id: str, include_events: str = "AFTER_RESTART") -> dict[str, Any]:
        """Rasa's tracker state (see `bot/tracker_state.py`)."""
        tracker = await self.tracker(conversation_id)
        events = await self.store.events(conversation_id) if include_events.upper() != "NONE" else []
        return tracker_state(tracker, events, include_events)


@dataclass(frozen=True, slots=True)
class _InHand:
    """A conversation under a lease: the assistant and the tracker of its turn, and what that held before."""

    assistant: Assistant
    lease: Lease
    tracker: Tracker
    before: int
    reminders: Mapping[str, ReminderScheduled]


def merged(messages: Sequence[UserMessage]) -> UserMessage:
    """What was typed in a row as one message: with the id of the first one, when the last one came.

    `messages` in its metadata has each of them, for whoever shows the conversation.
    """
    if len(messages) == 1:
        return messages[0]
    texts = [message.text.strip() for message in messages]
    together: dict[str, Any] = {}
    for message in messages:
        together.update(message.metadata)
    together["messages"] = [{"message_id": joining.original_id(one), "text": one.text.strip()} for one in messages]
    return dataclasses.replace(messages[0], text="\n".join(texts), metadata=together, timestamp=messages[-1].timestamp)


def _text(message: UserMessage) -> str:
    return _clean(message.payload or message.text).strip()


def _uttered(message: UserMessage, text: str, parse: Parse) -> UserUttered:
    return UserUttered(
        text=text,
        parse_data=parse.to_json(),
        input_channel=message.channel,
        message_id=message.message_id,
        metadata=message.metadata,
        # When it came, which may be before the bot said the last thing that the customer has not seen yet.
        timestamp=message.timestamp,
    )


def _key(message: UserMessage) -> str:
    """The same for every retry of this turn, and for nothing else, whatever the ids are."""
    return _digest(message.conversation_id, message.message_id)


def _digest(*parts: str | int) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def _clean(text: str) -> str:
    """Without control characters and half characters, and not endless: what can be stored and shown."""
    return _CONTROL.sub(" ", text[:LONGEST_MESSAGE]).encode("utf-8", "replace").decode("utf-8")


def _tells_no_language(text: str, tracker: Tracker) -> bool:
    """Whether a customer goes on in the language they speak: names, a form's short answers, and what we said first."""
    if tracker.language is None:
        return False
    said = tracker.latest_bot_message.message if tracker.latest_bot_message else None
    titles = [str(button.get("title") or "") for button in said.buttons] if said else []
    is_quoted = len(text.strip()) > 1 and any(text.strip() in shown for shown in titles)
    is_answer = bool(tracker.active_loop and tracker.slots.get(REQUESTED_SLOT)) and is_a_few_words(text)
    return is_quoted or is_answer or is_said_in_any_language(text)


def _may_answer(tracker: Tracker) -> bool:
    """A paused conversation is a human agent's: of its messages only a restart is answered."""
    said = tracker.latest_message
    return not tracker.paused or (said is not None and said.intent_name == "restart")


def _was_offered(text: str, tracker: Tracker) -> bool:
    """Whether one of our own buttons in this conversation carries exactly this payload."""
    if not text.startswith("/"):
        return False
    return any(
        button.get("payload") == text
        for event in tracker.events
        if isinstance(event, BotUttered)
        for button in (*event.message.buttons, *event.message.quick_replies)
    )
