from rasa_sdk import Action, FormValidationAction


class Cancel(Action):
    def name(self):
        return "action_cancel"

    def run(self, dispatcher, tracker, domain):
        raise KeyError("no order")


class ValidatePizza(FormValidationAction):
    def name(self):
        return "validate_pizza_form"

    def validate_topping(self, value, dispatcher, tracker, domain):
        if value == "ham":
            dispatcher.utter_message(text="There is no ham today.")
            return {"topping": None}
        return {"topping": value}
