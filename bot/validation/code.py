"""The project's own code as far as validation reads it: which actions are written, which names it mentions."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bot.custom_actions import OWN
from bot.domain import DEFAULT_ACTIONS
from bot.errors import suggest
from bot.registry import FOLDERS, known_names
from bot.validation.finding import Finding, error, raised, warning

if TYPE_CHECKING:
    from bot.project import Project

_NAME = re.compile(r"[\"'](?P<name>[A-Za-z_][\w/]*)(?P<added>\{|%s|[\"']\s*[+%])?")
"""A text that is a name, or begins like one: `"utter_hello"`, `f"utter_ask_{slot}"`, `"utter_" + name`."""


def check_actions(project: Project) -> list[Finding]:
    """Custom actions that cannot be imported, and those of the domain that nobody has written."""
    from bot.training import open_actions

    domain = project.domain
    written: set[str] = set()
    found = raised("action", lambda: written.update(open_actions(project)))
    known = not found and project.config.action_endpoint is None
    for name in domain.actions:
        source = domain.action_sources[name]
        form = name.removeprefix("validate_")
        if name in domain.forms:
            message = f"'{name}' is a form already: leave it out of 'actions'"
            found.append(error("action", message, source, domain.forms[name].source))
        elif name.startswith("utter_"):
            if name not in domain.responses and not any(one.startswith(f"{name}/") for one in domain.responses):
                message = f"the domain lists '{name}', for which there is no response.{suggest(name, domain.responses)}"
                found.append(error("missing-response", message, source))
        elif form != name and form not in domain.forms:
            message = f"'{name}' validates the form '{form}', which the domain does not have."
            found.append(warning("action", f"{message}{suggest(form, domain.forms)}", source))
        elif known and name not in written and name not in (*DEFAULT_ACTIONS, *domain.responses):
            found.append(error("action", f"nobody has written the action '{name}'.{suggest(name, written)}", source))
    return found


def words_of_code(project: Project) -> frozenset[str]:
    """The names of responses, actions and forms that stand in the project's Python files."""
    return _words(_files(project))[0]


def said_by_code(project: Project, response: str) -> bool:
    """Whether the code names the response, or makes up names that begin like it (`f"utter_ask_{slot}"`)."""
    words, beginnings = _words(_files(project))
    begun = [beginning for beginning in beginnings if beginning.startswith("utter_")]
    return response in words or any(response.startswith(beginning) for beginning in begun)


def has_code(project: Project) -> bool:
    return bool(_files(project))


@functools.lru_cache(maxsize=8)
def _words(files: tuple[tuple[Path, int], ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Whole names, and beginnings to which something is added."""
    words: set[str] = set()
    beginnings: set[str] = set()
    for file, _ in files:
        text = file.read_text("utf-8", "replace")
        for match in _NAME.finditer(text):
            (beginnings if match["added"] else words).add(match["name"])
    return frozenset(words), frozenset(beginnings)


def _files(project: Project) -> tuple[tuple[Path, int], ...]:
    """Each file with the time it was changed."""
    return tuple((file, file.stat().st_mtime_ns) for file in sorted(set(_paths(project))))


def _paths(project: Project) -> Iterator[Path]:
    own = project.root / OWN
    yield from own.rglob("*.py")
    if own.with_suffix(".py").is_file():
        yield own.with_suffix(".py")
    for name in project.config.actions:
        if name in known_names("action"):
            # An industry's actions are several files, which share some.
            yield from Path(next(iter(importlib.import_module(FOLDERS["action"]).__path__))).glob("*.py")
        else:
            path = project.root.joinpath(*name.split("."))
            yield from path.rglob("*.py")
            if path.with_suffix(".py").is_file():
                yield path.with_suffix(".py")
