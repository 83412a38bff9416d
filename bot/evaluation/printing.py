"""The report of `frontdesk test` on a screen."""

from __future__ import annotations

import statistics
from collections import Counter

from bot.evaluation.nlu import FALLBACK, NluReport
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
    if report.missed:
        print(f"failed: {report.missed}")
    for failure in report.failed_results:
        print(f"failed: {failure}")
        for line in failure.transcript():
            print(f"    {line}")
    if report.stories or report.conversations:
        failed = len(report.failed_results)
        print(f"stories: {report.stories}; conversations: {report.conversations}; failed: {failed}")
    elif report.is_empty:
        print("There are no tests: put them into tests/*.yml.")


def _print_nlu(nlu: NluReport) -> None:
    right = sum(one.understood for one in nlu.intents)
    print(f"understanding: {right} of {len(nlu.intents)} messages ({nlu.accuracy:.1%})")
    if nlu.folds:
        spread = statistics.pstdev(nlu.folds)
        print(f"  in {len(nlu.folds)} folds: {statistics.mean(nlu.folds):.1%} on average, +/- {spread:.1%}")
    if nlu.left_out:
        print(f"  left out, with too few examples for so many folds: {', '.join(nlu.left_out)}")
    unsure = sum(one.fell_back for one in nlu.intents)
    if unsure:
        right = sum(one.fell_back and one.right for one in nlu.intents)
        print(f"  too unsure to act on a guess ({FALLBACK}): {unsure}; {right} of the guesses were right")
    by_intent: dict[str, list[bool]] = {}
    for one in nlu.intents:
        by_intent.setdefault(one.expected, []).append(one.understood)
    confusions = Counter((one.expected, one.heard) for one in nlu.intents if not one.understood)
    for intent, outcomes in sorted(by_intent.items(), key=lambda item: sum(item[1]) / len(item[1])):
        if not all(outcomes):
            confused = [f"{got} {n}x" for (want, got), n in confusions.most_common() if want == intent]
            print(f"  {intent:24} {sum(outcomes):3} of {len(outcomes):3}   heard as {', '.join(confused)}")
    if nlu.responses:
        right = sum(one.right for one in nlu.responses)
        print(f"answers: {right} of {len(nlu.responses)} chosen rightly ({right / len(nlu.responses):.1%})")
    spans = nlu.spans
    if spans.expected:
        recall, precision = spans.right / spans.expected, spans.right / max(spans.found, 1)
        print(f"entities: {recall:.1%} of {spans.expected} found; of those found {precision:.1%} are right")
