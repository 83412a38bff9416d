"""What a migration did, and what it leaves to a person; each with its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.errors import Source


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """`domain.yml:12: templates → responses`"""

    source: Source
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.source}: {self.was} → {self.now}"


@dataclass(frozen=True, slots=True, order=True)
class ToDo:
    """Something that only a person can decide."""

    source: Source
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


@dataclass(slots=True)
class Log:
    changes: list[Change] = field(default_factory=list)
    to_do: list[ToDo] = field(default_factory=list)

    def changed(self, source: Source, was: str, now: str) -> None:
        self.changes.append(Change(source, was, now))

    def left(self, source: Source, message: str) -> None:
        self.to_do.append(ToDo(source, message))
