"""A YAML file whose parts can be exchanged: all the rest, comments included, stays as it was, to the letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from bot.yaml_file import YamlList, YamlMap
from bot.yaml_writing import to_yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_GONE = object()
_LINE_ENDS = re.compile(r"(?<=[\n\x85\u2028\u2029])")
"""Where YAML sees the end of a line."""
Path = Sequence[str | int]


class YamlText:
    """`value` is the file's content, as the changes leave it; `text()` the file that says so.

    A change is named by its path from the top: keys, and numbers in lists as they were in the beginning. Within a
    key of the file that is written in braces, the whole key is written anew.
    """

    def __init__(self, text: str, value: YamlMap) -> None:
        text += "" if text.endswith("\n") or not text else "\n"
        self._text = text
        self._lines = [line for line in _LINE_ENDS.split(text) if line]
        self._root: Any = yaml.compose(text, Loader=_Loader)
        # By the key of the file that they lie in: by path, since a later change of the same thing counts.
        self._edits: dict[str, dict[object, tuple[int, int, str]]] = {}
        self._whole: set[str] = set()
        self._added: list[tuple[int, int, str]] = []
        self._renamed: dict[str, str] = {}
        self.value: Any = _copy(value)

    @property
    def is_changed(self) -> bool:
        return bool(self._edits or self._whole or self._added)

    def replace(self, path: Path, value: Any) -> None:
        """Another value for a key or an item of a list."""
        parent, last = self._parent(path)
        parent[last] = value
        found = self._lines_of(path)
        if found:
            start, end, column = found
            shown = {last: value} if isinstance(last, str) else [value]
            self._edit(path, start, end, _indented(to_yaml(shown), column))

    def reword(self, path: Path, text: str) -> None:
        """Another text in place of one, with all that stands around it kept."""
        parent, last = self._parent(path)
        parent[last] = text
        node = self._node_at(path)
        new = to_yaml([text])[2:-1]
        self._edits.setdefault(str(path[0]), {})[tuple(path)] = (node.start_mark.index, node.end_mark.index, new)

    def remove(self, path: Path) -> None:
        """Take a key or an item of a list out."""
        parent, last = self._parent(path)
        parent[last] = _GONE
        if _is_empty(self._value_at(path[:-1])):
            # Nothing is left of it, which YAML would read as null.
            self._whole.add(str(path[0]))
            return
        found = self._lines_of(path)
        if found:
            self._edit(path, found[0], found[1], "")

    def append(self, path: Path, value: Any) -> None:
        """One more item for the list, or more keys for the mapping, at `path`."""
        collection, node = self._value_at(path), self._node_at(path)
        is_text = not isinstance(node, yaml.CollectionNode)
        if isinstance(collection, list):
            collection.append(value)
        else:
            collection.update(value)
        if is_text or node.flow_style or not node.value:
            self._whole.add(str(path[0]))
            return
        end = _last_line(node) + 1
        shown = [value] if isinstance(collection, list) else value
        self._edit(path, end, end, _indented(to_yaml(shown), node.start_mark.column), what=object())

    def rename(self, key: str, new: str) -> None:
        """Another name for a key of the file."""
        self.value = {new if name == key else name: one for name, one in self.value.items()}
        self._renamed[new] = key
        node = next(one for one, _ in self._root.value if one.value == key)
        self._edits.setdefault(new, {})[key] = (node.start_mark.index, node.end_mark.index, new)

    def put(self, key: str, value: Any, *, first: bool = False) -> None:
        """A new key for the file, at its end (or its beginning)."""
        self.value[key] = value
        at = self._root.start_mark.index if first and self._root else len(self._text)
        self._added.append((at, at, to_yaml({key: value})))

    def text(self) -> str:
        if self.is_changed and getattr(self._root, "flow_style", False):
            return to_yaml(_without_gone(self.value))
        edits = [*self._added]
        for key, changes in self._edits.items():
            if key not in self._whole:
                edits += changes.values()
        for key in sorted(self._whole):
            lines = self._lines_of((key,))
            if lines:
                new = to_yaml({key: _without_gone(self.value[key])})
                edits.append((self._offset(lines[0]), self._offset(lines[1]), new))
        out = self._text
        # From the end on, so that places stay where they are; what is added at one place keeps its order.
        edits.reverse()
        for start, end, new in sorted(edits, key=lambda edit: edit[:2], reverse=True):
            out = out[:start] + new + out[end:]
        return out

    # ---- places ----

    def _edit(self, path: Path, first: int, last: int, new: str, what: object = None) -> None:
        edit = (self._offset(first), self._offset(last), new)
        self._edits.setdefault(str(path[0]), {})[what or tuple(path)] = edit

    def _offset(self, line: int) -> int:
        return sum(len(one) for one in self._lines[:line])

    def _node_at(self, path: Path) -> Any:
        node = self._root
        for number, step in enumerate(path):
            name = self._renamed.get(str(step), step) if number == 0 else step
            if isinstance(name, int):
                node = node.value[name]
            else:
                node = next((value for key, value in node.value if key.value == name), None)
            if node is None:
                return None
        return node

    def _value_at(self, path: Path) -> Any:
        found = self.value
        for step in path:
            found = found[step]
        return found

    def _parent(self, path: Path) -> tuple[Any, str | int]:
        return self._value_at(path[:-1]), path[-1]

    def _lines_of(self, path: Path) -> tuple[int, int, int] | None:
        """First line, the line after the last, and the column where it begins.

        None (and the key is written anew) when it shares its lines with something else.
        """
        node, start, column = self._root, 0, 0
        for number, step in enumerate(path):
            place = None if getattr(node, "flow_style", True) else self._child(node, step, number == 0)
            if place is None:
                self._whole.add(str(path[0]))
                return None
            node, start, column = place
        return start, max(_last_line(node), start) + 1, column

    def _child(self, node: Any, step: str | int, is_top: bool) -> tuple[Any, int, int] | None:
        """An item or a key's value, with the line and column where that begins; None when it begins within a line."""
        if isinstance(step, int):
            child = node.value[step]
            line = self._lines[child.start_mark.line]
            column = len(line) - len(line.lstrip(" "))
            return (child, child.start_mark.line, column) if line[column:].startswith("-") else None
        name = self._renamed.get(step, step) if is_top else step
        key, child = next(((key, value) for key, value in node.value if key.value == name), (None, None))
        if key is None or self._lines[key.start_mark.line][: key.start_mark.column].strip():
            return None
        return child, key.start_mark.line, key.start_mark.column


def _last_line(node: Any) -> int:
    if isinstance(node, yaml.ScalarNode):
        line: int = node.end_mark.line
        return line - 1 if node.style in ("|", ">") and node.end_mark.column == 0 else line
    if node.flow_style or not node.value:
        last: int = node.end_mark.line
        return last
    tail = node.value[-1]
    return _last_line(tail[1]) if isinstance(tail, tuple) else _last_line(tail)


def _indented(text: str, column: int) -> str:
    return "".join(" " * column + line if line.strip() else line for line in text.splitlines(keepends=True))


def _is_empty(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value
    return all(item is _GONE for item in items)


def _without_gone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_gone(one) for key, one in value.items() if one is not _GONE}
    if isinstance(value, list):
        return [_without_gone(one) for one in value if one is not _GONE]
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, YamlMap):
        return {key: _copy(one) for key, one in value.items()}
    if isinstance(value, YamlList):
        return [_copy(one) for one in value]
    return value
