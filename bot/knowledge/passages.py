"""Documents into passages: a pack's `knowledge/*.md`, split at headings and, where long, at paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import DataError, Source

MOST_WORDS = 120
"""A longer section becomes several passages. A Chinese character counts as 0.6 words."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z]+)?")
_SOURCE = {"en": ("Source: ", " – "), "zh": ("来源：", " – ")}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can answer a question.

    `title` is the path of headings down to it, the document's first. `text` is plain, without Markdown.
    `document` is the same for a document and its translations (`banking/knowledge/fees` of fees.md and
    fees.zh.md); `source` names its file in the same way, wherever the project lies.
    """

    title: tuple[str, ...]
    text: str
    language: str
    document: str
    source: Source


def read_passages(paths: Sequence[Path], languages: Sequence[str]) -> list[Passage]:
    """The passages of these files and folders (their `*.md` without README.md), in the order of their names.

    `fees.zh.md` is Chinese, `fees.md` is in the first of `languages`; a document in a language that is
    not among them is left out. Raises `DataError` for a file that cannot be read.
    """
    found: list[Passage] = []
    for path in paths:
        for file in sorted(path.glob("*.md")) if path.is_dir() else [path]:
            if file.name.lower() == "readme.md":
                continue
            document, _, suffix = file.stem.rpartition(".")
            if not document or not _LANGUAGE.fullmatch(suffix):
                document, suffix = file.stem, languages[0]
            if suffix in languages:
                found += _passages_of(file, document, suffix)
    return found


def source_line(passages: Iterable[Passage], language: str) -> str:
    """What tells the customer where an answer is from: `Source: Fees – International transfers`."""
    label, between = _SOURCE.get(language.split("-")[0], _SOURCE["en"])
    return label + "; ".join(dict.fromkeys(between.join(passage.title) for passage in passages))


def _passages_of(file: Path, document: str, language: str) -> Iterator[Passage]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the document cannot be read: {error}", Source(str(file))) from error
    folder = "/".join(file.absolute().parts[-3:-1])
    for title, first, section in _sections(lines, document):
        for offset, text in _pieces(section):
            source = Source(f"{folder}/{file.name}", first + offset)
            yield Passage(title, text, language, f"{folder}/{document}", source)


def _sections(lines: Sequence[str], document: str) -> Iterator[tuple[tuple[str, ...], int, list[str]]]:
    """(path of headings, line number of the first line, lines) for each heading with something under it."""
    path: dict[int, str] = {}
    start = _after_front_matter(lines)
    section: list[str] = []
    first, in_code = start + 1, False
    for number, line in enumerate([*lines[start:], "# end"], start + 1):
        in_code ^= line.lstrip().startswith("```")
        heading = None if in_code else _HEADING.match(line)
        if heading is None and number <= len(lines):
            section.append(line)
            continue
        title = tuple(_plain(path[level]) for level in sorted(path)) or (document.replace("_", " ").capitalize(),)
        yield title, first, section
        if heading:
            depth = len(heading[1])
            path = {level: text for level, text in path.items() if level < depth} | {depth: heading[2]}
        section, first = [], number + 1


def _after_front_matter(lines: Sequence[str]) -> int:
    """How many lines a YAML block between `---` takes at the top of a document."""
    if lines and lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], 2):
            if line.strip() == "---":
                return number
    return 0


def _pieces(section: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(offset of the first line, plain text) of each piece of at most about MOST_WORDS words."""
    piece: list[str] = []
    offset, length = 0, 0.0
    for start, block in _blocks(section):
        words = count_words(block)
        if piece and length + words > MOST_WORDS:
            yield offset, "\n".join(piece)
            piece, length = [], 0.0
        if not piece:
            offset = start
        piece.append(block)
        length += words
    if piece:
        yield offset, "\n".join(piece)


def _blocks(section: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Paragraphs, tables and lists as plain text; one that is longer than a passage comes line by line."""
    start = 0
    while start < len(section):
        end = start
        while end < len(section) and section[end].strip():
            end += 1
        block = section[start:end]
        plain = plain_text(block)
        if count_words(plain) > MOST_WORDS and not _is_table(block):
            for number, line in enumerate(block, start):
                if text := plain_text([line]):
                    yield number, text
        elif plain:
            yield start, plain
        start = end + 1


def count_words(text: str) -> float:
    """The length of a text, comparable between languages with and without spaces."""
    han = sum("\u3400" <= char <= "\u9fff" for char in text)
    return han * 0.6 + len(re.findall(r"[^\W\u3400-\u9fff]+", text))


def plain_text(lines: Sequence[str]) -> str:
    """Markdown as a chat message shows it: no emphasis, bullets as •, a table as one line per row."""
    if _is_table(lines):
        return "\n".join(_table_rows(lines))
    paragraph: list[str] = []
    for line in lines:
        text = _plain(line)
        if text.startswith("```"):
            continue
        if paragraph and not re.match(r"•|\d+[.)] ", text):
            # A line break inside a paragraph of Markdown is a space, or nothing between Chinese characters.
            glue = "" if "\u3000" <= paragraph[-1][-1:] <= "\uffef" else " "
            paragraph[-1] = (paragraph[-1] + glue + text).strip()
        elif text:
            paragraph.append(text)
    return "\n".join(paragraph)


def _plain(line: str) -> str:
    text = re.sub(r"^\s*(?:>\s*)*", "", line).rstrip()
    text = re.sub(r"^[-*+]\s+", "• ", text)
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (\2)", text)
    return re.sub(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1", r"\2", text).strip()


def _is_table(lines: Sequence[str]) -> bool:
    return len(lines) > 2 and re.fullmatch(r"[\s|:-]*-[\s|:-]*", lines[1]) is not None and "|" in lines[0]


def _table_rows(lines: Sequence[str]) -> Iterator[str]:
    """`Card: 5 €` for a table of two columns, `Card: fee 5 €, limit 100 €` for one of three."""
    header, rows = _cells(lines[0]), [_cells(line) for line in lines[2:]]
    for row in rows:
        named = zip(header[1:], row[1:], strict=False)
        values = [cell if len(header) == 2 else f"{name} {cell}" for name, cell in named if cell]
        yield f"• {row[0]}: " + ", ".join(values)


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in line.strip().strip("|").split("|")]
