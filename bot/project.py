"""Finds and reads a project: config.yml with its packs, or a folder in Rasa's own layout, unmodified.

Ours names packs (`domains: [common, banking]`), each a folder of YAML, documents and tests, in the
project's `domains/` or among those that Frontdesk brings. Rasa's has domain.yml (or domain/) and data/.
A project of ours may have those two as well: they come last, and what they say counts.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bot import __version__
from bot.config import Config, load_config
from bot.domain import Domain
from bot.domain_file import DOMAIN_KEYS, DomainReader, check_domain
from bot.errors import ConfigError, DataError, Source, UnknownName
from bot.nlu_file import NluReader
from bot.nlu_json import NluJsonReader
from bot.story_file import read_rules, read_stories
from bot.training_data import ActionStep, Rule, Story, TrainingData
from bot.validation import check_dialogues, check_examples
from bot.yaml_file import Fields, Problems, YamlMap, read_yaml, shown

_D = TypeVar("_D", Story, Rule)
DATA_KEYS = ("nlu", "stories", "rules")
DATA_SUFFIXES = (".yml", ".yaml", ".json")
LEARNING = 2
"""One more whenever the same data make another model: models of the time before are then trained again."""
READABLE = ("3",)
"""Versions of the file format, by their first digit."""


@dataclass(frozen=True, slots=True)
class Project:
    """All that a project says. `fingerprint` changes with everything that a model is made of.

    `knowledge` are the folders with documents, `tests` the files for `frontdesk test`, `warnings` what is
    doubtful about the files but can be worked with.
    """

    root: Path
    config: Config
    domain: Domain
    data: TrainingData
    stories: tuple[Story, ...]
    rules: tuple[Rule, ...]
    knowledge: tuple[Path, ...]
    tests: tuple[Path, ...]
    fingerprint: str
    warnings: tuple[DataError | ConfigError, ...] = ()


def load_project(root: Path, *, endpoints: Path | None = None, credentials: Path | None = None) -> Project:
    """Read the project in `root`. All mistakes in its files at once, as `ProjectErrors`.

    Rasa's endpoints.yml and credentials.yml are in the project unless they are named.
    """
    root = root.resolve()
    if not root.is_dir():
        raise ConfigError(f"there is no folder '{shown(root)}'")
    if not (root / "config.yml").is_file():
        raise ConfigError(
            f"there is no config.yml in '{shown(root)}': this is no project. Name its folder with --project, "
            "or make one: frontdesk init my-bank"
        )
    if str(root) not in sys.path:
        # Components of the project's own; last, so that nothing in it takes the place of a library.
        sys.path.append(str(root))
    problems = Problems()
    config = load_config(root, problems, endpoints=endpoints, credentials=credentials)
    layers = [_pack(root, name, source, problems) for name, source in config.packs or ()]
    sources = [layer for layer in layers if layer]
    reader = _Reader(problems, root, config.languages[0])
    for folder in sources:
        reader.layer(_yaml_files(folder, below=False))
    reader.layer(_own_files(root, config.packs is None, problems))
    domain = reader.domain.domain()
    check_domain(domain, problems)
    check_dialogues([*reader.stories, *reader.rules], domain, problems)
    check_examples(reader.nlu.examples, domain, problems)
    problems.raise_errors()
    knowledge = tuple(place for folder in (*sources, root) if (place := folder / "knowledge").is_dir())
    files = [*reader.files, *(file for place in knowledge for file in sorted(place.rglob("*.md")))]
    return Project(
        root=root,
        config=config,
        domain=domain,
        data=reader.nlu.data(_retrieval_responses(domain)),
        stories=tuple(reader.stories),
        rules=tuple(reader.rules),
        knowledge=knowledge,
        tests=tuple(_test_files((*sources, root), config.packs is None)),
        fingerprint=_fingerprint(files, [*sources, root], config),
        warnings=tuple(problems.warnings),
    )


def packs_folder() -> Path:
    """Where the packs are that Frontdesk brings."""
    return Path(next(iter(importlib.import_module("bot.domains").__path__)))


def _pack(root: Path, name: str, source: Source, problems: Problems) -> Path | None:
    """The folder of a pack: the project's own before one of ours."""
    places = [root / "domains", packs_folder()]
    for place in places:
        if name and (place / name / "domain.yml").is_file():
            return place / name
    known = {file.parent.name for place in places if place.is_dir() for file in place.glob("*/domain.yml")}
    problems.errors.append(UnknownName("pack", name, known, source))
    return None


def _own_files(root: Path, is_rasa: bool, problems: Problems) -> list[Path]:
    """The project's own domain and data, where Rasa has them."""
    found = [file for name in ("domain.yml", "domain.yaml") if (file := root / name).is_file()]
    if (root / "domain").is_dir():
        found += _yaml_files(root / "domain")
    if is_rasa and not found:
        message = "the project has neither packs (`domains:` in config.yml) nor a domain.yml"
        problems.add(message, Source(shown(root / "config.yml")))
    if (root / "data").is_dir():
        found += files_in(root / "data", DATA_SUFFIXES)
    return found


def _test_files(folders: Sequence[Path], is_rasa: bool) -> Iterator[Path]:
    """What is in tests/; in a Rasa project also what is below it, and files called test_… anywhere, as in Rasa.

    Beside a pack's files, a team keeps those of its code in folders below tests/.
    """
    for folder in folders:
        if (folder / "tests").is_dir():
            yield from _yaml_files(folder / "tests", below=is_rasa)
    for place in sorted(folders[-1].iterdir()) if is_rasa else ():
        if place.is_file():
            found = [place] if place.suffix in (".yml", ".yaml") else []
        elif place.name.startswith(".") or place.name in _WITHOUT_TESTS or (place / "pyvenv.cfg").is_file():
            continue
        else:
            found = _yaml_files(place)
        yield from (file for file in found if file.name.startswith("test_"))


_WITHOUT_TESTS = ("tests", "models", "results", "node_modules", "before_migration")
"""Folders that are not searched: the first has been, the last keeps the files of before `frontdesk migrate`."""


def _yaml_files(folder: Path, *, below: bool = True) -> list[Path]:
    return files_in(folder, (".yml", ".yaml"), below=below)


def files_in(folder: Path, suffixes: Sequence[str], *, below: bool = True) -> list[Path]:
    """The files in a folder (and below it, but not in a project that lies there), by name."""
    return sorted(_walk(folder, suffixes, below))


def _walk(folder: Path, suffixes: Sequence[str], below: bool) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"the folder '{shown(folder)}' cannot be read: {error.strerror or error}") from error
    for entry in entries:
        if entry.is_dir():
            if below and not entry.name.startswith(".") and not (entry / "config.yml").is_file():
                yield from _walk(entry, suffixes, below)
        elif entry.suffix in suffixes:
            yield entry


class _Reader:
    """Hands each section of each file to whoever reads it."""

    def __init__(self, problems: Problems, root: Path, language: str) -> None:
        self.problems = problems
        self.domain = DomainReader(problems)
        self.nlu = NluReader(problems)
        self.json = NluJsonReader(self.nlu, root, language)
        self.stories: list[Story] = []
        self.rules: list[Rule] = []
        self.files: list[Path] = []

    def layer(self, files: Iterable[Path]) -> None:
        """Files that stand beside each other; those of a later layer count for more."""
        self.domain.next_layer()
        stories: list[Story] = []
        rules: list[Rule] = []
        for file in files:
            self.files.append(file)
            if file.suffix == ".json":
                self.files += self.json.read(file)
                continue
            content = read_yaml(file, self.problems)
            if content is None or self._is_foreign(content, file):
                continue
            known = ("version", *DOMAIN_KEYS, *DATA_KEYS)
            fields = Fields(
                content, Source(shown(file), 1), f"the file '{file.name}'", self.problems, known, loose=True
            )
            self._check_version(fields)
            self.domain.read(fields.data)
            self.nlu.read(fields.data.get("nlu"), fields.source("nlu"))
            stories += read_stories(fields.data.get("stories"), fields.source("stories"), self.problems)
            rules += read_rules(fields.data.get("rules"), fields.source("rules"), self.problems)
        self.stories = _with_later(self.stories, stories)
        self.rules = _with_later(self.rules, rules)
        # What the bot says in end-to-end stories, each an action of its own.
        steps = [step for story in self.stories for step in story.steps]
        self.domain.action_texts |= {step.text: None for step in steps if isinstance(step, ActionStep) and step.text}

    def _is_foreign(self, content: object, file: Path) -> bool:
        """In a project of Rasa's layout, YAML of something else may lie about, and Rasa passes over it."""
        known = isinstance(content, YamlMap) and any(key in content for key in (*DOMAIN_KEYS, *DATA_KEYS))
        if self.problems.strict or known:
            return False
        self.problems.warn("this is neither a domain nor training data: it is passed over", Source(shown(file)))
        return True

    def _check_version(self, fields: Fields) -> None:
        version = fields.data.get("version")
        if version is not None and str(version).partition(".")[0] not in READABLE:
            message = f"the file is of format version {version}, not 3.1. Run: frontdesk migrate"
            self.problems.doubt(message, fields.source("version"))


def _with_later(earlier: Sequence[_D], later: Sequence[_D]) -> list[_D]:
    """Both; of a later layer's name the earlier ones are gone."""
    names = {one.name for one in later if one.name}
    return [one for one in earlier if one.name not in names] + list(later)


def _retrieval_responses(domain: Domain) -> dict[str, tuple[str, ...]]:
    """`faq/ask_name` to the texts of `utter_faq/ask_name`."""
    return {
        name.removeprefix("utter_"): tuple(response.message.text or "" for response in variations)
        for name, variations in domain.responses.items()
        if "/" in name
    }


def _fingerprint(files: Sequence[Path], places: Sequence[Path], config: Config) -> str:
    """Of all files' bytes, under names that do not depend on where the project lies, and what shapes a model."""
    digest = hashlib.sha256(f"{__version__} {LEARNING}".encode())
    for file in files:
        # A lookup table's file may lie anywhere.
        place = next((place for place in places if file.is_relative_to(place)), file.parent)
        digest.update(f"\0{place.name if place != places[-1] else ''}/{file.relative_to(place).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    # Where a server is shapes no model.
    settings = [
        [(one.name, sorted((key, value) for key, value in one.options.items() if key != "url")) for one in part]
        for part in (config.pipeline, config.policies)
    ]
    digest.update(repr((config.languages, config.seed, settings)).encode())
    return digest.hexdigest()
