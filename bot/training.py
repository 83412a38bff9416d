"""From a project to a model, and from a model to an assistant.

A model is a folder of JSON and safetensors with a manifest: the fingerprint of the data it was trained
on, and the SHA-256 of each of its files. The same data and seed give the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bot import __version__
from bot.action_execution import Actions
from bot.assistant import Assistant
from bot.component_config import ComponentConfig
from bot.errors import ConfigError, ModelError
from bot.interfaces import Policy, Store, TrainablePolicy
from bot.nlu.pipeline import Pipeline
from bot.policies.rule_policy import RulePolicy
from bot.project import Project
from bot.registry import construct, load_class
from bot.understanding import Understanding
from bot.yaml_file import shown

if TYPE_CHECKING:
    from bot.knowledge.index import Index

MANIFEST = "manifest.json"
DATABASE = "frontdesk.db"
Progress = Callable[[str, float], None]
"""Told what is being done, and how far along (0…1) it is."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model."""

    folder: Path
    pipeline: Pipeline
    policies: Sequence[Policy]
    knowledge: Index | None


def models_folder(project: Project) -> Path:
    return project.root / "models"


def find_model(project: Project) -> Path | None:
    """The model trained on exactly the present data, None when there is none."""
    folder = models_folder(project) / project.fingerprint[:12]
    return folder if (folder / MANIFEST).is_file() else None


def train(project: Project, progress: Progress | None = None) -> Path:
    """Train everything and return the model's folder. A half-written model is never seen."""
    report = progress or (lambda what, done: None)
    models = models_folder(project)
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"'{shown(models)}' cannot be written: {error.strerror}") from error
    with tempfile.TemporaryDirectory(prefix=".training-", dir=models) as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        # Dialogue first: a contradiction between rules is found before minutes of learning are spent.
        report("dialogue", 0.0)
        for number, (config, policy) in enumerate(learn_dialogues(project)):
            if isinstance(policy, TrainablePolicy):
                place = _policy_folder(folder, number, config.name)
                place.mkdir(parents=True)
                policy.save(place)
        report("understanding", 0.1)
        pipeline = untrained_pipeline(project)
        pipeline.train(project.data, lambda what, done: report(what, 0.1 + 0.7 * done))
        (folder / "nlu").mkdir()
        pipeline.save(folder / "nlu")
        if project.knowledge:
            report("documents", 0.85)
            from bot.knowledge.index import Index

            index = Index.build(project.knowledge, languages=project.config.languages, encode=_encoder(pipeline))
            (folder / "knowledge").mkdir()
            index.save(folder / "knowledge")
        _write_manifest(folder, project)
        report("done", 1.0)
        final = models / project.fingerprint[:12]
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
    return final


def load_model(project: Project, folder: Path | None = None) -> Model:
    """The model in `folder`, or the one for the present data. `ModelError` says what is wrong and what to do.

    `folder` may hold several models: the one for the present data is meant.
    """
    place = folder or find_model(project)
    if place is None:
        raise ModelError(f"there is no model for the data in '{shown(project.root)}'. Run: frontdesk train")
    if (place / project.fingerprint[:12] / MANIFEST).is_file():
        place = place / project.fingerprint[:12]
    elif any(place.glob(f"*/{MANIFEST}")):
        raise ModelError(f"no model in '{shown(place)}' was trained on the present data. Run: frontdesk train")
    manifest = _verified(place)
    if manifest["fingerprint"] != project.fingerprint:
        raise ModelError(
            f"the model '{shown(place)}' was trained on other data than this project's (another domain, other examples "
            f"or another configuration). Run: frontdesk train"
        )
    pipeline = untrained_pipeline(project)
    pipeline.load(place / "nlu")
    policies = []
    for number, (config, policy) in enumerate(_policies(project)):
        if isinstance(policy, TrainablePolicy):
            try:
                policy.load(_policy_folder(place, number, config.name))
            except (OSError, ValueError, KeyError, TypeError) as error:
                message = f"the {config.name} in '{shown(place)}' cannot be read: {error}. Run: frontdesk train --force"
                raise ModelError(message) from error
        policies.append(policy)
    knowledge = None
    if (place / "knowledge").is_dir():
        from bot.knowledge.index import Index

        knowledge = Index.load(place / "knowledge", encode=_encoder(pipeline))
    return Model(place, pipeline, policies, knowledge)


def load_assistant(project: Project, *, model: Path | None = None, store: Store | None = None) -> Assistant:
    """Everything put together: the model, the project's actions, the store of its configuration."""
    loaded = load_model(project, model)
    store = store or open_store(project)
    return Assistant(
        project.domain,
        Understanding(loaded.pipeline),
        loaded.policies,
        Actions(
            project.domain,
            open_actions(project, loaded.knowledge),
            _remote_actions(project, store),
            nlg=_nlg_server(project),
            identity_key=project.config.identity_key,
        ),
        store,
        languages=project.config.languages,
        typed_payloads=project.config.typed_payloads,
    )


def open_store(project: Project) -> Store:
    """The store that the configuration names; a relative path in its options starts at the project's folder.

    Where there is an event broker, it keeps what is to be published.
    """
    config, broker = project.config.store, project.config.event_broker
    options = dict(config.options)
    cls = load_class("store", config.name, config.source)
    if "path" in inspect.signature(cls).parameters:
        options["path"] = project.root / options.get("path", DATABASE)
    if broker and "feed" not in inspect.signature(cls).parameters:
        raise ConfigError(f"the store '{config.name}' has no feed ('feed'), which an event broker needs", broker.source)
    store: Store = construct(cls, options, config.source, feed=broker is not None)
    return store


def open_actions(project: Project, knowledge: Index | None = None) -> dict[str, Any]:
    """The custom actions that run in this process, by name.

    Where an action server is configured, the project's own actions/ is its business, and not loaded.
    """
    from bot.custom_actions import load_actions

    config = project.config
    context: Mapping[str, Any] = {
        "knowledge": knowledge,
        "llm": _llm(project),
        "languages": config.languages,
        "root": project.root,
        **config.llm_action,
    }
    own = config.action_endpoint is None
    return load_actions(project.root, config.actions, context, own=own, source=config.actions_source)


def untrained_pipeline(project: Project) -> Pipeline:
    """The components that the configuration names; `ConfigError` at an unknown name or option."""
    config = project.config
    return Pipeline.build(config.pipeline, languages=config.languages, seed=config.seed, root=project.root)


def learn_dialogues(project: Project) -> list[tuple[ComponentConfig, Policy]]:
    """The policies, those that learn having learnt the stories and rules. `ProjectErrors` where these disagree."""
    policies = untrained_policies(project)
    # Only a RulePolicy that compares the two tells the others what rules alone know.
    compared = any(isinstance(policy, RulePolicy) and policy.compares for _, policy in policies)
    learning = [policy for _, policy in policies if isinstance(policy, TrainablePolicy)]
    for policy in learning:
        if isinstance(policy, RulePolicy):
            policy.train(project.stories, project.rules, project.domain)
    rules = project.rules if compared else ()
    # Beside each other: a network keeps one core busy.
    with ThreadPoolExecutor() as pool:
        others = [policy for policy in learning if not isinstance(policy, RulePolicy)]
        for done in [pool.submit(policy.train, project.stories, rules, project.domain) for policy in others]:
            done.result()
    return policies


def untrained_policies(project: Project) -> list[tuple[ComponentConfig, Policy]]:
    """The policies that the configuration names; `ConfigError` where they cannot carry out the domain, as in Rasa."""
    policies = _policies(project)
    if project.domain.forms and not any(isinstance(policy, RulePolicy) for _, policy in policies):
        raise ConfigError("the domain has forms, and only the RulePolicy runs them: add it to 'policies' in config.yml")
    return policies


def _encoder(pipeline: Pipeline) -> Any:
    """The pipeline's sentence encoder, which the documents share; None when it has none."""
    from bot.knowledge.index import encoder_of

    return encoder_of([component for _, component in pipeline.components])


def _policies(project: Project) -> list[tuple[ComponentConfig, Policy]]:
    found = []
    for config in project.config.policies:
        cls = load_class("policy", config.name, config.source)
        found.append((config, construct(cls, config.options, config.source, seed=project.config.seed)))
    return found


def _llm(project: Project) -> Any:
    config = project.config.llm
    if config is None:
        return None
    cls = load_class("LLM provider", config.name, config.source)
    return construct(cls, config.options, config.source, root=project.root)


def _remote_actions(project: Project, store: Store) -> Any:
    config = project.config.action_endpoint
    if config is None:
        return None
    from bot.remote_actions import RemoteActions

    remote = construct(RemoteActions, config.options, config.source)
    remote.history = store.events
    return remote


def _nlg_server(project: Project) -> Any:
    config = project.config.nlg
    if config is None:
        return None
    from bot.nlg import NLGServer

    return construct(NLGServer, config.options, config.source)


def _policy_folder(model: Path, number: int, name: str) -> Path:
    return model / "policies" / f"{number}_{re.split('[.:]', name)[-1]}"


def _write_manifest(folder: Path, project: Project) -> None:
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = {
        "frontdesk": __version__,
        "fingerprint": project.fingerprint,
        "languages": list(project.config.languages),
        "files": files,
    }
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def _verified(folder: Path) -> Mapping[str, Any]:
    """The manifest, once every file has the bytes it should have."""
    if folder.is_file():
        raise ModelError(f"'{shown(folder)}' is a file, and no model's folder (one of Rasa's?). Run: frontdesk train")
    if not folder.is_dir():
        raise ModelError(f"there is no model folder '{shown(folder)}'. Run: frontdesk train")
    try:
        manifest: Mapping[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
        files = dict(manifest["files"])
        manifest["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"'{shown(folder)}' is no model: its {MANIFEST} cannot be read. Run: frontdesk train"
        ) from error
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            message = f"the model '{shown(folder)}' is damaged: {name} is missing or was changed"
            raise ModelError(f"{message}. Run: frontdesk train --force")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
