"""spaCy, imported lightly and shared: blank pipelines for tokenizers, trained ones by name."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

from bot.errors import ConfigError
from bot.messages import Parse

_importing = threading.Lock()


class _NoTorchHere:
    """An import hook that hides torch from one thread; see `import_spacy`."""

    def __init__(self, thread: int) -> None:
        self._thread = thread

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torch" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError("torch is hidden while spaCy is imported", name="torch")


def import_spacy() -> ModuleType:
    """Import spaCy, without torch unless torch is there already.

    thinc, below spaCy, imports torch when it can: 2.5 s and 276 MB instead of 0.8 s and 95 MB, for
    nothing that tokenizers, matchers and spaCy's own (CPU) models use. thinc takes an ImportError as
    "no torch". The hook answers in the importing thread alone, so another thread may import torch.
    """
    with _importing:
        if "spacy" in sys.modules or "torch" in sys.modules:
            return importlib.import_module("spacy")
        hook = _NoTorchHere(threading.get_ident())
        sys.meta_path.insert(0, hook)
        try:
            return importlib.import_module("spacy")
        finally:
            sys.meta_path.remove(hook)


@cache
def blank_pipeline(language: str) -> Any:
    """spaCy's rules for `language` (`en`, `de`…), its multi-language ones where it has none of its own."""
    spacy = import_spacy()
    try:
        return spacy.blank(language)
    except ImportError:
        return spacy.blank("xx")


@cache
def trained_pipeline(model: str) -> Any:
    """The installed spaCy model of that name; ConfigError says how to install it."""
    # A transformer model needs torch, and thinc must have seen it.
    spacy = importlib.import_module("spacy") if model.endswith("_trf") else import_spacy()
    try:
        return spacy.load(model)
    except OSError as error:
        raise ConfigError(
            f"the spaCy model '{model}' is not installed: python -m spacy download {model}, "
            "or take SpacyNLP out of the pipeline (SpacyTokenizer works without it)"
        ) from error


class SpacyNLP:
    """Names the spaCy model whose entities SpacyEntityExtractor reads; runs it once per text.

    Without `model`, nothing is loaded: SpacyTokenizer needs no trained model. Texts are read as they are written.
    """

    passes_over = ("case_sensitive",)

    def __init__(self, *, model: str | None = None) -> None:
        self._pipeline = trained_pipeline(model) if model else None

    def parse(self, parses: Sequence[Parse]) -> None:
        if self._pipeline is not None:
            for parse, doc in zip(parses, self._pipeline.pipe([parse.text for parse in parses]), strict=True):
                parse.features["SpacyNLP"] = doc
