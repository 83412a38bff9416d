"""What a run of `frontdesk test` found."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.evaluation.conversations import ConversationResult
from bot.evaluation.nlu import NluReport
from bot.evaluation.stories import StoryReport, StoryResult


@dataclass(frozen=True, slots=True)
class Report:
    """`learnt` when the messages are those that the model was trained on."""

    nlu: NluReport = field(default_factory=NluReport)
    story_report: StoryReport = field(default_factory=lambda: StoryReport((), True))
    talks: tuple[ConversationResult, ...] = ()
    learnt: bool = False

    @property
    def stories(self) -> int:
        return len(self.story_report.results)

    @property
    def conversations(self) -> int:
        return len(self.talks)

    @property
    def failed_results(self) -> list[StoryResult | ConversationResult]:
        return [*self.story_report.failed, *(talk for talk in self.talks if talk.problem)]

    @property
    def failures(self) -> list[str]:
        """A sentence with its place for each story and conversation that went otherwise."""
        return list(map(str, self.failed_results))

    @property
    def failed(self) -> bool:
        return bool(self.failed_results)
