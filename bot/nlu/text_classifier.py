"""From the features of a text to labels with confidences: what the intent classifiers and the response
selector share."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from bot.messages import Intent, Parse
from bot.nlu import linear_model
from bot.nlu.features import Floats, dense_names, joined, sparse_names
from bot.nlu.linear_model import LinearModel

# How much a dense vector counts beside a sparse one of the same length: found on BANKING77.
DENSE_WEIGHT = np.float32(2)
MOST_REFERENCES = 2000
# A text of which less is known than this share is only guessed at: found on CLINC150. An encoder reads
# words that the examples lack, but not noise, and not a text without any letter or digit.
ENOUGH_KNOWN = 0.6
ENOUGH_KNOWN_WITH_ENCODER = 0.25


class TextClassifier:
    """A linear model over all features (or those of `featurizers`), doubted where a text is unlike the examples.

    A linear model is sure far from everything it has seen. So its confidence is multiplied by how familiar
    the text is: by its nearest example in the encoder's space and by the share of its n-grams that were
    ever seen in its language. Confidences then add up to less than 1; the rest is "none of these".
    """

    def __init__(self, featurizers: Collection[str] = ()) -> None:
        self._featurizers = tuple(featurizers)
        self._sparse_names: list[str] = []
        self._dense_names: list[str] = []
        self._encoder_name: str | None = None
        self._references: Floats = np.zeros((0, 0), np.float32)  # (examples, width), rows of length 1
        self._usually_near = 0.0
        self._languages: list[str | None] = [None]
        self._model: LinearModel | None = None

    def train(self, parses: Sequence[Parse], labels: Sequence[str], *, seed: int) -> None:
        """Learn that `parses[i]` is `labels[i]`. Without any text there is nothing to tell afterwards."""
        if not parses:
            return
        self._sparse_names = sparse_names(parses, self._featurizers)
        self._dense_names = dense_names(parses, self._featurizers)
        self._model = linear_model.train(
            [joined(parse, self._sparse_names) for parse in parses],
            np.stack([self._dense(parse) for parse in parses]),
            labels,
            sparse_size=sum(parses[0].features[name].size for name in self._sparse_names),
            seed=seed,
        )
        # Of a language that has no example here, an encoder may know what no n-gram can.
        self._languages = [None, *sorted({parse.language for parse in parses if parse.language})]
        self._encoder_name = next((name for name in self._dense_names if _is_encoder(parses, name)), None)
        if self._encoder_name:
            chosen = np.random.default_rng(seed).permutation(len(parses))[:MOST_REFERENCES]
            self._references = np.stack([parses[i].features[self._encoder_name] for i in chosen])
            near = self._references @ self._references.T
            np.fill_diagonal(near, -1)
            # Nine of ten examples are at least as near to their nearest neighbour as this.
            self._usually_near = float(np.quantile(near.max(axis=1), 0.1)) if len(near) > 1 else 1.0

    def rank(self, parse: Parse) -> list[Intent]:
        """All labels, surest first; none for an empty text."""
        if self._model is None or not parse.text.strip():
            return []
        confidences = self._model.confidences(joined(parse, self._sparse_names), self._dense(parse))
        confidences *= np.float32(self._familiarity(parse))
        order = np.argsort(-confidences, kind="stable").tolist()
        return [Intent(self._model.labels[number], float(confidences[number])) for number in order]

    def save(self, folder: Path) -> None:
        content = {
            "trained": self._model is not None,
            "sparse": self._sparse_names,
            "dense": self._dense_names,
            "encoder": self._encoder_name,
            "usually_near": self._usually_near,
            "languages": self._languages,
        }
        (folder / "features.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        if self._model:
            self._model.save(folder)
        if self._encoder_name:
            from safetensors.numpy import save_file

            save_file({"references": self._references}, folder / "references.safetensors")

    def load(self, folder: Path) -> None:
        content = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        self._sparse_names, self._dense_names = content["sparse"], content["dense"]
        self._encoder_name, self._usually_near = content["encoder"], content["usually_near"]
        self._languages = content["languages"]
        self._model = LinearModel.load(folder) if content["trained"] else None
        if self._encoder_name:
            from safetensors.numpy import load_file

            self._references = load_file(folder / "references.safetensors")["references"]

    def _dense(self, parse: Parse) -> Floats:
        if not self._dense_names:
            return np.zeros(0, np.float32)
        out: Floats = np.concatenate([parse.features[name] for name in self._dense_names])
        return out * DENSE_WEIGHT

    def _familiarity(self, parse: Parse) -> float:
        """0…1: how much the text is like what the model has seen."""
        has_words = any(char.isalnum() for char in parse.text)
        enough = ENOUGH_KNOWN_WITH_ENCODER if self._encoder_name and has_words else ENOUGH_KNOWN
        familiarity = 1.0
        if self._sparse_names and (parse.language in self._languages or not self._encoder_name):
            share = sum(parse.features[name].known for name in self._sparse_names) / len(self._sparse_names)
            familiarity = min(1.0, share / enough)
        if self._encoder_name and self._usually_near > 0:
            nearest = float((self._references @ parse.features[self._encoder_name]).max())
            familiarity *= min(1.0, max(0.0, nearest) / self._usually_near) ** 2
        return familiarity


def _is_encoder(parses: Sequence[Parse], name: str) -> bool:
    """An encoder's vectors always have length 1, which a vector of pattern matches has not."""
    lengths = np.array([float(parse.features[name] @ parse.features[name]) for parse in parses])
    return bool(np.abs(lengths - 1).max() < 1e-3)
