"""Questions in a terminal: the arrow keys choose, Enter answers, Ctrl-C asks for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


class SomethingElse(Exception):
    """The person does not want to answer this, but to do something else."""


async def ask_text(question: str, default: str = "") -> str:
    import questionary

    answer: str = await _answered(questionary.text(question, default=default))
    return answer.strip()


async def ask_yes(question: str) -> bool:
    import questionary

    answer: bool = await _answered(questionary.confirm(question))
    return answer


async def ask_which(question: str, choices: Sequence[tuple[str, _T]]) -> _T:
    """One of the choices, each a title and what it stands for. Typing narrows a long list down."""
    import questionary

    listed = [questionary.Choice(title, value=number) for number, (title, _) in enumerate(choices)]
    long = len(listed) > 5
    asked = questionary.select(question, listed, use_search_filter=long, use_jk_keys=not long)
    number: int = await _answered(asked)
    return choices[number][1]


async def _answered(question: Any) -> Any:
    try:
        return await question.unsafe_ask_async()
    except (KeyboardInterrupt, EOFError) as error:
        raise SomethingElse from error
