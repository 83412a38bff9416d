"""The command line: gathers bot/commands/, and makes each error one line and exit code 2."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sys
from typing import Annotated, Any

import typer

from bot import __version__, commands
from bot.commands import DebugOption
from bot.errors import FrontdeskError, ProjectErrors

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


_FOLDER = "The project's folder holds config, domain and data: name it with --project."
_MODELS = "Models are kept in models/ in the project's folder."
_OF_RASA = {
    **dict.fromkeys(("--data", "--domain", "--config", "-d", "-c", "--stories", "--nlu", "-s", "-u"), _FOLDER),
    **dict.fromkeys(("--endpoints", "--credentials"), "endpoints.yml and credentials.yml beside config.yml are read."),
    **dict.fromkeys(("--out", "--fixed-model-name"), _MODELS),
    "--cors": "Name --cors once for each origin: --cors https://a.example --cors https://b.example",
    "--use-syslog": "The log can go to a file: --log-file bot.log",
    **dict.fromkeys(("--no-prompt", "--init-dir"), "Name the folder, nothing is asked: frontdesk init my-bank"),
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
        print(f"{commands.count(len(errors.errors), 'mistake')} in the project.", file=sys.stderr)
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


for _module in pkgutil.iter_modules(commands.__path__):
    app.add_typer(importlib.import_module(f"{commands.__name__}.{_module.name}").app)


if __name__ == "__main__":
    main()
