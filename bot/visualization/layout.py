"""Where the nodes stand: from left to right as a dialogue goes, each branch on rows of its own.

Stories that share their beginnings are nearly a tree, and a tree drawn as one is read like a text. So a node stands
one column after the one that led to it first. To a node that is drawn already goes a line across when it is near,
else a mark that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.visualization.graph import Graph, Node

ROW = 58
"""Pixels from one row to the next."""
GAP = 34
"""Pixels between two columns."""
PARTED = 0.25
"""Rows between two rules, or between stories that have nothing in common."""
NEAR = 4
"""Rows that a line goes across."""
LONGEST = 30
"""Characters of a line; the whole text is shown beside the graph."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node's place in pixels: `x` is its left edge, `y` its middle, `next` where the next column begins."""

    x: float
    y: float
    width: float
    next: float


@dataclass(frozen=True, slots=True)
class Line:
    """From one node to the next: `kind` is line, across or jump; a jump's mark has a `row` of its own."""

    start: int
    end: int
    kind: str
    row: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """All places, and the size of the whole."""

    boxes: dict[int, Box]
    lines: list[Line]
    width: float
    height: float


def lay_out(graph: Graph, roots: Sequence[int]) -> Layout:
    """Everything that these roots lead to."""
    columns: dict[int, int] = {}
    rows: dict[int, float] = {}
    lines: list[Line] = []
    row = 0.0
    for root in roots:
        if root not in columns:
            row = _place(graph, root, row, columns, rows, lines) + PARTED
    widths: dict[int, float] = {}
    for number, column in columns.items():
        widths[column] = max(widths.get(column, 0.0), width_of(graph.nodes[number]))
    lefts = [sum(widths[before] + GAP for before in range(column)) for column in range(len(widths) + 1)]
    boxes = {
        number: Box(lefts[column], (rows[number] + 0.5) * ROW, width_of(graph.nodes[number]), lefts[column + 1])
        for number, column in columns.items()
    }
    return Layout(boxes, lines, lefts[-1], row * ROW)


def _place(
    graph: Graph, root: int, row: float, columns: dict[int, int], rows: dict[int, float], lines: list[Line]
) -> float:
    """Place all that hangs on a root, from this row on; the first row that is free afterwards.

    Without recursion: a long story is deeper than Python's stack likes.
    """
    columns[root] = 0
    first: dict[int, float] = {}
    """For each node the row of what follows it first."""
    stack: list[tuple[int, Iterator[int]]] = [(root, iter(graph.nodes[root].after))]
    while stack:
        number, after = stack[-1]
        following = next(after, None)
        if following is None:
            stack.pop()
            # Beside the first that follows, so that the beginning stands at the top, and its first branch is straight.
            if number not in first:
                first[number] = row
                row += 1
            rows[number] = first[number]
            if stack:
                first.setdefault(stack[-1][0], rows[number])
        elif following in columns:
            is_near = following in rows and row - rows[following] <= NEAR and columns[following] > columns[number]
            if is_near:
                lines.append(Line(number, following, "across"))
            else:
                lines.append(Line(number, following, "jump", row))
                first.setdefault(number, row)
                row += 1
        else:
            lines.append(Line(number, following, "line"))
            columns[following] = columns[number] + 1
            stack.append((following, iter(graph.nodes[following].after)))
    return row


def width_of(node: Node) -> float:
    """Pixels that the text needs, in the page's two sizes of letters."""
    look = node.look
    longest = max([len(shortened(look.label)) * 8.0, *(len(shortened(note)) * 6.6 for note in notes_of(node))])
    return max(longest + 26, 64.0)


def notes_of(node: Node) -> tuple[str, ...]:
    """The one small line below the label: the first note, and how many there are."""
    notes = node.look.notes
    return () if not notes else (notes[0] + (f" … +{len(notes) - 1}" if len(notes) > 1 else ""),)


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
