"""The folder that a test leaves: Rasa's report files under Rasa's names, pictures, and `junit.xml`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import ConfigError
from bot.evaluation.entities import NO_ENTITY, ExtractorReport
from bot.evaluation.junit import junit_xml
from bot.evaluation.nlu import Judged, NluReport, intent_json, response_json
from bot.evaluation.plots import plot_confidences, plot_confusions
from bot.evaluation.report import Report
from bot.evaluation.stories import StoryReport, StoryResult, without_confusions
from bot.nlu_writing import annotated
from bot.training_data import ActionStep, CheckpointStep, LoopStep, SlotStep, Step, UserStep
from bot.yaml_file import shown
from bot.yaml_writing import FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are written beside the reports."""

    plots: bool = True
    errors: bool = True
    successes: bool = False
    warnings: bool = True


def write_results(report: Report, folder: Path, wanted: Wanted = Wanted()) -> None:
    """Write everything that the report has something to say about."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if report.nlu.intents:
            _write_nlu(report.nlu, folder, wanted)
        if report.stories:
            _write_stories(report.story_report, folder, wanted)
        (folder / "junit.xml").write_bytes(junit_xml(report))
    except OSError as error:
        raise ConfigError(f"'{shown(folder)}' cannot be written: {error.strerror or error}") from error


def _write_nlu(nlu: NluReport, folder: Path, wanted: Wanted) -> None:
    _write_labels(
        folder,
        "intent",
        "Intents, the fallback left aside",
        nlu.intents,
        nlu.intent_figures.report,
        intent_json,
        wanted,
    )
    if nlu.responses:
        report = nlu.response_figures.report
        _write_labels(folder, "response_selection", "Answers", nlu.responses, report, response_json, wanted)
    for name, extractor in nlu.extractors.items():
        _write_extractor(folder, name, extractor, wanted)


def _write_labels(
    folder: Path,
    name: str,
    title: str,
    judged: Sequence[Judged],
    report: Mapping[str, Any],
    as_json: Any,
    wanted: Wanted,
) -> None:
    _write_json(folder / f"{name}_report.json", report)
    right, wrong = [one for one in judged if one.right], [one for one in judged if not one.right]
    if wanted.errors:
        _write_json(folder / f"{name}_errors.json", [as_json(one) for one in wrong])
    if wanted.successes:
        _write_json(folder / f"{name}_successes.json", [as_json(one) for one in right])
    if wanted.plots:
        expected, predicted = [one.expected for one in judged], [one.predicted for one in judged]
        plot_confusions(expected, predicted, title, folder / f"{name}_confusion_matrix.png")
        sure, unsure = [one.confidence for one in right], [one.confidence for one in wrong]
        plot_confidences(sure, unsure, f"{title}: how sure the bot was", folder / f"{name}_histogram.png")


def _write_extractor(folder: Path, name: str, report: ExtractorReport, wanted: Wanted) -> None:
    _write_json(folder / f"{name}_report.json", report.figures.report)
    if wanted.errors:
        _write_json(folder / f"{name}_errors.json", report.errors)
    if wanted.successes:
        _write_json(folder / f"{name}_successes.json", report.successes)
    if wanted.plots:
        plot_confusions(report.expected, report.predicted, name, folder / f"{name}_confusion_matrix.png")
        if any(report.confidences):
            labels = list(zip(report.expected, report.predicted, report.confidences, strict=True))
            right = [sure for want, got, sure in labels if want == got != NO_ENTITY]
            wrong = [sure for want, got, sure in labels if got not in (want, NO_ENTITY)]
            plot_confidences(right, wrong, f"{name}: how sure it was of a word", folder / f"{name}_histogram.png")


def _write_stories(stories: StoryReport, folder: Path, wanted: Wanted) -> None:
    right = [result for result in stories.results if not result.mismatches]
    warned = [result for result in right if result.warnings]
    counts = {"correct": len(right), "with_warnings": len(warned), "total": len(stories.results)}
    report = without_confusions(stories.figures.report)
    report["conversation_accuracy"] = {"accuracy": len(right) / len(stories.results), **counts}
    _write_json(folder / "story_report.json", report)
    files = (
        (wanted.errors, "failed_test_stories.yml", stories.failed, "None of the test stories failed."),
        (wanted.successes, "successful_test_stories.yml", right, "None of the test stories succeeded."),
        (wanted.warnings, "stories_with_warnings.yml", warned, "There are no warnings for test stories."),
    )
    for is_wanted, name, results, otherwise in files:
        if is_wanted:
            (folder / name).write_text(stories_yaml(results) if results else f"# {otherwise}\n", encoding="utf-8")
    if wanted.plots and stories.actions:
        expected, predicted = zip(*((one["action"], one["predicted"]) for one in stories.actions), strict=True)
        plot_confusions(expected, predicted, "Actions", folder / "story_confusion_matrix.png")


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


# ---- stories -------------------------------------------------------------------------------------


def stories_yaml(results: Sequence[StoryResult]) -> str:
    """The stories as a file of test stories, with a remark on each line that was predicted otherwise."""
    lines = [f'version: "{FORMAT_VERSION}"', "stories:"]
    for result in results:
        lines += [f"- story: {_quoted(f'{result.name} ({result.source})')}", "  steps:"]
        remarks: dict[int, list[str]] = {}
        for one in result.mismatches:
            remarks.setdefault(_step_of(one.source, result.steps), []).append(one.got or one.problem)
        for number, step in enumerate(result.steps):
            first, *more = _step_lines(step)
            lines += [f"  - {first}{_remark(remarks.pop(number, ()))}", *(f"    {one}" for one in more)]
        lines += [f"  {_remark(said)}" for said in remarks.values()]
    return "\n".join(lines) + "\n"


def _remark(predicted: Sequence[str]) -> str:
    return f"  # predicted: {', '.join(dict.fromkeys(predicted))}" if predicted else ""


def _step_of(source: Any, steps: Sequence[Step]) -> int:
    """The number of the step at this place; the number after the last one for the story's end."""
    return next((number for number, step in enumerate(steps) if step.source == source), len(steps))


def _step_lines(step: Step) -> list[str]:
    match step:
        case UserStep(intent=intent, entities=entities, text=text):
            placed = [entity for entity in entities if entity.end]
            lines = [f"intent: {intent}"] if intent else []
            if text is not None:
                lines.append(f"user: {_quoted(annotated(text, placed))}")
            if entities and not placed:
                lines += ["entities:", *(f"- {_quoted({entity.entity: entity.value})}" for entity in entities)]
            return lines
        case ActionStep(name=name, text=text):
            return [f"action: {name}" if name else f"bot: {_quoted(text)}"]
        case SlotStep(name=name, value=value, any_value=any_value):
            return ["slot_was_set:", f"- {name}" if any_value else f"- {_quoted({name: value})}"]
        case LoopStep(name=name):
            return [f"active_loop: {name or 'null'}"]
        case CheckpointStep(name=name):
            return [f"checkpoint: {_quoted(name)}"]
        case _:
            return ["or: []"]


def _quoted(value: Any) -> str:
    """JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
