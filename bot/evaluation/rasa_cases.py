"""Reads Rasa Pro's end-to-end test cases (`test_cases:`), those parts that do not need its flows.

Source: https://rasa.com/docs/reference/testing/test-cases
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain import Domain
from bot.errors import Source
from bot.evaluation.conversations import Conversation, Step
from bot.evaluation.stubs import ActionStub, Stubs, read_action_stub
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, plain

_STEPS = ("user", "bot", "utter", "slot_was_set", "slot_was_not_set")
_ASSERTIONS = (*("action_executed", "bot_uttered", "bot_did_not_utter", "slot_was_set", "slot_was_not_set"),)


class CaseReader:
    """Reads the test cases of one file."""

    def __init__(self, file: Fields, domain: Domain, problems: Problems) -> None:
        self.file = file
        self.domain = domain
        self.problems = problems
        is_cases = "test_cases" in file.data
        self.fixtures = dict(self._named("fixtures")) if is_cases else {}
        self.metadata = dict(self._named("metadata")) if is_cases else {}

    def read(self) -> Iterator[Conversation]:
        items = self.file.sequence("test_cases")
        for item, source in zip(items, items.sources, strict=True):
            known = ("test_case", "steps", "fixtures", "metadata")
            yield self._case(Fields(item, source, "this test case", self.problems, known))

    def _named(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """`[{premium: [{tier: 1}, {since: 2020}]}, …]` → (premium, {tier: 1, since: 2020}), …"""
        items = self.file.sequence(key)
        for item, source in zip(items, items.sources, strict=True):
            if not isinstance(item, YamlMap):
                self.problems.add(f"'{key}' is a list of names with their values", source)
                continue
            for name, values in item.items():
                merged: dict[str, Any] = {}
                for one in values if isinstance(values, YamlList) else [values]:
                    merged.update(plain(one) if isinstance(one, YamlMap) else {})
                if key == "fixtures":
                    for slot in merged:
                        self._check_slot(slot, item.sources[name])
                yield name, merged

    def _case(self, fields: Fields) -> Conversation:
        name = fields.text("test_case") or ""
        slots: dict[str, Any] = {}
        for fixture in fields.texts("fixtures"):
            slots.update(self._find("fixture", fixture, self.fixtures, fields.source("fixtures")))
        metadata: dict[str, Any] = {}
        for one in fields.texts("metadata"):
            metadata.update(self._find("metadata", one, self.metadata, fields.source("metadata")))
        items = fields.sequence("steps")
        # As in Rasa: where a case has assertions, its other steps say nothing.
        asserts = any(isinstance(item, YamlMap) and "assertions" in item for item in items)
        steps = tuple(
            step
            for item, source in zip(items, items.sources, strict=True)
            for step in self._steps(item, source, asserts)
        )
        return Conversation(
            name=name,
            steps=steps,
            source=fields.place,
            metadata=metadata,
            slots=slots,
            stubs=self._stubs(name),
            obeys_payloads=True,
        )

    def _find(self, kind: str, name: str, known: Mapping[str, dict[str, Any]], source: Source) -> dict[str, Any]:
        if name not in known:
            self.problems.unknown(kind, name, tuple(known), source)
        return known.get(name, {})

    def _stubs(self, case: str) -> Stubs | None:
        """Those of all cases, and those of this one: `case name::action_check`."""
        if "stub_custom_actions" not in self.file.data:
            return None
        given = self.file.mapping("stub_custom_actions")
        shared: dict[str, ActionStub] = {}
        own: dict[str, ActionStub] = {}
        for key, value in given.items():
            scope, _, name = key.rpartition("::")
            if scope in ("", case):
                stub = read_action_stub(name, value, given.sources[key], self.problems)
                (own if scope else shared)[name] = stub
        return Stubs({**shared, **own})

    # ---- steps ----

    def _steps(self, item: Any, source: Source, asserts: bool) -> Iterator[Step]:
        kind = next((key for key in _STEPS if isinstance(item, YamlMap) and key in item), None)
        if kind is None:
            self.problems.add(f"a step has one of the keys {', '.join(_STEPS)}", source)
            return
        known = (kind, "metadata", "assertions", "assertion_order_enabled") if kind == "user" else (kind,)
        fields = Fields(item, source, "this step", self.problems, known)
        if asserts and kind != "user":
            return
        match kind:
            case "user":
                metadata: dict[str, Any] = {}
                for one in fields.texts("metadata"):
                    metadata.update(self._find("metadata", one, self.metadata, fields.source("metadata")))
                yield Step("user", str(item["user"]), source, metadata)
                yield from self._assertions(fields)
            case "bot":
                yield Step("says", str(item["bot"]), source)
            case "utter":
                yield Step("utters", str(item["utter"]), source)
            case _:
                yield from self._slots(fields, kind)

    def _slots(self, fields: Fields, kind: str, *, asserted: bool = False) -> Iterator[Step]:
        filled, empty = ("slot", "slot_set") if kind == "slot_was_set" else ("not_slot", "slot_unset")
        items = fields.sequence(kind)
        for item, source in zip(items, items.sources, strict=True):
            if isinstance(item, YamlMap) and "name" in item and asserted:
                item = {item["name"]: item["value"]} if "value" in item else item["name"]
            for name in item if isinstance(item, Mapping) else [item]:
                self._check_slot(name, source)
            if isinstance(item, Mapping):
                yield Step(filled, plain(item), source)
            else:
                yield Step(empty, [str(item)], source)

    def _check_slot(self, name: Any, source: Source) -> None:
        if name not in self.domain.slots:
            self.problems.unknown("slot", name, tuple(self.domain.slots), source)

    def _assertions(self, step: Fields) -> Iterator[Step]:
        items = step.sequence("assertions")
        for item, source in zip(items, items.sources, strict=True):
            fields = Fields(item, source, "this assertion", self.problems)
            for kind, value in fields.data.items():
                yield from self._assertion(kind, value, fields, source)

    def _assertion(self, kind: str, value: Any, fields: Fields, source: Source) -> Iterator[Step]:
        match kind:
            case "slot_was_set" | "slot_was_not_set":
                yield from self._slots(fields, kind, asserted=True)
            case "action_executed":
                yield Step("action", [str(value)], source)
            case "bot_uttered" | "bot_did_not_utter":
                known = ("utter_name", "text_matches", "buttons")
                uttered = Fields(value, fields.source(kind), f"'{kind}'", self.problems, known)
                yield from self._uttered(uttered, kind == "bot_uttered", source)
            case _:
                hint = f"known are {', '.join(_ASSERTIONS)}: the others ask for flows or a judging language model"
                self.problems.add(f"the assertion '{kind}' cannot be checked here; {hint}", source)

    @staticmethod
    def _uttered(fields: Fields, is_wanted: bool, source: Source) -> Iterator[Step]:
        name, text = fields.text("utter_name"), fields.text("text_matches")
        if name:
            yield Step("uttered" if is_wanted else "not_uttered", name, source)
        if text:
            yield Step("has_text" if is_wanted else "not_bot", [text], source)
        buttons = fields.sequence("buttons")
        if buttons and is_wanted:
            wanted = [
                {one.get("title"): one.get("payload")} if "payload" in one else one.get("title") for one in buttons
            ]
            yield Step("buttons", plain(wanted), source)
