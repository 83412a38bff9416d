"""Training data in all of Rasa's formats: read as Rasa reads them, converted and split as Rasa does.

`projects/json_read_by_rasa.json` is what Rasa 3.6.21 makes of `projects/json/data`, and
`projects/json_converted_by_rasa.yml` what its `data convert nlu` makes of nlu.json there.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bot.cli import app
from bot.errors import ConfigError, ProjectErrors
from bot.messages import Entity
from bot.nlu_writing import annotated, to_nlu_json, to_nlu_yaml
from bot.project import Project, load_project
from bot.training_data import Example, TrainingData
from bot.training_files import convert_nlu, read_nlu_files, split_examples, split_nlu, split_stories

PROJECTS = Path(__file__).parent / "projects"
CONFIG = "pipeline: [{name: KeywordIntentClassifier}]\npolicies: [{name: RulePolicy}]\n"


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(PROJECTS / "json")


@pytest.fixture(scope="module")
def of_rasa() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PROJECTS / "json_read_by_rasa.json").read_text(encoding="utf-8"))
    return found


def entity_keys(entity: dict[str, Any]) -> dict[str, Any]:
    # Rasa's LUIS reader writes the role "O" for none.
    return {key: value for key, value in entity.items() if (key, value) != ("role", "O")}


# ---- JSON ----


def test_json_of_four_makers_gives_the_examples_that_rasa_reads(project: Project, of_rasa: dict[str, Any]) -> None:
    found = [
        (one.text, one.intent or None, [entity.to_json() for entity in one.entities]) for one in project.data.examples
    ]
    expected = [
        (text, intent, [entity_keys(entity) for entity in entities]) for text, intent, entities in of_rasa["examples"]
    ]
    assert sorted(found, key=lambda one: one[0]) == expected
    assert project.warnings == ()


def test_json_gives_the_synonyms_patterns_and_lookup_tables_that_rasa_reads(
    project: Project, of_rasa: dict[str, Any]
) -> None:
    data = project.data
    assert data.synonyms.items() >= of_rasa["synonyms"].items()
    # Rasa finds these two when it trains, in the examples' entities.
    assert data.synonyms.items() - of_rasa["synonyms"].items() == {("two", "2"), ("chines", "chinese")}
    assert sorted((one.name, one.pattern) for one in data.patterns) == sorted(
        (one["name"], one["pattern"]) for one in of_rasa["patterns"]
    )
    lookups: dict[str, list[str]] = {}
    for table in of_rasa["lookups"]:
        # Where Rasa has a file's name, its lines count.
        words = ["Rome", "New York"] if isinstance(table["elements"], str) else table["elements"]
        lookups.setdefault(table["name"], []).extend(words)
    assert {table.name: list(table.values) for table in data.lookups} == lookups


def test_a_change_in_a_lookup_tables_file_asks_for_another_model(tmp_path: Path, project: Project) -> None:
    shutil.copytree(PROJECTS / "json", tmp_path / "json")
    assert load_project(tmp_path / "json").fingerprint == project.fingerprint
    (tmp_path / "json/data/lookups/cities.txt").write_text("Oslo\n", encoding="utf-8")
    assert load_project(tmp_path / "json").fingerprint != project.fingerprint


def read(root: Path, text: str, *, name: str = "a.json") -> Project:
    (root / "data").mkdir()
    (root / "config.yml").write_text(CONFIG, encoding="utf-8")
    (root / "domain.yml").write_text("intents: [greet]\nentities: [city]\n", encoding="utf-8")
    (root / "data" / name).write_text(text, encoding="utf-8")
    return load_project(root)


def rasa_json(key: str, *items: str) -> str:
    lines = ",\n".join(items)
    return f'{{"rasa_nlu_data": {{"{key}": [\n{lines}\n]}}}}'


ENTITY = '{"text": "to Rome", "intent": "greet", "entities": [%s]}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"rasa_nlu_data": {\n"common_examples": [,]}}',
            "a.json:2: this is not JSON: Expecting value, at character 21",
        ),
        ('{"rasa_nlu_data": []}', "a.json:1: 'rasa_nlu_data' must have keys and values, not a list"),
        ('{"rasa_nlu_data": {},\n"more": 1}', "a.json:2: there is no key beside 'rasa_nlu_data' called 'more'."),
        (rasa_json("common_examples", "5"), "a.json:2: an entry of 'common_examples' must have keys and values, not"),
        (rasa_json("common_examples", '{"text": 5}'), "a.json:2: 'text' of an entry of 'common_examples' must be text"),
        (
            rasa_json("common_examples", ENTITY % '{"start": 0, "end": 2}'),
            "a.json:2: an entity of 'to Rome' has no name: write \"entity\"",
        ),
        (
            rasa_json("regex_features", '{"name": "x", "pattern": "["}'),
            "a.json:2: the regular expression '[' of 'x' is",
        ),
        (
            rasa_json("lookup_tables", '{"name": "x", "elements": "no.txt"}'),
            "a.json:2: there is no file 'no.txt' for the lookup table 'x'",
        ),
        (
            rasa_json("common_examples", '{"text": "\\ud83d"}'),
            "a.json:2: this text has half a character: write it whole",
        ),
        (
            rasa_json("common_examples", '{"text": "a",\n"text": "b"}'),
            "a.json:3: the key 'text' stands twice, first on line 2",
        ),
        ("[" * 100_000 + "]" * 100_000, "a.json: this is nested too deeply"),
    ],
)
def test_a_mistake_in_json_is_said_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProjectErrors) as raised:
        read(tmp_path, text)
    [error] = raised.value.errors
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"some": "thing"}', "a.json: this is no training data: it is passed over"),
        ("[1, 2]", "a.json: this is no training data: it is passed over"),
        (
            rasa_json("intent_examples", '{"text": "hi"}'),
            "a.json:1: there is no key of 'rasa_nlu_data' called 'intent_ex",
        ),
        (
            rasa_json("common_examples", ENTITY % '{"start": 3, "end": 99, "entity": "city"}'),
            "a.json:2: the entity 'city' is not in 'to Rome': 'start' and 'end' are 3 and 99",
        ),
        ('{"luis_schema_version": "8.0", "utterances": []}', "a.json:1: LUIS's schema 8.0 is newer than 7"),
        ('{"name": "Book", "responses": []}', "a.json: there is no 'a_usersays_en.json' beside this"),
    ],
)
def test_what_rasa_would_work_with_is_a_warning(tmp_path: Path, text: str, says: str) -> None:
    [warning] = read(tmp_path, text).warnings
    assert says in str(warning)


def test_a_text_in_json_may_have_any_character(tmp_path: Path) -> None:
    said = "a\x7fb\x85c\u2028d\ufeffe\tf\u00e9g"
    content = {"rasa_nlu_data": {"common_examples": [{"text": said, "intent": "greet"}]}}
    assert read(tmp_path, json.dumps(content, ensure_ascii=False)).data.examples[0].text == said


def test_half_a_character_behind_a_backslash_is_text(tmp_path: Path) -> None:
    text = json.dumps({"rasa_nlu_data": {"common_examples": [{"text": "\\ud83d\\ude00 \\😀", "intent": "greet"}]}})
    assert read(tmp_path, text).data.examples[0].text == "\\ud83d\\ude00 \\😀"


def test_a_files_name_in_a_yaml_lookup_table_is_a_word_with_a_warning(tmp_path: Path) -> None:
    text = "nlu:\n- lookup: city\n  examples: |\n    - Rome\n    - data/cities.txt\n"
    project = read(tmp_path, text, name="nlu.yaml")
    [warning] = project.warnings
    assert "nlu.yaml:5: 'data/cities.txt' is a value of the lookup table 'city'" in str(warning)
    assert project.data.lookups[0].values == ("Rome", "data/cities.txt")


# ---- converting ----


def test_a_converted_file_is_rasas_own_but_for_what_rasa_leaves_out(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "json", tmp_path, dirs_exist_ok=True)
    lookup = tmp_path / "data/lookups/cities.txt"
    source = tmp_path / "data/nlu.json"
    source.write_text(source.read_text().replace("data/lookups/cities.txt", str(lookup)))
    notes = convert_nlu(source, tmp_path / "out/nlu.yml", "yaml")
    assert notes == ["examples without an intent (1) are left out: YAML has no place for them"]
    ours, rasas = (
        yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in (tmp_path / "out/nlu.yml", PROJECTS / "json_converted_by_rasa.yml")
    )
    assert ours["version"] == rasas["version"] == "3.1"
    more = [block for block in ours["nlu"] if block not in rasas["nlu"]]
    assert [block for block in rasas["nlu"] if block not in ours["nlu"]] == [
        {"synonym": "chinese", "examples": "- Chines\n- Chinees\n"}
    ]
    assert more == [
        {"synonym": "2", "examples": "- two\n"},
        {"synonym": "chinese", "examples": "- chines\n- Chines\n- Chinees\n"},
        {"lookup": "city", "examples": "- Rome\n- New York\n"},
    ]


ODD = TrainingData(
    examples=(
        Example("to Rome", "go", (Entity("city", "Rome", 3, 7),)),
        Example("to Rom now", "go", (Entity("city", "Rome", 3, 6, role="to", group="1"),)),
        Example("in Rome", "go", (Entity("city", "Rome", 3, 7), Entity("place", "Rome", 3, 7, role="x"))),
        Example("two\nlines", "faq/lines"),
        Example("a tab\there", "faq/lines", metadata={"intent": {"a": 1}, "example": [1, 2]}),
        Example("yes: 'no' # \"x\" 你好 😀", "on"),
    ),
    synonyms={"Rom": "Rome"},
)


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    text = to_nlu_yaml(ODD) if kind == "yaml" else to_nlu_json(ODD)
    (tmp_path / f"a.{kind}").write_text(text, encoding="utf-8")
    found = read_nlu_files(tmp_path)
    assert found.notes == ()
    assert [(one.text, one.intent, one.entities) for one in found.data.examples] == [
        (one.text, one.intent, one.entities) for one in ODD.examples
    ]
    assert found.data.synonyms == ODD.synonyms
    assert found.data.examples[4].metadata["example"] == [1, 2]


def test_of_entities_that_overlap_the_first_is_written() -> None:
    entities = (Entity("a", "big red", 0, 7), Entity("b", "red", 4, 7))
    assert annotated("big red dog", entities) == "[big red](a) dog"


def test_nothing_is_an_empty_file() -> None:
    assert to_nlu_yaml(TrainingData()) == ""


def test_responses_come_along_where_the_format_has_a_place_for_them(tmp_path: Path) -> None:
    text = "nlu:\n- intent: faq/a\n  examples: |\n    - one\nresponses:\n  utter_faq/a:\n  - text: A.\n"
    (tmp_path / "nlu.yml").write_text(text)
    assert convert_nlu(tmp_path / "nlu.yml", tmp_path / "out.yml", "yaml") == []
    assert yaml.safe_load((tmp_path / "out.yml").read_text())["responses"] == {"utter_faq/a": [{"text": "A."}]}
    notes = convert_nlu(tmp_path / "nlu.yml", tmp_path / "out.json", "json")
    assert notes == ["responses (1) are left out: JSON has no place for them"]


def test_markdown_is_for_the_migration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nlu.md' is Markdown, of Rasa 1 or 2. Run: frontdesk migrate"):
        convert_nlu(tmp_path / "nlu.md", tmp_path / "out.yml", "yaml")


def test_another_format_and_a_place_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'md' is no format: yaml or json"):
        convert_nlu(tmp_path, tmp_path / "a.md", "md")
    with pytest.raises(ConfigError, match=r"there is no file or folder '.*nothing'"):
        convert_nlu(tmp_path / "nothing", tmp_path / "a.yml", "yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written: "):
        convert_nlu(tmp_path, tmp_path / "file/a.yml", "yaml")


# ---- splitting ----


def test_a_split_has_every_intent_in_both_and_keeps_the_fraction() -> None:
    sizes = {"a": 40, "faq/x": 3, "faq/y": 2, "b": 17}
    examples = [Example(f"{intent} {i}", intent) for intent, size in sizes.items() for i in range(size)]
    training, test = split_examples(examples, 0.8, 7)
    assert {one.intent for one in training} == {one.intent for one in test} == set(sizes)
    assert sorted([*training, *test], key=examples.index) == examples
    assert training == sorted(training, key=examples.index)
    assert len(training) == int(0.8 * len(examples))
    assert (training, test) == split_examples(examples, 0.8, 7)
    assert training != split_examples(examples, 0.8, 8)[0]


def test_a_split_takes_each_example_once_and_what_has_no_intent_for_training() -> None:
    examples = [Example("hi", "greet"), Example("hi", "greet"), Example("alone", "")]
    training, test = split_examples(examples, 0.5, 1)
    assert [one.text for one in training] == ["alone"]
    assert [one.text for one in test] == ["hi"]


def test_split_files_have_what_rasas_have(tmp_path: Path) -> None:
    # Rasa 3.6.21 makes 54 and 14 of these examples, too.
    files, notes = split_nlu(PROJECTS / "rasa_init/data", tmp_path, 0.8, 1)
    assert [file.name for file in files] == ["training_data.yml", "test_data.yml"]
    assert notes == []
    assert [len(read_nlu_files(file).data.examples) for file in files] == [54, 14]


def test_both_halves_have_synonyms_and_the_answers_that_they_need(tmp_path: Path) -> None:
    text = (
        "nlu:\n- intent: faq/a\n  examples: |\n    - one\n    - two\n- intent: once\n  examples: |\n    - only\n"
        "- synonym: x\n  examples: |\n    - ex\n- regex: r\n  examples: |\n    - a+\n"
        "- lookup: l\n  examples: |\n    - w\n"
        "responses:\n  utter_faq/a:\n  - text: |-\n      A.\n      B.\n  utter_other:\n  - text: O\n"
    )
    (tmp_path / "nlu.yml").write_text(text, encoding="utf-8")
    files, notes = split_nlu(tmp_path / "nlu.yml", tmp_path / "out", 0.8, 1)
    names = ["training_data.yml", "nlg_training_data.yml", "test_data.yml", "nlg_test_data.yml"]
    assert [file.name for file in files] == names
    assert notes == ["intent 'once' has one example, which is in the test data"]
    for examples, answers in (files[:2], files[2:]):
        data = read_nlu_files(examples).data
        assert data.synonyms == {"ex": "x"}
        assert (data.patterns[0].pattern, data.lookups[0].values) == ("a+", ("w",))
        assert read_nlu_files(answers).responses == {"utter_faq/a": [{"text": "A.\nB."}]}


def test_the_same_seed_tests_the_same_stories_as_in_rasa(tmp_path: Path) -> None:
    files, notes = split_stories(PROJECTS / "rasa_init/data", tmp_path, 0.8, 3)
    assert [file.name for file in files] == ["train_stories.yml", "test_stories.yml"]
    names = [[one["story"] for one in yaml.safe_load(file.read_text())["stories"]] for file in files]
    # As `rasa data split stories --random-seed 3` of Rasa 3.6.21.
    assert names == [["happy path", "sad path 2"], ["sad path 1"]]
    assert notes == []


def test_what_stands_beside_stories_is_for_training_and_one_story_is_not_split(tmp_path: Path) -> None:
    story = "stories:\n- story: s\n  steps:\n  - user: |\n      hello\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.yml").write_text("rules:\n- rule: r\n  steps: []\n" + story)
    files, notes = split_stories(tmp_path, tmp_path / "out", 0.8, None)
    assert [file.name for file in files] == ["train_a_one.yml"]
    assert "one.yml: too few stories to split, all are for training" in notes[0]
    assert [file.name for file in split_stories(tmp_path / "a/one.yml", tmp_path / "out", 0.8, 1)[0]] == [
        "train_one.yml"
    ]
    content = yaml.safe_load(files[0].read_text())
    assert set(content) == {"rules", "stories"}
    assert content["stories"][0]["steps"] == [{"user": "hello\n"}]


@pytest.mark.parametrize("fraction", [0.0, 1.0, 80.0])
def test_a_fraction_is_between_0_and_1(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(ConfigError, match="the training fraction is between 0 and 1"):
        split_nlu(PROJECTS / "rasa_init/data", tmp_path, fraction, 1)
    with pytest.raises(ConfigError, match="the training fraction is between 0 and 1"):
        split_stories(PROJECTS / "rasa_init/data", tmp_path, fraction, 1)


def test_without_stories_there_is_nothing_to_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no stories in"):
        split_stories(tmp_path, tmp_path / "out", 0.8, 1)


# ---- the commands ----


def test_the_commands_say_what_they_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECTS / "json", tmp_path, dirs_exist_ok=True)
    shutil.copy(PROJECTS / "rasa_init/data/stories.yml", tmp_path / "data/stories.yml")
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    done = run(app, ["data", "convert", "nlu", "--data", "data", "--out", "nlu.yml"])
    assert done.stderr == "warning: examples without an intent (1) are left out: YAML has no place for them\n"
    assert done.stdout == "Written: nlu.yml\n"
    assert run(app, ["data", "convert", "nlu", "--data", "nlu.yml", "--out", "nlu.json", "-f", "json"]).exit_code == 0
    assert json.loads(Path("nlu.json").read_text())["rasa_nlu_data"]["common_examples"][0]["intent"] == "Book"
    done = run(app, ["data", "split", "nlu", "--random-seed", "1", "--training-fraction", "0.5"])
    assert done.stdout.splitlines()[-1] == (
        "2 files written: train_test_split/training_data.yml, train_test_split/test_data.yml"
    )
    done = run(app, ["data", "split", "stories", "-s", "data", "--out", "halves"])
    assert done.output == "2 files written: halves/train_stories.yml, halves/test_stories.yml\n"
