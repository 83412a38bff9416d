"""Passwords, calls, feedback and the way to a person."""

from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import ConversationPaused, EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from actions import database


class ValidatePasswordForm(FormValidationAction):
    def name(self) -> str:
        return "validate_password_form"

    def validate_employee_code(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        digits = "".join(character for character in str(slot_value) if character.isdigit())
        if len(digits) == 4:
            return {"employee_code": digits}
        dispatcher.utter_message(text="Four digits, please.")
        return {"employee_code": None}


class CheckIdentity(Action):
    def name(self) -> str:
        return "action_check_identity"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        known = database.knows(str(tracker.get_slot("account_email")), str(tracker.get_slot("employee_code")))
        return [SlotSet("identified", known), SlotSet("employee_code", None)]


class ExtractCallTime(Action):
    """Duckling's time of the latest message, whether it is a moment or the beginning of a span."""

    def name(self) -> str:
        return "action_extract_call_time"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        for value in tracker.get_latest_entity_values("time"):
            return [SlotSet("call_time", value["from"] if isinstance(value, dict) else value)]
        return []


class AskCallTime(Action):
    def name(self) -> str:
        return "action_ask_call_time"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        if tracker.get_slot("free_from"):
            dispatcher.utter_message(text="When exactly, from {} on?".format(tracker.get_slot("free_from")))
        else:
            dispatcher.utter_message(text="When may we call you?")
        return []


class BookCall(Action):
    def name(self) -> str:
        return "action_book_call"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        database.book_call(tracker.sender_id, str(tracker.get_slot("call_time")))
        return [SlotSet("call_time", None), SlotSet("free_from", None), SlotSet("free_until", None)]


class SaveFeedback(Action):
    def name(self) -> str:
        return "action_save_feedback"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        database.save_feedback(tracker.sender_id, bool(tracker.get_slot("satisfied")))
        return []


class HumanAgent(Action):
    def name(self) -> str:
        return "action_human_agent"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        dispatcher.utter_message(text="I am calling a person. Please wait here.")
        dispatcher.utter_message(json_message={"handoff": {"to": "it-desk", "conversation": tracker.sender_id}})
        return [ConversationPaused()]
