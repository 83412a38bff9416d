"""Whole pipelines, trained on a few examples: what is understood, what is not, and how sure."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ConfigError, ModelError, Source, UnknownName
from bot.messages import Entity, Parse
from bot.nlu.minilm import model_folder
from bot.nlu.pipeline import Pipeline
from bot.training_data import Example, TrainingData

SOURCE = Source("config.yml", 7)


@dataclass
class Setting:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    source: Source = SOURCE


def settings(*more: Setting) -> list[Setting]:
    chars = {"analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4}
    words = Setting("CountVectorsFeaturizer")
    return [Setting("WhitespaceTokenizer"), words, Setting("CountVectorsFeaturizer", chars), *more]


ENCODER = Setting("LanguageModelFeaturizer")
DIET = Setting("DIETClassifier", {"epochs": 100, "constrain_similarities": True})
FALLBACK = Setting("FallbackClassifier", {"threshold": 0.3, "ambiguity_threshold": 0.1})

MOOD = {
    "greet": "hey|hello|hi|hello there|good morning|good evening|hey there|hey dude|good afternoon",
    "goodbye": "cu|good by|see you later|good night|bye|goodbye|have a nice day|see you around|bye bye",
    "affirm": "yes|y|indeed|of course|that sounds good|correct",
    "deny": "no|n|never|I don't think so|don't like that|no way|not really",
    "mood_great": "perfect|great|amazing|wonderful|I am feeling very good|I am great|super|so good|so perfect",
    "mood_unhappy": "my day was horrible|I am sad|I don't feel very well|super sad|I'm so sad|sad|unhappy|so sad",
    "bot_challenge": "are you a bot?|are you a human?|am I talking to a bot?|am I talking to a human?",
}
BANK = {
    "check_balance": "what is my balance|how much money do I have|show my account balance|how much is in my account"
    "|balance please|what's left in my savings",
    "lost_card": "I lost my card|my credit card is gone|my card was stolen|I can't find my bank card"
    "|please block my card, it is lost|someone took my card",
    "transfer": "send money to my friend|transfer 500 to Anna|I want to make a transfer|pay 20 pounds to Tom"
    "|move money to another account|wire money to my sister",
    "branch_hours": "when does the bank open|what are your opening hours|is the branch open on Sunday"
    "|until when are you open|bank opening times|which hours is the branch open",
    "human": "I want to talk to a person|connect me with an agent|human agent please|let me speak to someone"
    "|customer service|can I speak with a human",
    "loan_rate": "what is the interest rate of a loan|loan rates|how much interest do I pay on a mortgage"
    "|interest rates for a car loan|what does a loan cost|current mortgage rate",
}


def data(examples: dict[str, str], **more: Any) -> TrainingData:
    pairs = [(text, intent) for intent, texts in examples.items() for text in texts.split("|")]
    return TrainingData(examples=tuple(Example(text, intent) for text, intent in pairs), **more)


def trained(pipeline: list[Setting], training_data: TrainingData, **context: Any) -> Pipeline:
    built = Pipeline.build(pipeline, **context)
    built.train(training_data)
    return built


def read(pipeline: Pipeline, text: str) -> Parse:
    return pipeline.parse([text])[0]


@pytest.fixture(scope="module", params=["sparse", "with the encoder"])
def mood(request):
    encoder = [] if request.param == "sparse" else [ENCODER]
    return trained(settings(*encoder, DIET, FALLBACK), data(MOOD))


@pytest.fixture(scope="module")
def bank():
    return trained(settings(ENCODER, DIET, FALLBACK), data(BANK), languages=["en", "zh"])


@pytest.mark.parametrize(
    ("text", "intent"),
    [("hi", "greet"), ("hello there", "greet"), ("i am so sad today", "mood_unhappy"), ("bye bye!", "goodbye")],
)
def test_plain_messages_are_understood_with_confidence(mood, text, intent):
    parse = read(mood, text)
    assert parse.intent.name == intent
    assert parse.intent.confidence > 0.7


@pytest.mark.parametrize("text", ["asdkjh qweoiu", "qwertz uiop", "zxcv bnmm", "🤣🤣🤣", "?!", "", "   "])
def test_nonsense_is_never_an_intent(mood, bank, text):
    assert read(mood, text).intent.name == "nlu_fallback"
    assert read(bank, text).intent.name == "nlu_fallback"


def test_another_subject_is_not_an_intent(bank):
    assert read(bank, "who won the football world cup").intent.name == "nlu_fallback"


def test_two_examples_without_a_word_in_common_are_understood_word_for_word():
    few = {
        "greet": "hi|hello",
        "order": "where is it|check my purchase",
        "deny": "no|stop that",
        "thank": "thanks|cheers",
    }
    pipeline = trained([Setting("WhitespaceTokenizer"), Setting("CountVectorsFeaturizer"), DIET, FALLBACK], data(few))
    understood = {text: read(pipeline, text).intent for texts in few.values() for text in texts.split("|")}
    assert [intent.name for intent in understood.values()] == [name for name in few for _ in range(2)]
    assert min(intent.confidence for intent in understood.values()) > 0.7
    assert read(pipeline, "xyzzy plugh").intent.name == "nlu_fallback"


def test_confidences_are_shares_of_one_and_the_ranking_is_ordered(mood):
    for parse in mood.parse(["yes please", "something else entirely", "good"]):
        confidences = [intent.confidence for intent in parse.intent_ranking if intent.name != "nlu_fallback"]
        assert confidences == sorted(confidences, reverse=True)
        assert 0 <= sum(confidences) <= 1.0001


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("我的余额是多少", "check_balance"),
        ("我的银行卡丢了", "lost_card"),
        ("我要给朋友转账", "transfer"),
        ("银行几点开门", "branch_hours"),
        ("我想和真人客服说话", "human"),
        ("贷款利率是多少", "loan_rate"),
    ],
)
def test_chinese_is_understood_from_english_examples_alone(bank, text, intent):
    assert read(bank, text).intent.name == intent


def test_a_saved_pipeline_understands_the_same(mood, tmp_path):
    mood.save(tmp_path)
    encoder = [ENCODER] if any(name == ENCODER.name for name, _ in mood.components) else []
    again = Pipeline.build(settings(*encoder, DIET, FALLBACK))
    again.load(tmp_path)
    for text in ("hello", "so so sad", "asdf"):
        ours, theirs = (pipeline.parse([text])[0] for pipeline in (again, mood))
        assert (ours.intent_ranking, ours.entities) == (theirs.intent_ranking, theirs.entities)


def test_same_data_and_seed_make_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        trained(settings(DIET), data(MOOD), seed=3).save(tmp_path / folder)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_no_model_file_is_a_pickle(bank, tmp_path):
    bank.save(tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors"}


def test_a_model_of_another_pipeline_is_refused(tmp_path):
    trained(settings(DIET), data(MOOD)).save(tmp_path)
    with pytest.raises(ModelError, match="train again"):
        Pipeline.build([Setting("CountVectorsFeaturizer"), DIET]).load(tmp_path)


def test_a_damaged_model_is_refused(tmp_path):
    pipeline = trained(settings(DIET), data(MOOD))
    pipeline.save(tmp_path)
    next(tmp_path.rglob("grams.json")).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        pipeline.load(tmp_path)


def test_an_unknown_option_names_file_and_line_and_the_nearest_option():
    with pytest.raises(UnknownName, match=r"config.yml:7: .*'epoch'.*'epochs'"):
        Pipeline.build([Setting("DIETClassifier", {"epoch": 5})])


def test_diet_finds_entities_under_its_own_name():
    cities = ["Paris", "London", "Rome", "Berlin", "Madrid", "Vienna", "Oslo", "Athens"]
    examples = tuple(
        Example(f"fly to {city}", "fly", (Entity("city", city, 7, 7 + len(city)),)) for city in cities
    ) + tuple(Example(text, "hotel") for text in ["book a room", "a hotel please", "I need a bed"])
    parse = read(trained(settings(DIET), TrainingData(examples)), "fly to Lisbon")
    assert parse.intent.name == "fly"
    assert [(one.entity, one.value, one.extractor) for one in parse.entities] == [("city", "Lisbon", "DIETClassifier")]


def test_diet_without_intents_leaves_them_alone():
    entities_only = Setting("DIETClassifier", {"intent_classification": False})
    assert read(trained(settings(entities_only), data(MOOD)), "hello").intent.name is None


@pytest.mark.parametrize("name", ["LogisticRegressionClassifier", "SklearnIntentClassifier", "DIETClassifier"])
def test_every_intent_classifier_learns_the_part_before_the_slash(name):
    examples = {
        "faq/name": "who are you|what is your name",
        "faq/age": "how old are you|your age",
        "bye": "bye|goodbye",
    }
    assert read(trained(settings(Setting(name)), data(examples)), "what is your age").intent.name == "faq"


def test_the_ranking_is_as_long_as_asked():
    two = Setting("LogisticRegressionClassifier", {"ranking_length": 2})
    assert len(read(trained(settings(two), data(MOOD)), "hello").intent_ranking) == 2


def test_renormalised_confidences_add_up_to_one():
    diet = Setting("DIETClassifier", {"ranking_length": 2, "renormalize_confidences": True})
    ranking = read(trained(settings(diet), data(MOOD)), "hello you").intent_ranking
    assert sum(intent.confidence for intent in ranking) == pytest.approx(1)


def test_a_project_without_examples_understands_nothing_and_does_not_fail():
    parse = read(trained(settings(DIET, Setting("ResponseSelector"), FALLBACK), TrainingData()), "hello")
    assert parse.intent.name == "nlu_fallback"
    assert parse.response_selector == {}


# ---- response selection --------------------------------------------------------------------------

FAQ = {
    "faq/ask_name": "what is your name|who are you|how are you called",
    "faq/ask_weather": "what's the weather|will it rain|is it sunny",
    "chitchat/joke": "tell me a joke|make me laugh",
    "greet": "hello|hi",
}
ANSWERS = {"faq/ask_name": ("I am Ada.", "Ada."), "faq/ask_weather": ("I never go out.",), "chitchat/joke": ("Ha.",)}


def test_a_response_selector_answers_in_rasas_shape():
    parse = read(
        trained(settings(Setting("ResponseSelector", {"epochs": 5})), data(FAQ, responses=ANSWERS)), "who are you"
    )
    assert parse.response_selector["all_retrieval_intents"] == ["chitchat", "faq"]
    found = parse.response_selector["default"]
    assert found["response"]["responses"] == [{"text": "I am Ada."}, {"text": "Ada."}]
    assert found["response"]["intent_response_key"] == "faq/ask_name"
    assert found["response"]["utter_action"] == "utter_faq/ask_name"
    assert found["response"]["confidence"] == found["ranking"][0]["confidence"] > 0.5
    assert set(found["ranking"][0]) == {"confidence", "intent_response_key"}


def test_a_selector_of_one_retrieval_intent_has_its_name_and_knows_only_its_answers():
    selector = Setting("ResponseSelector", {"retrieval_intent": "faq"})
    parse = read(trained(settings(selector), data(FAQ, responses=ANSWERS)), "tell me a joke")
    assert {row["intent_response_key"] for row in parse.response_selector["faq"]["ranking"]} == {
        "faq/ask_name",
        "faq/ask_weather",
    }


def test_a_selector_is_saved_with_its_answers(tmp_path):
    pipeline = trained(settings(Setting("ResponseSelector")), data(FAQ, responses=ANSWERS))
    pipeline.save(tmp_path)
    again = Pipeline.build(settings(Setting("ResponseSelector")))
    again.load(tmp_path)
    assert read(again, "will it rain").response_selector == read(pipeline, "will it rain").response_selector


def test_without_retrieval_intents_a_selector_says_nothing():
    assert read(trained(settings(Setting("ResponseSelector")), data(MOOD)), "hello").response_selector == {}


# ---- encoders ------------------------------------------------------------------------------------


def test_any_encoder_in_a_folder_is_read_by_transformers():
    ours, theirs = (
        Pipeline.build([Setting("LanguageModelFeaturizer", options)])
        for options in ({}, {"model": str(model_folder()), "alias": "LanguageModelFeaturizer"})
    )
    texts = ["my card is lost", "hello"]
    for left, right in zip(ours.parse(texts), theirs.parse(texts), strict=True):
        assert abs(left.features["LanguageModelFeaturizer"] - right.features["LanguageModelFeaturizer"]).max() < 1e-4


def test_an_encoder_that_is_not_on_this_machine_is_told_in_one_line(tmp_path):
    options = {"model": "no-such/encoder", "cache_dir": str(tmp_path)}
    pipeline = Pipeline.build([Setting("LanguageModelFeaturizer", options)], root=Path())
    with pytest.raises(ConfigError, match=r"no-such/encoder.* is not on this machine"):
        pipeline.train(data(MOOD))


def test_the_gloss_gives_way_to_another_encoder():
    chinese = Parse("我的余额")
    glossed = Pipeline.build([ENCODER]).parse([chinese.text])[0].features["LanguageModelFeaturizer"]
    options = {"model": str(model_folder())}
    plain = Pipeline.build([Setting("LanguageModelFeaturizer", options)]).parse([chinese.text])[0]
    english = Pipeline.build([ENCODER]).parse(["my account balance"])[0].features["LanguageModelFeaturizer"]
    assert glossed @ english > 0.8
    assert plain.features["LanguageModelFeaturizer"] @ english < 0.5
