"""config.yml of Rasa 1 and 2 in the form of 3: renamed components, and rules in place of the old policies."""

from __future__ import annotations

from typing import Any

from bot.errors import Source
from bot.migration.log import Log
from bot.migration.yaml_text import YamlText
from bot.rasa_names import RECIPE, RENAMED, TEMPLATES
from bot.registry import short_name
from bot.yaml_file import YamlList, YamlMap, plain

INTENTS_ALONE = ("EmbeddingIntentClassifier", "intent_classifier_tensorflow_embedding")
"""Classifiers whose successor would find entities, too."""
FALLBACKS = ("FallbackPolicy", "TwoStageFallbackPolicy")
_OF_POLICIES_OF_RASA_1 = ("featurizer", "state_featurizer")
_THRESHOLDS = {"nlu_threshold": "threshold", "ambiguity_threshold": "ambiguity_threshold"}
_FIXED_IN_RASA_3 = {
    "deny_suggestion_intent_name": "out_of_scope",
    "fallback_nlu_action_name": "action_default_fallback",
}
_OF_CORE = {
    "core_threshold": "core_fallback_threshold",
    "fallback_action_name": "core_fallback_action_name",
    "fallback_core_action_name": "core_fallback_action_name",
}


def migrate_config(content: YamlMap, text: YamlText, log: Log, *, needs_rules: bool) -> list[dict[str, Any]]:
    """Write the changes into `text`; the rules that are needed instead of what was taken out."""
    _pipeline(content, text, log)
    rules = _policies(content, text, log, needs_rules=needs_rules)
    if "recipe" not in content and (text.is_changed or log.changes):
        text.put("recipe", RECIPE, first=True)
        log.changed(content.source, "no recipe", f"recipe: {RECIPE}")
    return rules


def _pipeline(content: YamlMap, text: YamlText, log: Log) -> None:
    pipeline = content.get("pipeline")
    if isinstance(pipeline, str) and pipeline in TEMPLATES:
        text.replace(("pipeline",), TEMPLATES[pipeline])
        log.changed(content.sources["pipeline"], f"pipeline: {pipeline}", "the components that this meant")
        return
    if not isinstance(pipeline, YamlList):
        return
    names = [_name(item) for item in pipeline]
    has_tokenizer = False
    for number, (item, name) in enumerate(zip(pipeline, names, strict=True)):
        source = pipeline.sources[number]
        new = RENAMED.get(name, name)
        is_second_tokenizer = bool(new and new.endswith("Tokenizer") and has_tokenizer)
        has_tokenizer = has_tokenizer or bool(new and new.endswith("Tokenizer"))
        options = _options(item)
        takes_over = name == "LanguageModelFeaturizer" and "HFTransformersNLP" in names
        if takes_over:
            options = {**_options(pipeline[names.index("HFTransformersNLP")]), **options}
        elif name not in RENAMED:
            continue
        if new is None or is_second_tokenizer:
            text.remove(("pipeline", number))
            log.changed(source, name, "left out: another component does its work")
        else:
            if takes_over:
                text.replace(("pipeline", number), {"name": new, **options})
            else:
                _rename(text, ("pipeline", number), item, new)
            if name in INTENTS_ALONE and "entity_recognition" not in options:
                text.append(("pipeline", number), {"entity_recognition": False})
            log.changed(source, name, f"{new} with the options of HFTransformersNLP" if takes_over else new)


def _policies(content: YamlMap, text: YamlText, log: Log, *, needs_rules: bool) -> list[dict[str, Any]]:
    policies = content.get("policies")
    if not isinstance(policies, YamlList):
        return []
    names = [_name(item) for item in policies]
    needs_rules = needs_rules or any(name in ("FormPolicy", "MappingPolicy", *FALLBACKS) for name in names)
    kept = [name for name in names if name not in RENAMED]
    rules: list[dict[str, Any]] = []
    rule_policy: dict[str, Any] = {"name": "RulePolicy"}
    for number, (item, name) in enumerate(zip(policies, names, strict=True)):
        source = policies.sources[number]
        options = _options(item)
        if name in ("FormPolicy", "MappingPolicy"):
            text.remove(("policies", number))
            log.changed(source, name, "RulePolicy")
        elif name in FALLBACKS:
            text.remove(("policies", number))
            log.changed(source, name, "FallbackClassifier, RulePolicy and a rule for nlu_fallback")
            rule_policy |= {new: options[old] for old, new in _OF_CORE.items() if old in options}
            _fallback_classifier(content, text, log, source, options)
            rules.append(_fallback_rule(name, options))
            for key, default in _FIXED_IN_RASA_3.items():
                if options.get(key, default) != default:
                    log.left(source, f"'{key}' has no place in Rasa 3, where it is always {default}")
        elif name in RENAMED:
            new = RENAMED[name]
            if new in kept:
                text.remove(("policies", number))
                log.changed(source, name, f"left out: {new} is there")
            else:
                kept.append(str(new))
                own = {key: options[key] for key in ("max_history", "epochs") if key in options}
                text.replace(("policies", number), {"name": new, **own})
                log.changed(source, name, str(new))
        elif any(key in options for key in _OF_POLICIES_OF_RASA_1):
            new_options = {key: value for key, value in options.items() if key not in _OF_POLICIES_OF_RASA_1}
            text.replace(("policies", number), {"name": name, **new_options})
            log.changed(source, f"{name}: its own featurizer", "Rasa 3's")
    if "RulePolicy" in names:
        number = names.index("RulePolicy")
        new_options = {**rule_policy, **_options(policies[number])}
        if len(rule_policy) > 1:
            text.replace(("policies", number), new_options)
    elif needs_rules:
        text.append(("policies",), rule_policy)
        log.changed(content.sources["policies"], "no RulePolicy", "RulePolicy")
    return rules


def _fallback_classifier(content: YamlMap, text: YamlText, log: Log, source: Source, options: dict[str, Any]) -> None:
    pipeline = content.get("pipeline")
    if "FallbackClassifier" in [
        _name(item) for item in text.value.get("pipeline") or () if isinstance(item, dict | str)
    ]:
        return
    thresholds = {new: options[old] for old, new in _THRESHOLDS.items() if old in options}
    if isinstance(pipeline, YamlList) or isinstance(text.value.get("pipeline"), list):
        text.append(("pipeline",), {"name": "FallbackClassifier", **thresholds})
    else:
        message = "without a 'pipeline', Rasa's own has the FallbackClassifier, with a threshold of 0.3"
        log.left(source, message)


def _fallback_rule(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a policy did with a message that the pipeline is unsure about."""
    if name == "TwoStageFallbackPolicy":
        action = "action_two_stage_fallback"
        steps = [{"intent": "nlu_fallback"}, {"action": action}, {"active_loop": action}]
        return {"rule": "Ask again when a message is not understood", "steps": steps}
    action = options.get("fallback_action_name", "action_default_fallback")
    return {
        "rule": "Fall back when a message is not understood",
        "steps": [{"intent": "nlu_fallback"}, {"action": action}],
    }


def _rename(text: YamlText, path: tuple[str, int], item: Any, new: str) -> None:
    if isinstance(item, YamlMap):
        text.reword((*path, "name"), new)
    else:
        text.replace(path, {"name": new})


def _options(item: Any) -> dict[str, Any]:
    return {key: plain(value) for key, value in item.items() if key != "name"} if isinstance(item, YamlMap) else {}


def _name(item: Any) -> str:
    name = item if isinstance(item, str) else item.get("name") if isinstance(item, dict) else None
    return short_name(str(name or ""))
