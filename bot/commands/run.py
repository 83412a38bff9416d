"""`frontdesk run`: serve the bot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant
from bot.errors import FrontdeskError

app = typer.Typer()


@app.command(epilog="Example: `frontdesk run --port 8080 --auth-token $TOKEN --cors https://my-bank.example`")
def run(
    what: Annotated[str, typer.Argument(help="Leave it out to serve the bot.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    interface: Annotated[str, typer.Option("--interface", "-i", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="The port to listen on.", min=0, max=65535)] = 5005,
    auth_token: Annotated[
        str | None,
        typer.Option("--auth-token", "-t", help="What API callers must send as `Authorization: Bearer …`."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="An origin whose pages may call the bot; `*` for any. May be given several times."),
    ] = None,
    enable_api: Annotated[
        bool, typer.Option("--enable-api/--no-api", help="Serve /model/parse and /conversations, too.")
    ] = True,
    debug: DebugOption = False,
) -> None:
    """Serve the bot: web chat on `/`, REST on `/webhooks/rest/webhook`. Trains first when there is no model."""
    if what == "actions":
        raise FrontdeskError("the actions run inside the bot, there is nothing to start but that: frontdesk run")
    check_what("run", what)
    from bot.app import open_channels, serve
    from bot.training import find_model

    loaded = load(project)
    channels = open_channels({channel.name: channel.options for channel in loaded.config.channels})
    assistant = open_assistant(loaded, model)
    serve(
        assistant,
        channels,
        host=interface,
        port=port,
        auth_token=auth_token,
        cors=cors or (),
        enable_api=enable_api,
        model_file=str(model or find_model(loaded) or ""),
    )
