"""Pipelines side by side: how well each understands, trained on more and on fewer of the same examples."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.component_config import ComponentConfig, components
from bot.errors import ConfigError, Source
from bot.evaluation.nlu import judge
from bot.evaluation.plots import plot_curves
from bot.project import Project
from bot.training_data import Example
from bot.training_files import split_examples
from bot.yaml_file import Fields, Problems, read_yaml, shown

TRAINED_ON = 0.8
"""The share of the examples that a run trains on, as in Rasa; the rest judges."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`scores[name][run][i]` is the F1 score of a configuration, trained without `percentages[i]` of the examples.

    `sizes[i]` examples were left to train on, in the first run.
    """

    percentages: tuple[int, ...]
    sizes: tuple[int, ...]
    scores: dict[str, list[list[float]]]

    def means(self, name: str) -> list[float]:
        return [statistics.mean(run[column] for run in self.scores[name]) for column in range(len(self.percentages))]


def compare_pipelines(
    project: Project,
    configs: Sequence[Path],
    examples: Sequence[Example],
    *,
    runs: int = 3,
    percentages: Sequence[int] = (0, 25, 50, 75),
    progress: Callable[[str, float], None] | None = None,
) -> Comparison:
    """Train each configuration's pipeline `runs` times for each percentage that is left out, on parts drawn by seed."""
    from bot.training import untrained_pipeline

    pipelines = read_pipelines(configs)
    if bad := [percent for percent in percentages if not 0 <= percent < 100]:
        raise ConfigError(f"a percentage to leave out is between 0 and 99, not {bad[0]}")
    scores: dict[str, list[list[float]]] = {name: [[] for _ in range(runs)] for name in pipelines}
    sizes: list[int] = []
    rounds = [(run, percent, name) for run in range(runs) for percent in percentages for name in pipelines]
    for number, (run, percent, name) in enumerate(rounds):
        if progress:
            progress(f"{name}, run {run + 1}, without {percent}%", number / len(rounds))
        training, test = split_examples(examples, TRAINED_ON, project.config.seed + run)
        if percent:
            training = split_examples(training, 1 - percent / 100, project.config.seed + run)[0]
        if run == 0 and len(sizes) < len(percentages) and name == next(iter(pipelines)):
            sizes.append(len(training))
        config = dataclasses.replace(project.config, pipeline=pipelines[name])
        pipeline = untrained_pipeline(dataclasses.replace(project, config=config))
        pipeline.train(dataclasses.replace(project.data, examples=tuple(training)))
        parses = pipeline.parse([example.text for example in test])
        scores[name][run].append(judge(test, parses).intent_figures.f1)
    return Comparison(tuple(percentages), tuple(sizes), scores)


def read_pipelines(configs: Sequence[Path]) -> dict[str, tuple[ComponentConfig, ...]]:
    """The pipelines by the names of their files."""
    problems = Problems(strict=False)
    found = {}
    for file in configs:
        fields = Fields(read_yaml(file, problems), Source(shown(file)), shown(file), problems)
        found[file.stem] = components(fields, "pipeline", "component", problems)
        if not found[file.stem]:
            problems.add("there is no pipeline to compare", Source(shown(file)))
    problems.raise_errors()
    return found


def with_pipeline(project: Project, config: Path) -> Project:
    """The project as if its pipeline was that of this configuration."""
    (pipeline,) = read_pipelines([config]).values()
    return dataclasses.replace(project, config=dataclasses.replace(project.config, pipeline=pipeline))


def print_comparison(comparison: Comparison) -> None:
    print("F1 score of the intents, by the share of the training examples that was left out:")
    print(f"  {'':24}" + "".join(f"{f'{percent}%':>8}" for percent in comparison.percentages))
    for name in comparison.scores:
        print(f"  {name:24}" + "".join(f"{mean:8.3f}" for mean in comparison.means(name)))


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """`results.json` and `nlu_model_comparison_graph.pdf`, as Rasa writes them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(comparison.scores, indent=2) + "\n", encoding="utf-8")
        plot_curves(comparison.sizes, comparison.scores, folder / "nlu_model_comparison_graph.pdf")
    except OSError as error:
        raise ConfigError(f"'{shown(folder)}' cannot be written: {error.strerror or error}") from error
