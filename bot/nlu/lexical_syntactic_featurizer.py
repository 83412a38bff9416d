"""Accepts Rasa's options for the look of words, which the entity extractor reads by itself here."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import ConfigError, UnknownName
from bot.messages import Parse

KNOWN_FEATURES = (
    "BOS", "EOS", "low", "title", "upper", "digit", "prefix2", "prefix5",
    "suffix1", "suffix2", "suffix3", "suffix5", "pos", "pos2",
)  # fmt: skip


class LexicalSyntacticFeaturizer:
    """Names the features of the token before, the token itself and the token after (any odd number of lists).

    Puts them into `features["LexicalSyntacticFeaturizer"]`, for a CRFEntityExtractor that names no
    features of its own: it adds them to those it always has.
    """

    passes_over = ("alias",)

    def __init__(self, *, features: Sequence[Sequence[str]] | None = None) -> None:
        self._features = tuple(tuple(names) for names in features or ())
        check_features("LexicalSyntacticFeaturizer", self._features, KNOWN_FEATURES)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.features["LexicalSyntacticFeaturizer"] = self._features


def check_features(component: str, features: Sequence[Sequence[str]], known: Sequence[str]) -> None:
    """ConfigError unless `features` is an odd number of lists (a window around a token) of known names."""
    if features and len(features) % 2 == 0:
        raise ConfigError(
            f"{component}: features needs an odd number of lists (before, the token, after), not {len(features)}"
        )
    for names in features:
        for name in names:
            if name not in known:
                raise UnknownName(f"feature of {component}", str(name), known)
