"""What a certificate says: agreement, differences that are known, and those that nobody can explain."""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from bot.certify.known import DIFFERENCES
from bot.remote_actions import RASA_VERSION

Lines = list[dict[str, Any]]
Rasa = Callable[[Lines], Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """`run("shop", "--without-rasa")` → exit code, output, errors; one stands above the shop."""
    monkeypatch.setattr("bot.certify.real_rasa.HOME", tmp_path / "no-cache")
    monkeypatch.delenv("PYTHON310", raising=False)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no-pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.chdir(tmp_path)

    def main(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frontdesk", "certify", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    yield main
    logging.getLogger("bot").setLevel(logging.NOTSET)


def dialogue(lines: Lines, said: str) -> Lines:
    """The turns of the first recorded dialogue that begins so."""
    found: Lines = next(line["dialogue"] for line in lines if line.get("dialogue", [{}])[0].get("said") == said)
    return found


def test_both_engines_agree_and_a_difference_on_purpose_is_explained(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    rasa(recording)
    code, out, _ = run("shop", "--rasa", "python-with-rasa", "--out", "shop.json")
    assert code == 0
    assert out.splitlines()[-1] == "certificate: 10 of 11 turns agree, 1 explained, 0 unexplained (Rasa 3.6.21)"
    told = json.loads(Path("shop.json").read_text(encoding="utf-8"))
    assert (told["agree"], told["explained"], told["unexplained"], told["fails"]) == (10, 1, 0, False)
    (turn,) = [turn for one in told["dialogues"] for turn in one["turns"] if turn["differences"]]
    assert turn["said"] == "/cancel"
    assert turn["explanation"].startswith(
        "on purpose (docs/rasa-differences.md): a custom action fails; action 'action_"
    )
    assert "actions.py:9: KeyError" in turn["explanation"]
    assert "1 test story, 1 story, 2 rules" in out
    assert "1 of 1 texts are understood alike" in out
    assert "| training |" in out


def test_what_nobody_can_explain_fails(run: Run, shop: Path, rasa: Rasa, recording: Lines) -> None:
    lines = copy.deepcopy(recording)
    for event in dialogue(lines, "/order")[-1]["events"]:
        if event["event"] == "bot":
            event["text"] = "A large pizza with nothing."
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 1
    assert out.splitlines()[-1] == "certificate: 9 of 11 turns agree, 1 explained, 1 unexplained (Rasa 3.6.21)"
    row = next(line for line in out.splitlines() if "UNEXPLAINED" in line)
    assert "replies: A small pizza with olives. here, A large pizza with nothing. in Rasa" in row
    assert "data/data.yml:21: rule 'order a pizza' | 4 |" in row


def test_a_slot_that_differs_is_unexplained_until_it_agrees_again(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    lines = copy.deepcopy(recording)
    turns = dialogue(lines, "/order")
    for turn in turns[1:3]:
        turn["slots"]["size"] = "large"
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 1
    assert "slot 'size': 'small' here, 'large' in Rasa | UNEXPLAINED |" in out
    assert "slot 'size': 'small' here, 'large' in Rasa | follows from turn 2 |" in out
    assert out.splitlines()[-1].startswith("certificate: 8 of 11 turns agree, 1 explained, 2 unexplained")


def test_a_text_that_rasa_understands_otherwise_is_told_apart_from_the_dialogue(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    lines = copy.deepcopy(recording)
    turn = dialogue(lines, "hello")[0]
    cancelled = dialogue(lines, "/cancel")[0]
    heard = next(event for event in turn["events"] if event["event"] == "user")
    heard["parse_data"]["intent"] = {"name": "cancel", "confidence": 0.61}
    # As Rasa would go on from there.
    after = [event for event in cancelled["events"] if event["event"] in ("action", "bot")][2:]
    turn["events"] = [event for event in turn["events"] if event["event"] != "bot"][:4] + after
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 0
    assert "0 of 1 texts are understood alike" in out
    assert "| hello | greet (1.00) here, cancel (0.61) in Rasa |" in out
    assert "2 explained, 0 unexplained" in out


def test_a_learned_policy_that_guesses_otherwise_is_explained(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    lines = copy.deepcopy(recording)
    for event in dialogue(lines, "/greet")[0]["events"]:
        if event.get("name") == "utter_greet":
            event.update(name="utter_cancelled", policy="TEDPolicy", confidence=0.52)
        elif event["event"] == "bot":
            event["metadata"]["utter_action"] = "utter_cancelled"
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 0
    guesses = "utter_greet (MemoizationPolicy, 1.00) here, utter_cancelled (TEDPolicy, 0.52) in Rasa"
    assert f"a learned policy guesses: {guesses}" in out


def test_an_action_that_fails_here_alone_is_no_difference_on_purpose(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    lines = copy.deepcopy(recording)
    events = dialogue(lines, "/cancel")[0]["events"]
    at = next(number for number, event in enumerate(events) if event.get("name") == "action_cancel")
    events.insert(at + 1, {"event": "bot", "timestamp": 0, "text": "Your order is gone.", "metadata": {}, "data": {}})
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 1
    assert "1 unexplained" in out
    assert "UNEXPLAINED; action 'action_cancel' failed at" in out


def test_what_an_action_draws_by_chance_is_told_from_what_differs(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    actions = (shop / "actions/actions.py").read_text(encoding="utf-8")
    drawn = "dispatcher.utter_message(text=__import__('uuid').uuid4().hex)"
    (shop / "actions/actions.py").write_text(actions.replace('raise KeyError("no order")', drawn), encoding="utf-8")
    lines = copy.deepcopy(recording)
    events = dialogue(lines, "/cancel")[0]["events"]
    at = next(number for number, event in enumerate(events) if event.get("name") == "action_cancel")
    events.insert(at + 1, {"event": "bot", "timestamp": 0, "text": "4711", "metadata": {}, "data": {}})
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 0
    assert "the project's own actions answer differently from run to run" in out


def test_a_turn_that_rasa_lost_is_unexplained_with_its_words(
    run: Run, shop: Path, rasa: Rasa, recording: Lines
) -> None:
    lines = copy.deepcopy(recording)
    dialogue(lines, "/order")[-1].update(events=[], slots={}, active_loop=None, failure="KeyError: 'size'")
    code, out, _ = run("shop", "--rasa", str(rasa(lines)))
    assert code == 1
    assert "UNEXPLAINED; Rasa lost the turn: KeyError: 'size' |" in out


def test_rasa_that_refuses_the_project_is_told(run: Run, shop: Path, rasa: Rasa) -> None:
    python = rasa([{"rasa": "3.6.21"}, {"error": "SystemExit: 1"}])
    code, out, _ = run("shop", "--rasa", str(python))
    assert code == 1
    assert out.splitlines()[-1] == "certificate: none. Rasa does not run the project: SystemExit: 1"


def test_rasa_that_ends_amid_the_dialogues_is_told(run: Run, shop: Path, rasa: Rasa, recording: Lines) -> None:
    code, out, _ = run("shop", "--rasa", str(rasa(recording[:3])))
    assert code == 1
    assert "Rasa does not run the project: Rasa's process ended with 0: it said nothing" in out


# ---- without Rasa ----


def test_without_rasa_the_project_is_measured_by_its_own_tests_and_that_is_said(run: Run, shop: Path) -> None:
    code, out, err = run("shop", "--out", "shop.html")
    assert code == 0
    assert "or have one made: frontdesk certify shop --make-rasa-environment" in err
    assert out.splitlines()[-1] == "certificate: not compared with Rasa; 1 of 1 tests of the project pass here"
    assert "Real Rasa was NOT asked" in out
    page = Path("shop.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Real Rasa was NOT asked" in page
    assert "<script" not in page


def test_without_rasa_a_test_that_fails_fails(run: Run, shop: Path) -> None:
    test = shop / "tests/test_stories.yml"
    test.write_text(test.read_text(encoding="utf-8").replace("utter_greet", "utter_cancelled"), encoding="utf-8")
    code, out, _ = run("shop", "--without-rasa")
    assert code == 1
    assert "'utter_greet' comes next, not 'utter_cancelled'" in out


def test_an_action_that_cannot_be_imported_is_on_the_page(run: Run, shop: Path) -> None:
    with (shop / "actions/actions.py").open("a", encoding="utf-8") as file:
        file.write("import a_library_of_theirs\n")
    code, out, _ = run("shop", "--without-rasa")
    assert code == 1
    assert "- error: actions/actions.py:21: 'actions.actions' cannot be imported: ModuleNotFoundError" in out
    assert out.splitlines()[-1].startswith("certificate: none. the project does not run here: ")


def test_an_environment_cannot_be_made_without_a_python_3_10(run: Run, shop: Path) -> None:
    code, _, err = run("shop", "--make-rasa-environment")
    assert code == 2
    assert "error: Rasa 3.6.21 needs a Python 3.10, and none was found" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rasa", "nowhere"], "there is no Python 'nowhere': name the program"),
        (["--out", "certificate.pdf"], "'certificate.pdf' must end in one of .md, .html, .json"),
    ],
)
def test_a_wrong_option_is_a_line(run: Run, shop: Path, words: list[str], message: str) -> None:
    code, _, err = run("shop", *words)
    assert code == 2
    assert f"error: {message}" in err


def test_a_python_without_rasa_is_told_what_to_install(run: Run, shop: Path) -> None:
    code, _, err = run("shop", "--rasa", sys.executable)
    assert code == 2
    assert "has no Rasa. Install it there" in err


# ---- the table of known differences ----


def test_every_difference_that_is_recognised_is_a_row_of_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "rasa-differences.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| (.*?) \| .* \|$", document, re.MULTILINE))
    assert [difference.row for difference in DIFFERENCES if difference.row not in rows] == []


def test_the_judge_is_the_rasa_of_the_dependency_group() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    groups = tomllib.loads(pyproject.read_text("utf-8"))["dependency-groups"]
    assert groups["rasa"] == [f"rasa=={RASA_VERSION}"]
