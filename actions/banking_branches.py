"""Branches, cash machines and their hours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bot.events import Event
from bot.interfaces import Action, Dispatcher, FormValidationAction
from bot.tracker import Tracker

from .banking_identification import Domain, Slots
from .banking_request import NAME, asked, forget
from .banking_words import language, matching_names
from .core_banking import Branch, get_bank

_HOURS = re.compile(
    r"\b(?:hours?|open|opening|clos\w*|shut|when|what time|how late)\b"
    r"|营业|[开关]门|开不开|几点|上班|下班|周末|周[六日]",
    re.IGNORECASE,
)


class BranchForm(FormValidationAction):
    """In which city. Nobody needs to be identified for that."""

    def name(self) -> str:
        return "validate_branch_form"

    async def extract_city(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        """A city we are in that the entity extractor missed."""
        message = tracker.latest_message
        if message is None or next(tracker.get_latest_entity_values("city"), None) is not None:
            return {}
        named = matching_names(_city_names(await get_bank().branches()), message.text)
        if len(named) == 1:
            return {"city": named[0]}
        text = (message.text or "").strip()
        is_place = message.intent_name in ("inform", "nlu_fallback") and not message.entities and NAME.fullmatch(text)
        return {"city": text} if is_place and tracker.get_slot("requested_slot") == "city" else {}

    async def validate_city(self, value: Any, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Slots:
        if value is None:
            return {"city": None}
        branches = await get_bank().branches()
        found = matching_names(_city_names(branches), value)
        if len(found) == 1:
            return {"city": found[0]}
        lang = language(tracker)
        cities = dict.fromkeys(branch.city[lang] for branch in branches)
        joined = ("、" if lang == "zh" else ", ").join(cities)
        dispatcher.utter_message(response="utter_no_branch", said=str(value)[:60], cities=joined)
        return {"city": None}


def _city_names(branches: Sequence[Branch]) -> dict[str, Sequence[str]]:
    return {branch.city["en"]: tuple(branch.city.values()) for branch in branches}


class AskCity(Action):
    """Asks for the city; whoever asks when the bank is open hears the usual hours first."""

    def name(self) -> str:
        return "action_ask_city"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        message = tracker.latest_message
        if message and message.intent_name == "find_branch" and _HOURS.search(message.text or ""):
            dispatcher.utter_message(response="utter_opening_hours")
        dispatcher.utter_message(response="utter_city")
        return []


class ActionFindBranch(Action):
    """Addresses and hours in a city; in the middle of another form, the usual hours where no city is named."""

    def name(self) -> str:
        return "action_find_branch"

    async def run(self, dispatcher: Dispatcher, tracker: Tracker, domain: Domain) -> Sequence[Event]:
        lang, named = language(tracker), asked(tracker, "city")
        if named is None:
            dispatcher.utter_message(response="utter_opening_hours")
            return []
        city = (await BranchForm().validate_city(named, dispatcher, tracker, domain))["city"]
        if city is None:
            return []
        branches = await get_bank().branches(city)
        lines = "\n".join(_branch_line(branch, lang) for branch in branches)
        dispatcher.utter_message(response="utter_branches", lines=lines, city=branches[0].city[lang])
        return forget("city")


def _branch_line(branch: Branch, lang: str) -> str:
    atm = ("，设有取款机" if lang == "zh" else ", with a cash machine") if branch.has_atm else ""
    separator = "：" if lang == "zh" else ": "
    return f"{branch.name}, {branch.address}{separator}{branch.hours[lang]}{atm}"
