"""Checkpoints that join nothing, and stories that no way leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bot.errors import suggest
from bot.policies.training_dialogues import unroll
from bot.training_data import CheckpointStep, OrStep, Story, UserStep
from bot.validation.finding import Finding, warning

if TYPE_CHECKING:
    from bot.project import Project

Ends = dict[str, list[tuple[Story, CheckpointStep]]]


def check_checkpoints(project: Project) -> Iterator[Finding]:
    """Checkpoints that one side lacks, that lead in a circle, or that ask for what is never so."""
    if not any(isinstance(step, CheckpointStep) for story in project.stories for step in story.steps):
        return
    begins, ends = _sides(project)
    told: set[str] = set()
    for name, places in begins.items():
        if name not in ends:
            for story, step in places:
                told.add(story.name)
                message = f"story '{story.name}' begins with the checkpoint '{name}', which no story leads to."
                yield warning("checkpoint", f"{message}{suggest(name, ends)}", step.source)
    for name, places in ends.items():
        if name not in begins:
            for story, step in places:
                message = f"story '{story.name}' leads to the checkpoint '{name}', which no story begins with."
                yield warning("checkpoint", f"{message}{suggest(name, begins)}", step.source)
        for _, step in places:
            if step.slots:
                message = f"the slots of the checkpoint '{name}' count where a story begins with it, not here"
                yield warning("checkpoint", message, step.source)
    for circle, finding in _circles(begins, ends):
        told |= {story.name for name in circle for story, _ in begins.get(name, ())}
        yield finding
    yield from _never_told(project, told)


def _sides(project: Project) -> tuple[Ends, Ends]:
    """Where each checkpoint is begun with, and where it is led to; one in the middle of a story is both."""
    begins: Ends = {}
    ends: Ends = {}
    for story in project.stories:
        something = False
        for number, step in enumerate(story.steps):
            if not isinstance(step, CheckpointStep):
                something = True
                continue
            if something:
                ends.setdefault(step.name, []).append((story, step))
            if not something or any(not isinstance(later, CheckpointStep) for later in story.steps[number + 1 :]):
                begins.setdefault(step.name, []).append((story, step))
    return begins, ends


def _circles(begins: Ends, ends: Ends) -> Iterator[tuple[set[str], Finding]]:
    """Checkpoints from which every way comes back to them: all of a circle, and what to say of it."""
    following = _following(begins, ends)
    for name in sorted(begins):
        reached: set[str | None] = {name}
        ahead: list[str | None] = [name]
        while ahead:
            for later in following.get(ahead.pop(), set()) - reached:
                reached.add(later)
                ahead.append(later)
        circle = name in {later for one in reached for later in following.get(one, ())}
        if circle and None not in reached and name == min(str(one) for one in reached):
            story, step = begins[name][0]
            message = (
                f"the checkpoint '{name}' leads back to itself, and no story after it comes to an end: story "
                f"'{story.name}' is not learnt. Let one of them end without a checkpoint."
            )
            yield {str(one) for one in reached}, warning("checkpoint", message, step.source)


def _following(begins: Ends, ends: Ends) -> Mapping[str | None, set[str | None]]:
    """By checkpoint: those that come next; None where a story comes to its end."""
    out: dict[str | None, set[str | None]] = {}
    for name, places in begins.items():
        for story, step in places:
            later = story.steps[story.steps.index(step) + 1 :]
            nexts = [one for one in later if isinstance(one, CheckpointStep) and (story, one) in ends.get(one.name, ())]
            out.setdefault(name, set()).add(nexts[0].name if nexts else None)
    return out


def _never_told(project: Project, told: set[str]) -> Iterator[Finding]:
    """Stories of which something is in no dialogue that the policies learn."""
    learnt = {step.source for dialogue in unroll(project.stories, (), project.domain) for step in dialogue.steps}
    for story in project.stories:
        # Where a way ends that begins here, the story is told that it leads to.
        first = next((number for number, step in enumerate(story.steps) if isinstance(step, CheckpointStep)), None)
        later = story.steps[first:] if first is not None else ()
        heard = [one for step in later if isinstance(step, UserStep | OrStep) for one in _messages(step)]
        missing = next((step for step in heard if step.source not in learnt), None)
        if missing and story.name not in told:
            message = (
                f"story '{story.name}' is not learnt from here on: no way through the checkpoints, with the slots that "
                "they ask for, leads here"
            )
            yield warning("checkpoint", message, missing.source)


def _messages(step: UserStep | OrStep) -> Iterator[UserStep]:
    choices = step.choices if isinstance(step, OrStep) else (step,)
    yield from (choice for choice in choices if isinstance(choice, UserStep))
