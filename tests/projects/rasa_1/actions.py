from rasa_sdk.forms import FormAction


class RestaurantForm(FormAction):
    def name(self):
        return "restaurant_form"

    @staticmethod
    def required_slots(tracker):
        if tracker.get_slot("cuisine") == "greek":
            return ["cuisine"]
        return ["cuisine", "people", "outdoor"]

    def slot_mappings(self):
        return {
            "people": [self.from_entity(entity="people", intent=["inform", "request_restaurant"]), self.from_text()],
            "outdoor": self.from_intent(True, intent="affirm"),
        }

    def submit(self, dispatcher, tracker, domain):
        dispatcher.utter_message(template="utter_submit")
        return []
