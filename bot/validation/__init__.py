"""What can be said about a project without training it: names that lead nowhere, and things never used.

`check_…` find mistakes while a project is read; `validate` adds what training would find (contradictions)
and what is merely suspicious.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.domain import DEFAULT_ACTIONS, DEFAULT_INTENTS, Domain
from bot.errors import ConfigError, DataError, FrontdeskError, ProjectErrors, Source, suggest
from bot.training_data import (
    ActionStep,
    CheckpointStep,
    Example,
    LoopStep,
    OrStep,
    Rule,
    SlotStep,
    Step,
    Story,
    UserStep,
)
from bot.yaml_file import Problems, shown

if TYPE_CHECKING:
    from bot.project import Project

_NOWHERE = Source("")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that validation has to say; `severity` is error or warning."""

    severity: str
    message: str
    source: Source

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.severity, str(self.source), self.message)))


def check_dialogues(dialogues: Sequence[Story | Rule], domain: Domain, problems: Problems) -> None:
    """Every intent, action, slot and form that a story or rule names is the domain's."""
    intents = (*domain.intents, *DEFAULT_INTENTS)
    actions = known_actions(domain)
    retrieval = {name.split("/")[0] for name in domain.responses if "/" in name}
    known = {
        "intent": intents,
        "slot": tuple(domain.slots),
        "form": (*domain.forms, "action_two_stage_fallback"),
        "entity": tuple(domain.entities),
    }
    for dialogue in dialogues:
        where = f"{'rule' if isinstance(dialogue, Rule) else 'story'} '{dialogue.name}'"
        conditions = dialogue.condition if isinstance(dialogue, Rule) else ()
        for step in _flat((*conditions, *dialogue.steps)):
            for kind, name in _names(step):
                if kind == "action":
                    if name not in actions and name not in retrieval:
                        # Rasa refuses to train here, too.
                        message = (
                            f"{where} uses the action '{name}', which the domain does not have.{suggest(name, actions)}"
                        )
                        problems.add(message, step.source)
                elif name not in known[kind]:
                    message = (
                        f"{where} uses the {kind} '{name}', which the domain does not have.{suggest(name, known[kind])}"
                    )
                    # Rasa warns of an unknown intent or entity, and refuses the others.
                    tell = problems.doubt if kind in ("intent", "entity") else problems.add
                    tell(message, step.source)


def known_actions(domain: Domain) -> tuple[str, ...]:
    return (*domain.actions, *domain.responses, *domain.forms, *DEFAULT_ACTIONS)


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, OrStep):
            yield from step.choices
        elif isinstance(step, CheckpointStep):
            yield from step.slots
        else:
            yield step


def _names(step: Step) -> Iterator[tuple[str, str]]:
    match step:
        case UserStep(intent=intent, entities=entities):
            if intent:
                yield "intent", intent.split("/")[0]
            for entity in entities:
                yield "entity", entity.entity
        case ActionStep(name=str(name)):
            yield "action", name
        case SlotStep(name=name):
            yield "slot", name
        case LoopStep(name=str(name)):
            yield "form", name
        case _:
            pass


def check_examples(examples: Sequence[Example], domain: Domain, problems: Problems) -> None:
    """Every intent with examples is the domain's, told once for each."""
    told: set[str] = set()
    for example in examples:
        intent = example.intent.split("/")[0]
        if intent and intent not in domain.intents and intent not in DEFAULT_INTENTS and intent not in told:
            told.add(intent)
            hint = suggest(intent, domain.intents)
            message = f"there are examples for the intent '{intent}', which the domain does not have.{hint}"
            problems.doubt(message, example.source)


# ---- the whole project ---------------------------------------------------------------------------


def validate(project: Project) -> list[Finding]:
    """All that there is to say about a project that could be read, in the order of its files."""
    findings = [Finding("warning", error.message, error.source or _NOWHERE) for error in project.warnings]
    findings += _contradictions(project)
    for check in (_actions, _components, _examples, _questions, _unused, _tests):
        findings += check(project)
    return sorted(findings, key=lambda finding: (finding.source, finding.severity, finding.message))


def _found(check: Callable[[], object]) -> list[Finding]:
    """The errors that `check` raises."""
    try:
        check()
    except ProjectErrors as errors:
        return [Finding("error", error.message, error.source or _NOWHERE) for error in errors.errors]
    except (DataError, ConfigError) as error:
        return [Finding("error", error.message, error.source or _NOWHERE)]
    except FrontdeskError as error:
        return [Finding("error", str(error), _NOWHERE)]
    return []


def _contradictions(project: Project) -> list[Finding]:
    """What the policies find when they learn the dialogues."""
    from bot.training import learn_dialogues

    return _found(lambda: learn_dialogues(project))


def _components(project: Project) -> list[Finding]:
    """Components that cannot be made, and in one line all options that are accepted and change nothing."""
    from bot.component_config import options_without_effect
    from bot.training import untrained_pipeline

    findings = _found(lambda: untrained_pipeline(project))
    idle = options_without_effect(project.config.pipeline, project.config.policies)
    if idle:
        listed = ", ".join(f"{key} ({', '.join(owners)})" for key, owners in idle.items())
        message = f"options of Rasa's that are accepted, and change nothing here: {listed}"
        findings.append(Finding("warning", message, Source(shown(project.root / "config.yml"))))
    return findings


def _actions(project: Project) -> list[Finding]:
    """Custom actions that cannot be imported, and those of the domain that nobody has written."""
    from bot.training import open_actions

    written: list[set[str]] = []
    findings = _found(lambda: written.append(set(open_actions(project))))
    if not written or project.config.action_endpoint:
        return findings
    domain = project.domain
    for name in domain.actions:
        if name in written[0] or name in DEFAULT_ACTIONS or name in domain.responses or name in domain.forms:
            continue
        source = domain.action_sources.get(name, _NOWHERE)
        if name.startswith("utter_"):
            message = f"the domain lists '{name}', for which there is no response.{suggest(name, domain.responses)}"
        else:
            message = f"nobody has written the action '{name}'.{suggest(name, written[0])}"
        findings.append(Finding("error", message, source))
    return findings


def _examples(project: Project) -> list[Finding]:
    """Intents without examples, and one text under two intents."""
    findings = []
    data = project.data
    known = {example.intent.split("/")[0] for example in data.examples}
    for name, spec in project.domain.intents.items():
        if name not in known and name not in DEFAULT_INTENTS and data.examples:
            findings.append(Finding("warning", f"intent '{name}' has no examples", spec.source))
    first: dict[str, Example] = {}
    for example in data.examples:
        other = first.setdefault(example.text.strip().lower(), example)
        if other.intent != example.intent:
            message = (
                f"'{example.text}' is an example of '{example.intent}' here and of '{other.intent}' in {other.source}"
            )
            findings.append(Finding("warning", message, example.source))
    entities = set(project.domain.entities)
    told: set[str] = set()
    for example in data.examples:
        for entity in example.entities:
            if entity.entity not in entities and entity.entity not in told:
                told.add(entity.entity)
                hint = suggest(entity.entity, entities)
                message = f"entity '{entity.entity}' is annotated, but the domain does not have it.{hint}"
                findings.append(Finding("warning", message, example.source))
    return findings


def _questions(project: Project) -> Iterator[Finding]:
    """Slots that a form would wait for without asking."""
    known = known_actions(project.domain)
    for form in project.domain.forms.values():
        # A form's own validation may fill what nobody asks for.
        for slot in () if f"validate_{form.name}" in known else form.required_slots:
            names = (f"{kind}_ask_{of}{slot}" for kind in ("utter", "action") for of in ("", f"{form.name}_"))
            if not any(name in known for name in names):
                message = f"form '{form.name}' has no question for '{slot}': write the response 'utter_ask_{slot}'"
                yield Finding("warning", message, form.source)


def _unused(project: Project) -> list[Finding]:
    """Intents and responses that no story, rule, form or button leads to."""
    domain = project.domain
    intents: set[str] = set()
    actions: set[str] = set()
    told: list[Story | Rule] = [*project.stories, *project.rules]
    for steps in [dialogue.steps for dialogue in told]:
        for step in _flat(steps):
            for kind, name in _names(step):
                if kind == "intent":
                    intents.add(name)
                elif kind == "action":
                    actions.add(name)
    for slot in domain.slots.values():
        for mapping in slot.mappings:
            intents.update((*mapping.intent, *mapping.not_intent))
    for form in domain.forms.values():
        intents.update(form.ignored_intents)
    findings = [
        Finding("warning", f"intent '{name}' is in no story, rule or slot mapping", spec.source)
        for name, spec in domain.intents.items()
        if name not in intents and name not in DEFAULT_INTENTS
    ]
    asked = {f"utter_ask_{slot}" for form in domain.forms.values() for slot in form.required_slots}
    asked |= {f"utter_ask_{form.name}_{slot}" for form in domain.forms.values() for slot in form.required_slots}
    by_code = bool(set(domain.actions) - set(domain.responses))
    for name, variations in domain.responses.items():
        used = name in actions or name in asked or name in _DEFAULT_RESPONSES or "/" in name
        # A custom action may say any response: what is not seen to be used is then no finding.
        if not used and not by_code and variations:
            findings.append(Finding("warning", f"response '{name}' is never used", variations[0].source))
    return findings


_DEFAULT_RESPONSES = (
    *("utter_restart", "utter_back", "utter_default", "utter_ask_rephrase", "utter_error", "utter_session_start"),
)


def _tests(project: Project) -> list[Finding]:
    """Test files that cannot be read."""
    from bot.evaluation import read_tests

    return _found(lambda: read_tests(project))
