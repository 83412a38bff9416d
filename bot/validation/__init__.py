"""What can be said about a project without training its understanding: mistakes, contradictions, loose ends.

`check_dialogues` and `check_examples` find names that lead nowhere while a project is read. `validate` adds what
training would find, and what is merely suspicious: each file here holds the checks of one kind of thing, functions
from a project to findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bot.domain import NOWHERE
from bot.errors import FrontdeskError, ProjectErrors
from bot.validation.finding import Finding, as_finding, as_json, warning
from bot.validation.names import check_dialogues, check_examples, known_actions

if TYPE_CHECKING:
    from bot.project import Project

__all__ = ["Finding", "as_json", "check_dialogues", "check_examples", "known_actions", "validate", "validate_folder"]


def validate(project: Project, *, stories_only: bool = False, max_history: int | None = None) -> list[Finding]:
    """All that there is to say about a project that could be read, in the order of its files.

    With `stories_only`, what concerns stories and rules. Two stories conflict when they agree in the last
    `max_history` states (None: in as many as the policies look at), and go on differently.
    """
    from bot.validation import checkpoints, code, examples, forms, responses, rules, settings, slots, stories, usage

    found = stories.check_training(project)
    # Policies that cannot be made tell nothing of stories.
    if not any(one.kind == "policy" for one in found):
        found += stories.check_stories(project, max_history)
    checks: list[Callable[[Project], Iterable[Finding]]] = [
        *(stories.check_repetitions, checkpoints.check_checkpoints, rules.check_rules, slots.check_slot_steps),
    ]
    if not stories_only:
        found += [warning("file", one.message, one.source or NOWHERE) for one in project.warnings]
        checks += [
            *(code.check_actions, slots.check_slots, forms.check_forms, responses.check_responses),
            *(examples.check_examples_of_intents, examples.check_entities, examples.check_annotations),
            *(examples.check_retrieval, usage.check_usage, settings.check_pipeline, settings.check_policies),
            *(settings.check_components, settings.check_options, settings.check_domain, settings.check_tests),
        ]
    for check in checks:
        found += check(project)
    return sorted(set(found), key=lambda one: (one.source == NOWHERE, one.source, one.severity, one.message))


def validate_folder(root: Path, *, stories_only: bool = False, max_history: int | None = None) -> list[Finding]:
    """The same for a folder: what keeps its project from being read are findings, too."""
    from bot.project import load_project

    try:
        project = load_project(root)
    except ProjectErrors as errors:
        return [as_finding("file", one) for one in errors.errors]
    except FrontdeskError as one:
        return [as_finding("file", one)]
    return validate(project, stories_only=stories_only, max_history=max_history)
