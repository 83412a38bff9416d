"""What `rasa test core --e2e` of Rasa 3.6.21 made of the same stories (tests/projects/story_tests)."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from bot.evaluation import Report, evaluate
from bot.evaluation.nlu import judge
from bot.evaluation.results import Wanted, write_results
from bot.messages import Entity, Intent, Parse, Token
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train
from bot.training_data import Example

PROJECT = Path(__file__).parent.parent / "projects" / "story_tests"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("stories") / "project"
    shutil.copytree(PROJECT, folder)
    # In Rasa's layout, tests/ may hold YAML of something else.
    (folder / "tests" / "compose.yml").write_text("services: {bot: {image: frontdesk}}\n")
    project = load_project(folder)
    train(project)
    return asyncio.run(evaluate(project, load_assistant(project, store=MemoryStore()), "core"))


def test_the_same_stories_fail(report: Report) -> None:
    assert [result.name for result in report.story_report.failed] == ["wrong entity", "extra entity", "ends early"]


def test_the_figures_are_the_same(report: Report, tmp_path: Path) -> None:
    write_results(report, tmp_path, Wanted(plots=False))
    ours = json.loads((tmp_path / "story_report.json").read_text())
    theirs = json.loads((PROJECT / "story_report_of_rasa.json").read_text())
    assert set(ours) == set(theirs)
    for label, figures in theirs.items():
        assert ours[label] == pytest.approx(figures), label


def test_messages_are_judged_as_rasas_own_functions_judge_them() -> None:
    """Drawn predictions, and what `evaluate_intents`, `…_entities` and `…_response_selections` make of them."""
    recorded = json.loads((Path(__file__).parent / "rasa_nlu_report.json").read_text())
    text = "one two three four"
    tokens = [Token("one", 0, 3), Token("two", 4, 7), Token("three", 8, 13), Token("four", 14, 18)]
    examples, parses = [], []
    for row in recorded["examples"]:
        found = row["found"]
        parse = Parse(text, tokens=tokens, intent=Intent(found["intent"], 0.5))
        parse.entities = [Entity.from_json(entity) for entity in found["entities"]]
        if found["answer"]:
            answer = {"intent_response_key": found["answer"], "confidence": 0.4}
            parse.response_selector = {"default": {"response": answer}}
        parses.append(parse)
        examples.append(Example(text, row["intent"], tuple(Entity.from_json(one) for one in row["entities"])))
    ours = judge(examples, parses).to_json()
    for part, theirs in recorded["report"].items():
        for extractor, figures in theirs.items() if part == "entity_evaluation" else [("", theirs)]:
            mine = ours[part][extractor] if extractor else ours[part]
            assert len(mine["errors"]) == figures["errors"]
            for average in ("precision", "f1_score", "accuracy"):
                assert mine[average] == pytest.approx(figures[average])
            assert set(mine["report"]) == set(figures["report"])
            for label, entry in figures["report"].items():
                own = mine["report"][label]
                if isinstance(entry, dict):
                    assert own.get("confused_with") == entry.get("confused_with")
                    own, entry = ({k: v for k, v in one.items() if k != "confused_with"} for one in (own, entry))
                assert own == pytest.approx(entry), label
