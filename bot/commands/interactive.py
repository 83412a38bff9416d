"""`frontdesk interactive`: talk to the bot, and teach it while it talks."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant
from bot.errors import FrontdeskError

app = typer.Typer()


@app.command(epilog="Example: `frontdesk interactive --project my-bank`")
def interactive(
    what: Annotated[
        str, typer.Argument(help="Leave it out; `core` is Rasa's word for typing `/intent` only.", show_default=False)
    ] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    conversation_id: Annotated[
        str | None, typer.Option("--conversation-id", help="The sender's id that custom actions see.")
    ] = None,
    e2e: Annotated[
        bool, typer.Option("-e2e", "--e2e", help="Write what was said into the stories, beside its intent.")
    ] = False,
    skip_visualization: Annotated[
        bool, typer.Option("--skip-visualization", help="As in Rasa; the graph is `frontdesk visualize`.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Talk to the bot; confirm or correct what it understands and what it does next.

    In the end the conversation becomes stories, new examples beside those of their intent, and what the domain lacks.
    Nothing is written before you say so.
    """
    from bot.interactive import interactive as talk

    check_what("interactive", what, "core")
    if not sys.stdin.isatty():
        raise FrontdeskError(
            "'frontdesk interactive' asks questions: it needs a terminal. Without one: frontdesk shell"
        )
    loaded = load(project)
    assistant = open_assistant(loaded, model, in_memory=True)
    written = asyncio.run(talk(assistant, loaded, conversation_id or uuid.uuid4().hex, e2e=e2e))
    if written:
        print("Next: frontdesk train")
