"""A linear model over sparse and dense features, with a confidence that means something.

One support vector machine per label against all others (squared hinge), trained by dual coordinate
descent (Hsieh et al., 2008, "A Dual Coordinate Descent Method for Large-scale Linear SVM"). Copies that
never see a part of the examples are trained in the same pass, as further columns of the same matrices;
how they do on what they have not seen gives the temperature that turns margins into confidences (Guo et
al., 2017, "On Calibration of Modern Neural Networks"). Training and serving need numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.nlu.features import Floats, Indices

SparseRow = tuple[Indices, Floats]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """`sparse` is (sparse features, labels), `dense` (dense features, labels), `bias` (labels)."""

    labels: tuple[str, ...]
    sparse: Floats
    dense: Floats
    bias: Floats
    temperature: float

    def margins(self, row: SparseRow, dense: Floats) -> Floats:
        """How far the text is on each label's side: about 1 where it belongs, -1 where it does not."""
        indices, values = row
        out: Floats = self.bias + dense @ self.dense
        if len(indices):
            out += values @ self.sparse[indices]
        return out

    def confidences(self, row: SparseRow, dense: Floats) -> Floats:
        return _softmax(self.margins(row, dense) / self.temperature)


def train(
    rows: Sequence[SparseRow],
    dense: Floats,
    labels: Sequence[str],
    *,
    sparse_size: int,
    seed: int,
    cost: float = 0.3,
    epochs: int = 12,
    folds: int = 5,
) -> LinearModel:
    """Learn from `rows[i]` and `dense[i]` that they are `labels[i]`."""
    names = sorted(set(labels))
    number_of = {name: number for number, name in enumerate(names)}
    answer = np.array([number_of[label] for label in labels])
    generator = np.random.default_rng(seed)
    fold_of = _folds(answer, folds, generator)
    count, copies = len(names), folds + 1
    # Column block 0 sees every example; block f > 0 all but those of fold f.
    sides = np.full((len(labels), copies, count), -1, np.float32)
    sides[np.arange(len(labels)), :, answer] = 1
    sees = np.arange(1, copies) != fold_of[:, None]
    sees = np.concatenate([np.ones((len(labels), 1), bool), sees], axis=1)
    columns = copies * count
    sparse = np.zeros((sparse_size, columns), np.float32)
    thick = np.concatenate([dense, np.ones((len(dense), 1), np.float32)], axis=1)
    weights = np.zeros((thick.shape[1], columns), np.float32)
    alpha = np.zeros((len(labels), columns), np.float32)
    sides = sides.reshape(len(labels), columns)
    sees = np.repeat(sees, count, axis=1)
    ridge = np.float32(0.5 / cost)
    lengths = np.array([values @ values for _, values in rows], np.float32) + np.einsum("ij,ij->i", thick, thick)
    for _ in range(epochs):
        for i in generator.permutation(len(labels)).tolist():
            indices, values = rows[i]
            x = thick[i]
            picked = sparse[indices]
            margin = values @ picked
            margin += x @ weights
            gradient = sides[i] * margin
            gradient -= 1
            gradient += ridge * alpha[i]
            after = np.maximum(alpha[i] - gradient / (lengths[i] + ridge), 0) * sees[i]
            step = (after - alpha[i]) * sides[i]
            alpha[i] = after
            picked += values[:, None] * step
            sparse[indices] = picked
            weights += x[:, None] * step
    margins = np.empty((len(labels), count), np.float32)
    for i, fold in enumerate(fold_of.tolist()):
        if fold:
            block = slice(fold * count, (fold + 1) * count)
            indices, values = rows[i]
            margins[i] = values @ sparse[indices, block] + thick[i] @ weights[:, block]
    held = fold_of > 0
    temperature = _temperature(margins[held], answer[held])
    return LinearModel(
        tuple(names), sparse[:, :count].copy(), weights[:-1, :count].copy(), weights[-1, :count].copy(), temperature
    )


def _folds(answer: NDArray[Any], folds: int, generator: np.random.Generator) -> NDArray[Any]:
    fold_of = np.zeros(len(answer), int)
    for label in np.unique(answer):
        members = generator.permutation(np.flatnonzero(answer == label))
        fold_of[members] = np.arange(len(members)) % max(folds, 5) + 1
    fold_of[fold_of > folds] = 0
    return fold_of


def _temperature(margins: Floats, answer: NDArray[Any]) -> float:
    grid = np.geomspace(0.02, 3, 120)
    losses = []
    for temperature in grid:
        logits = margins / temperature
        logits = logits - logits.max(axis=1, keepdims=True)
        losses.append(float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(answer)), answer]).mean()))
    return float(grid[int(np.argmin(losses))])


def _softmax(x: Floats) -> Floats:
    y = np.exp(x - x.max())
    y /= y.sum()
    return y
