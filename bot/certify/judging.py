"""Judges what we did by what Rasa did, turn by turn."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from bot import training
from bot.certify.certificate import Certificate, JudgedDialogue, JudgedTurn, Performance
from bot.certify.dialogues import Dialogue
from bot.certify.here import Held, hold, in_process
from bot.certify.known import Seen, explanation
from bot.certify.real_rasa import RasaRun
from bot.certify.turns import Turn, differences
from bot.project import Project
from bot.stores.memory import MemoryStore


def judge(project: Project, certificate: Certificate, runs: Sequence[Held], theirs: RasaRun) -> None:
    """Judge what we did by what Rasa did."""
    certificate.rasa = theirs.version
    if theirs.error:
        certificate.error = f"Rasa does not run the project: {theirs.error}"
        certificate.dialogues = [not_compared(held) for held in runs]
        return
    certificate.theirs = Performance.of(theirs.training, theirs.memory, theirs.dialogues)
    certificate.dialogues = asyncio.run(_judged(project, runs, theirs.dialogues))


def not_compared(held: Held) -> JudgedDialogue:
    turns = [
        JudgedTurn(turn.said, "not compared", notes=_failure(held, number)) for number, turn in enumerate(held.turns)
    ]
    return JudgedDialogue(held.dialogue.place, held.dialogue.origin, turns)


def _failure(held: Held, number: int) -> list[str]:
    return [held.failures[number]] if number in held.failures else []


async def _judged(project: Project, runs: Sequence[Held], theirs: Sequence[Sequence[Turn]]) -> list[JudgedDialogue]:
    drawn = [name for name, variations in project.domain.responses.items() if len(variations) > 1]
    alike = await _understood_alike(project, runs, theirs)
    judged = [
        _judge_dialogue(project, held, same, turns, drawn)
        for held, same, turns in zip(runs, alike, theirs, strict=True)
    ]
    await _blame_chance(project, alike, judged, drawn)
    return judged


async def _understood_alike(project: Project, runs: Sequence[Held], theirs: Sequence[Sequence[Turn]]) -> list[Held]:
    """The dialogues as we hold them when each text means to us what it meant to Rasa."""
    alike = list(runs)
    apart = [
        number
        for number, (held, turns) in enumerate(zip(runs, theirs, strict=True))
        if any(mine.understood != other.understood for mine, other in zip(held.turns, turns, strict=True))
    ]
    if apart:
        assistant = training.load_assistant(in_process(project), store=MemoryStore())
        await assistant.start()
        for number in apart:
            parses = {turn.said: turn.parse_data for turn in theirs[number]}
            alike[number] = (await hold(assistant, project, [_as_said(runs[number])], parses, first=number))[0]
        await assistant.close()
    return alike


def _as_said(held: Held) -> Dialogue:
    return dataclasses.replace(held.dialogue, says=tuple(held.says))


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
        turn = JudgedTurn(mine.said, "agrees", differences=found, notes=_failure(alike, number))
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


async def _blame_chance(
    project: Project, held: Sequence[Held], judged: Sequence[JudgedDialogue], drawn: Sequence[str]
) -> None:
    """What differs from run to run of our own engine (a time, a random number of an action) differs from Rasa, too."""
    apart = [number for number, one in enumerate(judged) if any(turn.verdict == "unexplained" for turn in one.turns)]
    if not apart:
        return
    assistant = training.load_assistant(in_process(project), store=MemoryStore())
    await assistant.start()
    for number in apart:
        parses = {turn.said: turn.parse_data for turn in held[number].turns}
        (again,) = await hold(assistant, project, [_as_said(held[number])], parses, first=number)
        for turn, first, second in zip(judged[number].turns, held[number].turns, again.turns, strict=True):
            if turn.verdict == "unexplained" and _same_kinds(turn.differences, differences(first, second, drawn)):
                turn.verdict = "explained"
                turn.explanation = "the project's own actions answer differently from run to run"
    await assistant.close()


def _same_kinds(found: Sequence[str], by_chance: Sequence[str]) -> bool:
    """Whether all that differs from Rasa (slot 'x', replies) differs by itself."""
    return {one.partition(":")[0] for one in found} <= {one.partition(":")[0] for one in by_chance}
