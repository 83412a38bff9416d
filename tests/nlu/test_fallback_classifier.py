import pytest

from bot.messages import Intent, Parse
from bot.nlu.fallback_classifier import FallbackClassifier


def after_fallback(*confidences: float, **options: float) -> Parse:
    ranking = [Intent(f"intent{number}", confidence) for number, confidence in enumerate(confidences)]
    parse = Parse("text", intent=ranking[0] if ranking else Intent(None, 0.0), intent_ranking=ranking)
    FallbackClassifier(**options).parse([parse])
    return parse


def test_a_sure_intent_stays():
    assert after_fallback(0.8, 0.1).intent.name == "intent0"


def test_an_unsure_intent_becomes_nlu_fallback_with_the_threshold_as_its_confidence():
    parse = after_fallback(0.29, 0.1)
    assert parse.intent == Intent("nlu_fallback", 0.3)
    assert [intent.name for intent in parse.intent_ranking] == ["nlu_fallback", "intent0", "intent1"]


def test_two_intents_that_are_about_as_sure_are_ambiguous():
    assert after_fallback(0.5, 0.45).intent.name == "nlu_fallback"
    assert after_fallback(0.5, 0.45, ambiguity_threshold=0.01).intent.name == "intent0"


def test_no_intent_at_all_is_a_fallback():
    assert after_fallback().intent.name == "nlu_fallback"


def test_a_threshold_is_a_confidence():
    with pytest.raises(ValueError, match="threshold"):
        FallbackClassifier(threshold=30)
