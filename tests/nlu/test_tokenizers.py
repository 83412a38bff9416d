"""Tokens, languages, and what importing spaCy and jieba costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.messages import Parse
from bot.nlu.jieba_tokenizer import JiebaTokenizer
from bot.nlu.languages import detect_language, is_a_few_words
from bot.nlu.spacy_tokenizer import SpacyTokenizer
from bot.nlu.tokens import MAX_CHARACTERS, fine_tokens
from bot.nlu.whitespace_tokenizer import WhitespaceTokenizer, tokenize
from bot.training_data import TrainingData

TRICKY = [
    "",
    " ",
    "hello!!!world",
    "10'000.00 $20 -5",
    "😀 ok",
    "我要转500块给John",
    "\x00\u200f\u0301",
    "مرحبا",
    "a" * 9000,
]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my card?", "en"),
        ("我的卡在哪里", "zh"),
        ("iPhone 多少钱", "zh"),
        ("My name is 王小明", "en"),
        ("transfer 500 to 李雷", "en"),
        ("500", None),
        ("😀 !?", None),
        ("", None),
        ("Привет", None),
    ],
)
def test_the_script_and_then_the_grammar_tell_the_language(text: str, language: str | None) -> None:
    assert detect_language(text, ["en", "zh"]) == language


def test_the_language_is_spelt_as_the_project_spells_it() -> None:
    assert detect_language("你好", ["de", "zh-CN"]) == "zh-CN"
    assert detect_language("hello", ["zh", "de"]) == "de"


@pytest.mark.parametrize(
    ("text", "tells_little"),
    [("Tom Baker", True), ("savings", True), ("BT", True), ("how much is it", False), ("李娜", False), ("50", False)],
)
def test_a_few_words_without_grammar_may_be_a_name_in_any_language(text: str, tells_little: bool) -> None:
    assert is_a_few_words(text) is tells_little


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hi. My name is rasa!", ["Hi", "My", "name", "is", "rasa"]),
        ("I don't", ["I", "don", "t"]),
        ("10'000.00 and -5 or $20", ["10'000.00", "and", "-5", "or", "$20"]),
        ("mail a.b@c.com now :)", ["mail", "a.b@c.com", "now"]),
        ("great 😀", ["great"]),
        (":)", [":)"]),
        ("我要500块", ["我", "要", "500", "块"]),
    ],
)
def test_whitespace_tokens_are_rasas_and_chinese_characters_stand_alone(text: str, words: list[str]) -> None:
    assert [token.text for token in tokenize(text)] == words


@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("name", ["whitespace", "spacy", "jieba", "fine"])
def test_every_token_is_where_it_says_it_is(name: str, text: str) -> None:
    parse = Parse(text)
    languages = ("en", "zh")
    match name:
        case "whitespace":
            WhitespaceTokenizer(languages=languages).parse([parse])
        case "spacy":
            SpacyTokenizer(languages=languages).parse([parse])
        case "jieba":
            JiebaTokenizer(languages=languages).parse([parse])
        case _:
            parse.tokens = fine_tokens(text)
    assert [token.text for token in parse.tokens] == [text[token.start : token.end] for token in parse.tokens]


def test_a_huge_text_is_read_up_to_a_limit() -> None:
    assert max(token.end for token in tokenize("word " * 20_000)) <= MAX_CHARACTERS


def test_a_token_pattern_splits_further() -> None:
    parse = Parse("re-order_now")
    WhitespaceTokenizer(token_pattern=r"[a-z]+").parse([parse])
    assert [(token.text, token.start) for token in parse.tokens] == [("re", 0), ("order", 3), ("now", 9)]


def test_a_wrong_token_pattern_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="is not a regular expression"):
        WhitespaceTokenizer(token_pattern="(")


def test_spacy_splits_english_and_jieba_chinese_in_one_project() -> None:
    parses = [Parse("I'd pay £20."), Parse("我要给王小明转账")]
    SpacyTokenizer(languages=["en", "zh"]).parse(parses)
    assert [token.text for token in parses[0].tokens] == ["I", "'d", "pay", "£", "20", "."]
    assert "转账" in [token.text for token in parses[1].tokens]
    assert [parse.language for parse in parses] == ["en", "zh"]


def test_a_projects_dictionary_makes_its_words_and_travels_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "bank.txt").write_text("零钱宝宝卡 100000\n", encoding="utf-8")
    trained = JiebaTokenizer(dictionary_path="words", root=tmp_path)
    trained.train(TrainingData(), [])
    trained.save(tmp_path)
    served = JiebaTokenizer(dictionary_path="words", root=tmp_path / "elsewhere")
    served.load(tmp_path)
    parse = Parse("我的零钱宝宝卡丢了")
    served.parse([parse])
    assert "零钱宝宝卡" in [token.text for token in parse.tokens]


def test_a_missing_dictionary_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dictionary_path"):
        JiebaTokenizer(dictionary_path="nowhere", root=tmp_path).train(TrainingData(), [])


def test_english_needs_neither_torch_nor_jieba_and_torch_can_be_imported_later() -> None:
    program = """
import importlib.util, sys
from bot.messages import Parse
from bot.nlu.spacy_tokenizer import SpacyTokenizer
SpacyTokenizer(languages=["en", "zh"]).parse([Parse("hello there"), Parse("500")])
loaded = [name for name in ("torch", "jieba", "dateparser") if name in sys.modules]
print("spacy" in sys.modules, loaded, importlib.util.find_spec("torch") is not None)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "True [] True"


def test_a_text_without_spaces_keeps_nobody_waiting_and_its_tokens_their_places() -> None:
    text = "hello " + "£" * 500 + " bye"
    [parse] = [Parse(text)]
    SpacyTokenizer().parse([parse])
    assert all(text[token.start : token.end] == token.text for token in parse.tokens)
    assert parse.tokens[0].text == "hello"
    assert parse.tokens[-1].text == "bye"
