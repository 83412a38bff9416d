"""What `frontdesk validate` finds in a project that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.project import load_project
from bot.validation import validate

SHOP = {
    "config.yml": """
domains: []
pipeline: [{name: KeywordIntentClassifier}]
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domain.yml": """
intents: [greet, bye]
responses:
  utter_greet: [{text: Hello}]
  utter_bye: [{text: So long}]
""",
    "data/nlu.yml": """
nlu:
- intent: greet
  examples: |
    - hello
- intent: bye
  examples: |
    - so long
""",
    "data/rules.yml": """
rules:
- rule: greet
  steps:
  - intent: greet
  - action: utter_greet
""",
    "data/stories.yml": """
stories:
- story: leave
  steps:
  - intent: greet
  - action: utter_greet
  - intent: bye
  - action: utter_bye
""",
}


def findings(root: Path, **files: str) -> list[str]:
    """`data_rules="…"` takes the place of data/rules.yml; `more_rules` adds data/more_rules.yml."""
    texts = dict(SHOP)
    for name, text in files.items():
        folder, _, rest = name.partition("_")
        path = f"{folder}/{rest}" if folder in ("data", "tests", "actions") else name
        texts[f"{path}.py" if folder == "actions" else f"{path}.yml"] = text
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    found = validate(load_project(root))
    return [str(finding).replace(f"{root}/", "") for finding in found]


def test_nothing_is_found_in_a_clean_project(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


def test_rules_that_disagree_are_both_named(tmp_path: Path) -> None:
    other = "rules:\n- rule: greet coldly\n  steps:\n  - intent: greet\n  - action: utter_bye\n"
    (first, *_) = findings(tmp_path, data_other=other)
    assert first.startswith("error: data/")
    assert "'greet'" in first
    assert "'greet coldly'" in first
    assert "utter_greet" in first
    assert "utter_bye" in first


def test_a_story_that_disagrees_with_a_rule_is_named_with_it(tmp_path: Path) -> None:
    story = "stories:\n- story: rude\n  steps:\n  - intent: greet\n  - action: utter_bye\n"
    (found,) = [one for one in findings(tmp_path, data_rude=story) if "error" in one]
    assert found.startswith("error: data/rude.yml:5: story 'rude' ")
    assert "'greet'" in found
    assert "(data/rules.yml:6)" in found


def test_a_text_that_means_two_things_is_found_with_both_places(tmp_path: Path) -> None:
    nlu = "nlu:\n- intent: bye\n  examples: |\n    - Hello\n"
    assert findings(tmp_path, data_twice=nlu) == [
        "warning: data/twice.yml:4: 'Hello' is an example of 'bye' here and of 'greet' in data/nlu.yml:5"
    ]


def test_what_nobody_uses_is_found(tmp_path: Path) -> None:
    domain = SHOP["domain.yml"].replace("bye]", "bye,\n  jump]") + "  utter_jump: [{text: Hop}]\n"
    assert findings(tmp_path, domain=domain) == [
        "warning: domain.yml:3: intent 'jump' has no examples",
        "warning: domain.yml:3: intent 'jump' is in no story, rule or slot mapping",
        "warning: domain.yml:7: response 'utter_jump' is never used",
    ]


def test_an_entity_that_the_domain_lacks_is_found_once(tmp_path: Path) -> None:
    nlu = "nlu:\n- intent: bye\n  examples: |\n    - to [Rome](citty)\n    - to [Oslo](citty)\n"
    domain = SHOP["domain.yml"] + "entities: [city]\n"
    assert findings(tmp_path, data_more=nlu, domain=domain) == [
        "warning: data/more.yml:4: entity 'citty' is annotated, but the domain does not have it. Did you mean 'city'?"
    ]


ACTION = """
from bot.interfaces import Action

class Pay(Action):
    def name(self): return "action_pay"
    def run(self, dispatcher, tracker, domain): return []
"""


def test_an_action_that_nobody_wrote_is_found(tmp_path: Path) -> None:
    domain = SHOP["domain.yml"] + "actions:\n- action_pay\n- action_pai\n- utter_gret\n- action_session_start\n"
    assert findings(tmp_path, domain=domain, actions_pay=ACTION) == [
        "error: domain.yml:8: nobody has written the action 'action_pai'. Did you mean 'action_pay'?",
        "error: domain.yml:9: the domain lists 'utter_gret', for which there is no response."
        " Did you mean 'utter_greet'?",
    ]


def test_actions_of_an_action_server_are_not_looked_for(tmp_path: Path) -> None:
    domain = SHOP["domain.yml"] + "actions: [action_far_away]\n"
    endpoints = "action_endpoint: {url: 'http://localhost:5055/webhook'}"
    assert findings(tmp_path, domain=domain, endpoints=endpoints, actions_broken="1 / 0") == []


def test_a_module_of_actions_that_breaks_is_found_with_its_line(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, actions_pay="import os\n1 / 0\n")
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
def test_a_test_file_that_cannot_be_read_is_found(tmp_path: Path, test: str, message: str) -> None:
    found = findings(tmp_path, tests_shop=test)
    assert found
    assert all(one.startswith("error: tests/shop.yml:") for one in found)
    assert any(message in one for one in found)


def test_a_test_that_names_what_is_not_there_is_found(tmp_path: Path) -> None:
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
    assert findings(tmp_path, tests_shop=test) == [
        "error: tests/shop.yml:5: story 'a' uses the intent 'gret', which the domain does not have."
        " Did you mean 'greet'?",
        "error: tests/shop.yml:7: story 'a' uses the action 'utter_gret', which the domain does not have."
        " Did you mean 'utter_greet'?",
        "error: tests/shop.yml:12: there is no action called 'utter_gret'. Did you mean 'utter_greet'?",
        "error: tests/shop.yml:13: there is no slot called 'nmae'. Known: session_started_metadata.",
        "error: tests/shop.yml:17: there are examples for the intent 'gret', which the domain does not have."
        " Did you mean 'greet'?",
    ]


def test_an_option_with_a_value_that_cannot_be_is_found(tmp_path: Path) -> None:
    config = "domains: []\npipeline:\n- {name: KeywordIntentClassifier}\n- {name: FallbackClassifier, threshold: 4}\n"
    assert findings(tmp_path, config=config) == [
        "error: config.yml:4: FallbackClassifier: threshold is a confidence between 0 and 1, not 4"
    ]


def test_a_form_without_a_question_is_found(tmp_path: Path) -> None:
    domain = (
        SHOP["domain.yml"].replace("\nresponses:", "\nforms: {order: {required_slots: [name]}}\nresponses:")
        + "slots: {name: {type: text, mappings: [{type: from_text}]}}\n"
    )
    assert findings(tmp_path, domain=domain) == [
        "warning: domain.yml:3: form 'order' has no question for 'name': write the response 'utter_ask_name'"
    ]
