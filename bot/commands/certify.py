"""`frontdesk certify`: whether a Rasa project does here what it does in real Rasa."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, load
from bot.errors import FrontdeskError

app = typer.Typer()


@app.command(epilog="Example: `frontdesk certify my-rasa-bot --rasa .venv-rasa/bin/python --out certificate.html`")
def certify(
    project: Annotated[
        Path, typer.Argument(help="The Rasa project's folder.", show_default="the one you stand in")
    ] = Path("."),
    rasa: Annotated[
        Path | None,
        typer.Option(help="A Python (or its environment's folder) that has Rasa 3. Default: the first that is found."),
    ] = None,
    make_rasa_environment: Annotated[
        bool,
        typer.Option("--make-rasa-environment", help="Install Rasa in an environment of its own. Needs a Python 3.10."),
    ] = False,
    without_rasa: Annotated[
        bool, typer.Option("--without-rasa", help="Run the project's tests here alone, and compare nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the certificate: a name that ends in .md, .html or .json.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Compare turn by turn with real Rasa what a Rasa project does here, and explain every difference.

    Trains both on the project, has both hold the project's test dialogues (where these are few, walks along its
    stories and rules, too), and lists what a team must know before it moves. Exit code 1 when a difference is
    unexplained.
    """
    from bot.certify.certifying import certify as make_certificate
    from bot.certify.real_rasa import find_rasa, make_environment
    from bot.certify.writing import SUFFIXES, as_markdown, write

    if out and out.suffix not in SUFFIXES:
        raise FrontdeskError(f"'{out}' must end in one of {', '.join(SUFFIXES)}")
    loaded = load(project)
    python, why_not = None, "--without-rasa said so"
    if not without_rasa and loaded.config.packs is None:
        python = find_rasa(project, rasa) or (make_environment(_tell) if make_rasa_environment else None)
        if python is None:
            why_not = "no Python with Rasa was found"
            _tell(
                "No Python with Rasa was found, so nothing is compared. Name one with --rasa, or have one made: "
                f"frontdesk certify {project} --make-rasa-environment"
            )
    # What rasa-sdk remarks on each turn would drown what is said here.
    logging.getLogger("rasa_sdk").setLevel(logging.ERROR)
    certificate = make_certificate(project, python, _tell, why_not=why_not)
    print(as_markdown(certificate))
    if out:
        write(certificate, out)
        _tell(f"Written to {out}")
    print(certificate.line)
    if certificate.fails:
        raise typer.Exit(1)


def _tell(said: str) -> None:
    print(said, file=sys.stderr, flush=True)
