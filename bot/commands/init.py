"""`frontdesk init`: a new project from an industry pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption

app = typer.Typer()


@app.command(epilog="Example: `frontdesk init my-bank --pack banking`")
def init(
    path: Annotated[Path, typer.Argument(help="The folder to make. It must not exist, or be empty.")] = Path("."),
    pack: Annotated[str, typer.Option(help="The industry pack to start from.")] = "banking",
    debug: DebugOption = False,
) -> None:
    """Make a new project from an industry pack: its YAML and documents are yours to edit."""
    from bot.scaffold import create_project

    files = create_project(path, pack)
    cd = f"    cd {path}\n" if path != Path(".") else ""
    print(f"Made {len(files)} files in {path.resolve()}. Next:\n\n{cd}    frontdesk run\n")
