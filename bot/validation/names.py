"""Names in stories, rules and examples that lead nowhere: checked while a project is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bot.domain import DEFAULT_ACTIONS, DEFAULT_INTENTS, OWN_ACTIONS, Domain
from bot.errors import suggest
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
from bot.yaml_file import Problems

if TYPE_CHECKING:
    from bot.project import Project


def check_dialogues(dialogues: Sequence[Story | Rule], domain: Domain, problems: Problems) -> None:
    """Every intent, action, slot and form that a story or rule names is the domain's."""
    intents = (*domain.intents, *DEFAULT_INTENTS)
    actions = frozenset(known_actions(domain))
    retrieval = {name.split("/")[0] for name in domain.responses if "/" in name}
    known = {
        "intent": intents,
        "slot": tuple(domain.slots),
        "form": (*domain.forms, "action_two_stage_fallback"),
        "entity": tuple(domain.entities),
    }
    for dialogue in dialogues:
        for step in all_steps(dialogue):
            for kind, name in names_in(step):
                if kind == "action":
                    if name not in actions and name not in retrieval:
                        # Rasa refuses to train here, too.
                        message = (
                            f"{called(dialogue)} uses the action '{name}', which the domain does not have."
                            f"{suggest(name, actions)}"
                        )
                        problems.add(message, step.source)
                elif name not in known[kind]:
                    message = (
                        f"{called(dialogue)} uses the {kind} '{name}', which the domain does not have."
                        f"{suggest(name, known[kind])}"
                    )
                    # Rasa warns of an unknown intent or entity, and refuses the others.
                    tell = problems.doubt if kind in ("intent", "entity") else problems.add
                    tell(message, step.source)


def check_examples(examples: Sequence[Example], domain: Domain, problems: Problems) -> None:
    """Every intent with examples is the domain's, told once for each."""
    told: set[str] = set()
    for example in examples:
        intent = example.intent.split("/")[0]
        # An example without an intent is there for its entities.
        if intent and intent not in domain.intents and intent not in DEFAULT_INTENTS and intent not in told:
            told.add(intent)
            hint = suggest(intent, domain.intents)
            message = f"there are examples for the intent '{intent}', which the domain does not have.{hint}"
            problems.doubt(message, example.source)


def known_actions(domain: Domain) -> tuple[str, ...]:
    return (*domain.actions, *domain.responses, *domain.forms, *DEFAULT_ACTIONS, *OWN_ACTIONS)


def all_dialogues(project: Project) -> tuple[Story | Rule, ...]:
    return (*project.stories, *project.rules)


def called(dialogue: Story | Rule) -> str:
    return f"{'rule' if isinstance(dialogue, Rule) else 'story'} '{dialogue.name}'"


def all_steps(dialogue: Story | Rule) -> Iterator[Step]:
    """The steps, a rule's conditions first, with every choice of an `or` and every slot of a checkpoint."""
    conditions = dialogue.condition if isinstance(dialogue, Rule) else ()
    for step in (*conditions, *dialogue.steps):
        if isinstance(step, OrStep):
            yield from step.choices
        elif isinstance(step, CheckpointStep):
            yield from step.slots
        else:
            yield step


def names_in(step: Step) -> Iterator[tuple[str, str]]:
    """(kind, name) of everything a step names."""
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
