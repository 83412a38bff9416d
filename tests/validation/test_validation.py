"""The findings of a project as a whole: none in a clean one, and those of its code, configuration and tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Findings = Callable[..., list[str]]


def test_nothing_is_found_in_a_clean_project(findings: Findings) -> None:
    assert findings() == []


def test_actions_of_an_action_server_are_not_looked_for(findings: Findings, domain: str) -> None:
    files = {
        "domain.yml": domain + "actions: [action_far_away]\n",
        "endpoints.yml": "action_endpoint: {url: 'http://localhost:5055/webhook'}",
        "actions/broken.py": "1 / 0",
    }
    assert findings(**files) == []


def test_a_response_that_is_not_there_is_found_with_an_action_server_too(findings: Findings, domain: str) -> None:
    files = {
        "domain.yml": domain + "actions: [utter_gret]\n",
        "endpoints.yml": "action_endpoint: {url: 'http://localhost:5055/webhook'}",
    }
    assert findings(**files) == [
        "error: domain.yml:5: the domain lists 'utter_gret', for which there is no response."
        " Did you mean 'utter_greet'?"
    ]


def test_an_action_that_nobody_wrote_is_an_error_in_a_rasa_project_where_something_names_it(
    findings: Findings, domain: str
) -> None:
    config = (
        "pipeline: [{name: WhitespaceTokenizer}, {name: KeywordIntentClassifier}]\npolicies: [{name: RulePolicy}]\n"
    )
    rule = "rules: [{rule: pay, steps: [{intent: greet}, {action: action_pay}]}]\n"
    files = {
        "config.yml": config,
        "domain.yml": domain + "actions: [action_pay, action_old]\n",
        "data/rules.yml": rule,
        "data/stories.yml": "",
    }
    told = [found for found in findings(**files) if "nobody has written" in found]
    assert told == [
        "error: domain.yml:5: nobody has written the action 'action_pay'.",
        "warning: domain.yml:5: nobody has written the action 'action_old', and no story, rule or mapping names it."
        " Leave it out.",
    ]


def test_a_module_of_actions_that_breaks_is_found_with_its_line(findings: Findings) -> None:
    (found,) = findings(**{"actions/pay.py": "import os\n1 / 0\n"})
    assert found.startswith("error: ")
    assert "actions/pay.py:2" in found
    assert "division by zero" in found


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("conversations: [{name: a, steps: [{user: hi}, {botz: hello}]}]", "there is no step of a conversation called"),
        ("conversations: [{name: a, steps: [{bot: hello}]}]", "conversation 'a' must have something that is said and"),
        ("storys: []", "there is no key of the file 'shop.yml' called 'storys'. Did you mean 'stories'?"),
        ("stories: [", "this is not YAML"),
    ],
)
def test_a_test_file_that_cannot_be_read_is_found(findings: Findings, test: str, message: str) -> None:
    found = findings(**{"tests/shop.yml": test})
    assert found
    assert all(one.startswith("error: tests/shop.yml:") for one in found)
    assert any(message in one for one in found)


def test_a_test_that_names_what_is_not_there_is_found(findings: Findings) -> None:
    test = """
stories:
- story: a
  steps:
  - user: hello
    intent: gret
  - action: utter_gret
conversations:
- name: b
  steps:
  - user: hello
  - action: utter_gret
  - slot: {nmae: x}
nlu:
- intent: gret
  examples: |
    - hello
"""
    assert findings(**{"tests/shop.yml": test}) == [
        "error: tests/shop.yml:5: story 'a' uses the intent 'gret', which the domain does not have."
        " Did you mean 'greet'?",
        "error: tests/shop.yml:7: story 'a' uses the action 'utter_gret', which the domain does not have."
        " Did you mean 'utter_greet'?",
        "error: tests/shop.yml:12: there is no action called 'utter_gret'. Did you mean 'utter_greet'?",
        "error: tests/shop.yml:13: there is no slot called 'nmae'. Known: session_started_metadata.",
        "error: tests/shop.yml:17: there are examples for the intent 'gret', which the domain does not have."
        " Did you mean 'greet'?",
    ]


def test_an_option_with_a_value_that_cannot_be_is_found(findings: Findings) -> None:
    config = "domains: []\npipeline:\n- {name: KeywordIntentClassifier}\n- {name: FallbackClassifier, threshold: 4}\n"
    assert findings(**{"config.yml": config}) == [
        "error: config.yml:4: FallbackClassifier: threshold is a confidence between 0 and 1, not 4"
    ]


def test_with_stories_alone_nothing_else_is_looked_at(findings: Findings, domain: str) -> None:
    files = {
        "domain.yml": domain + "actions: [action_nobody]\n",
        "data/rude.yml": "rules: [{rule: rude, steps: [{intent: greet}, {action: utter_bye}]}]",
    }
    (found,) = findings(stories_only=True, **files)
    assert "rule 'rude' disagrees" in found


def test_how_many_states_count_may_be_said(findings: Findings) -> None:
    story = "stories:\n- {story: short, steps: [{intent: bye}, {action: utter_greet}]}\n"
    assert findings(**{"data/more.yml": story}) == []
    (found,) = findings(max_history=1, **{"data/more.yml": story})
    assert "data/stories.yml:7" in found


def test_a_domain_that_says_nothing_is_found(findings: Findings) -> None:
    files = {
        "config.yml": "pipeline: [{name: KeywordIntentClassifier}]\n",
        "domain.yml": 'version: "3.1"\nintents: []\n',
    }
    nothing = dict.fromkeys(("data/nlu.yml", "data/rules.yml", "data/stories.yml"), "")
    assert findings(**files, **nothing) == [
        "warning: the domain is empty: messages are understood, and none is answered"
    ]
