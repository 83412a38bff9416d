"""How many cases agree with what Rasa did, and how fast both are: `compare.py [times of record.py]`."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from case import HERE, Case, read_cases
from ours import hold

from bot.errors import FrontdeskError


def main() -> int:
    theirs: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8")) if len(sys.argv) > 1 else {}
    cases = read_cases()
    agree = 0
    times: list[tuple[float, float, float, float]] = []
    for case in cases:
        does, training, turns = run(case)
        agree += does
        if not does:
            print(f"differs: {case.name}: {case.rule}")
        if case.name in theirs and turns:
            rasa = theirs[case.name]
            times.append((training, rasa["training"], statistics.median(turns), statistics.median(rasa["turns"])))
    if times:
        print(f"{'median of the cases':32}{'Frontdesk':>12}{'Rasa 3.6.21':>14}{'ratio':>8}{'least ratio':>14}")
        for name, ours, rasas in (("training, s", 0, 1), ("a turn, ms", 2, 3)):
            scale = 1 if ours == 0 else 1000
            mine, rasa = (statistics.median(row[column] for row in times) for column in (ours, rasas))
            ratios = [row[rasas] / row[ours] for row in times]
            print(
                f"{name:32}{mine * scale:12.3f}{rasa * scale:14.3f}{statistics.median(ratios):8.0f}{min(ratios):14.0f}"
            )
    print(f"{agree} of {len(cases)} agree with Rasa 3.6.21")
    return 0 if agree == len(cases) else 1


def run(case: Case) -> tuple[bool, float, list[float]]:
    """Whether we do as recorded, and how long it took."""
    recorded = json.loads((HERE / "recordings" / f"{case.name}.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            dialogues, training, turns = hold(case, Path(folder))
        except FrontdeskError:
            return "error" in recorded, 0.0, []
    return dialogues == recorded.get("dialogues"), training, turns


if __name__ == "__main__":
    sys.exit(main())
