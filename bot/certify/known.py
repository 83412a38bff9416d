"""Why two turns differ: what docs/rasa-differences.md lists, models that learnt otherwise, and chance.

`row` of a known difference is the first column of its row in that table, word for word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.assistant import MOST_ACTIONS
from bot.certify.here import Held
from bot.certify.turns import Did, Turn, first_difference
from bot.payloads import DEEPEST_JSON
from bot.project import Project

LEARNED = ("TEDPolicy", "UnexpecTEDIntentPolicy")
"""Policies that guess where no rule or story says what comes next: another model guesses otherwise."""

SURE = 0.9
"""From this confidence on a learned policy does not guess: such a difference is unexplained."""

STATES_SEEN = 60


@dataclass(frozen=True)
class Seen:
    """A turn of a dialogue that went otherwise in Rasa."""

    project: Project
    held: Held
    number: int
    theirs: Turn

    @property
    def ours(self) -> Turn:
        return self.held.turns[self.number]

    @property
    def so_far(self) -> Sequence[Turn]:
        return self.held.turns[: self.number + 1]


@dataclass(frozen=True)
class Difference:
    """A difference on purpose, and whether it can be what is seen."""

    row: str
    applies: Callable[[Seen], bool]


def _payload(seen: Seen) -> str:
    return seen.ours.said if seen.ours.said.startswith("/") else ""


def _action_failed(seen: Seen) -> bool:
    """It failed in Rasa, too: there an action that fails leaves nothing behind."""
    failed = re.search(r"action '([^']+)'", seen.held.failures.get(seen.number, ""))
    return failed is not None and not _left_something(failed[1], seen.theirs)


def _left_something(action: str, turn: Turn) -> bool:
    inside = False
    for event in turn.events:
        if event["event"] == "action":
            inside = event.get("name") == action
        elif inside and event["event"] != "user_featurization":
            return True
    return False


def _odd_braces(seen: Seen) -> bool:
    return len(seen.ours.replies) > len(seen.theirs.replies) and any(
        re.search(r"\{\}|\}", str(reply.get("text") or "")) for reply in seen.ours.replies
    )


DIFFERENCES = (
    Difference("a payload `/faq/ask_name` of a retrieval intent", lambda seen: "/" in _payload(seen)[1:].split("{")[0]),
    Difference("a payload's JSON over several lines", lambda seen: "\n" in _payload(seen)),
    Difference(
        "a payload's JSON deeper than 20 levels",
        lambda seen: _payload(seen).count("{") + _payload(seen).count("[") > DEEPEST_JSON,
    ),
    Difference("a custom action fails", _action_failed),
    Difference("braces in a response that match nothing, such as `{}` or a single `}`", _odd_braces),
    Difference(
        "a slot's value that contains `0[`",
        lambda seen: any("0[" in value for value in seen.ours.slots.values() if isinstance(value, str)),
    ),
    Difference(
        "a project with neither stories nor rules", lambda seen: not seen.project.stories and not seen.project.rules
    ),
    Difference(
        "more than ten actions in one turn",
        lambda seen: any(len(turn.actions) >= MOST_ACTIONS for turn in seen.so_far),
    ),
    Difference(
        "a conversation that was paused by an action",
        lambda seen: any(event["event"] == "pause" for turn in seen.so_far[:-1] for event in turn.events),
    ),
    Difference(
        "how far back policies look",
        lambda seen: sum(len(turn.decisions) + 1 for turn in seen.so_far) > STATES_SEEN,
    ),
)


def explanation(seen: Seen) -> str:
    """Why the turns differ; empty when nobody knows."""
    for difference in DIFFERENCES:
        if difference.applies(seen):
            failure = seen.held.failures.get(seen.number, "")
            return f"on purpose (docs/rasa-differences.md): {difference.row}{f'; {failure}' if failure else ''}"
    decided = first_difference(seen.ours, seen.theirs)
    learned = [did for did in decided or () if did.policy.endswith(LEARNED)]
    if decided and learned and all(did.confidence < SURE for did in learned):
        ours, theirs = map(_shown, decided)
        return f"a learned policy guesses: {ours} here, {theirs} in Rasa"
    return ""


def _shown(did: Did) -> str:
    return f"{did.name} ({did.policy}, {did.confidence:.2f})"
