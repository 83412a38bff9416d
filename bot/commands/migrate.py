"""`frontdesk migrate`: a project of Rasa 1 or 2 in the form of Rasa 3."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import ProjectOption, count
from bot.errors import ProjectErrors
from bot.yaml_file import shown

app = typer.Typer()

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="A new folder for the migrated project. Default: in place, with a backup."),
]


@app.command(epilog="Example: `frontdesk migrate --project old-bot --out new-bot`")
def migrate(project: ProjectOption = Path("."), out: OutOption = None) -> None:
    """Bring a project of Rasa 1 or 2 into the form of Rasa 3, and say each change. Nothing changes at a mistake."""
    from bot import migration
    from bot.project import load_project

    planned = migration.plan(project)
    if not planned.texts:
        print("There is nothing to change: the project has the form of Rasa 3.")
        return
    folder = migration.write(planned, out)
    for change in planned.changes:
        print(change)
    if planned.to_do:
        print("\nLeft to you:")
        for one in planned.to_do:
            print(one)
    kept = f"in {shown(out)}" if out else f"with the files as they were in {shown(folder / migration.BACKUP)}"
    print(f"\n{count(len(planned.changes), 'change')} in {count(len(planned.texts), 'file')}, {kept}")
    try:
        load_project(folder)
    except ProjectErrors as errors:
        print("The project can be read when these are mended:", file=sys.stderr)
        raise errors
    print(f"Next: frontdesk validate --project {shown(folder)}")
