"""`frontdesk test`: NLU examples, Rasa's test stories, and whole conversations with their actions.

A conversation file:

    setup: "my_actions.bank:use_test_bank"     # called before each conversation; optional
    fixtures:
      identified: {customer_id: C1}            # slots to begin with, by name
    stubs:                                     # in the place of actions and services: see `bot/evaluation/stubs.py`
      GET https://bank.example/accounts/*: {json: {balance: 100}}
    conversations:
      - name: balance after identification
        language: en                           # and channel:, metadata:, slots:, now:, stubs:, setup:
        fixtures: [identified]
        steps:
          - user: what is my balance?          # what the customer types, or the payload of a button on offer
          - bot: customer number               # a part of the replies, or a regular expression for one,
          - bot: [first this, then this]       #   after what was matched before
          - action: action_show_balance        # ran in this turn
          - slot: {account: savings}           # its value now
          - button: "Yes"                      # all steps stand in docs/testing.md
"""

from __future__ import annotations

from bot.assistant import Assistant
from bot.errors import ConfigError
from bot.evaluation.conversations import open_origins, run_conversation
from bot.evaluation.nlu import NluReport, cross_validate, evaluate_nlu
from bot.evaluation.printing import print_report
from bot.evaluation.reading import Tests, choose_tests, read_tests
from bot.evaluation.report import Report
from bot.evaluation.stories import StoryReport, evaluate_stories
from bot.project import Project

__all__ = [
    "NluReport",
    "Report",
    "StoryReport",
    "Tests",
    "choose_tests",
    "cross_validate",
    "evaluate",
    "evaluate_nlu",
    "evaluate_stories",
    "print_report",
    "read_tests",
]


async def evaluate(
    project: Project,
    assistant: Assistant,
    what: str | None = None,
    tests: Tests | None = None,
    *,
    e2e: bool = True,
    stops: bool = False,
) -> Report:
    """Run the project's tests (or `tests`) with its trained assistant.

    `what` is nlu or core for one half, e2e for conversations alone.
    Without `e2e`, what is typed in stories counts as understood; `stops` at the first story that goes otherwise.
    """
    if what not in (None, "nlu", "core", "e2e"):
        raise ConfigError(f"'frontdesk test {what}' is not known: it is 'nlu', 'core', 'e2e' or nothing for all")
    tests = tests or read_tests(project)
    nlu, stories = NluReport(), StoryReport((), e2e)
    conversations = []
    await assistant.start()
    try:
        if what in (None, "nlu"):
            nlu = await evaluate_nlu(assistant, tests.examples)
        if what in (None, "core"):
            stories = await evaluate_stories(assistant, tests.stories, e2e, stops=stops)
        if what != "nlu":
            origins = open_origins(project)
            for number, conversation in enumerate(tests.conversations):
                conversations.append(await run_conversation(conversation, assistant, number, origins))
    finally:
        await assistant.close()
    return Report(nlu, stories, tuple(conversations), tests.learnt)
