"""Writes YAML as people write it in a Rasa project: keys in order, lines as a block, lists at their key's depth."""

from __future__ import annotations

from typing import Any

import yaml

FORMAT_VERSION = "3.1"
"""The version of Rasa's file format that is written."""


class Quoted(str):
    """A text in double quotes, such as a version, which is no number."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """PyYAML's, with several lines as a block (`|`) where YAML can say them so, and without anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _quoted(dumper: yaml.SafeDumper, text: Quoted) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Quoted, _quoted)


def to_yaml(value: Any) -> str:
    """`value` (mappings, lists and scalars) as YAML."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
