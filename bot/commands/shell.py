"""`frontdesk shell`: talk to the bot in the terminal."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant

app = typer.Typer()


@app.command(epilog="Example: `frontdesk shell --project my-bank`")
def shell(
    what: Annotated[str, typer.Argument(help="`nlu` to see what is understood instead.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    debug: DebugOption = False,
) -> None:
    """Talk to the bot here. `/stop` ends it; a typed `/intent{"entity": "value"}` is obeyed."""
    from bot.shell import parse_texts, talk

    check_what("shell", what, "nlu")
    assistant = open_assistant(load(project), model, in_memory=True)
    asyncio.run(parse_texts(assistant, sys.stdin) if what == "nlu" else talk(assistant, sys.stdin))
