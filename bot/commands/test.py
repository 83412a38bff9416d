"""`frontdesk test`: the project's own tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant
from bot.yaml_file import shown

if TYPE_CHECKING:
    from bot.evaluation import NluReport
    from bot.project import Project
    from bot.training_data import Example

app = typer.Typer()


@app.command("test", epilog="Example: `frontdesk test nlu --project my-bank --cross-validation`")
def run_tests(
    what: Annotated[
        str,
        typer.Argument(
            help="`nlu` for the examples alone, `core` for stories and conversations, `e2e` for conversations.",
            show_default=False,
        ),
    ] = "",
    project: ProjectOption = Path("."),
    model: ModelOption = None,
    nlu: Annotated[
        Path | None, typer.Option("--nlu", "-u", help="Examples to test instead of those in tests/: a file or folder.")
    ] = None,
    stories: Annotated[
        Path | None,
        typer.Option("--stories", "-s", help="Stories and conversations instead of those in tests/: a file or folder."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-k", help="Only the stories and conversations with this in their names.")
    ] = None,
    cross_validation: Annotated[
        bool, typer.Option("--cross-validation", help="Train on a part of the examples, and test with the rest.")
    ] = False,
    folds: Annotated[int, typer.Option("--folds", "-f", help="How many parts cross-validation makes.")] = 5,
    e2e: Annotated[
        bool,
        typer.Option("--e2e", "--end-to-end", help="With `core --stories`: also judge how messages are understood."),
    ] = False,
    fail_on_prediction_errors: Annotated[
        bool, typer.Option("--fail-on-prediction-errors", help="Stop at the first story that goes otherwise.")
    ] = False,
    fail_under: Annotated[
        float | None,
        typer.Option("--fail-under", help="Percent of the messages that must be understood.", min=0, max=100),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for reports, pictures and junit.xml. In a project of Rasa's layout: results.",
            show_default=False,
        ),
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Draw no pictures.")] = False,
    no_errors: Annotated[bool, typer.Option("--no-errors", help="Write no files of what went wrong.")] = False,
    no_warnings: Annotated[bool, typer.Option("--no-warnings", help="Write no file of stories with warnings.")] = False,
    successes: Annotated[bool, typer.Option("--successes", help="Write files of what went right, too.")] = False,
    debug: DebugOption = False,
) -> None:
    """Run the project's tests: NLU examples, test stories, and whole conversations with their actions.

    Files under `tests/` (and a pack's `tests/`): `nlu:` examples, Rasa's test stories, `conversations:` that give
    what is said and what must come back, and Rasa Pro's `test_cases:`. Exit code 1 when one fails.
    """
    from bot.certify.here import in_process
    from bot.evaluation import Report, choose_tests, evaluate, print_report
    from bot.evaluation.results import Wanted, write_results

    check_what("test", what, "nlu", "core", "e2e")
    loaded = load(project)
    tests = choose_tests(loaded, what or None, nlu, stories, name)
    if cross_validation:
        report = Report(nlu=_cross_validate(loaded, folds, tests.examples if nlu else loaded.data.examples))
    else:
        print(f"Testing {tests}", file=sys.stderr)
        if in_process(loaded) is not loaded and loaded.config.action_endpoint:
            print("The project's actions run in this process, not on the server of endpoints.yml.", file=sys.stderr)
            loaded = in_process(loaded)
        assistant = open_assistant(loaded, model, in_memory=True)
        judges_messages = e2e or what != "core" or stories is None
        report = asyncio.run(
            evaluate(loaded, assistant, what or None, tests, e2e=judges_messages, stops=fail_on_prediction_errors)
        )
    if fail_under is not None:
        report = report.required(fail_under / 100)
    print_report(report)
    folder = out or (loaded.root / "results" if loaded.config.packs is None else None)
    if folder and not report.is_empty:
        write_results(report, folder, Wanted(not no_plot, not no_errors, successes, not no_warnings))
        print(f"The reports are in {shown(folder)}", file=sys.stderr)
    if report.failed:
        raise typer.Exit(1)


def _cross_validate(project: Project, folds: int, examples: Sequence[Example]) -> NluReport:
    """With a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    from bot.evaluation import cross_validate

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cross-validation", total=1.0)
        return cross_validate(
            project, folds, examples, lambda what, done: bar.update(task, description=what, completed=done)
        )
