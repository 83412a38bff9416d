"""What counts as understood, in the shape that Rasa reports it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import ConfigError, DataError
from bot.evaluation import Report, cross_validate, print_report
from bot.evaluation.entities import Spans
from bot.evaluation.nlu import judge
from bot.messages import Entity, Intent, Parse, Token
from bot.project import load_project
from bot.training_data import Example

Run = Callable[..., Report]

EXAMPLES = """
nlu:
- intent: greet
  examples: |
    - hello
    - hello again
    - buy?
- intent: buy
  examples: |
    - buy [tea](thing)
    - buy [coffee](thing) and [milk](thing)
    - so long
"""


def test_examples_are_counted_and_confusions_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(EXAMPLES)
    assert [(one.expected, one.predicted, one.source.line) for one in found.nlu.intents if not one.right] == [
        ("greet", "buy", 7),
        ("buy", "bye", 12),
    ]
    assert (found.nlu.spans, found.failed) == (Spans(expected=3, found=2, right=2), False)
    print_report(found)
    assert capsys.readouterr().out.splitlines() == [
        "understanding: 4 of 6 messages (66.7%)",
        "  greet                      2 of   3   heard as buy 1x",
        "  buy                        2 of   3   heard as bye 1x",
        "entities: 66.7% of 3 found; of those found 100.0% are right",
    ]


def test_the_report_has_rasas_shape(run: Run) -> None:
    found = run(EXAMPLES).nlu.to_json()
    assert list(found) == ["intent_evaluation", "entity_evaluation", "response_selection_evaluation"]
    intents = found["intent_evaluation"]
    assert list(intents) == ["predictions", "report", "precision", "f1_score", "accuracy", "errors"]
    assert intents["report"]["greet"] == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1-score": pytest.approx(0.8),
        "support": 3.0,
        "confused_with": {"buy": 1},
    }
    assert set(intents["report"]) == {"greet", "buy", "accuracy", "micro avg", "macro avg", "weighted avg"}
    assert intents["accuracy"] == pytest.approx(4 / 6)
    assert intents["errors"] == [
        {"text": "buy?", "intent": "greet", "intent_prediction": {"name": "buy", "confidence": 1.0}},
        {"text": "so long", "intent": "buy", "intent_prediction": {"name": "bye", "confidence": 1.0}},
    ]
    entities = found["entity_evaluation"]["RegexEntityExtractor"]
    assert entities["report"]["thing"] == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1-score": pytest.approx(0.8),
        "support": 3.0,
        "confused_with": {},
    }
    assert [error["text"] for error in entities["errors"]] == ["buy coffee and milk"]
    assert found["response_selection_evaluation"] is None


def test_the_fallback_does_not_hide_what_was_mistaken_for_what() -> None:
    unsure = Parse("hm", intent=Intent("nlu_fallback", 0.3))
    unsure.intent_ranking = [unsure.intent, Intent("buy", 0.2), Intent("greet", 0.1)]
    (one,) = judge([Example("hm", "greet")], [unsure]).intents
    assert (one.predicted, one.confidence, one.fell_back, one.right) == ("buy", 0.2, True, False)
    (one,) = judge([Example("hm", "nlu_fallback")], [unsure]).intents
    assert (one.predicted, one.right) == ("nlu_fallback", True)


def test_words_are_judged_with_role_and_group_and_extractors_that_come_trained_are_left_out() -> None:
    text = "to New York"
    tokens = [Token("to", 0, 2), Token("New", 3, 6), Token("York", 7, 11)]
    wanted = Entity("city", text[3:], 3, 11, role="to", group="1")
    found = [Entity("city", "York", 7, 11, extractor="CRFEntityExtractor", role="to", group="1", confidence=0.7)]
    found += [Entity("number", 1, 0, 2, extractor="DucklingEntityExtractor")]
    report = judge([Example(text, "go", (wanted,))], [Parse(text, tokens=tokens, entities=found)])
    crf = report.extractors["CRFEntityExtractor"]
    assert list(report.extractors) == ["CRFEntityExtractor"]
    assert crf.expected == ("no_entity", "city.1.to", "city.1.to")
    assert crf.predicted == ("no_entity", "no_entity", "city.1.to")
    assert crf.confidences == (0.0, 0.0, 0.7)
    assert crf.figures.report["city.1.to"]["recall"] == 0.5
    assert "no_entity" not in crf.figures.report
    assert [error["predicted_entities"] for error in crf.errors] == [[found[0].to_json()]]


def test_answers_of_retrieval_intents_are_judged_by_their_keys() -> None:
    def parse(text: str, key: str) -> Parse:
        response = {"response": {"intent_response_key": key, "confidence": 0.9}}
        return Parse(text, intent=Intent("faq", 1.0), response_selector={"default": response})

    examples = [Example("who", "faq/name"), Example("when", "faq/hours"), Example("buy", "buy")]
    parses = [parse("who", "faq/name"), parse("when", "faq/name"), Parse("buy", intent=Intent("buy", 1.0))]
    found = judge(examples, parses).to_json()["response_selection_evaluation"]
    assert found["accuracy"] == 0.5
    assert found["report"]["faq/hours"]["confused_with"] == {"faq/name": 1}
    assert found["errors"] == [
        {
            "text": "when",
            "intent_response_key_target": "faq/hours",
            "intent_response_key_prediction": {"name": "faq/name", "confidence": 0.9},
        }
    ]


def test_in_cross_validation_each_example_is_held_out_once_and_the_parts_are_always_the_same(shop: Path) -> None:
    project = load_project(shop)
    words = {"greet": "hello", "buy": "buy", "bye": "so long"}
    examples = [Example(f"{word} {number}", name) for name, word in words.items() for number in range(4)]
    examples += [Example("thanks", "thank"), Example("cheers", "thank")]
    progress: list[tuple[str, float]] = []
    report = cross_validate(project, 4, examples, lambda what, done: progress.append((what, done)))
    assert Counter(one.text for one in report.intents) == Counter(example.text for example in examples[:-2])
    assert report.left_out == ("thank",)
    assert len(report.folds) == 4
    assert progress == [("fold 1 of 4", 0.0), ("fold 2 of 4", 0.25), ("fold 3 of 4", 0.5), ("fold 4 of 4", 0.75)]
    for start in range(0, 12, 3):
        assert sorted(one.expected for one in report.intents[start : start + 3]) == ["buy", "bye", "greet"]
    assert cross_validate(project, 4, examples) == report


def test_cross_validation_says_when_there_are_too_few_examples(shop: Path) -> None:
    with pytest.raises(DataError, match="with 3 folds needs two intents with at least 3 examples each"):
        cross_validate(load_project(shop), 3)
    with pytest.raises(DataError, match="needs at least 2 folds"):
        cross_validate(load_project(shop), 1)


def test_one_half_of_the_tests_can_be_left_out(run: Run) -> None:
    both = EXAMPLES + "conversations: [{name: sale, steps: [{user: hello}, {bot: Hello}]}]"
    for what, examples, conversations in ((None, 6, 1), ("nlu", 6, 0), ("core", 0, 1), ("e2e", 0, 1)):
        found = run(both, what)
        assert (len(found.nlu.intents), found.conversations) == (examples, conversations)
    with pytest.raises(ConfigError, match="'frontdesk test nlp' is not known: it is 'nlu', 'core', 'e2e' or nothing"):
        run(both, "nlp")
