"""Pipelines side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.errors import ConfigError, ProjectErrors
from bot.evaluation import cross_validate
from bot.evaluation.comparison import compare_pipelines, print_comparison, with_pipeline, write_comparison
from bot.project import load_project
from bot.training_data import Example

EXAMPLES = [
    Example(f"{word} {number}", intent)
    for intent, word in (("greet", "hello"), ("buy", "purchase"), ("bye", "farewell"))
    for number in range(10)
]


def configs(folder: Path) -> list[Path]:
    learns = "[{name: WhitespaceTokenizer}, {name: CountVectorsFeaturizer}, {name: LogisticRegressionClassifier}]"
    for name, pipeline in (("learns", learns), ("guesses", "[{name: KeywordIntentClassifier}]")):
        (folder / f"{name}.yml").write_text(f"pipeline: {pipeline}\n")
    return [folder / "learns.yml", folder / "guesses.yml"]


def test_pipelines_are_trained_on_ever_fewer_examples(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = load_project(shop)
    found = compare_pipelines(project, configs(tmp_path), EXAMPLES, runs=2, percentages=(0, 50))
    assert found.sizes == (24, 12)
    assert found.scores == {"learns": [[1.0, 1.0]] * 2, "guesses": [[0.0, 0.0]] * 2}
    print_comparison(found)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["0%", "50%"],
        ["learns", "1.000", "1.000"],
        ["guesses", "0.000", "0.000"],
    ]
    write_comparison(found, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == found.scores
    assert (tmp_path / "out" / "nlu_model_comparison_graph.pdf").read_bytes().startswith(b"%PDF")


def test_cross_validation_may_use_another_pipeline(shop: Path, tmp_path: Path) -> None:
    project = load_project(shop)
    learns, guesses = (with_pipeline(project, file) for file in configs(tmp_path))
    assert cross_validate(learns, 2, EXAMPLES).accuracy == 1.0
    assert cross_validate(guesses, 2, EXAMPLES).accuracy == 0.0


def test_what_cannot_be_compared_is_told(shop: Path, tmp_path: Path) -> None:
    project = load_project(shop)
    (tmp_path / "none.yml").write_text("language: en\n")
    with pytest.raises(ProjectErrors, match="there is no pipeline to compare"):
        compare_pipelines(project, [tmp_path / "none.yml"], EXAMPLES)
    with pytest.raises(ConfigError, match="a percentage to leave out is between 0 and 99, not 100"):
        compare_pipelines(project, configs(tmp_path), EXAMPLES, percentages=(0, 100))
