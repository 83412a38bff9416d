"""`frontdesk validate`: every mistake in a project."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ProjectOption, check_what, count

app = typer.Typer()


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"


@app.command(epilog="Example: `frontdesk validate --project my-bank`")
def validate(
    what: Annotated[
        str, typer.Argument(metavar="[stories]", help="`stories` looks at stories and rules alone.", show_default=False)
    ] = "",
    project: ProjectOption = Path("."),
    max_history: Annotated[
        int | None,
        typer.Option(
            "--max-history",
            min=1,
            help="How many states of a dialogue count where stories are compared.",
            show_default="as many as the policies look at",
        ),
    ] = None,
    fail_on_warnings: Annotated[
        bool, typer.Option("--fail-on-warnings", help="Exit code 2 for warnings, too.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="Lines to read, or a list for a machine.")] = Format.TEXT,
    debug: DebugOption = False,
) -> None:
    """Check the project for mistakes: all of them, each with file, line and a suggestion.

    An error is what makes training or a conversation fail; then the exit code is 2.
    """
    from bot.project import load_project
    from bot.validation import as_json, validate_folder
    from bot.validation import validate as find

    check_what("validate", what, "stories")
    stories_only = what == "stories"
    if form is Format.JSON:
        # A project that cannot be read is a list of findings, too.
        findings = validate_folder(project, stories_only=stories_only, max_history=max_history)
    else:
        findings = find(load_project(project), stories_only=stories_only, max_history=max_history)
    errors = [finding for finding in findings if finding.severity == "error"]
    warnings = count(len(findings) - len(errors), "warning")
    if form is Format.JSON:
        print(as_json(findings))
    else:
        for finding in findings:
            print(finding)
        if errors:
            print(f"{count(len(errors), 'error')}, {warnings}.", file=sys.stderr)
        else:
            print(f"No mistakes found, {warnings}.")
    if errors or (fail_on_warnings and findings):
        raise typer.Exit(2)
