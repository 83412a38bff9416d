"""Copies of a project to run in: what its code writes down in one run must not be found by the next."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NOT_COPIED = (
    *("models", ".rasa", ".git", "node_modules", "__pycache__", ".venv*", "venv", "results"),
    *("frontdesk.db*", "rasa.db*", "events.db*"),
)
"""What engines write, and what is not the project's. A database that actions begin with is copied."""


@contextlib.contextmanager
def copy_of(project: Path) -> Iterator[Path]:
    """A copy in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="certify-") as temporary:
        copy = Path(temporary).resolve() / project.resolve().name
        ignored = shutil.ignore_patterns(*_NOT_COPIED)
        shutil.copytree(project, copy, ignore=ignored, ignore_dangling_symlinks=True)
        yield copy


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """With this as the present folder, as when somebody had typed `cd`: a project's code may rely on that."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
