"""SpacyFeaturizer: a text as one dense vector, from the word vectors of the model that SpacyNLP loads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from bot.errors import ConfigError
from bot.messages import Parse
from bot.nlu.features import Floats

log = logging.getLogger(__name__)


class SpacyFeaturizer:
    """`features["SpacyFeaturizer"]` (or `alias`): the mean or the maximum (`pooling`) of the words' vectors.

    Scaled to length 1, as the classifiers expect; zeros for a text of unknown words. A model without word vectors
    (spaCy's small ones) gives no feature, as in Rasa.
    """

    def __init__(self, *, pooling: str = "mean", alias: str | None = None) -> None:
        if pooling not in ("mean", "max"):
            raise ConfigError(f"SpacyFeaturizer: pooling is 'mean' or 'max', not '{pooling}'")
        self._pool = np.mean if pooling == "mean" else np.max
        self._name = alias or "SpacyFeaturizer"
        self._told = False

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            doc = parse.features.get("SpacyNLP")
            if doc is None:
                raise ConfigError(
                    "SpacyFeaturizer needs a spaCy model with word vectors: put `- name: SpacyNLP` with "
                    "`model: en_core_web_md` before it, after python -m spacy download en_core_web_md"
                )
            if doc.vocab.vectors_length:
                parse.features[self._name] = self._vector(doc)
            elif not self._told:
                log.warning(
                    "SpacyFeaturizer: the spaCy model has no word vectors and gives no features; take a _md one"
                )
                self._told = True

    def _vector(self, doc: Any) -> Floats:
        rows = [token.vector for token in doc if not token.is_space]
        if not rows:
            return np.zeros(doc.vocab.vectors_length, np.float32)
        pooled: Floats = self._pool(np.stack(rows), axis=0).astype(np.float32)  # (width,)
        length = float(np.linalg.norm(pooled))
        return pooled / length if length else pooled
