"""The commands of `frontdesk`, one file each, and what they share: options, and opening a project.

A file here holds `app`, a `typer.Typer` with the command or the group of commands; the command line finds it by
walking this folder.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.errors import FrontdeskError, suggest

if TYPE_CHECKING:
    from bot.assistant import Assistant
    from bot.project import Project


def _set_debug(on: bool) -> None:
    if on:
        logging.getLogger("bot").setLevel(logging.DEBUG)


ProjectOption = Annotated[
    Path,
    typer.Option("--project", help="The project's folder: the one that holds config.yml.", show_default="here"),
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="A model's folder, or one of several. Default: the one for the present data."),
]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", "-v", "--verbose", help="Log each decision, and show where a fault comes from.", callback=_set_debug
    ),
]


def check_what(verb: str, what: str, *known: str) -> None:
    if what and what not in known:
        hint = suggest(what, known) or f" Leave '{what}' out."
        raise FrontdeskError(f"'frontdesk {verb} {what}' is not known.{hint}")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def load(folder: Path, *, endpoints: Path | None = None, credentials: Path | None = None) -> Project:
    """The project; what is doubtful about its files is said on stderr, by the first of several processes alone."""
    from bot.processes import is_one_of_several
    from bot.project import load_project

    project = load_project(folder, endpoints=endpoints, credentials=credentials)
    for warning in () if is_one_of_several() else project.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return project


def open_assistant(project: Project, model: Path | None, *, in_memory: bool = False) -> Assistant:
    """The project's assistant; trains first when no model was named and none fits the data."""
    from bot import training
    from bot.stores.memory import MemoryStore

    if model is None and training.find_model(project) is None:
        print("There is no model for the present data yet: training.", file=sys.stderr)
        train_model(project)
    return training.load_assistant(project, model=model, store=MemoryStore() if in_memory else None)


def train_model(project: Project) -> Path:
    """Train with a progress bar on stderr; the seconds it took stand at its end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from bot import training

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=1.0)
        return training.train(project, lambda what, done: bar.update(task, description=what, completed=done))
