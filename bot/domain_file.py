"""Reads domains in Rasa's YAML and merges several into one.

A pack's domain comes before the project's own: what comes later takes the place of what has the same name.
Source: https://rasa.com/docs/rasa/domain
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bot.domain import (
    DEFAULT_INTENTS,
    REQUESTED_SLOT,
    Domain,
    EntitySpec,
    FormSpec,
    IntentSpec,
    MappingCondition,
    Response,
    SessionConfig,
    SlotCondition,
    SlotMapping,
    SlotSpec,
)
from bot.errors import Source, suggest
from bot.messages import EMPTY, BotMessage
from bot.slots import SLOT_TYPES
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain

DOMAIN_KEYS = (
    *("intents", "entities", "slots", "responses", "forms", "actions", "session_config", "config", "e2e_actions"),
)
_MAPPINGS: dict[str, tuple[str, ...]] = {
    "from_entity": ("entity", "role", "group", "intent", "not_intent"),
    "from_intent": ("value", "intent", "not_intent"),
    "from_trigger_intent": ("value", "intent", "not_intent"),
    "from_text": ("intent", "not_intent"),
    "custom": ("action",),
}
_MESSAGE_KEYS = ("text", "buttons", "image", "custom", "attachment", "elements", "quick_replies", "metadata")
_RESPONSE_KEYS = (*_MESSAGE_KEYS, "channel", "condition", "id", "translation", "button_type", "template_type")
_T = TypeVar("_T")


@dataclasses.dataclass(slots=True)
class DomainReader:
    """Collects what several files say. `domain()` is all of it."""

    problems: Problems
    intents: dict[str, IntentSpec] = dataclasses.field(default_factory=dict)
    entities: dict[str, EntitySpec] = dataclasses.field(default_factory=dict)
    slots: dict[str, SlotSpec] = dataclasses.field(default_factory=dict)
    responses: dict[str, tuple[Response, ...]] = dataclasses.field(default_factory=dict)
    forms: dict[str, FormSpec] = dataclasses.field(default_factory=dict)
    actions: dict[str, Source] = dataclasses.field(default_factory=dict)
    session: SessionConfig = dataclasses.field(default_factory=SessionConfig)
    store_entities_as_slots: bool = True
    action_texts: dict[str, None] = dataclasses.field(default_factory=dict)
    raw: dict[str, Any] = dataclasses.field(default_factory=dict)
    _layer: dict[tuple[str, str], Source] = dataclasses.field(default_factory=dict)

    def next_layer(self) -> None:
        """What is read from now on may take the place of what was read before."""
        self._layer = {}

    def read(self, file: YamlMap) -> None:
        """Take in the domain's keys of a file; the others are left to other readers."""
        fields = Fields(file, file.source, "the domain", self.problems)
        self._intents(fields)
        self._entities(fields)
        self._named(fields, "slots", "slot", self._slot, self.slots)
        self._named(fields, "responses", "response", self._response, self.responses)
        self._named(fields, "forms", "form", self._form, self.forms)
        self._actions(fields)
        self.action_texts |= dict.fromkeys(fields.texts("e2e_actions"))
        if "session_config" in file:
            self._session(fields)
        known = ("store_entities_as_slots",)
        config = Fields(file.get("config"), fields.source("config"), "'config'", self.problems, known, loose=True)
        self.store_entities_as_slots = config.flag("store_entities_as_slots", self.store_entities_as_slots)

    def domain(self) -> Domain:
        slots = dict(self.slots)
        if self.forms and REQUESTED_SLOT not in slots:
            slots[REQUESTED_SLOT] = SlotSpec(REQUESTED_SLOT, "text", influence_conversation=False)
        slots.setdefault("session_started_metadata", SlotSpec("session_started_metadata", influence_conversation=False))
        return Domain(
            intents=self.intents,
            entities=self.entities,
            slots=slots,
            responses=self.responses,
            forms=self.forms,
            actions=tuple(self.actions),
            action_texts=tuple(self.action_texts),
            session=self.session,
            store_entities_as_slots=self.store_entities_as_slots,
            action_sources=self.actions,
            raw=self._raw(),
        )

    def _raw(self) -> dict[str, Any]:
        """The domain as Rasa shows it to an action server."""
        given = self.raw
        return {
            "version": "3.1",
            "config": {"store_entities_as_slots": self.store_entities_as_slots},
            "session_config": {
                "session_expiration_time": self.session.expiration_minutes,
                "carry_over_slots_to_new_session": self.session.carry_over_slots,
            },
            "intents": list(given.get("intents", {}).values()),
            "entities": list(given.get("entities", {}).values()),
            "slots": given.get("slots", {}),
            "responses": given.get("responses", {}),
            "actions": list(self.actions),
            "forms": given.get("forms", {}),
            "e2e_actions": list(self.action_texts),
        }

    def _keep_raw(self, section: str, name: str, value: Any) -> None:
        self.raw.setdefault(section, {})[name] = plain(value)

    # ---- lists of names ----

    def _listed(self, fields: Fields, key: str, kind: str) -> Sequence[tuple[str, Any, Source, Any]]:
        """(name, its options, place, as written) for each item of a list such as `- greet` or `- greet: {…}`."""
        found: list[tuple[str, Any, Source, Any]] = []
        items = fields.sequence(key)
        for item, source in zip(items, items.sources, strict=True):
            if isinstance(item, str) and item:
                found.append((item, None, source, item))
            elif isinstance(item, YamlMap) and len(item) == 1:
                (name, options), *_ = item.items()
                found.append((name, options, source, item))
            else:
                self.problems.add(f"an entry of '{key}' must be a name; this is {kind_of(item)}", source)
        for name, _, source, _ in found:
            self._note(kind, name, source)
        return found

    def _note(self, kind: str, name: str, source: Source) -> None:
        """A name that stands twice in one layer is a mistake; it is none when a later layer has it again."""
        earlier = self._layer.get((kind, name))
        if earlier is not None:
            self.problems.doubt(f"{kind} '{name}' is written twice; the other place is {earlier}", source)
        self._layer[(kind, name)] = source

    def _intents(self, fields: Fields) -> None:
        for name, options, source, written in self._listed(fields, "intents", "intent"):
            known = ("use_entities", "ignore_entities")
            inner = Fields(options, source, f"intent '{name}'", self.problems, known, loose=True)
            use: tuple[str, ...] | None = None
            if isinstance(inner.data.get("use_entities"), bool):
                use = None if inner.data["use_entities"] else ()
            elif "use_entities" in inner.data:
                use = inner.texts("use_entities")
            ignore = inner.data.get("ignore_entities")
            ignored = inner.texts("ignore_entities") if "ignore_entities" in inner.data else None
            if isinstance(ignore, bool):
                ignored = ()
            self.intents[name] = IntentSpec(name, use, ignored, source)
            self._keep_raw("intents", name, written)

    def _entities(self, fields: Fields) -> None:
        known = ("roles", "groups", "influence_conversation")
        for name, options, source, written in self._listed(fields, "entities", "entity"):
            inner = Fields(options, source, f"entity '{name}'", self.problems, known, loose=True)
            influence = inner.flag("influence_conversation", True)
            self.entities[name] = EntitySpec(name, inner.texts("roles"), inner.texts("groups"), influence, source)
            self._keep_raw("entities", name, written)

    def _actions(self, fields: Fields) -> None:
        for name, options, source, _ in self._listed(fields, "actions", "action"):
            Fields(options, source, f"action '{name}'", self.problems, ("send_domain",)).flag("send_domain", False)
            self.actions[name] = source

    # ---- mappings by name ----

    def _named(
        self,
        fields: Fields,
        key: str,
        kind: str,
        read: Callable[[str, Any, Source], _T | None],
        into: dict[str, _T],
    ) -> None:
        section = fields.mapping(key)
        for name, value in section.items():
            source = section.sources[name]
            self._note(kind, name, source)
            found = read(name, value, source)
            if found is not None:
                into[name] = found
                self._keep_raw(key, name, value if value is not None else {})

    def _slot(self, name: str, value: Any, source: Source) -> SlotSpec | None:
        known = (
            *("type", "influence_conversation", "initial_value", "values", "min_value", "max_value", "mappings"),
            "sensitive",
        )
        custom = isinstance(value, YamlMap) and "." in str(value.get("type") or "")
        fields = Fields(value, source, f"slot '{name}'", self.problems, None if custom else known, loose=True)
        kind = fields.text("type")
        if kind is None:
            if fields.data.get("type") is None:
                self.problems.add(f"slot '{name}' has no type: one of {', '.join(SLOT_TYPES)}", source)
            return None
        if kind not in SLOT_TYPES and not custom:
            self.problems.unknown("slot type", kind, SLOT_TYPES, fields.source("type"))
        values = tuple(plain(fields.sequence("values")))
        if kind == "categorical" and not values:
            self.problems.doubt(f"slot '{name}' is categorical and has no values", source)
        if "mappings" not in fields.data:
            self.problems.doubt(
                f"slot '{name}' has no mappings: say how it is filled, or `mappings: [type: custom]`", source
            )
        low, high = fields.number("min_value", 0.0), fields.number("max_value", 1.0)
        if low >= high:
            self.problems.add(
                f"slot '{name}': min_value {low} is not below max_value {high}", fields.source("min_value")
            )
        if kind == "any" and fields.flag("influence_conversation", False):
            message = f"slot '{name}' is of type any, which no policy can see: give it another type, or leave this out"
            self.problems.add(message, fields.source("influence_conversation"))
        mappings = fields.sequence("mappings")
        return SlotSpec(
            name=name,
            type=kind,
            # A slot of any value looks the same to every policy.
            influence_conversation=kind != "any" and fields.flag("influence_conversation", True),
            initial_value=plain(fields.data.get("initial_value")),
            values=values,
            min_value=low,
            max_value=high,
            mappings=tuple(
                mapping
                for item, place in zip(mappings, mappings.sources, strict=True)
                if (mapping := self._mapping(item, place, name))
            ),
            sensitive=fields.flag("sensitive", False),
            options={key: plain(one) for key, one in fields.data.items() if key not in known} or EMPTY,
            source=source,
        )

    def _mapping(self, item: Any, source: Source, slot: str) -> SlotMapping | None:
        kind = item.get("type") if isinstance(item, YamlMap) else None
        what = f"a mapping of slot '{slot}'"
        if not isinstance(kind, str) or kind not in _MAPPINGS:
            if isinstance(item, YamlMap) and kind is not None:
                self.problems.unknown("type of slot mapping", kind, tuple(_MAPPINGS), item.sources["type"])
            else:
                self.problems.add(f"{what} needs a type: one of {', '.join(_MAPPINGS)}", source)
            return None
        fields = Fields(item, source, what, self.problems, ("type", "conditions", *_MAPPINGS[kind]), loose=True)
        entity = fields.text("entity")
        if kind == "from_entity" and not entity:
            self.problems.add(f"{what} of type from_entity needs an 'entity'", source)
        if kind in ("from_intent", "from_trigger_intent") and "value" not in fields.data:
            self.problems.add(f"{what} of type {kind} needs a 'value'", source)
        conditions = fields.sequence("conditions")
        return SlotMapping(
            type=kind,
            entity=entity,
            role=fields.text("role"),
            group=fields.text("group"),
            intent=fields.texts("intent"),
            not_intent=fields.texts("not_intent"),
            value=plain(fields.data.get("value")),
            action=fields.text("action"),
            conditions=tuple(
                self._condition(one, place, what) for one, place in zip(conditions, conditions.sources, strict=True)
            ),
            source=source,
        )

    def _condition(self, item: Any, source: Source, what: str) -> MappingCondition:
        fields = Fields(item, source, f"a condition of {what}", self.problems, ("active_loop", "requested_slot"))
        if isinstance(item, YamlMap) and "active_loop" not in item:
            self.problems.add(f"a condition of {what} needs an 'active_loop' (a form, or null for none)", source)
        return MappingCondition(fields.text("active_loop"), fields.text("requested_slot"))

    def _form(self, name: str, value: Any, source: Source) -> FormSpec:
        if isinstance(value, YamlMap) and any(
            key not in ("required_slots", "ignored_intents") and isinstance(one, YamlList) for key, one in value.items()
        ):
            message = (
                f"form '{name}' says how its slots are filled; since Rasa 3 the mappings belong to 'slots', and the "
                "form lists 'required_slots'. Run: frontdesk migrate"
            )
            self.problems.add(message, source)
            return FormSpec(name, source=source)
        fields = Fields(value, source, f"form '{name}'", self.problems, ("required_slots", "ignored_intents"))
        if isinstance(fields.data.get("required_slots"), YamlMap):
            message = (
                f"'required_slots' of form '{name}' must be a list; since Rasa 3 the mappings belong to 'slots'. "
                "Run: frontdesk migrate"
            )
            self.problems.add(message, fields.source("required_slots"))
            return FormSpec(name, source=source)
        return FormSpec(name, fields.texts("required_slots"), fields.texts("ignored_intents"), source)

    def _session(self, fields: Fields) -> None:
        known = ("session_expiration_time", "carry_over_slots_to_new_session")
        place = fields.source("session_config")
        inner = Fields(fields.data["session_config"], place, "'session_config'", self.problems, known, loose=True)
        minutes = inner.number(known[0], SessionConfig().expiration_minutes)
        if minutes < 0:
            self.problems.add(
                f"'{known[0]}' is in minutes, 0 for never; it cannot be {minutes}", inner.source(known[0])
            )
        self.session = SessionConfig(minutes, inner.flag(known[1], True), place)

    # ---- responses ----

    def _response(self, name: str, value: Any, source: Source) -> tuple[Response, ...] | None:
        if not isinstance(value, YamlList):
            self.problems.add(
                f"response '{name}' must be a list of variations (`- text: …`), not {kind_of(value)}", source
            )
            return None
        if not name.startswith("utter_"):
            self.problems.doubt(f"response '{name}' must begin with 'utter_'", source)
        return tuple(self._variation(name, item, place) for item, place in zip(value, value.sources, strict=True))

    def _variation(self, name: str, item: Any, source: Source) -> Response:
        fields = Fields(item, source, f"response '{name}'", self.problems, _RESPONSE_KEYS)
        translations = fields.mapping("translation")
        message = self._message(fields, f"response '{name}'")
        for key in ("button_type", "template_type"):
            if key in fields.data:
                message = dataclasses.replace(message, metadata={**message.metadata, key: fields.text(key)})
        return Response(
            message=message,
            channel=fields.text("channel"),
            conditions=tuple(self._slot_conditions(fields)),
            id=fields.text("id"),
            translation={
                language: self._translation(name, language, value, translations.sources[language])
                for language, value in translations.items()
            }
            or EMPTY,
            metadata=plain(fields.mapping("metadata")) or EMPTY,
            source=source,
        )

    def _translation(self, name: str, language: str, value: Any, source: Source) -> BotMessage:
        if isinstance(value, str):
            return BotMessage(text=value)
        what = f"the translation '{language}' of response '{name}'"
        return self._message(Fields(value, source, what, self.problems, _MESSAGE_KEYS), what)

    def _message(self, fields: Fields, what: str) -> BotMessage:
        attachment = fields.data.get("attachment")
        return BotMessage(
            text=fields.text("text"),
            buttons=self._buttons(fields, "buttons", what),
            image=fields.text("image"),
            attachment=plain(attachment),
            elements=tuple(one for one in plain(fields.sequence("elements")) if isinstance(one, dict)),
            custom=plain(fields.mapping("custom")) or EMPTY,
            quick_replies=self._buttons(fields, "quick_replies", what),
        )

    def _buttons(self, fields: Fields, key: str, what: str) -> tuple[Mapping[str, Any], ...]:
        items = fields.sequence(key)
        for item, source in zip(items, items.sources, strict=True):
            one = Fields(item, source, f"a button of {what}", self.problems)
            if one.text("title") is None and isinstance(item, YamlMap) and not isinstance(item.get("title"), YamlMap):
                self.problems.add(f"a button of {what} needs a 'title'", source)
        return tuple(one for one in plain(items) if isinstance(one, dict))

    def _slot_conditions(self, fields: Fields) -> list[SlotCondition]:
        found = []
        items = fields.sequence("condition")
        for item, source in zip(items, items.sources, strict=True):
            one = Fields(item, source, f"a condition of {fields.what}", self.problems, ("type", "name", "value"))
            kind, slot = one.text("type", "slot"), one.text("name")
            if kind != "slot":
                self.problems.unknown("type of condition", kind, ("slot",), one.source("type"))
            if not slot:
                self.problems.add(f"a condition of {fields.what} needs the 'name' of a slot", source)
                continue
            found.append(SlotCondition(slot, plain(one.data.get("value"))))
        return found


def check_domain(domain: Domain, problems: Problems) -> None:
    """Names within the domain that lead nowhere: a form's slots, mappings' entities, intents and forms."""
    intents = (*domain.intents, *DEFAULT_INTENTS)
    for form in domain.forms.values():
        for name in form.required_slots:
            if name not in domain.slots:
                problems.unknown(f"slot for form '{form.name}'", name, tuple(domain.slots), form.source)
        for name in form.ignored_intents:
            if name not in intents:
                problems.doubt(_no("intent", name, f"form '{form.name}' ignores", intents), form.source)
    for slot in domain.slots.values():
        for mapping in slot.mappings:
            for name in (*mapping.intent, *mapping.not_intent):
                if name not in intents:
                    problems.doubt(_no("intent", name, f"slot '{slot.name}' is filled by", intents), mapping.source)
            if mapping.entity and mapping.entity not in domain.entities:
                known = tuple(domain.entities)
                problems.doubt(_no("entity", mapping.entity, f"slot '{slot.name}' is filled by", known), mapping.source)
            for condition in mapping.conditions:
                loop = condition.active_loop
                if loop is not None and loop not in domain.forms:
                    problems.doubt(
                        _no("form", loop, f"slot '{slot.name}' waits for", tuple(domain.forms)), mapping.source
                    )
    for name, variations in domain.responses.items():
        for response in variations:
            for slot_name in {condition.slot for condition in response.conditions} - set(domain.slots):
                message = _no("slot", slot_name, f"response '{name}' depends on", tuple(domain.slots))
                problems.doubt(message, response.source)


def _no(kind: str, name: str, uses: str, known: Sequence[str]) -> str:
    return f"{uses} the {kind} '{name}', which the domain does not have.{suggest(name, known)}"
