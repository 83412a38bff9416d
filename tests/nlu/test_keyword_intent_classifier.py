from bot.messages import Parse
from bot.nlu.keyword_intent_classifier import KeywordIntentClassifier
from bot.training_data import Example, TrainingData

EXAMPLES = (
    Example("balance", "check_balance"),
    Example("Lost", "lost_card"),
    Example("余额", "check_balance"),
    Example("help", "help"),
    Example("help", "human"),
)


def intent_of(text: str, **options: bool) -> str | None:
    classifier = KeywordIntentClassifier(**options)
    classifier.train(TrainingData(EXAMPLES), [])
    parse = Parse(text)
    classifier.parse([parse])
    return parse.intent.name


def test_a_text_that_contains_a_keyword_has_its_intent():
    assert intent_of("what's my balance?") == "check_balance"


def test_a_keyword_is_a_whole_word_but_in_chinese():
    assert intent_of("balanced diet") is None
    assert intent_of("我的余额呢") == "check_balance"


def test_case_counts_unless_told_otherwise():
    assert intent_of("i lost it") is None
    assert intent_of("i lost it", case_sensitive=False) == "lost_card"


def test_a_keyword_of_two_intents_is_of_none():
    assert intent_of("help") is None


def test_keywords_are_saved(tmp_path):
    classifier = KeywordIntentClassifier()
    classifier.train(TrainingData(EXAMPLES), [])
    classifier.save(tmp_path)
    again = KeywordIntentClassifier()
    again.load(tmp_path)
    parse = Parse("my balance")
    again.parse([parse])
    assert parse.intent.confidence == 1.0
