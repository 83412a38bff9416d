"""Expected and predicted labels side by side: precision, recall, F1, and what is mistaken for what.

The shape of a report is that of Rasa's report files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_CONFUSED = 3
"""How many of the most frequent predictions of a label are looked at for `confused_with`, the right one included."""


@dataclass(frozen=True, slots=True)
class Figures:
    """`report` has one entry per expected label, and the averages; the averages here are weighted by support."""

    report: dict[str, Any]
    precision: float
    f1: float
    accuracy: float

    def to_json(self) -> dict[str, Any]:
        return {"report": self.report, "precision": self.precision, "f1_score": self.f1, "accuracy": self.accuracy}


def compare(expected: Sequence[str], predicted: Sequence[str], *, without: str | None = None) -> Figures:
    """The figures of all labels but `without`, which stands for "there is nothing to find here"."""
    from sklearn import metrics

    labels = sorted(set(expected) - {without})
    if not labels:
        return Figures({}, 0.0, 0.0, 0.0)
    given: dict[str, Any] = {"labels": labels, "zero_division": 0}
    accuracy = float(metrics.accuracy_score(expected, predicted))
    report: dict[str, Any] = metrics.classification_report(expected, predicted, output_dict=True, **given)
    if "accuracy" in report:
        support = report["macro avg"]["support"]
        report["micro avg"] = {**dict.fromkeys(("precision", "recall", "f1-score"), accuracy), "support": support}
    for entry in report.values():
        if isinstance(entry, dict):
            entry["support"] = int(entry["support"])
    report["accuracy"] = accuracy
    confusions = Counter(zip(expected, predicted, strict=True))
    for label in labels:
        report[label]["confused_with"] = _confused_with(label, confusions, without)
    weighted = report["weighted avg"]
    return Figures(report, weighted["precision"], weighted["f1-score"], accuracy)


def _confused_with(label: str, confusions: Counter[tuple[str, str]], without: str | None) -> dict[str, int]:
    row = [(count, got) for (want, got), count in confusions.items() if want == label]
    row.sort(reverse=True)
    return {got: count for count, got in row[:MOST_CONFUSED] if got not in (label, without)}


def confusion_matrix(expected: Sequence[str], predicted: Sequence[str]) -> tuple[list[str], Any]:
    """All labels in order, and how often the row's was taken for the column's."""
    from sklearn import metrics

    labels = sorted({*expected, *predicted})
    return labels, metrics.confusion_matrix(expected, predicted, labels=labels)
