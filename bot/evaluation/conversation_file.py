"""Reads `conversations:` of a test file (the format stands at the top of `bot/evaluation/__init__.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bot.domain import Domain
from bot.errors import Source
from bot.evaluation.conversations import Conversation, Step, shift_of
from bot.evaluation.expectations import Called
from bot.evaluation.stubs import Stubs, read_stubs
from bot.validation import known_actions
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain

DONE = ("user", "button", "wait")
CHECKED = (
    *("bot", "not_bot", "buttons", "intent", "action", "not_action", "slot", "not_slot"),
    *("active_loop", "event", "called", "not_called"),
)
_KEYS = (*("name", "steps", "language", "channel", "metadata", "slots", "fixtures", "stubs", "setup", "now"),)


class ConversationReader:
    """Reads the conversations of one file."""

    def __init__(self, file: Fields, domain: Domain, problems: Problems) -> None:
        self.file = file
        self.domain = domain
        self.problems = problems
        self.setup = file.text("setup")
        self.stubs = read_stubs(file, "stubs", domain, problems)
        self.fixtures = {
            name: self._slots(Fields(value, file.mapping("fixtures").sources[name], f"fixture '{name}'", problems))
            for name, value in (file.mapping("fixtures") if "conversations" in file.data else {}).items()
        }

    def read(self) -> Iterator[Conversation]:
        items = self.file.sequence("conversations")
        for item, source in zip(items, items.sources, strict=True):
            yield self._conversation(Fields(item, source, "this conversation", self.problems, _KEYS))

    def _conversation(self, fields: Fields) -> Conversation:
        name = fields.text("name") or ""
        items = fields.sequence("steps")
        steps = tuple(
            step for item, source in zip(items, items.sources, strict=True) for step in self._steps(item, source)
        )
        kinds = {kind for item in items if isinstance(item, YamlMap) for kind in item}
        if kinds.isdisjoint(("user", "button")) or kinds.isdisjoint(CHECKED):
            message = f"conversation '{name}' must have something that is said and something to check"
            self.problems.add(message, fields.place)
        slots: dict[str, Any] = {}
        for fixture in fields.texts("fixtures"):
            if fixture not in self.fixtures:
                self.problems.unknown("fixture", fixture, tuple(self.fixtures), fields.source("fixtures"))
            slots.update(self.fixtures.get(fixture, {}))
        if "slots" in fields.data:
            slots.update(self._slots(Fields(fields.data["slots"], fields.source("slots"), "'slots'", self.problems)))
        return Conversation(
            name=name,
            steps=steps,
            source=fields.place,
            setup=fields.text("setup", self.setup),
            language=fields.text("language"),
            channel=fields.text("channel") or "test",
            metadata=plain(fields.mapping("metadata")),
            slots=slots,
            stubs=both(read_stubs(fields, "stubs", self.domain, self.problems), self.stubs),
            now=self._now(fields),
        )

    def _slots(self, fields: Fields) -> dict[str, Any]:
        return {name: plain(value) for name, value in fields.data.items() if self._is_slot(name, fields.source(name))}

    def _is_slot(self, name: str, source: Source) -> bool:
        if name in self.domain.slots:
            return True
        self.problems.unknown("slot", name, tuple(self.domain.slots), source)
        return False

    def _now(self, fields: Fields) -> datetime | None:
        given = fields.text("now")
        if given is None:
            return None
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            self.problems.add(
                f"'now' must be a time like 2026-03-01T09:30:00+01:00, not '{given}'", fields.source("now")
            )
            return None
        return moment if moment.tzinfo else moment.astimezone()

    # ---- steps ----

    def _steps(self, item: Any, source: Source) -> Iterator[Step]:
        said = isinstance(item, YamlMap) and ("user" in item or "button" in item)
        extra = {"metadata"} if said else set()
        if not isinstance(item, YamlMap) or len(set(item) - extra) != 1:
            self.problems.add(f"a step has one of the keys {', '.join((*DONE, *CHECKED))}", source)
            return
        metadata = plain(Fields(item, source, "this step", self.problems).mapping("metadata"))
        kind = next(key for key in item if key not in extra)
        value = self._value(kind, item[kind], item.sources[kind])
        if value is not _WRONG:
            yield Step(kind, value, source, metadata)

    def _value(self, kind: str, value: Any, source: Source) -> Any:
        match kind:
            case "user" | "button" | "intent":
                return str(value)
            case "wait":
                shift = shift_of(str(value))
                if shift is None:
                    return self._wrong(f"'wait' must be like 30 minutes or 2 hours, not {kind_of(value)}", source)
                return shift
            case "bot" | "not_bot":
                return [str(one) for one in (value if isinstance(value, YamlList) else [value])]
            case "buttons":
                if not isinstance(value, YamlList):
                    return self._wrong("'buttons' is a list of titles, or of {title: payload}", source)
                return [plain(one) if isinstance(one, YamlMap) else str(one) for one in value]
            case "action" | "not_action":
                return [self._action(name, source) for name in (value if isinstance(value, YamlList) else [value])]
            case "slot" | "not_slot":
                if not isinstance(value, YamlMap):
                    return self._wrong(f"'{kind}' needs names with values, as in {{account: savings}}", source)
                return {name: plain(one) for name, one in value.items() if self._is_slot(name, value.sources[name])}
            case "active_loop":
                if value is not None and value not in (known := (*self.domain.forms, "action_two_stage_fallback")):
                    self.problems.unknown("form", value, known, source)
                return value
            case "event":
                if not isinstance(value, YamlMap):
                    return self._wrong("'event' is like {slot: {account: savings}} or {event: restart}", source)
                return plain(value)
            case "called" | "not_called":
                return self._call(value, source)
            case _:
                self.problems.unknown("step of a conversation", kind, (*DONE, *CHECKED), source)
                return _WRONG

    def _wrong(self, message: str, source: Source) -> Any:
        self.problems.add(message, source)
        return _WRONG

    def _action(self, name: Any, source: Source) -> str:
        known = (*known_actions(self.domain), *self.domain.action_texts)
        if name not in known:
            self.problems.unknown("action", name, known, source)
        return str(name)

    def _call(self, value: Any, source: Source) -> Any:
        """`GET https://…`, or that as `request:` with `times:`, `json:` and `headers:`."""
        fields: Fields | None = None
        if isinstance(value, YamlMap):
            fields = Fields(value, source, "this call", self.problems, ("request", "times", "json", "headers"))
            value = fields.text("request")
        method, _, url = str(value).partition(" ")
        if "://" not in url:
            return self._wrong("a call is written like `called: GET https://bank.example/accounts/*`", source)
        if fields is None:
            return Called(method, url.strip())
        headers = {name: str(one) for name, one in fields.mapping("headers").items()}
        times = fields.whole("times", 0) if "times" in fields.data else None
        return Called(method, url.strip(), times, plain(fields.data.get("json")), headers)


_WRONG: Any = object()
"""A value that was complained of."""


def both(own: Stubs | None, shared: Stubs | None) -> Stubs | None:
    """The stubs of a conversation before those of its file."""
    return own.over(shared) if own and shared else own or shared
