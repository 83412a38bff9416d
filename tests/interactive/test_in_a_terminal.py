"""`frontdesk interactive` as a person uses it: a real terminal (a pty), real keys, and the files it leaves."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bot.project import load_project

ENTER, DOWN, UP, CTRL_C = "\r", "\x1b[B", "\x1b[A", "\x03"
DATA = """\
version: "3.1"
# Kept as it is: a comment,   and odd   spaces.
nlu:
- intent: greet
  examples: |
    - hello

- intent: order   # what they come for
  examples: |
    - a [tea](drink) please
    - one [coffee](drink)
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: order, steps: [{intent: order}, {action: utter_order}]}
"""
SHOP = {
    "config.yml": """\
recipe: default.v1
language: en
pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domain.yml": """\
version: "3.1"
intents: [greet, order]   # two
entities:
- drink

responses:
  utter_greet: [{text: Hello from the shop., buttons: [{title: Tea, payload: '/order{"drink": "tea"}'}]}]
  utter_order: [{text: It is ordered.}]
""",
    "data/all.yml": DATA,
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-B]?|\r")


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "40", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", *words],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._unseen = ""
        self.everything = ""

    def see(self, words: str) -> None:
        """Wait until these words stand there, after those that were waited for before."""
        deadline = time.monotonic() + 60
        while words not in self._unseen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            try:
                read = os.read(self._master, 65536) if ready else b""
            except OSError:
                read = b""
            assert read, f"waited for {words!r}; there stands:\n{self.everything[-3000:]}"
            text = _ESCAPES.sub("", read.decode("utf-8", "replace"))
            self._unseen += text
            self.everything += text
        self._unseen = self._unseen.partition(words)[2]

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def answer(self, question: str, keys: str) -> None:
        self.see(question)
        self.type(keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def terminal(shop: Path) -> Iterator[Terminal]:
    opened = Terminal(shop, "interactive", "--skip-visualization", "--conversation-id", "anna")
    yield opened
    opened.close()


def test_a_conversation_is_corrected_and_becomes_training_data(terminal: Terminal, shop: Path) -> None:
    # Understood and done as it should be.
    terminal.answer("You:", "hello" + ENTER)
    terminal.see("understood: greet (1.00)")
    terminal.answer("all entities right?", "y")
    terminal.see("utter_greet (RulePolicy, 1.00)")
    terminal.answer("Is that right?", "y")
    terminal.see("Bot: Hello from the shop.")
    terminal.see("action_listen")
    terminal.answer("Is that right?", "y")
    # A text that means something else, with an entity to mark.
    terminal.answer("A button, or words of your own?", UP + ENTER)
    terminal.answer("You:", "hello green tea" + ENTER)
    terminal.answer("all entities right?", "n")
    terminal.answer("What does it mean?", DOWN + ENTER)
    terminal.see("Mark the entities")
    terminal.type("\x7f" * len("green tea") + "[green tea](drink)" + ENTER)
    terminal.see("utter_order")
    # Another action than the one predicted: a new one.
    terminal.answer("Is that right?", "n")
    terminal.answer("What should the bot do?", UP + ENTER)
    terminal.answer("name of the new action", "utter_which_cup" + ENTER)
    terminal.answer("What does utter_which_cup say?", "Which cup?" + ENTER)
    terminal.see("Bot: Which cup?")
    terminal.answer("Is that right?", CTRL_C)
    terminal.answer("What now?", UP + ENTER)
    terminal.answer("The stories go to", ENTER)
    terminal.answer("The examples go to", ENTER)
    terminal.answer("What the domain lacks goes to", ENTER)
    terminal.see("Next: frontdesk train")
    assert terminal.process.wait(20) == 0

    written = (shop / "data/all.yml").read_text(encoding="utf-8")
    line = "    - one [coffee](drink)\n"
    assert written == DATA.replace(line, line + "    - hello [green tea](drink)\n")
    stories = yaml.safe_load((shop / "data/stories.yml").read_text(encoding="utf-8"))["stories"]
    assert stories == [
        {
            "story": "interactive_story_1",
            "steps": [
                {"intent": "greet"},
                {"action": "utter_greet"},
                {"intent": "order", "entities": [{"drink": "green tea"}]},
                {"action": "utter_which_cup"},
            ],
        }
    ]
    domain = SHOP["domain.yml"] + "  utter_which_cup:\n  - text: Which cup?\n"
    assert (shop / "domain.yml").read_text(encoding="utf-8") == domain
    assert load_project(shop).stories[0].name == "interactive_story_1"


def test_a_message_is_taken_back_and_a_conversation_forked(terminal: Terminal, shop: Path) -> None:
    terminal.answer("You:", "/greet" + ENTER)
    terminal.answer("Is that right?", "y")
    terminal.answer("Is that right?", "y")
    terminal.answer("A button, or words of your own?", ENTER)
    terminal.answer("Is that right?", CTRL_C)
    terminal.answer("What now?", DOWN + ENTER)
    terminal.see("""Taken back: '/order{"drink": "tea"}'""")
    terminal.answer("A button, or words of your own?", UP + ENTER)
    terminal.answer("You:", "/stop" + ENTER)
    terminal.answer("What now?", DOWN + DOWN + ENTER)
    terminal.answer("before which message?", ENTER)
    terminal.answer("You:", '/order{"drink": "tea"}' + ENTER)
    terminal.answer("Is that right?", "y")
    terminal.see("It is ordered.")
    terminal.answer("Is that right?", CTRL_C)
    terminal.answer("What now?", CTRL_C)
    terminal.answer("The stories go to", ENTER)
    terminal.see("Next: frontdesk train")
    told = yaml.safe_load((shop / "data/stories.yml").read_text(encoding="utf-8"))["stories"]
    assert [story["steps"] for story in told] == [
        [{"intent": "greet"}, {"action": "utter_greet"}],
        [{"intent": "order", "entities": [{"drink": "tea"}]}, {"action": "utter_order"}],
    ]
    assert (shop / "data/all.yml").read_text(encoding="utf-8") == DATA


def test_without_a_terminal_it_is_said_what_to_do(shop: Path) -> None:
    command = [sys.executable, "-m", "bot.cli", "interactive", "--project", str(shop)]
    folder = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "it needs a terminal. Without one: frontdesk shell" in ended.stderr
