"""What featurizers leave in `Parse.features`, and classifiers read: one vector per text and featurizer.

`Parse.features` maps a featurizer's name to a `Sparse`, or to a dense vector (a one-dimensional numpy
array of float32). Anything else under another name (say, of single words) is for whoever put it there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.messages import Parse

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Sparse:
    """A vector of `size` numbers, zero but at `indices`. `known` is the share of the text that the
    featurizer had seen in training (0…1): how far what is there can be trusted."""

    indices: Indices
    values: Floats
    size: int
    known: float = 1.0


def sparse_names(parses: Sequence[Parse], wanted: Collection[str] = ()) -> list[str]:
    """The featurizers that left a `Sparse` in the first parse, in order; only those wanted, if any are."""
    return _names(parses, Sparse, wanted)


def dense_names(parses: Sequence[Parse], wanted: Collection[str] = ()) -> list[str]:
    """The featurizers that left a dense vector in the first parse, in order."""
    return _names(parses, np.ndarray, wanted)


def _names(parses: Sequence[Parse], kind: type, wanted: Collection[str]) -> list[str]:
    features = parses[0].features if parses else {}
    return [name for name, value in features.items() if isinstance(value, kind) and (not wanted or name in wanted)]


def joined(parse: Parse, names: Sequence[str]) -> tuple[Indices, Floats]:
    """The sparse vectors of several featurizers end to end, as one: (indices, values)."""
    offset = 0
    indices, values = [], []
    for name in names:
        feature: Sparse = parse.features[name]
        indices.append(feature.indices + offset if offset else feature.indices)
        values.append(feature.values)
        offset += feature.size
    if not indices:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    return np.concatenate(indices), np.concatenate(values)
