"""`frontdesk data …`: work on a project's data files, as Rasa spells it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bot.commands import count
from bot.commands.migrate import migrate
from bot.commands.validate import validate
from bot.yaml_file import shown

app = typer.Typer(name="data", help="Check, convert, split and migrate a project's data files.", no_args_is_help=True)
app.command("validate", epilog="Example: `frontdesk data validate`")(validate)
app.command("migrate", epilog="Example: `frontdesk data migrate --out new-bot`")(migrate)

convert = typer.Typer(name="convert", help="Examples from one file format to another.", no_args_is_help=True)
split = typer.Typer(name="split", help="Data for training and data for testing.", no_args_is_help=True)
app.add_typer(convert)
app.add_typer(split)

OutOption = Annotated[Path, typer.Option("--out", help="The folder for the files that are written.")]
FractionOption = Annotated[float, typer.Option("--training-fraction", help="How much of the data is for training.")]
SeedOption = Annotated[
    int | None, typer.Option("--random-seed", help="The same number gives the same split.", show_default=False)
]


@convert.command("nlu", epilog="Example: `frontdesk data convert nlu --data data/nlu.json --out data/nlu.yml`")
def convert_nlu(
    data: Annotated[Path, typer.Option("--data", help="A file or a folder of examples, YAML or JSON.")],
    out: Annotated[Path, typer.Option("--out", help="The file that is written.")],
    kind: Annotated[str, typer.Option("--format", "-f", help="yaml or json.")] = "yaml",
    language: Annotated[str, typer.Option("--language", "-l", help="Whose phrases to take of Dialogflow's.")] = "en",
) -> None:
    """Examples as one file: of YAML, or of Rasa's older JSON. LUIS, Wit.ai and Dialogflow's exports are read, too."""
    from bot import training_files

    _say(training_files.convert_nlu(data, out, kind, language))
    print(f"Written: {shown(out)}")


@split.command("nlu", epilog="Example: `frontdesk data split nlu --training-fraction 0.8 --random-seed 1`")
def split_nlu(
    nlu: Annotated[Path, typer.Option("--nlu", "-u", help="A file or a folder of examples.")] = Path("data"),
    training_fraction: FractionOption = 0.8,
    random_seed: SeedOption = None,
    out: OutOption = Path("train_test_split"),
) -> None:
    """Examples for training and for testing, with some of every intent in both."""
    from bot import training_files

    _tell(*training_files.split_nlu(nlu, out, training_fraction, random_seed))


@split.command("stories", epilog="Example: `frontdesk data split stories --training-fraction 0.8 --random-seed 1`")
def split_stories(
    nlu: Annotated[Path, typer.Option("--stories", "--nlu", "-s", "-u", help="A file or a folder of stories.")] = Path(
        "data"
    ),
    training_fraction: FractionOption = 0.8,
    random_seed: SeedOption = None,
    out: OutOption = Path("train_test_split"),
) -> None:
    """Stories for training and for testing; what else stands in their files is for training."""
    from bot import training_files

    _tell(*training_files.split_stories(nlu, out, training_fraction, random_seed))


def _tell(files: Sequence[Path], notes: Sequence[str]) -> None:
    _say(notes)
    print(f"{count(len(files), 'file')} written: {', '.join(shown(file) for file in files)}")


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
