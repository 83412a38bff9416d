"""Events as lines of JSON in a file, as Rasa's `file` broker writes them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from bot.errors import EndpointError
from bot.interfaces import StreamedEvent
from bot.yaml_file import shown


class FileBroker:
    """Appends to `path`, which is relative to the project's folder `root`. It may be moved away at any time."""

    def __init__(self, *, path: str = "rasa_event.log", root: Path = Path()) -> None:
        self._path = root / path

    async def publish(self, events: Sequence[StreamedEvent]) -> None:
        lines = b"".join(event.body + b"\n" for event in events)
        try:
            await asyncio.to_thread(_append, self._path, lines)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise EndpointError(f"{shown(self._path)} cannot be written: {reason}") from error

    async def close(self) -> None:
        """Nothing is open between two calls."""


def _append(path: Path, lines: bytes) -> None:
    """Append for good: after a power cut they are there."""
    # What customers say is nobody else's business: the file is its owner's alone.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            # A crash or a full disk has left half a line.
            lines = b"\n" + lines
        while lines:
            lines = lines[os.write(file, lines) :]
        os.fsync(file)
    finally:
        os.close(file)
