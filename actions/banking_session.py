"""Who is speaking, a new request, and the end of a session."""

from __future__ import annotations

from collections.abc import Sequence

from bot.events import ActionExecuted, ActiveLoopChanged, Event, SessionStarted
from bot.interfaces import Action, Dispatcher
from bot.tracker import Tracker

from .banking_identification import Domain
from .banking_request import FLOW_SLOTS, forget
from .core_banking import get_bank


class ActionNewRequest(Action):
    """Before a form: what an earlier request left behind is forgotten, and a form left for this one is put aside."""

    def name(self) -> str:
        return "action_new_request"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        loop = tracker.active_loop
        asked = tracker.latest_message.intent_name if tracker.latest_message else None
        if loop is not None:
            if ((loop.trigger_message or {}).get("intent") or {}).get("name") == asked:
                return []
            dispatcher.utter_message(response="utter_put_aside")
            return [*forget(*FLOW_SLOTS, "requested_slot"), ActiveLoopChanged(name=None)]
        unfinished = () if tracker.get_slot("customer_id") else ("customer_number", "challenge")
        return forget(*FLOW_SLOTS, *unfinished)


class ActionSessionStart(Action):
    """A new session: nothing is carried over, and a customer who was in the middle of something is told so."""

    def name(self) -> str:
        return "action_session_start"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        if tracker.active_loop is not None and not tracker.paused:
            dispatcher.utter_message(response="utter_session_expired")
        return [SessionStarted(), ActionExecuted(name="action_listen")]


class AskCustomerNumber(Action):
    """Asks who it is. A demo says whom one can be."""

    def name(self) -> str:
        return "action_ask_customer_number"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        dispatcher.utter_message(response="utter_customer_number")
        if numbers := get_bank().demo_customers:
            dispatcher.utter_message(response="utter_demo_customers", numbers=", ".join(numbers))
        return []


class ActionWhoAmI(Action):
    """Says as whom the customer is identified."""

    def name(self) -> str:
        return "action_who_am_i"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        customer_id = tracker.get_slot("customer_id")
        if customer_id:
            customer = await get_bank().customer(customer_id)
            dispatcher.utter_message(response="utter_you_are", name=customer.name)
        else:
            dispatcher.utter_message(response="utter_you_are_nobody")
        return []


class ActionLogOut(Action):
    """Forgets who the customer is, and whatever was in progress."""

    def name(self) -> str:
        return "action_log_out"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        loop = [] if tracker.active_loop is None else [ActiveLoopChanged(name=None)]
        if loop:
            dispatcher.utter_message(response="utter_put_aside")
        dispatcher.utter_message(
            response="utter_logged_out" if tracker.get_slot("customer_id") else "utter_not_logged_in"
        )
        return [*forget(*FLOW_SLOTS, "customer_id", "customer_number", "challenge", "requested_slot"), *loop]
