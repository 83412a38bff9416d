"""Patterns, lookup tables and synonyms mean what they mean in Rasa."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bot.errors import ConfigError, DataError, Source, UnknownName
from bot.messages import Entity, Parse
from bot.nlu.entity_synonym_mapper import EntitySynonymMapper
from bot.nlu.lexical_syntactic_featurizer import LexicalSyntacticFeaturizer
from bot.nlu.patterns import Patterns
from bot.nlu.regex_entity_extractor import RegexEntityExtractor
from bot.nlu.regex_featurizer import RegexFeaturizer
from bot.nlu.spacy_entity_extractor import SpacyEntityExtractor
from bot.nlu.spacy_nlp import SpacyNLP
from bot.training_data import Example, Lookup, Pattern, TrainingData

DATA = TrainingData(
    examples=(
        Example("pay from 12345678", "pay", (Entity("account", "12345678", 9, 17),)),
        Example("I live in NYC", "live", (Entity("city", "New York", 10, 13),)),
    ),
    patterns=(Pattern("account", r"\d{8}"), Pattern("greeting", r"hey\w*")),
    lookups=(Lookup("city", ("New York", "York", "北京", "C++ City")),),
    synonyms={"the big apple": "New York"},
)


def _found(extractor: RegexEntityExtractor, text: str) -> list[tuple[str, str]]:
    parse = Parse(text)
    extractor.parse([parse])
    assert all(entity.value == text[entity.start : entity.end] for entity in parse.entities)
    return [(entity.entity, entity.value) for entity in parse.entities]


def _trained(**options: bool) -> RegexEntityExtractor:
    extractor = RegexEntityExtractor(**options)
    extractor.train(DATA, [])
    return extractor


def test_only_patterns_named_after_an_entity_extract() -> None:
    assert _found(_trained(), "heyho, 87654321") == [("account", "87654321")]


def test_the_longest_lookup_value_wins_and_case_does_not_count() -> None:
    assert _found(_trained(), "from new york to York") == [("city", "new york"), ("city", "York")]


def test_lookup_values_are_whole_words_but_in_chinese_any_characters() -> None:
    assert _found(_trained(), "Yorkshire? 我在北京市住, c++ city") == [("city", "北京"), ("city", "c++ city")]


def test_word_boundaries_and_case_can_be_switched() -> None:
    assert _found(_trained(use_word_boundaries=False), "Yorkshire") == [("city", "York")]
    assert _found(_trained(case_sensitive=True), "york York") == [("city", "York")]
    assert _found(_trained(use_lookup_tables=False, use_regexes=False), "York 12345678") == []


def test_what_was_saved_finds_the_same(tmp_path: Path) -> None:
    _trained().save(tmp_path)
    loaded = RegexEntityExtractor()
    loaded.load(tmp_path)
    assert _found(loaded, "12345678 in 北京") == [("account", "12345678"), ("city", "北京")]


def test_a_pattern_that_does_not_compile_is_reported_with_its_line() -> None:
    data = TrainingData(examples=DATA.examples, patterns=(Pattern("account", "(", Source("data/nlu.yml", 7)),))
    with pytest.raises(DataError, match=r"data/nlu\.yml:7: .*'account' does not compile"):
        RegexEntityExtractor().train(data, [])


def test_a_pattern_that_never_ends_is_given_up_and_the_text_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    patterns = Patterns([("slow", r"(?:\w+\s?)+[!?]"), ("account", r"\d{8}")])
    with caplog.at_level(logging.WARNING):
        found = patterns.find("secret " * 600 + "12345678")
    assert [match.name for match in found] == ["account"]
    assert "slow" in caplog.text
    assert "secret" not in caplog.text


def test_a_hundred_thousand_characters_are_read_up_to_the_limit() -> None:
    assert len(Patterns([], {"city": ["York"]}).find("York " * 20_000)) == 1000


def test_the_featurizer_says_which_patterns_match() -> None:
    featurizer = RegexFeaturizer()
    featurizer.train(DATA, [])
    parse = Parse("hey, 12345678")
    featurizer.parse([parse])
    assert list(parse.features["RegexFeaturizer"]) == [1, 0, 1]  # account, city, greeting


def test_a_project_without_patterns_has_no_regex_feature() -> None:
    featurizer = RegexFeaturizer()
    featurizer.train(TrainingData(), [])
    parse = Parse("hello")
    featurizer.parse([parse])
    assert parse.features == {}


def test_synonyms_come_from_their_blocks_and_from_examples_and_case_does_not_count(tmp_path: Path) -> None:
    trained = EntitySynonymMapper()
    trained.train(DATA, [])
    trained.save(tmp_path)
    mapper = EntitySynonymMapper()
    mapper.load(tmp_path)
    parse = Parse("", entities=[Entity("city", "The Big Apple"), Entity("city", "nyc"), Entity("city", "NEW YORK")])
    mapper.parse([parse])
    assert [entity.value for entity in parse.entities] == ["New York"] * 3
    assert {entity.processors for entity in parse.entities} == {("EntitySynonymMapper",)}


def test_values_that_are_no_text_and_unknown_ones_stay_as_they_are() -> None:
    mapper = EntitySynonymMapper()
    mapper.train(TrainingData(synonyms={"5": "five"}), [])
    parse = Parse("", entities=[Entity("number", 5), Entity("city", "Paris")])
    mapper.parse([parse])
    assert parse.entities == [Entity("number", 5), Entity("city", "Paris")]


def test_lexical_features_are_checked_by_name_and_number() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'upper'"):
        LexicalSyntacticFeaturizer(features=[["uper"]])
    with pytest.raises(ConfigError, match="odd number"):
        LexicalSyntacticFeaturizer(features=[["low"], ["low"]])


def test_a_missing_spacy_model_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(ConfigError, match="spacy download en_no_such_model"):
        SpacyNLP(model="en_no_such_model")
    with pytest.raises(ConfigError, match="needs a trained spaCy model"):
        SpacyEntityExtractor().parse([Parse("hello")])
