"""Writes down what real Rasa does in the dialogues of shop/: `record.py PYTHON_WITH_RASA`, from our own Python."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bot import training
from bot.certify.dialogues import dialogues_of
from bot.certify.here import hold
from bot.certify.real_rasa import SCRIPT
from bot.evaluation import read_tests
from bot.project import load_project
from bot.stores.memory import MemoryStore

HERE = Path(__file__).resolve().parent


def main() -> None:
    python = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "shop"
        shutil.copytree(HERE / "shop", copy)
        project = load_project(copy)
        training.train(project)
        assistant = training.load_assistant(project, store=MemoryStore())
        dialogues = dialogues_of(project, read_tests(project))
        says = [held.says for held in asyncio.run(hold(assistant, project, dialogues))]
        shutil.rmtree(copy / "models")
        task = {"project": str(copy), "dialogues": [[{"say": one} for one in dialogue] for dialogue in says]}
        told = subprocess.run([python, str(SCRIPT)], input=json.dumps(task), capture_output=True, text=True, check=True)
        lines = [line for line in told.stdout.splitlines() if '"actions"' not in line[:12]]
        (HERE / "rasa.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
