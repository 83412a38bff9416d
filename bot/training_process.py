"""Training in a process of its own, so that conversations go on meanwhile and a training that dies takes nothing along.

The process is this file: its last line of output is JSON, `{"model": folder}` or `{"errors": [...]}`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from bot.domain_file import DOMAIN_KEYS
from bot.errors import DataError, FrontdeskError, ModelError, ProjectErrors, Source

CONFIG_KEYS = (
    *("recipe", "language", "languages", "pipeline", "policies", "assistant_id", "seed", "importers", "domains"),
)
"""The keys of a training text that belong into config.yml: `KEYS` of bot/config.py without what a server decides."""


BODY = "body"
"""What a mistake's place is called, before its line."""


class TrainingFailed(FrontdeskError):
    """The data have mistakes, all of which the message lists, one a line."""


def write_project(text: str, folder: Path) -> None:
    """A project of the text, in which configuration, domain and training data stand together.

    Every line keeps its number, so that a mistake is found at its place. `DataError` when it is no YAML mapping.
    """
    (folder / "data").mkdir()
    for name, content in split(text).items():
        (folder / name).write_text(content, "utf-8")


def split(text: str) -> dict[str, str]:
    """The text of each file, with blank lines in place of what belongs into the others."""
    try:
        node = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it cannot be read"
        raise DataError(f"this is not YAML: {what}", Source(BODY, mark.line + 1 if mark else 0)) from error
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise DataError(
            "it must be keys and values such as 'pipeline:', 'intents:' and 'nlu:', each on lines of its own"
        )
    starts = {key.start_mark.line: _file_of(str(key.value)) for key, _ in node.value}
    files: dict[str, list[str]] = {"config.yml": [], "domain.yml": [], "data/training.yml": []}
    present = ""
    for number, line in enumerate(re.split("\r\n|\n|\r", text)):
        present = starts.get(number, present)
        for name, lines in files.items():
            # What marks a document's beginning belongs to nobody.
            lines.append(line if name == present and not re.match("---|%", line) else "")
    return {name: "\n".join(lines) for name, lines in files.items()}


def _file_of(key: str) -> str:
    return "config.yml" if key in CONFIG_KEYS else "domain.yml" if key in DOMAIN_KEYS else "data/training.yml"


async def train_apart(folder: Path, own_code: Path | None = None) -> Path:
    """Train the project in `folder`; the model's folder. `TrainingFailed` with its mistakes, `ModelError` if it dies.

    `own_code` is where components of the team's own are, if there are any.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__, str(folder), *([str(own_code)] if own_code else [])),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    lines = out.splitlines()
    try:
        result: dict[str, Any] = orjson.loads(lines[-1])
    except (IndexError, orjson.JSONDecodeError) as error:
        raise ModelError(f"the training ended without a model (exit code {process.returncode})") from error
    if "errors" in result:
        raise TrainingFailed("\n".join(result["errors"]))
    return Path(result["model"])


def without_folder(text: str, folder: Path) -> str:
    """A message of errors with places in the text, and not in the files of the temporary folder."""
    text = text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
    return re.sub(r"(?<![\w/])(?:config|domain|data/training)\.yml(?=:\d)", BODY, text)


def _train(folder: Path) -> dict[str, Any]:
    from bot.project import load_project
    from bot.training import train

    try:
        return {"model": str(train(load_project(folder)))}
    except FrontdeskError as error:
        return {"errors": [without_folder(line, folder) for line in _lines(error)]}


def _lines(error: FrontdeskError) -> Iterator[str]:
    yield from (str(one) for one in error.errors) if isinstance(error, ProjectErrors) else [str(error)]


if __name__ == "__main__":
    sys.path += sys.argv[2:]
    print("\n" + orjson.dumps(_train(Path(sys.argv[1]))).decode())
