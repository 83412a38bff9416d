"""`frontdesk visualize`: the stories and rules of a project as one page that needs nothing else."""

from bot.visualization.graph import MAX_HISTORY, build_graph
from bot.visualization.page import write_page

__all__ = ["MAX_HISTORY", "build_graph", "write_page"]
