"""Everything that validation finds: one small project for each, in cases.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CASES = yaml.safe_load((Path(__file__).parent / "cases.yml").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["finds"] for case in CASES])
def test_it_finds(case: dict[str, Any], findings: Callable[..., list[str]], domain: str) -> None:
    files = dict(case.get("files", {}))
    if "domain" in case or "responses" in case:
        files.setdefault("domain.yml", domain + indented(case.get("responses", "")) + case.get("domain", ""))
    if not case.get("strict", True):
        # As Rasa lays out a project: what it can work with is no more than a warning.
        files["config.yml"] = "pipeline: [{name: KeywordIntentClassifier}]\npolicies: [MemoizationPolicy, RulePolicy]\n"
    assert findings(max_history=case.get("max_history"), **files) == case["found"]


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
