"""`frontdesk parse`: what is understood of one text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, load, open_assistant

app = typer.Typer()


@app.command(epilog="Example: `frontdesk parse 'send 50 to Anna' --project my-bank`")
def parse(
    text: Annotated[str, typer.Argument(help="What a customer might say.")],
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    debug: DebugOption = False,
) -> None:
    """Show what is understood of a text, as JSON."""
    from bot.shell import parse_once

    assistant = open_assistant(load(project), model, in_memory=True)
    asyncio.run(parse_once(assistant, text))
