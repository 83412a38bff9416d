"""Reads the Markdown of Rasa 1 and 2: examples, stories (and tests), answers of retrieval intents; gives their YAML.

The formats are told apart as Rasa did: `## intent:greet` begins examples, `* faq/ask` under a title with nothing but
texts below an answer, and every other title with `*` lines a story.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.errors import Source
from bot.migration.log import Log
from bot.yaml_file import Problems
from bot.yaml_writing import FORMAT_VERSION, Quoted

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SECTION = re.compile(r"^##\s*(intent|synonym|regex|lookup)\s*:\s*(.+?)\s*$")
_TITLE = re.compile(r"^#+\s*(.*?)\s*$")
_ANSWER = re.compile(r"^##?\s.*\n\s*\*\s*[^\s:{]+/[^\s:{]+\s*\n(?:\s*-.*\n?)+", re.MULTILINE)
_WITH_DATA = re.compile(r"^(?P<name>[^{]*?)\s*(?P<data>\{.*\})?$", re.DOTALL)
_SAID = re.compile(r"^(?P<intent>[^{:]*?(?:\{.*?\})?)\s*:\s+(?P<text>.+)$")
_IN_A_FORM = "form:"


def read_markdown(text: str, name: str, root: Path, problems: Problems, log: Log) -> dict[str, Any] | None:
    """A file's content as that of a YAML file; None when it is no training data (a README, say)."""
    # Comments go; their lines stay, so that what follows keeps its number.
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    lines = [(Source(name, number), line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    if any(_SECTION.match(line) for _, line in lines):
        return {"version": Quoted(FORMAT_VERSION), "nlu": _nlu(lines, root, problems)}
    if _ANSWER.search(text) and not re.search(r"^\s*-\s*(utter_|action_|form\{|slot\{)", text, re.MULTILINE):
        return {"version": Quoted(FORMAT_VERSION), "responses": _answers(lines)}
    if any(_TITLE.match(line) for _, line in lines) and any(line.lstrip().startswith("* ") for _, line in lines):
        if not is_markdown_test(text):
            lines = list(_without_the_inside_of_forms(lines, log))
        return {"version": Quoted(FORMAT_VERSION), "stories": _stories(lines, problems, log)}
    return None


def is_markdown_test(text: str) -> bool:
    """Whether these stories say what the customer types (`* greet: hello`)."""
    return any(_SAID.match(line.strip()[1:].strip()) for line in text.splitlines() if _is_test_line(line))


def _is_test_line(line: str) -> bool:
    said = line.strip()
    return said.startswith("* ") and not said.removeprefix("* ").startswith(_IN_A_FORM)


# ---- examples ----


def _nlu(lines: list[tuple[Source, str]], root: Path, problems: Problems) -> list[dict[str, Any]]:
    blocks: dict[tuple[str, str], list[str]] = {}
    current: tuple[str, str] | None = None
    for source, line in lines:
        section = _SECTION.match(line)
        text = line.strip()
        if section:
            current = (section[1], section[2])
            blocks.setdefault(current, [])
        elif line.startswith("#"):
            current = None
        elif text and current is None:
            problems.add(f"this belongs to no intent, synonym, regex or lookup: '{text}'", source)
        elif text and current:
            if text[0] in "-*+":
                blocks[current].append(text[1:].strip())
            elif current[0] == "lookup":
                blocks[current] += _words(root / text, text, source, problems)
            else:
                problems.add(f"an example must begin with '- ': '{text}'", source)
    return [
        {kind: name, "examples": "".join(f"- {example}\n" for example in examples)}
        for (kind, name), examples in blocks.items()
        if examples
    ]


def _words(file: Path, name: str, source: Source, problems: Problems) -> list[str]:
    """The lines of a lookup table's file: YAML has no place for its name."""
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        problems.add(f"the lookup table's file '{name}' cannot be read", source)
        return []


# ---- answers ----


def _answers(lines: list[tuple[Source, str]]) -> dict[str, list[dict[str, str]]]:
    responses: dict[str, list[dict[str, str]]] = {}
    name = ""
    for _, line in lines:
        text = line.strip()
        if text.startswith("*"):
            name = f"utter_{text[1:].strip()}"
        elif text.startswith("-") and name:
            responses.setdefault(name, []).append({"text": text[1:].strip().replace("\\n", "\n")})
    return responses


# ---- stories ----


def _without_the_inside_of_forms(lines: list[tuple[Source, str]], log: Log) -> Iterator[tuple[Source, str]]:
    """Rasa 1 marked what happens within a form (`* form: inform`), and did not learn it."""
    for source, line in lines:
        if re.match(rf"\s*[*-]\s*{_IN_A_FORM}", line):
            log.changed(source, line.strip(), "left out: the form itself does what happens within it")
        else:
            yield source, line


def _stories(lines: list[tuple[Source, str]], problems: Problems, log: Log) -> list[dict[str, Any]]:
    stories: list[dict[str, Any]] = []
    for source, line in lines:
        text = line.strip()
        title = _TITLE.match(text)
        if title:
            stories.append({"story": title[1] or f"story {len(stories) + 1}", "steps": []})
        elif text and not stories:
            problems.add(f"this belongs to no story: '{text}'", source)
        elif text:
            stories[-1]["steps"] += _step(text, source, problems, log)
    return [story for story in stories if story["steps"]]


def _step(text: str, source: Source, problems: Problems, log: Log) -> Iterator[dict[str, Any]]:
    mark, said = text[0], text[1:].strip()
    if mark == ">":
        name, data = _named(said, source, problems)
        yield {"checkpoint": name, **({"slot_was_set": _pairs(data)} if data else {})}
    elif mark == "*":
        yield from _user(said, source, problems)
    elif mark == "-":
        yield from _event(said, source, problems, log)
    else:
        problems.add(f"this is no step of a story: '{text}'", source)


def _user(said: str, source: Source, problems: Problems) -> Iterator[dict[str, Any]]:
    """`* greet`, `* inform{"city": "Rome"}`, `* affirm OR thanks`, and in tests `* greet: hello`."""
    said = said.removeprefix(_IN_A_FORM).strip()
    spoken = _SAID.match(said)
    if spoken:
        intent, _ = _named(spoken["intent"], source, problems)
        yield {"user": spoken["text"] + "\n", "intent": intent}
        return
    choices = []
    for one in said.split(" OR "):
        name, data = _named(one.strip(), source, problems)
        choices.append({"intent": name, **({"entities": _pairs(data)} if data else {})})
    yield {"or": choices} if len(choices) > 1 else choices[0]


def _event(said: str, source: Source, problems: Problems, log: Log) -> Iterator[dict[str, Any]]:
    if said.startswith(_IN_A_FORM):
        yield {"action": said.removeprefix(_IN_A_FORM).strip()}
        return
    name, data = _named(said, source, problems)
    match name:
        case "slot":
            yield {"slot_was_set": _pairs(data)}
        case "form" | "active_loop":
            yield {"active_loop": data.get("name")}
        case "restart" | "reset_slots" | "rewind" | "undo" | "pause" | "resume" | "export" | "followup" | "reminder":
            log.left(source, f"the event '{name}' has no place in a story of Rasa 3: it is left out")
        case _:
            # 1.x called the answers of a retrieval intent `respond_…`.
            yield {"action": re.sub(r"^respond_", "utter_", name)}


def _named(text: str, source: Source, problems: Problems) -> tuple[str, dict[str, Any]]:
    """`inform{"city": "Rome"}` → the name and its data."""
    match = _WITH_DATA.match(text)
    if match is None or not match["name"]:
        problems.add(f"there is no name in '{text}'", source)
        return text, {}
    try:
        data = json.loads(match["data"] or "{}")
    except ValueError:
        problems.add(f"what stands in braces is not JSON: '{text}'", source)
        return match["name"], {}
    return match["name"], data


def _pairs(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value} for key, value in data.items()]
