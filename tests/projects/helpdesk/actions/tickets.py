"""Opening, showing and closing tickets."""

import re
from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from actions import database

ADDRESS = re.compile(r"[\w.+-]+@example\.com")
NUMBER = re.compile(r"INC-\d{4,}", re.IGNORECASE)


class ValidateTicketForm(FormValidationAction):
    def name(self) -> str:
        return "validate_ticket_form"

    def validate_email(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if ADDRESS.fullmatch(str(slot_value).lower()):
            return {"email": str(slot_value).lower()}
        dispatcher.utter_message(response="utter_wrong_email")
        return {"email": None}

    def validate_problem(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if len(str(slot_value).split()) >= 3:
            return {"problem": slot_value}
        dispatcher.utter_message(response="utter_problem_too_short")
        return {"problem": None}

    def validate_priority(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        return {"priority": slot_value if slot_value in ("low", "medium", "high") else None}


class ValidateStatusForm(FormValidationAction):
    def name(self) -> str:
        return "validate_status_form"

    def validate_ticket_number(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if NUMBER.fullmatch(str(slot_value)):
            return {"ticket_number": str(slot_value).upper()}
        dispatcher.utter_message(text="Ticket numbers look like INC-1042.")
        return {"ticket_number": None}


class OpenTicket(Action):
    def name(self) -> str:
        return "action_open_ticket"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        events: list[EventType] = [SlotSet(name, None) for name in ("problem", "priority", "confirm_ticket")]
        if not tracker.get_slot("confirm_ticket"):
            dispatcher.utter_message(text="Then I leave it.")
            return events
        slots = (str(tracker.get_slot(name)) for name in ("email", "problem", "priority"))
        number = database.open_ticket(*slots)
        dispatcher.utter_message(text=f"The ticket is {number}. Somebody will write to you.")
        dispatcher.utter_message(response="utter_ask_feedback")
        return [*events, SlotSet("ticket_number", number)]


class TicketStatus(Action):
    def name(self) -> str:
        return "action_ticket_status"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = str(tracker.get_slot("ticket_number"))
        found = database.find_ticket(number)
        if found is None:
            dispatcher.utter_message(text=f"There is no ticket {number}.")
            return [SlotSet("ticket_state", "unknown"), SlotSet("ticket_number", None)]
        problem, state = found
        dispatcher.utter_message(text=f'{number} ("{problem}") is {state}.')
        return [SlotSet("ticket_state", state), SlotSet("ticket_number", None)]


class CloseTicket(Action):
    def name(self) -> str:
        return "action_close_ticket"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = next(tracker.get_latest_entity_values("ticket_number"), None) or tracker.get_slot("ticket_number")
        if number is None:
            dispatcher.utter_message(text="Which one? Say for instance: close INC-1042.")
        elif database.close_ticket(number):
            dispatcher.utter_message(text=f"{number.upper()} is closed.")
        else:
            dispatcher.utter_message(text=f"There is no ticket {number}.")
        return [SlotSet("ticket_number", None)]


class RequestDevice(Action):
    def name(self) -> str:
        return "action_request_device"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        if tracker.get_slot("device"):
            dispatcher.utter_message(response="utter_device_ordered")
        else:
            dispatcher.utter_message(response="utter_device_list")
        return [SlotSet("device", None)]
