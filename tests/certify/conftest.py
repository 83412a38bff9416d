"""A small shop in Rasa's layout, and what real Rasa did in its dialogues (`record.py` wrote it down)."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(HERE / "shop", folder)
    return folder


@pytest.fixture(scope="session")
def recording() -> list[dict[str, Any]]:
    """The lines that `in_rasa.py` wrote."""
    return [json.loads(line) for line in (HERE / "rasa.jsonl").read_text(encoding="utf-8").splitlines()]


Rasa = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def rasa(tmp_path: Path) -> Rasa:
    """`rasa(lines)` → a Python that tells these lines in place of holding dialogues, and has Rasa 3.6.21."""

    def make(lines: list[dict[str, Any]]) -> Path:
        told = tmp_path / "told.jsonl"
        told.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        program = tmp_path / "python-with-rasa"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nif sys.argv[1] == '-c':\n    print('3.6.21')\n"
            f"else:\n    sys.stdin.read()\n    print(open({str(told)!r}).read(), end='')\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
        return program

    return make
