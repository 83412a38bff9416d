"""What real Rasa 3.6.21 did in each case, we do: event for event, reply for reply (see `case.py`, `record.py`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from case import HERE, Case, read_cases
from ours import hold

from bot.errors import FrontdeskError

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_as_rasa(case: Case, tmp_path: Path) -> None:
    recorded = json.loads((HERE / "recordings" / f"{case.name}.json").read_text(encoding="utf-8"))
    assert recorded["digest"] == case.digest, "the case has changed: record it again with `make conformance`"
    if "error" in recorded:
        with pytest.raises(FrontdeskError):
            hold(case, tmp_path)
        return
    for ours, theirs in zip(hold(case, tmp_path)[0], recorded["dialogues"], strict=True):
        assert ours["replies"] == theirs["replies"]
        assert ours["events"] == theirs["events"]


def test_every_recording_has_its_case() -> None:
    assert {file.stem for file in (HERE / "recordings").glob("*.json")} == {case.name for case in CASES}
