"""What is to happen later: which reminders stand, which timers the store needs, what happens when one is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import conversations
from bot.assistant import Assistant
from bot.domain import Domain, SessionConfig
from bot.errors import DataError
from bot.event_reading import read_event
from bot.events import (
    ActionExecuted,
    ActionReverted,
    BotUttered,
    Event,
    ReminderCancelled,
    ReminderScheduled,
    Restarted,
    SessionEnded,
    SessionStarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
    event_from_json,
    event_to_json,
)
from bot.interfaces import Timer
from bot.messages import UserMessage
from bot.reminders import timers, timers_ahead
from bot.tracker import LISTEN, MOST_REMINDERS, Tracker

pytestmark = pytest.mark.anyio

DOMAIN = Domain()
LATER = "2099-01-02T03:04:05+00:00"
LONG_AGO = "2020-01-02T03:04:05+00:00"


def said(intent: str = "greet") -> UserUttered:
    return UserUttered(text=intent, parse_data={"intent": {"name": intent}})


def told(*events: Event, domain: Domain = DOMAIN) -> Tracker:
    tracker = Tracker.new("rest:anna", domain)
    tracker.apply_all(events)
    return tracker


def reminder(name: str | None = "tea", at: str = LATER, **fields: Any) -> ReminderScheduled:
    return ReminderScheduled(intent="greet", date_time=at, name=name, **fields)


# ---- which reminders stand -----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b"])
INTENTS = st.sampled_from(["greet", "pay"])
ENTITIES = st.sampled_from([None, [], [{"entity": "what", "value": "tea"}], {"what": "tea"}])
TIMES = st.integers(1, 10).map(float)
REMINDERS = st.builds(
    ReminderScheduled,
    intent=INTENTS,
    date_time=st.sampled_from(["1970-01-01T00:00:05Z", LATER]),
    entities=ENTITIES,
    name=st.none() | NAMES,
    kill_on_user_msg=st.booleans(),
    timestamp=TIMES,
)
SCHEDULED = st.builds(ReminderScheduled.of_action, INTENTS, st.just(LATER), NAMES)
CANCELLED = st.builds(
    ReminderCancelled, name=st.none() | NAMES, intent=st.none() | INTENTS, entities=ENTITIES, timestamp=TIMES
)
EXTERNAL = st.builds(
    lambda intent, name, at: replace(
        UserUttered.external(intent, None, None, {"reminder": name} if name else {}), timestamp=at
    ),
    INTENTS,
    st.none() | NAMES,
    TIMES,
)
OTHERS: st.SearchStrategy[Event] = st.one_of(
    st.builds(said, INTENTS),
    st.builds(lambda name: ActionExecuted(name="utter_greet", metadata={"reminder": name}), NAMES),
    st.just(ActionExecuted(name=LISTEN)),
    st.just(SlotSet(name="x", value=1)),
)
EVENTS = st.lists(
    st.one_of(REMINDERS, SCHEDULED, CANCELLED, EXTERNAL, OTHERS, st.just(Restarted()), st.just(SessionStarted())),
    max_size=12,
)


def removes(event: Event, one: ReminderScheduled, others: Sequence[ReminderScheduled]) -> bool:
    """Whether a reminder no longer stands after this event; `others` stand beside it."""
    is_scheduled = "scheduled_action" in one.metadata
    match event:
        case ReminderScheduled():
            return event.key == one.key
        case ReminderCancelled(name=name, intent=intent, entities=entities):
            if is_scheduled:
                return name == one.key
            pairs = ((name, one.key), (intent, one.intent), (entities, one.entities))
            return all(wanted == there for wanted, there in pairs if wanted)
        case UserUttered() if not event.metadata.get("is_external"):
            return one.kill_on_user_msg and not is_scheduled
        case UserUttered() | ActionExecuted() if "reminder" in event.metadata:
            return bool(event.metadata["reminder"] == one.key)
        case UserUttered():
            alike = [other for other in others if other.intent == event.intent_name and not other.action]
            due = sorted((other for other in alike if other.due <= event.timestamp), key=lambda other: other.due)
            return due[:1] == [one] and due[0] is one
        case Restarted():
            return not is_scheduled
    return False


@settings(max_examples=500, deadline=None)
@given(EVENTS)
def test_a_reminder_stands_until_an_event_removes_it(events: list[Event]) -> None:
    standing: list[ReminderScheduled] = []
    for event in events:
        standing = [one for one in standing if not removes(event, one, standing)]
        if isinstance(event, ReminderScheduled):
            standing.append(event)
    assert list(told(*events).reminders.values()) == standing
    assert [one.timestamp for one in told(*events).reminders.values()] == [one.timestamp for one in standing]


@settings(max_examples=300, deadline=None)
@given(EVENTS, EVENTS)
def test_reminders_read_from_a_snapshot_go_on_as_if_they_had_stayed(first: list[Event], then: list[Event]) -> None:
    stayed = told(*first)
    kept = orjson.loads(orjson.dumps(stayed.to_json(), default=dict))
    loaded = Tracker.from_json(kept, DOMAIN, stayed.events)
    stayed.apply_all(then)
    loaded.apply_all(then)
    assert list(loaded.reminders.items()) == list(stayed.reminders.items())
    assert timers({}, loaded, DOMAIN) == timers({}, stayed, DOMAIN)


TURNS = st.lists(
    st.builds(
        lambda message, events: [ActionExecuted(name=LISTEN), message, *events],
        st.one_of(st.builds(said, INTENTS), EXTERNAL),
        st.lists(st.one_of(REMINDERS, SCHEDULED, CANCELLED, st.just(ActionExecuted(name="utter_greet"))), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(TURNS)
def test_taking_a_message_back_drops_the_reminders_that_came_of_it(turns: list[list[Event]]) -> None:
    events = [event for turn in turns for event in turn]
    before, now = told(*(event for turn in turns[:-1] for event in turn)), told(*events)
    wanted = {key: one for key, one in now.reminders.items() if key in before.reminders or one.action}
    assert told(*events, UserUtteranceReverted()).reminders == wanted
    told_again = Tracker.from_json(orjson.loads(orjson.dumps(now.to_json(), default=dict)), DOMAIN, now.events)
    told_again.apply(UserUtteranceReverted())
    assert told_again.reminders == wanted


def test_an_action_that_is_taken_back_takes_its_reminder_along() -> None:
    tracker = told(
        reminder("old"), SessionStarted(), said(), ActionExecuted(name="action_x"), reminder("new"), ActionReverted()
    )
    assert not tracker.reminders
    kept = told(
        reminder("old", kill_on_user_msg=False), SessionStarted(), said(), ActionExecuted(name="a"), reminder("new"),
        ActionReverted(),
    )  # fmt: skip
    assert list(kept.reminders) == ["old"]


def test_a_snapshot_of_an_earlier_version_has_no_reminders() -> None:
    kept = orjson.loads(orjson.dumps(told(reminder()).to_json(), default=dict))
    del kept["reminders"], kept["session_ended"]
    loaded = Tracker.from_json(kept, DOMAIN)
    assert not loaded.reminders
    assert not loaded.session_ended


def test_there_is_a_limit_and_what_is_beyond_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tracker = told(*(reminder(str(number)) for number in range(MOST_REMINDERS + 1)), reminder("5", at=LONG_AGO))
    assert len(tracker.reminders) == MOST_REMINDERS
    assert tracker.reminders["5"].date_time == LONG_AGO
    assert "conversation rest:anna: a reminder is dropped: there are 100 already" in caplog.text


def test_a_reminder_at_no_time_is_refused_where_it_comes_in_and_dropped_where_it_is_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for at in ("tomorrow", "", None, 5, "2099-13-01T00:00:00"):
        with pytest.raises(DataError, match="'date_time' of the event 'reminder' must be a time as ISO 8601"):
            read_event({"event": "reminder", "intent": "greet", "date_time": at})
    assert not told(reminder(at="tomorrow")).reminders
    assert "a reminder is dropped" in caplog.text
    assert "tomorrow" not in caplog.text


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
def test_a_time_without_a_zone_is_this_machines() -> None:
    def read(at: str) -> str:
        return datetime.fromtimestamp(reminder(at=at).due, UTC).isoformat()

    assert read("2030-07-01T09:00:00") == "2030-07-01T07:00:00+00:00"
    assert read("2030-01-01T09:00:00") == "2030-01-01T08:00:00+00:00"
    assert read("2030-01-01T09:00:00Z") == "2030-01-01T09:00:00+00:00"
    assert read("2030-01-01T09:00:00.5+05:30") == "2030-01-01T03:30:00.500000+00:00"


def test_a_reminder_without_a_name_has_one_that_stays() -> None:
    one = reminder(None)
    assert event_from_json(orjson.loads(orjson.dumps(event_to_json(one)))).key == one.key  # type: ignore[attr-defined]
    assert reminder(None, timestamp=1.0).key != reminder(None, timestamp=2.0).key


# ---- which timers the store needs ----------------------------------------------------------------


def names(found: tuple[Timer, ...]) -> dict[str, bool]:
    """Timer → whether it is set (or cancelled)."""
    return {timer.name: timer.message is not None for timer in found}


def test_a_turn_sets_what_is_new_and_cancels_what_is_gone() -> None:
    tracker = told(said(), reminder("stays", kill_on_user_msg=False), reminder("goes"), reminder("moves"))
    before = tracker.reminders
    tracker.apply_all([said(), reminder("comes"), reminder("moves", at=LONG_AGO)])
    assert names(timers(before, tracker, DOMAIN)) == {
        "reminder:comes": True,
        "reminder:moves": True,
        "reminder:goes": False,
        "session": True,
    }


def test_a_reminder_that_is_set_again_is_another_one() -> None:
    first, again = (timers({}, told(reminder("tea", timestamp=at)), DOMAIN)[0] for at in (1.0, 2.0))
    assert first.message
    assert again.message
    assert first.message.message_id != again.message.message_id
    assert first.due == again.due == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert first.message.conversation_id == "rest:anna"


def test_a_session_ends_after_the_silence_that_the_domain_says() -> None:
    heard = said()
    (timer,) = timers({}, told(heard), Domain(session=SessionConfig(expiration_minutes=5)))
    assert timer.due == heard.timestamp + 300
    assert not timers({}, told(heard), Domain(session=SessionConfig(expiration_minutes=0)))
    assert names(timers({}, told(heard, Restarted()), DOMAIN)) == {"session": False}
    assert names(timers({}, told(heard, SessionEnded()), DOMAIN)) == {"session": False}
    assert names(timers({}, told(heard, SessionEnded(), said()), DOMAIN)) == {"session": True}


# ---- when a timer is due -------------------------------------------------------------------------


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def fire(assistant: Assistant) -> None:
    """Wait for the next timer, and take its turn."""
    work = await assistant.store.ready()
    lease = await assistant.store.claim(work.conversation_id)
    assert lease
    assert lease.messages[0].kind != "message"
    await assistant.work(lease)


async def put(assistant: Assistant, *events: Event) -> None:
    await conversations.append(assistant, "rest:anna", events)


async def history(assistant: Assistant) -> list[Event]:
    return await assistant.store.events("rest:anna")


def replies(events: Sequence[Event]) -> list[str | None]:
    return [event.text for event in events if isinstance(event, BotUttered)]


def soon() -> str:
    return datetime.fromtimestamp(time.time() + 0.05, UTC).isoformat()


async def test_a_reminder_is_a_message_that_nobody_wrote(assistant: Assistant) -> None:
    await assistant.handle(UserMessage(text="hours", sender_id="anna"))
    before = len(await history(assistant))
    await put(assistant, reminder("tea", at=soon(), entities={"what": "tea"}))
    await fire(assistant)
    events = (await history(assistant))[before + 1 :]
    heard = events[0]
    assert isinstance(heard, UserUttered)
    assert heard.text == "EXTERNAL: greet"
    assert heard.metadata == {"is_external": True, "reminder": "tea"}
    assert heard.entities == [{"entity": "what", "value": "tea"}]
    assert heard.input_channel == "rest"
    assert replies(events) == ["Hello from the shop."]
    assert not (await assistant.tracker("rest:anna")).reminders


async def test_a_reminder_in_the_past_fires_at_once(assistant: Assistant) -> None:
    await put(assistant, reminder(at=LONG_AGO))
    await fire(assistant)
    assert replies(await history(assistant)) == ["Hello from the shop."]


async def test_a_reminder_of_an_earlier_session_begins_a_new_one(assistant: Assistant) -> None:
    await put(assistant, reminder(at=LONG_AGO), SessionEnded())
    before = len(await history(assistant))
    await fire(assistant)
    events = (await history(assistant))[before:]
    assert [event.kind for event in events][:4] == ["action", "session_started", "action", "user"]
    assert replies(events) == ["Hello from the shop."]


REASONS: Mapping[str, Callable[[], Event]] = {
    "a customer's message": said,
    "a cancellation": lambda: ReminderCancelled(name="tea"),
    "a restart": Restarted,
    "another one of its name": lambda: reminder("tea", at=LATER),
}


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reminder_that_no_longer_stands_does_nothing(reason: str, assistant: Assistant) -> None:
    await put(assistant, reminder("tea", at=LONG_AGO))
    work = await assistant.store.ready()  # it is in the inbox now, and too late to be stopped there
    await put(assistant, REASONS[reason]())
    before = await history(assistant)
    lease = await assistant.store.claim(work.conversation_id)
    assert lease
    await assistant.work(lease)
    assert await history(assistant) == before
    assert await assistant.store.pending() == []


async def test_a_scheduled_message_is_sent_and_leaves_the_dialogue_as_it_is(assistant: Assistant) -> None:
    await assistant.handle(UserMessage(text="hours", sender_id="anna"))
    states = (await assistant.tracker("rest:anna")).state()
    await put(assistant, ReminderScheduled.of_action("utter_order", soon(), "visit"))
    assert await assistant.handle(UserMessage(text="hours", sender_id="anna"))  # which does not cancel it
    await fire(assistant)
    tracker = await assistant.tracker("rest:anna")
    assert replies(tracker.events)[-1] == "Shall I order it?"
    assert not tracker.reminders
    assert tracker.state() == states
    said_then = await assistant.handle(UserMessage(text="hello", sender_id="anna"))
    assert [message.text for message in said_then] == ["Hello from the shop."]


async def test_a_scheduled_message_that_the_bot_cannot_send_is_set_aside(
    assistant: Assistant, caplog: pytest.LogCaptureFixture
) -> None:
    await put(assistant, ReminderScheduled.of_action("utter_nothing", LONG_AGO, "visit"))
    for _ in range(4):
        await fire(assistant)
    (letter,) = await assistant.store.dead_letters()
    assert letter.content.kind == "scheduled"  # type: ignore[union-attr]
    assert replies(await history(assistant)) == []
    assert "there is no action called 'utter_nothing'" in caplog.text


BRIEF = SessionConfig(expiration_minutes=1 / 60)
"""Longer than a turn takes."""


async def test_a_session_ends_at_its_time_and_the_next_message_begins_another(assistant: Assistant) -> None:
    assistant.domain = replace(assistant.domain, session=BRIEF)
    await assistant.handle(UserMessage(text="hours", sender_id="anna"))
    await fire(assistant)
    events = await history(assistant)
    assert isinstance(events[-1], SessionEnded)
    assistant.domain = replace(assistant.domain, session=SessionConfig())
    await assistant.handle(UserMessage(text="hours", sender_id="anna"))
    next_ones = [event.kind for event in (await history(assistant))[len(events) :]]
    assert next_ones[:3] == ["action", "session_started", "action"]


async def test_a_session_in_which_more_was_said_goes_on(assistant: Assistant) -> None:
    assistant.domain = replace(assistant.domain, session=BRIEF)
    await assistant.handle(UserMessage(text="hours", sender_id="anna"))
    work = await assistant.store.ready()  # the end of the session is in the inbox
    await put(assistant, said())
    lease = await assistant.store.claim(work.conversation_id)
    assert lease
    await assistant.work(lease)
    assert not any(isinstance(event, SessionEnded) for event in await history(assistant))


# ---- restarts ------------------------------------------------------------------------------------


async def test_a_reminder_fires_once_whatever_restarts(tmp_path: Path, make: Callable[..., Assistant]) -> None:
    from bot.stores.sqlite import SQLiteStore

    async def run(steps: Callable[[Assistant], Any]) -> None:
        assistant = make(SQLiteStore(tmp_path / "conversations.db"))
        await assistant.start()
        await steps(assistant)
        await assistant.close()

    async def take_in(assistant: Assistant) -> None:
        await assistant.store.ready()  # and die with it in the inbox

    async def see(assistant: Assistant) -> None:
        assert replies(await history(assistant)) == ["Hello from the shop."]
        assert await assistant.store.pending() == []
        assert not (await assistant.tracker("rest:anna")).reminders

    await run(lambda assistant: put(assistant, reminder("tea", at=soon())))
    await run(take_in)
    await run(fire)
    await run(see)


# ---- conversations from elsewhere ----------------------------------------------------------------


def test_what_comes_from_elsewhere_sets_only_what_is_still_ahead() -> None:
    heard = replace(said(), timestamp=1.0)
    tracker = told(heard, reminder("missed", at=LONG_AGO), reminder("ahead"))
    assert names(timers_ahead(tracker, DOMAIN)) == {"reminder:ahead": True}


async def test_a_history_that_is_put_in_place_of_another_has_its_own_reminders(assistant: Assistant) -> None:
    await put(assistant, reminder("old", at=soon()))
    new = ReminderScheduled(intent="hours", date_time=soon(), name="new", kill_on_user_msg=False)
    await conversations.replace(assistant, "rest:anna", [ActionExecuted(name=LISTEN), new])
    while (await assistant.tracker("rest:anna")).reminders:
        await fire(assistant)  # the old one's time, too, may bring nothing but itself
    assert replies(await history(assistant)) == ["We open at nine.\n\nWe close at six."]
