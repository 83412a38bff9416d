"""`frontdesk test`: the project's own tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant

app = typer.Typer()


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

    check_what("test", what, "nlu", "core")
    loaded = load(project)
    report = asyncio.run(evaluate(loaded, open_assistant(loaded, model, in_memory=True), what or None))
    print_report(report)
    if report.failed:
        raise typer.Exit(1)
