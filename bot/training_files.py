"""Training data as files, without a project around them: converted to another format, split into training and test."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.errors import ConfigError
from bot.nlu_file import NluReader
from bot.nlu_json import NluJsonReader
from bot.nlu_writing import to_nlu_json, to_nlu_yaml
from bot.project import DATA_SUFFIXES, files_in
from bot.training_data import Example, TrainingData
from bot.yaml_file import Problems, YamlList, YamlMap, plain, read_yaml, shown
from bot.yaml_writing import FORMAT_VERSION, Quoted, to_yaml

FORMATS = ("yaml", "json")


@dataclass(frozen=True, slots=True)
class NluFiles:
    """What a file or a folder says about understanding; `responses` as they are written, `notes` for the user."""

    data: TrainingData
    responses: Mapping[str, Any]
    notes: tuple[str, ...]


def read_nlu_files(place: Path, language: str = "en") -> NluFiles:
    """The examples in a file or a folder, YAML and JSON. `ProjectErrors` with all mistakes in them."""
    problems = Problems(strict=False)
    reader = NluReader(problems)
    json_reader = NluJsonReader(reader, Path(), language)
    responses: dict[str, Any] = {}
    for file in _data_files(place):
        if file.suffix == ".json":
            json_reader.read(file)
            continue
        content = read_yaml(file, problems)
        if isinstance(content, YamlMap):
            reader.read(content.get("nlu"), content.sources.get("nlu", content.source))
            if isinstance(content.get("responses"), YamlMap):
                responses |= plain(content["responses"])
    problems.raise_errors()
    return NluFiles(reader.data(), responses, tuple(str(warning) for warning in problems.warnings))


def convert_nlu(place: Path, out: Path, kind: str, language: str = "en") -> list[str]:
    """Write the examples in `place` to the file `out` as YAML or JSON; returns what there is to say about it."""
    if kind not in FORMATS:
        raise ConfigError(f"'{kind}' is no format: {' or '.join(FORMATS)}")
    found = read_nlu_files(place, language)
    _write(out, to_nlu_json(found.data) if kind == "json" else to_nlu_yaml(found.data, found.responses))
    notes = list(found.notes)
    unnamed = sum(not example.intent for example in found.data.examples)
    if found.responses and kind == "json":
        notes.append(f"responses ({len(found.responses)}) are left out: JSON has no place for them")
    if unnamed and kind == "yaml":
        notes.append(f"examples without an intent ({unnamed}) are left out: YAML has no place for them")
    return notes


def split_nlu(place: Path, out: Path, fraction: float, seed: int | None) -> tuple[list[Path], list[str]]:
    """Write `training_data.yml` and `test_data.yml` into `out`; returns the files, and what there is to say.

    Synonyms, regular expressions and lookup tables stand in both; the answers of retrieval intents in files of their
    own, `nlg_…`, each with those its examples need.
    """
    _check_fraction(fraction)
    found = read_nlu_files(place)
    notes = list(found.notes)
    training, test = split_examples(found.data.examples, fraction, seed)
    lost = sorted({one.intent for one in test} - {one.intent for one in training})
    notes += [f"intent '{intent}' has one example, which is in the test data" for intent in lost]
    files = []
    for name, examples in (("training_data.yml", training), ("test_data.yml", test)):
        files.append(_write(out / name, to_nlu_yaml(dataclasses.replace(found.data, examples=tuple(examples)))))
        needed = {f"utter_{example.intent}" for example in examples}
        responses = {key: value for key, value in found.responses.items() if key in needed}
        if responses:
            files.append(_write(out / f"nlg_{name}", to_nlu_yaml(TrainingData(), responses)))
    return files, notes


def split_examples(
    examples: Sequence[Example], fraction: float, seed: int | None = None
) -> tuple[list[Example], list[Example]]:
    """Training and test examples, each text once, in the order of the files.

    As Rasa does it: each intent (each answer of a retrieval intent) is in both, rare ones are shared out first, and
    frequent ones make up for what that costs the fraction. What has no intent is for training.
    """
    once = list({(one.text, one.intent, one.entities): one for one in examples}.values())
    counts = Counter(one.intent for one in once if one.intent)
    training = [one for one in once if not one.intent]
    seen = chosen = 0
    for intent in sorted(counts, key=lambda name: ("/" not in name, counts[name])):
        own = [one for one in once if one.intent == intent]
        random.Random(seed).shuffle(own)
        exact = int((seen + len(own)) * fraction) - chosen
        number = min(len(own) - 1, max(1, exact))
        training += own[:number]
        seen, chosen = seen + len(own), chosen + number
    kept = {id(one) for one in training}
    return [one for one in once if id(one) in kept], [one for one in once if id(one) not in kept]


def split_stories(place: Path, out: Path, fraction: float, seed: int | None) -> tuple[list[Path], list[str]]:
    """Write each file's stories into `train_…` and `test_…` in `out`; what else stands in it is for training.

    The same seed chooses the same stories as in Rasa.
    """
    _check_fraction(fraction)
    problems = Problems(strict=False)
    files, notes = [], []
    for file in _data_files(place, (".yml", ".yaml")):
        content = read_yaml(file, problems)
        stories = content.get("stories") if isinstance(content, YamlMap) else None
        if not isinstance(stories, YamlList) or not stories:
            continue
        tested = math.ceil((1 - fraction) * len(stories))
        if tested == len(stories):
            notes.append(f"{shown(file)}: too few stories to split, all are for training")
            tested = 0
        order = np.random.RandomState(seed).permutation(len(stories))
        name = (file.relative_to(place) if place.is_dir() else Path(file.name)).as_posix().replace("/", "_")
        test, training = ([plain(stories[i]) for i in part] for part in (order[:tested], order[tested:]))
        files.append(_write(out / f"train_{name}", to_yaml({**plain(content), "stories": training})))
        if test:
            content = {"version": Quoted(FORMAT_VERSION), "stories": test}
            files.append(_write(out / f"test_{name}", to_yaml(content)))
    problems.raise_errors()
    if not files:
        raise ConfigError(f"there are no stories in '{shown(place)}'")
    return files, notes


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ConfigError(f"the training fraction is between 0 and 1, as 0.8; it cannot be {fraction:g}")


def _data_files(place: Path, suffixes: Sequence[str] = DATA_SUFFIXES) -> Iterator[Path]:
    if place.suffix == ".md":
        raise ConfigError(f"'{shown(place)}' is Markdown, of Rasa 1 or 2. Run: frontdesk migrate")
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from files_in(place, suffixes)
    else:
        raise ConfigError(f"there is no file or folder '{shown(place)}'")


def _write(file: Path, text: str) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"'{shown(file)}' cannot be written: {error.strerror or error}") from error
    return file
