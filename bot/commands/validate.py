"""`frontdesk validate`: every mistake in a project."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from bot.commands import DebugOption, ProjectOption, count

app = typer.Typer()


@app.command(epilog="Example: `frontdesk validate --project my-bank`")
def validate(project: ProjectOption = Path("."), debug: DebugOption = False) -> None:
    """Check the project for mistakes: all of them, each with file, line and a suggestion. Then exit code 2."""
    from bot.project import load_project
    from bot.validation import validate as find

    findings = find(load_project(project))
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        print(finding)
    warnings = count(len(findings) - len(errors), "warning")
    if errors:
        print(f"{count(len(errors), 'error')}, {warnings}.", file=sys.stderr)
        raise typer.Exit(2)
    print(f"No mistakes found, {warnings}.")
