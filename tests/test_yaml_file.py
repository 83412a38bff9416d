"""YAML with line numbers: what a text means, and what is said of one that means nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ProjectErrors
from bot.yaml_file import Fields, Problems, parse_yaml, plain, read_yaml


def read(text: str) -> tuple[Any, list[str]]:
    """The value, and what was wrong."""
    problems = Problems()
    value = parse_yaml(text, "a.yml", problems)
    return value, [str(error) for error in problems.errors]


def test_every_key_and_item_knows_its_line() -> None:
    value, _ = read("# a comment\nfirst: 1\nsecond:\n- one\n-\n  key: |\n    text\n\n  other: 2\n")
    assert [value.sources[key].line for key in ("first", "second")] == [2, 3]
    assert [source.line for source in value["second"].sources] == [4, 6]
    assert value["second"][1].sources["other"].line == 9
    assert str(value.sources["first"]) == "a.yml:2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("y", "y"), ("true", True), ("FALSE", False)),
        *(("12", 12), ("-3", -3), ("010", 10), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("1:30", "1:30")),
        *(("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-.inf", -math.inf), (".INF", math.inf)),
        *(("+.Inf", math.inf), ("~", None), ("null", None), ("", None), ("nul", "nul"), ("=", "=")),
        *(("2020-01-01", "2020-01-01"), ("'12'", "12"), ('"true"', "true"), ("3.1.0", "3.1.0"), ("+", "+")),
        *(("!!str 12", "12"), ("!!int '7'", 7), ("!!float 1", 1.0), ("!!bool 'true'", True)),
    ],
)
def test_a_plain_word_means_what_it_means_in_yaml_1_2(text: str, value: object) -> None:
    found, problems = read(f"key: {text}")
    assert (found["key"], type(found["key"]), problems) == (value, type(value), [])


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_nan_is_a_number_in_all_its_spellings(text: str) -> None:
    assert math.isnan(read(f"key: {text}")[0]["key"])


def test_a_key_is_always_text() -> None:
    assert list(read("5: a\nyes: b\nnull: c\ntrue: d\n1.50: e")[0]) == ["5", "yes", "null", "true", "1.50"]


def test_a_key_that_stands_twice_is_told_with_both_lines_and_the_first_counts() -> None:
    value, problems = read("a: 1\nb: 2\na: 3")
    assert (value["a"], problems) == (1, ["a.yml:3: the key 'a' stands twice, first on line 1"])


def test_an_anchor_gives_the_same_value_again() -> None:
    value, problems = read("one: &it [1, {a: 2}]\ntwo: *it\n")
    assert value["two"] is value["one"]
    assert problems == []


def test_what_is_merged_yields_to_what_is_written() -> None:
    value, problems = read("base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nall: {<<: [*base, *more], a: 0}\n")
    assert (plain(value["all"]), problems) == ({"a": 0, "b": 2, "c": 4}, [])
    assert value["all"].sources["c"].line == 2


@pytest.mark.parametrize("text", ["a: {<<: 5}", "a: {<<: [{b: 1}, word]}"])
def test_only_keys_and_values_can_be_merged(text: str) -> None:
    assert read(text)[1] == ["a.yml:1: '<<' takes in keys and values (`<<: *name`), nothing else"]


def test_what_contains_itself_is_empty_there() -> None:
    value, problems = read("a: &a\n  b: *a\n")
    assert (plain(value), problems) == (
        {"a": {"b": None}},
        ["a.yml:1: this contains itself: write it out, without the anchor"],
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1, 2\nb: 3", "a.yml:2: this is not YAML: "),
        ("a: 1\n\tb: 2", "a.yml:2: this is not YAML: "),
        ("a: 1\n b: 2", "a.yml:2: this is not YAML: "),
        ("a: *nowhere", "a.yml:1: this is not YAML: "),
        ("a: 1\n---\nb: 2", "a.yml:2: this is not YAML: "),
        ("a: 'open", "a.yml:1: this is not YAML: "),
        ("a: \x01", "a.yml"),
        ("a: @b", "a.yml:1: this is not YAML: "),
        ("[" * 20_000, "a.yml:1: this is not YAML: "),
    ],
)
def test_what_is_no_yaml_is_one_problem_with_its_line(text: str, problem: str) -> None:
    value, problems = read(text)
    assert (value, len(problems)) == (None, 1)
    assert problems[0].startswith(problem)
    assert "\n" not in problems[0]


@pytest.mark.parametrize("text", ["{a: " * 400 + "}" * 400, "- " * 900 + "x"])
def test_what_is_nested_without_end_is_a_problem_and_no_crash(text: str) -> None:
    assert read(text)[1] == ["a.yml:1: this is nested too deeply"]


@pytest.mark.parametrize(
    "text",
    ["!!python/object:os.system x", "!secret x", "!!binary aGk=", "!thing {a: 1}", "!!set {a, b}", "!!omap [a: 1]"],
)
def test_a_tag_is_a_problem(text: str) -> None:
    _, problems = read(f"a: 1\nb: {text}")
    assert len(problems) == 1
    assert problems[0].startswith("a.yml:2: the tag '")


@pytest.mark.parametrize("text", ["!!int abc", "!!float x", "!!bool maybe", "9" * 5000])
def test_a_value_that_is_not_what_it_claims_to_be_is_a_problem(text: str) -> None:
    _, problems = read(f"a: {text}")
    assert len(problems) == 1
    assert problems[0].startswith("a.yml:1: ")


def test_a_file_that_cannot_be_read_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    problems = Problems()
    (tmp_path / "latin.yml").write_bytes("ok: 1\nname: Zürich".encode("latin-1"))
    assert read_yaml(tmp_path / "latin.yml", problems) is None
    assert read_yaml(tmp_path / "missing.yml", problems) is None
    assert read_yaml(tmp_path, problems) is None
    assert [error.message for error in problems.errors] == [
        "the file is not UTF-8. Save it as UTF-8.",
        "the file cannot be read: No such file or directory",
        "the file cannot be read: Is a directory",
    ]
    assert problems.errors[0].source is not None
    assert problems.errors[0].source.line == 2


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfkey: 1\r\nother: 2\r\n")
    assert read_yaml(tmp_path / "a.yml", Problems()) == {"key": 1, "other": 2}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_an_empty_file_is_nothing(text: str) -> None:
    assert read(text) == (None, [])


def test_a_key_of_the_wrong_type_keeps_its_default_and_all_are_told() -> None:
    problems = Problems()
    value = parse_yaml("a: 1\nb: text\nc: {}\nd: [1]\ne: true\nnaem: x", "a.yml", problems)
    fields = Fields(value, value.source, "slot 'x'", problems, ("a", "b", "c", "d", "e", "name"))
    assert (fields.text("a"), fields.number("b", 2.0), fields.flag("b", True)) == (None, 2.0, True)
    assert (fields.texts("d"), list(fields.sequence("c")), dict(fields.mapping("b"))) == ((), [], {})
    assert fields.number("e", 1.0) == 1.0
    with pytest.raises(ProjectErrors) as raised:
        problems.raise_errors()
    assert [str(error) for error in raised.value.errors] == [
        "a.yml:1: 'a' of slot 'x' must be text, not the number 1",
        "a.yml:2: 'b' of slot 'x' must be a number, not the text 'text'",
        "a.yml:2: 'b' of slot 'x' must be true or false, not the text 'text'",
        "a.yml:2: 'b' of slot 'x' must be keys and values, not the text 'text'",
        "a.yml:3: 'c' of slot 'x' must be a list, not keys and values",
        "a.yml:4: 'd' of slot 'x' must be a list of texts; this is the number 1",
        "a.yml:5: 'e' of slot 'x' must be a number, not true (true or false)",
        "a.yml:6: there is no key of slot 'x' called 'naem'. Did you mean 'name'?",
    ]
