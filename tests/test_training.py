"""From a project to a model and back: what is trained again, what is refused, and with which words."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import training
from bot.errors import ConfigError, ModelError, ProjectErrors
from bot.messages import UserMessage
from bot.project import Project, load_project
from bot.training import MANIFEST, find_model, load_assistant, load_model, open_actions, open_store, train

SHOP = {
    "config.yml": """
domains: []
pipeline:
- name: WhitespaceTokenizer
- name: CountVectorsFeaturizer
- name: LogisticRegressionClassifier
policies: [{name: MemoizationPolicy}, {name: RulePolicy}]
""",
    "domain.yml": """
intents: [greet, bye]
responses:
  utter_greet: [{text: Hello}]
  utter_bye: [{text: So long}]
""",
    "data/all.yml": """
nlu:
- intent: greet
  examples: |
    - hello
    - good morning
- intent: bye
  examples: |
    - so long
    - see you
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
""",
}


def write(root: Path, files: dict[str, str]) -> Project:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return load_project(root)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write(tmp_path / "shop", SHOP)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def reply(project: Project, text: str) -> list[str | None]:
    async def talk() -> list[str | None]:
        assistant = load_assistant(project)
        replies = await assistant.handle(UserMessage(text=text, sender_id="anna", channel="test"))
        await assistant.close()
        return [message.text for message in replies]

    return asyncio.run(talk())


def test_a_trained_project_answers(project: Project) -> None:
    assert find_model(project) is None
    train(project)
    assert reply(project, "hello") == ["Hello"]


def test_what_has_not_changed_is_not_trained_again(project: Project) -> None:
    model = train(project)
    assert find_model(load_project(project.root)) == model


def test_a_moved_project_keeps_its_model(project: Project) -> None:
    model = train(project)
    moved = project.root.parent / "moved"
    shutil.move(project.root, moved)
    assert find_model(load_project(moved)) == moved / "models" / model.name


def test_changed_data_need_another_model_and_the_old_one_comes_back_with_the_old_data(project: Project) -> None:
    model = train(project)
    changed = write(project.root, {"data/all.yml": SHOP["data/all.yml"].replace("hello", "hi")})
    assert find_model(changed) is None
    train(changed)
    assert find_model(write(project.root, SHOP)) == model


def test_the_same_data_and_seed_give_the_same_bytes(project: Project) -> None:
    first = contents(train(project))
    assert {MANIFEST, "policies/1_RulePolicy/rules.json"} < set(first)
    again = write(project.root.parent / "again", SHOP)
    assert contents(train(again)) == first
    assert contents(train(again)) == first


def test_a_half_written_model_is_never_seen(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        assert list((project.root / "models").iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_write_manifest", fail)
    with pytest.raises(KeyboardInterrupt):
        train(project)
    assert list((project.root / "models").iterdir()) == []


def test_a_training_that_fails_leaves_the_earlier_model(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(train(project))
    monkeypatch.setattr(training, "_write_manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(project)
    model = find_model(project)
    assert model is not None
    assert contents(model) == before


def test_progress_grows_from_nothing_to_all(project: Project) -> None:
    told: list[tuple[str, float]] = []
    train(project, lambda what, done: told.append((what, done)))
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert (shares[0], told[-1]) == (0.0, ("done", 1.0))


def test_a_contradiction_is_found_before_anything_is_learned(project: Project) -> None:
    rule = "rules: [{rule: rude, steps: [{intent: greet}, {action: utter_bye}]}]"
    told: list[str] = []
    with pytest.raises(ProjectErrors, match="rude"):
        train(write(project.root, {"data/rude.yml": rule}), lambda what, _: told.append(what))
    assert told == ["dialogue"]


# ---- models that are refused ----


def _of_another_domain(model: Path, project: Project) -> Project:
    return write(project.root, {"domain.yml": SHOP["domain.yml"].replace("[greet,", "[greet, more,")})


def _damaged(model: Path, project: Project) -> Project:
    file = next(model.rglob("rules.json"))
    file.write_bytes(file.read_bytes()[:-1])
    return project


def _incomplete(model: Path, project: Project) -> Project:
    shutil.rmtree(model / "policies")
    return project


def _truncated(model: Path, project: Project) -> Project:
    (model / MANIFEST).write_bytes((model / MANIFEST).read_bytes()[:40])
    return project


def _of_no_known_form(model: Path, project: Project) -> Project:
    (model / MANIFEST).write_text(json.dumps({"fingerprint": project.fingerprint, "files": ["a"]}))
    return project


def _not_text(model: Path, project: Project) -> Project:
    (model / MANIFEST).write_bytes(b"\xff\xfe")
    return project


def _gone(model: Path, project: Project) -> Project:
    shutil.rmtree(model)
    return project


def _a_file(model: Path, project: Project) -> Project:
    shutil.rmtree(model)
    model.write_text("")
    return project


def _empty(model: Path, project: Project) -> Project:
    shutil.rmtree(model)
    model.mkdir()
    return project


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_of_another_domain, "was trained on other data than this project's"),
        (_damaged, r"is damaged: policies/1_RulePolicy/rules\.json is missing or was changed"),
        (_incomplete, "is damaged: policies/.* is missing or was changed"),
        (_truncated, r"is no model: its manifest\.json cannot be read"),
        (_of_no_known_form, r"is no model: its manifest\.json cannot be read"),
        (_not_text, r"is no model: its manifest\.json cannot be read"),
        (_gone, "there is no model folder"),
        (_a_file, "is a file, and no model's folder"),
        (_empty, r"is no model: its manifest\.json cannot be read"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_error_that_says_what_to_do(
    project: Project, spoil: Callable[[Path, Project], Project], message: str
) -> None:
    model = train(project)
    with pytest.raises(ModelError, match=f"(?s){message}.*Run: frontdesk train") as raised:
        load_model(spoil(model, project), model)
    assert "\n" not in str(raised.value)


def test_without_a_model_the_error_says_how_to_make_one(project: Project) -> None:
    with pytest.raises(ModelError, match=r"there is no model for the data in .* Run: frontdesk train"):
        load_assistant(project)


def test_a_damaged_model_is_mended_by_training(project: Project) -> None:
    _damaged(train(project), project)
    train(project)
    assert reply(project, "hello") == ["Hello"]


@pytest.mark.parametrize("name", ["the folder of models", "the one model"])
def test_of_a_folder_of_models_the_one_for_the_present_data_is_taken(project: Project, name: str) -> None:
    model = train(project)
    folder = model if name == "the one model" else model.parent
    assert load_model(project, folder).folder == model


def test_in_a_folder_of_other_models_there_is_none_to_take(project: Project) -> None:
    models = train(project).parent
    changed = _of_another_domain(models, project)
    with pytest.raises(ModelError, match=r"no model in '.*models' was trained on the present data"):
        load_model(changed, models)


def test_models_cannot_be_kept_where_a_file_is(project: Project) -> None:
    (project.root / "models").write_text("")
    with pytest.raises(ConfigError, match="models' cannot be written: File exists"):
        train(project)


# ---- what an assistant is put together from ----

BROKEN = {"actions/__init__.py": "", "actions/broken.py": "raise RuntimeError('must not be imported')"}


def test_where_an_action_server_is_configured_local_actions_are_not_imported(project: Project) -> None:
    endpoints = {"endpoints.yml": "action_endpoint: {url: 'http://localhost:5055/webhook'}"}
    remote = write(project.root, {**BROKEN, **endpoints})
    assert open_actions(remote) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "endpoints.yml",
            "\naction_endpoint: {url: nowhere}",
            r"endpoints\.yml:2: the 'url' of action_endpoint must be",
        ),
        (
            "config.yml",
            SHOP["config.yml"] + "store: {type: sqlite, synchronous: A}",
            r"config\.yml:8: there is no value",
        ),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place(project: Project, name: str, text: str, message: str) -> None:
    train(project)
    changed = write(project.root, {name: text})
    with pytest.raises(ConfigError, match=message):
        load_assistant(changed)


def test_an_action_that_cannot_be_imported_is_one_error_with_its_line(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"actions/broken\.py:1: .* must not be imported"):
        open_actions(write(project.root, BROKEN))


def test_a_store_lies_in_the_projects_folder_wherever_one_stands(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, config in (("frontdesk.db", ""), ("kept/here.db", "store: {type: sqlite, path: kept/here.db}\n")):
        changed = write(project.root, {"config.yml": SHOP["config.yml"] + config})
        (project.root / path).parent.mkdir(exist_ok=True)
        asyncio.run(open_store(changed).close())
        assert (project.root / path).is_file()


def test_a_store_may_lie_elsewhere(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.db"
    config = SHOP["config.yml"] + f"store: {{type: sqlite, path: '{path}'}}\n"
    asyncio.run(open_store(write(project.root, {"config.yml": config})).close())
    assert path.is_file()


def test_a_store_that_keeps_nothing_needs_no_path(project: Project) -> None:
    changed = write(project.root, {"config.yml": SHOP["config.yml"] + "store: memory\n"})
    assert type(open_store(changed)).__name__ == "MemoryStore"


def test_the_documents_of_a_project_are_part_of_its_model(project: Project) -> None:
    before = project.fingerprint
    changed = write(project.root, {"knowledge/hours.md": "# Hours\n\n## When we open\n\nWe open at nine.\n"})
    assert changed.fingerprint != before
    train(changed)
    assert load_model(changed).knowledge is not None
