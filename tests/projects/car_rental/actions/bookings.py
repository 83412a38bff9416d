"""Quotes, bookings, drivers and payments."""

from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from actions import database

PRICES = {"small": 29.0, "estate": 45.0, "van": 62.0}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
OLD_ENOUGH_FOR_A_VAN = 23
OF_A_BOOKING = (
    "journey",
    "pickup_city",
    "dropoff_city",
    "start_date",
    "car_class",
    "extras",
    "wants_cover",
    "driver_age",
)


def first_number(text: Any) -> float | None:
    """The first number in a text, in digits or as a word."""
    for word in str(text).lower().replace("-", " ").split():
        if word.isdigit():
            return float(word)
        if word in NUMBERS:
            return float(NUMBERS[word])
    return None


class ValidateBookingForm(FormValidationAction):
    def name(self) -> str:
        return "validate_booking_form"

    async def required_slots(
        self,
        domain_slots: list[str],
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: DomainDict,
    ) -> list[str]:
        if tracker.slots.get("car_class") == "van":
            return domain_slots
        return [name for name in domain_slots if name != "driver_age"]

    async def extract_driver_age(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if tracker.slots.get("requested_slot") != "driver_age":
            return {}
        return {"driver_age": first_number(tracker.latest_message.get("text"))}

    def validate_driver_age(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        if slot_value is None or slot_value >= OLD_ENOUGH_FOR_A_VAN:
            return {"driver_age": slot_value}
        dispatcher.utter_message(response="utter_too_young")
        return {"driver_age": None, "car_class": None}

    def validate_car_class(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        return {"car_class": slot_value if slot_value in PRICES else None}


class BookCar(Action):
    def name(self) -> str:
        return "action_book_car"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = database.book(
            str(tracker.get_slot("pickup_city")),
            str(tracker.get_slot("dropoff_city")),
            str(tracker.get_slot("start_date")),
            str(tracker.get_slot("car_class")),
            bool(tracker.get_slot("wants_cover")),
            tracker.get_slot("extras") or [],
        )
        dispatcher.utter_message(text=f"Booked: {number}.")
        return [*(SlotSet(name, None) for name in OF_A_BOOKING), SlotSet("booking_number", number)]


class ValidateQuoteForm(FormValidationAction):
    def name(self) -> str:
        return "validate_quote_form"

    def validate_days(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        return {"days": first_number(slot_value)}


class Quote(Action):
    def name(self) -> str:
        return "action_quote"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        car, days = str(tracker.get_slot("car_class")), float(tracker.get_slot("days") or 1)
        price = PRICES.get(car, 0) * days
        dispatcher.utter_message(text=f"{days:.0f} days with a car of class {car} are {price:.2f} pounds.")
        return [SlotSet("days", None), SlotSet("car_class", None)]


class FindBooking(Action):
    def name(self) -> str:
        return "action_find_booking"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = tracker.get_slot("booking_number")
        return [SlotSet("booking_found", bool(number and database.find_booking(number)))]


class ShowBooking(Action):
    def name(self) -> str:
        return "action_show_booking"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        number = tracker.get_slot("booking_number")
        found = database.find_booking(number) if number else None
        if found is None:
            dispatcher.utter_message(response="utter_no_such_booking")
        else:
            dispatcher.utter_message(text="{}: from {} to {}, from {} on, class {}.".format(number, *found))
        return []


class ExtendRental(Action):
    def name(self) -> str:
        return "action_extend_rental"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        dispatcher.utter_message(text="Bring it back when you like, we count the days.")
        return []


class CancelBooking(Action):
    def name(self) -> str:
        return "action_cancel_booking"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        database.cancel(str(tracker.get_slot("booking_number")))
        dispatcher.utter_message(text="{} is cancelled.".format(tracker.get_slot("booking_number")))
        return [SlotSet("booking_number", None), SlotSet("booking_found", None)]


class AddDriver(Action):
    def name(self) -> str:
        return "action_add_driver"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        if tracker.get_slot("main_driver") and tracker.get_slot("second_driver"):
            dispatcher.utter_message(response="utter_drivers")
        else:
            dispatcher.utter_message(text="Tell me both names: the drivers are Carl and Dora.")
        return []


class ValidatePaymentForm(FormValidationAction):
    def name(self) -> str:
        return "validate_payment_form"

    async def required_slots(
        self,
        domain_slots: list[str],
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: DomainDict,
    ) -> list[str]:
        if tracker.slots.get("method") == "card":
            return domain_slots
        return [name for name in domain_slots if name != "card_digits"]

    def validate_card_digits(
        self, slot_value: Any, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any]:
        digits = str(slot_value).strip()
        return {"card_digits": digits if len(digits) == 4 and digits.isdigit() else None}


class Pay(Action):
    def name(self) -> str:
        return "action_pay"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        paid = bool(tracker.get_slot("payment_confirmed"))
        return [SlotSet(name, None) for name in ("method", "card_digits", "payment_confirmed")] + [
            SlotSet("paid", paid)
        ]
