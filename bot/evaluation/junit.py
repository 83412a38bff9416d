"""The report as JUnit's XML, which CI systems show: a case for each message, story and conversation.

A message that was not understood is no failure: nobody gets all of them, and the share that must be right is for
the team to say (`--fail-under`). It is told in the case's output.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bot.errors import Source
from bot.evaluation.conversations import ConversationResult
from bot.evaluation.nlu import Judged
from bot.evaluation.report import Report
from bot.evaluation.stories import StoryResult

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def junit_xml(report: Report) -> bytes:
    root = ElementTree.Element("testsuites", name="frontdesk test")
    if report.nlu.intents:
        _understanding(root, report)
    if report.stories:
        suite = _suite(root, "stories", report.stories, len(report.story_report.failed))
        for story in report.story_report.results:
            _dialogue(suite, story, story.name, story.source)
    if report.talks:
        suite = _suite(root, "conversations", report.conversations, sum(talk.failed for talk in report.talks))
        for talk in report.talks:
            _dialogue(suite, talk, talk.conversation.name, talk.conversation.source)
    for suite in root:
        suite.set("time", f"{sum(float(case.get('time', 0)) for case in suite):.3f}")
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', 0)) for suite in root):.3f}")
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _understanding(root: ElementTree.Element, report: Report) -> None:
    nlu, missed = report.nlu, report.missed
    suite = _suite(root, "understanding", len(nlu.intents) + (report.fail_under is not None), int(missed is not None))
    for one in nlu.intents:
        case = _case(suite, f"nlu.{one.expected}", one.text, one.source, nlu.seconds / len(nlu.intents))
        if not one.understood:
            ElementTree.SubElement(case, "system-out").text = _clean(misunderstood(one))
    if report.fail_under is not None:
        case = ElementTree.SubElement(suite, "testcase", classname="nlu", name="accuracy", time="0")
        if missed:
            ElementTree.SubElement(case, "failure", message=missed).text = missed


def misunderstood(one: Judged) -> str:
    """What a message was taken for, with its place."""
    guess = f"{one.predicted or '(none)'}, {one.confidence:.2f}"
    taken = f"taken for '{one.heard}' ({guess}), not for '{one.expected}'"
    return f"{one.source}: '{one.text}' is {taken}"


def _suite(root: ElementTree.Element, name: str, tests: int, failures: int) -> ElementTree.Element:
    attributes = {"name": name, "tests": str(tests), "failures": str(failures), "errors": "0", "skipped": "0"}
    return ElementTree.SubElement(root, "testsuite", attributes)


def _case(suite: ElementTree.Element, classname: str, name: str, source: Source, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(classname),
        name=_clean(name),
        file=_clean(source.file),
        line=str(source.line),
        time=f"{seconds:.6f}",
    )


def _dialogue(suite: ElementTree.Element, result: StoryResult | ConversationResult, name: str, source: Source) -> None:
    case = _case(suite, f"{suite.get('name')}.{source.file}", name, source, result.seconds)
    if result.failed:
        failure = ElementTree.SubElement(case, "failure", message=_clean(str(result)))
        failure.text = _clean("\n".join([str(result), *result.transcript()]))


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)
