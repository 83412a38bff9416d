"""Names of Rasa's components, policies, recipes and importers that have no file here: what stands in, or why not.

Every other name of Rasa 3.6 is a file in bot/nlu or bot/policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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

FROM_ENVIRONMENT: Mapping[str, tuple[str, str]] = {"DucklingEntityExtractor": ("url", "RASA_DUCKLING_HTTP_URL")}
"""Options that the environment overrules, as in Rasa, and the name there."""

RENAMED: Mapping[str, str | None] = {
    "EmbeddingIntentClassifier": "DIETClassifier",
    "DucklingHTTPExtractor": "DucklingEntityExtractor",
    "ConveRTTokenizer": "WhitespaceTokenizer",
    "LanguageModelTokenizer": "WhitespaceTokenizer",
    "NGramFeaturizer": "CountVectorsFeaturizer",
    "HFTransformersNLP": None,
    "nlp_spacy": "SpacyNLP",
    "nlp_mitie": "MitieNLP",
    "tokenizer_whitespace": "WhitespaceTokenizer",
    "tokenizer_jieba": "JiebaTokenizer",
    "tokenizer_spacy": "SpacyTokenizer",
    "tokenizer_mitie": "MitieTokenizer",
    "intent_entity_featurizer_regex": "RegexFeaturizer",
    "intent_featurizer_count_vectors": "CountVectorsFeaturizer",
    "intent_featurizer_ngrams": "CountVectorsFeaturizer",
    "intent_featurizer_spacy": "SpacyFeaturizer",
    "intent_featurizer_mitie": "MitieFeaturizer",
    "intent_classifier_keyword": "KeywordIntentClassifier",
    "intent_classifier_mitie": "MitieIntentClassifier",
    "intent_classifier_sklearn": "SklearnIntentClassifier",
    "intent_classifier_tensorflow_embedding": "DIETClassifier",
    "ner_crf": "CRFEntityExtractor",
    "ner_duckling_http": "DucklingEntityExtractor",
    "ner_mitie": "MitieEntityExtractor",
    "ner_spacy": "SpacyEntityExtractor",
    "ner_synonyms": "EntitySynonymMapper",
    "EmbeddingPolicy": "TEDPolicy",
    "KerasPolicy": "TEDPolicy",
    "SklearnPolicy": "TEDPolicy",
}
"""Names of Rasa 1 and 2 and what Rasa 3 has in their place (None: nothing); Rasa 3 refuses them, too."""

TEMPLATES: Mapping[str, list[dict[str, Any]]] = {
    "supervised_embeddings": [
        {"name": "WhitespaceTokenizer"},
        {"name": "RegexFeaturizer"},
        {"name": "CRFEntityExtractor"},
        {"name": "EntitySynonymMapper"},
        {"name": "CountVectorsFeaturizer"},
        {"name": "CountVectorsFeaturizer", "analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4},
        {"name": "DIETClassifier", "entity_recognition": False},
    ],
    "pretrained_embeddings_spacy": [
        {"name": "SpacyNLP", "model": "en_core_web_md"},
        {"name": "SpacyTokenizer"},
        {"name": "SpacyFeaturizer"},
        {"name": "RegexFeaturizer"},
        {"name": "CRFEntityExtractor"},
        {"name": "EntitySynonymMapper"},
        {"name": "SklearnIntentClassifier"},
    ],
    "pretrained_embeddings_convert": [
        {"name": "WhitespaceTokenizer"},
        {"name": "ConveRTFeaturizer"},
        {"name": "DIETClassifier", "entity_recognition": False},
    ],
}
"""Pipelines of Rasa 1 that were a name."""

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
