"""Writes training examples as files: Rasa's YAML, and its older JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.messages import EMPTY, Entity
from bot.training_data import Example, TrainingData
from bot.yaml_writing import FORMAT_VERSION, Quoted, to_yaml


def to_nlu_yaml(data: TrainingData, responses: Mapping[str, Any] = EMPTY) -> str:
    """The examples by intent, then synonyms, regular expressions, lookup tables, and responses as they are written.

    YAML has no place for an example without an intent, and none for an entity that overlaps another.
    """
    blocks = [
        *(_intent(intent, examples) for intent, examples in _by_intent(data.examples).items()),
        *({"synonym": value, **_lines(spellings)} for value, spellings in _by_value(data.synonyms).items()),
        *({"regex": name, **_lines(patterns)} for name, patterns in _patterns(data).items()),
        *({"lookup": table.name, **_lines(table.values)} for table in data.lookups),
    ]
    content = {key: value for key, value in (("nlu", blocks), ("responses", dict(responses))) if value}
    return to_yaml({"version": Quoted(FORMAT_VERSION), **content}) if content else ""


def to_nlu_json(data: TrainingData) -> str:
    """Rasa's older form, with the same content."""
    content = {
        "common_examples": [_json_example(example) for example in data.examples],
        "regex_features": [{"name": one.name, "pattern": one.pattern} for one in data.patterns],
        "lookup_tables": [{"name": table.name, "elements": list(table.values)} for table in data.lookups],
        "entity_synonyms": [
            {"value": value, "synonyms": spellings} for value, spellings in _by_value(data.synonyms).items()
        ],
    }
    return json.dumps({"rasa_nlu_data": content}, ensure_ascii=False, indent=2) + "\n"


def annotated(text: str, entities: Iterable[Entity]) -> str:
    """`fly to [Rome](city)`: the text with its entities in it."""
    pieces: list[str] = []
    at = 0
    for start, group in sorted(_by_start(entities).items()):
        if start < at:
            continue
        end = group[0].end
        said = text[start:end]
        pieces.append(text[at:start])
        written = [_attributes(entity, said) for entity in group]
        one = written[0]
        if len(written) > 1:
            pieces.append(f"[{said}][{', '.join(json.dumps(keys, ensure_ascii=False) for keys in written)}]")
        elif len(one) == 1:
            pieces.append(f"[{said}]({one['entity']})")
        else:
            pieces.append(f"[{said}]{json.dumps(one, ensure_ascii=False)}")
        at = end
    return "".join([*pieces, text[at:]])


def _by_start(entities: Iterable[Entity]) -> dict[int, list[Entity]]:
    """Those that begin and end together, by where they begin."""
    found: dict[int, list[Entity]] = {}
    for entity in entities:
        group = found.setdefault(entity.start, [])
        if not group or group[0].end == entity.end:
            group.append(entity)
    return found


def _attributes(entity: Entity, said: str) -> dict[str, Any]:
    keys = {"entity": entity.entity, "role": entity.role, "group": entity.group}
    if entity.value != said:
        keys["value"] = entity.value
    return {key: value for key, value in keys.items() if value is not None}


def _intent(intent: str, examples: Sequence[Example]) -> dict[str, Any]:
    block: dict[str, Any] = {"intent": intent}
    shared = next((one.metadata["intent"] for one in examples if "intent" in one.metadata), None)
    if shared is not None:
        block["metadata"] = shared
    texts = [annotated(one.text, one.entities).strip("\n\r ") for one in examples]
    if any("example" in one.metadata for one in examples) or any(set(text) & set("\b\f\n\r\t") for text in texts):
        block["examples"] = [
            {"text": text + "\n"} | ({"metadata": one.metadata["example"]} if "example" in one.metadata else {})
            for text, one in zip(texts, examples, strict=True)
        ]
        return block
    return block | _lines(texts)


def _lines(texts: Iterable[str]) -> dict[str, Any]:
    return {"examples": "".join(f"- {text}\n" for text in texts)}


def _json_example(example: Example) -> dict[str, Any]:
    out: dict[str, Any] = {"text": example.text}
    if example.intent:
        out["intent"] = example.intent
    if example.entities:
        out["entities"] = [entity.to_json() for entity in example.entities]
    if "example" in example.metadata:
        out["metadata"] = example.metadata["example"]
    return out


def _by_intent(examples: Iterable[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in examples:
        if example.intent:
            found.setdefault(example.intent, []).append(example)
    return found


def _by_value(synonyms: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for spelling, value in synonyms.items():
        if spelling != value:
            found.setdefault(value, []).append(spelling)
    return found


def _patterns(data: TrainingData) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in data.patterns:
        found.setdefault(one.name, []).append(one.pattern)
    return found
