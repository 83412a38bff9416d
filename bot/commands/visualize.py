"""`frontdesk visualize`: stories and rules as a graph in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.commands import DebugOption, ProjectOption, load
from bot.visualization.graph import MAX_HISTORY

app = typer.Typer()


@app.command(epilog="Example: `frontdesk visualize --project my-bank --out flows.html`")
def visualize(
    project: ProjectOption = Path("."),
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("graph.html"),
    max_history: Annotated[
        int,
        typer.Option(
            "--max-history", help="Nodes that go on alike for so many steps are one; 0 joins beginnings alone.", min=0
        ),
    ] = MAX_HISTORY,
    no_open: Annotated[bool, typer.Option("--no-open", help="Write the page, and open no browser.")] = False,
    debug: DebugOption = False,
) -> None:
    """Draw the stories and rules as a graph: a page that needs nothing else, with a search and every place."""
    import webbrowser

    from bot.visualization import build_graph, write_page

    loaded = load(project)
    write_page(build_graph(loaded.stories, loaded.rules, max_history), out, loaded.root.name)
    print(f"Written to {out}: open it in a browser.")
    if not no_open:
        webbrowser.open(out.resolve().as_uri())
