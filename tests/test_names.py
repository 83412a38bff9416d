"""Every name of Rasa 3.6.21's pipelines and policies means something here, and no option is passed over silently.

`projects/rasa_names.json` holds Rasa's own list: each component's and policy's module, and its options with their
defaults, as `get_default_config` gives them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import logging
import pkgutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.config import Config, load_config
from bot.errors import ConfigError
from bot.nlu.pipeline import Pipeline
from bot.project import load_project
from bot.rasa_names import RENAMED, STAND_INS
from bot.registry import FOLDERS, load_class, without_effect
from bot.training_data import Example, TrainingData
from bot.validation import validate
from bot.yaml_file import Problems

NAMES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "projects" / "rasa_names.json").read_text(encoding="utf-8")
)
DATA = TrainingData(examples=(Example("hello", "greet"), Example("hi there", "greet"), Example("see you", "bye")))


def read(root: Path, content: dict[str, Any]) -> tuple[Config, Problems]:
    """The configuration, and what there is to say about it."""
    # JSON is YAML, too.
    (root / "config.yml").write_text(json.dumps({"recipe": "default.v1", **content}), encoding="utf-8")
    problems = Problems()
    return load_config(root, problems), problems


def section(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {"pipeline" if kind == "component" else "policies": [entry]}


@pytest.mark.parametrize("dotted", [False, True], ids=["short", "dotted"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_rasas_is_taken_with_all_its_options(tmp_path: Path, name: str, dotted: bool) -> None:
    facts = NAMES[name]
    written = f"{facts['module']}.{name}" if dotted else name
    config, problems = read(tmp_path, section(facts["kind"], {"name": written, **facts["options"]}))
    assert problems.errors == []
    stand_in = STAND_INS.get(name)
    if stand_in:
        [warning] = problems.warnings
        assert warning.message.startswith(f"{name}: {stand_in.reason}; ")
        assert str(stand_in.name or "it is left out") in warning.message
    else:
        assert problems.warnings == []
        [one] = config.pipeline if facts["kind"] == "component" else config.policies
        assert dict(one.options) == facts["options"]


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_used_or_said_to_change_nothing(name: str) -> None:
    facts = NAMES[name]
    stand_in = STAND_INS.get(name)
    if stand_in and stand_in.name is None:
        assert set(stand_in.without) == set(facts["options"])
        return
    cls = load_class(facts["kind"], stand_in.name if stand_in and stand_in.name else name)
    used = set(inspect.signature(cls).parameters)
    idle = {*without_effect(cls, facts["options"]), *(stand_in.without if stand_in else ())}
    assert used & idle == set()
    assert set(facts["options"]) - used == idle


def plugged() -> list[type[Any]]:
    """The components, policies and event brokers that are here."""
    found = []
    for kind, method in (("component", "parse"), ("policy", "predict"), ("event broker", "publish")):
        package = importlib.import_module(FOLDERS[kind])
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            found += [
                cls
                for cls in vars(module).values()
                if inspect.isclass(cls) and cls.__module__ == module.__name__ and hasattr(cls, method)
            ]
    return [cls for cls in found if "__init__" in vars(cls)]


@pytest.mark.parametrize("cls", plugged(), ids=lambda cls: cls.__name__)
def test_no_constructor_takes_a_keyword_that_it_does_not_use(cls: type[Any]) -> None:
    """Such an option would be passed over silently: it belongs into the class's `passes_over`."""
    [function] = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__))).body
    assert isinstance(function, ast.FunctionDef)
    used = {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}
    assert [argument.arg for argument in function.args.kwonlyargs if argument.arg not in used] == []


def test_what_changes_nothing_is_said_in_one_line(tmp_path: Path) -> None:
    content = {
        "pipeline": [
            {"name": "WhitespaceTokenizer", "intent_tokenization_flag": True},
            {"name": "DIETClassifier", "epochs": 100, "ranking_length": 3},
            {"name": "rasa.nlu.selectors.response_selector.ResponseSelector", "epochs": 50},
        ],
        "policies": [{"name": "RulePolicy"}],
    }
    read(tmp_path, content)
    (tmp_path / "domain.yml").write_text("intents: []\nresponses: {}\n", encoding="utf-8")
    project = load_project(tmp_path)
    assert project.warnings == ()
    [finding] = [finding for finding in validate(project) if "change nothing" in finding.message]
    assert str(finding).partition("config.yml: ")[2] == (
        "options of Rasa's that are accepted, and change nothing here: intent_tokenization_flag (WhitespaceTokenizer), "
        "epochs (DIETClassifier, ResponseSelector)"
    )


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (
            "policy",
            "FallbackPolicy",
            "was removed in Rasa 3: what does its work is a FallbackClassifier in the pipeline",
        ),
        ("policy", "TwoStageFallbackPolicy", "action_two_stage_fallback. Run: frontdesk migrate"),
        ("policy", "FormPolicy", "what does its work is the RulePolicy. Run: frontdesk migrate"),
        ("policy", "rasa.core.policies.mapping_policy.MappingPolicy", "a rule for each intent with 'triggers'"),
        *(("policy" if "Policy" in old else "component", old, "is a name of Rasa 1 and 2") for old in RENAMED),
        ("policy", "rasa.core.policies.ted_policy.TEDPolcy", "no policy called 'TEDPolcy'. Did you mean 'TEDPolicy'?"),
        ("component", "DIETClasifier", "no component called 'DIETClasifier'. Did you mean 'DIETClassifier'?"),
        ("component", "rasa.nlu.classifiers.regex_message_handler.Nothing", "there is no component called 'Nothing'."),
    ],
)
def test_a_name_that_rasa_3_refuses_is_refused_with_what_to_write(
    tmp_path: Path, kind: str, name: str, says: str
) -> None:
    _, problems = read(tmp_path, section(kind, {"name": name}))
    [error] = problems.errors
    assert says in error.message
    assert str(error).endswith(f"config.yml:1: {error.message}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"recipe": "graph.v1"}, "the recipe 'graph.v1' is not supported: it wires Rasa's own classes into a graph"),
        ({"recipe": "defalt.v1"}, "there is no recipe called 'defalt.v1'. Did you mean 'default.v1'?"),
        ({"importers": [{"name": "MultiProjectImporter"}]}, "'MultiProjectImporter' is not supported: one project's"),
        (
            {"pipeline": "supervised_embeddings"},
            "'supervised_embeddings' is a pipeline of Rasa 1: name its components, or",
        ),
        ({"importers": ["own.Importer"]}, "the importer 'own.Importer' is not supported"),
    ],
)
def test_what_would_mean_another_bot_are_refused(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    _, problems = read(tmp_path, content)
    [error] = problems.errors
    assert says in error.message


def test_the_recipe_and_the_importer_of_every_project_are_welcome(tmp_path: Path) -> None:
    _, problems = read(tmp_path, {"importers": [{"name": "RasaFileImporter"}], "assistant_id": "a", "language": "en"})
    assert [*problems.errors, *problems.warnings] == []


def test_the_environment_says_where_duckling_is_as_in_rasa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "domain.yml").write_text("intents: []\n", encoding="utf-8")
    read(tmp_path, {"pipeline": [{"name": "DucklingEntityExtractor", "url": "http://one.example"}]})
    trained = load_project(tmp_path)
    monkeypatch.setenv("RASA_DUCKLING_HTTP_URL", "http://two.example")
    served = load_project(tmp_path)
    assert [one.config.pipeline[0].options["url"] for one in (trained, served)] == [
        "http://one.example",
        "http://two.example",
    ]
    # A model is good wherever the server is.
    assert trained.fingerprint == served.fingerprint


# ---- the featurizers that stand on a model of somebody else's ----


def pipeline(*components: dict[str, Any], root: Path) -> Pipeline:
    (root / "config.yml").write_text(json.dumps({"pipeline": components}), encoding="utf-8")
    return Pipeline.build(load_config(root, Problems()).pipeline, root=root)


def test_weights_that_are_not_on_this_machine_have_a_stand_in_that_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"name": "LanguageModelFeaturizer", "model_name": "bert", "cache_dir": str(tmp_path / "empty")}
    first = pipeline(options, root=tmp_path)
    with caplog.at_level(logging.WARNING):
        first.train(DATA)
    assert "the encoder 'rasa/LaBSE' is not on this machine" in caplog.text
    assert "all-MiniLM-L6-v2 stands in for it" in caplog.text
    first.save(tmp_path / "model")
    caplog.clear()
    again = pipeline(options, root=tmp_path)
    again.load(tmp_path / "model")
    assert caplog.text == ""
    vectors = [one.parse(["hello"])[0].features["LanguageModelFeaturizer"] for one in (first, again)]
    assert np.array_equal(*vectors)


def test_a_model_name_that_rasa_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model_name .* called 'brt'. Did you mean 'bert'"):
        pipeline({"name": "LanguageModelFeaturizer", "model_name": "brt"}, root=tmp_path)


@pytest.fixture(scope="module")
def spacy_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spaCy model with two words that have vectors."""
    from bot.nlu.spacy_nlp import import_spacy

    nlp = import_spacy().blank("en")
    nlp.vocab.set_vector("hello", np.array([3.0, 0.0], np.float32))
    nlp.vocab.set_vector("there", np.array([0.0, 3.0], np.float32))
    folder = tmp_path_factory.mktemp("spacy") / "model"
    nlp.to_disk(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("pooling", "text", "vector"),
    [
        ("mean", "hello there hello hello", [0.949, 0.316]),
        ("max", "hello there hello hello", [0.707, 0.707]),
        ("mean", "qwertz", [0.0, 0.0]),
        ("max", " ", [0.0, 0.0]),
    ],
)
def test_spacys_word_vectors_are_pooled(
    tmp_path: Path, spacy_model: str, pooling: str, text: str, vector: list[float]
) -> None:
    featurizer = {"name": "SpacyFeaturizer", "pooling": pooling, "alias": "words"}
    found = pipeline({"name": "SpacyNLP", "model": spacy_model}, featurizer, root=tmp_path).parse([text])[0]
    assert found.features["words"] == pytest.approx(vector, abs=1e-3)


def test_a_spacy_model_without_vectors_gives_no_feature_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from bot.nlu.spacy_nlp import import_spacy

    import_spacy().blank("en").to_disk(tmp_path / "small")
    nlp = {"name": "SpacyNLP", "model": str(tmp_path / "small")}
    parses = pipeline(nlp, {"name": "SpacyFeaturizer"}, root=tmp_path).parse(["hello", "there"])
    assert ["SpacyFeaturizer" in parse.features for parse in parses] == [False, False]
    assert caplog.text.count("has no word vectors") == 1


def test_a_spacy_featurizer_without_a_model_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SpacyFeaturizer needs a spaCy model with word vectors"):
        pipeline({"name": "SpacyFeaturizer"}, root=tmp_path).parse(["hello"])
    with pytest.raises(ConfigError, match="pooling is 'mean' or 'max', not 'min'"):
        pipeline({"name": "SpacyFeaturizer", "pooling": "min"}, root=tmp_path)
