"""What the bot of the fault suite does: every answer names its question's number, so that none can stand for another.

The money moves in `action_transfer`, by the key that it is handed; `bank.py` counts how often that was tried.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bank
import sabotage

from bot.events import ReminderScheduled, SlotSet
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

THINKING = 0.3
"""Seconds."""
REMINDED = timedelta(seconds=2)


def number(text: str | None) -> str:
    """The last word of what was said: `transfer 12` is number 12."""
    return (text or "").rpartition(" ")[2]


class Pong(Action):
    def name(self) -> str:
        return "action_pong"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        text = tracker.latest_message.text if tracker.latest_message else None
        # Several, where they were typed in a row.
        for line in (text or "").splitlines():
            which = number(line)
            if line.startswith("pay"):
                # One action, several effects: each has a key of its own, from the one that was handed.
                await _transfer(f"{tracker.idempotency_key}:{which}", tracker.conversation_id, int(which))
                dispatcher.utter_message(text=f"paid {which}")
            else:
                dispatcher.utter_message(text=f"pong {which}, one of two")
                dispatcher.utter_message(text=f"pong {which}, two of two")
        return []


class Think(Action):
    def name(self) -> str:
        return "action_think"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        which = number(tracker.latest_message.text if tracker.latest_message else None)
        await asyncio.sleep(THINKING)
        dispatcher.utter_message(text=f"thought about {which}")
        return []


class Remind(Action):
    def name(self) -> str:
        return "action_remind"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        which = number(tracker.latest_message.text if tracker.latest_message else None)
        dispatcher.utter_message(text=f"shall remind you of {which}")
        due = datetime.now(UTC) + REMINDED
        entities = {"which": which}
        return [ReminderScheduled("due", due.isoformat(), entities, name=which, kill_on_user_msg=False)]


class Remember(Action):
    """A reminder is due."""

    def name(self) -> str:
        return "action_remember"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        entities = tracker.latest_message.entities if tracker.latest_message else []
        which = next(str(one["value"]) for one in entities if one["entity"] == "which")
        sabotage.passage("reminder.before", tracker.conversation_id, which)
        dispatcher.utter_message(text=f"remember {which}")
        return []


class AskAmount(Action):
    def name(self) -> str:
        return "action_ask_amount"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        which = number(tracker.latest_message.text if tracker.latest_message else None)
        dispatcher.utter_message(text=f"how much, for {which}?")
        return []


class AskPayee(Action):
    def name(self) -> str:
        return "action_ask_payee"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        dispatcher.utter_message(text=f"to whom do {number(tracker.slots['amount'])} go?")
        return []


class Transfer(Action):
    def name(self) -> str:
        return "action_transfer"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        amount, payee = number(tracker.slots["amount"]), number(tracker.slots["payee"])
        said = tracker.latest_message.message_id if tracker.latest_message else None
        sabotage.passage("effect.before", tracker.conversation_id, said)
        await _transfer(tracker.idempotency_key, tracker.conversation_id, int(amount))
        sabotage.passage("effect.after", tracker.conversation_id, said)
        dispatcher.utter_message(text=f"{amount} went to {payee}")
        return []


async def _transfer(key: str, conversation_id: str, amount: int) -> None:
    """The bank is on the same disk: while that is full, it is asked again."""
    while True:
        try:
            return bank.transfer(os.environ["FAULTS_BANK"], key, conversation_id, amount)
        except sqlite3.OperationalError:
            await asyncio.sleep(0.05)


class Receipt(Action):
    """Another action after the money has moved: a turn that dies here must not move it again."""

    def name(self) -> str:
        return "action_receipt"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]) -> list[Any]:
        dispatcher.utter_message(text=f"receipt for {number(tracker.slots['amount'])}")
        return [SlotSet(name="amount", value=None), SlotSet(name="payee", value=None)]
