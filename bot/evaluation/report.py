"""What a run of `frontdesk test` found."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.evaluation.nlu import NluReport
from bot.evaluation.stories import StoryReport


@dataclass(frozen=True, slots=True)
class Report:
    """`failures` are whole sentences with their place, one per failed story or conversation."""

    nlu: NluReport = field(default_factory=NluReport)
    stories_report: StoryReport = field(default_factory=lambda: StoryReport((), True))
    conversations: int = 0
    failed_conversations: tuple[str, ...] = ()

    @property
    def stories(self) -> int:
        return len(self.stories_report.results)

    @property
    def failures(self) -> list[str]:
        return [*map(str, self.stories_report.failed), *self.failed_conversations]

    @property
    def failed(self) -> bool:
        return bool(self.failures)
