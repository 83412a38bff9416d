"""`frontdesk keys …`: the keys that conversations are encrypted with in the store (see docs/encryption.md)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bot.commands import DebugOption, ProjectOption, count, load
from bot.errors import ConfigError

if TYPE_CHECKING:
    from bot.project import Project

app = typer.Typer(name="keys", help="Keys that conversations are encrypted with in the store.", no_args_is_help=True)


@app.command(epilog="Example: `export FRONTDESK_KEYS=$(frontdesk keys new)`")
def new() -> None:
    """Print a new key, for `encryption_keys` of `store:` in config.yml. Nothing is stored or changed."""
    from bot.stores.sealing import Seal, new_key

    key = new_key()
    print(key)
    print(
        f"Messages call it {Seal(key).key_ids[0]}. Keep it where your passwords are: without it nothing that it\n"
        "encrypts can be read again. To change keys, put it before the others, with a comma between them.",
        file=sys.stderr,
    )


@app.command(epilog="Example: `frontdesk keys rotate`, when the new key is the first of all processes")
def rotate(project: ProjectOption = Path("."), debug: DebugOption = False) -> None:
    """Encrypt what is stored with the first key, where another one did or none. May be broken off and repeated."""
    from bot.stores.sealing import Seal

    loaded = load(project)
    first, *others = Seal(loaded.config.store.options.get("encryption_keys") or "").key_ids or (None,)
    if first is None:
        raise ConfigError("there are no keys: 'store' needs 'encryption_keys' (see: frontdesk keys new)")
    print(f"{count(asyncio.run(_rotate(loaded)), 'piece')} encrypted anew: all is under the key {first} now.")
    if others:
        print(f"Nothing needs the other {'key' if len(others) == 1 else 'keys'} any more: {', '.join(others)}.")


async def _rotate(project: Project) -> int:
    from bot.training import open_store

    store = open_store(project)
    try:
        return await store.reseal()
    finally:
        await store.close()
