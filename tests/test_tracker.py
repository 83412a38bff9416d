"""The fold: what events make of a conversation, and how what was said is taken back."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import Domain, FormSpec, IntentSpec, SlotSpec
from bot.events import (
    ActionExecuted,
    ActiveLoopChanged,
    BotUttered,
    ConversationPaused,
    Event,
    FollowupAction,
    Restarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
)
from bot.tracker import LISTEN, Tracker, applied_events

DOMAIN = Domain(
    intents={name: IntentSpec(name) for name in ("greet", "pay")},
    slots={"amount": SlotSpec("amount", "text"), "requested_slot": SlotSpec("requested_slot", "text")},
    forms={"form": FormSpec("form", ("amount",))},
)


def said(intent: str) -> UserUttered:
    return UserUttered(text=intent, parse_data={"intent": {"name": intent, "confidence": 1.0}, "entities": []})


TURNS: st.SearchStrategy[list[Event]] = st.lists(
    st.one_of(
        st.builds(lambda name: [ActionExecuted(name=LISTEN), said(name)], st.sampled_from(["greet", "pay"])),
        st.just([ActionExecuted(name="form"), ActiveLoopChanged(name="form")]),
        st.just([ActiveLoopChanged(name=None)]),
        st.just([ActionExecuted(name="utter_greet"), BotUttered(text="hi")]),
        st.builds(lambda value: [SlotSet(name="amount", value=value)], st.sampled_from([None, "5", "6"])),
        st.just([ConversationPaused()]),
        st.just([FollowupAction(name="utter_greet")]),
        st.just([Restarted()]),
        st.just([UserUtteranceReverted()]),
    ),
    max_size=14,
).map(lambda turns: [event for turn in turns for event in turn])


def state_of(tracker: Tracker, events: list[Event]) -> dict[str, Any]:
    """All that counts for the next turn, whichever way it came about out of `events`."""
    data = tracker.to_json()
    kept = {key: data[key] for key in data if key not in ("before_listening", "event_count", "latest_event_time")}
    if sum(isinstance(event, ActionExecuted) and event.name == "form" for event in events) > 1:
        # A form's second run swallows the message it took its answer from: told again, it was not there.
        del kept["latest_message"], kept["followup_action"]
        kept["active_loop"] = tracker.active_loop_name
    if any(isinstance(event, Restarted) for event in events):
        # A restart asks for a new session, which nothing that is left of the events says when it is taken back.
        kept.pop("followup_action", None)
    out: dict[str, Any] = orjson.loads(orjson.dumps(kept, default=str))
    if "followup_action" not in kept:
        for entry in out["history"]["entries"]:
            entry[3] = None  # whether the action was the one that was asked for to follow
    return out


@settings(max_examples=300, deadline=None)
@given(TURNS)
def test_taking_a_message_back_is_as_if_it_had_not_been(events: list[Event]) -> None:
    events = [*events, UserUtteranceReverted()]
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply_all(events)
    again = Tracker.new("rest:anna", DOMAIN)
    again.apply_all(applied_events(events))
    assert state_of(tracker, events) == state_of(again, events)


@settings(max_examples=300, deadline=None)
@given(TURNS, TURNS)
def test_a_conversation_read_from_its_snapshot_goes_on_as_if_it_had_stayed(
    first: list[Event], then: list[Event]
) -> None:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply_all(first)
    snapshot = orjson.loads(orjson.dumps(tracker.to_json(), default=str))
    loaded = Tracker.from_json(snapshot, DOMAIN, tracker.events)
    tracker.apply_all(then)
    loaded.apply_all(then)
    assert state_of(loaded, tracker.events) == state_of(tracker, tracker.events)


def test_the_latest_message_is_taken_back_without_reading_what_was_before() -> None:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply_all([ActionExecuted(name=LISTEN), said("greet"), ActionExecuted(name=LISTEN)])
    recent = tracker.events[-1:]  # all that a store may hand over of a long conversation
    tracker = Tracker.from_json(orjson.loads(orjson.dumps(tracker.to_json())), DOMAIN, recent)
    tracker.apply_all([said("pay"), SlotSet(name="amount", value="5"), UserUtteranceReverted()])
    assert tracker.latest_message is not None
    assert tracker.latest_message.intent_name == "greet"
    assert tracker.slots["amount"] is None


def test_a_form_that_the_domain_has_lost_no_longer_runs() -> None:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply_all([said("pay"), ActiveLoopChanged(name="form"), ActionExecuted(name=LISTEN)])
    kept = orjson.loads(orjson.dumps(tracker.to_json()))
    assert Tracker.from_json(kept, DOMAIN).active_loop_name == "form"
    later = Tracker.from_json(kept, Domain(intents=DOMAIN.intents, slots=DOMAIN.slots))
    assert later.active_loop_name is None
    later.apply_all([said("greet"), UserUtteranceReverted()])
    assert later.active_loop_name is None
