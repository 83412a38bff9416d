"""What validation says: one thing, where it is written, and how bad it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from bot.domain import NOWHERE
from bot.errors import ConfigError, Contradiction, DataError, FrontdeskError, ProjectErrors, Source


@dataclass(frozen=True, slots=True)
class Finding:
    """`severity` is error where training or a conversation fails, else warning; `other` is the second place of two.

    `kind` is the same for all findings of one check, for those who sort or count them.
    """

    severity: str
    kind: str
    message: str
    source: Source
    other: Source | None = None

    def __str__(self) -> str:
        where = "" if self.source == NOWHERE else str(self.source)
        return ": ".join(filter(None, (self.severity, where, self.message)))


def as_json(findings: Sequence[Finding]) -> str:
    """One list of objects, for a machine: severity, kind, file, line, message, and the second place of two."""
    return orjson.dumps(
        [
            {"severity": one.severity, "kind": one.kind, **_place(one.source), "message": one.message}
            | ({"other": _place(one.other)} if one.other else {})
            for one in findings
        ],
        option=orjson.OPT_INDENT_2,
    ).decode()


def _place(source: Source) -> dict[str, str | int]:
    return {} if source == NOWHERE else {"file": source.file, "line": source.line}


def error(kind: str, message: str, source: Source, other: Source | None = None) -> Finding:
    return Finding("error", kind, message, source, other)


def warning(kind: str, message: str, source: Source, other: Source | None = None) -> Finding:
    return Finding("warning", kind, message, source, other)


def raised(kind: str, check: Callable[[], object], default: Source = NOWHERE) -> list[Finding]:
    """The errors that `check` raises; `default` is where those belong that name no place."""
    try:
        check()
    except ProjectErrors as errors:
        return [as_finding(kind, one, default) for one in errors.errors]
    except FrontdeskError as one:
        return [as_finding(kind, one, default)]
    return []


def as_finding(kind: str, one: FrontdeskError, default: Source = NOWHERE) -> Finding:
    match one:
        case Contradiction():
            return error("contradiction", one.message, one.source or default, one.other)
        case ConfigError() | DataError():
            return error(kind, one.message, one.source or default)
        case _:
            return error(kind, str(one), default)
