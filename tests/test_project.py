"""A project is read: what each thing in its files means, and every mistake in them with its line."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from bot.domain import EntitySpec, FormSpec, IntentSpec, MappingCondition, SlotCondition
from bot.errors import ConfigError, ProjectErrors
from bot.messages import Entity
from bot.project import Project, load_project
from bot.training_data import ActionStep, CheckpointStep, LoopStep, OrStep, SlotStep, UserStep

RASA_INIT = Path(__file__).parent / "projects" / "rasa_init"
OURS = "domains: []\npipeline: [{name: KeywordIntentClassifier}]\npolicies: [{name: RulePolicy}]\n"
RASAS = "language: en\npipeline: [{name: KeywordIntentClassifier}]\npolicies: [{name: RulePolicy}]\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def read(root: Path, domain: str = "", data: str = "", config: str = OURS) -> Project:
    return load_project(write(root, {"config.yml": config, "domain.yml": domain, "data/data.yml": data}))


def mistakes(root: Path, files: dict[str, str]) -> list[str]:
    with pytest.raises(ProjectErrors) as raised:
        load_project(write(root, files))
    return [str(error).replace(str(root) + "/", "") for error in raised.value.errors]


def warnings(project: Project) -> list[str]:
    return [str(warning).replace(str(project.root) + "/", "") for warning in project.warnings]


def bare(value: Any) -> Any:
    """Without the place where it is written."""
    return dataclasses.replace(value, source=type(value)("x").source)


# ---- the domain ----


def test_an_intent_says_which_entities_count(tmp_path: Path) -> None:
    intents = read(
        tmp_path,
        "entities: [city]\nintents:\n- a\n- b: {use_entities: [city]}\n- c: {use_entities: false}\n"
        "- d: {use_entities: true}\n- e: {ignore_entities: [city]}\n- f: {use_entities: []}\n",
    ).domain.intents
    assert [bare(intent) for intent in intents.values()] == [
        IntentSpec("a"),
        IntentSpec("b", ("city",)),
        IntentSpec("c", ()),
        IntentSpec("d"),
        IntentSpec("e", None, ("city",)),
        IntentSpec("f", ()),
    ]
    assert intents["b"].source.line == 4


def test_an_entity_may_have_roles_and_groups(tmp_path: Path) -> None:
    domain = "entities:\n- size\n- city:\n    roles: [from, to]\n    groups: ['1']\n    influence_conversation: false\n"
    entities = read(tmp_path, domain).domain.entities
    assert bare(entities["city"]) == EntitySpec("city", ("from", "to"), ("1",), False)
    assert bare(entities["size"]) == EntitySpec("size")


def test_a_slot_has_a_type_and_mappings_with_conditions(tmp_path: Path) -> None:
    slots = read(
        tmp_path,
        """
intents: [inform, stop]
entities: [city]
forms: {trip: {required_slots: [to]}}
actions: [action_fill]
slots:
  to:
    type: text
    influence_conversation: false
    mappings:
    - {type: from_entity, entity: city, role: to, group: "1", intent: inform, not_intent: [stop]}
    - {type: from_text, conditions: [{active_loop: trip, requested_slot: to}, {active_loop: null}]}
  done: {type: bool, initial_value: false, mappings: [{type: from_intent, value: true, intent: [stop]}]}
  asked: {type: bool, mappings: [{type: from_trigger_intent, value: yes}]}
  class: {type: categorical, values: [first, 2], mappings: [{type: custom, action: action_fill}]}
  price: {type: float, min_value: 1, max_value: 9.5, mappings: [{type: custom}]}
  bags: {type: list, mappings: [{type: custom}]}
  note: {type: any, mappings: [{type: custom}]}
  own: {type: shop.slots.Postcode, country: gb, mappings: [{type: custom}]}
""",
    ).domain.slots
    entity, text = slots["to"].mappings
    assert (entity.type, entity.entity, entity.role, entity.group) == ("from_entity", "city", "to", "1")
    assert (entity.intent, entity.not_intent, entity.source.line) == (("inform",), ("stop",), 11)
    assert text.conditions == (MappingCondition("trip", "to"), MappingCondition(None))
    assert (slots["to"].influence_conversation, slots["note"].influence_conversation) == (False, False)
    assert (slots["done"].initial_value, slots["done"].mappings[0].value) == (False, True)
    assert (slots["asked"].mappings[0].type, slots["asked"].mappings[0].value) == ("from_trigger_intent", "yes")
    assert (slots["class"].values, slots["class"].mappings[0].action) == (("first", 2), "action_fill")
    assert (slots["price"].min_value, slots["price"].max_value) == (1, 9.5)
    assert (slots["own"].type, slots["own"].options) == ("shop.slots.Postcode", {"country": "gb"})
    assert {"requested_slot", "session_started_metadata"} < set(slots)


def test_a_form_asks_for_slots_and_ignores_intents(tmp_path: Path) -> None:
    domain = (
        "intents: [chat]\nslots:\n  a: {type: text, mappings: [{type: from_text}]}\n"
        "forms:\n  ask: {required_slots: [a], ignored_intents: chat}\n  empty:\n"
    )
    forms = read(tmp_path, domain).domain.forms
    assert [bare(form) for form in forms.values()] == [FormSpec("ask", ("a",), ("chat",)), FormSpec("empty")]


def test_a_response_has_variations_with_all_that_can_be_shown(tmp_path: Path) -> None:
    responses = read(
        tmp_path,
        """
slots: {vip: {type: bool, mappings: [{type: custom}]}}
responses:
  utter_ask:
  - text: Well?
    buttons: [{title: "Yes", payload: /affirm}, {title: Site, type: web_url, url: "https://shop.example"}]
    image: https://shop.example/a.png
  - text: Dear customer, well?
    condition: [{type: slot, name: vip, value: true}]
    channel: slack
    id: ask-vip
    metadata: {tone: warm}
    translation:
      zh: 好吗？
      de: {text: Nun?, buttons: [{title: Ja, payload: /affirm}]}
  - custom: {card: [1, 2]}
    attachment: {type: file, payload: {src: a.pdf}}
    quick_replies: [{title: "No", payload: /deny}]
    elements: [{title: One}]
""",
    ).domain.responses
    plain, vip, custom = responses["utter_ask"]
    assert (plain.message.text, plain.message.image) == ("Well?", "https://shop.example/a.png")
    assert [button["title"] for button in plain.message.buttons] == ["Yes", "Site"]
    assert (vip.conditions, vip.channel, vip.id) == ((SlotCondition("vip", True),), "slack", "ask-vip")
    assert (vip.metadata, vip.translation["zh"].text) == ({"tone": "warm"}, "好吗？")
    assert vip.translation["de"].buttons == ({"title": "Ja", "payload": "/affirm"},)
    assert (custom.message.custom, custom.message.elements) == ({"card": [1, 2]}, ({"title": "One"},))
    assert custom.message.attachment == {"type": "file", "payload": {"src": "a.pdf"}}
    assert custom.message.quick_replies == ({"title": "No", "payload": "/deny"},)


def test_sessions_and_actions_are_the_domains(tmp_path: Path) -> None:
    domain = read(
        tmp_path,
        "actions: [action_pay, action_look: {send_domain: true}]\n"
        "session_config: {session_expiration_time: 0.5, carry_over_slots_to_new_session: false}\n"
        "config: {store_entities_as_slots: false}\n",
    ).domain
    assert domain.actions == ("action_pay", "action_look")
    assert (domain.session.expiration_minutes, domain.session.carry_over_slots) == (0.5, False)
    assert domain.store_entities_as_slots is False


def test_an_action_server_is_shown_the_domain_as_it_is_written(tmp_path: Path) -> None:
    raw = read(
        tmp_path,
        "intents: [a, b: {use_entities: []}]\nentities: [city: {roles: [to]}]\nactions: [action_pay]\n"
        "slots: {x: {type: float, mappings: [{type: custom}]}}\nforms: {f: {required_slots: [x]}}\n"
        "responses: {utter_a: [{text: Hi}]}\n",
    ).domain.raw
    assert raw["intents"] == ["a", {"b": {"use_entities": []}}]
    assert raw["entities"] == [{"city": {"roles": ["to"]}}]
    assert raw["slots"]["x"] == {"type": "float", "mappings": [{"type": "custom"}]}
    assert (raw["forms"], raw["actions"]) == ({"f": {"required_slots": ["x"]}}, ["action_pay"])
    assert raw["responses"] == {"utter_a": [{"text": "Hi"}]}


# ---- training examples ----

NLU = "entities: [city, size]\nintents: [go, faq]\n"


@pytest.mark.parametrize(
    ("written", "text", "entities"),
    [
        ("to [Rome](city)", "to Rome", (Entity("city", "Rome", 3, 7),)),
        ("to [Roma](city:rome) now", "to Roma now", (Entity("city", "rome", 3, 7),)),
        ('[NY]{"entity": "city", "value": "new york"}', "NY", (Entity("city", "new york", 0, 2),)),
        (
            '[NY]{"entity": "city", "role": "to", "group": "1"}',
            "NY",
            (Entity("city", "NY", 0, 2, role="to", group="1"),),
        ),
        ('[2]{"entity": "size", "value": 2}', "2", (Entity("size", 2, 0, 1),)),
        ('[a][{"entity": "city"}, {"entity": "size"}]', "a", (Entity("city", "a", 0, 1), Entity("size", "a", 0, 1))),
        ("[A](city) [B](city)", "A B", (Entity("city", "A", 0, 1), Entity("city", "B", 2, 3))),
        (
            "[罗马](city)和[奥斯陆](city)",
            "罗马和奥斯陆",
            (Entity("city", "罗马", 0, 2), Entity("city", "奥斯陆", 3, 6)),
        ),
        ("a [b] (c)", "a [b] (c)", ()),
        ("array[0] = 1", "array[0] = 1", ()),
    ],
)
def test_an_annotation_gives_words_and_entities(
    tmp_path: Path, written: str, text: str, entities: tuple[Entity, ...]
) -> None:
    example = read(tmp_path, NLU, f"nlu:\n- intent: go\n  examples: |\n    - {written}\n").data.examples[0]
    assert (example.text, example.entities, example.source.line) == (text, entities, 4)


def test_an_example_may_be_text_or_carry_metadata(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        NLU,
        """
nlu:
- intent: go
  metadata: {sentiment: neutral}
  examples:
  - text: |
      - to [Rome](city)
    metadata: {from: chat}
  - text: away
- intent: go
  examples: "- one line"
""",
    ).data
    assert [example.text for example in data.examples] == ["to Rome", "away", "one line"]
    assert data.examples[0].metadata == {"intent": {"sentiment": "neutral"}, "example": {"from": "chat"}}
    assert [example.source.line for example in data.examples] == [6, 9, 11]


def test_synonyms_patterns_and_lookups_are_read(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        NLU,
        """
nlu:
- synonym: new york
  examples: |
    - NYC
    - the big apple
- regex: zip
  examples: |
    - \\d{5}
- lookup: city
  examples: |
    - Rome
    - Oslo
    - Rome
- intent: go
  examples: |
    - to [Roma](city:rome)
""",
    ).data
    assert data.synonyms == {"NYC": "new york", "the big apple": "new york", "Roma": "rome"}
    assert [(pattern.name, pattern.pattern) for pattern in data.patterns] == [("zip", r"\d{5}")]
    assert [(lookup.name, lookup.values) for lookup in data.lookups] == [("city", ("Rome", "Oslo"))]


@pytest.mark.parametrize("place", ["domain.yml", "data/faq.yml"])
def test_a_retrieval_intent_has_its_responses_in_the_domain_or_beside_its_examples(tmp_path: Path, place: str) -> None:
    write(tmp_path, {place: "responses:\n  utter_faq/hours:\n  - text: From nine.\n  - text: From 9.\n"})
    data = "intents: [faq]\nnlu:\n- intent: faq/hours\n  examples: |\n    - when do you open?\n"
    write(tmp_path, {"config.yml": OURS, "data/nlu.yml": data})
    project = load_project(tmp_path)
    assert project.data.responses == {"faq/hours": ("From nine.", "From 9.")}
    assert (project.data.examples[0].intent, project.data.intents) == ("faq/hours", ["faq"])


# ---- dialogue ----

DIALOGUE = """
intents: [greet, bye]
entities: [city]
actions: [action_go]
slots:
  name: {type: text, mappings: [{type: custom}]}
  vip: {type: bool, mappings: [{type: custom}]}
forms: {trip: {required_slots: [name]}}
responses: {utter_hi: [{text: Hi}]}
"""


def test_a_rule_is_read(tmp_path: Path) -> None:
    data = """
rules:
- rule: go
  condition:
  - slot_was_set:
    - vip: true
    - name
  - active_loop: trip
  conversation_start: true
  wait_for_user_input: false
  metadata: {by: me}
  steps:
  - intent: greet
    entities: [city, {city: Rome, role: to}]
  - action: action_go
  - active_loop: null
"""
    (rule,) = read(tmp_path, DIALOGUE, data).rules
    vip, name, loop = (bare(condition) for condition in rule.condition)
    assert (vip, name, loop) == (SlotStep("vip", True), SlotStep("name", any_value=True), LoopStep("trip"))
    assert (rule.name, rule.conversation_start, rule.wait_for_user_input, rule.metadata) == (
        "go",
        True,
        False,
        {"by": "me"},
    )
    assert [bare(step) for step in rule.steps] == [
        UserStep("greet", (Entity("city", ""), Entity("city", "Rome", role="to"))),
        ActionStep("action_go"),
        LoopStep(None),
    ]
    assert [step.source.line for step in rule.steps] == [13, 15, 16]


def test_a_story_is_read(tmp_path: Path) -> None:
    data = """
stories:
- story: long
  steps:
  - checkpoint: before
    slot_was_set:
    - vip: false
  - or:
    - intent: greet
    - intent: bye
  - slot_was_set:
    - name: null
  - user: |
      to [Rome](city)
  - bot: |
      On my way
  - user: hello there
    intent: greet
  - action: trip
  - active_loop: trip
  - checkpoint: after
"""
    (story,) = read(tmp_path, DIALOGUE, data).stories
    assert [bare(step) for step in story.steps if not isinstance(step, OrStep | CheckpointStep)] == [
        SlotStep("name", None),
        UserStep(None, (Entity("city", "Rome", 3, 7),), "to Rome"),
        ActionStep(None, "On my way"),
        UserStep("greet", (), "hello there"),
        ActionStep("trip"),
        LoopStep("trip"),
    ]
    first, choice, *_, last = story.steps
    assert isinstance(first, CheckpointStep)
    assert (first.name, [bare(slot) for slot in first.slots]) == ("before", [SlotStep("vip", False)])
    assert isinstance(choice, OrStep)
    assert [bare(step) for step in choice.choices] == [UserStep("greet"), UserStep("bye")]
    assert isinstance(last, CheckpointStep)
    assert last.name == "after"


# ---- folders ----


def test_rasas_own_project_is_read_unmodified() -> None:
    project = load_project(RASA_INIT)
    assert len(project.domain.intents) == 7
    assert (len(project.stories), len(project.rules), len(project.data.examples)) == (3, 2, 68)
    assert project.config.pipeline[0].name == "WhitespaceTokenizer"
    assert [file.name for file in project.tests] == ["test_stories.yml"]
    assert [warning.split(": ", 1)[1] for warning in warnings(project)] == [
        "the channel 'rasa' belongs to Rasa X and Rasa Enterprise: it is left out"
    ]


def test_a_domain_may_be_a_folder_of_files(tmp_path: Path) -> None:
    files = {
        "config.yml": RASAS,
        "domain/a.yml": "intents: [greet]\nresponses: {utter_hi: [{text: Hi}]}",
        "domain/deeper/b.yml": "intents: [bye]\nsession_config: {session_expiration_time: 5}",
        "data/one/nlu.yml": "nlu: [{intent: greet, examples: '- hello'}]",
        "data/two/nlu.yaml": "nlu: [{intent: bye, examples: '- so long'}]",
    }
    project = load_project(write(tmp_path, files))
    assert (list(project.domain.intents), project.domain.session.expiration_minutes) == (["greet", "bye"], 5)
    assert [example.text for example in project.data.examples] == ["hello", "so long"]


def test_what_comes_later_takes_the_place_of_what_has_its_name(tmp_path: Path) -> None:
    def layer(text: str) -> str:
        return f"""
intents: [greet]
responses: {{utter_hi: [{{text: {text}}}], utter_{text}: [{{text: {text}}}]}}
rules: [{{rule: greet, steps: [{{intent: greet}}, {{action: utter_{text}}}]}}]
nlu: [{{intent: greet, examples: "- {text}"}}]
"""

    files = {
        "config.yml": "domains: [shop, more]\n",
        "domains/shop/domain.yml": layer("shop"),
        "domains/shop/tests/a.yml": "nlu: []",
        "domains/more/domain.yml": layer("more"),
        "domains/more/knowledge/fees.md": "# Fees",
        "domain.yml": layer("own"),
        "knowledge/hours.md": "# Hours",
        "tests/b.yml": "nlu: []",
    }
    project = load_project(write(tmp_path, files))
    assert project.domain.responses["utter_hi"][0].message.text == "own"
    assert {"utter_shop", "utter_more", "utter_own"} < set(project.domain.responses)
    assert [step.name for rule in project.rules for step in rule.steps if isinstance(step, ActionStep)] == ["utter_own"]
    assert [example.text for example in project.data.examples] == ["shop", "more", "own"]
    assert [folder.parent.name for folder in project.knowledge] == ["more", tmp_path.name]
    assert [file.name for file in project.tests] == ["a.yml", "b.yml"]


def test_a_pack_of_the_project_comes_before_one_that_frontdesk_brings(tmp_path: Path) -> None:
    files = {"config.yml": "domains: [common]\n", "domains/common/domain.yml": "intents: [mine]"}
    assert list(load_project(write(tmp_path, files)).domain.intents) == ["mine"]
    assert "greet" in load_project(write(tmp_path / "b", {"config.yml": "domains: [common, banking]\n"})).domain.intents


def test_a_project_inside_a_projects_folder_is_not_part_of_it(tmp_path: Path) -> None:
    files = {
        "config.yml": OURS,
        "data/a.yml": "intents: [greet]",
        "data/other/config.yml": "",
        "data/other/b.yml": "x: [",
    }
    assert list(load_project(write(tmp_path, files)).domain.intents) == ["greet"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no config.yml in .* frontdesk init my-bank"),
        ({"config.yml": RASAS}, "config.yml: the project has neither packs .* nor a domain.yml"),
        (
            {"config.yml": OURS, "domain.yml": "a: [", "data/a.yml": "b: ["},
            "(?s)a.yml:2: this is not YAML.*domain.yml:2: ",
        ),
        ({"config.yml": "domains: [bankin]"}, "config.yml:1: there is no pack called 'bankin'. Did you mean 'banking'"),
        ({"config.yml": "a\nb"}, "config.yml: config.yml must have keys and values, not the text 'a b'"),
    ],
)
def test_a_project_that_cannot_be_found_says_what_to_do(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises((ConfigError, ProjectErrors), match=message):
        load_project(write(tmp_path, files))


def test_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        load_project(tmp_path / "nowhere")


def test_the_fingerprint_changes_with_the_data_and_not_with_the_place(tmp_path: Path) -> None:
    first = read(tmp_path / "a", "intents: [greet]").fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    assert load_project(tmp_path / "moved").fingerprint == first
    assert read(tmp_path / "a", "intents: [bye]").fingerprint != first
    assert read(tmp_path / "a", "intents: [greet]", config=OURS + "seed: 1").fingerprint != first
    assert read(tmp_path / "a", "intents: [greet]", config=OURS + "channels: {rest: false}").fingerprint == first


# ---- configuration ----


def test_the_environment_stands_in_for_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "corner")
    monkeypatch.setenv("EMPTY", "")
    config = OURS + (
        "channels: {webchat: {title: 'The ${SHOP} shop, ${NOT_SET:-open} ${EMPTY:-always}'}}\n"
        "llm: {model: m, base_url: 'https://${SHOP}.example', api_key: '${EMPTY}'}\n"
    )
    found = read(tmp_path, config=config).config
    assert found.channels[-1].options["title"] == "The corner shop, open always"
    assert found.llm is not None
    assert found.llm.options["base_url"] == "https://corner.example"


def test_a_name_that_the_environment_lacks_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    files = {
        "config.yml": OURS + "channels:\n  webchat: {title: '${NOT_SET}'}\n",
        "endpoints.yml": "\naction_endpoint: {url: 'http://${HOST_NOT_SET}'}",
    }
    assert mistakes(tmp_path, files) == [
        "config.yml:5: the environment variable NOT_SET is not set. Set it, or write ${NOT_SET:-}",
        "endpoints.yml:2: the environment variable HOST_NOT_SET is not set. Set it, or write ${HOST_NOT_SET:-}",
    ]


def test_a_secret_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-4711")
    config = OURS + "llm: {model: m, api_key: '${KEY}'}\nstore: {type: memory}\n"
    files = {"config.yml": config, "endpoints.yml": "action_endpoint: {url: 'http://a.example', token: t-4711}"}
    project = load_project(write(tmp_path, files))
    assert project.config.llm is not None
    assert project.config.llm.options["api_key"] == "sk-4711"
    assert "4711" not in repr(project)


def test_channels_are_rest_and_webchat_unless_closed(tmp_path: Path) -> None:
    def channels(config: str) -> list[str]:
        return [channel.name for channel in read(tmp_path, config=OURS + config).config.channels]

    assert channels("") == ["rest", "webchat"]
    assert channels("channels: {rest: false, webchat: true}") == ["webchat"]


def test_a_component_of_the_projects_own_is_found_in_its_folder(tmp_path: Path) -> None:
    own = "class Shout:\n    def __init__(self, *, loud: bool = True) -> None: ...\n    def parse(self, parses): ...\n"
    files = {"config.yml": "domains: []\npipeline: [{name: 'shop_shout:Shout', loud: false}]", "shop_shout.py": own}
    assert load_project(write(tmp_path, files)).config.pipeline[0].options == {"loud": False}
    files = {"config.yml": "domains: []\npipeline:\n- name: 'shop_broken:Shout'\n", "shop_broken.py": "1 / 0"}
    assert mistakes(tmp_path, files) == [
        "config.yml:3: the component 'shop_broken:Shout' cannot be imported: ZeroDivisionError: division by zero"
    ]


# ---- mistakes ----


def numbered(text: str) -> tuple[str, list[int]]:
    """The text, and the lines that are marked as mistakes: one `#!` for each."""
    return text, [line for line, content in enumerate(text.splitlines(), 1) for _ in range(content.count("#!"))]


WRONG = {
    "config.yml": """
domains: [comon] #!
languges: en #!
seed: many #!
pipeline:
- name: KeywordIntentClasifier #!
- name: FallbackClassifier
  treshold: 0.4 #!
  ambiguity_threshold: high #!
- name: 5 #!
- {} #!
policies:
- name: RulePolicie #!
channels:
  telegramm: {} #!
  webchat:
    titel: Shop #!
  rest: 5 #!
store:
  type: reddis #!
llm:
  model: m
  deadline: 1000 #!
  temprature: 1 #!
""",
    "domain.yml": """version: "2.0" #!
intent: [] #!
intents:
- greet
- greet #!
- 5 #!
- ask: {use_entitys: []} #!
entities:
- city: {rolls: []} #!
slots:
  to: {type: txt, mappings: [{type: custom}]} #!
  from: {mappings: [{type: custom}]} #!
  class: {type: categorical, mappings: [{type: custom}]} #!
  count: {type: float, min_value: 3, max_value: 2, mappings: [{type: custom}]} #!
  name:
    type: text
    inital_value: x #!
    mappings:
    - type: from_entiti #!
    - type: from_entity #!
    - type: from_intent #!
    - {type: from_text, conditions: [{requested_slot: name}]} #!
    - {type: from_entity, entity: citi} #!
    - {type: from_text, intent: gret} #!
  bare: {type: text} #!
forms:
  trip: {required_slots: [too], ignored_intents: [gret]} #! #!
  old: {required_slots: {to: []}} #!
  odd: {requred_slots: []} #!
responses:
  utter_a: Hello #!
  utter_b:
  - txt: Hello #!
  - text: 5 #!
  - text: Hi #!
    condition: [{type: slot, name: vipp, value: true}]
    buttons: [{payload: /x}] #!
  hello: #!
  - text: Hi
actions: [{action_pay: {send_domane: true}}] #!
session_config:
  session_expiration_time: -1 #!
  carry_over: true #!
config: {store_entities: true} #!
""",
    "data/nlu.yml": """nlu:
- intent: #!
  examples: |
    - a
- intent: greeet
  examples: |
    - hello #!
- intent: greet
  examples: |
    hello #!
    - to [Rome]{"entity": city} #!
    - to [Rome]{"entity": "city", "rol": "to"} #!
    - to [Rome]{"role": "to"} #!
- intent: ask #!
- intent: ask
  exampels: "- a" #!
  examples: "- what?"
- regex: zip
  examples: |
    - [0-9 #!
    - (\\d #!
- synonim: rome #!
- just text #!
""",
    "data/rules.yml": """rules:
- rule: one
  conditions: [] #!
  condition:
  - intent: greet #!
  - slot_was_set: [{toto: 1}] #!
  steps:
  - intent: gret #!
  - action: utter_aa #!
- rule: two #!
  steps: []
- steps: #!
  - action: action_pay
- rule: three
  wait_for_user_input: never #!
  steps:
  - intent: greet #!
    entities: [citty, 5] #!
  - active_loop: tripp #!
""",
    "data/stories.yml": """stories:
- story: one
  steps:
  - itent: greet #!
  - intent: #!
  - greet #!
  - or:
    - action: action_pay #!
  - action: #!
  - intent: greet
    acton: utter_b #!
  - slot_was_set:
      - 5 #!
- five #!
""",
    "credentials.yml": "webchat:\n  titel: x #!\n",
    "endpoints.yml": "action_endpoint: {ur: 'http://x'} #! #!\nlogstore: {} #!\n",
}
"""A project with a mistake on every line that says so."""


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    found: dict[str, list[int]] = {name: [] for name in WRONG}
    for text in mistakes(tmp_path, WRONG):
        name, line, _ = text.split(":", 2)
        found[name].append(int(line))
    assert found == {name: numbered(text)[1] for name, text in WRONG.items()}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("domain.yml", "slots: {ammount: {}}", "slot 'ammount' has no type: one of"),
        (
            "data/a.yml",
            "rules: [{rule: r, steps: [{action: utter_b}]}]",
            "rule 'r' uses the action 'utter_b', which the",
        ),
        ("data/a.yml", "stories: {}", "'stories' must be a list, not keys and values"),
        ("data/a.yml", "rules: 5", "'rules' must be a list, not the number 5"),
        ("data/a.yml", "nlu: text", "'nlu' must be a list, not the text 'text'"),
        ("data/a.yml", "nlu: [{intent: greet, examples: 5}]", "'examples' of this block of 'nlu' must be lines that"),
        ("data/a.yml", "- a list", "the file 'a.yml' must have keys and values, not a list"),
        ("domain.yml", "forms: [trip]", "'forms' of the domain must be keys and values, not a list"),
        ("config.yml", OURS + "importers: [x]", "there is no importer called 'x'. Known: "),
        ("config.yml", "domains: banking", "'domains' of config.yml must be a list, not the text 'banking'"),
        ("config.yml", OURS + "llm: {model: m, provider: opnai}", "there is no LLM provider called 'opnai'. Did you"),
        ("config.yml", OURS + "typed_payloads: maybe", "'typed_payloads' of config.yml must be true or false, not"),
    ],
)
def test_a_mistake_is_said_with_what_was_expected(tmp_path: Path, name: str, text: str, message: str) -> None:
    found = mistakes(tmp_path, {"config.yml": OURS, "domain.yml": "intents: [greet]", name: text})
    assert len(found) == 1
    assert found[0].startswith(f"{name}:1: " if name != "config.yml" else "config.yml:")
    assert message in found[0]


DOUBTFUL = {
    "config.yml": RASAS + "importers: [x]\npolices: []\n",
    "domain.yml": """version: "2.0"
intents: [greet, greet]
actions: [utter_hi]
slots:
  kind: {type: categorical, mappings: [{type: from_entity, entity: kind, oops: 1}]}
  auto: {type: text, auto_fill: true}
forms: {ask: {required_slots: [kind], ignored_intents: [nothing]}}
responses: {hello: [{text: Hi}]}
session_config: {oops: 1}
more: {}
""",
    "data/nlu.yml": """nlu:
- intent: greet
  examples: |
    - hello
    hi
    - to [Rome]{"entity": "city", "oops": 1}
- intent: bye
  examples: |
    - so long
""",
    "data/rules.yml": "rules:\n- rule: r\n  steps:\n  - intent: gret\n  - action: utter_hi\n- rule: s\n  steps: []\n",
    "data/tickets.yml": "- something: else\n",
    "credentials.yml": "rest:\nslack: {slack_token: x}\nrasa: {url: x}\n",
    "endpoints.yml": "tracker_store: {type: redis}\nlock_store: {}\nlogs: {}\n"
    "action_endpoint: {url: 'http://a.example', oops: 1}\n",
}


def test_what_rasa_only_warns_about_is_a_warning_in_a_folder_of_rasas(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, DOUBTFUL))
    places = sorted(warning.split(": ")[0] for warning in warnings(project))
    assert places == sorted(
        [
            *("config.yml:4", "config.yml:5", "credentials.yml:2", "credentials.yml:3"),
            *("endpoints.yml:3", "endpoints.yml:4"),
            *("data/nlu.yml:5", "data/nlu.yml:6", "data/nlu.yml:9", "data/rules.yml:4", "data/rules.yml:6"),
            *("data/tickets.yml", *(f"domain.yml:{line}" for line in (1, 2, 5, 5, 5, 6, 6, 7, 8, 9, 10))),
        ]
    )
    assert [example.text for example in project.data.examples] == ["hello", "to Rome", "so long"]
    assert project.config.action_endpoint is not None
    assert project.config.action_endpoint.options == {"url": "http://a.example"}


def test_an_option_that_rasa_passes_over_is_left_out_with_a_warning(tmp_path: Path) -> None:
    config = "pipeline: [{name: KeywordIntentClassifier, case_sensitive: false, oops: 1}]\n"
    project = read(tmp_path, "intents: [greet]", config=config)
    assert project.config.pipeline[0].options == {"case_sensitive": False}
    assert warnings(project) == [
        "config.yml:1: there is no option of KeywordIntentClassifier called 'oops'. Known: case_sensitive.",
    ]


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        ("component", "pipeline: [{name: theirs.Speller}]\n", "def parse(self, parses):"),
        ("policy", "policies: [{name: theirs.Chooser}]\n", "def predict(self, tracker, domain):"),
    ],
)
def test_a_class_of_rasas_own_is_named_with_what_to_write_instead(
    tmp_path: Path, kind: str, config: str, says: str
) -> None:
    files = {"config.yml": config, "domain.yml": "intents: [greet]", "theirs.py": "from rasa.engine.graph import X\n"}
    [error] = mistakes(tmp_path, files)
    assert error.startswith(f"config.yml:1: the {kind} '")
    assert "theirs.py is written for Rasa's own classes" in error
    assert says in error


def test_a_channel_of_rasas_own_is_left_out_and_told_with_what_to_write_instead(tmp_path: Path) -> None:
    files = {
        "config.yml": "pipeline: [{name: KeywordIntentClassifier}]\n",
        "domain.yml": "intents: [greet]",
        "credentials.yml": "their_channel.MyInput:\n  token: abc\n",
        "their_channel.py": "from rasa.core.channels.channel import InputChannel\n",
    }
    project = load_project(write(tmp_path, files))
    (warning,) = map(str, project.warnings)
    assert "credentials.yml:1: the channel 'MyInput' in " in warning
    assert "cannot run here: it is left out. Write:" in warning
    assert "def routes(self, assistant):" in warning
    assert [channel.name for channel in project.config.channels if "MyInput" in channel.name] == []


def test_in_a_rasa_project_test_stories_may_lie_anywhere(tmp_path: Path) -> None:
    story = "stories: []\n"
    files = {"config.yml": "recipe: default.v1\n", "domain.yml": "intents: [greet]\n", "env/pyvenv.cfg": ""}
    names = ("tests/other.yml", "stories/test_stories.yml", "test_here.yaml")
    elsewhere = ("stories/stories.yml", "results/test_old.yml", "env/lib/test_theirs.yml")
    files.update(dict.fromkeys((*names, *elsewhere), story))
    found = load_project(write(tmp_path, files)).tests
    assert [str(file.relative_to(tmp_path)) for file in found] == [*names]


def test_a_form_of_rasa_2_is_one_mistake_that_says_what_to_run(tmp_path: Path) -> None:
    mapping = "[{type: from_entity, entity: city}]"
    domain = f"entities: [city]\nforms:\n  trip:\n    city: {mapping}\n    day: {mapping}\n"
    [error] = mistakes(tmp_path, {"config.yml": "recipe: default.v1\n", "domain.yml": domain})
    assert error.startswith("domain.yml:3: form 'trip' says how its slots are filled; since Rasa 3")
    assert error.endswith("Run: frontdesk migrate")


def test_an_action_server_has_headers_and_a_login(tmp_path: Path) -> None:
    endpoint = {"url": "http://localhost:5055/webhook", "headers": {"X-Key": "abc"}, "basic_auth": {"username": "a"}}
    files = {"config.yml": OURS, "endpoints.yml": f"action_endpoint: {endpoint}\n"}
    found = load_project(write(tmp_path, files)).config.action_endpoint
    assert found is not None
    assert found.options == endpoint


def test_a_seed_below_zero_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {"config.yml": OURS + "seed: -1\n"}) == [
        "config.yml:4: 'seed' must be at least 0, not -1"
    ]
