"""From a project to its certificate: both engines are trained on it and hear the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bot import training
from bot.certify.certificate import Certificate, Performance
from bot.certify.dialogues import Dialogue, dialogues_of
from bot.certify.here import Held, hold, in_process
from bot.certify.in_rasa import has_actions, peak_memory
from bot.certify.judging import judge, not_compared
from bot.certify.real_rasa import ask_rasa
from bot.errors import FrontdeskError
from bot.evaluation import Report, evaluate, read_tests
from bot.project import Project
from bot.stores.memory import MemoryStore
from bot.validation import validate

Tell = Callable[[str], None]


def certify(project: Project, rasa: Path | None, tell: Tell) -> Certificate:
    """The certificate of a project; `rasa` is a Python that has Rasa, None where none is asked."""
    certificate = Certificate(project.root.name, findings=_findings(project))
    if project.config.packs is not None:
        certificate.not_compared = "a project of packs (`domains:` in config.yml) is nothing that Rasa can read"
    elif rasa is None:
        certificate.not_compared = "no Python with Rasa was found, or none was wanted"
    try:
        runs = _run_here(project, certificate, tell)
    except FrontdeskError as error:
        certificate.error = f"the project does not run here: {error}"
        return certificate
    if rasa is None or certificate.not_compared:
        certificate.dialogues = [not_compared(held) for held in runs]
        return certificate
    theirs = ask_rasa(rasa, project.root, [held.says for held in runs], action_url=_action_url(project), tell=tell)
    judge(project, certificate, runs, theirs)
    return certificate


# ---- our side ----


def _run_here(project: Project, certificate: Certificate, tell: Tell) -> list[Held]:
    tell("Frontdesk: training")
    started = time.perf_counter()
    training.train(project)
    seconds = time.perf_counter() - started
    tell(f"Frontdesk: trained in {seconds:.1f} s; talking")
    tests = read_tests(project)
    dialogues = dialogues_of(project, tests)
    runs, report = asyncio.run(_talk(project, dialogues))
    certificate.tests = _summary(report)
    certificate.failed_tests = report.failures
    certificate.ours = Performance.of(seconds, peak_memory(), [held.turns for held in runs])
    return runs


async def _talk(project: Project, dialogues: Sequence[Dialogue]) -> tuple[list[Held], Report]:
    assistant = training.load_assistant(in_process(project), store=MemoryStore())
    await assistant.start()
    runs = await hold(assistant, project, dialogues)
    # Closes the assistant.
    return runs, await evaluate(project, assistant)


def _action_url(project: Project) -> str | None:
    endpoint = project.config.action_endpoint
    return None if endpoint is None or has_actions(project.root) else str(endpoint.options["url"])


def _summary(report: Report) -> str:
    return f"{report.stories + report.conversations - len(report.failures)} of {report.stories + report.conversations}"


def _findings(project: Project) -> list[str]:
    """What a team must know before it moves: mistakes, doubts, and what is accepted without doing anything."""
    return list(dict.fromkeys(str(finding) for finding in validate(in_process(project))))
