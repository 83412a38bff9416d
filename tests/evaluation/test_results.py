"""What `frontdesk test` writes, and what its options do."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from bot import cli
from bot.evaluation import Report, read_tests
from bot.evaluation.plots import plot_confusions
from bot.evaluation.results import Wanted, write_results
from bot.project import load_project

Run = Callable[..., Report]

TESTS = """
nlu:
- intent: greet
  examples: |
    - hello
    - buy?
- intent: buy
  examples: |
    - buy [tea](thing)
    - buy [coffee](thing)
stories:
- story: right
  steps: [{intent: greet}, {action: utter_greet}]
- story: wrong
  steps:
  - user: buy [tea](thing)
    intent: buy
  - slot_was_set: [{thing: tea}]
  - action: utter_sold
  - user: hello
    intent: bye
  - action: utter_greet
conversations:
- name: sale
  steps:
  - user: hello
  - bot: Good-bye
"""


def size_of(png: Path) -> tuple[int, int]:
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_the_folder_has_rasas_files(run: Run, tmp_path: Path) -> None:
    write_results(run(TESTS), tmp_path, Wanted(successes=True))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "RegexEntityExtractor_confusion_matrix.png",
        "RegexEntityExtractor_errors.json",
        "RegexEntityExtractor_report.json",
        "RegexEntityExtractor_successes.json",
        "failed_test_stories.yml",
        "intent_confusion_matrix.png",
        "intent_errors.json",
        "intent_histogram.png",
        "intent_report.json",
        "intent_successes.json",
        "junit.xml",
        "stories_with_warnings.yml",
        "story_confusion_matrix.png",
        "story_report.json",
        "successful_test_stories.yml",
    ]
    assert json.loads((tmp_path / "intent_errors.json").read_text()) == [
        {"text": "buy?", "intent": "greet", "intent_prediction": {"name": "buy", "confidence": 1.0}}
    ]
    assert json.loads((tmp_path / "story_report.json").read_text())["conversation_accuracy"] == {
        "accuracy": 0.5,
        "correct": 1,
        "with_warnings": 0,
        "total": 2,
    }
    assert min(*size_of(tmp_path / "intent_confusion_matrix.png"), *size_of(tmp_path / "intent_histogram.png")) > 400


def test_pictures_errors_and_warnings_can_be_left_out(run: Run, tmp_path: Path) -> None:
    write_results(run(TESTS), tmp_path, Wanted(plots=False, errors=False, warnings=False))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("RegexEntityExtractor_report.json", "intent_report.json", "junit.xml", "story_report.json"),
    ]


def test_failed_stories_are_a_file_of_stories_with_remarks(run: Run, tmp_path: Path) -> None:
    write_results(run(TESTS), tmp_path, Wanted(plots=False))
    text = (tmp_path / "failed_test_stories.yml").read_text()
    assert text.splitlines() == [
        'version: "3.1"',
        "stories:",
        '- story: "wrong (tests/shop.yml:14)"',
        "  steps:",
        "  - intent: buy",
        '    user: "buy [tea](thing)"',
        "  - slot_was_set:",
        '    - {"thing": "tea"}',
        "  - action: utter_sold  # predicted: action_count",
        "  - intent: bye  # predicted: action_default_fallback, greet",
        '    user: "hello"',
        "  - action: utter_greet  # predicted: utter_bye",
        "    # predicted: action_default_fallback",
    ]
    again = run(text.replace("# predicted", "#"))
    assert [one.got for one in again.story_report.failed[0].mismatches] == [
        *("action_count", "action_default_fallback", "greet", "utter_bye", "action_default_fallback"),
    ]


def test_junit_has_a_case_for_everything_and_failures_with_their_place(run: Run, tmp_path: Path) -> None:
    write_results(run(TESTS).required(0.9), tmp_path, Wanted(plots=False))
    xml = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (xml.tests, xml.failures) == (8, 3)
    suites = {suite.name: list(suite) for suite in xml}
    assert {name: len(cases) for name, cases in suites.items()} == {
        "understanding": 5,
        "stories": 2,
        "conversations": 1,
    }
    heard = suites["understanding"][1]
    assert (heard.classname, heard.name, heard.is_passed) == ("nlu.greet", "buy?", True)
    assert heard.system_out == "tests/shop.yml:6: 'buy?' is taken for 'buy' (buy, 1.00), not for 'greet'"
    assert suites["understanding"][4].result[0].message == "75.0% of the messages were understood, which is under 90.0%"
    assert [case.is_passed for case in suites["stories"]] == [True, False]
    talk = suites["conversations"][0]
    assert talk.time > 0
    assert talk.result[0].message == "tests/shop.yml:27: 'sale': no reply has 'Good-bye'; there is: Hello there.\n" + (
        '  1: Buy tea (/buy{"thing": "tea"})'
    )
    assert talk.result[0].text.splitlines()[-1] == "expected: bot: Good-bye      <- tests/shop.yml:27"
    assert talk._elem.attrib["file"] == "tests/shop.yml"


def test_junit_takes_any_character(run: Run, tmp_path: Path) -> None:
    write_results(
        run('nlu: [{intent: greet, examples: [{text: "hello \\u0007 <&>\\"]]>"}]}]'), tmp_path, Wanted(plots=False)
    )
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert [case.name for case in suite] == ['hello � <&>"]]>']


def test_a_picture_of_many_labels_grows_with_them(tmp_path: Path) -> None:
    for number in (3, 40):
        labels = [f"label_{one}" for one in range(number)]
        plot_confusions(labels, [*labels[1:], labels[0]], "Labels", tmp_path / f"{number}.png")
    assert size_of(tmp_path / "40.png")[0] > 2 * size_of(tmp_path / "3.png")[0]


# ---- the command ----


@pytest.fixture
def frontdesk(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`frontdesk("test", …)` in the shop's folder → exit code, stdout, stderr."""
    monkeypatch.chdir(shop)
    (shop / "tests").mkdir(exist_ok=True)
    (shop / "tests" / "shop.yml").write_text(TESTS)

    def frontdesk(*words: str) -> tuple[Any, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["frontdesk", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return frontdesk


def test_a_project_of_ours_gets_files_only_when_asked(frontdesk: Any, shop: Path, tmp_path: Path) -> None:
    code, out, err = frontdesk("test", "--no-plot")
    assert (code, (shop / "results").exists()) == (1, False)
    assert err.splitlines()[0] == "Testing 4 messages, 2 stories, 1 conversation of tests/shop.yml"
    assert out.splitlines()[-1] == "stories: 2; conversations: 1; failed: 2"
    code, _, err = frontdesk("test", "--no-plot", "--out", str(tmp_path / "there"))
    assert err.splitlines()[-1] == f"The reports are in {tmp_path}/there"
    assert (tmp_path / "there" / "junit.xml").is_file()


def test_other_files_can_be_tested_and_what_was_learnt_is_said(frontdesk: Any, shop: Path) -> None:
    code, out, err = frontdesk("test", "nlu", "--nlu", "data/all.yml")
    assert err.splitlines()[0] == "Testing 6 messages of data/all.yml"
    assert out.splitlines()[0].startswith("These are the examples that the model was trained on")
    assert (code, out.splitlines()[1]) == (0, "understanding: 6 of 6 messages (100.0%)")
    (shop / "more.yml").write_text("stories: [{story: x, steps: [{user: hm, intent: greet}, {action: utter_greet}]}]")
    assert frontdesk("test", "core", "--stories", "more.yml")[0] == 0
    code, out, _ = frontdesk("test", "core", "--stories", "more.yml", "--e2e")
    assert (code, out.splitlines()[0]) == (
        1,
        "failed: more.yml:1: story 'x': 'hm' is understood as 'nlu_fallback', not as 'greet'",
    )
    (shop / "more.yml").unlink()
    assert frontdesk("test", "-s", "more.yml")[2].splitlines() == ["error: there is no file or folder 'more.yml'"]


def test_tests_are_chosen_by_kind_and_by_name(frontdesk: Any) -> None:
    assert frontdesk("test", "-k", "righ")[1].splitlines() == ["stories: 1; conversations: 0; failed: 0"]
    assert frontdesk("test", "e2e")[1].splitlines()[-1] == "stories: 0; conversations: 1; failed: 1"
    assert frontdesk("test", "-k", "nothing")[2] == "error: no story and no conversation has 'nothing' in its name\n"


def test_a_share_of_understood_messages_can_be_demanded(frontdesk: Any) -> None:
    assert frontdesk("test", "nlu", "--fail-under", "75")[0] == 0
    code, out, _ = frontdesk("test", "nlu", "--fail-under", "76")
    assert (code, out.splitlines()[-1]) == (
        1,
        "failed: 75.0% of the messages were understood, which is under 76.0%",
    )


def test_a_run_may_end_at_the_first_wrong_story(frontdesk: Any, shop: Path) -> None:
    story = "  steps: [{intent: greet}, {action: utter_bye}]\n"
    (shop / "tests" / "shop.yml").write_text(f"stories:\n- story: a\n{story}- story: b\n{story}")
    assert frontdesk("test")[1].splitlines()[-1] == "stories: 2; conversations: 0; failed: 2"
    out = frontdesk("test", "--fail-on-prediction-errors")[1]
    assert out.splitlines()[-1] == "stories: 1; conversations: 0; failed: 1"


def test_cross_validation_of_the_examples_is_printed(frontdesk: Any, shop: Path) -> None:
    (shop / "more.yml").write_text(
        "nlu:\n- {intent: greet, examples: [{text: hello}, {text: '99'}]}\n"
        "- {intent: buy, examples: [{text: buy one}, {text: buy two}]}\n- {intent: bye, examples: [{text: so long}]}\n"
    )
    code, out, _ = frontdesk("test", "nlu", "--cross-validation", "--folds", "2", "-u", "more.yml")
    (shop / "more.yml").unlink()
    lines = out.splitlines()
    assert (code, lines[0]) == (0, "understanding: 0 of 4 messages (0.0%)")
    assert lines[1:3] == [
        "  in 2 folds: 0.0% on average, +/- 0.0%",
        "  left out, with too few examples for so many folds: bye",
    ]


def test_pipelines_are_compared_with_rasas_command_line(frontdesk: Any, shop: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (shop / f"{name}.yml").write_text("pipeline: [{name: KeywordIntentClassifier}]\n")
    words = ("test", "nlu", "-c", "a.yml", "b.yml", "-r", "1", "-p", "0", "50", "--out", str(tmp_path / "out"))
    code, out, _ = frontdesk(*words)
    assert (code, [line.split()[:1] for line in out.splitlines()[1:]]) == (0, [["0%"], ["a"], ["b"]])
    assert set(json.loads((tmp_path / "out" / "results.json").read_text())) == {"a", "b"}
    for name in ("a", "b"):
        (shop / f"{name}.yml").unlink()


def test_a_test_story_may_set_a_slot_that_rasas_domain_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("recipe: default.v1\npipeline: []\npolicies: []\n")
    (tmp_path / "domain.yml").write_text("intents: [greet]\nslots: {}\nresponses: {utter_greet: [{text: Hello.}]}\n")
    (tmp_path / "tests").mkdir()
    steps = "[{intent: greet}, {slot_was_set: [{gone: 1}]}, {action: utter_greet}]"
    (tmp_path / "tests" / "test_old.yml").write_text(f"stories:\n- story: old\n  steps: {steps}\n")
    tests = read_tests(load_project(tmp_path))
    assert len(tests.stories[0].steps) == 2
    (warning,) = tests.warnings
    assert "test_old.yml:3: the test story 'old' sets the slot 'gone'" in str(warning)
