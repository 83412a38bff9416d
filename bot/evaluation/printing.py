"""The report of `frontdesk test` on a screen."""

from __future__ import annotations

from collections import Counter

from bot.evaluation.nlu import NluReport
from bot.evaluation.report import Report

LEARNT = (
    "These are the examples that the model was trained on: being right about them says little. Put messages that it "
    "has not seen into tests/*.yml, or ask for --cross-validation."
)


def print_report(report: Report) -> None:
    """What was understood, then each failure with the conversation as it went, then the sums."""
    if report.nlu.intents:
        if report.learnt:
            print(LEARNT)
        _print_nlu(report.nlu)
    for failure in report.failed_results:
        print(f"failed: {failure}")
        for line in failure.transcript():
            print(f"    {line}")
    if report.stories or report.conversations:
        failed = len(report.failed_results)
        print(f"stories: {report.stories}; conversations: {report.conversations}; failed: {failed}")
    elif not report.nlu.intents:
        print("There are no tests: put them into tests/*.yml.")


def _print_nlu(nlu: NluReport) -> None:
    right = sum(one.right for one in nlu.intents)
    print(f"understanding: {right} of {len(nlu.intents)} messages ({right / len(nlu.intents):.1%})")
    by_intent: dict[str, list[bool]] = {}
    for one in nlu.intents:
        by_intent.setdefault(one.expected, []).append(one.right)
    confusions = Counter((one.expected, one.predicted or "(none)") for one in nlu.intents if not one.right)
    for intent, outcomes in sorted(by_intent.items(), key=lambda item: sum(item[1]) / len(item[1])):
        if not all(outcomes):
            confused = [f"{got} {n}x" for (want, got), n in confusions.most_common() if want == intent]
            print(f"  {intent:24} {sum(outcomes):3} of {len(outcomes):3}   heard as {', '.join(confused)}")
    spans = nlu.spans
    if spans.expected:
        recall, precision = spans.right / spans.expected, spans.right / max(spans.found, 1)
        print(f"entities: {recall:.1%} of {spans.expected} found; of those found {precision:.1%} are right")
