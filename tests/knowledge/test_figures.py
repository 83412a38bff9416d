"""An answer states no figure and no address that its sources do not."""

from __future__ import annotations

import pytest

from bot.knowledge.figures import invented

FEES = "A transfer costs £15.00, plus 2.75 % of the amount, at most £1,000. Ten free a year; call 0800 123 456."


@pytest.mark.parametrize(
    "answer",
    [
        "It costs £15 and 2.75%.",
        "15英镑，另收２.75％。",
        "At most 1000 pounds.",
        "At most £1 000.00.",
        "Call 0800-123-456 or 0800123456.",
        "The first 10 are free.",
        "Ten are free.",
        "One of these, or two.",
        "1. A transfer costs £15.\n2. Call 0800 123 456.",
    ],
)
def test_the_same_figure_may_be_written_in_another_way(answer: str) -> None:
    assert invented(answer, [FEES]) == set()


@pytest.mark.parametrize(
    ("answer", "figure"),
    [
        ("It costs £16.", "16"),
        ("It costs £15.50.", "15.5"),
        ("It costs 2.5 %.", "2.5"),
        ("At most £10,000.", "10000"),
        ("Call 0800 999 456.", "0800999456"),
        ("It costs fifty pounds.", "50"),
        ("费用为二十英镑。", "二十"),
        ("利率是百分之五。", "百分之五"),
        ("Go to http://harbour.example/login now.", "http://harbour.example/login"),
        ("Write to help@harbour.example", "help@harbour.example"),
        ("Go to harbour-bank.example.", "harbour-bank.example"),
    ],
)
def test_what_no_source_states_is_invented(answer: str, figure: str) -> None:
    assert figure in invented(answer, [FEES])
