"""Reads training examples (`nlu:`) in Rasa's YAML: intents, synonyms, regular expressions, lookup tables.

Source: https://rasa.com/docs/rasa/training-data-format#nlu-training-data
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.errors import Source
from bot.messages import EMPTY, Entity
from bot.training_data import Example, Lookup, Pattern, TrainingData
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain

_ANNOTATION = re.compile(
    r"\[(?P<text>[^\]]+?)\](?:\((?P<entity>[^:)]+?)(?::(?P<value>[^)]+))?\)|\{(?P<one>[^}]+?)\}|\[(?P<many>.*?)\])"
)
_ONE_OF_MANY = re.compile(r"\{(?P<one>[^}]+?)\}")
_IS_FILE_NAME = re.compile(r"^[\w./\\-]+\.(?:txt|csv)$")
_ENTITY_KEYS = ("entity", "role", "group", "value")
_KINDS = ("intent", "synonym", "regex", "lookup")


@dataclass(slots=True)
class NluReader:
    """Collects what several files say. `data()` is all of it."""

    problems: Problems
    examples: list[Example] = field(default_factory=list)
    synonyms: dict[str, str] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    lookups: dict[str, list[str]] = field(default_factory=dict)
    _lookup_sources: dict[str, Source] = field(default_factory=dict)
    _synonym_sources: dict[str, Source] = field(default_factory=dict)

    def read(self, section: Any, source: Source) -> None:
        """Take in the value of a file's `nlu:` key."""
        if section is None:
            return
        if not isinstance(section, YamlList):
            self.problems.add(f"'nlu' must be a list, not {kind_of(section)}", source)
            return
        for block, place in zip(section, section.sources, strict=True):
            self._block(block, place)

    def data(self, responses: Mapping[str, tuple[str, ...]] = EMPTY) -> TrainingData:
        return TrainingData(
            examples=tuple(self.examples),
            synonyms=dict(self.synonyms),
            patterns=tuple(self.patterns),
            lookups=tuple(
                Lookup(name, tuple(dict.fromkeys(values)), self._lookup_sources[name])
                for name, values in self.lookups.items()
            ),
            responses=dict(responses),
        )

    def _block(self, block: Any, source: Source) -> None:
        known = (*_KINDS, "examples", "metadata")
        fields = Fields(block, source, "this block of 'nlu'", self.problems, known)
        kind = next((kind for kind in _KINDS if kind in fields.data), None)
        if kind is None:
            if isinstance(block, YamlMap) and set(block) <= set(known):
                self.problems.add(f"a block of 'nlu' needs one of the keys {', '.join(_KINDS)}", source)
            return
        name = fields.text(kind)
        if not name:
            self.problems.add(f"the {kind} has no name", fields.source(kind))
            return
        found = list(self._examples(fields, f"{kind} '{name}'"))
        if not found and not self._was_wrong(fields):
            self.problems.doubt(f"{kind} '{name}' has no examples", source)
        for text, metadata, place in found:
            match kind:
                case "intent":
                    self._example(text, name, metadata, place)
                case "synonym":
                    self.synonym(text, name, place)
                case "regex":
                    self.pattern(name, text, place)
                case _:
                    if _IS_FILE_NAME.search(text):
                        message = (
                            f"'{text}' is a value of the lookup table '{name}': to mean a file's lines, write them here"
                        )
                        self.problems.warn(message, place)
                    self.lookup(name, [text], source)

    @staticmethod
    def _was_wrong(fields: Fields) -> bool:
        return fields.data.get("examples") is not None and not isinstance(fields.data["examples"], str | YamlList)

    def _examples(self, fields: Fields, what: str) -> Iterator[tuple[str, Mapping[str, Any], Source]]:
        """(text, metadata, place) of each line `- …`, or of each `{text, metadata}` of a list."""
        value, source = fields.data.get("examples"), fields.source("examples")
        shared = _metadata("intent", fields.data.get("metadata"))
        if isinstance(value, str):
            # After `examples: |` they begin on the next line; `examples: "- one"` is on the same.
            first = 1 if "\n" in value else 0
            for number, line in enumerate(value.splitlines(), first):
                place = Source(source.file, source.line + number)
                if line.startswith("-"):
                    text = line[1:].strip("\n\r ")
                    if text:
                        yield text, shared, place
                    else:
                        self.problems.doubt(f"an example of {what} is empty", place)
                elif line.strip():
                    self.problems.doubt(f"an example of {what} must begin with '- ': '{line.strip()}'", place)
        elif isinstance(value, YamlList):
            for item, place in zip(value, value.sources, strict=True):
                one = Fields(item, place, f"an example of {what}", self.problems, ("text", "metadata"))
                text = (one.text("text") or "").strip("\n\r ").removeprefix("- ")
                if text:
                    yield text, {**shared, **_metadata("example", one.data.get("metadata"))}, place
        elif value is not None:
            fields.wrong("examples", "lines that begin with '- ' (after `examples: |`)")

    def _example(self, text: str, intent: str, metadata: Mapping[str, Any], source: Source) -> None:
        words, entities = read_annotations(text, source, self.problems)
        self.example(Example(words, intent, entities, metadata, source))

    def example(self, example: Example) -> None:
        """Take in an example; what an entity's words stand for is a synonym."""
        for entity in example.entities:
            said = example.text[entity.start : entity.end]
            if isinstance(entity.value, str | int | float) and entity.value != said:
                self.synonym(said, str(entity.value), example.source)
        self.examples.append(example)

    def lookup(self, name: str, values: Iterable[str], source: Source) -> None:
        self.lookups.setdefault(name, []).extend(values)
        self._lookup_sources.setdefault(name, source)

    def synonym(self, spelling: str, value: str, source: Source) -> None:
        known = self.synonyms.get(spelling)
        if known is not None and known != value:
            earlier = self._synonym_sources[spelling]
            message = f"'{spelling}' stands for '{value}' here and for '{known}' in {earlier}: this one counts"
            self.problems.warn(message, source)
        self.synonyms[spelling] = value
        self._synonym_sources[spelling] = source

    def pattern(self, name: str, pattern: str, source: Source) -> None:
        import regex

        try:
            regex.compile(pattern)
        except regex.error as error:
            self.problems.add(f"the regular expression '{pattern}' of '{name}' is not valid: {error}", source)
            return
        self.patterns.append(Pattern(name, pattern, source))


def _metadata(key: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {key: plain(value)}


def read_annotations(text: str, source: Source, problems: Problems) -> tuple[str, tuple[Entity, ...]]:
    """`fly to [Rome](city)` → the plain text and its entities, at their places in it."""
    if "[" not in text:
        return text, ()
    pieces: list[str] = []
    entities: list[Entity] = []
    length = last = 0
    for match in _ANNOTATION.finditer(text):
        pieces.append(text[last : match.start()])
        length += len(pieces[-1])
        said = match["text"]
        start, end = length, length + len(said)
        if match["entity"]:
            entities.append(Entity(match["entity"], match["value"] or said, start, end))
        else:
            written = [match["one"]] if match["one"] else [one["one"] for one in _ONE_OF_MANY.finditer(match["many"])]
            if not written:
                problems.doubt(f"'{match[0]}' annotates nothing: write [{said}](city) for an entity", source)
            for one in written:
                entity = _annotated(one, said, start, end, source, problems)
                entities += [entity] if entity else []
        pieces.append(said)
        length, last = end, match.end()
    pieces.append(text[last:])
    return "".join(pieces), tuple(entities)


def _annotated(inside: str, said: str, start: int, end: int, source: Source, problems: Problems) -> Entity | None:
    try:
        data: dict[str, Any] = json.loads("{" + inside + "}")
    except ValueError:
        problems.add(
            f'the annotation {{{inside}}} of \'{said}\' is not JSON, as in [{said}]{{"entity": "city"}}', source
        )
        return None
    for key, value in data.items():
        if key not in _ENTITY_KEYS:
            problems.unknown("key of an annotation", key, _ENTITY_KEYS, source, loose=True)
        elif not isinstance(value, str) and (key != "value" or not isinstance(value, int | float)):
            problems.add(f"'{key}' of the annotation of '{said}' must be text, not {kind_of(value)}", source)
            return None
    if not data.get("entity"):
        problems.add(f"the annotation {{{inside}}} of '{said}' names no entity", source)
        return None
    return Entity(data["entity"], data.get("value", said), start, end, role=data.get("role"), group=data.get("group"))
