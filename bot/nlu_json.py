"""Reads training examples in JSON: Rasa's own (`rasa_nlu_data`), and exports of LUIS, Wit.ai and Dialogflow.

The formats are told apart by their keys, as in Rasa.
Source: https://legacy-docs-oss.rasa.com/docs/rasa/migrate-from/google-dialogflow-to-rasa and Rasa 3.6's JSON schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import Source
from bot.json_file import read_json
from bot.messages import Entity
from bot.nlu_file import NluReader
from bot.training_data import Example
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain, read_text, shown

_RASA_KEYS = ("common_examples", "entity_synonyms", "regex_features", "lookup_tables")
_LUIS_READABLE = 7
"""The newest version of LUIS's schema that Rasa was tried with."""


@dataclass(slots=True)
class NluJsonReader:
    """Hands what JSON files say to `reader`. A lookup table's file is looked for in `root`.

    Of Dialogflow's phrases, those in `language` are read.
    """

    reader: NluReader
    root: Path
    language: str

    @property
    def problems(self) -> Problems:
        return self.reader.problems

    def read(self, path: Path) -> list[Path]:
        """Take in a file, and return those with words for its lookup tables.

        One that Rasa does not know either is passed over, and said.
        """
        content = read_json(path, self.problems)
        keys = set(content) if isinstance(content, YamlMap) else set()
        place = content.source if isinstance(content, YamlMap | YamlList) else Source(shown(path))
        fields = Fields(content if isinstance(content, YamlMap) else None, place, "the file", self.problems)
        if "luis_schema_version" in keys:
            self._luis(fields)
        elif "utterances" in keys:
            self._wit(fields)
        elif "rasa_nlu_data" in keys:
            return list(self._rasa(fields))
        elif "supportedLanguages" in keys or keys == {"version"} or _is_part_of_dialogflow(path):
            # Dialogflow's settings, and phrases that are read with what they belong to.
            pass
        elif "responses" in keys:
            self._dialogflow_intent(fields, path)
        elif "isEnum" in keys:
            self._dialogflow_entity(fields, path)
        elif content is not None:
            self.problems.warn("this is no training data: it is passed over", Source(shown(path)))
        return []

    # ---- Rasa ----

    def _rasa(self, fields: Fields) -> Iterator[Path]:
        for key in fields.data:
            if key != "rasa_nlu_data":
                self.problems.unknown("key beside 'rasa_nlu_data'", key, (), fields.source(key))
        source = fields.source("rasa_nlu_data")
        data = Fields(fields.data["rasa_nlu_data"], source, "'rasa_nlu_data'", self.problems, _RASA_KEYS, loose=True)
        for one in _each(data, "common_examples"):
            self._example(one, one.text("text") or "", one.text("intent") or "")
        for one in _each(data, "entity_synonyms"):
            value = one.text("value")
            for spelling, place in one.text_items("synonyms") if value else ():
                self.reader.synonym(spelling, value or "", place)
        for one in _each(data, "regex_features"):
            self._pattern(one, "pattern")
        for one in _each(data, "lookup_tables"):
            yield from self._lookup(one)

    def _example(self, one: Fields, text: str, intent: str) -> None:
        entities = []
        for spot in _each(one, "entities"):
            start, end = spot.whole("start", -1), spot.whole("end", -1)
            name = spot.text("entity")
            if not name:
                self.problems.add(f"an entity of '{text}' has no name: write \"entity\"", spot.place)
            elif not 0 <= start < end <= len(text):
                message = f"the entity '{name}' is not in '{text}': 'start' and 'end' are {start} and {end}"
                self.problems.doubt(message, spot.place)
            else:
                value = spot.data.get("value", text[start:end])
                role, group, by = spot.text("role"), spot.text("group"), spot.text("extractor")
                entities.append(Entity(name, value, start, end, role=role, group=group, extractor=by))
        metadata = {"example": plain(one.data["metadata"])} if one.data.get("metadata") else {}
        self.reader.example(Example(text, intent.strip(), tuple(entities), metadata, one.place))

    def _pattern(self, one: Fields, key: str) -> None:
        name, pattern = one.text("name"), one.text(key)
        if name and pattern:
            self.reader.pattern(name, pattern, one.source(key))
        else:
            self.problems.doubt(f"a regular expression needs 'name' and '{key}'", one.place)

    def _lookup(self, one: Fields) -> Iterator[Path]:
        """The words are a list, or the lines of a file."""
        name = one.text("name")
        if not name:
            self.problems.doubt("a lookup table needs a 'name'", one.place)
            return
        elements, source = one.data.get("elements"), one.source("elements")
        if not isinstance(elements, str):
            self.reader.lookup(name, [text for text, _ in one.text_items("elements")], source)
            return
        file = self.root / elements
        if not file.is_file():
            self.problems.add(f"there is no file '{elements}' for the lookup table '{name}'", source)
            return
        yield file
        lines = (read_text(file, self.problems) or "").splitlines()
        self.reader.lookup(name, [line.strip() for line in lines if line.strip()], source)

    # ---- LUIS ----

    def _luis(self, fields: Fields) -> None:
        version = str(fields.data["luis_schema_version"])
        if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) > _LUIS_READABLE:
            message = f"LUIS's schema {version} is newer than {_LUIS_READABLE}: see whether its examples are all there"
            self.problems.warn(message, fields.source("luis_schema_version"))
        for one in _each(fields, "utterances"):
            text = one.text("text") or ""
            spots = list(_each(one, "entities"))
            for spot in spots:
                spot.data["start"] = spot.data.get("startPos")
                spot.data["end"] = spot.whole("endPos", -1) + 1
            self._example(one, text, one.text("intent") or "")
        for one in _each(fields, "regex_features"):
            if one.flag("activated", False):
                self._pattern(one, "pattern")
        for one in _each(fields, "regex_entities"):
            self._pattern(one, "regexPattern")

    # ---- Wit.ai ----

    def _wit(self, fields: Fields) -> None:
        for one in _each(fields, "utterances"):
            if one.data.get("entities") is None:
                continue
            for spot in _each(one, "entities"):
                name, colon, role = (spot.text("entity") or "").rpartition(":")
                if colon:
                    spot.data.update(entity=name, role=role, value=spot.data.get("body"))
            self._example(one, one.text("text") or "", one.text("intent") or "out_of_scope")

    # ---- Dialogflow ----

    def _dialogflow_intent(self, fields: Fields, path: Path) -> None:
        intent = fields.text("name") or path.stem
        for one in self._belonging(path, "usersays"):
            text, entities = "", []
            for chunk in _each(one, "data"):
                said = chunk.text("text") or ""
                name = chunk.text("alias") or chunk.text("meta")
                if name and name != "@sys.ignore" and said:
                    entities.append(Entity(name, said, len(text), len(text) + len(said)))
                text += said
            self.reader.example(Example(text, intent, tuple(entities), source=one.place))

    def _dialogflow_entity(self, fields: Fields, path: Path) -> None:
        name = fields.text("name") or path.stem
        for one in self._belonging(path, "entries"):
            value = one.text("value") or ""
            spellings = [(text, place) for text, place in one.text_items("synonyms")]
            for spelling, place in spellings:
                self.reader.synonym(spelling, value, place)
                if fields.flag("isRegexp", False):
                    self.reader.pattern(name, spelling, place)
            if not fields.flag("isRegexp", False):
                self.reader.lookup(name, [text for text, _ in spellings if "@" not in text], one.place)

    def _belonging(self, path: Path, kind: str) -> Iterator[Fields]:
        """The phrases of an intent or the entries of an entity, in the file beside it."""
        file = path.with_name(f"{path.stem}_{kind}_{self.language}.json")
        if not file.is_file():
            self.problems.warn(f"there is no '{file.name}' beside this: it has no examples", Source(shown(path)))
            return
        content = read_json(file, self.problems)
        if isinstance(content, YamlList):
            for item, place in zip(content, content.sources, strict=True):
                yield Fields(item, place, f"an entry of '{file.name}'", self.problems)
        elif content is not None:
            self.problems.add(f"this must be a list, not {kind_of(content)}", Source(shown(file)))


def _is_part_of_dialogflow(path: Path) -> bool:
    return "_usersays_" in path.name or "_entries_" in path.name


def _each(fields: Fields, key: str) -> Iterator[Fields]:
    """The mappings of a list."""
    items: Any = fields.sequence(key)
    for item, place in zip(items, items.sources, strict=True):
        yield Fields(item, place, f"an entry of '{key}'", fields.problems)
