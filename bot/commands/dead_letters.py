"""`frontdesk dead-letters …`: messages and replies that were given up (see docs/operations.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.commands import DebugOption, ProjectOption, count, load
from bot.errors import ConfigError, FrontdeskError, StoreUnavailable

if TYPE_CHECKING:
    from bot.interfaces import DeadLetter, Store

_T = TypeVar("_T")

MOST_LISTED = 1000
MOST_AT_ONCE = 100_000
LONGEST_SHOWN = 300
"""Characters of what was said that are printed."""

app = typer.Typer(
    name="dead-letters",
    help="Messages and replies that were given up: list them, try them again, drop them.",
    invoke_without_command=True,
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As they are listed.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
ShowOption = Annotated[bool, typer.Option("--show", help="Print what was said, too: it is the customers'.")]


@app.callback(epilog="Example: `frontdesk dead-letters retry --all`, when the platform is back")
def dead_letters(
    context: typer.Context, project: ProjectOption = Path("."), show: ShowOption = False, debug: DebugOption = False
) -> None:
    if not context.invoked_subcommand:
        print_letters(project, show=show)


@app.command(name="list", epilog="Example: `frontdesk dead-letters list --show`")
def list_(project: ProjectOption = Path("."), show: ShowOption = False, debug: DebugOption = False) -> None:
    """Print them, the oldest first."""
    print_letters(project, show=show)


@app.command(epilog="Example: `frontdesk dead-letters retry 5f1c2a0b9d3e4f67`")
def retry(
    ids: Ids = None, every: AllOption = False, project: ProjectOption = Path("."), debug: DebugOption = False
) -> None:
    """Let a message be answered, or a reply be delivered, once more: by whichever server or worker runs, or will."""
    done = _to_each(project, ids or (), every, lambda store, one: store.revive(one))
    print(f"{count(done, 'dead letter')} will be tried again.")


@app.command(epilog="Example: `frontdesk dead-letters drop 5f1c2a0b9d3e4f67`")
def drop(
    ids: Ids = None, every: AllOption = False, project: ProjectOption = Path("."), debug: DebugOption = False
) -> None:
    """Forget them: the message is not answered, the reply not delivered."""
    done = _to_each(project, ids or (), every, lambda store, one: store.bury(one))
    print(f"{count(done, 'dead letter')} dropped.")


def print_letters(folder: Path, *, show: bool) -> None:
    found = asyncio.run(_with_store(folder, lambda store: store.dead_letters(limit=MOST_LISTED)))
    if not found:
        print("There are no dead letters.")
        return
    print("\n".join(table(found, show=show)))
    if len(found) == MOST_LISTED:
        print(f"These are the oldest {MOST_LISTED}; there may be more.")


def table(letters: Sequence[DeadLetter], *, show: bool) -> list[str]:
    """Lines: id, local time, what, conversation, reason; with `show`, below each what was said."""
    from bot.api.dead_letters import kind_of

    head = ("id", "when", "what", "conversation", "reason")
    rows = [
        (one.id, f"{datetime.fromtimestamp(one.at):%Y-%m-%d %H:%M}", kind_of(one), one.conversation_id, one.reason)
        for one in letters
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        return printable("  ".join([*cells, " ".join(row[4].split())]))

    lines = [line(head)]
    for letter, row in zip(letters, rows, strict=True):
        lines += [line(row), f"    {said_in(letter)}"] if show else [line(row)]
    return lines


def said_in(letter: DeadLetter) -> str:
    """The text of the message or the reply, in one line that is not endless."""
    from bot.messages import UserMessage

    content = letter.content
    text = (content.payload or content.text) if isinstance(content, UserMessage) else content.message.text
    shown = printable(text or "(no text)")
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _to_each(folder: Path, ids: Sequence[str], every: bool, do: Callable[[Store, str], Awaitable[bool]]) -> int:
    """To how many it was done. An error, after all others, names those that were not there."""
    if bool(ids) == every:
        raise FrontdeskError("which ones? Name their ids (see: frontdesk dead-letters), or --all")

    async def to_all(store: Store) -> list[tuple[str, bool]]:
        wanted = list(dict.fromkeys(ids))
        if every:
            wanted = [letter.id for letter in await store.dead_letters(limit=MOST_AT_ONCE)]
        return [(one, await do(store, one)) for one in wanted]

    outcome = asyncio.run(_with_store(folder, to_all))
    missing = [one for one, done in outcome if not done]
    if missing and not every:
        others = count(len(outcome) - len(missing), "other")
        done = f"; with the {others} it was done" if len(outcome) > len(missing) else ""
        raise FrontdeskError(f"there is no dead letter {', '.join(missing)}: tried again or dropped before{done}")
    return len(outcome) - len(missing)


async def _with_store(folder: Path, do: Callable[[Store], Awaitable[_T]]) -> _T:
    """What `do` answers on the project's store, which is closed afterwards."""
    from bot.training import open_store

    project = load(folder)
    kind, ask = project.config.store.name, "ask the server by its API: curl localhost:5005/dead-letters"
    if kind == "memory":
        raise ConfigError(f"the store 'memory' is the server's own: {ask}", project.config.store.source)
    try:
        store = open_store(project)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}. While it runs, {ask}" if kind == "sqlite" else str(error)) from error
    try:
        return await do(store)
    finally:
        await store.close()
