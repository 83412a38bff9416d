"""`frontdesk init`: a new project from an industry pack."""

from __future__ import annotations

import shutil
from pathlib import Path

from bot.errors import ConfigError, UnknownName
from bot.project import packs_folder

CONFIG = """\
# Every other key has its default.
languages: [en, zh]

# The packs in domains/: theirs are the intents, flows, answers and documents. Edit them.
domains: [common, {pack}]

# Custom actions: `llm` answers open questions from the documents; `{pack}` belongs to the pack.
actions: [llm, {pack}]
"""


def create_project(path: Path, pack: str) -> list[Path]:
    """Copy the packs `common` and `pack` into a new folder, with a config.yml. Returns the files made."""
    packs = packs_folder()
    known = sorted(folder.name for folder in packs.iterdir() if (folder / "domain.yml").is_file())
    if pack not in known or pack == "common":
        raise UnknownName("pack", pack, [name for name in known if name != "common"])
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"'{path}' is not empty: name a new folder, so that nothing of yours is overwritten")
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in ("common", pack):
            shutil.copytree(packs / name, path / "domains" / name)
        (path / "config.yml").write_text(CONFIG.format(pack=pack), encoding="utf-8")
        (path / ".gitignore").write_text("models/\n*.db*\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}") from error
    return sorted(file for file in path.rglob("*") if file.is_file())
