"""Entities learned from examples: exact characters, roles, both languages, the same model every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.errors import ConfigError, ModelError, UnknownName
from bot.messages import Entity, Parse
from bot.nlu.crf_entity_extractor import CRFEntityExtractor
from bot.nlu.whitespace_tokenizer import WhitespaceTokenizer
from bot.training_data import Example, Lookup, TrainingData

NAMES = ("Anna", "Bob", "Carl Smith", "Dora", "Emil", "Fay Jones")
CITIES = ("Paris", "Rome", "New York", "Oslo", "Lima", "San Jose")


def _example(*parts: str | tuple[str, str] | tuple[str, str, str]) -> Example:
    """Text with (value, entity) or (value, entity, role) in it."""
    text, entities = "", []
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            role = part[2] if len(part) == 3 else None
            entities.append(Entity(part[1], part[0], len(text), len(text) + len(part[0]), role=role))
            text += part[0]
    return Example(text, "inform", tuple(entities))


EXAMPLES = tuple(
    example
    for name, city, other in zip(NAMES, CITIES, CITIES[1:] + CITIES[:1], strict=True)
    for example in (
        _example("send £20 to ", (name, "payee"), " please"),
        _example("please pay ", (name, "payee")),
        _example("fly from ", (city, "city", "from"), " to ", (other, "city", "to")),
        _example("a flight to ", (other, "city", "to"), " from ", (city, "city", "from")),
        _example("my favourite colours are ", ("red", "colour"), ", ", ("blue", "colour")),
        _example("what is my balance"),
    )
) + tuple(
    _example("转500块给", (name, "payee"), end)
    for name in ("小明", "李雷", "韩梅梅", "王芳", "张伟", "刘洋")
    for end in ("", "吧", "，谢谢")
)


def _trained(examples: tuple[Example, ...] = EXAMPLES, **options: object) -> CRFEntityExtractor:
    extractor = CRFEntityExtractor(**options)  # type: ignore[arg-type]
    parses = [Parse(example.text) for example in examples]
    WhitespaceTokenizer(languages=["en", "zh"]).parse(parses)
    extractor.train(TrainingData(examples=examples, lookups=(Lookup("city", ("Reykjavik",)),)), parses)
    return extractor


def _found(extractor: CRFEntityExtractor, text: str) -> list[Entity]:
    parse = Parse(text)
    WhitespaceTokenizer(languages=["en", "zh"]).parse([parse])
    extractor.parse([parse])
    assert all(entity.value == text[entity.start : entity.end] for entity in parse.entities)
    return parse.entities


@pytest.fixture(scope="module")
def trained() -> CRFEntityExtractor:
    return _trained()


def test_a_name_of_two_words_is_one_entity_with_a_confidence(trained: CRFEntityExtractor) -> None:
    [entity] = _found(trained, "send £45 to Gina Wood please")
    assert (entity.entity, entity.value, entity.extractor) == ("payee", "Gina Wood", "CRFEntityExtractor")
    assert entity.confidence is not None
    assert 0.3 < entity.confidence <= 1


def test_roles_tell_two_cities_apart(trained: CRFEntityExtractor) -> None:
    found = _found(trained, "fly from Lima to New York")
    assert [(entity.value, entity.role) for entity in found] == [("Lima", "from"), ("New York", "to")]


def test_chinese_values_have_their_exact_characters(trained: CRFEntityExtractor) -> None:
    [entity] = _found(trained, "转800块给陈静，谢谢")
    assert (entity.entity, entity.value, entity.start) == ("payee", "陈静", 6)


def test_a_list_is_split_at_its_commas(trained: CRFEntityExtractor) -> None:
    found = _found(trained, "my favourite colours are red, blue")
    assert [entity.value for entity in found] == ["red", "blue"]


def test_an_entity_keeps_the_comma_that_its_examples_have() -> None:
    examples = tuple(
        _example("deliver to ", (f"{number} {street}, {city}", "address"), " today")
        for number, street, city in [(1, "Elm", "Ely"), (22, "Oak", "Bath"), (3, "Ash", "York"), (47, "Fir", "Hull")]
    )
    [entity] = _found(_trained(examples), "deliver to 5 Oak, Hull today")
    assert entity.value == "5 Oak, Hull"


@pytest.mark.parametrize("text", ["", "   ", "😀", "what is my balance", "\x00", "?" * 6000, "你" * 6000])
def test_a_text_without_entities_has_none(trained: CRFEntityExtractor, text: str) -> None:
    assert _found(trained, text) == []


def test_the_same_data_gives_the_same_bytes_and_a_loaded_model_the_same_answers(
    trained: CRFEntityExtractor, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, extractor in zip(folders, (trained, _trained()), strict=True):
        folder.mkdir()
        extractor.save(folder)
    files = [[(path.name, path.read_bytes()) for path in sorted(folder.iterdir())] for folder in folders]
    assert files[0] == files[1]
    loaded = CRFEntityExtractor()
    loaded.load(folders[0])
    text = "fly from Oslo to Reykjavik"
    assert _found(loaded, text) == _found(trained, text) != []


def test_a_damaged_model_is_refused(trained: CRFEntityExtractor, tmp_path: Path) -> None:
    trained.save(tmp_path)
    description = json.loads((tmp_path / "crf.json").read_text(encoding="utf-8"))
    description["features"].pop()
    (tmp_path / "crf.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit together"):
        CRFEntityExtractor().load(tmp_path)
    (tmp_path / "crf.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is damaged"):
        CRFEntityExtractor().load(tmp_path)


def test_a_project_without_entities_trains_saves_and_finds_nothing(tmp_path: Path) -> None:
    extractor = _trained((Example("hello", "greet"), Example("bye", "goodbye")))
    extractor.save(tmp_path)
    extractor.load(tmp_path)
    assert _found(extractor, "send £20 to Bob") == []


def test_entities_of_another_extractor_are_not_learned() -> None:
    entity = Entity("payee", "Bob", 4, 7, extractor="RegexEntityExtractor")
    assert _found(_trained((Example("pay Bob", "pay", (entity,)), Example("hi", "greet"))), "pay Bob") == []


def test_rasas_window_of_features_and_bio_labels_work() -> None:
    window = [["low"], ["low", "title", "suffix3", "pattern", "pos"], ["low", "upper"]]
    [entity] = _found(_trained(features=window, BILOU_flag=False), "please pay Carl Smith")
    assert entity.value == "Carl Smith"
    with pytest.raises(UnknownName, match="Did you mean 'prefix5'"):
        CRFEntityExtractor(features=[["prefix6"]])
    with pytest.raises(ConfigError, match="odd number"):
        CRFEntityExtractor(features=[["low"], ["low"]])
