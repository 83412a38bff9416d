"""Responses that say nothing, name what is not there, or miss a language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from bot.domain import DEFAULT_INTENTS, Domain, Response
from bot.errors import suggest
from bot.messages import BotMessage
from bot.responses import fill_text
from bot.training_data import ActionStep, SlotStep
from bot.validation.finding import Finding, error, warning
from bot.validation.names import all_dialogues, all_steps
from bot.validation.rules import possible

if TYPE_CHECKING:
    from bot.project import Project

_VARIABLE = re.compile(r"(?<!\{)\{(?P<name>[^\n{}]+?)\}(?!\})")
_PAYLOAD = re.compile(r"/(?P<intent>[^{@]+)(?:@[0-9.]+)?(?P<entities>{.*})?\Z", re.DOTALL)


def check_responses(project: Project) -> Iterator[Finding]:
    """Every variation of every response."""
    domain = project.domain
    said = _said_without_code(project)
    for name, variations in domain.responses.items():
        if not variations:
            continue
        for one in variations:
            messages = (one.message, *one.translation.values())
            if not any(_says_something(message) for message in messages):
                yield warning("response", f"response '{name}' says nothing: give it a text", one.source)
            if name in said:
                yield from _variables(name, one, messages, domain)
            for message in messages:
                for button in (*message.buttons, *message.quick_replies):
                    yield from _button(name, button, one, domain)
            yield from _condition_values(name, one, domain)
            yield from _languages(name, one, project.config.languages)
        yield from _reach(name, variations)


def _says_something(message: BotMessage) -> bool:
    parts = (message.text, message.buttons, message.image, message.attachment, message.elements, message.quick_replies)
    return any(parts) or bool(message.custom)


def _said_without_code(project: Project) -> set[str]:
    """Responses that a story, rule or form leads to: none but slots fill their `{variables}`."""
    steps = [step for one in all_dialogues(project) for step in all_steps(one)]
    found = {step.name or "" for step in steps if isinstance(step, ActionStep)}
    for form in project.domain.forms.values():
        for slot in form.required_slots:
            found |= {f"utter_ask_{slot}", f"utter_ask_{form.name}_{slot}"}
    # An action may take the place of a response, and say it with values of its own.
    return found - set(project.domain.actions)


def _variables(name: str, response: Response, messages: Iterable[BotMessage], domain: Domain) -> Iterator[Finding]:
    told: set[str] = set()
    for message in messages:
        for text in _texts((message.text, message.image, message.buttons)):
            for variable in (match["name"] for match in _VARIABLE.finditer(text)):
                # `/order{"size": "big"}` of a button is no variable.
                if variable not in domain.slots and variable not in told and '"' not in variable:
                    told.add(variable)
                    hint = suggest(variable, domain.slots)
                    text = f"response '{name}' says '{{{variable}}}', and there is no such slot.{hint}"
                    yield warning("response-variable", text, response.source)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _button(name: str, button: Mapping[str, Any], response: Response, domain: Domain) -> Iterator[Finding]:
    payload = button.get("payload")
    # As it is sent, with something in every slot.
    sent = fill_text(payload, dict.fromkeys(domain.slots, "0")) if isinstance(payload, str) else ""
    match = _PAYLOAD.match(sent)
    if match is None:
        return
    what = f"the button '{button.get('title')}' of response '{name}'"
    intent = match["intent"].strip().split("/")[0]
    if "{" not in intent and intent not in domain.intents and intent not in DEFAULT_INTENTS:
        message = f"{what} says the intent '{intent}', which the domain does not have.{suggest(intent, domain.intents)}"
        yield error("button", message, response.source)
    text = match["entities"]
    if not text:
        return
    try:
        entities = orjson.loads(text)
    except ValueError:
        message = f"{what} has entities that are no JSON and are passed over: {text}"
        yield warning("button", message, response.source)
        return
    for entity in entities if isinstance(entities, dict) else ():
        if entity not in domain.entities:
            message = (
                f"{what} sets the entity '{entity}', which the domain does not have.{suggest(entity, domain.entities)}"
            )
            yield warning("button", message, response.source)


def _condition_values(name: str, response: Response, domain: Domain) -> Iterator[Finding]:
    for condition in response.conditions:
        slot = domain.slots.get(condition.slot)
        if slot and slot.type in ("categorical", "bool") and not possible(slot, SlotStep(slot.name, condition.value)):
            values = ", ".join(map(str, slot.values)) or "true, false"
            message = (
                f"response '{name}' waits for the slot '{slot.name}' to be '{condition.value}'. It is one of: {values}."
            )
            yield warning("response", message, response.source)


def _languages(name: str, response: Response, languages: Sequence[str]) -> Iterator[Finding]:
    """What is written in one of the project's languages and lacks another (the first is that of the text itself)."""
    missing = [language for language in languages[1:] if language not in response.translation]
    if response.message.text and missing and any(character.isalpha() for character in response.message.text):
        message = f"response '{name}' has no translation for {', '.join(missing)}: it is said in '{languages[0]}'"
        yield warning("translation", message, response.source)


def _reach(name: str, variations: Sequence[Response]) -> Iterator[Finding]:
    """Whether somebody on any channel, with any slots, hears something."""
    if all(one.channel for one in variations):
        channels = ", ".join(sorted({one.channel or "" for one in variations}))
        message = f"response '{name}' is for {channels} alone: on other channels nothing is said"
        yield warning("response", message, variations[0].source)
    elif all(one.conditions for one in variations if not one.channel):
        message = f"response '{name}' has conditions only: where none of them holds, nothing is said"
        yield warning("response", message, variations[0].source)
