"""JSON with line numbers: it is read as the YAML that it nearly is, once Python's reader has found it to be JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bot.errors import Source
from bot.yaml_file import Problems, parse_yaml, read_text, shown

# The two halves in which JSON may write one character, an emoji say, and YAML may not.
_HALVES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
# Within its texts JSON may have these as they are; YAML takes them for ends of lines, or for nothing that is shown.
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def read_json(path: Path, problems: Problems) -> Any:
    """The file's content: YamlMap, YamlList or a scalar; None (and a problem) when it cannot be read."""
    text = read_text(path, problems)
    if text is None:
        return None
    name = shown(path)
    try:
        json.loads(text)
    except RecursionError:
        problems.add("this is nested too deeply", Source(name))
        return None
    except json.JSONDecodeError as error:
        problems.add(f"this is not JSON: {error.msg}, at character {error.colno}", Source(name, error.lineno))
        return None
    text = _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return parse_yaml(_HALVES.sub(_whole, text), name, problems)


def _whole(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00:08x}"
