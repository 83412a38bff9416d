"""Documents become passages: plain text under its path of headings, with file, line and language."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import DataError
from bot.knowledge.passages import MOST_WORDS, Passage, count_words, read_passages, source_line


def read(folder: Path, **files: str) -> list[Passage]:
    """`fees_zh="…"` is knowledge/fees.zh.md."""
    place = folder / "shop" / "knowledge"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / f"{name.replace('_', '.')}.md").write_text(text, "utf-8")
    return read_passages([place], ["en", "zh"])


def test_each_heading_with_text_is_a_passage(tmp_path: Path) -> None:
    first, second = read(tmp_path, fees="# Fees\n\n## Abroad\nIt costs £15.\n\n### Cheques\nThey cost £10.\n")
    assert (first.title, first.text) == (("Fees", "Abroad"), "It costs £15.")
    assert (second.title, second.text) == (("Fees", "Abroad", "Cheques"), "They cost £10.")


def test_a_passage_knows_its_line_and_its_file_wherever_the_project_lies(tmp_path: Path) -> None:
    (passage,) = read(tmp_path, fees="# Fees\n\n## Abroad\n\nIt costs £15.\n")
    assert str(passage.source) == "shop/knowledge/fees.md:5"
    assert str(tmp_path) not in str(passage)


def test_a_translation_is_the_same_document_in_another_language(tmp_path: Path) -> None:
    english, chinese = read(tmp_path, fees="# Fees\n£15", fees_zh="# 费用\n15 英镑")
    assert (english.language, chinese.language) == ("en", "zh")
    assert english.document == chinese.document


def test_a_language_that_the_project_does_not_speak_is_left_out(tmp_path: Path) -> None:
    assert [passage.language for passage in read(tmp_path, fees="# Fees\n£15", fees_de="# Preise\n15 £")] == ["en"]


def test_a_readme_is_no_document(tmp_path: Path) -> None:
    assert read(tmp_path, README="# How to write documents\nLike this.") == []


def test_markdown_is_gone_and_the_words_are_there(tmp_path: Path) -> None:
    text = "# Fees\nIt is **free**, see `app` or [the list](https://bank.example/fees)\nand _more_.\n"
    text += "\n- one\n* two\n\n> said\n"
    (passage,) = read(tmp_path, fees=text)
    assert passage.text == (
        "It is free, see app or the list (https://bank.example/fees) and _more_.\n• one\n• two\nsaid"
    )


def test_a_table_is_one_line_for_each_row(tmp_path: Path) -> None:
    text = "# Limits\n| card | a day | once |\n|---|---|---|\n| debit | £500 | £300 |\n| credit | £200 | |\n"
    (passage,) = read(tmp_path, limits=text)
    assert passage.text == "• debit: a day £500, once £300\n• credit: a day £200"


def test_front_matter_and_headings_in_code_are_no_headings(tmp_path: Path) -> None:
    (passage,) = read(tmp_path, fees="---\ntitle: x\n---\n# Fees\n```\n# not a heading\n```\n")
    assert passage.title == ("Fees",)
    assert "# not a heading" in passage.text


def test_a_document_without_a_heading_is_called_after_its_file(tmp_path: Path) -> None:
    (passage,) = read(tmp_path, opening="We open at nine.")
    assert passage.title == ("Opening",)


def test_a_long_section_becomes_several_passages_that_lose_nothing(tmp_path: Path) -> None:
    paragraphs = [" ".join(f"word{number}x{i}" for i in range(50)) for number in range(6)]
    passages = read(tmp_path, long="# Long\n" + "\n\n".join(paragraphs))
    assert len(passages) == 3
    assert all(count_words(passage.text) <= MOST_WORDS for passage in passages)
    assert "\n".join(passage.text for passage in passages).split() == " ".join(paragraphs).split()
    assert len({passage.source.line for passage in passages}) == 3


def test_chinese_lines_join_without_a_space(tmp_path: Path) -> None:
    (passage,) = read(tmp_path, fees_zh="# 费用\n国际转账\n收费 15 英镑。\n")
    assert passage.text == "国际转账收费 15 英镑。"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"# \xff\xfe")
    with pytest.raises(DataError, match=r"bad\.md: the document cannot be read"):
        read_passages([tmp_path], ["en"])


def test_the_source_line_names_each_heading_once_in_the_language_of_the_customer(tmp_path: Path) -> None:
    passages = read(tmp_path, fees="# Fees\n\n## Abroad\n£15\n\n## Cheques\n£10\n")
    assert source_line([*passages, passages[0]], "en") == "Source: Fees – Abroad; Fees – Cheques"
    assert source_line(passages[:1], "zh-CN") == "来源：Fees – Abroad"
