"""A certificate as text: Markdown (which is what the terminal shows, too), HTML and JSON."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from bot.certify.certificate import Certificate, JudgedDialogue, Performance
from bot.errors import ConfigError

MARKS = {"agrees": "agrees", "explained": "explained", "unexplained": "UNEXPLAINED", "not compared": "said"}
SUFFIXES = (".md", ".html", ".json")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: sentences, then items, then a table whose first row is its head."""

    title: str
    text: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


def write(certificate: Certificate, file: Path) -> None:
    """Write it in the form that the file's name asks for."""
    writers = {".md": as_markdown, ".html": as_html, ".json": as_json}
    try:
        file.write_text(writers[file.suffix](certificate), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be written: {error.strerror or error}") from error


def sections(certificate: Certificate) -> Iterator[Section]:
    yield _summary(certificate)
    yield from _differences(certificate)
    yield from _understanding(certificate)
    yield _tests(certificate)
    yield from _performance(certificate)
    if certificate.findings:
        yield Section(
            "To know before moving",
            ("What `frontdesk validate` says of the project's files:",),
            tuple(certificate.findings),
        )
    else:
        yield Section("To know before moving", ("Nothing: every file, setting and action of the project is used.",))
    yield from _dialogues(certificate)


def _summary(certificate: Certificate) -> Section:
    text = [certificate.line]
    if certificate.not_compared:
        text.append(
            f"Real Rasa was NOT asked: {certificate.not_compared}. What follows is what Frontdesk does, measured by "
            "the project's own tests alone."
        )
    if certificate.dialogues:
        text.append(f"Dialogues held: {certificate.origins}. {_what_was_said(certificate)}")
    return Section(f"Certificate of {certificate.project}", tuple(text))


def _what_was_said(certificate: Certificate) -> str:
    walked = any(dialogue.origin in ("story", "rule") for dialogue in certificate.dialogues)
    if not walked:
        return "They are the project's own tests."
    return (
        "Stories and rules were walked with payloads such as `/greet`, so that no model's luck decides; what a form "
        "asks was answered with values of the examples."
    )


def _differences(certificate: Certificate) -> Iterator[Section]:
    rows = [
        (dialogue.place, str(number), turn.said, "; ".join(turn.differences), turn.explanation or "UNEXPLAINED")
        for dialogue in certificate.dialogues
        for number, turn in enumerate(dialogue.turns, 1)
        if turn.differences
    ]
    if rows:
        yield Section("Turns that differ", table=(("dialogue", "turn", "said", "difference", "why"), *rows))


def _understanding(certificate: Certificate) -> Iterator[Section]:
    texts = certificate.texts
    if not certificate.rasa or certificate.error:
        return
    if not texts:
        yield Section("Understanding", ("No dialogue has a text that must be understood: it was not compared.",))
        return
    apart = [(turn.said, turn.understanding) for turn in texts if turn.understanding != "agrees"]
    said = f"{len(texts) - len(apart)} of {len(texts)} texts are understood alike: same intent, same entities."
    table = (("text", "understood as"), *apart) if apart else ()
    yield Section("Understanding", (said,), table=table)


def _tests(certificate: Certificate) -> Section:
    said = f"{certificate.tests} test stories and conversations pass here."
    if certificate.tests.endswith(" of 0"):
        said = "The project has no test stories and no conversations."
    return Section("The project's own tests", (said,), tuple(certificate.failed_tests))


def _performance(certificate: Certificate) -> Iterator[Section]:
    if certificate.ours is None:
        return
    columns = [("Frontdesk", certificate.ours)]
    if certificate.theirs:
        columns.append((f"Rasa {certificate.rasa}", certificate.theirs))
    rows = zip(
        ("training", "a turn, median", "memory at its most"), *(_figures(one) for _, one in columns), strict=True
    )
    yield Section("Time and memory", table=(("", *(name for name, _ in columns)), *rows))


def _figures(one: Performance) -> tuple[str, str, str]:
    return f"{one.training:.1f} s", f"{one.turn * 1000:.1f} ms", f"{one.memory / 1e6:.0f} MB"


def _dialogues(certificate: Certificate) -> Iterator[Section]:
    if certificate.dialogues:
        rows = [row for dialogue in certificate.dialogues for row in _turns(dialogue)]
        yield Section("Turn by turn", table=(("dialogue", "turn", "said", ""), *rows))


def _turns(dialogue: JudgedDialogue) -> Iterator[tuple[str, ...]]:
    for number, turn in enumerate(dialogue.turns, 1):
        place = dialogue.place if number == 1 else ""
        notes = (note for note in turn.notes if note not in turn.explanation)
        said = "; ".join(filter(None, (MARKS[turn.verdict], turn.explanation, *notes)))
        yield place, str(number), turn.said, said


# ---- forms ----


def as_markdown(certificate: Certificate) -> str:
    lines = []
    for number, section in enumerate(sections(certificate)):
        lines += [f"{'#' if number == 0 else '##'} {section.title}", ""]
        for text in section.text:
            lines += [text, ""]
        if section.items:
            lines += [*(f"- {item}" for item in section.items), ""]
        if section.table:
            head, *rows = section.table
            lines += [_row(head), "|" + "---|" * len(head), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
  background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
.line { font-size: 1.15rem; padding: .75rem 1rem; border-left: .4rem solid #1a7f37; background: #eef7f0 }
.unasked .line { border-color: #b7791f; background: #fdf6e6 }
.fails .line { border-color: #b42318; background: #fdf0ef }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d5d5d5;
  overflow-wrap: break-word; min-width: 3rem }
th { background: #f3f3f3 }
td.agrees { color: #1a7f37 } td.unexplained { color: #b42318; font-weight: 600 }
"""


def as_html(certificate: Certificate) -> str:
    """One page without anything from elsewhere."""
    parts = []
    for number, section in enumerate(sections(certificate)):
        level = 1 if number == 0 else 2
        parts.append(f"<h{level}>{html.escape(section.title)}</h{level}>")
        for place, text in enumerate(section.text):
            is_line = number == 0 and place == 0
            parts.append(f"<p{' class=line' if is_line else ''}>{_marked(text)}</p>")
        if section.items:
            parts.append("<ul>" + "".join(f"<li>{_marked(item)}</li>" for item in section.items) + "</ul>")
        if section.table:
            parts.append(_table(section.table))
    title = html.escape(f"Certificate of {certificate.project}")
    kind = "fails" if certificate.fails else "unasked" if certificate.not_compared else "passes"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f'<body class="{kind}"><main>\n' + "\n".join(parts) + "\n</main></body></html>\n"
    )


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _table(table: tuple[tuple[str, ...], ...]) -> str:
    head, *rows = table
    first = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    kind = text.partition(";")[0].lower()
    marked = f' class="{kind}"' if kind in ("agrees", "unexplained") else ""
    return f"<td{marked}>{html.escape(text)}</td>"


def as_json(certificate: Certificate) -> str:
    data = {
        "line": certificate.line,
        "fails": certificate.fails,
        "agree": certificate.count("agrees"),
        "explained": certificate.count("explained"),
        "unexplained": certificate.count("unexplained"),
        **dataclasses.asdict(certificate),
    }
    return orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str).decode() + "\n"
