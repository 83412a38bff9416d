"""`frontdesk validate` as a person or a build types it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import cli

Run = Callable[..., tuple[int, str, str]]

CONFLICT = "stories:\n- {story: other, steps: [{intent: greet}, {action: utter_greet}, {action: utter_bye}]}\n"
ONE_STATE = "stories:\n- {story: short, steps: [{intent: bye}, {action: utter_greet}]}\n"
UNUSED = "responses: {utter_hop: [{text: Hop}]}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line; (exit code, stdout, stderr)."""

    def main(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frontdesk", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return main


@pytest.fixture
def here(shop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stands in the folder of the project with these files."""
    return lambda **files: monkeypatch.chdir(shop(**files))


def test_warnings_are_no_failure(run: Run, here: Callable[..., None]) -> None:
    here(**{"data/more.yml": UNUSED})
    code, out, _ = run("validate")
    assert code == 0
    assert out.startswith("warning: data/more.yml:1: response 'utter_hop' is never used")
    assert out.endswith("No mistakes found, 1 warning.\n")


def test_warnings_are_a_failure_where_that_is_asked_for(run: Run, here: Callable[..., None]) -> None:
    here(**{"data/more.yml": UNUSED})
    assert run("data", "validate", "--fail-on-warnings")[0] == 2


def test_a_clean_project_is_no_failure_either_way(run: Run, here: Callable[..., None]) -> None:
    here()
    assert run("validate", "--fail-on-warnings") == (0, "No mistakes found, 0 warnings.\n", "")


def test_stories_alone(run: Run, here: Callable[..., None]) -> None:
    here(**{"data/more.yml": CONFLICT + UNUSED})
    code, out, err = run("data", "validate", "stories")
    assert code == 2
    assert "disagrees with rule 'greet'" in out
    assert "utter_hop" not in out
    assert err == "1 error, 1 warning.\n"


def test_how_many_states_count(run: Run, here: Callable[..., None]) -> None:
    here(**{"data/more.yml": ONE_STATE})
    assert run("validate", "stories")[1] == "No mistakes found, 0 warnings.\n"
    assert "story 'leave' disagrees with story 'short'" in run("validate", "stories", "--max-history", "1")[1]
    code, _, err = run("validate", "--max-history", "0")
    assert code == 2
    assert "'--max-history'" in err


def test_a_machine_reads_a_list(run: Run, here: Callable[..., None]) -> None:
    here(**{"data/more.yml": CONFLICT})
    code, out, err = run("validate", "--format", "json")
    assert (code, err) == (2, "")
    error = next(one for one in json.loads(out) if one["severity"] == "error")
    assert error.pop("message").startswith("story 'other' disagrees with rule 'greet' (data/rules.yml:5) after [user: ")
    assert error == {
        "severity": "error",
        "kind": "contradiction",
        "file": "data/more.yml",
        "line": 2,
        "other": {"file": "data/rules.yml", "line": 5},
    }


def test_a_machine_is_told_of_a_project_that_cannot_be_read_as_well(run: Run, here: Callable[..., None]) -> None:
    here(**{"domain.yml": "intents: 5\n"})
    code, out, _ = run("validate", "--format", "json")
    assert code == 2
    message = "'intents' of the domain must be a list, not the number 5"
    assert {"severity": "error", "kind": "file", "file": "domain.yml", "line": 1, "message": message} in json.loads(out)


def test_another_word_is_told_from_stories(run: Run, here: Callable[..., None]) -> None:
    here()
    assert "Did you mean 'stories'?" in run("validate", "storys")[2]
