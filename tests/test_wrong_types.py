"""A wrong type anywhere in a project's YAML is a mistake with its place, and never an exception of another kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.errors import FrontdeskError, ProjectErrors
from bot.evaluation import read_tests
from bot.project import load_project
from bot.validation import validate

FILES: dict[str, str] = {
    "config.yml": """
        recipe: default.v1
        language: en
        pipeline: [{name: WhitespaceTokenizer}, {name: RegexEntityExtractor, case_sensitive: false}]
        policies: [{name: MemoizationPolicy, max_history: 3}, RulePolicy]
    """,
    "domain.yml": """
        version: "3.1"
        intents: [greet, {order: {use_entities: [dish]}}, faq]
        entities: [dish, {city: {roles: [from, to], groups: [a]}}]
        slots:
          dish:
            type: text
            influence_conversation: true
            mappings: [{type: from_entity, entity: dish, conditions: [{active_loop: order_form, requested_slot: dish}]}]
          size:
            {type: categorical, values: [small, large], initial_value: small, mappings: [{type: from_intent, value: 1}]}
          price: {type: float, min_value: 0, max_value: 9, mappings: [{type: custom, action: action_price}]}
        forms: {order_form: {required_slots: [dish], ignored_intents: [greet]}}
        responses:
          utter_greet:
          - text: Hello
            buttons: [{title: Order, payload: /order}]
            channel: rest
            condition: [{type: slot, name: size, value: small}]
            metadata: {a: 1}
          utter_ask_dish: [{text: "Which?", image: a.png, custom: {b: 2}}]
          utter_faq/hours: [{text: Always}]
        actions: [action_price]
        session_config: {session_expiration_time: 60, carry_over_slots_to_new_session: true}
        config: {store_entities_as_slots: true}
    """,
    "data/nlu.yml": """
        version: "3.1"
        nlu:
        - {intent: greet, examples: "- hi\\n- hello"}
        - {intent: order, examples: [{text: "a [soup](dish)", metadata: {a: 1}}]}
        - {intent: faq/hours, examples: "- when"}
        - {synonym: soup, examples: "- broth"}
        - {regex: code, examples: "- [0-9]"}
        - {lookup: dish, examples: "- soup"}
    """,
    "data/stories.yml": """
        version: "3.1"
        stories:
        - story: s
          metadata: {a: 1}
          steps:
          - {intent: greet, entities: [{city: Rome, role: from}]}
          - {or: [{intent: order}, {slot_was_set: [{size: small}]}]}
          - {action: order_form}
          - {active_loop: order_form}
          - {slot_was_set: [{dish: soup}]}
          - {checkpoint: done, slot_was_set: [{dish: soup}]}
        - {story: t, steps: [{checkpoint: done}, {user: "more [soup](dish)"}, {bot: Here}, {action: utter_greet}]}
        rules:
        - rule: r
          conversation_start: true
          wait_for_user_input: false
          condition: [{slot_was_set: [{size: small}]}, {active_loop: order_form}]
          steps: [{intent: greet}, {action: utter_greet}]
    """,
    "endpoints.yml": """
        action_endpoint: {url: "http://localhost:5055/webhook"}
        tracker_store: {type: redis, url: localhost, port: 6379}
        nlg: {url: "http://localhost:5056/nlg"}
    """,
    "credentials.yml": """
        rest: {}
        socketio: {user_message_evt: user_uttered}
    """,
    "tests/test_all.yml": """
        stories:
        - {story: t, steps: [{user: hi, intent: greet}, {action: utter_greet}]}
        conversations:
        - {name: c, language: en, steps: [{user: hi}, {bot: Hello}, {action: utter_greet}, {slot: {size: small}}]}
    """,
}
WRONG: tuple[Any, ...] = (None, 5, 1.5, True, "x", "", [], {}, [1], [None], [[]], {"a": 1}, {1: {2: 3}}, "/x{")
CONTENTS = {name: yaml.safe_load(text) for name, text in FILES.items()}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each node of a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    out = copy.copy(value)
    out[path[0]] = replaced(value[path[0]], path[1:], by)
    return out


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_type_in_any_place_is_told_with_file_and_line(name: str, tmp_path: Path) -> None:
    for other, content in CONTENTS.items():
        write(tmp_path, other, content)
    refused = 0
    for number, path in enumerate(places(CONTENTS[name])):
        # Three of them in each place, other ones in the next: all in all places takes a minute (and passes).
        for wrong in WRONG[number % 5 :: 5]:
            write(tmp_path, name, replaced(CONTENTS[name], path, wrong))
            try:
                project = load_project(tmp_path)
                read_tests(project)
                validate(project)
            except ProjectErrors as errors:
                refused += 1
                placeless = [error for error in errors.errors if not (error.source and error.source.file)]
                if placeless:
                    pytest.fail(f"{wrong!r} at {path} of {name} is told without its place: {placeless[0]}")
            except FrontdeskError:
                refused += 1
            except Exception as error:
                pytest.fail(f"{wrong!r} at {path} of {name}: {type(error).__name__}: {error}")
    assert refused
