"""The project's own code as far as validation reads it: which actions are written, which names it mentions."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot.custom_actions import OWN
from bot.domain import DEFAULT_ACTIONS, OWN_ACTIONS
from bot.errors import suggest
from bot.registry import FOLDERS, known_names
from bot.validation.finding import Finding, error, raised, warning
from bot.validation.names import all_dialogues, all_steps, names_in

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
    used = {name for one in all_dialogues(project) for step in all_steps(one) for _, name in names_in(step)}
    used |= {mapping.action for slot in domain.slots.values() for mapping in slot.mappings if mapping.action}
    used |= {str(value) for policy in project.config.policies for value in policy.options.values()}
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
        elif known and name not in written and name not in (*DEFAULT_ACTIONS, *OWN_ACTIONS, *domain.responses):
            message = f"nobody has written the action '{name}'"
            called = name.startswith(("action_ask_", "validate_", "action_validate_"))
            if project.config.packs is not None or name in used or called:
                found.append(error("action", f"{message}.{suggest(name, written)}", source))
            else:
                # Rasa trains such a project, and talks.
                hint = suggest(name, written) or " Leave it out."
                found.append(warning("action", f"{message}, and no story, rule or mapping names it.{hint}", source))
    return found


@dataclass(frozen=True, slots=True)
class CodeNames:
    """The names of responses, actions and forms in the project's Python files.

    `beginnings` are those to which something is added: `f"utter_ask_{slot}"` begins with `utter_ask_`.
    """

    whole: frozenset[str]
    beginnings: tuple[str, ...]

    def may_say(self, response: str) -> bool:
        """Whether the code names the response, or makes up names that begin like it."""
        return response in self.whole or response.startswith(self.beginnings)


def names_in_code(project: Project) -> CodeNames:
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for file in set(_paths(project)):
        for match in _NAME.finditer(file.read_text("utf-8", "replace")):
            found[bool(match["added"])].add(match["name"])
    return CodeNames(frozenset(found[False]), tuple(name for name in found[True] if name.startswith("utter_")))


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
