"""What the configuration, the domain as a whole and the tests leave without effect."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.component_config import options_without_effect
from bot.domain import NOWHERE
from bot.errors import Source, suggest
from bot.registry import load_class, short_name
from bot.validation.finding import Finding, error, raised, warning
from bot.yaml_file import shown

if TYPE_CHECKING:
    from bot.project import Project

_LEARN_ENTITIES = {"DIETClassifier", "CRFEntityExtractor", "MitieEntityExtractor"}
_LEARN_STORIES = {"MemoizationPolicy", "AugmentedMemoizationPolicy", "TEDPolicy"}


def check_pipeline(project: Project) -> Iterator[Finding]:
    """Data that no component of the pipeline learns from."""
    names = {short_name(one.name) for one in project.config.pipeline}
    if any("." in one.name or ":" in one.name for one in project.config.pipeline):
        # What a component of the project's own learns from is not known.
        return
    data = project.data
    annotated = next((example for example in data.examples if example.entities), None)
    if annotated and not names & _LEARN_ENTITIES and "RegexEntityExtractor" not in names:
        message = "entities are annotated, and no component of the pipeline learns them: add CRFEntityExtractor"
        yield warning("pipeline", message, annotated.source)
    labelled = next((one for one in data.examples if any(entity.role or entity.group for entity in one.entities)), None)
    if labelled and "RegexEntityExtractor" in names and not names & {"DIETClassifier", "CRFEntityExtractor"}:
        message = "roles and groups are annotated, and no component learns them: add CRFEntityExtractor"
        yield warning("pipeline", message, labelled.source)
    regex = names & {"RegexFeaturizer", "RegexEntityExtractor"}
    for kind, listed in (("regular expressions", data.patterns), ("lookup tables", data.lookups)):
        if listed and not regex:
            message = f"there are {kind}, and no component reads them: add RegexFeaturizer or RegexEntityExtractor"
            yield warning("pipeline", message, listed[0].source)
    if data.synonyms and "EntitySynonymMapper" not in names:
        message = "there are synonyms, and no component uses them: add EntitySynonymMapper to the pipeline"
        yield warning("pipeline", message, _pipeline_place(project))
    retrieval = next((example for example in data.examples if "/" in example.intent), None)
    if retrieval and "ResponseSelector" not in names:
        message = f"'{retrieval.intent}' is a retrieval intent, and nothing chooses its answer: add ResponseSelector"
        yield error("pipeline", message, retrieval.source)
    both = names & {"DIETClassifier", "CRFEntityExtractor"}
    diet = next((one for one in project.config.pipeline if short_name(one.name) == "DIETClassifier"), None)
    if annotated and len(both) > 1 and diet and diet.options.get("entity_recognition", True):
        message = "DIETClassifier and CRFEntityExtractor learn the same entities, which may then be found twice"
        yield warning("pipeline", message, diet.source)


def _pipeline_place(project: Project) -> Source:
    return next((one.source for one in project.config.pipeline), NOWHERE)


def check_policies(project: Project) -> Iterator[Finding]:
    """Stories or rules that no policy learns."""
    names = {short_name(one.name) for one in project.config.policies}
    if any("." in one.name or ":" in one.name for one in project.config.policies):
        return
    if project.rules and "RulePolicy" not in names:
        message = "there are rules, and no policy learns them: add RulePolicy to 'policies' in config.yml"
        yield error("policies", message, project.rules[0].source)
    if project.stories and not names & _LEARN_STORIES:
        message = "there are stories, and no policy learns them: add MemoizationPolicy to 'policies' in config.yml"
        yield error("policies", message, project.stories[0].source)
    first: dict[object, str] = {}
    for policy in project.config.policies:
        options = inspect.signature(load_class("policy", policy.name, policy.source)).parameters
        priority = policy.options.get("priority", options["priority"].default if "priority" in options else None)
        other = first.setdefault(priority, policy.name)
        if priority is not None and other != policy.name:
            message = f"{policy.name} and {other} have the same priority, {priority}: give one of them another"
            yield warning("policies", message, policy.source)


def check_components(project: Project) -> list[Finding]:
    """Components that cannot be made, or not in this order."""
    from bot.training import untrained_pipeline

    return raised("pipeline", lambda: untrained_pipeline(project))


def check_options(project: Project) -> Iterator[Finding]:
    """Options of Rasa's that change nothing here, all in one line."""
    idle = options_without_effect(project.config.pipeline, project.config.policies)
    if idle:
        listed = ", ".join(f"{key} ({', '.join(owners)})" for key, owners in idle.items())
        message = f"options of Rasa's that are accepted, and change nothing here: {listed}"
        yield warning("options", message, Source(shown(project.root / "config.yml")))


def check_domain(project: Project) -> Iterator[Finding]:
    """A domain that says nothing, sessions that never end, intents with and without an entity."""
    domain = project.domain
    if not (domain.intents or domain.responses or domain.actions or domain.forms or domain.entities):
        yield warning("domain", "the domain is empty: messages are understood, and none is answered", NOWHERE)
    session = domain.session
    if not session.expiration_minutes and not session.carry_over_slots:
        message = "sessions never end (`session_expiration_time: 0`), so that slots are carried over whatever is set"
        yield warning("session", message, session.source)
    elif 0 < session.expiration_minutes < 1:
        message = f"a session ends after {session.expiration_minutes} minutes of silence: the unit is a minute"
        yield warning("session", message, session.source)
    for intent in domain.intents.values():
        both = sorted(set(intent.use_entities or ()) & set(intent.ignore_entities or ()))
        if both:
            message = f"intent '{intent.name}' both uses and ignores the entity '{both[0]}': it is ignored"
            yield warning("intent-entities", message, intent.source)
        for name in (*(intent.use_entities or ()), *(intent.ignore_entities or ())):
            if name.partition("#")[0] not in domain.entities:
                message = f"intent '{intent.name}' names the entity '{name}', which the domain does not have."
                yield warning("intent-entities", f"{message}{suggest(name, domain.entities)}", intent.source)


def check_tests(project: Project) -> list[Finding]:
    """Test files that cannot be read."""
    from bot.evaluation import read_tests

    return raised("test", lambda: read_tests(project))
