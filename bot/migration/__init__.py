"""Projects of Rasa 1 and 2 in the form of Rasa 3.

Nothing is written before everything has been read. Files that need no change stay as they are, to the byte; in a
file that does, so does all that needs none.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain_file import DOMAIN_KEYS
from bot.errors import ConfigError, Source
from bot.migration.config import migrate_config
from bot.migration.domain import DomainFile, DomainMigration, check_shape
from bot.migration.form_actions import read_form_actions
from bot.migration.log import Change, Log, ToDo
from bot.migration.markdown import is_markdown_test, read_markdown
from bot.migration.yaml_text import YamlText
from bot.project import files_in
from bot.yaml_file import Problems, YamlList, YamlMap, parse_yaml, read_text, shown
from bot.yaml_writing import FORMAT_VERSION, Quoted, to_yaml

BACKUP = "before_migration"
"""The folder in a project for files as they were."""
_NOT_COPIED = shutil.ignore_patterns(BACKUP, "models", ".git", ".rasa", ".venv", "venv", "__pycache__", "node_modules")
_OLD = re.compile(r"^[12](?:\.|$)")


@dataclass(slots=True)
class Migration:
    """What becomes of a project: the new texts by file, and the files that others take the place of."""

    root: Path
    log: Log = field(default_factory=Log)
    texts: dict[Path, str] = field(default_factory=dict)
    gone: list[Path] = field(default_factory=list)

    @property
    def changes(self) -> list[Change]:
        return sorted(self.log.changes)

    @property
    def to_do(self) -> list[ToDo]:
        return sorted(self.log.to_do)


def plan(root: Path) -> Migration:
    """What would change in the project in `root`; nothing is written. `ProjectErrors` when a file cannot be read."""
    root = root.resolve()
    if not (root / "config.yml").is_file():
        raise ConfigError(f"there is no config.yml in '{shown(root)}': name the project's folder with --project")
    problems = Problems(strict=False)
    migration = Migration(root)
    log = migration.log
    domain = DomainMigration(list(_domain_files(root, problems)), log, read_form_actions(root, log))
    problems.raise_errors()
    domain.run()
    for file in domain.files:
        _set_version(file, log)
        if file.text.is_changed:
            migration.texts[file.path] = file.text.text()
    _other_yaml(migration, problems)
    _markdown(migration, problems)
    rules = [_rule_of_trigger(intent, action) for intent, action in domain.triggers.items()]
    found = _open(root / "config.yml", problems)
    if found:
        rules += migrate_config(found.content, found.text, log, needs_rules=bool(rules))
        if found.text.is_changed:
            migration.texts[found.path] = found.text.text()
    if rules:
        _add_rules(migration, rules, problems)
    for path, text in migration.texts.items():
        # What an anchor stood for, say, must still be there.
        parse_yaml(text, shown(path), problems)
    problems.raise_errors()
    return migration


def write(migration: Migration, out: Path | None = None) -> Path:
    """Carry a plan out: in the project's folder, with a backup, or in a copy at `out`. Returns that folder."""
    root = migration.root
    try:
        if out is None:
            return _write_in_place(migration)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"'{shown(out)}' is there already: name a new folder with --out")
        if out.resolve().is_relative_to(root):
            raise ConfigError(f"'{shown(out)}' lies in the project itself: name a folder elsewhere with --out")
        shutil.copytree(root, out, ignore=_NOT_COPIED, dirs_exist_ok=True)
        _write_files(migration, out)
    except OSError as error:
        raise ConfigError(f"the migrated project cannot be written: {error}") from error
    return out


def _write_in_place(migration: Migration) -> Path:
    root, backup = migration.root, migration.root / BACKUP
    if backup.exists():
        raise ConfigError(f"'{shown(backup)}' is there already, from another migration: move it away, or name --out")
    for path in [*migration.texts, *migration.gone]:
        if path.is_file():
            place = backup / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
    _write_files(migration, root)
    return root


def _write_files(migration: Migration, out: Path) -> None:
    for path, text in migration.texts.items():
        place = out / path.relative_to(migration.root)
        place.parent.mkdir(parents=True, exist_ok=True)
        # A file keeps its kind of line ends.
        ends = "\r\n" if path.is_file() and b"\r\n" in path.read_bytes() else "\n"
        place.write_text(text, encoding="utf-8", newline=ends)
    for path in migration.gone:
        (out / path.relative_to(migration.root)).unlink()


# ---- the files ----


def _open(path: Path, problems: Problems) -> DomainFile | None:
    text = read_text(path, problems)
    content = parse_yaml(text, shown(path), problems) if text is not None else None
    if text is None or not isinstance(content, YamlMap):
        if content is not None:
            problems.add("the file must have keys and values", Source(shown(path)))
        return None
    return DomainFile(path, content, YamlText(text, content))


def _domain_files(root: Path, problems: Problems) -> Iterator[DomainFile]:
    paths = [path for name in ("domain.yml", "domain.yaml") if (path := root / name).is_file()]
    if (root / "domain").is_dir():
        paths += files_in(root / "domain", (".yml", ".yaml"))
    if not paths:
        problems.add("the project has no domain.yml", Source(shown(root)))
    for path in paths:
        found = _open(path, problems)
        if found:
            check_shape(found.content, problems)
            yield found


def _set_version(file: DomainFile, log: Log) -> None:
    version = file.content.get("version")
    if version is not None and _OLD.match(str(version)):
        file.text.reword(("version",), Quoted(FORMAT_VERSION))
        log.changed(file.content.sources["version"], f"version {version}", FORMAT_VERSION)


def _other_yaml(migration: Migration, problems: Problems) -> None:
    """Examples, stories, rules and tests: Rasa 3 reads them as Rasa 2 did, but for the version."""
    for path in _in_folders(migration.root, (".yml", ".yaml")):
        text = read_text(path, problems)
        content = parse_yaml(text, shown(path), problems) if text is not None else None
        if text is None or not isinstance(content, YamlMap) or not _OLD.match(str(content.get("version", ""))):
            continue
        if not any(key in content for key in ("nlu", "stories", "rules", *DOMAIN_KEYS)):
            continue
        source = content.sources["version"]
        lines = text.split("\n")
        lines[source.line - 1] = re.sub(
            r"(version['\"]?\s*:\s*)[^\s,}]+", rf'\1"{FORMAT_VERSION}"', lines[source.line - 1]
        )
        migration.texts[path] = "\n".join(lines)
        migration.log.changed(source, f"version {content['version']}", FORMAT_VERSION)


def _markdown(migration: Migration, problems: Problems) -> None:
    for path in _in_folders(migration.root, (".md",)):
        text = read_text(path, problems)
        if text is None:
            continue
        content = read_markdown(text, shown(path), migration.root, problems, migration.log)
        if content is None:
            continue
        new = _yaml_name(path, "test_" if "stories" in content and is_markdown_test(text) else "", migration.texts)
        migration.texts[new] = to_yaml(content)
        migration.gone.append(path)
        kind = next(key for key in content if key != "version")
        migration.log.changed(Source(shown(path)), f"{kind} in Markdown", new.name)


def _in_folders(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for name in ("data", "tests"):
        if (root / name).is_dir():
            yield from files_in(root / name, suffixes)


def _yaml_name(path: Path, prefix: str, taken: dict[Path, Any]) -> Path:
    """`data/nlu.md` → `data/nlu.yml`, unless that is there; a file of tests has Rasa 3's `test_` in front."""
    stem = path.stem if path.stem.startswith(prefix) else prefix + path.stem
    new = path.with_name(f"{stem}.yml")
    return path.with_name(f"{stem}_from_markdown.yml") if new.exists() or new in taken else new


def _rule_of_trigger(intent: str, action: str) -> dict[str, Any]:
    return {"rule": f"{intent}: {action}", "steps": [{"intent": intent}, {"action": action}]}


def _add_rules(migration: Migration, rules: list[dict[str, Any]], problems: Problems) -> None:
    """A file of the new rules, but for intents that have one already."""
    known = set()
    for path in _in_folders(migration.root, (".yml", ".yaml")):
        content = parse_yaml(read_text(path, problems) or "", shown(path), Problems())
        given = content.get("rules") if isinstance(content, YamlMap) else None
        for rule in given if isinstance(given, YamlList) else ():
            steps = rule.get("steps") if isinstance(rule, YamlMap) else None
            if isinstance(steps, YamlList) and steps and isinstance(steps[0], YamlMap):
                known.add(steps[0].get("intent"))
    new = [rule for rule in rules if rule["steps"][0]["intent"] not in known]
    if new:
        path = migration.root / "data/rules.yml"
        if path.exists() or path in migration.texts:
            path = path.with_name("rules_of_migration.yml")
        migration.texts[path] = to_yaml({"version": Quoted(FORMAT_VERSION), "rules": new})
        for rule in new:
            migration.log.changed(Source(shown(path)), "no rule", f"rule '{rule['rule']}'")
