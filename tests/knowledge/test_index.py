"""A question finds the passages that answer it, by words and by meaning, in the customer's language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bot.errors import ModelError
from bot.knowledge.index import Index, encoder_of, words_of
from bot.nlu.language_model_featurizer import LanguageModelFeaturizer

BANK = Path(__file__).parents[2] / "domains" / "banking" / "knowledge"
LANGUAGES = ("en", "zh")
NAMES = ("fees", "fees.zh", "limits", "limits.zh")


@pytest.fixture(scope="module")
def featurizer() -> LanguageModelFeaturizer:
    return LanguageModelFeaturizer(languages=LANGUAGES)


@pytest.fixture(scope="module")
def bank(featurizer: LanguageModelFeaturizer) -> Index:
    """The banking pack's documents on fees and limits."""
    return Index.build([BANK / f"{name}.md" for name in NAMES], languages=LANGUAGES, encode=encoder_of([featurizer]))


def documents(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.replace('_', '.')}.md").write_text(text, "utf-8")
    return folder


# ---- finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "language", "heading"),
    [
        ("how much does it cost to send money overseas", "en", "International transfer fees"),
        ("do you charge for taking out cash at a machine", "en", "Cash withdrawal at an ATM"),
        ("汇钱到国外要多少手续费", "zh", "国际转账手续费"),
    ],
)
def test_a_question_finds_its_passage_by_meaning(bank: Index, question: str, language: str, heading: str) -> None:
    best = bank.search(question, language)[0]
    assert best.passage.title[-1] == heading
    assert best.confidence >= 0.5


@pytest.mark.parametrize(("question", "language"), [("tell me a joke", "en"), ("今天天气怎么样", "zh"), ("asdf", "en")])
def test_what_no_document_answers_has_next_to_no_confidence(bank: Index, question: str, language: str) -> None:
    assert sum(hit.confidence for hit in bank.search(question, language)) < 0.1


def test_confidences_are_shares_of_one_best_first(bank: Index) -> None:
    confidences = [hit.confidence for hit in bank.search("do you charge for transfers", "en", k=1000)]
    assert confidences == sorted(confidences, reverse=True)
    assert 0.5 < sum(confidences) <= 1


def test_k_passages_are_found(bank: Index) -> None:
    assert len(bank.search("fees", "en", k=2)) == 2


@pytest.mark.parametrize("question", ["", "  ", "?!", "🙂", "a" * 5000, "0" * 300])
def test_any_text_can_be_asked(bank: Index, question: str) -> None:
    assert all(0 <= hit.confidence < 0.5 for hit in bank.search(question, "en"))


def test_without_an_encoder_words_find_the_passage(tmp_path: Path) -> None:
    documents(
        tmp_path, fees="# Fees\n\n## Cheques\nA cheque is free.\n\n## Cards\nA card is free.\n\n## Cash\nIt is free.\n"
    )
    best = Index.build([tmp_path], languages=["en"]).search("what about cheques?", "en")[0]
    assert best.passage.title[-1] == "Cheques"
    assert best.confidence >= 0.5


def test_no_documents_find_nothing(tmp_path: Path) -> None:
    assert Index.build([tmp_path], languages=["en"]).search("fees", "en") == []


# ---- languages -----------------------------------------------------------------------------------


def test_each_customer_reads_the_translation_where_there_is_one(tmp_path: Path) -> None:
    documents(tmp_path, fees="# Fees\nfree", fees_zh="# 费用\n免费", app="# App\nfree")
    index = Index.build([tmp_path], languages=LANGUAGES)
    assert {hit.passage.title for hit in index.search("free", "zh", k=9)} == {("费用",), ("App",)}
    assert {hit.passage.title for hit in index.search("free", "en", k=9)} == {("Fees",), ("App",)}


@pytest.mark.parametrize("language", [None, "fr"])
def test_another_language_reads_the_project_s_first(tmp_path: Path, language: str | None) -> None:
    documents(tmp_path, fees="# Fees\nfree", fees_zh="# 费用\n免费")
    assert Index.build([tmp_path], languages=LANGUAGES).search("free", language)[0].passage.title == ("Fees",)


def test_a_chinese_question_finds_an_english_passage_where_there_is_no_other(tmp_path: Path) -> None:
    documents(tmp_path, a="# Transfer money\nHow to transfer money.", b="# Opening hours\nFrom nine to five.")
    index = Index.build([tmp_path], languages=LANGUAGES)
    assert index.search("我要转账", "zh")[0].passage.title == ("Transfer money",)


def test_word_endings_and_small_words_do_not_count() -> None:
    assert set(words_of("How do I get the transfers?")) == set(words_of("transferring, transferred")) == {"transfer"}
    assert words_of("请问怎么转账") == ["转账"]


# ---- saving and loading --------------------------------------------------------------------------


def test_a_loaded_index_answers_as_the_built_one(
    tmp_path: Path, bank: Index, featurizer: LanguageModelFeaturizer
) -> None:
    bank.save(tmp_path)
    loaded = Index.load(tmp_path, encode=encoder_of([featurizer]))
    assert loaded.search("cash abroad", "en") == bank.search("cash abroad", "en")


def test_the_same_documents_give_the_same_bytes(tmp_path: Path, featurizer: LanguageModelFeaturizer) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        encode = encoder_of([featurizer])
        Index.build([BANK / "limits.md"], languages=LANGUAGES, encode=encode).save(tmp_path / name)
        written.append([(file.name, file.read_bytes()) for file in sorted((tmp_path / name).iterdir())])
    assert [name for name, _ in written[0]] == ["passages.json", "vectors.safetensors"]
    assert written[0] == written[1]


def test_without_its_encoder_a_loaded_index_goes_by_words(tmp_path: Path, bank: Index) -> None:
    bank.save(tmp_path)
    assert Index.load(tmp_path).search("overdraft limit", "en")[0].passage.title[-1] == "Overdraft limit"


@pytest.mark.parametrize("damage", ["gone", "no json", "no vectors", "too few vectors"])
def test_a_damaged_index_says_what_to_do(
    tmp_path: Path, bank: Index, featurizer: LanguageModelFeaturizer, damage: str
) -> None:
    from safetensors.numpy import save_file

    bank.save(tmp_path)
    if damage == "gone":
        (tmp_path / "passages.json").unlink()
    elif damage == "no json":
        (tmp_path / "passages.json").write_text("{")
    elif damage == "no vectors":
        (tmp_path / "vectors.safetensors").write_bytes(b"12345")
    else:
        one = {"wholes": np.ones((1, 384), np.float32), "sentences": np.ones((1, 384), np.float32)}
        save_file({**one, "owners": np.zeros(1, np.int32)}, tmp_path / "vectors.safetensors")
    with pytest.raises(ModelError, match="Run: frontdesk train"):
        Index.load(tmp_path, encode=encoder_of([featurizer]))


# ---- the encoder ---------------------------------------------------------------------------------


class _Other:
    def parse(self, parses: Sequence[object]) -> None: ...


def test_the_encoder_is_the_pipeline_s_own_and_loaded_once(featurizer: LanguageModelFeaturizer) -> None:
    encode = encoder_of([_Other(), featurizer])
    assert encode is not None
    rows = encode(["transfer", "转账"])
    assert rows.shape == (2, 384)
    assert featurizer._encoder is featurizer._load_encoder()


def test_a_pipeline_without_an_encoder_has_none() -> None:
    assert encoder_of([_Other()]) is None
