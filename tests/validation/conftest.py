"""A small project in which nothing is wrong, and what is found when files of it are others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.validation import validate_folder

SHOP = {
    "config.yml": """\
domains: []
pipeline: [WhitespaceTokenizer, KeywordIntentClassifier, CRFEntityExtractor, EntitySynonymMapper]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domain.yml": """\
intents: [greet, bye]
responses:
  utter_greet: [{text: Hello}]
  utter_bye: [{text: So long}]
""",
    "data/nlu.yml": """\
nlu:
- intent: greet
  examples: |
    - hello
- intent: bye
  examples: |
    - so long
""",
    "data/rules.yml": """\
rules:
- rule: greet
  steps:
  - intent: greet
  - action: utter_greet
""",
    "data/stories.yml": """\
stories:
- story: leave
  steps:
  - intent: greet
  - action: utter_greet
  - intent: bye
  - action: utter_bye
""",
}


Findings = Callable[..., list[str]]


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Path]:
    """The project, with some files changed or added."""

    def write(**files: str) -> Path:
        texts = SHOP | files
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def findings(shop: Callable[..., Path]) -> Findings:
    """The findings in the project, as they are printed, with paths that begin in its folder."""

    def find(stories_only: bool = False, max_history: int | None = None, **files: str) -> list[str]:
        root = shop(**files)
        found = validate_folder(root, stories_only=stories_only, max_history=max_history)
        return [str(finding).replace(f"{root}/", "") for finding in found]

    return find


@pytest.fixture
def domain() -> str:
    """The project's domain.yml, to add to."""
    return SHOP["domain.yml"]
