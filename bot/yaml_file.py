"""YAML with line numbers: every value knows where it was written, and mistakes are collected, not raised.

The scalars are YAML 1.2's, as Rasa reads them: `yes` and `on` are words, `true` is not. libyaml does the
parsing, so that a project of thousands of examples is read in a fraction of a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bot.errors import ConfigError, DataError, ProjectErrors, Source, UnknownName

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """libyaml's parser with the scalar types of YAML 1.2 alone."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute, replaced


_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("merge", r"<<", "<"),
)
for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"\Z"), [""])


DEEPEST = 100
"""Mappings and lists inside each other that are read: more is a mistake, or meant to do harm."""


class YamlMap(dict[str, Any]):
    """A mapping; `source` is its own place and `sources` that of each key."""

    __slots__ = ("source", "sources")

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.sources: dict[str, Source] = {}


class YamlList(list[Any]):
    """A sequence; `source` is its own place and `sources` that of each item."""

    __slots__ = ("source", "sources")

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.sources: list[Source] = []


class Problems:
    """The mistakes of one reading. What `strict` makes an error is a warning in a project of Rasa's layout."""

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.errors: list[DataError | ConfigError] = []
        self.warnings: list[DataError | ConfigError] = []

    def add(self, message: str, source: Source) -> None:
        """A mistake that nobody can work with."""
        self.errors.append(DataError(message, source))

    def unknown(self, kind: str, name: object, known: Sequence[str], source: Source, *, loose: bool = False) -> None:
        """A name that nothing answers to, with the nearest that there is; no more than a doubt where `loose`."""
        self._list(loose).append(UnknownName(kind, str(name), known, source))

    def warn(self, message: str, source: Source) -> None:
        """Nothing wrong, but not what somebody may expect."""
        self.warnings.append(DataError(message, source))

    def doubt(self, message: str, source: Source) -> None:
        """A mistake that Rasa works with: an error in our own projects, a warning in Rasa's."""
        self._list(True).append(DataError(message, source))

    def _list(self, loose: bool) -> list[DataError | ConfigError]:
        return self.warnings if loose and not self.strict else self.errors

    def raise_errors(self) -> None:
        """`ProjectErrors` when there are any."""
        if self.errors:
            raise ProjectErrors(self.errors)


def shown(path: Path) -> str:
    """The path as the user would type it: from the present folder where it lies below that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read_yaml(path: Path, problems: Problems) -> Any:
    """The file's content: YamlMap, YamlList or a scalar; None (and a problem) when it cannot be read."""
    text = read_text(path, problems)
    return None if text is None else parse_yaml(text, shown(path), problems)


def read_text(path: Path, problems: Problems) -> str | None:
    """The file's text; None (and a problem) when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.add("the file is not UTF-8. Save it as UTF-8.", Source(shown(path), line))
    except OSError as error:
        problems.add(f"the file cannot be read: {error.strerror or error}", Source(shown(path)))
    return None


def parse_yaml(text: str, name: str, problems: Problems) -> Any:
    """As `read_yaml`, from a text; `name` stands in the messages."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        problems.add(f"this is not YAML: {what}", Source(name, mark.line + 1 if mark else 0))
        return None
    except yaml.YAMLError as error:
        problems.add(f"this is not YAML: {str(error).splitlines()[0]}", Source(name))
        return None
    finally:
        loader.dispose()
    return _Reader(name, problems).value(node) if node is not None else None


class _Reader:
    """From the parser's nodes to values; an alias gives the same object again."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._done: dict[int, Any] = {}
        self._open: list[int] = []

    def _at(self, node: Any) -> Source:
        return Source(self._name, node.start_mark.line + 1)

    def value(self, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._problems.add("this contains itself: write it out, without the anchor", self._at(node))
            return None
        if len(self._open) == DEEPEST:
            self._problems.add("this is nested too deeply", self._at(node))
            return None
        if id(node) not in self._done:
            is_mapping = isinstance(node, yaml.MappingNode)
            if node.tag != f"tag:yaml.org,2002:{'map' if is_mapping else 'seq'}":
                self._tag(node)
            self._open.append(id(node))
            self._done[id(node)] = self._mapping(node) if is_mapping else self._sequence(node)
            self._open.pop()
        return self._done[id(node)]

    def _tag(self, node: Any) -> None:
        self._problems.add(f"the tag '{node.tag}' is not understood: write a plain value", self._at(node))

    def _scalar(self, node: Any) -> Any:
        kind = node.tag.rpartition(":")[2]
        text: str = node.value
        try:
            match kind:
                case "int":
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "null":
                    return None
        except (ValueError, KeyError):
            # `!!int abc`, and a number of thousands of digits.
            self._problems.add(f"{kind_of(text)} is no {kind}", self._at(node))
        if kind not in ("str", "merge", "int", "float", "bool"):
            self._tag(node)
        return text

    def _sequence(self, node: Any) -> YamlList:
        out = YamlList(self._at(node))
        for child in node.value:
            out.append(self.value(child))
            out.sources.append(self._at(child))
        return out

    def _mapping(self, node: Any) -> YamlMap:
        out = YamlMap(self._at(node))
        merged: list[YamlMap] = []
        for key_node, value_node in node.value:
            key, source = self.value(key_node), self._at(key_node)
            if key_node.tag.endswith(":merge"):
                given = self.value(value_node)
                for one in given if isinstance(given, list) else [given]:
                    if isinstance(one, YamlMap):
                        merged.append(one)
                    else:
                        message = "'<<' takes in keys and values (`<<: *name`), nothing else"
                        self._problems.add(message, source)
                continue
            if not isinstance(key, str):
                # `yes:` is a word already; `5:` and `null:` mean their text, too.
                key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key)
            if key in out:
                self._problems.add(f"the key '{key}' stands twice, first on line {out.sources[key].line}", source)
                continue
            out[key] = self.value(value_node)
            out.sources[key] = source
        for other in merged:
            for key, value in other.items():
                if key not in out:
                    out[key] = value
                    out.sources[key] = other.sources[key]
        return out


class Fields:
    """The keys of one mapping, read as what they should be; what is wrong goes to the problems.

    `what` names the mapping in messages ("slot 'amount'"). Keys that are not in `known` are mistakes
    (doubts, where Rasa allows them: `loose`); None allows any. A missing key, or one without a value,
    is the default.
    """

    def __init__(
        self,
        value: Any,
        source: Source,
        what: str,
        problems: Problems,
        known: Sequence[str] | None = None,
        *,
        loose: bool = False,
    ) -> None:
        self.what = what
        self.problems = problems
        self.data = value if isinstance(value, YamlMap) else YamlMap(source)
        self.place = source
        if value is not None and not isinstance(value, YamlMap):
            problems.add(f"{what} must have keys and values, not {kind_of(value)}", source)
        for key in self.data if known is not None else ():
            if key not in (known or ()):
                problems.unknown(f"key of {what}", key, known or (), self.source(key), loose=loose)

    def source(self, key: str) -> Source:
        """Where the key stands, else where the mapping begins."""
        return self.data.sources.get(key, self.place)

    def wrong(self, key: str, expected: str) -> None:
        message = f"'{key}' of {self.what} must be {expected}, not {kind_of(self.data[key])}"
        self.problems.add(message, self.source(key))

    def _typed(self, key: str, types: type | tuple[type, ...], expected: str, default: Any) -> Any:
        value = self.data.get(key)
        if value is None:
            return default
        is_bool = isinstance(value, bool)
        if not isinstance(value, types) or (is_bool and types is not bool):
            self.wrong(key, expected)
            return default
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        found: str | None = self._typed(key, str, "text", default)
        return found

    def flag(self, key: str, default: bool) -> bool:
        found: bool = self._typed(key, bool, "true or false", default)
        return found

    def whole(self, key: str, default: int) -> int:
        found: int = self._typed(key, int, "a whole number", default)
        return found

    def number(self, key: str, default: float) -> float:
        found: float = self._typed(key, (int, float), "a number", default)
        return found

    def sequence(self, key: str) -> YamlList:
        found: YamlList = self._typed(key, YamlList, "a list", YamlList(self.source(key)))
        return found

    def mapping(self, key: str) -> YamlMap:
        found: YamlMap = self._typed(key, YamlMap, "keys and values", YamlMap(self.source(key)))
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text alone."""
        value = self.data.get(key)
        if isinstance(value, str):
            return (value,)
        if value is not None and not isinstance(value, YamlList):
            self.wrong(key, "text or a list of texts")
            return ()
        return tuple(text for text, _ in self.text_items(key))

    def text_items(self, key: str) -> Iterator[tuple[str, Source]]:
        """The texts of a list, with their places."""
        items = self.sequence(key)
        for item, source in zip(items, items.sources, strict=True):
            if isinstance(item, str):
                yield item, source
            else:
                self.problems.add(f"'{key}' of {self.what} must be a list of texts; this is {kind_of(item)}", source)


def kind_of(value: Any) -> str:
    """What a value is, in the words of a message."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"{str(value).lower()} (true or false)"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text '{value if len(value) <= 40 else value[:39] + '…'}'"
        case Mapping():
            return "keys and values"
        case _:
            return "a list"


def plain(value: Any) -> Any:
    """The same without places: dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value
