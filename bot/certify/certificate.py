"""The certificate: what agrees with Rasa and what does not, why, and what a team must know before it moves."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.certify.turns import Turn


@dataclass(frozen=True, slots=True)
class Performance:
    """What an engine took: seconds of training and of the median turn, and the most memory in bytes."""

    training: float
    turn: float
    memory: int

    @staticmethod
    def of(training: float, memory: int, dialogues: Sequence[Sequence[Turn]]) -> Performance:
        turns = [turn.seconds for dialogue in dialogues for turn in dialogue]
        return Performance(training, statistics.median(turns) if turns else 0.0, memory)


@dataclass(slots=True)
class JudgedTurn:
    """`verdict` is agrees, explained, unexplained or not compared; `understanding` says what a text meant to whom."""

    said: str
    verdict: str
    differences: list[str] = field(default_factory=list)
    explanation: str = ""
    understanding: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class JudgedDialogue:
    """A dialogue that both engines held; `place` names it and its file."""

    place: str
    origin: str
    turns: list[JudgedTurn]


@dataclass(slots=True)
class Certificate:
    """All of it. `rasa` is the version compared with, `not_compared` why there was none, `error` what went wrong."""

    project: str
    findings: list[str] = field(default_factory=list)
    rasa: str = ""
    not_compared: str = ""
    error: str = ""
    dialogues: list[JudgedDialogue] = field(default_factory=list)
    ours: Performance | None = None
    theirs: Performance | None = None
    tests: str = "0 of 0"
    failed_tests: list[str] = field(default_factory=list)

    def count(self, verdict: str) -> int:
        return sum(turn.verdict == verdict for turn in self.turns)

    @property
    def turns(self) -> list[JudgedTurn]:
        return [turn for dialogue in self.dialogues for turn in dialogue.turns]

    @property
    def texts(self) -> list[JudgedTurn]:
        return [turn for turn in self.turns if turn.understanding]

    @property
    def origins(self) -> str:
        """`7 test stories, 2 rules`."""
        counts = Counter(dialogue.origin for dialogue in self.dialogues)
        return ", ".join(f"{count} {_plural(origin, count)}" for origin, count in counts.items()) or "none"

    @property
    def fails(self) -> bool:
        """Whether something is unexplained, or did not run; without Rasa, whether a test of the project fails."""
        return bool(self.error or self.count("unexplained") or (self.not_compared and self.failed_tests))

    @property
    def line(self) -> str:
        """The whole in one line."""
        if self.error:
            return f"certificate: none. {self.error}"
        if self.not_compared:
            return f"certificate: not compared with Rasa; {self.tests} tests of the project pass here"
        agree, explained, unexplained = map(self.count, ("agrees", "explained", "unexplained"))
        turns = len(self.turns)
        return (
            f"certificate: {agree} of {turns} turns agree, {explained} explained, {unexplained} unexplained "
            f"(Rasa {self.rasa})"
        )


def _plural(noun: str, count: int) -> str:
    if count == 1:
        return noun
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
