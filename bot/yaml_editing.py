"""Adds to YAML files without touching the rest of them: every byte that was there stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.errors import DataError, Source
from bot.yaml_file import Problems, parse_yaml, plain, shown
from bot.yaml_writing import to_yaml

_LINE = re.compile(r"[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029])|[^\r\n\x85\u2028\u2029]+")
"""A line as YAML counts them, with its end."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""As in `bot/yaml_file.py`: libyaml takes what Python's parser refuses, such as `{text: Which one?}`."""


def extend_file(path: Path, additions: Mapping[str, Any]) -> None:
    """Add to the lists and mappings under these keys of a file, which is made when it is not there."""
    text = read_text(path) if path.is_file() else 'version: "3.1"\n'
    for key, more in additions.items():
        if more:
            text = extended(text, key, more, shown(path))
    write_text(path, text)


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the file cannot be read: {error}", Source(shown(path))) from error


def write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}", Source(shown(path))) from error


def extended(text: str, key: str, more: Sequence[Any] | Mapping[str, Any], name: str) -> str:
    """The text with more items (of a list) or keys (of a mapping) at the end of what its `key` has."""
    node = _value_of(_root(text, name), key)
    if node is None:
        new = _inserted(text, len(_LINE.findall(text)), to_yaml({key: more}))
    elif isinstance(node, yaml.ScalarNode):
        new = text if node.value else _inserted(text, _last_line(text, node), to_yaml(more))
    elif node.flow_style:
        new = _in_brackets(text, node, more)
    else:
        written = to_yaml(more)
        indent = " " * node.start_mark.column
        new = _inserted(text, _last_line(text, node), "".join(indent + line for line in _LINE.findall(written)))
    before, after = _parsed(text, name) or {}, _parsed(new, name)
    old: Any = before.get(key)
    wanted = {**(old or {}), **more} if isinstance(more, Mapping) else [*(old or []), *more]
    if after != {**before, key: wanted}:
        raise DataError(f"'{key}' cannot be added to as it is written; add to it: {to_yaml(more)}", Source(name))
    return new


def with_example(text: str, intent: str, example: str, name: str) -> str | None:
    """The text with one more line in the examples of an intent; None where these are not written as a block (`|`)."""
    block = _block_of(_root(text, name), intent)
    if block is None:
        return None
    lines = _LINE.findall(text)
    first = block.start_mark.line + 1
    last = _last_line(text, block, comments=False)
    if first >= last:
        return None
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    new = _inserted(text, last, f"{indent}- {example}\n")
    again = _block_of(_root(new, name), intent)
    wanted = f"{block.value.rstrip()}\n- {example}"
    return new if again is not None and again.value.rstrip() == wanted else None


def _root(text: str, name: str) -> Any:
    try:
        return yaml.compose(text.removeprefix("\ufeff"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise DataError(f"this is not YAML: {str(error).splitlines()[0]}", Source(name)) from error


def _value_of(node: Any, key: str) -> Any:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _block_of(root: Any, intent: str) -> Any:
    """The examples of the last block of an intent, when they are a block of text."""
    blocks = _value_of(root, "nlu")
    for block in reversed(blocks.value if isinstance(blocks, yaml.SequenceNode) else ()):
        named, examples = _value_of(block, "intent"), _value_of(block, "examples")
        if named is not None and named.value == intent:
            return examples if getattr(examples, "style", None) == "|" else None
    return None


def _last_line(text: str, node: Any, *, comments: bool = True) -> int:
    """The number of the line after the node's last one: where more can be put in."""
    lines = _LINE.findall(text)
    mark = node.end_mark
    at: int = mark.line if mark.column == 0 else mark.line + 1
    at = min(at, len(lines))
    while at > node.start_mark.line + 1 and _is_empty(lines[at - 1], comments):
        at -= 1
    return at


def _is_empty(line: str, comments: bool) -> bool:
    return not line.strip() or (comments and line.lstrip().startswith("#"))


def _inserted(text: str, at: int, more: str) -> str:
    """The text with lines put in before its line `at` (counted from 0), with the file's own ends of lines."""
    lines = _LINE.findall(text)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    more = more.replace("\n", end)
    if at and not lines[at - 1].endswith(("\n", "\r")):
        lines[at - 1] += end
    return "".join([*lines[:at], more, *lines[at:]])


def _in_brackets(text: str, node: Any, more: Sequence[Any] | Mapping[str, Any]) -> str:
    lines = _LINE.findall(text)
    at = sum(map(len, lines[: node.end_mark.line])) + node.end_mark.column - 1
    at += text.startswith("\ufeff")
    written = json.dumps(more, ensure_ascii=False)[1:-1]
    return f"{text[:at].rstrip(' ,')}{', ' if node.value else ''}{written}{text[at:]}"


def _parsed(text: str, name: str) -> Any:
    problems = Problems()
    parsed = plain(parse_yaml(text.removeprefix("\ufeff"), name, problems))
    problems.raise_errors()
    return parsed
