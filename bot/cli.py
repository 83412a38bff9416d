"""The command line: parse arguments, call one function, print. Errors are one line and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot import __version__
from bot.errors import FrontdeskError, ProjectErrors

if TYPE_CHECKING:
    from bot.assistant import Assistant
    from bot.project import Project

app = typer.Typer(
    name="frontdesk",
    help="Build, try and serve a customer-service bot. A Rasa 3 project's folder works as it is.",
    epilog="Start with `frontdesk init my-bank`, or stand in a project's folder and type `frontdesk run`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

ProjectOption = Annotated[
    Path,
    typer.Option("--project", help="The project's folder: the one that holds config.yml.", show_default="here"),
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="A model's folder. Default: the one trained on the present data."),
]


def main() -> None:
    """Entry point. A user's mistake is one line on stderr, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except ProjectErrors as errors:
        for error in errors.errors:
            _complain(str(error))
        count = len(errors.errors)
        print(f"{count} mistake{'s' if count != 1 else ''} in the project.", file=sys.stderr)
        sys.exit(2)
    except FrontdeskError as error:
        _complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def _version(show: bool) -> None:
    if show:
        print(f"frontdesk {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log each decision.")] = False,
) -> None:
    if debug:
        logging.getLogger("bot").setLevel(logging.DEBUG)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The folder to make. It must not exist, or be empty.")] = Path("."),
    pack: Annotated[str, typer.Option(help="The industry pack to start from.")] = "banking",
) -> None:
    """Make a new project from an industry pack: its YAML and documents are yours to edit."""
    from bot.scaffold import create_project

    files = create_project(path, pack)
    print(f"Made {len(files)} files in {path}. Next:\n\n    cd {path}\n    frontdesk run\n")


@app.command()
def train(
    project: ProjectOption = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Train even when the model is up to date.")] = False,
) -> None:
    """Train a model on the project's data. Does nothing when the data have not changed."""
    from bot import training

    loaded = _load(project)
    known = training.find_model(loaded)
    if known and not force:
        print(f"Nothing has changed: the model is {known}")
        return
    print(f"The model is {_train(loaded)}")


@app.command()
def run(
    what: Annotated[str, typer.Argument(help="Leave it out to serve the bot.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    interface: Annotated[str, typer.Option("--interface", "-i", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="The port to listen on.", min=0, max=65535)] = 5005,
    auth_token: Annotated[
        str | None, typer.Option(help="What API callers must send as `Authorization: Bearer …`.")
    ] = None,
    cors: Annotated[list[str] | None, typer.Option(help="An origin whose pages may call the bot.")] = None,
    enable_api: Annotated[
        bool, typer.Option("--enable-api/--no-api", help="Serve /model/parse and /conversations, too.")
    ] = True,
) -> None:
    """Serve the bot: web chat on `/`, REST on `/webhooks/rest/webhook`. Trains first when there is no model."""
    if what:
        raise FrontdeskError(f"'frontdesk run {what}' is not known; leave '{what}' out")
    from bot.app import open_channels, serve
    from bot.training import find_model

    loaded = _load(project)
    channels = open_channels({channel.name: channel.options for channel in loaded.config.channels})
    assistant = _assistant(loaded, model)
    serve(
        assistant,
        channels,
        host=interface,
        port=port,
        auth_token=auth_token,
        cors=cors or (),
        enable_api=enable_api,
        model_file=str(model or find_model(loaded) or ""),
    )


@app.command()
def shell(
    what: Annotated[str, typer.Argument(help="`nlu` to see what is understood instead.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
) -> None:
    """Talk to the bot here. `/stop` ends it; a typed `/intent{"entity": "value"}` is obeyed."""
    from bot.shell import parse_texts, talk

    assistant = _assistant(_load(project), model, in_memory=True)
    asyncio.run(parse_texts(assistant, sys.stdin) if what == "nlu" else talk(assistant, sys.stdin))


@app.command()
def parse(
    text: Annotated[str, typer.Argument(help="What a customer might say.")],
    project: ProjectOption = Path("."),
    model: ModelOption = None,
) -> None:
    """Show what is understood of a text, as JSON."""
    from bot.shell import parse_once

    assistant = _assistant(_load(project), model, in_memory=True)
    asyncio.run(parse_once(assistant, text))


@app.command("test")
def run_tests(
    what: Annotated[str, typer.Argument(help="`nlu` or `core` for one half only.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
) -> None:
    """Run the project's tests: NLU examples, test stories, and whole conversations with their actions.

    Files under `tests/` (and a pack's `tests/`): `nlu:` examples, Rasa's test stories, and
    `conversations:` that give what is said and what must come back. Exit code 1 when one fails.
    """
    from bot.evaluation import evaluate, print_report

    loaded = _load(project)
    report = asyncio.run(evaluate(loaded, _assistant(loaded, model, in_memory=True), what or None))
    print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def validate(project: ProjectOption = Path(".")) -> None:
    """Check the project for mistakes: all of them, each with file, line and a suggestion."""
    from bot.project import load_project
    from bot.validation import validate as find

    findings = find(load_project(project))
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        print(f"{finding.severity}: {finding.source}: {finding.message}")
    if errors:
        print(f"{len(errors)} error(s), {len(findings) - len(errors)} warning(s).", file=sys.stderr)
        raise typer.Exit(2)
    print(f"No mistakes found ({len(findings)} warning(s)).")


def _load(folder: Path) -> Project:
    """The project; what is doubtful about its files is said on stderr."""
    from bot.project import load_project

    project = load_project(folder)
    for warning in project.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return project


def _assistant(project: Project, model: Path | None, *, in_memory: bool = False) -> Assistant:
    """The project's assistant; trains first when no model was named and none fits the data."""
    from bot import training
    from bot.stores.memory import MemoryStore

    if model is None and training.find_model(project) is None:
        print("There is no model for the present data yet: training.", file=sys.stderr)
        _train(project)
    return training.load_assistant(project, model=model, store=MemoryStore() if in_memory else None)


def _train(project: Project) -> Path:
    """Train with a progress bar on stderr; the seconds it took stand at its end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from bot.training import train

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=1.0)
        return train(project, lambda what, done: bar.update(task, description=what, completed=done))


if __name__ == "__main__":
    main()
