"""`frontdesk train`: a model of the project's data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ProjectOption, check_what, load, train_model
from bot.yaml_file import shown

app = typer.Typer()


@app.command(epilog="Example: `frontdesk train --project my-bank`")
def train(
    what: Annotated[
        str, typer.Argument(help="Leave it out: `nlu` and `core` are learned together.", show_default=False)
    ] = "",
    project: ProjectOption = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Train even when the model is up to date.")] = False,
    debug: DebugOption = False,
) -> None:
    """Train a model on the project's data. Does nothing when the data have not changed."""
    from bot import training

    check_what("train", what, "nlu", "core")
    loaded = load(project)
    known = training.find_model(loaded)
    if known and not force:
        print(f"Nothing has changed: the model is {shown(known)}")
        return
    print(f"The model is {shown(train_model(loaded))}")
