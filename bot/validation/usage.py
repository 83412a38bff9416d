"""What nothing leads to: intents, responses and entities that are written and never used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.domain import DEFAULT_INTENTS
from bot.validation.code import names_in_code
from bot.validation.finding import Finding, warning
from bot.validation.names import all_dialogues, all_steps, names_in

if TYPE_CHECKING:
    from bot.project import Project

_SAID_BY_DEFAULT = (
    *("utter_restart", "utter_back", "utter_default", "utter_ask_rephrase", "utter_error", "utter_session_start"),
)


def check_usage(project: Project) -> Iterator[Finding]:
    """Intents and responses that no story, rule, form, mapping or code leads to."""
    domain = project.domain
    intents: set[str] = set()
    actions: set[str] = set(_SAID_BY_DEFAULT)
    for dialogue in all_dialogues(project):
        for step in all_steps(dialogue):
            for kind, name in names_in(step):
                (intents if kind == "intent" else actions).add(name)
    for slot in domain.slots.values():
        for mapping in slot.mappings:
            intents.update((*mapping.intent, *mapping.not_intent))
    for form in domain.forms.values():
        intents.update(form.ignored_intents)
        for asked in form.required_slots:
            actions |= {f"utter_ask_{asked}", f"utter_ask_{form.name}_{asked}"}
        if f"validate_{form.name}" in domain.actions:
            # Its validation may ask for any slot.
            actions |= {f"utter_ask_{of}{slot}" for slot in domain.slots for of in ("", f"{form.name}_")}
    for name, spec in domain.intents.items():
        if name not in intents and name not in DEFAULT_INTENTS:
            yield warning("unused-intent", f"intent '{name}' is in no story, rule or slot mapping", spec.source)
    code = names_in_code(project)
    for name, variations in domain.responses.items():
        used = name in actions or name.split("/")[0] in actions or code.may_say(name)
        if not used and variations:
            message = f"response '{name}' is never used: no story, rule, form or code of the project says it"
            yield warning("unused-response", message, variations[0].source)
