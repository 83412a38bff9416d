"""The graph as a web page: drawings, a list of all dialogues with a search, and each dialogue as text."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import orjson

from bot.errors import ConfigError
from bot.visualization.graph import Dialogue, Graph, Node
from bot.visualization.layout import ROW, Box, Layout, Line, lay_out, notes_of, shortened

HERE = Path(__file__).parent
HEIGHT = 40
KINDS = {
    "start": "start",
    "user": "the customer says",
    "action": "the bot does",
    "form": "form",
    "checkpoint": "checkpoint",
}


def write_page(graph: Graph, file: Path, title: str) -> None:
    try:
        file.write_text(page(graph, title), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be written: {error.strerror or error}") from error


def page(graph: Graph, title: str) -> str:
    """The whole page."""
    rules = {dialogue.path[0] for dialogue in graph.dialogues if dialogue.kind == "rule"}
    stories = [root for root in graph.roots if root not in rules]
    # Checkpoints that nothing but themselves lead to.
    stories += [dialogue.path[0] for dialogue in graph.dialogues if dialogue.kind == "story"]
    drawings = [
        ("stories", "Stories", "Dialogues that may go like this; what they share is drawn once.", stories),
        ("rules", "Rules", "What always follows, whatever was said before.", sorted(rules)),
    ]
    parts = [_drawing(graph, name, head, text, roots) for name, head, text, roots in drawings if roots]
    if not parts:
        parts = ["<p>The project has neither stories nor rules.</p>"]
    replaced = {
        "TITLE": html.escape(title),
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": (HERE / "page.js").read_text(encoding="utf-8"),
        "DATA": _data(graph),
        "COUNTS": _counts(graph),
        "DIALOGUES": "\n".join(_listed(graph)),
        "DRAWINGS": "\n".join(parts),
        "OUTLINE": "\n".join(_outline(graph, dialogue) for dialogue in graph.dialogues),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    head, *rest = template.split("@@")
    # Every second piece is a name: what is put in is never looked through for names.
    return head + "".join(replaced[piece] if number % 2 == 0 else piece for number, piece in enumerate(rest))


def _data(graph: Graph) -> str:
    data = {
        "nodes": [
            {
                "kind": KINDS[node.look.kind],
                "label": node.look.label,
                "notes": node.look.notes,
                "form": node.look.form,
                "after": node.after,
                "dialogues": node.dialogues,
            }
            for node in graph.nodes
        ],
        "dialogues": [
            {"name": one.name, "kind": one.kind, "place": str(one.source), "path": one.path} for one in graph.dialogues
        ],
    }
    # Inside a script element, "</script>" would end it.
    return orjson.dumps(data).decode().replace("<", "\\u003c")


def _counts(graph: Graph) -> str:
    counts = [(kind, sum(one.kind == kind for one in graph.dialogues)) for kind in ("story", "rule")]
    words = {"story": "stories", "rule": "rules"}
    return ", ".join(f"{number} {kind if number == 1 else words[kind]}" for kind, number in counts)


def _listed(graph: Graph) -> Iterator[str]:
    for one in graph.dialogues:
        yield (
            f'<li><button type="button" class="dialogue" data-dialogue="{one.number}" aria-pressed="false">'
            f'<span class="name">{html.escape(one.name)}</span>'
            f'<span class="place">{one.kind} · {html.escape(str(one.source))}</span></button></li>'
        )


def _outline(graph: Graph, dialogue: Dialogue) -> str:
    steps = "".join(f"<li>{html.escape(_words(graph.nodes[number]))}</li>" for number in dialogue.path)
    return (
        f"<details><summary>{dialogue.kind} “{html.escape(dialogue.name)}” "
        f"<span class=place>{html.escape(str(dialogue.source))}</span></summary><ol>{steps}</ol></details>"
    )


def _words(node: Node) -> str:
    look = node.look
    notes = f" ({'; '.join(look.notes)})" if look.notes else ""
    return f"{KINDS[look.kind]}{'' if look.label == look.kind else f': {look.label}'}{notes}"


# ---- drawing ----


def _drawing(graph: Graph, name: str, head: str, text: str, roots: list[int]) -> str:
    layout = lay_out(graph, roots)
    shapes = [*_bands(graph, layout)]
    for line in layout.lines:
        shapes.append(_line(graph, line, layout))
    shapes += [_node(graph.nodes[number], box) for number, box in layout.boxes.items()]
    if name == "rules":
        for dialogue in graph.dialogues:
            if dialogue.kind == "rule":
                y = layout.boxes[dialogue.path[0]].y - HEIGHT / 2 - 6
                shapes.append(f'<text class="note" x="0" y="{y:.1f}">{html.escape(dialogue.name)}</text>')
    width, height = layout.width + 230, layout.height + 22
    keys = f"{head} as a graph: arrow keys go from node to node"
    return (
        f'<section id="{name}" aria-labelledby="{name}-head"><h2 id="{name}-head">{head}</h2><p class="what">{text}</p>'
        f'<svg viewBox="-8 -14 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="group" '
        f'aria-label="{keys}">{"".join(shapes)}</svg></section>'
    )


def _bands(graph: Graph, layout: Layout) -> Iterator[str]:
    """The shade behind what happens while a form runs."""
    for number, box in layout.boxes.items():
        if graph.nodes[number].look.form:
            yield (
                f'<rect class="band" x="{box.x - 10:.1f}" y="{box.y - HEIGHT / 2 - 5:.1f}" rx="8" '
                f'width="{box.width + 20:.1f}" height="{HEIGHT + 10}"/>'
            )


def _line(graph: Graph, line: Line, layout: Layout) -> str:
    start, end = layout.boxes[line.start], layout.boxes[line.end]
    x1, x2 = start.x + start.width, end.x
    named = f'data-from="{line.start}" data-to="{line.end}"'
    if line.kind != "jump":
        kind = "line" if line.kind == "line" else "line across"
        return f'<path class="{kind}" {named} d="{_way(x1, start.y, x2, end.y)}"/>{_tip(x2, end.y)}'
    x2, y2 = start.next, (line.row + 0.5) * ROW
    label = html.escape(shortened(graph.nodes[line.end].look.label))
    arrow = "↩" if end.x <= start.x else "↪"
    return (
        f'<g class="jump" data-jump="{line.end}" {named}><path class="line" d="{_way(x1, start.y, x2, y2)}"/>'
        f'<text x="{x2:.1f}" y="{y2 + 4:.1f}">{arrow} {label}</text></g>'
    )


def _way(x1: float, y1: float, x2: float, y2: float) -> str:
    """Straight on, then up or down beside the next column, then on to the node."""
    turn, round_ = x2 - 20, 8.0
    if abs(y1 - y2) < 2 * round_:
        return f"M{x1:.1f} {y1:.1f} H{turn - round_:.1f} L{x2 - 10:.1f} {y2:.1f} H{x2 - 5:.1f}"
    step = round_ if y2 > y1 else -round_
    return (
        f"M{x1:.1f} {y1:.1f} H{turn - round_:.1f} Q{turn:.1f} {y1:.1f} {turn:.1f} {y1 + step:.1f} "
        f"V{y2 - step:.1f} Q{turn:.1f} {y2:.1f} {turn + round_:.1f} {y2:.1f} H{x2 - 5:.1f}"
    )


def _tip(x: float, y: float) -> str:
    return f'<path class="tip" d="M{x - 7:.1f} {y - 4:.1f} L{x:.1f} {y:.1f} L{x - 7:.1f} {y + 4:.1f} Z"/>'


def _node(node: Node, box: Box) -> str:
    look = node.look
    radius = {"user": HEIGHT / 2, "start": HEIGHT / 2, "checkpoint": 2}.get(look.kind, 6)
    notes = notes_of(node)
    baseline = box.y + (5 if not notes else -2)
    texts = [f'<text class="label" x="{box.x + 13:.1f}" y="{baseline:.1f}">{html.escape(shortened(look.label))}</text>']
    texts += [
        f'<text class="note" x="{box.x + 13:.1f}" y="{box.y + 13:.1f}">{html.escape(shortened(note))}</text>'
        for note in notes
    ]
    count = len(node.dialogues)
    label = html.escape(f"{_words(node)}; in {count} {'dialogue' if count == 1 else 'dialogues'}", quote=True)
    return (
        f'<g class="node {look.kind}" data-node="{node.number}" role="button" tabindex="-1" aria-label="{label}">'
        f"<title>{label}</title>"
        f'<rect x="{box.x:.1f}" y="{box.y - HEIGHT / 2:.1f}" rx="{radius}" width="{box.width:.1f}" height="{HEIGHT}"/>'
        f"{''.join(texts)}</g>"
    )
