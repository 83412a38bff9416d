"""A model in one file: a `.tar.gz` of the trained model and of the project's files that it was made of.

model/      as in the project's models/: manifest.json, nlu/, policies/, …
project/    config.yml, the domain, the data, packs and documents; neither code nor credentials
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.errors import ModelError
from bot.yaml_file import shown

SUFFIX = ".tar.gz"
LARGEST = 4_000_000_000
"""Bytes that an archive may unpack to."""
_OF_PROJECT = ("config.yml", "domain.yml", "domain.yaml", "domain", "data", "domains", "knowledge")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The two folders of an archive."""

    model: Path
    project: Path


def is_archive(file: Path) -> bool:
    return file.is_file()


def pack(project: Path, model: Path, file: Path) -> None:
    """Write the archive. The same model gives the same bytes. A half-written one is never seen."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        # Neither time nor name of the file in the gzip header: tarfile would write both.
        import gzip

        with (
            partial.open("wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for path, name in sorted(_files(project, model), key=lambda one: one[1]):
                entry = tarfile.TarInfo(name)
                content = path.read_bytes()
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _files(project: Path, model: Path) -> Iterator[tuple[Path, str]]:
    yield from ((path, f"model/{path.relative_to(model).as_posix()}") for path in model.rglob("*") if path.is_file())
    for name in _OF_PROJECT:
        place = project / name
        found = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        yield from ((path, f"project/{path.relative_to(project).as_posix()}") for path in found)


def unpack(file: Path, folder: Path) -> Unpacked:
    """Unpack into an empty folder. `ModelError` when it is no archive of ours, or holds what does not belong there."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            total = 0
            for entry in archive:
                total += entry.size
                if total > LARGEST:
                    raise ModelError(f"'{shown(file)}' unpacks to more than {LARGEST // 10**9} GB: it is no model")
                # Refuses links, devices, and whatever would be written outside the folder.
                archive.extract(entry, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ModelError(f"'{shown(file)}' is no model's archive: {error}") from error
    unpacked = Unpacked(folder / "model", folder / "project")
    if (folder / "metadata.json").is_file() and (folder / "components").is_dir():
        raise ModelError(f"'{shown(file)}' is a model of Rasa's. Train the same project here: frontdesk train")
    if not (unpacked.model / "manifest.json").is_file() or not unpacked.project.is_dir():
        raise ModelError(
            f"'{shown(file)}' is no model's archive: it has no model/ with a manifest.json, or no project/"
        )
    return unpacked
