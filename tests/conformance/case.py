"""One conformance case: a small project in Rasa's layout with the dialogues that are held with it.

Read by real Rasa's Python 3.10 (`record.py`) and by ours (`test_conformance.py`), so it needs PyYAML alone.

    rule: the next slot is asked for when one is filled       # what the case shows
    domain: {…}  rules: […]  stories: […]  nlu: […]           # as in Rasa's files; `version` is added
    domain_files: {a.yml: {…}}  data_files: {b.yml: {…}}      # in domain/ instead of domain.yml; more in data/
    config: {policies: […]}                                   # default: MemoizationPolicy and RulePolicy
    actions: |                                                # rasa-sdk actions, when there are any
      class A(Action): …
    nlg: {utter_a: {text: "A {slot}"}}                        # said by an NLG server (see nlg_server.py)
    dialogues:                                                # each is a conversation of its own
    - [/greet, '/inform{"city": "Rome"}', {pause: 0.2}, {say: /greet, channel: slack}]
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CONFIG = {
    "recipe": "default.v1",
    "assistant_id": "conformance",
    "language": "en",
    "pipeline": [{"name": "WhitespaceTokenizer"}, {"name": "KeywordIntentClassifier"}],
    "policies": [{"name": "MemoizationPolicy"}, {"name": "RulePolicy"}],
}
PREAMBLE = """\
import datetime
from typing import *
from rasa_sdk import Action, FormValidationAction, Tracker, ValidationAction
from rasa_sdk.events import *
from rasa_sdk.interfaces import ActionExecutionRejection
"""


@dataclass(frozen=True)
class Step:
    """What happens next: `say` is a payload or a text; `pause` is in seconds."""

    say: str = ""
    channel: str = "rest"
    pause: float = 0.0


@dataclass(frozen=True)
class Case:
    """See the module. `digest` changes with the case, so that an old recording is noticed."""

    name: str
    rule: str
    sections: dict[str, Any]
    dialogues: list[list[Step]]
    digest: str


def read_cases() -> list[Case]:
    """All cases by name; one file may hold several, parted by `---`."""
    cases = []
    for file in sorted((HERE / "cases").glob("*.yml")):
        for number, data in enumerate(yaml.safe_load_all(file.read_text(encoding="utf-8")), 1):
            if data:
                cases.append(_case(f"{file.stem}_{number:02d}", data))
    return cases


def _case(name: str, data: dict[str, Any]) -> Case:
    dialogues = [
        [Step(say=step) if isinstance(step, str) else Step(**step) for step in dialogue]
        for dialogue in data["dialogues"]
    ]
    digest = hashlib.sha256(yaml.safe_dump(data).encode()).hexdigest()[:16]
    return Case(name, data["rule"], data, dialogues, digest)


def write_project(case: Case, folder: Path, nlg: str | None = None) -> None:
    """The project's files. `nlg` is the address of the server that words its responses."""
    sections = case.sections
    _write(folder / "config.yml", {**CONFIG, **sections.get("config", {})})
    if "domain_files" in sections:
        for name, content in sections["domain_files"].items():
            _write(folder / "domain" / name, {"version": "3.1", **content})
    else:
        _write(folder / "domain.yml", {"version": "3.1", **_with_session(sections["domain"])})
    for name, content in sections.get("data_files", {}).items():
        _write(folder / "data" / name, {"version": "3.1", **content})
    data = {key: sections[key] for key in ("nlu", "rules", "stories") if key in sections}
    intents = [next(iter(one)) if isinstance(one, dict) else one for one in sections["domain"].get("intents", [])]
    data.setdefault("nlu", [{"intent": name, "examples": f"- says {name}\n- means {name}\n"} for name in intents])
    _write(folder / "data" / "data.yml", {"version": "3.1", **data})
    for name in ("endpoints", "credentials"):
        if name in sections:
            _write(folder / (name + ".yml"), sections[name])
    if nlg:
        _write(folder / "endpoints.yml", {"nlg": {"url": nlg}})
    if "actions" in sections:
        (folder / "actions").mkdir(parents=True, exist_ok=True)
        (folder / "actions" / "__init__.py").write_text("", encoding="utf-8")
        (folder / "actions" / "actions.py").write_text(PREAMBLE + sections["actions"], encoding="utf-8")


def _with_session(domain: dict[str, Any]) -> dict[str, Any]:
    session = {"session_expiration_time": 60, "carry_over_slots_to_new_session": True}
    return {"session_config": session, **domain}


def _write(file: Path, data: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
