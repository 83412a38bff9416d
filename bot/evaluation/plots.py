"""Pictures of a test: what is taken for what, and how sure the bot was when it was right and when it was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.evaluation.figures import confusion_matrix

BARS = 25
RIGHT, WRONG = "#2a7f79", "#b3372f"


def plot_confusions(expected: Sequence[str], predicted: Sequence[str], title: str, file: Path) -> None:
    """A row for each expected label, a column for each predicted one; what is right lies on the diagonal.

    Right cells are green, wrong ones red, the darker the larger a share of their row; empty cells stay white, so
    that a mistake is seen among a hundred labels.
    """
    import numpy as np

    labels, matrix = confusion_matrix(expected, predicted)
    side = max(5.0, 0.27 * len(labels) + 2.5)
    figure, axes = _figure(side, side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(labels), dtype=bool)
    # Even one of many must be seen: no cell with a count is paler than this.
    strength = np.where(matrix > 0, 0.25 + 0.75 * shares, 0.0)[..., np.newaxis]
    full = np.where(diagonal[..., np.newaxis], _rgb(RIGHT), _rgb(WRONG))
    axes.imshow(1 - strength * (1 - full), interpolation="nearest")
    size = 9 if len(labels) <= 40 else 7
    for row, column in np.argwhere(matrix):
        colour = "white" if strength[row, column, 0] > 0.55 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", fontsize=size - 1, color=colour)
    ticks = range(len(labels))
    axes.set_xticks(ticks, [_named(label) for label in labels], rotation=90, fontsize=size)
    axes.set_yticks(ticks, [_named(label) for label in labels], fontsize=size)
    axes.set_xticks([tick - 0.5 for tick in ticks], minor=True)
    axes.set_yticks([tick - 0.5 for tick in ticks], minor=True)
    axes.grid(which="minor", color="#e4e4e4", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="Predicted label", ylabel="True label")
    wrong = int(matrix.sum() - matrix.trace())
    axes.set_title(f"{title}\n{int(matrix.trace())} right, {wrong} wrong")
    figure.savefig(file, bbox_inches="tight", dpi=110)


def plot_confidences(right: Sequence[float], wrong: Sequence[float], title: str, file: Path) -> None:
    """How many predictions had which confidence: the right ones to the left, the wrong ones to the right."""
    import numpy as np

    edges = np.linspace(0.0, 1.0, BARS + 1)
    figure, (left, other) = _figure(9.0, 7.0, columns=2)
    for axes, values, colour, name in ((left, right, RIGHT, "Right"), (other, wrong, WRONG, "Wrong")):
        counts, _ = np.histogram(values, edges)
        axes.barh(edges[:-1] + 0.5 / BARS, counts, height=1 / BARS, color=colour, edgecolor="white")
        axes.set(title=f"{name}: {len(values)}", xlim=(0, max(1, counts.max()) * 1.05), ylim=(0, 1))
        axes.set_xlabel("Number of predictions")
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.invert_xaxis()
    left.set_ylabel("Confidence")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def plot_curves(sizes: Sequence[int], scores: Mapping[str, Sequence[Sequence[float]]], file: Path) -> None:
    """A line for each name: the mean score of its runs by the number of training examples, and how far they differ."""
    import numpy as np

    figure, axes = _figure(8.0, 5.5)
    for name, runs in scores.items():
        mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
        (line,) = axes.plot(sizes, mean, marker="o", label=name)
        axes.fill_between(sizes, mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
    axes.set(xlabel="Training examples", ylabel="F1 score of the intents", title="Pipelines compared")
    axes.grid(color="#e4e4e4")
    axes.legend(loc="lower right")
    figure.savefig(file, bbox_inches="tight")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """Drawn into memory: no window system is asked for, and nothing is shared with other pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(ncols=columns, sharey=True)


def _rgb(colour: str) -> Any:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _named(label: str) -> str:
    return label or "(none)"
