"""Projects of Rasa 1 and 2 come into the form of Rasa 3, train, and pass their own dialogues.

`projects/rasa_2_domain_by_rasa.yml` is what `rasa data migrate` of Rasa 3.6.21 makes of the domain of
`projects/rasa_2`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bot import migration
from bot.cli import app
from bot.errors import ConfigError, ProjectErrors, Source
from bot.migration.form_actions import read_form_actions
from bot.migration.log import Log
from bot.migration.markdown import read_markdown
from bot.migration.yaml_text import YamlText
from bot.project import Project, load_project
from bot.yaml_file import Problems, parse_yaml

PROJECTS = Path(__file__).parent / "projects"
CONFIG = "pipeline: [{name: KeywordIntentClassifier}]\npolicies: [{name: RulePolicy}]\n"


def copied(name: str, folder: Path) -> Path:
    shutil.copytree(PROJECTS / name, folder / name)
    return folder / name


def written(root: Path, **files: str) -> Path:
    """A project of these files: `domain_yml` is domain.yml, `data__nlu_md` is data/nlu.md."""
    for name, text in {"config_yml": CONFIG, "domain_yml": "intents: [greet]\n", **files}.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = root / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def content(root: Path, name: str) -> Any:
    return yaml.safe_load((root / name).read_text(encoding="utf-8"))


def said(root: Path, plan: migration.Migration) -> list[str]:
    return [str(change).replace(f"{root}/", "") for change in plan.changes]


def left(root: Path, plan: migration.Migration) -> list[str]:
    return [str(one).replace(f"{root}/", "") for one in plan.to_do]


def migrated(root: Path, **files: str) -> Path:
    migration.write(migration.plan(written(root, **files)))
    return root


# ---- whole projects ----


@pytest.fixture(scope="module")
def of_rasa_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied("rasa_2", tmp_path_factory.mktemp("migrated"))
    migration.write(migration.plan(root))
    return root


@pytest.fixture(scope="module")
def of_rasa_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied("rasa_1", tmp_path_factory.mktemp("migrated"))
    migration.write(migration.plan(root))
    # Python is a person's to mend; this bot's form needs none of it.
    (root / "actions.py").unlink()
    return root


def failed_dialogues(project: Project) -> Iterator[str]:
    from bot import evaluation, training
    from bot.stores.memory import MemoryStore

    training.train(project)
    report = asyncio.run(evaluation.evaluate(project, training.load_assistant(project, store=MemoryStore())))
    assert report.stories
    yield from (str(one) for one in report.failures)


@pytest.mark.parametrize("name", ["of_rasa_1", "of_rasa_2"])
def test_a_migrated_project_trains_and_passes_its_dialogues(name: str, request: pytest.FixtureRequest) -> None:
    project = load_project(request.getfixturevalue(name))
    assert project.warnings == ()
    assert list(failed_dialogues(project)) == []


@pytest.mark.parametrize("name", ["of_rasa_1", "of_rasa_2"])
def test_a_migrated_project_has_nothing_more_to_change(name: str, request: pytest.FixtureRequest) -> None:
    plan = migration.plan(request.getfixturevalue(name))
    assert (plan.texts, plan.gone, plan.changes) == ({}, [], [])


def test_slots_and_forms_are_what_rasa_makes_of_them(of_rasa_2: Path) -> None:
    ours = content(of_rasa_2, "domain.yml")
    rasas = content(PROJECTS, "rasa_2_domain_by_rasa.yml")
    assert ours["forms"] == rasas["forms"]
    assert {name: slot["mappings"] for name, slot in ours["slots"].items()} == {
        name: slot["mappings"] for name, slot in rasas["slots"].items()
    }
    # Rasa leaves to a person what Rasa 3 does not load: a slot's old type, or none.
    assert ours["slots"]["name"].items() >= {"type": "text", "influence_conversation": False}.items()
    assert ours["slots"]["comment"]["type"] == "any"
    same = set(rasas) - {"slots", "forms", "intents"}
    assert {key: ours[key] for key in same} == {key: rasas[key] for key in same}


def test_what_needs_no_change_stays_to_the_letter(of_rasa_2: Path) -> None:
    before = (PROJECTS / "rasa_2/domain.yml").read_text().splitlines()
    after = (of_rasa_2 / "domain.yml").read_text().splitlines()
    for line in ("# What people say", "- stop   # in the middle", "  # kind of food", "  # set by an action"):
        assert line in after
    assert after[after.index("responses:") :] == before[before.index("responses:") :]
    nlu = [(root / "data/nlu.yml").read_text() for root in (PROJECTS / "rasa_2", of_rasa_2)]
    assert nlu[1] == nlu[0].replace('version: "2.0"', 'version: "3.1"')
    assert (of_rasa_2 / "data/stories.yml").read_text().startswith('version: "3.1"  # of Rasa 2\n')
    assert (
        "- name: DIETClassifier   # from Rasa 1\n  epochs: 50\n  entity_recognition: false\n"
        in (of_rasa_2 / "config.yml").read_text()
    )


def test_old_policies_become_rules_and_a_fallback(of_rasa_2: Path) -> None:
    config = content(of_rasa_2, "config.yml")
    assert config["recipe"] == "default.v1"
    assert config["pipeline"][-1] == {"name": "FallbackClassifier", "threshold": 0.4}
    assert config["policies"] == [
        {"name": "MemoizationPolicy", "max_history": 5},
        {"name": "RulePolicy", "core_fallback_threshold": 0.2, "core_fallback_action_name": "utter_default"},
    ]
    rules = {rule["steps"][0]["intent"]: rule["steps"][1:] for rule in content(of_rasa_2, "data/rules.yml")["rules"]}
    assert rules == {
        "help": [{"action": "utter_help"}],
        "chitchat": [{"action": "utter_help"}],
        "nlu_fallback": [{"action": "utter_default"}],
    }
    assert content(of_rasa_2, "domain.yml")["intents"][5:7] == ["help", {"chitchat": {"use_entities": []}}]


def test_each_change_has_its_place_and_what_it_was(tmp_path: Path) -> None:
    root = copied("rasa_2", tmp_path)
    plan = migration.plan(root)
    changes = said(root, plan)
    assert len(changes) == 27
    for line in (
        "domain.yml:1: version 2.0 → 3.1",
        "domain.yml:11: intent 'help': triggers utter_help → a rule",
        "domain.yml:34: slot 'seating': filled by the entity of its name → mappings: from_entity seating",
        "domain.yml:41: slot 'name': unfeaturized → text, influence_conversation: false",
        "domain.yml:30: slot 'number': filled by auto_fill: false → mappings: "
        "from_entity number (in table_form), from_text (in table_form)",
        "domain.yml:73: form 'feedback_form': how its slots are filled → required_slots: ['cuisine', 'comment']",
        "config.yml:6: EmbeddingIntentClassifier → DIETClassifier",
        "config.yml:21: FormPolicy → RulePolicy",
        "data/rules.yml: no rule → rule 'help: utter_help'",
    ):
        assert line in changes
    assert left(root, plan) == [
        "domain.yml:42: slot 'rating' is filled by no form and no entity: it is left to your actions ('custom')",
        "domain.yml:48: slot 'account' is filled by no form and no entity: it is left to your actions ('custom')",
    ]


def test_files_as_they_were_are_kept(of_rasa_1: Path) -> None:
    backup = of_rasa_1 / migration.BACKUP
    kept = sorted(path.relative_to(backup).as_posix() for path in backup.rglob("*") if path.is_file())
    markdown = ["data/nlu.md", "data/responses.md", "data/stories.md"]
    assert kept == ["config.yml", *markdown, "domain.yml", "tests/conversation_tests.md"]
    assert all((backup / name).read_bytes() == (PROJECTS / "rasa_1" / name).read_bytes() for name in kept)
    assert not any((of_rasa_1 / name).exists() for name in markdown)
    assert (of_rasa_1 / "data/README.md").exists()


def test_a_copy_is_migrated_and_the_project_stays(tmp_path: Path) -> None:
    root = copied("rasa_1", tmp_path)
    (root / "models").mkdir()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    out = migration.write(migration.plan(root), tmp_path / "new")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"actions.py", "lookups/cuisines.txt", "data/nlu.yml", "tests/test_conversation_tests.yml"} <= names
    assert not (out / "models").exists()
    assert not any(name.endswith(("nlu.md", "stories.md")) for name in names)
    load_project(out)


def test_what_a_person_must_do_is_said(tmp_path: Path) -> None:
    root = copied("rasa_1", tmp_path)
    found = left(root, migration.plan(root))
    assert len(found) == 3
    assert found[0].startswith(
        "actions.py:4: the FormAction 'RestaurantForm' cannot run with Rasa 3: make it a FormVali"
    )
    assert found[1] == (
        "config.yml:12: 'deny_suggestion_intent_name' has no place in Rasa 3, where it is always out_of_scope"
    )
    assert found[2] == "data/stories.md:18: the event 'reset_slots' has no place in a story of Rasa 3: it is left out"


def test_a_form_of_rasa_1_is_read_from_its_python(of_rasa_1: Path) -> None:
    domain = content(of_rasa_1, "domain.yml")
    assert domain["forms"] == {"restaurant_form": {"required_slots": ["cuisine", "people", "outdoor"]}}
    loop = {"active_loop": "restaurant_form"}
    assert domain["slots"]["cuisine"]["mappings"] == [
        {"type": "from_entity", "entity": "cuisine", "conditions": [loop]}
    ]
    assert domain["slots"]["people"]["mappings"] == [
        {"type": "from_entity", "entity": "people", "intent": ["inform", "request_restaurant"], "conditions": [loop]},
        {"type": "from_text", "conditions": [{**loop, "requested_slot": "people"}]},
    ]
    assert domain["responses"]["utter_greet"] == [{"text": "Hello!"}, {"text": "Hi."}]
    assert domain["responses"]["utter_thanks"] == [{"text": "You are welcome."}]
    assert domain["actions"][-1] == "utter_faq"


# ---- nothing changes when something is wrong ----


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"domain_yml": "intents: [\n"}, "domain.yml:2: this is not YAML"),
        ({"domain_yml": "- a"}, "domain.yml: the file must have keys and values"),
        ({"domain_yml": "slots: [a]"}, "domain.yml:1: 'slots' of the domain must be keys and values, not a list"),
        ({"domain_yml": "slots:\n  a: text"}, "domain.yml:2: slot 'a' must have keys and values, not the text 'text'"),
        ({"domain_yml": "forms:\n  f:\n    a: [x]"}, "domain.yml:3: 'a' of form 'f' must be a list of slot mappings"),
        ({"domain_yml": "forms: [[a]]"}, "domain.yml:1: 'forms' of the domain must be a list of texts; this is a list"),
        ({"config_yml": "- a"}, "config.yml: the file must have keys and values"),
        ({"data__s_md": "## s\n* greet{oops}\n - utter_a\n"}, "data/s.md:2: what stands in braces is not JSON"),
        ({"data__s_md": "## s\n* greet\nutter_a\n"}, "data/s.md:3: this is no step of a story: 'utter_a'"),
        ({"data__s_md": "* greet\n## s\n* greet\n"}, "data/s.md:1: this belongs to no story: '* greet'"),
        ({"data__n_md": "## intent:a\nhello\n"}, "data/n.md:2: an example must begin with '- ': 'hello'"),
        (
            {"data__n_md": "# Title\n- x\n## intent:a\n- b\n"},
            "data/n.md:2: this belongs to no intent, synonym, regex or",
        ),
        ({"data__n_md": "## lookup:a\nno.txt\n"}, "data/n.md:2: the lookup table's file 'no.txt' cannot be read"),
        ({"data__s_md": "## s\n* {}\n"}, "data/s.md:2: there is no name in '{}'"),
        ({"data__a_yml": "version: '2.0'\nnlu: [\n"}, "data/a.yml:3: this is not YAML"),
        (
            {"domain_yml": "slots:\n  a: {type: &t text}\nresponses:\n  utter_a:\n  - text: *t\n"},
            "found undefined alias",
        ),
    ],
)
def test_at_a_mistake_nothing_changes(tmp_path: Path, files: dict[str, str], says: str) -> None:
    root = written(tmp_path, **{"domain_yml": "version: '2.0'\nslots: {a: {type: text}}\n", **files})
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(ProjectErrors) as raised:
        migration.plan(root)
    assert says in str(raised.value).replace(f"{root}/", "")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_nothing_is_written_over(tmp_path: Path) -> None:
    root = copied("rasa_2", tmp_path)
    plan = migration.plan(root)
    with pytest.raises(ConfigError, match="lies in the project itself"):
        migration.write(plan, root / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(ConfigError, match="full' is there already: name a new folder"):
        migration.write(plan, tmp_path / "full")
    (root / migration.BACKUP).mkdir()
    with pytest.raises(ConfigError, match="from another migration: move it away"):
        migration.write(plan)
    with pytest.raises(ConfigError, match=r"there is no config.yml in '.*nothing'"):
        migration.plan(tmp_path / "nothing")


def test_a_file_keeps_its_kind_of_line_ends(tmp_path: Path) -> None:
    root = written(tmp_path)
    (root / "data").mkdir()
    (root / "data/nlu.yml").write_bytes(b"version: '2.0'\r\nnlu: []\r\n")
    migration.write(migration.plan(root))
    assert (root / "data/nlu.yml").read_bytes() == b'version: "3.1"\r\nnlu: []\r\n'


def test_a_file_that_is_there_keeps_its_name(tmp_path: Path) -> None:
    files = {"data__nlu_yml": "nlu: []\n", "data__nlu_md": "## intent:greet\n- hello\n"}
    rules = "rules:\n- rule: r\n  steps:\n  - intent: bye\n  - action: utter_bye\n"
    domain = "intents:\n- greet: {triggers: utter_a}\n- bye: {triggers: utter_a}\n"
    root = migrated(tmp_path, domain_yml=domain, data__rules_yml=rules, **files)
    assert (root / "data/nlu.yml").read_text() == "nlu: []\n"
    assert content(root, "data/nlu_from_markdown.yml")["nlu"] == [{"intent": "greet", "examples": "- hello\n"}]
    assert (root / "data/rules.yml").read_text() == rules
    # `bye` has a rule already.
    assert [rule["rule"] for rule in content(root, "data/rules_of_migration.yml")["rules"]] == ["greet: utter_a"]


# ---- domains ----


@pytest.mark.parametrize(
    ("domain", "slots"),
    [
        ("entities: [a]\nslots: {a: {type: text}}", {"a": [{"type": "from_entity", "entity": "a"}]}),
        ("entities: [{a: {roles: [x]}}]\nslots: {a: {type: text}}", {"a": [{"type": "from_entity", "entity": "a"}]}),
        ("entities: [a]\nslots: {a: {type: text, auto_fill: false}}", {"a": [{"type": "custom"}]}),
        (
            "entities: [a]\nconfig: {store_entities_as_slots: false}\nslots: {a: {type: text}}",
            {"a": [{"type": "custom"}]},
        ),
        (
            "slots:\n  a:\n    type: text\nforms:\n  f:\n    a:\n      type: from_text\n",
            {"a": [{"type": "from_text", "conditions": [{"active_loop": "f", "requested_slot": "a"}]}]},
        ),
        (
            "forms:\n  f:\n    a:\n    - type: from_trigger_intent\n      intent: greet\n      value: 1\n",
            {
                "a": [
                    {
                        "type": "from_trigger_intent",
                        "intent": "greet",
                        "value": 1,
                        "conditions": [{"active_loop": "f"}],
                    }
                ]
            },
        ),
        ("slots:\nforms:\n  f:\n    required_slots:\n      a: []\n", {"a": [{"type": "custom"}]}),
    ],
)
def test_a_slot_says_what_fills_it(tmp_path: Path, domain: str, slots: dict[str, Any]) -> None:
    root = migrated(tmp_path, domain_yml=f"intents: [greet]\n{domain}\n")
    found = content(root, "domain.yml")["slots"]
    assert {name: slot["mappings"] for name, slot in found.items()} == slots
    load_project(root)


def test_a_domain_in_several_files_is_one(tmp_path: Path) -> None:
    root = migrated(
        tmp_path,
        domain_yml='version: "2.0"\nintents: [greet]\nentities: [a]\n',
        domain__slots_yml="slots:\n  a: {type: text}  # by its name\n  b: {type: text}\n",
        domain__forms_yml="forms:\n  f:\n    required_slots:\n      b:\n      - type: from_text\n",
    )
    slots = content(root, "domain/slots.yml")["slots"]
    assert slots["a"]["mappings"] == [{"type": "from_entity", "entity": "a"}]
    assert slots["b"]["mappings"][0]["conditions"] == [{"active_loop": "f", "requested_slot": "b"}]
    assert content(root, "domain/forms.yml") == {"forms": {"f": {"required_slots": ["b"]}}}


@pytest.mark.parametrize(
    "domain",
    [
        'version: "3.1"\nentities: [a]\nslots: {a: {type: text}}\n',
        "entities: [a]\nslots: {a: {type: text, mappings: [{type: from_text}]}}\nforms: {f: {required_slots: [a]}}\n",
        "intents: [greet]\n",
    ],
)
def test_a_domain_in_the_form_of_rasa_3_stays(tmp_path: Path, domain: str) -> None:
    assert migration.plan(written(tmp_path, domain_yml=domain)).texts == {}


def test_templates_and_responses_side_by_side_are_left_to_a_person(tmp_path: Path) -> None:
    root = written(tmp_path, domain_yml="intents: [greet]\nresponses: {}\ntemplates: {}\n")
    assert left(root, migration.plan(root)) == ["domain.yml:3: 'templates' and 'responses' mean the same: join them"]


# ---- config.yml ----


def configured(tmp_path: Path, config: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    root = migrated(tmp_path, config_yml=config)
    rules = content(root, "data/rules.yml")["rules"] if (root / "data/rules.yml").exists() else []
    return content(root, "config.yml"), [step for rule in rules for step in rule["steps"]]


def test_two_stage_fallback_is_a_rule_and_a_classifier(tmp_path: Path) -> None:
    options = "{name: TwoStageFallbackPolicy, nlu_threshold: 0.5, ambiguity_threshold: 0.2, core_threshold: 0.6}"
    config, steps = configured(tmp_path, f"pipeline: [{{name: KeywordIntentClassifier}}]\npolicies: [{options}]\n")
    assert config == {
        "recipe": "default.v1",
        "pipeline": [
            {"name": "KeywordIntentClassifier"},
            {"name": "FallbackClassifier", "threshold": 0.5, "ambiguity_threshold": 0.2},
        ],
        "policies": [{"name": "RulePolicy", "core_fallback_threshold": 0.6}],
    }
    name = "action_two_stage_fallback"
    assert steps == [{"intent": "nlu_fallback"}, {"action": name}, {"active_loop": name}]


@pytest.mark.parametrize(
    ("policies", "now"),
    [
        ("[KerasPolicy, EmbeddingPolicy]", [{"name": "TEDPolicy"}]),
        ("[{name: TEDPolicy, epochs: 5}, {name: SklearnPolicy}]", [{"name": "TEDPolicy", "epochs": 5}]),
        ("[{name: KerasPolicy, epochs: 7, rnn_size: 3}]", [{"name": "TEDPolicy", "epochs": 7}]),
        ("[{name: rasa.core.policies.form_policy.FormPolicy}]", [{"name": "RulePolicy"}]),
        (
            "[{name: RulePolicy, restrict_rules: false}, {name: FallbackPolicy, core_threshold: 0.9}]",
            [{"name": "RulePolicy", "core_fallback_threshold": 0.9, "restrict_rules": False}],
        ),
        (
            "[{name: MemoizationPolicy, featurizer: [{name: X}], max_history: 2}]",
            [{"name": "MemoizationPolicy", "max_history": 2}],
        ),
    ],
)
def test_policies_of_rasa_1_and_2_have_rasa_3s_names(tmp_path: Path, policies: str, now: list[Any]) -> None:
    config, _ = configured(tmp_path, f"pipeline: [{{name: KeywordIntentClassifier}}]\npolicies: {policies}\n")
    assert config["policies"] == now


@pytest.mark.parametrize(
    ("pipeline", "now"),
    [
        ("\n- EmbeddingIntentClassifier\n", [{"name": "DIETClassifier", "entity_recognition": False}]),
        ("\n- ner_crf\n- name: nlp_mitie # first\n", [{"name": "CRFEntityExtractor"}, {"name": "MitieNLP"}]),
        (
            "\n- name: rasa.nlu.extractors.x.DucklingHTTPExtractor # old\n  url: u\n",
            [{"name": "DucklingEntityExtractor", "url": "u"}],
        ),
        (
            "\n- name: HFTransformersNLP\n  model_name: bert\n- LanguageModelTokenizer\n- LanguageModelFeaturizer\n",
            [{"name": "WhitespaceTokenizer"}, {"name": "LanguageModelFeaturizer", "model_name": "bert"}],
        ),
        (" [{name: WhitespaceTokenizer}, {name: ConveRTTokenizer}]\n", [{"name": "WhitespaceTokenizer"}]),
        (" pretrained_embeddings_convert\n", None),
        (" pretrained_embeddings_spacy\n", None),
    ],
)
def test_components_of_rasa_1_and_2_have_rasa_3s_names(tmp_path: Path, pipeline: str, now: list[Any] | None) -> None:
    config, _ = configured(tmp_path, f"pipeline:{pipeline}")
    if now is not None:
        assert config["pipeline"] == now
    load_project(tmp_path)


def test_a_fallback_without_a_pipeline_is_rasas_default(tmp_path: Path) -> None:
    root = written(tmp_path, config_yml="policies: [{name: FallbackPolicy}]\n")
    [told] = left(root, migration.plan(root))
    assert told == "config.yml:1: without a 'pipeline', Rasa's own has the FallbackClassifier, with a threshold of 0.3"


# ---- Markdown ----


def steps(markdown: str) -> tuple[Any, Log]:
    problems, log = Problems(), Log()
    found = read_markdown(f"## story\n{markdown}\n", "s.md", Path(), problems, log)
    assert problems.errors == []
    assert found is not None
    return found["stories"][0]["steps"], log


@pytest.mark.parametrize(
    ("markdown", "step"),
    [
        ("* greet", {"intent": "greet"}),
        ('* inform{"city": "Rome", "n": 2}', {"intent": "inform", "entities": [{"city": "Rome"}, {"n": 2}]}),
        ('* inform{"time": "10:30"}', {"intent": "inform", "entities": [{"time": "10:30"}]}),
        ("* affirm OR thanks", {"or": [{"intent": "affirm"}, {"intent": "thanks"}]}),
        ('* a{"x": "1"} OR b', {"or": [{"intent": "a", "entities": [{"x": "1"}]}, {"intent": "b"}]}),
        ("* faq/hours: when do you open?", {"user": "when do you open?\n", "intent": "faq/hours"}),
        ("* go: to [Rome](city)", {"user": "to [Rome](city)\n", "intent": "go"}),
        ('* go{"city": "Rome"}: to [Rome](city)', {"user": "to [Rome](city)\n", "intent": "go"}),
        ("* greet\n - utter_greet", {"action": "utter_greet"}),
        ("* faq\n - respond_faq", {"action": "utter_faq"}),
        ('* greet\n - slot{"a": null, "b": [1]}', {"slot_was_set": [{"a": None}, {"b": [1]}]}),
        ('* greet\n - form{"name": "f"}', {"active_loop": "f"}),
        ('* greet\n - form{"name": null}', {"active_loop": None}),
        ('* greet\n - active_loop{"name": "f"}', {"active_loop": "f"}),
        ("* greet\n> checked", {"checkpoint": "checked"}),
        ('* greet\n> checked{"a": "b"}', {"checkpoint": "checked", "slot_was_set": [{"a": "b"}]}),
        ("* greet <!-- predicted: bye -->", {"intent": "greet"}),
        ("* greet: hello\n* form: inform: to Rome", {"user": "to Rome\n", "intent": "inform"}),
    ],
)
def test_a_step_in_markdown(markdown: str, step: dict[str, Any]) -> None:
    assert steps(markdown)[0][-1] == step


def test_what_happens_within_a_form_is_not_learnt() -> None:
    found, log = steps('* ask\n - f\n - form{"name": "f"}\n* form: inform\n - form: f\n - form{"name": null}')
    assert found == [{"intent": "ask"}, {"action": "f"}, {"active_loop": "f"}, {"active_loop": None}]
    assert [str(change) for change in log.changes] == [
        "s.md:5: * form: inform → left out: the form itself does what happens within it",
        "s.md:6: - form: f → left out: the form itself does what happens within it",
    ]


def test_a_text_that_is_no_training_data_is_none() -> None:
    assert read_markdown("# Read me\n\n- a list\n", "README.md", Path(), Problems(), Log()) is None


# ---- YAML that is changed in place ----


def edited(text: str) -> YamlText:
    return YamlText(text, parse_yaml(text, "a.yml", Problems()))


@pytest.mark.parametrize(
    ("text", "change", "now"),
    [
        ("a: 1 # one\nb: 2", lambda it: it.replace(("b",), [3]), "a: 1 # one\nb:\n- 3\n"),
        ("a:\n- x # first\n- y\n\n# end\n", lambda it: it.remove(("a", 1)), "a:\n- x # first\n\n# end\n"),
        ("a:\n- x\nb: 1\n", lambda it: it.remove(("a", 0)), "a: []\nb: 1\n"),
        ("a: [x, y] # two\nb: 1\n", lambda it: it.remove(("a", 0)), "a:\n- y\nb: 1\n"),
        ("{a: [x, y]}", lambda it: it.remove(("a", 0)), "a:\n- y\n"),
        ("a:\n  - x\n", lambda it: (it.append(("a",), "y"), it.append(("a",), "z")), "a:\n  - x\n  - y\n  - z\n"),
        ("a:\n- x\n", lambda it: (it.remove(("a", 0)), it.append(("a",), "y")), "a:\n- y\n"),
        ("a: []\n", lambda it: it.append(("a",), {"b": 1}), "a:\n- b: 1\n"),
        ("a:\n  b: 1\n  # c\nd: 2\n", lambda it: it.append(("a",), {"e": 3}), "a:\n  b: 1\n  e: 3\n  # c\nd: 2\n"),
        ("a: b # c\n", lambda it: it.reword(("a",), "yes"), "a: 'yes' # c\n"),
        ("x: 你好😀\na: b # é\n", lambda it: it.reword(("a",), "c"), "x: 你好😀\na: c # é\n"),
        ("x: [{text: Which one?}]\na: b\n", lambda it: it.reword(("a",), "c"), "x: [{text: Which one?}]\na: c\n"),
        ("# top\na: 1", lambda it: (it.put("z", 2), it.put("b", 3, first=True)), "# top\nb: 3\na: 1\nz: 2\n"),
        (
            "old: # o\n  x: |\n    l\n\n    m\n\ny: 1\n",
            lambda it: it.rename("old", "new"),
            "new: # o\n  x: |\n    l\n\n    m\n\ny: 1\n",
        ),
        ("old:\n  x: 1\n", lambda it: (it.rename("old", "new"), it.replace(("new", "x"), 2)), "new:\n  x: 2\n"),
        (
            "a:\n  x: |\n    l\n  y: 1\n",
            lambda it: it.replace(("a", "x"), "m\nn\n"),
            "a:\n  x: |\n    m\n    n\n  y: 1\n",
        ),
        ("a:\n- b: 1\n  c: 2\n- d\n", lambda it: it.replace(("a", 0), {"e": [1]}), "a:\n- e:\n  - 1\n- d\n"),
        ("a:\n- b: 1\n  c: 2\n", lambda it: it.replace(("a", 0, "c"), 3), "a:\n- b: 1\n  c: 3\n"),
        ("a: \u2028\nb: 你好\nc: 1\n", lambda it: it.replace(("c",), 2), "a: \u2028\nb: 你好\nc: 2\n"),
    ],
)
def test_a_change_leaves_the_rest_as_it_is(text: str, change: Any, now: str) -> None:
    it = edited(text)
    assert not it.is_changed
    change(it)
    assert it.is_changed
    assert it.text() == now


# ---- Python of Rasa 1 ----

ASKS_A = "def required_slots(tracker): return ['a']"


@pytest.mark.parametrize(
    ("methods", "slots"),
    [
        (ASKS_A, {"a": [{"type": "from_entity", "entity": "a"}]}),
        ("def required_slots(tracker): return other()", {}),
        (
            f"{ASKS_A}\n    def slot_mappings(self): return {{'a': self.from_text(not_intent='x')}}",
            {"a": [{"type": "from_text", "not_intent": "x"}]},
        ),
        (
            f"{ASKS_A}\n    def slot_mappings(self): return {{'a': self.own(1)}}",
            {"a": [{"type": "from_entity", "entity": "a"}]},
        ),
        (
            f"{ASKS_A}\n    def slot_mappings(self): return {{'a': self.from_text(intent=x)}}",
            {"a": [{"type": "from_entity", "entity": "a"}]},
        ),
    ],
)
def test_what_a_form_asks_is_read_where_it_is_plain(tmp_path: Path, methods: str, slots: dict[str, Any]) -> None:
    code = f"class F(forms.FormAction):\n    def name(self): return 'f'\n    {methods}\n"
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions/forms.py").write_text(code)
    (tmp_path / "broken.py").write_text("def (")
    log = Log()
    assert read_form_actions(tmp_path, log)["f"].slots == slots
    assert log.to_do[0].source == Source(str(tmp_path / "actions/forms.py"), 1)


# ---- the command ----


def test_the_command_says_each_change_and_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied("rasa_1", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["migrate", "--project", "rasa_1", "--out", "new"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == "rasa_1/config.yml:1: no recipe → recipe: default.v1"
    assert lines[lines.index("Left to you:") + 1].startswith(
        "rasa_1/actions.py:4: the FormAction 'RestaurantForm' cannot"
    )
    assert lines[-2:] == ["29 changes in 7 files, in new", "Next: frontdesk validate --project new"]
    again = CliRunner().invoke(app, ["data", "migrate", "--project", "new"])
    assert again.output == "There is nothing to change: the project has the form of Rasa 3.\n"


def test_what_is_still_wrong_after_a_migration_is_said(tmp_path: Path) -> None:
    domain = "intents: [greet]\nforms:\n  f:\n    a:\n    - type: from_wish\n"
    done = CliRunner().invoke(app, ["migrate", "--project", str(written(tmp_path, domain_yml=domain))])
    assert isinstance(done.exception, ProjectErrors)
    assert "from_wish" in str(done.exception)
    assert "The project can be read when these are mended:" in done.output
