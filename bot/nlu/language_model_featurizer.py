"""LanguageModelFeaturizer: the meaning of a whole text as one dense vector, from a sentence encoder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bot.errors import ConfigError, UnknownName
from bot.messages import Parse
from bot.nlu import gloss as chinese
from bot.nlu import minilm
from bot.nlu.features import Floats

log = logging.getLogger(__name__)

RASA_WEIGHTS = {
    "bert": "rasa/LaBSE",
    "gpt": "openai-gpt",
    "gpt2": "gpt2",
    "xlnet": "xlnet-base-cased",
    "distilbert": "distilbert-base-uncased",
    "roberta": "roberta-base",
    "camembert": "camembert-base",
}
"""What Rasa loads for a `model_name` without `model_weights`."""
MOST_KEPT = 64
"""Texts whose vectors are at hand: an open question is first understood, then looked up in the documents."""


class Encoder(Protocol):
    def encode(self, texts: Sequence[str]) -> Floats:
        """One row of length 1 per text."""


class LanguageModelFeaturizer:
    """`features["LanguageModelFeaturizer"]` (or `alias`): a float32 vector of length 1.

    `model` is all-MiniLM-L6-v2, which is part of the installation and runs in numpy, or the name or
    folder of any other encoder, which `transformers` loads: from this machine alone (`cache_dir`, or the
    usual cache), never from a network. The built-in model knows no Chinese and reads an English gloss
    instead; `gloss` says otherwise where another model wants it, or this one should not have it.
    `model_name` and `model_weights` are Rasa's words: where those weights are not on this machine, the
    built-in model stands in for them, and the log says so.
    """

    def __init__(
        self,
        *,
        model: str = minilm.NAME,
        gloss: bool | None = None,
        model_name: str | None = None,
        model_weights: str | None = None,
        cache_dir: str | None = None,
        alias: str | None = None,
        languages: Sequence[str] = ("en",),
        root: Path | None = None,
    ) -> None:
        if model_name and model_name not in RASA_WEIGHTS:
            raise UnknownName("model_name of LanguageModelFeaturizer", model_name, RASA_WEIGHTS)
        model = model_weights or RASA_WEIGHTS.get(model_name or "", model)
        self._may_stand_in = bool(model_weights or model_name)
        self._stands_in = False
        self.name = alias or "LanguageModelFeaturizer"
        self._is_built_in = model.rpartition("/")[2] == minilm.NAME
        self._gloss = gloss
        self._languages = tuple(languages)
        folder = (root or Path()) / model
        self._model = str(folder) if folder.is_dir() else model
        self._cache_dir = cache_dir
        self._encoder: Encoder | None = None
        # Replaced and never changed, so that two threads may read it.
        self._latest: dict[str, Floats] = {}

    def train(self, data: object, parses: Sequence[Parse]) -> None:
        """Nothing is learned; a missing encoder is told before the rest of the training."""
        self._load_encoder()

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse, row in zip(parses, self._encode([parse.text for parse in parses]), strict=True):
            parse.features[self.name] = row

    def vectors(self, texts: Sequence[str]) -> list[Floats]:
        """Those of texts alone. What `parse` has just read is at hand.

        The last bits of a vector depend on what was read beside it, so `parse` itself takes none from here.
        """
        kept = self._latest
        new = [text for text in texts if text not in kept]
        found = kept | dict(zip(new, self._encode(new), strict=True)) if new else kept
        return [found[text] for text in texts]

    def _encode(self, texts: Sequence[str]) -> list[Floats]:
        read = [chinese.gloss(text) if self._wants_gloss(text) else text for text in texts]
        new = list(dict.fromkeys(read))
        rows = dict(zip(new, self._load_encoder().encode(new), strict=True))
        if len(texts) <= MOST_KEPT:
            latest = {text: rows[as_read] for text, as_read in zip(texts, read, strict=True)}
            self._latest = {**self._latest, **latest} if len(self._latest) < MOST_KEPT else latest
        return [rows[as_read] for as_read in read]

    def save(self, folder: Path) -> None:
        """The encoder is part of the installation, not of the trained model; that one stood in for it is kept."""
        (folder / "encoder.json").write_text(json.dumps({"stands_in": self._stands_in}), encoding="utf-8")

    def load(self, folder: Path) -> None:
        # The classifiers know the vectors of the encoder they were trained with, and of no other.
        if json.loads((folder / "encoder.json").read_text(encoding="utf-8"))["stands_in"]:
            self._stand_in()
        self._may_stand_in = False
        self._load_encoder()

    def warm_up(self) -> None:
        """A second's work that the first Chinese customer would otherwise wait for."""
        if self._glosses() and any(language.startswith("zh") for language in self._languages):
            chinese.warm()

    def _wants_gloss(self, text: str) -> bool:
        return self._glosses() and chinese.has_chinese(text)

    def _glosses(self) -> bool:
        return self._is_built_in if self._gloss is None else self._gloss

    def _load_encoder(self) -> Encoder:
        if self._encoder is None:
            try:
                self._encoder = minilm.MiniLM() if self._is_built_in else _HubEncoder(self._model, self._cache_dir)
            except ConfigError as error:
                if not self._may_stand_in:
                    raise
                log.warning("%s. Until then, %s stands in for it", error.message, minilm.NAME)
                self._stand_in()
                self._encoder = minilm.MiniLM()
        return self._encoder

    def _stand_in(self) -> None:
        self._stands_in = self._is_built_in = True


class _HubEncoder:
    """Any encoder that `transformers` can load: the mean of its last layer over the words of a text."""

    def __init__(self, model: str, cache_dir: str | None) -> None:
        # Read when transformers is imported: without it, every start asks the network for news.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, cache_dir=cache_dir, local_files_only=True)
            found = AutoModel.from_pretrained(model, cache_dir=cache_dir, local_files_only=True, use_safetensors=True)
            self._model = found.eval()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"LanguageModelFeaturizer: the encoder '{model}' is not on this machine. Download it once "
                f"(hf download {model}), name its folder, or leave it out for {minilm.NAME}"
            ) from error
        self._torch = torch

    def encode(self, texts: Sequence[str]) -> Floats:
        rows = [self._encode(texts[start : start + 32]) for start in range(0, len(texts), 32)]
        return np.concatenate(rows) if rows else np.zeros((0, int(self._model.config.hidden_size)), np.float32)

    def _encode(self, texts: Sequence[str]) -> Floats:
        words = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=minilm.MOST_WORDS, return_tensors="pt"
        )
        with self._torch.inference_mode():
            hidden = self._model(**words).last_hidden_state  # (texts, words, width)
        there = words["attention_mask"].unsqueeze(-1)
        pooled = (hidden * there).sum(1)  # (texts, width)
        rows: Floats = self._torch.nn.functional.normalize(pooled, dim=1).float().numpy()
        return rows
