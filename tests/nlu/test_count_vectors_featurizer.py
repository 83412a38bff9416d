import numpy as np
import pytest

from bot.messages import Parse, Token
from bot.nlu.count_vectors_featurizer import CountVectorsFeaturizer
from bot.training_data import TrainingData


def parse(text: str) -> Parse:
    tokens, end = [], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        tokens.append(Token(word, start, end))
    return Parse(text, tokens=tokens)


def trained(*texts: str, **options) -> CountVectorsFeaturizer:
    featurizer = CountVectorsFeaturizer(**options)
    featurizer.train(TrainingData(), [parse(text) for text in texts])
    return featurizer


def grams(featurizer: CountVectorsFeaturizer, text: str) -> dict[str, float]:
    found = parse(text)
    featurizer.parse([found])
    names = list(featurizer._grams)
    feature = found.features[featurizer.name]
    return {names[index]: float(value) for index, value in zip(feature.indices, feature.values, strict=True)}


def known(featurizer: CountVectorsFeaturizer, text: str) -> float:
    found = parse(text)
    featurizer.parse([found])
    return found.features[featurizer.name].known


def test_words_are_counted_whatever_their_case():
    assert set(grams(trained("Send money", "my card"), "send MY parrot")) == {"send", "my"}


def test_a_rare_word_weighs_more_than_a_common_one():
    weights = grams(trained("my card", "my money", "my account"), "my card")
    assert weights["card"] > weights["my"]


def test_every_vector_with_a_known_word_has_length_1():
    weights = grams(trained("send my money", "my card"), "money money my card unheard")
    assert np.sqrt(sum(weight**2 for weight in weights.values())) == pytest.approx(1)


def test_pairs_of_words_are_features_too():
    assert "my card" in grams(trained("my card", max_ngram=2), "is my card lost")


def test_all_numbers_are_the_same_word():
    assert (
        grams(trained("send 500 pounds"), "send 20 pounds").keys()
        == grams(trained("send 500 pounds"), "send 500 pounds").keys()
    )


def test_char_wb_stays_within_words_and_char_does_not():
    assert "a b" not in trained("a b", analyzer="char_wb", max_ngram=3)._grams
    assert "a b" in trained("a b", analyzer="char", max_ngram=3)._grams


def test_a_misspelt_word_shares_runs_of_characters():
    assert len(grams(trained("balance", analyzer="char_wb", min_ngram=3, max_ngram=4), "ballance")) > 5


def test_chinese_is_read_by_character_runs():
    assert "余额" in grams(trained("我的余额", analyzer="char_wb", max_ngram=2), "查余额")


def test_noise_is_known_to_be_unknown():
    featurizer = trained("what is my balance", "send money to my friend", analyzer="char_wb", max_ngram=4)
    assert known(featurizer, "what is my balance") == 1
    assert known(featurizer, "asdkjh qweoiu") < 0.3
    assert known(featurizer, "") == 0


def test_limits_on_how_common_a_word_must_be():
    texts = ["my card", "my money", "my account"]
    assert set(trained(*texts, min_df=2)._grams) == {"my"}
    assert "my" not in trained(*texts, max_df=0.5)._grams
    assert set(trained(*texts, max_features=1)._grams) == {"my"}


def test_an_unknown_word_is_the_oov_token_when_training_had_one():
    featurizer = trained("my oov", "my thing", OOV_token="oov", OOV_words=["thing"])
    assert set(grams(featurizer, "my parrot")) == {"my", "oov"}
    assert "thing" not in featurizer._grams


def test_accents_and_stop_words_can_be_left_out():
    assert set(grams(trained("the café", strip_accents="unicode", stop_words=["the"]), "the cafe")) == {"cafe"}


def test_what_was_saved_reads_the_same(tmp_path):
    featurizer = trained("my card", "send money", max_ngram=2)
    featurizer.save(tmp_path)
    again = CountVectorsFeaturizer(max_ngram=2)
    again.load(tmp_path)
    assert grams(again, "send my card") == grams(featurizer, "send my card")


@pytest.mark.parametrize(
    "options",
    [{"analyzer": "sentence"}, {"min_ngram": 3, "max_ngram": 2}, {"strip_accents": "yes"}, {"stop_words": "english"}],
)
def test_a_wrong_option_is_told(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CountVectorsFeaturizer(**options)
