"""What the banking and common packs promise about their training examples and documents."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bot.project import load_project
from bot.validation import validate

DOMAINS = Path(__file__).parent.parent / "domains"
KNOWLEDGE = DOMAINS / "banking" / "knowledge"
LOOKUPS = DOMAINS / "banking" / "lookups.yml"
COMMON_INTENTS = ["greet", "goodbye", "affirm", "deny", "thank_you", "cancel", "help", "bot_challenge"]
COMMON_INTENTS += ["human_handoff", "inform", "out_of_scope", "repeat", "restart"]
BANKING_INTENTS = ["check_balance", "list_transactions", "spending_by_category", "transfer_money", "block_card"]
BANKING_INTENTS += ["replace_card", "pay_bill", "ask_fees", "ask_limits", "find_branch", "ask_loan", "ask_rates"]
BANKING_INTENTS += ["dispute_charge", "who_am_i", "log_out"]
ENTITIES = {"payee", "account", "category", "card_type", "biller", "city", "merchant"}
ENTITIES |= {"customer_number", "one_time_code"}
CANONICAL = {
    "account": {"checking", "savings", "credit_card"},
    "card_type": {"debit_card", "credit_card"},
    "category": {
        *("groceries", "restaurants", "transport", "shopping"),
        *("utilities", "entertainment", "health", "other"),
    },
}
FILES = {"en": "nlu.yml", "zh": "nlu_zh.yml"}
HELD_OUT = {"en": "nlu_en.yml", "zh": "nlu_zh.yml"}
ANNOTATION = re.compile(r"\[([^\]]+)\](?:\((\w+)\)|(\{[^}]+\}))")


@dataclass(frozen=True)
class Labelled:
    """An example with its intent; `entities` are pairs of name and the words annotated."""

    text: str
    intent: str
    entities: tuple[tuple[str, str], ...]


def entries(path: Path, kind: str) -> Iterator[tuple[str, list[str]]]:
    """(name, lines) of each `kind` block (intent, synonym, lookup, regex) in the file."""
    for block in yaml.safe_load(path.read_text("utf-8"))["nlu"]:
        if kind in block:
            yield block[kind], [line.removeprefix("- ") for line in block["examples"].splitlines() if line]


def labelled(path: Path) -> list[Labelled]:
    return [
        Labelled(
            ANNOTATION.sub(r"\1", line),
            intent,
            tuple((name or json.loads(options)["entity"], text) for text, name, options in ANNOTATION.findall(line)),
        )
        for intent, lines in entries(path, "intent")
        for line in lines
    ]


def training(language: str) -> list[Labelled]:
    return [example for pack in ("common", "banking") for example in labelled(DOMAINS / pack / FILES[language])]


def held_out(language: str) -> list[Labelled]:
    return labelled(DOMAINS / "banking" / "tests" / HELD_OUT[language])


def plain(text: str) -> str:
    """The letters and digits alone: two examples that differ in punctuation are one."""
    return re.sub(r"[\W_]+", "", text).lower() or text


def passages(path: Path) -> list[str]:
    return re.split(r"^## ", path.read_text("utf-8"), flags=re.M)[1:]


def figures(passage: str) -> list[str]:
    """Sums, percentages and telephone numbers, in any order."""
    return sorted(re.findall(r"£[\d.,]*\d|\d[\d.]* %|\+?\d[\d ]{9,}\d|\d+:\d\d", passage))


DOCUMENTS = sorted(path for path in KNOWLEDGE.glob("*.md") if not path.name.endswith(".zh.md"))


@pytest.mark.parametrize("language", FILES)
def test_every_intent_has_twenty_different_examples(language: str) -> None:
    found = defaultdict(set)
    for example in training(language):
        found[example.intent].add(plain(example.text))
    assert set(found) == {*COMMON_INTENTS, *BANKING_INTENTS}
    assert {intent: len(texts) for intent, texts in found.items() if len(texts) < 20} == {}


@pytest.mark.parametrize("language", FILES)
def test_no_example_stands_twice_or_under_two_intents(language: str) -> None:
    intents = defaultdict(list)
    for example in training(language):
        intents[example.text.lower()].append(example.intent)
    assert {text: names for text, names in intents.items() if len(names) > 1} == {}
    meanings = defaultdict(set)
    for example in training(language):
        meanings[plain(example.text)].add(example.intent)
    assert {text: names for text, names in meanings.items() if len(names) > 1} == {}


@pytest.mark.parametrize("language", FILES)
def test_held_out_messages_are_not_among_the_training_examples(language: str) -> None:
    known = {plain(example.text) for example in training(language)}
    assert [example.text for example in held_out(language) if plain(example.text) in known] == []


@pytest.mark.parametrize("language", FILES)
def test_every_intent_is_held_out_eight_times(language: str) -> None:
    found = defaultdict(set)
    for example in held_out(language):
        found[example.intent].add(example.text)
    assert set(found) == {*COMMON_INTENTS, *BANKING_INTENTS}
    assert {intent: len(texts) for intent, texts in found.items() if len(texts) < 8} == {}


@pytest.mark.parametrize("language", FILES)
def test_annotations_use_the_banks_entities_without_articles(language: str) -> None:
    for example in [*training(language), *held_out(language)]:
        assert not set("[]{}()") & set(example.text), example.text
        for name, text in example.entities:
            assert name in ENTITIES, example.text
            assert not re.match(r"(?i)(my|the|a|an|your|to|from)\b|我的|给|在", text), example.text
            assert text == text.strip(), example.text


@pytest.mark.parametrize("language", FILES)
def test_what_customers_call_accounts_cards_and_categories_has_a_value_the_actions_know(language: str) -> None:
    values = {spelling.lower(): value for value, lines in entries(LOOKUPS, "synonym") for spelling in lines}
    for example in [*training(language), *held_out(language)]:
        for name, text in example.entities:
            if name in CANONICAL:
                assert values.get(text.lower(), text.lower()) in CANONICAL[name], example.text


def test_a_spelling_means_one_thing() -> None:
    values = defaultdict(set)
    for value, lines in entries(LOOKUPS, "synonym"):
        for spelling in lines:
            values[spelling.lower()].add(value)
    assert {spelling: found for spelling, found in values.items() if len(found) > 1} == {}


def test_lookups_and_patterns_are_named_after_entities() -> None:
    names = [name for kind in ("lookup", "regex") for name, _ in entries(LOOKUPS, kind)]
    assert set(names) <= ENTITIES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12345678", {"customer_number": "12345678"}),
        ("客户号是12345678，验证码650021", {"customer_number": "12345678", "one_time_code": "650021"}),
        ("code 019384.", {"one_time_code": "019384"}),
        ("£123456", {}),
        ("send 1234567 pounds", {}),
        ("07700900123", {}),
    ],
)
def test_customer_numbers_and_codes_are_found_beside_chinese_and_not_in_sums(text: str, found: dict[str, str]) -> None:
    patterns = {name: re.compile(lines[0]) for name, lines in entries(LOOKUPS, "regex")}
    hits = {name: match[0] for name, pattern in patterns.items() if (match := pattern.search(text))}
    assert hits == found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_chinese_document_says_the_same_with_the_same_figures(document: Path) -> None:
    chinese = document.with_suffix(".zh.md")
    for path in (document, chinese):
        assert path.read_text("utf-8").startswith("# ")
    english_passages, chinese_passages = passages(document), passages(chinese)
    assert len(english_passages) == len(chinese_passages)
    for english, translated in zip(english_passages, chinese_passages, strict=True):
        assert figures(english) == figures(translated), english.splitlines()[0]


def test_no_chinese_document_is_without_an_english_one() -> None:
    assert {path.name for path in KNOWLEDGE.glob("*.zh.md")} == {path.stem + ".zh.md" for path in DOCUMENTS}


def test_the_documents_hold_at_least_fifty_passages_each_with_a_heading_of_its_own() -> None:
    headings = [passage.splitlines()[0] for path in DOCUMENTS for passage in passages(path)]
    assert len(headings) >= 50
    assert len({heading.lower() for heading in headings}) == len(headings)


@pytest.mark.parametrize("suffix", ["md", "zh.md"])
def test_figures_named_in_several_documents_agree(suffix: str) -> None:
    texts = {path.name: path.read_text("utf-8") for path in KNOWLEDGE.glob(f"*.{suffix}")}
    for name, figure in [
        ("limits", "£5,000"),
        ("limits", "£500"),
        ("limits", "£100"),
        ("cards", "£100"),
        ("cards", "£300"),
        ("limits", "£300"),
        ("fees", "2.75 %"),
        ("travel", "2.75 %"),
        ("fees", "0.8 %"),
        ("rates", "0.8 %"),
        ("security", "0808 157 0199"),
        ("cards", "0808 157 0199"),
        ("branches-and-contact", "0808 157 0199"),
        ("travel", "+44 20 7946 0199"),
        ("branches-and-contact", "+44 20 7946 0199"),
    ]:
        assert figure in texts[f"{name}.{suffix}"], (name, figure)


def test_the_common_pack_is_valid_by_itself(tmp_path: Path) -> None:
    pipeline = "[{name: WhitespaceTokenizer}, {name: CountVectorsFeaturizer}, {name: LogisticRegressionClassifier}]"
    config = f"languages: [en, zh]\ndomains: [common]\nactions: [llm, conversation]\npipeline: {pipeline}\n"
    (tmp_path / "config.yml").write_text(config + "policies: [{name: RulePolicy}]\n")
    assert validate(load_project(tmp_path)) == []
