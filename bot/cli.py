"""The command line: parse arguments, call one function, print. Errors are one line and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import __version__
from bot.errors import FrontdeskError, ProjectErrors, suggest
from bot.yaml_file import shown

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

_bot_log = logging.getLogger("bot")


def _set_debug(on: bool) -> None:
    if on:
        _bot_log.setLevel(logging.DEBUG)


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

_FOLDER = "The project's folder holds config, domain and data: name it with --project."
_TESTS = "Tests are read from tests/ in the project's folder."
_MODELS = "Models are kept in models/ in the project's folder."
_OF_RASA = {
    **dict.fromkeys(("--data", "--domain", "--config", "-d", "-c"), _FOLDER),
    **dict.fromkeys(("--endpoints", "--credentials"), "endpoints.yml and credentials.yml beside config.yml are read."),
    **dict.fromkeys(("--stories", "--nlu", "-s", "-u", "--cross-validation"), _TESTS),
    **dict.fromkeys(("--out", "--fixed-model-name"), _MODELS),
    **dict.fromkeys(("--jwt-secret", "--jwt-method"), "Callers of the API show a token: --auth-token."),
    **dict.fromkeys(("--no-prompt", "--init-dir"), "Name the folder, nothing is asked: frontdesk init my-bank"),
    **dict.fromkeys(("interactive", "visualize"), "To see what the bot does: frontdesk shell --debug"),
    **dict.fromkeys(("split", "convert", "migrate"), "What there is: frontdesk data validate"),
}
"""Words of Rasa's command line that mean nothing here, with what to do instead."""

_UsageError: Any = typer.BadParameter.__base__
"""Typer's, which does not give it a name of its own in every version."""


def main() -> None:
    """Entry point. A mistake is one line on stderr and exit code 2, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        sys.exit(app(prog_name="frontdesk", standalone_mode=False))
    except ProjectErrors as errors:
        for error in errors.errors:
            _complain(str(error))
        print(f"{_count(len(errors.errors), 'mistake')} in the project.", file=sys.stderr)
    except FrontdeskError as error:
        _complain(str(error))
    except _UsageError as error:
        # Without a word it is the help, which is printed.
        if error.message or error.format_message():
            message = error.format_message()
            _complain(f"{message}{'' if message.endswith(('.', '?')) else '.'} {_advice(error)}")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # Who read our output has gone: Python must not try to write the rest of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if _bot_log.isEnabledFor(logging.DEBUG):
            raise
        _complain(
            f"{type(error).__name__}: {error}. This is a fault of Frontdesk's: run it with --debug, and report it"
        )
    sys.exit(2)


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def _advice(error: Any) -> str:
    path = error.ctx.command_path if error.ctx else "frontdesk"
    return next((_OF_RASA[word] for word in sys.argv[1:] if word in _OF_RASA), f"See: {path} --help")


def _check_what(verb: str, what: str, *known: str) -> None:
    if what and what not in known:
        hint = suggest(what, known) or f" Leave '{what}' out."
        raise FrontdeskError(f"'frontdesk {verb} {what}' is not known.{hint}")


def _version(show: bool) -> None:
    if show:
        print(f"frontdesk {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: DebugOption = False,
) -> None:
    pass


@app.command(epilog="Example: `frontdesk init my-bank --pack banking`")
def init(
    path: Annotated[Path, typer.Argument(help="The folder to make. It must not exist, or be empty.")] = Path("."),
    pack: Annotated[str, typer.Option(help="The industry pack to start from.")] = "banking",
    debug: DebugOption = False,
) -> None:
    """Make a new project from an industry pack: its YAML and documents are yours to edit."""
    from bot.scaffold import create_project

    files = create_project(path, pack)
    cd = f"    cd {path}\n" if path != Path(".") else ""
    print(f"Made {len(files)} files in {path.resolve()}. Next:\n\n{cd}    frontdesk run\n")


@app.command(epilog="Example: `frontdesk train --project my-bank`")
def train(
    what: Annotated[
        str, typer.Argument(help="Leave it out: `nlu` and `core` are learned together.", show_default=False)
    ] = "",
    project: ProjectOption = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Train even when the model is up to date.")] = False,
    debug: DebugOption = False,
) -> None:
    """Train a model on the project's data. Does nothing when the data have not changed."""
    from bot import training

    _check_what("train", what, "nlu", "core")
    loaded = _load(project)
    known = training.find_model(loaded)
    if known and not force:
        print(f"Nothing has changed: the model is {shown(known)}")
        return
    print(f"The model is {shown(_train(loaded))}")


@app.command(epilog="Example: `frontdesk run --port 8080 --auth-token $TOKEN --cors https://my-bank.example`")
def run(
    what: Annotated[str, typer.Argument(help="Leave it out to serve the bot.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    interface: Annotated[str, typer.Option("--interface", "-i", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="The port to listen on.", min=0, max=65535)] = 5005,
    auth_token: Annotated[
        str | None,
        typer.Option("--auth-token", "-t", help="What API callers must send as `Authorization: Bearer …`."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="An origin whose pages may call the bot; `*` for any. May be given several times."),
    ] = None,
    enable_api: Annotated[
        bool, typer.Option("--enable-api/--no-api", help="Serve /model/parse and /conversations, too.")
    ] = True,
    debug: DebugOption = False,
) -> None:
    """Serve the bot: web chat on `/`, REST on `/webhooks/rest/webhook`. Trains first when there is no model."""
    if what == "actions":
        raise FrontdeskError("the actions run inside the bot, there is nothing to start but that: frontdesk run")
    _check_what("run", what)
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


@app.command(epilog="Example: `frontdesk shell --project my-bank`")
def shell(
    what: Annotated[str, typer.Argument(help="`nlu` to see what is understood instead.", show_default=False)] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    debug: DebugOption = False,
) -> None:
    """Talk to the bot here. `/stop` ends it; a typed `/intent{"entity": "value"}` is obeyed."""
    from bot.shell import parse_texts, talk

    _check_what("shell", what, "nlu")
    assistant = _assistant(_load(project), model, in_memory=True)
    asyncio.run(parse_texts(assistant, sys.stdin) if what == "nlu" else talk(assistant, sys.stdin))


@app.command(epilog="Example: `frontdesk parse 'send 50 to Anna' --project my-bank`")
def parse(
    text: Annotated[str, typer.Argument(help="What a customer might say.")],
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    debug: DebugOption = False,
) -> None:
    """Show what is understood of a text, as JSON."""
    from bot.shell import parse_once

    assistant = _assistant(_load(project), model, in_memory=True)
    asyncio.run(parse_once(assistant, text))


@app.command("test", epilog="Example: `frontdesk test nlu --project my-bank`")
def run_tests(
    what: Annotated[
        str,
        typer.Argument(help="`nlu` for the examples alone, `core` for stories and conversations.", show_default=False),
    ] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    debug: DebugOption = False,
) -> None:
    """Run the project's tests: NLU examples, test stories, and whole conversations with their actions.

    Files under `tests/` (and a pack's `tests/`): `nlu:` examples, Rasa's test stories, and
    `conversations:` that give what is said and what must come back. Exit code 1 when one fails.
    """
    from bot.evaluation import evaluate, print_report

    _check_what("test", what, "nlu", "core")
    loaded = _load(project)
    report = asyncio.run(evaluate(loaded, _assistant(loaded, model, in_memory=True), what or None))
    print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: `frontdesk validate --project my-bank`")
def validate(project: ProjectOption = Path("."), debug: DebugOption = False) -> None:
    """Check the project for mistakes: all of them, each with file, line and a suggestion. Then exit code 2."""
    from bot.project import load_project
    from bot.validation import validate as find

    findings = find(load_project(project))
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        print(finding)
    warnings = _count(len(findings) - len(errors), "warning")
    if errors:
        print(f"{_count(len(errors), 'error')}, {warnings}.", file=sys.stderr)
        raise typer.Exit(2)
    print(f"No mistakes found, {warnings}.")


data = typer.Typer(help="Rasa's spelling: `frontdesk data validate` is `frontdesk validate`.", no_args_is_help=True)
data.command("validate", epilog="Example: `frontdesk data validate`")(validate)
app.add_typer(data, name="data", hidden=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
