"""More is written into a YAML file, and every byte that was there stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.errors import DataError
from bot.yaml_editing import extend_file, extended, with_example


@pytest.mark.parametrize(
    ("text", "key", "more", "wanted"),
    [
        ("a:\n- x\n\n# end\nb: 1\n", "a", ["y"], "a:\n- x\n- y\n\n# end\nb: 1\n"),
        ("a:\n  - x   # one\nb: 1\n", "a", ["y"], "a:\n  - x   # one\n  - y\nb: 1\n"),
        ("a: [x, z]  # two\n", "a", ["y"], 'a: [x, z, "y"]  # two\n'),
        ("a: []\n", "a", ["y"], 'a: ["y"]\n'),
        ("a:\nb: 1\n", "a", ["y"], "a:\n- y\nb: 1\n"),
        ("b: 1", "a", ["y"], "b: 1\na:\n- y\n"),
        ("b: 1\r\n", "a", ["y"], "b: 1\r\na:\r\n- y\r\n"),
        ("\ufeffa: [x]\n", "a", ["y"], '\ufeffa: [x, "y"]\n'),
        ("a:\n  x: 1\n", "a", {"y": [{"text": "hi"}]}, "a:\n  x: 1\n  y:\n  - text: hi\n"),
        ("a: {x: 1}\n", "a", {"y": 2}, 'a: {x: 1, "y": 2}\n'),
        ("a:\n- |\n  text\n\nb: 1\n", "a", ["y"], "a:\n- |\n  text\n- y\n\nb: 1\n"),
    ],
)
def test_a_section_grows_at_its_end(text: str, key: str, more: Any, wanted: str) -> None:
    assert extended(text, key, more, "file.yml") == wanted


def test_what_cannot_be_added_to_is_told_with_what_to_add() -> None:
    with pytest.raises(DataError, match=r"file\.yml: 'a' cannot be added to .*- y"):
        extended("a: text\n", "a", ["y"], "file.yml")


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    extend_file(tmp_path / "data" / "new.yml", {"stories": [{"story": "a"}], "rules": []})
    text = (tmp_path / "data" / "new.yml").read_text(encoding="utf-8")
    assert text == 'version: "3.1"\nstories:\n- story: a\n'


NLU = """\
nlu:
- intent: greet
  examples: |
      - hello
      - hi

- intent: flow
  examples: "- one"
- intent: list
  examples:
  - text: a
"""


def test_an_example_joins_those_of_its_intent() -> None:
    assert with_example(NLU, "greet", "hey: [Tom](name) # you", "n.yml") == NLU.replace(
        "      - hi\n", "      - hi\n      - hey: [Tom](name) # you\n"
    )


@pytest.mark.parametrize("intent", ["flow", "list", "unknown"])
def test_examples_that_are_no_block_are_left_alone(intent: str) -> None:
    assert with_example(NLU, intent, "more", "n.yml") is None


def test_the_last_lines_of_a_file_without_an_end_are_added_to() -> None:
    text = "nlu:\n- intent: greet\n  examples: |\n    - hello"
    added = with_example(text, "greet", "hi", "n.yml")
    assert added == text + "\n    - hi\n"
    assert yaml.safe_load(added)["nlu"][0]["examples"] == "- hello\n- hi\n"
