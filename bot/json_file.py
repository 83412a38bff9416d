"""JSON with line numbers: every value knows where it was written, as those of `bot/yaml_file.py` do."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from pathlib import Path
from typing import Any

from bot.errors import Source
from bot.yaml_file import DEEPEST, Problems, YamlList, YamlMap, read_text, shown

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character, which is none."""


def read_json(path: Path, problems: Problems) -> Any:
    """The file's content: YamlMap, YamlList or a scalar; None (and a problem) when it cannot be read."""
    text = read_text(path, problems)
    if text is None:
        return None
    reader = _Reader(text, shown(path), problems)
    try:
        # Python's reader knows what is JSON; ours then knows where.
        json.loads(text)
        return reader.value(0)[0]
    except RecursionError:
        problems.add("this is nested too deeply", Source(shown(path)))
    except json.JSONDecodeError as error:
        place = Source(shown(path), error.lineno)
        problems.add(f"this is not JSON: {error.msg}, at character {error.colno}", place)
    return None


class _Reader:
    """Reads text that is known to be JSON. Each method takes a place in it, and returns the one after its value."""

    def __init__(self, text: str, name: str, problems: Problems) -> None:
        self._text = text
        self._name = name
        self._problems = problems
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._depth = 0

    def value(self, at: int) -> tuple[Any, int]:
        at = self._next(at)
        first = self._text[at]
        if first == '"':
            return self._string(at)
        if first not in "{[":
            return _decode(self._text, at)
        if self._depth == DEEPEST:
            raise RecursionError
        self._depth += 1
        found = self._mapping(at) if first == "{" else self._list(at)
        self._depth -= 1
        return found

    def _next(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _source(self, at: int) -> Source:
        return Source(self._name, bisect_right(self._ends, at) + 1)

    def _string(self, at: int) -> tuple[str, int]:
        text, end = _decode(self._text, at)
        if _HALF.search(text):
            self._problems.add("this text has half a character: write it whole", self._source(at))
            text = _HALF.sub("\ufffd", text)
        return text, end

    def _mapping(self, at: int) -> tuple[YamlMap, int]:
        out = YamlMap(self._source(at))
        at = self._next(at + 1)
        while self._text[at] != "}":
            source = self._source(at)
            key, at = self._string(at)
            value, at = self.value(self._next(at) + 1)
            if key in out:
                self._problems.add(f"the key '{key}' stands twice, first on line {out.sources[key].line}", source)
            else:
                out[key] = value
                out.sources[key] = source
            at = self._after_comma(at)
        return out, at + 1

    def _list(self, at: int) -> tuple[YamlList, int]:
        out = YamlList(self._source(at))
        at = self._next(at + 1)
        while self._text[at] != "]":
            out.sources.append(self._source(at))
            value, at = self.value(at)
            out.append(value)
            at = self._after_comma(at)
        return out, at + 1

    def _after_comma(self, at: int) -> int:
        at = self._next(at)
        return self._next(at + 1) if self._text[at] == "," else at
