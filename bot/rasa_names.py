"""Names of Rasa's components, policies, recipes and importers that have no file here: what stands in, or why not.

Every other name of Rasa 3.6 is a file in bot/nlu or bot/policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StandIn:
    """What runs in place of a component (None: nothing has to), why, and the options that this leaves out."""

    name: str | None
    reason: str
    without: tuple[str, ...] = ()


_MITIE = "MITIE and its model file are not needed here"

STAND_INS: Mapping[str, StandIn] = {
    "MitieNLP": StandIn(None, _MITIE, ("model",)),
    "MitieTokenizer": StandIn("WhitespaceTokenizer", _MITIE),
    "MitieFeaturizer": StandIn("LanguageModelFeaturizer", _MITIE, ("pooling",)),
    "MitieIntentClassifier": StandIn("LogisticRegressionClassifier", _MITIE, ("num_threads",)),
    "MitieEntityExtractor": StandIn("CRFEntityExtractor", _MITIE, ("num_threads",)),
    "ConveRTFeaturizer": StandIn(
        "LanguageModelFeaturizer", "ConveRT's model was withdrawn, and runs in TensorFlow alone", ("model_url",)
    ),
}
"""Names of Rasa 3.6. A stand-in keeps the contract: the same kind of thing comes out of it."""

RENAMED: Mapping[str, str | None] = {
    "EmbeddingIntentClassifier": "DIETClassifier",
    "DucklingHTTPExtractor": "DucklingEntityExtractor",
    "ConveRTTokenizer": "WhitespaceTokenizer",
    "LanguageModelTokenizer": "WhitespaceTokenizer",
    "NGramFeaturizer": "CountVectorsFeaturizer",
    "HFTransformersNLP": None,
    "EmbeddingPolicy": "TEDPolicy",
    "KerasPolicy": "TEDPolicy",
    "SklearnPolicy": "TEDPolicy",
}
"""Names of Rasa 1 and 2 and what Rasa 3 has in their place (None: nothing); Rasa 3 refuses them, too."""

REMOVED: Mapping[str, str] = {
    "FallbackPolicy": "a FallbackClassifier in the pipeline, and a rule from nlu_fallback to the fallback action",
    "TwoStageFallbackPolicy": "a FallbackClassifier in the pipeline, and a rule from nlu_fallback to "
    "action_two_stage_fallback",
    "FormPolicy": "the RulePolicy",
    "MappingPolicy": "the RulePolicy, and a rule for each intent with 'triggers'",
}
"""Policies of Rasa 1 and 2, and what does their work in Rasa 3."""

RECIPE = "default.v1"
RECIPES: Mapping[str, str] = {
    "graph.v1": "it wires Rasa's own classes into a graph, and they are not here: write the components as "
    f"'pipeline' and the policies as 'policies', with `recipe: {RECIPE}`"
}
"""Recipes of Rasa that are refused."""

IMPORTERS: Mapping[str, str | None] = {
    "RasaFileImporter": None,
    "MultiProjectImporter": "one project's folder is read: put the others' files into its domain/ and data/",
}
"""Importers of Rasa: why one is refused, or None for the one that does what is done anyhow."""


def outdated(name: str) -> str | None:
    """What is wrong with a name of Rasa 1 or 2, and what to do; None for any other name."""
    if name in REMOVED:
        return f"{name} was removed in Rasa 3: what does its work is {REMOVED[name]}. Run: frontdesk migrate"
    if name in RENAMED:
        new = RENAMED[name]
        what = f"Rasa 3 has {new} in its place" if new else "LanguageModelFeaturizer does its work, too"
        return f"{name} is a name of Rasa 1 and 2: {what}. Change this line, or run: frontdesk migrate"
    return None
