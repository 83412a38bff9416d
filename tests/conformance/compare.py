"""How many cases agree with what Rasa did, and how fast both are: `compare.py [times of record.py]`.

Each case is held twice in a process that is warm, here as there, and the better time counts.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from case import HERE, Case, read_cases
from ours import hold

from bot.errors import FrontdeskError

WANTED = 10
"""Times as fast as Rasa, on every case."""
SHOWN = 5
"""Cases with the least ratios."""


@dataclass(frozen=True)
class Pace:
    """Seconds, ours and Rasa's, of a case's training or of the median of its turns."""

    case: str
    ours: float
    rasas: float

    @property
    def ratio(self) -> float:
        return self.rasas / self.ours


def main() -> int:
    theirs: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8")) if len(sys.argv) > 1 else {}
    cases = read_cases()
    trainings: list[Pace] = []
    turns: list[Pace] = []
    differ = 0
    for case in cases:
        agrees, training, turn = run(case)
        if not agrees:
            differ += 1
            print(f"differs: {case.name}: {case.rule}")
        if case.name in theirs and turn:
            trainings.append(Pace(case.name, training, theirs[case.name]["training"]))
            turns.append(Pace(case.name, turn, statistics.median(theirs[case.name]["turns"])))
    if turns:
        print(f"{'median of the cases':32}{'Frontdesk':>12}{'Rasa 3.6.21':>14}{'ratio':>8}{'least ratio':>14}")
        print_paces("training, s", trainings, 1)
        print_paces("a turn, ms", turns, 1000)
    print(f"{len(cases) - differ} of {len(cases)} agree with Rasa 3.6.21")
    return 1 if differ else 0


def print_paces(what: str, paces: list[Pace], scale: int) -> None:
    ours, rasas, ratio = (
        statistics.median(values) for values in zip(*((p.ours, p.rasas, p.ratio) for p in paces), strict=True)
    )
    worst = sorted(paces, key=lambda pace: pace.ratio)
    print(f"{what:32}{ours * scale:12.3f}{rasas * scale:14.3f}{ratio:8.0f}{worst[0].ratio:14.1f}")
    for pace in worst[:SHOWN]:
        print(f"  {pace.case:30}{pace.ours * scale:12.3f}{pace.rasas * scale:14.3f}{pace.ratio:8.1f}")
    slow = sum(pace.ratio < WANTED for pace in paces)
    print(f"  {slow} of {len(paces)} cases less than {WANTED} times as fast")


def run(case: Case) -> tuple[bool, float, float]:
    """Whether we do as recorded, the seconds of training, and those of the median turn (0 where there is none)."""
    recorded = json.loads((HERE / "recordings" / f"{case.name}.json").read_text(encoding="utf-8"))
    held = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            try:
                held.append(hold(case, Path(folder)))
            except FrontdeskError:
                return "error" in recorded, 0.0, 0.0
    turns = [min(pair) for pair in zip(*(turns for _, _, turns in held), strict=True)]
    agrees = all(dialogues == recorded.get("dialogues") for dialogues, _, _ in held)
    return agrees, min(training for _, training, _ in held), statistics.median(turns)


if __name__ == "__main__":
    sys.exit(main())
