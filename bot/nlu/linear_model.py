"""A linear model over sparse and dense features, with a confidence that means something.

Softmax regression, trained one example at a time (stochastic gradient descent with a falling rate, which
is all the regularisation it needs). Copies of the model that never see a part of the examples are trained
in the same pass, as further columns of the same matrices; how they do on what they have not seen gives
the temperature that turns margins into confidences (Guo et al., 2017, "On Calibration of Modern Neural
Networks"). Training and serving need numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.nlu.features import Floats, Indices

SparseRow = tuple[Indices, Floats]
FOLDS = 5
# Steps as large as a sum of squares of 1 would bear four times over: found on BANKING77, full and ten-shot.
RATE = 4.0
# What the model must give to most examples when it meets them again, word for word. In a small project hardly
# any example can be told from the others, and confidences learnt from that alone would doubt everything.
SEEN = 0.9


@dataclass(frozen=True, slots=True)
class LinearModel:
    """`sparse` is (sparse features, labels), `dense` (dense features, labels), `bias` (labels)."""

    labels: tuple[str, ...]
    sparse: Floats
    dense: Floats
    bias: Floats
    temperature: float

    def confidences(self, row: SparseRow, dense: Floats) -> Floats:
        """One per label, in the order of `labels`; they add up to 1."""
        indices, values = row
        margins: Floats = self.bias + dense @ self.dense
        if len(indices):
            margins += values @ self.sparse[indices]
        return _softmax(margins / np.float32(self.temperature))

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"sparse": self.sparse, "dense": self.dense, "bias": self.bias}, folder / "weights.safetensors")
        content = {"labels": self.labels, "temperature": self.temperature}
        (folder / "labels.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> LinearModel:
        from safetensors.numpy import load_file

        weights = load_file(folder / "weights.safetensors")
        content = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        return LinearModel(
            tuple(content["labels"]), weights["sparse"], weights["dense"], weights["bias"], content["temperature"]
        )


def train(
    rows: Sequence[SparseRow],
    dense: Floats,
    labels: Sequence[str],
    *,
    sparse_size: int,
    seed: int,
) -> LinearModel:
    """Learn that `rows[i]` with `dense[i]` is `labels[i]`; `sparse_size` bounds the indices of the rows."""
    names = sorted(set(labels))
    number_of = {name: number for number, name in enumerate(names)}
    answers = np.array([number_of[label] for label in labels])
    generator = np.random.default_rng(seed)
    fold_of = _folds(answers, generator)
    # With many examples, one fold of them says enough about confidence, and four copies less to train.
    copies = FOLDS if len(answers) < 500 else 1
    sees = np.ones((len(answers), 1 + copies, 1), np.float32)  # copy 0 is the model and sees everything
    for copy in range(copies):
        sees[fold_of == copy, 1 + copy] = 0
    sparse, thick, bias = _descend(rows, dense, answers, sees, len(names), sparse_size, generator)
    held = [i for i, fold in enumerate(fold_of.tolist()) if fold < copies]
    own = slice(0, len(names))
    margins, seen = np.zeros((2, len(held), len(names)), np.float32)
    for at, i in enumerate(held):
        unseen = slice((1 + fold_of[i]) * len(names), (2 + fold_of[i]) * len(names))
        indices, values = rows[i]
        for found, block in ((margins, unseen), (seen, own)):
            found[at] = values @ sparse[indices, block] + dense[i] @ thick[:, block] + bias[block]
    return LinearModel(
        labels=tuple(names),
        sparse=np.ascontiguousarray(sparse[:, own]),
        dense=np.ascontiguousarray(thick[:, own]),
        bias=bias[own].copy(),
        temperature=_temperature(margins, seen, answers[held]),
    )


def _descend(
    rows: Sequence[SparseRow],
    dense: Floats,
    answers: NDArray[Any],
    sees: Floats,
    labels: int,
    sparse_size: int,
    generator: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    """Weights of all copies side by side: (features, copies x labels). `sees` is (examples, copies, 1)."""
    examples, copies, _ = sees.shape
    sparse = np.zeros((sparse_size, copies * labels), np.float32)
    thick = np.zeros((dense.shape[1], copies * labels), np.float32)
    bias = np.zeros(copies * labels, np.float32)
    squares = sum(float(values @ values) for _, values in rows) + float(np.einsum("ij,ij->", dense, dense))
    rate = RATE / (1 + squares / examples)
    epochs = min(max(round(16_000 / examples), 7), 60)
    step, steps = 0, epochs * examples
    for _ in range(epochs):
        for i in generator.permutation(examples).tolist():
            indices, values = rows[i]
            picked = sparse[indices]
            margins = values @ picked + dense[i] @ thick + bias
            slope = _softmax(margins.reshape(copies, labels))
            slope[:, answers[i]] -= 1
            slope *= sees[i] * np.float32(rate * (step / steps - 1))
            change = slope.reshape(-1)
            picked += values[:, None] * change
            sparse[indices] = picked
            thick += dense[i][:, None] * change
            bias += change
            step += 1
    return sparse, thick, bias


def _folds(answers: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    """A fold for each example, every label spread evenly over them."""
    fold_of = np.zeros(len(answers), int)
    for label in np.unique(answers):
        members = generator.permutation(np.flatnonzero(answers == label))
        fold_of[members] = (np.arange(len(members)) + generator.integers(FOLDS)) % FOLDS
    return fold_of


def _temperature(margins: Floats, seen: Floats, answers: NDArray[Any]) -> float:
    """The one under which the right answers are likeliest, but no higher than leaves examples `seen` recognised."""
    grid = np.geomspace(0.1, 10, 100)
    chosen = np.arange(len(answers)), answers
    losses = [-np.log(_softmax(margins / np.float32(t))[chosen] + 1e-9).mean() for t in grid]
    sure = [t for t in grid if np.median(_softmax(seen / np.float32(t))[chosen]) >= SEEN]
    return float(min(grid[int(np.argmin(losses))], max(sure, default=grid[-1])))


def _softmax(x: Floats) -> Floats:
    """Along the last axis of (…, labels)."""
    y: Floats = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y
