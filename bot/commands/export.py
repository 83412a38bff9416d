"""`frontdesk export`: conversations as Rasa's event JSON, one event a line."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from bot.commands import DebugOption, ProjectOption, count, load
from bot.errors import ConfigError, FrontdeskError

if TYPE_CHECKING:
    from bot.project import Project

app = typer.Typer()


@app.command(epilog="Example: `frontdesk export --out events.jsonl --minimum-timestamp 1767225600`")
def export(
    out: Annotated[
        Path | None, typer.Option(help="The file to write, which must not be there yet. Default: the screen.")
    ] = None,
    conversation_ids: Annotated[
        str, typer.Option(help="Which conversations, with commas between them: `telegram:42,anna`. Default: all.")
    ] = "",
    minimum_timestamp: Annotated[
        float | None, typer.Option(help="Leave out what was before: seconds since 1970.")
    ] = None,
    maximum_timestamp: Annotated[
        float | None, typer.Option(help="Leave out this moment and what was after: seconds since 1970.")
    ] = None,
    project: ProjectOption = Path("."),
    debug: DebugOption = False,
) -> None:
    """Write conversations as `rasa export` publishes them: an event a line, as JSON, with its `sender_id`."""
    if minimum_timestamp is not None and maximum_timestamp is not None and minimum_timestamp >= maximum_timestamp:
        raise FrontdeskError("--minimum-timestamp must be before --maximum-timestamp")
    loaded = load(project)
    wanted = list(dict.fromkeys(name.strip() for name in conversation_ids.split(",") if name.strip()))
    if out is None:
        events, conversations = asyncio.run(_export(loaded, sys.stdout, wanted, minimum_timestamp, maximum_timestamp))
    else:
        try:
            # Nobody but its owner reads what customers said.
            out.touch(mode=0o600, exist_ok=False)
            with out.open("w", encoding="utf-8") as file:
                done = _export(loaded, file, wanted, minimum_timestamp, maximum_timestamp)
                events, conversations = asyncio.run(done)
        except FileExistsError as error:
            raise ConfigError(f"'{out}' is there already: name another file, or move it away") from error
        except OSError as error:
            raise ConfigError(f"'{out}' cannot be written: {error.strerror or error}") from error
    print(f"{count(events, 'event')} of {count(conversations, 'conversation')} exported.", file=sys.stderr)


async def _export(
    project: Project, file: IO[str], wanted: list[str], minimum: float | None, maximum: float | None
) -> tuple[int, int]:
    from bot.stores import encode
    from bot.tracker_export import exported_events, found
    from bot.training import open_store

    store = open_store(project)
    try:
        names = []
        for name in wanted:
            conversation_id = await found(store, name)
            if conversation_id is None:
                print(f"warning: there is no conversation '{name}'", file=sys.stderr)
            else:
                names.append(conversation_id)
        if wanted and not names:
            raise FrontdeskError("none of these conversations is there")
        events, conversations, latest = 0, 0, None
        async for event in exported_events(store, names, minimum_timestamp=minimum, maximum_timestamp=maximum):
            file.write(encode(event).decode() + "\n")
            events += 1
            conversations += event["conversation_id"] != latest
            latest = event["conversation_id"]
        return events, conversations
    finally:
        await store.close()
