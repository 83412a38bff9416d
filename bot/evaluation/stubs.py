"""What stands in for custom actions and outside services while a conversation is tested, and how it is written.

stubs:
  action_check_balance:                      # the action itself does not run
    events: [{slot: {balance: 100}}]         # or Rasa's JSON: {event: slot, name: balance, value: 100}
    responses: [{text: You have 100.}]       # as an action server answers
  GET https://bank.example/accounts/*:       # the action runs, the service does not
    status: 200                              # 200 where it is left out
    json: {balance: 100}                     # or text:, and headers:
  POST https://bank.example/transfers:       # a list: one answer after the other, the last one for good
  - down: true                               # nobody answers
  - json: {id: 7}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bot.domain import Domain
from bot.errors import ActionError, ConfigError, DataError, Source
from bot.evaluation.services import Answer, ServiceStub
from bot.events import ActiveLoopChanged, Event, FollowupAction, SlotSet, event_from_json
from bot.interfaces import Action, Dispatcher
from bot.messages import EMPTY
from bot.tracker import Tracker
from bot.validation import known_actions
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, plain

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "*")


@dataclass(frozen=True, slots=True)
class ActionAnswer:
    """What an action does in place of its own code; `fails` when it raises."""

    events: tuple[Event, ...] = ()
    responses: tuple[Mapping[str, Any], ...] = ()
    fails: bool = False


@dataclass(frozen=True, slots=True)
class ActionStub:
    """Its answers, one run after the other; the last one stands for all further runs."""

    name: str
    answers: tuple[ActionAnswer, ...]


@dataclass(frozen=True, slots=True)
class Stubs:
    """All that stands in while a conversation is tested."""

    actions: Mapping[str, ActionStub] = field(default_factory=dict)
    services: tuple[ServiceStub, ...] = ()

    def over(self, others: Stubs) -> Stubs:
        """Both; these come before the others."""
        return Stubs({**others.actions, **self.actions}, (*self.services, *others.services))


class StubbedAction(Action):
    """Runs in the place of a custom action."""

    def __init__(self, stub: ActionStub) -> None:
        self._stub = stub
        self.runs = 0

    def name(self) -> str:
        return self._stub.name

    async def run(
        self, dispatcher: Dispatcher, tracker: Tracker, domain: Mapping[str, Any]
    ) -> Sequence[Event | Mapping[str, Any]]:
        answer = self._stub.answers[min(self.runs, len(self._stub.answers) - 1)]
        self.runs += 1
        if answer.fails:
            raise ActionError(f"action '{self._stub.name}' failed, as its stub says")
        dispatcher.messages.extend(dict(response) for response in answer.responses)
        return answer.events


# ---- reading -------------------------------------------------------------------------------------


def read_stubs(fields: Fields, key: str, domain: Domain, problems: Problems) -> Stubs | None:
    """The value of `stubs:`; None where there is none."""
    if key not in fields.data:
        return None
    given = fields.mapping(key)
    actions: dict[str, ActionStub] = {}
    services: list[ServiceStub] = []
    for name, value in given.items():
        source = given.sources[name]
        method, _, url = name.partition(" ")
        if "://" in name:
            if method not in _METHODS:
                problems.unknown("method of a service", method, _METHODS, source)
            answers = tuple(_answer(one, place, name, problems) for one, place in _each(value, source))
            services.append(ServiceStub(method, url.strip(), answers or (Answer(),), source))
        elif name not in (known := known_actions(domain)):
            problems.unknown("action", name, known, source)
        else:
            actions[name] = read_action_stub(name, value, source, problems)
    return Stubs(actions, tuple(services))


def read_action_stub(name: str, value: Any, source: Source, problems: Problems) -> ActionStub:
    answers = tuple(_action_answer(one, place, name, problems) for one, place in _each(value, source))
    return ActionStub(name, answers or (ActionAnswer(),))


def _each(value: Any, source: Source) -> Iterator[tuple[Any, Source]]:
    if isinstance(value, YamlList):
        yield from zip(value, value.sources, strict=True)
    else:
        yield value, source


def _answer(value: Any, source: Source, name: str, problems: Problems) -> Answer:
    fields = Fields(value, source, f"the stub of '{name}'", problems, ("status", "json", "text", "headers", "down"))
    headers = {key: str(one) for key, one in fields.mapping("headers").items()}
    if "json" in fields.data:
        body = orjson.dumps(plain(fields.data["json"]))
        headers.setdefault("Content-Type", "application/json")
    else:
        body = (fields.text("text") or "").encode()
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    return Answer(fields.whole("status", 200), body, headers, fields.flag("down", False))


def _action_answer(value: Any, source: Source, name: str, problems: Problems) -> ActionAnswer:
    fields = Fields(value, source, f"the stub of '{name}'", problems, ("events", "responses", "fails"))
    events: list[Event] = []
    items = fields.sequence("events")
    for item, place in zip(items, items.sources, strict=True):
        try:
            events += [event_from_json(one) for one in event_objects(plain(item))]
        except (DataError, ConfigError) as error:
            problems.add(error.message, place)
    items = fields.sequence("responses")
    responses: list[Mapping[str, Any]] = []
    for item, place in zip(items, items.sources, strict=True):
        if isinstance(item, YamlMap):
            responses.append(plain(item))
        else:
            problems.add("a response is like {text: Hello} or {response: utter_greet}", place)
    return ActionAnswer(tuple(events), tuple(responses), fields.flag("fails", False))


_SHORT = {"active_loop": ActiveLoopChanged.kind, "followup": FollowupAction.kind, "action": "action"}


def event_objects(given: Any) -> Iterator[Mapping[str, Any]]:
    """Rasa's JSON of an event, or of what is written shorter: `{slot: {a: 1, b: 2}}`, `{followup: action_x}`."""
    if not isinstance(given, Mapping) or len(given) != 1 or "event" in given:
        yield given
        return
    ((kind, value),) = given.items()
    if kind == SlotSet.kind and isinstance(value, Mapping):
        for name, one in value.items():
            yield {"event": kind, "name": name, "value": one}
    elif kind in _SHORT and not isinstance(value, Mapping):
        yield {"event": kind, "name": value}
    else:
        yield {"event": kind, **(value if isinstance(value, Mapping) else EMPTY)}
