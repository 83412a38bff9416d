"""Domains of Rasa 1 and 2 in the form of 3: each slot says what fills it.

What forms said about their slots, and what Rasa 2 filled from entities of the slot's name, become the slots'
`mappings`, exactly as `rasa data migrate` of 3.6 writes them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain import REQUESTED_SLOT
from bot.migration.form_actions import FormCode
from bot.migration.log import Log
from bot.migration.yaml_text import YamlText
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, plain

CUSTOM = {"type": "custom"}


@dataclass(slots=True)
class DomainFile:
    """One file of the domain, as it is written (`content`, with places) and as it will be (`text`)."""

    path: Path
    content: YamlMap
    text: YamlText


@dataclass(slots=True)
class DomainMigration:
    """What becomes of a domain in one or several files. `triggers` are intents and the actions that follow them."""

    files: list[DomainFile]
    log: Log
    form_code: Mapping[str, FormCode] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        for file in self.files:
            self._responses(file)
            self._actions(file)
            self._intents(file)
            self._slot_types(file)
        self._slots_and_forms()

    # ---- responses, actions, intents ----

    def _responses(self, file: DomainFile) -> None:
        """`templates` are `responses`, and each variation has keys."""
        content, text = file.content, file.text
        if "templates" in content:
            if "responses" in content:
                self.log.left(content.sources["templates"], "'templates' and 'responses' mean the same: join them")
                return
            text.rename("templates", "responses")
            self.log.changed(content.sources["templates"], "templates", "responses")
        key = "templates" if "templates" in content else "responses"
        section = content.get(key)
        if not isinstance(section, YamlMap):
            return
        for name, variations in section.items():
            written = plain(variations)
            as_list = written if isinstance(written, list) else [written]
            new = [{"text": one} if isinstance(one, str) else one for one in as_list]
            if new != written:
                text.replace(("responses", name), new)
                self.log.changed(section.sources[name], f"response '{name}': a text", "- text: …")

    def _actions(self, file: DomainFile) -> None:
        """`respond_faq` is `utter_faq` where there is an intent `faq`."""
        actions = file.content.get("actions")
        intents = {name for other in self.files for name, _ in _named(other.content.get("intents"))}
        if not isinstance(actions, YamlList):
            return
        for number, name in enumerate(actions):
            if isinstance(name, str) and name.startswith("respond_") and name.removeprefix("respond_") in intents:
                new = "utter_" + name.removeprefix("respond_")
                file.text.reword(("actions", number), new)
                self.log.changed(actions.sources[number], name, new)

    def _intents(self, file: DomainFile) -> None:
        """`triggers` become rules, which are not the domain's."""
        intents = file.content.get("intents")
        for number, item in enumerate(intents if isinstance(intents, list) else ()):
            for name, options in _named([item]):
                if isinstance(options, dict) and "triggers" in options:
                    action = str(options["triggers"])
                    self.triggers[name] = action
                    rest = {key: plain(value) for key, value in options.items() if key != "triggers"}
                    file.text.replace(("intents", number), {name: rest} if rest else name)
                    source = item[name].sources["triggers"]
                    self.log.changed(source, f"intent '{name}': triggers {action}", "a rule")

    def _slot_types(self, file: DomainFile) -> None:
        slots = file.content.get("slots")
        for name, slot in slots.items() if isinstance(slots, YamlMap) else ():
            if isinstance(slot, YamlMap) and slot.get("type") == "unfeaturized":
                kept = file.text.value["slots"][name]
                new = {"type": "text", "influence_conversation": False}
                file.text.replace(("slots", name), {**new, **{k: v for k, v in kept.items() if k not in new}})
                self.log.changed(
                    slot.sources["type"], f"slot '{name}': unfeaturized", "text, influence_conversation: false"
                )

    # ---- slots and forms ----

    def _slots_and_forms(self) -> None:
        if not any(_is_of_rasa_2(file.content) for file in self.files):
            return
        mappings = self._mappings_of_slots()
        for file, form, source in self._forms():
            for slot, wanted in _required(form.spec):
                new = mappings.setdefault(slot, [])
                for mapping in wanted:
                    _add(new, mapping, _condition(mapping, form.name, slot))
            self._write_form(file, form, source)
        fills = all(
            (plain(file.content.get("config")) or {}).get("store_entities_as_slots", True) for file in self.files
        )
        entities = {name for file in self.files for name, _ in _named(file.content.get("entities"))}
        known: set[str] = set()
        for file in self.files:
            slots = file.content.get("slots")
            for slot, spec in slots.items() if isinstance(slots, YamlMap) else ():
                known.add(slot)
                self._write_slot(file, slot, spec, mappings.get(slot, []), slot in entities and fills)
        self._add_slots({slot: new for slot, new in mappings.items() if slot not in known})

    def _mappings_of_slots(self) -> dict[str, list[dict[str, Any]]]:
        found = {}
        for file in self.files:
            slots = file.content.get("slots")
            for slot, spec in slots.items() if isinstance(slots, YamlMap) else ():
                given = plain(spec).get("mappings") if isinstance(spec, YamlMap) else None
                found[slot] = [given] if isinstance(given, dict) else [one for one in given or () if one]
        return found

    def _forms(self) -> Iterator[tuple[DomainFile, _Form, Any]]:
        for file in self.files:
            forms = file.content.get("forms")
            if isinstance(forms, YamlMap):
                for name, spec in forms.items():
                    yield file, _Form(name, plain(spec) if isinstance(spec, YamlMap) else {}), forms.sources[name]
            elif isinstance(forms, YamlList):
                # Rasa 1: names, whose slots stand in Python.
                names = [str(name) for name, _ in _named(forms)]
                code = {name: self.form_code.get(name, FormCode()) for name in names}
                file.text.replace(("forms",), {name: {"required_slots": list(code[name].slots)} for name in names})
                for name, source in zip(names, forms.sources, strict=True):
                    self.log.changed(source, f"form '{name}': a name", f"required_slots: {list(code[name].slots)}")
                    if not code[name].slots:
                        self.log.left(source, f"nothing says what form '{name}' asks: list it in its required_slots")
                    yield file, _Form(name, {"required_slots": dict(code[name].slots)}), source

    def _write_form(self, file: DomainFile, form: _Form, source: Any) -> None:
        spec = form.spec
        slots = [slot for slot, _ in _required(spec)]
        new: dict[str, Any] = {"required_slots": slots}
        if spec.get("ignored_intents"):
            new["ignored_intents"] = spec["ignored_intents"]
        if spec != new and isinstance(file.content["forms"], YamlMap):
            file.text.replace(("forms", form.name), new)
            self.log.changed(source, f"form '{form.name}': how its slots are filled", f"required_slots: {slots}")

    def _write_slot(
        self, file: DomainFile, slot: str, spec: Any, mappings: list[dict[str, Any]], is_filled: bool
    ) -> None:
        old = copy.deepcopy(file.text.value["slots"][slot]) or {}
        new = {key: value for key, value in old.items() if key not in ("auto_fill", "mappings")}
        from_entity = {"type": "from_entity", "entity": slot}
        if is_filled and old.get("auto_fill", True) is True and from_entity not in mappings:
            mappings = [*mappings, from_entity]
        if not mappings:
            mappings = [dict(CUSTOM)]
        new["mappings"] = mappings
        if new == old:
            return
        file.text.replace(("slots", slot), new)
        place = file.content["slots"].sources[slot]
        self.log.changed(place, f"slot '{slot}': filled by {_before(old, is_filled)}", f"mappings: {_shown(mappings)}")
        if mappings == [CUSTOM] and not old.get("mappings") and slot != REQUESTED_SLOT:
            message = f"slot '{slot}' is filled by no form and no entity: it is left to your actions ('custom')"
            self.log.left(place, message)

    def _add_slots(self, mappings: dict[str, list[dict[str, Any]]]) -> None:
        """Slots that only a form names: Rasa 3 wants them declared."""
        file = next((file for file in self.files if file.content.get("slots")), self.files[0])
        for slot, new in mappings.items():
            spec = {"type": "any", "influence_conversation": False, "mappings": new or [dict(CUSTOM)]}
            if file.text.value.get("slots"):
                file.text.append(("slots",), {slot: spec})
            elif "slots" in file.text.value:
                file.text.replace(("slots",), {slot: spec})
            else:
                file.text.put("slots", {slot: spec})
            place = file.content.sources.get("slots", file.content.source)
            self.log.changed(place, f"slot '{slot}': named by a form alone", f"type: any, mappings: {_shown(new)}")


def check_shape(content: YamlMap, problems: Problems) -> None:
    """Mistakes in what a migration looks at, which no version of Rasa could read either."""
    fields = Fields(content, content.source, "the domain", problems)
    for key in ("intents", "entities", "actions"):
        fields.sequence(key)
    for key in ("responses", "templates", "config"):
        fields.mapping(key)
    slots = fields.mapping("slots")
    for name, spec in slots.items():
        one = Fields(spec, slots.sources[name], f"slot '{name}'", problems)
        _check_mappings(one, "mappings")
    if isinstance(content.get("forms"), YamlList):
        list(fields.text_items("forms"))
        return
    forms = fields.mapping("forms")
    for name, spec in forms.items():
        form = Fields(spec, forms.sources[name], f"form '{name}'", problems)
        form.sequence("ignored_intents")
        if isinstance(form.data.get("required_slots"), YamlList):
            list(form.text_items("required_slots"))
            continue
        asked = form.mapping("required_slots") if "required_slots" in form.data else form.data
        asks = Fields(asked, form.place, form.what, problems)
        for slot in asked:
            if slot != "ignored_intents":
                _check_mappings(asks, slot)


def _check_mappings(fields: Fields, key: str) -> None:
    """A mapping, or a list of them."""
    value = fields.data.get(key)
    given = value if isinstance(value, YamlList) else [value]
    if not all(isinstance(one, YamlMap) for one in given if one is not None):
        fields.wrong(key, "a list of slot mappings")


@dataclass(frozen=True, slots=True)
class _Form:
    name: str
    spec: dict[str, Any]


def _is_of_rasa_2(content: YamlMap) -> bool:
    """Whether a slot does not say what fills it, or a form does."""
    if str(content.get("version", "")).startswith("3"):
        return False
    slots, forms = content.get("slots"), content.get("forms")
    specs = list(slots.values()) if isinstance(slots, YamlMap) else []
    asked = list(forms.values()) if isinstance(forms, YamlMap) else []
    return (
        any(not isinstance(spec, YamlMap) or not spec.get("mappings") or "auto_fill" in spec for spec in specs)
        or any(isinstance(spec, YamlMap) and not isinstance(spec.get("required_slots"), list) for spec in asked)
        or isinstance(forms, YamlList)
    )


def _required(spec: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The slots of a form with their mappings, with and without the key `required_slots`."""
    slots = spec.get("required_slots", {key: value for key, value in spec.items() if key != "ignored_intents"})
    if isinstance(slots, list):
        return [(str(slot), []) for slot in slots]
    return [
        (slot, [given] if isinstance(given, dict) else [one for one in given or () if one])
        for slot, given in (slots or {}).items()
    ]


def _condition(mapping: dict[str, Any], form: str, slot: str) -> dict[str, str]:
    """When a mapping of a form counts: while the form runs, and unless it stands for itself, asks for the slot."""
    condition = {"active_loop": form}
    if mapping.get("type") not in ("from_entity", "from_trigger_intent"):
        condition["requested_slot"] = slot
    return condition


def _add(mappings: list[dict[str, Any]], mapping: dict[str, Any], condition: dict[str, str]) -> None:
    """The mapping under one more condition; a slot may have it already, for another form."""
    for known in mappings:
        if {key: value for key, value in known.items() if key != "conditions"} == mapping:
            known["conditions"] = [*known.get("conditions", ()), condition]
            return
    mappings.append({**mapping, "conditions": [condition]})


def _named(items: Any) -> Iterator[tuple[str, Any]]:
    """Names of a list such as `- greet` or `- greet: {…}`, with what stands behind them."""
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            yield item, None
        elif isinstance(item, dict):
            yield from item.items()


def _before(old: dict[str, Any], is_filled: bool) -> str:
    if old.get("mappings"):
        return _shown(old["mappings"])
    if "auto_fill" in old:
        return f"auto_fill: {str(old['auto_fill']).lower()}"
    return "the entity of its name" if is_filled else "forms and actions"


def _shown(mappings: list[dict[str, Any]]) -> str:
    """`from_entity city (active_loop trip), from_text …`"""
    parts = []
    for mapping in mappings:
        what = mapping.get("entity") or mapping.get("intent") or ""
        what = " or ".join(what) if isinstance(what, list) else what
        loops = [condition.get("active_loop") for condition in mapping.get("conditions", ())]
        where = f" (in {', '.join(str(loop) for loop in loops)})" if loops else ""
        parts.append(f"{mapping.get('type')}{f' {what}' if what else ''}{where}")
    return ", ".join(parts) or "custom"
