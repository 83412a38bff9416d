"""How a session begins, and how it goes over to a person."""

from rasa_sdk import Action, Tracker
from rasa_sdk.events import ActionExecuted, ConversationPaused, EventType, SessionStarted, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

KEPT = ("main_driver", "second_driver", "booking_number")


class SessionStart(Action):
    """Keeps the drivers and the booking, counts the visits, and welcomes whoever was here before."""

    def name(self) -> str:
        return "action_session_start"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        events: list[EventType] = [SessionStarted()]
        for name in KEPT:
            if tracker.get_slot(name) is not None:
                events.append(SlotSet(name, tracker.get_slot(name)))
        visits = (tracker.get_slot("visits") or 0) + 1
        events.append(SlotSet("visits", visits))
        if visits > 1:
            dispatcher.utter_message(response="utter_welcome_back")
        events.append(ActionExecuted("action_listen"))
        return events


class HumanAgent(Action):
    def name(self) -> str:
        return "action_human_agent"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        dispatcher.utter_message(text="One moment, a person is joining.")
        dispatcher.utter_message(json_message={"handoff": "counter"})
        return [ConversationPaused()]
