"""`frontdesk test`: NLU examples, Rasa's test stories, and whole conversations with their actions.

A conversation file:

    setup: "my_actions.bank:use_test_bank"     # called before each conversation; optional
    conversations:
      - name: balance after identification
        language: en
        steps:
          - user: what is my balance?          # what the customer types, or the payload of a button on offer
          - bot: customer number               # a part of the replies, or a regular expression for one,
          - bot: [first this, then this]       #   after what was matched before
          - action: action_show_balance        # ran in this turn
          - slot: {account: savings}           # its value now
"""

from __future__ import annotations

from bot.assistant import Assistant
from bot.errors import ConfigError
from bot.evaluation.conversations import test_conversation
from bot.evaluation.nlu import NluReport, cross_validate, evaluate_nlu
from bot.evaluation.printing import print_report
from bot.evaluation.reading import Tests, read_tests
from bot.evaluation.report import Report
from bot.evaluation.stories import StoryReport, evaluate_stories
from bot.project import Project

__all__ = [
    "NluReport",
    "Report",
    "StoryReport",
    "Tests",
    "cross_validate",
    "evaluate",
    "evaluate_nlu",
    "evaluate_stories",
    "print_report",
    "read_tests",
]


async def evaluate(project: Project, assistant: Assistant, what: str | None = None) -> Report:
    """Run the project's tests with its trained assistant; `what` is nlu or core for one half."""
    if what not in (None, "nlu", "core"):
        raise ConfigError(f"'frontdesk test {what}' is not known: it is 'nlu', 'core' or nothing for both")
    tests = read_tests(project)
    nlu, stories = NluReport(), StoryReport((), True)
    conversations, failed = 0, []
    await assistant.start()
    try:
        if what != "core":
            nlu = await evaluate_nlu(assistant, tests.examples)
        if what != "nlu":
            stories = await evaluate_stories(assistant, tests.stories, e2e=True)
            conversations = len(tests.conversations)
            for number, conversation in enumerate(tests.conversations):
                problem = await test_conversation(conversation, number, assistant)
                failed += [problem] if problem else []
    finally:
        await assistant.close()
    return Report(nlu, stories, conversations, tuple(failed))
