"""Claims for damage."""

from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from actions import database


class ValidateDamageForm(FormValidationAction):
    def name(self) -> str:
        return "validate_damage_form"

    async def required_slots(
        self,
        domain_slots: list[str],
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: DomainDict,
    ) -> list[str]:
        if tracker.slots.get("other_car"):
            return domain_slots
        return [name for name in domain_slots if name != "other_plate"]

    def validate_damage_text(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if len(str(slot_value)) > 8:
            return {"damage_text": slot_value}
        dispatcher.utter_message(text="A few words more, please.")
        return {"damage_text": None}


class NoteClaim(Action):
    def name(self) -> str:
        return "action_note_claim"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = database.note_claim(
            str(tracker.get_slot("part")), str(tracker.get_slot("damage_text")), tracker.get_slot("other_plate")
        )
        emptied = [SlotSet(name, None) for name in ("part", "damage_text", "other_car", "other_plate")]
        return [*emptied, SlotSet("claim_number", number)]
