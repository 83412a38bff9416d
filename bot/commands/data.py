"""`frontdesk data …`: work on a project's data files, as Rasa spells it."""

from __future__ import annotations

import typer

from bot.commands.validate import validate

app = typer.Typer(
    name="data", help="Rasa's spelling: `frontdesk data validate` is `frontdesk validate`.", no_args_is_help=True
)
app.command("validate", epilog="Example: `frontdesk data validate`")(validate)
