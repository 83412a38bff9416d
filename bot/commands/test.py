"""`frontdesk test`: the project's own tests."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands import DebugOption, ModelOption, ProjectOption, check_what, load, open_assistant
from bot.yaml_file import shown

if TYPE_CHECKING:
    from bot.evaluation import NluReport
    from bot.evaluation.comparison import Comparison
    from bot.project import Project
    from bot.training_data import Example

app = typer.Typer()


@app.command("test", epilog="Example: `frontdesk test nlu --project my-bank --cross-validation`")
def run_tests(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[nlu|core|e2e]",
            help="`nlu` for the examples alone, `core` for stories and conversations, `e2e` for conversations.",
            show_default=False,
        ),
    ] = None,
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
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="Compare the pipelines of these files."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", "-r", help="How often a comparison is run.", min=1)] = 3,
    percentages: Annotated[
        list[int] | None,
        typer.Option("--percentages", "-p", help="Shares of the examples that a comparison leaves out: 0 25 50 75."),
    ] = None,
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
    from bot.evaluation.comparison import print_comparison, with_pipeline, write_comparison
    from bot.evaluation.results import Wanted, write_results

    what, config, percentages = _as_in_rasa(words or [], config or [], percentages or [])
    check_what("test", what, "nlu", "core", "e2e")
    loaded = load(project)
    tests = choose_tests(loaded, what or None, nlu, stories, name)
    folder = out or (loaded.root / "results" if loaded.config.packs is None else None)
    examples = tests.examples if nlu else loaded.data.examples
    if config and (len(config) > 1 or not cross_validation):
        comparison = _compare(loaded, config, examples, runs, percentages or [0, 25, 50, 75])
        print_comparison(comparison)
        if folder:
            write_comparison(comparison, folder)
            print(f"The reports are in {shown(folder)}", file=sys.stderr)
        return
    if cross_validation:
        loaded = with_pipeline(loaded, config[0]) if config else loaded
        report = Report(nlu=_cross_validate(loaded, folds, examples))
    else:
        for warning in tests.warnings:
            print(f"warning: {warning}", file=sys.stderr)
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
    if folder and not report.is_empty:
        write_results(report, folder, Wanted(not no_plot, not no_errors, successes, not no_warnings))
        print(f"The reports are in {shown(folder)}", file=sys.stderr)
    if report.failed:
        raise typer.Exit(1)


def _as_in_rasa(
    words: Sequence[str], config: Sequence[Path], percentages: Sequence[int]
) -> tuple[str, list[Path], list[int]]:
    """What is tested, and the options that Rasa takes several values for: `-c a.yml b.yml`, `-p 0 25`."""
    files = [Path(word) for word in words if config and word.endswith((".yml", ".yaml"))]
    numbers = [int(word) for word in words if percentages and word.isdecimal()]
    kinds = [word for word in words if Path(word) not in files and not (percentages and word.isdecimal())]
    return " ".join(kinds), [*config, *files], [*percentages, *numbers]


def _cross_validate(project: Project, folds: int, examples: Sequence[Example]) -> NluReport:
    from bot.evaluation import cross_validate

    with _progress() as tell:
        return cross_validate(project, folds, examples, tell)


def _compare(
    project: Project, configs: Sequence[Path], examples: Sequence[Example], runs: int, percentages: Sequence[int]
) -> Comparison:
    from bot.evaluation.comparison import compare_pipelines

    with _progress() as tell:
        return compare_pipelines(project, configs, examples, runs=runs, percentages=percentages, progress=tell)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, which is gone afterwards."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)
