"""`frontdesk import-trackers`: conversations from Rasa's tracker stores go on here."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands import DebugOption, ProjectOption, count, load
from bot.errors import ConfigError

if TYPE_CHECKING:
    from bot.project import Project
    from bot.tracker_import import Did

app = typer.Typer()


@app.command(
    name="import-trackers",
    epilog="Examples: `frontdesk import-trackers --from redis://localhost:6379/0 --dry-run`, `--from "
    "postgresql://rasa:secret@db/rasa`, `--from sqlite:///rasa.db`, `--from export.jsonl --channel telegram`",
)
def import_trackers(
    place: Annotated[
        str,
        typer.Option(
            "--from",
            help="Rasa's tracker store (`redis://…`, `sqlite:///…`, `postgresql://…`), or a file: what `rasa export` "
            "wrote by the file broker, or tracker dumps, as JSON or JSON lines.",
        ),
    ],
    key_prefix: Annotated[str, typer.Option(help="The `key_prefix` of Rasa's Redis tracker store.")] = "",
    channel: Annotated[
        str | None,
        typer.Option(help="The channel of all conversations. Default: where each customer last wrote."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and store nothing.")] = False,
    project: ProjectOption = Path("."),
    debug: DebugOption = False,
) -> None:
    """Take conversations over from Rasa 3. May be repeated: what is here already stays as it is."""
    from bot.tracker_import import Did

    if channel is not None and not re.fullmatch(r"[\w.-]+", channel):
        raise ConfigError(f"'{channel}' is no channel's name: write it as in credentials.yml, such as telegram")
    loaded = load(project)
    totals, events, gone = asyncio.run(_import(loaded, place, key_prefix, channel, dry_run))
    for what, number in sorted(gone.items()):
        message = f"{what}, in {count(number, 'conversation')}, is not in the domain: kept, without effect"
        print(f"warning: {message}", file=sys.stderr)
    new = "would be imported" if dry_run else "imported"
    parts = [f"{count(totals[Did.IMPORTED], 'conversation')} {new} ({count(events, 'event')})"]
    parts += [
        f"{totals[did]} {words}"
        for did, words in (
            (Did.CONTINUED, "brought up to date"),
            (Did.UNCHANGED, "there already"),
            (Did.LEFT, "left alone"),
            (Did.EMPTY, "without events"),
            (Did.FAILED, "failed"),
        )
        if totals[did]
    ]
    print(", ".join(parts) + ".")
    if not totals:
        print(_nothing_found(place, key_prefix), file=sys.stderr)
    raise typer.Exit(1 if totals[Did.FAILED] or not totals else 0)


async def _import(
    project: Project, place: str, key_prefix: str, channel: str | None, dry_run: bool
) -> tuple[Counter[Did], int, Counter[str]]:
    from bot.rasa_trackers import read_conversations
    from bot.tracker_import import Did, import_conversations
    from bot.training import open_store

    found = read_conversations(place, key_prefix=key_prefix)
    store = open_store(project)
    totals: Counter[Did] = Counter()
    gone: Counter[str] = Counter()
    events = 0
    try:
        async for one in import_conversations(found, store, project.domain, channel=channel, dry_run=dry_run):
            totals[one.did] += 1
            events += one.events
            gone.update(one.gone)
            if one.did is Did.FAILED:
                print(f"error: {one.problem}", file=sys.stderr)
            elif one.did is Did.LEFT:
                message = "has gone on here, or holds something else: left alone"
                print(f"warning: conversation '{one.conversation_id}' {message}", file=sys.stderr)
    finally:
        await store.close()
    return totals, events, gone


def _nothing_found(place: str, key_prefix: str) -> str:
    if place.startswith("redis"):
        key = f"{key_prefix}:tracker:" if key_prefix else "tracker:"
        return f"There are no keys '{key}…' there. Is --key-prefix that of Rasa's endpoints.yml?"
    return "There are no conversations there."
