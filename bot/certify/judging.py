"""Judges what we did by what Rasa did, turn by turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.certify.certificate import Certificate, JudgedDialogue, JudgedTurn, Performance
from bot.certify.here import Held, hold_here
from bot.certify.known import Seen, explanation
from bot.certify.real_rasa import RasaRun
from bot.certify.turns import Turn, differences
from bot.project import Project


def judge(
    root: Path, model: Path, project: Project, certificate: Certificate, runs: Sequence[Held], theirs: RasaRun
) -> None:
    """Judge what we did (`runs`, with this model) by what Rasa did."""
    certificate.rasa = theirs.version
    if theirs.error:
        certificate.error = f"Rasa does not run the project: {theirs.error}"
        certificate.dialogues = [not_compared(held) for held in runs]
        return
    certificate.theirs = Performance.of(theirs.training, theirs.memory, theirs.dialogues)
    drawn = [name for name, variations in project.domain.responses.items() if len(variations) > 1]
    parses = {turn.said: turn.parse_data for turns in theirs.dialogues for turn in turns}
    # As said, because what a form asked for once it need not ask for again.
    said = [dataclasses.replace(held.dialogue, says=tuple(held.says)) for held in runs]
    alike = runs
    if any(mine.understood != other.understood for mine, other in _pairs(runs, theirs.dialogues)):
        alike = hold_here(root, model, said, parses)
    certificate.dialogues = [
        _judge_dialogue(project, held, same, turns, drawn)
        for held, same, turns in zip(runs, alike, theirs.dialogues, strict=True)
    ]
    if certificate.count("unexplained"):
        _blame_chance(certificate.dialogues, alike, hold_here(root, model, said, parses), drawn)


def _pairs(runs: Sequence[Held], theirs: Sequence[Sequence[Turn]]) -> Iterator[tuple[Turn, Turn]]:
    for held, turns in zip(runs, theirs, strict=True):
        yield from zip(held.turns, turns, strict=True)


def not_compared(held: Held) -> JudgedDialogue:
    turns = [
        JudgedTurn(turn.said, "not compared", notes=_failure(held, number)) for number, turn in enumerate(held.turns)
    ]
    return JudgedDialogue(held.dialogue.place, held.dialogue.origin, turns)


def _failure(held: Held, number: int) -> list[str]:
    return [held.failures[number]] if number in held.failures else []


def _judge_dialogue(
    project: Project, held: Held, alike: Held, theirs: Sequence[Turn], drawn: Sequence[str]
) -> JudgedDialogue:
    turns: list[JudgedTurn] = []
    root: int | None = None
    """The turn with which the two began to differ."""
    for number, (mine, same, other) in enumerate(zip(held.turns, alike.turns, theirs, strict=True)):
        found = differences(same, other, drawn)
        if mine.said.startswith("/") and mine.understood != other.understood:
            found.insert(0, f"payload: {_meaning(mine)} here, {_meaning(other)} in Rasa")
        lost = [f"Rasa lost the turn: {other.failure}"] if other.failure else []
        turn = JudgedTurn(mine.said, "agrees", differences=found, notes=[*_failure(alike, number), *lost])
        if not mine.said.startswith("/"):
            turn.understanding = "agrees"
            if mine.understood != other.understood:
                turn.understanding = f"{_meaning(mine)} here, {_meaning(other)} in Rasa"
                turn.verdict, turn.explanation = (
                    "explained",
                    "understanding differs; understood alike, the turn is the same",
                )
        if not found:
            root = None
        elif root is not None:
            turn.verdict, turn.explanation = turns[root].verdict, f"follows from turn {root + 1}"
        else:
            root = number
            turn.explanation = explanation(Seen(project, alike, number, other))
            turn.verdict = "explained" if turn.explanation else "unexplained"
        turns.append(turn)
    return JudgedDialogue(held.dialogue.place, held.dialogue.origin, turns)


def _meaning(turn: Turn) -> str:
    entities = f" with {', '.join(turn.entities)}" if turn.entities else ""
    return f"{turn.intent} ({turn.confidence:.2f}){entities}"


def _blame_chance(
    judged: Sequence[JudgedDialogue], first: Sequence[Held], second: Sequence[Held], drawn: Sequence[str]
) -> None:
    """What differs from run to run of our own engine (a time, a random number of an action) differs from Rasa, too."""
    for dialogue, held, again in zip(judged, first, second, strict=True):
        for turn, one, other in zip(dialogue.turns, held.turns, again.turns, strict=True):
            if turn.verdict == "unexplained" and _same_kinds(turn.differences, differences(one, other, drawn)):
                turn.verdict = "explained"
                turn.explanation = "the project's own actions answer differently from run to run"


def _same_kinds(found: Sequence[str], by_chance: Sequence[str]) -> bool:
    """Whether all that differs from Rasa (slot 'x', replies) differs by itself."""
    return {one.partition(":")[0] for one in found} <= {one.partition(":")[0] for one in by_chance}
