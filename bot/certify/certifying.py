"""From a project to its certificate: both engines are trained on it and hear the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from bot import training
from bot.certify.certificate import Certificate, Performance
from bot.certify.copies import copy_of, standing_in
from bot.certify.dialogues import dialogues_of
from bot.certify.here import hold_here, in_process
from bot.certify.in_rasa import has_actions, peak_memory
from bot.certify.judging import judge, not_compared
from bot.certify.real_rasa import ask_rasa
from bot.errors import FrontdeskError
from bot.evaluation import evaluate, read_tests
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.validation import validate

Tell = Callable[[str], None]


def certify(root: Path, rasa: Path | None, tell: Tell, *, why_not: str = "") -> Certificate:
    """The certificate of the project in `root`. `rasa` is a Python that has Rasa; `why_not` says why there is none."""
    root = root.resolve()
    with copy_of(root) as folder, standing_in(folder):
        project = in_process(load_project(folder))
        certificate = Certificate(root.name, findings=_findings(project))
        if project.config.packs is not None:
            certificate.not_compared = "a project of packs (`domains:` in config.yml) is nothing that Rasa can read"
        elif rasa is None:
            certificate.not_compared = why_not
        try:
            model, seconds = _train(project, tell)
            runs = hold_here(root, model, dialogues_of(project, read_tests(project)))
            certificate.ours = Performance.of(seconds, peak_memory(), [held.turns for held in runs])
            _test(project, model, certificate)
        except FrontdeskError as error:
            certificate.error = f"the project does not run here: {error}"
            return certificate
        if rasa is None or certificate.not_compared:
            certificate.dialogues = [not_compared(held) for held in runs]
            return certificate
        says = [held.says for held in runs]
        theirs = ask_rasa(rasa, root, says, action_url=_action_url(project), tell=tell)
        judge(root, model, project, certificate, runs, theirs)
        return certificate


def _train(project: Project, tell: Tell) -> tuple[Path, float]:
    tell("Frontdesk: training")
    started = time.perf_counter()
    model = training.train(project)
    seconds = time.perf_counter() - started
    tell(f"Frontdesk: trained in {seconds:.1f} s; talking")
    return model, seconds


def _test(project: Project, model: Path, certificate: Certificate) -> None:
    """What `frontdesk test` says."""
    assistant = training.load_assistant(project, model=model, store=MemoryStore())
    report = asyncio.run(evaluate(project, assistant))
    tests = report.stories + report.conversations
    certificate.tests = f"{tests - len(report.failures)} of {tests}"
    certificate.failed_tests = report.failures


def _action_url(project: Project) -> str | None:
    endpoint = project.config.action_endpoint
    return None if endpoint is None or has_actions(project.root) else str(endpoint.options["url"])


def _findings(project: Project) -> list[str]:
    """What a team must know before it moves: mistakes, doubts, and what is accepted without doing anything."""
    return list(dict.fromkeys(str(finding) for finding in validate(project)))
