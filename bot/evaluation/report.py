"""What a run of `frontdesk test` found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from bot.evaluation.conversations import ConversationResult
from bot.evaluation.nlu import NluReport
from bot.evaluation.stories import StoryReport, StoryResult


@dataclass(frozen=True, slots=True)
class Report:
    """`learnt` when the messages are those that the model was trained on.

    `fail_under` is the share (0…1) of messages that must be understood, None when any will do.
    """

    nlu: NluReport = field(default_factory=NluReport)
    story_report: StoryReport = field(default_factory=lambda: StoryReport((), True))
    talks: tuple[ConversationResult, ...] = ()
    learnt: bool = False
    fail_under: float | None = None

    def required(self, share: float) -> Report:
        """The same, where this share of the messages must be understood."""
        return dataclasses.replace(self, fail_under=share)

    @property
    def is_empty(self) -> bool:
        return not (self.nlu.intents or self.stories or self.talks)

    @property
    def stories(self) -> int:
        return len(self.story_report.results)

    @property
    def conversations(self) -> int:
        return len(self.talks)

    @property
    def failed_results(self) -> list[StoryResult | ConversationResult]:
        return [*self.story_report.failed, *(talk for talk in self.talks if talk.failed)]

    @property
    def failures(self) -> list[str]:
        """A sentence with its place for each story and conversation that went otherwise."""
        return list(map(str, self.failed_results))

    @property
    def missed(self) -> str | None:
        """How far too few messages were understood; None when enough were."""
        accuracy = self.nlu.accuracy
        if self.fail_under is None or not self.nlu.intents or accuracy >= self.fail_under:
            return None
        return f"{accuracy:.1%} of the messages were understood, which is under {self.fail_under:.1%}"

    @property
    def failed(self) -> bool:
        return bool(self.failed_results or self.missed)
