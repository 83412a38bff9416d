"""A project's configuration: config.yml, and Rasa's endpoints.yml and credentials.yml beside it.

`${NAME}` and `${NAME:-default}` in a value stand for the environment's. Nothing else in Frontdesk reads
the environment. In a file of Rasa's the keys mean what they mean in Rasa.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.component_config import ComponentConfig, checked, components, plugged
from bot.domain import NOWHERE
from bot.errors import ConfigError, Source, WrittenForRasa, suggest
from bot.rasa_names import IMPORTERS, RECIPE, RECIPES
from bot.registry import known_names, load_class
from bot.yaml_file import Fields, Problems, YamlList, YamlMap, kind_of, plain, read_yaml, shown

KEYS = (
    *("languages", "language", "domains", "actions", "pipeline", "policies", "channels", "store", "llm", "seed"),
    *("typed_payloads", "identity_key", "recipe", "assistant_id", "importers", "event_broker"),
)
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SECRET = re.compile(r"(?:^|[_-])(?:keys?|token|secret|password)$")
SHORTEST_KEY = 32
"""Characters of a secret that signs."""
RASA_STORES = ("tracker_store", "lock_store")
SERVERS: Mapping[str, str] = {
    "action_endpoint": "bot.remote_actions:RemoteActions",
    "models": "bot.model_server:ModelServer",
    "nlg": "bot.nlg:NLGServer",
}
"""Keys of endpoints.yml that name a server, and the class whose keywords are theirs."""
BROKERS: Mapping[str, str] = {"pika": "rabbitmq"}
"""Rasa's names of event brokers that are called otherwise here."""
BROKER_VARIABLES: Mapping[str, Mapping[str, str]] = {
    "kafka": {"environment": "RASA_ENVIRONMENT"},
    "rabbitmq": {
        "environment": "RASA_ENVIRONMENT",
        "ssl_certfile": "RABBITMQ_SSL_CLIENT_CERTIFICATE",
        "ssl_keyfile": "RABBITMQ_SSL_CLIENT_KEY",
    },
}
"""Options of event brokers that Rasa has in the environment, and their names there."""
COMPRESS = "COMPRESS_ACTION_SERVER_REQUEST"
"""Rasa's variable of the environment: whether calls of the action server are deflated."""


class Secret(str):
    """A value that must not be shown: its `repr` is stars, so that no dump of settings tells it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


@dataclass(frozen=True, slots=True)
class Config:
    """See config.yml, which shows every key with its default. `packs` is None in a project of Rasa's layout."""

    languages: tuple[str, ...]
    pipeline: tuple[ComponentConfig, ...]
    policies: tuple[ComponentConfig, ...]
    packs: tuple[tuple[str, Source], ...] | None = None
    actions: tuple[str, ...] = ()
    actions_source: Source = NOWHERE
    channels: tuple[ComponentConfig, ...] = ()
    store: ComponentConfig = field(default_factory=lambda: ComponentConfig("sqlite"))
    llm: ComponentConfig | None = None
    llm_action: Mapping[str, Any] = field(default_factory=dict)
    action_endpoint: ComponentConfig | None = None
    model_server: ComponentConfig | None = None
    nlg: ComponentConfig | None = None
    event_broker: ComponentConfig | None = None
    seed: int = 0
    typed_payloads: bool = False
    identity_key: str = field(default="", repr=False)


def _all(*entries: str | tuple[str, Mapping[str, Any]]) -> tuple[ComponentConfig, ...]:
    return tuple(ComponentConfig(entry) if isinstance(entry, str) else ComponentConfig(*entry) for entry in entries)


# What is used where config.yml names none. Ours reads several languages by meaning; Rasa's is what
# `rasa train` takes for a configuration without a pipeline.
PIPELINE = _all(
    "SpacyTokenizer",
    ("CountVectorsFeaturizer", {"max_ngram": 2}),
    ("CountVectorsFeaturizer", {"analyzer": "char_wb", "min_ngram": 2, "max_ngram": 5, "min_df": 2}),
    "LanguageModelFeaturizer",
    "LogisticRegressionClassifier",
    "RegexEntityExtractor",
    "CRFEntityExtractor",
    "DucklingEntityExtractor",
    "EntitySynonymMapper",
    "ResponseSelector",
    ("FallbackClassifier", {"threshold": 0.4, "ambiguity_threshold": 0.1}),
)
RASA_PIPELINE = _all(
    "WhitespaceTokenizer",
    "RegexFeaturizer",
    "LexicalSyntacticFeaturizer",
    "CountVectorsFeaturizer",
    ("CountVectorsFeaturizer", {"analyzer": "char_wb", "min_ngram": 1, "max_ngram": 4}),
    ("DIETClassifier", {"epochs": 100}),
    "EntitySynonymMapper",
    ("ResponseSelector", {"epochs": 100}),
    ("FallbackClassifier", {"threshold": 0.3, "ambiguity_threshold": 0.1}),
)
POLICIES = _all("MemoizationPolicy", "RulePolicy")
RASA_POLICIES = _all(
    "MemoizationPolicy",
    "RulePolicy",
    ("UnexpecTEDIntentPolicy", {"max_history": 5, "epochs": 100}),
    ("TEDPolicy", {"max_history": 5, "epochs": 100}),
)
CHANNELS = _all("rest", "webchat")


def load_config(
    root: Path, problems: Problems, *, endpoints: Path | None = None, credentials: Path | None = None
) -> Config:
    """The configuration of the project in `root`; Rasa's two files are beside it unless they are named."""
    main = root / "config.yml"
    raw = _expanded(read_yaml(main, problems), problems)
    is_own = isinstance(raw, YamlMap) and "domains" in raw
    problems.strict = is_own or not isinstance(raw, YamlMap)
    fields = Fields(raw, Source(shown(main)), "config.yml", problems)
    for key in fields.data:
        if key not in KEYS:
            problems.doubt(f"there is no setting called '{key}'.{suggest(key, KEYS)}", fields.source(key))
    _check_recipe(fields, problems)
    _check_importers(fields, problems)
    channels = {channel.name: channel for channel in CHANNELS}
    channels.update(_channels(fields.mapping("channels"), problems))
    if file := _beside(root, "credentials.yml", credentials):
        channels.update(_rasa_channels(_expanded(read_yaml(file, problems), problems), problems))
    servers: dict[str, ComponentConfig] = {}
    rasa_store: ComponentConfig | None = None
    if file := _beside(root, "endpoints.yml", endpoints):
        read = _expanded(read_yaml(file, problems), problems)
        servers, rasa_store = _servers(read, problems), _rasa_store(read, problems)
    llm, llm_action = _llm(fields, problems)
    return Config(
        languages=fields.texts("languages") or fields.texts("language") or ("en",),
        pipeline=components(fields, "pipeline", "component", problems) or (PIPELINE if is_own else RASA_PIPELINE),
        policies=components(fields, "policies", "policy", problems) or (POLICIES if is_own else RASA_POLICIES),
        packs=tuple(fields.text_items("domains")) if is_own else None,
        actions=fields.texts("actions"),
        actions_source=fields.source("actions"),
        channels=tuple(channel for channel in channels.values() if channel.name),
        store=rasa_store if rasa_store and "store" not in fields.data else _store(fields, problems),
        llm=llm,
        llm_action=llm_action,
        action_endpoint=servers.get("action_endpoint"),
        model_server=servers.get("models"),
        nlg=servers.get("nlg"),
        event_broker=_event_broker(fields, problems) or servers.get("event_broker"),
        seed=_seed(fields, problems),
        typed_payloads=fields.flag("typed_payloads", False),
        identity_key=_identity_key(fields, problems),
    )


def _beside(root: Path, name: str, given: Path | None) -> Path | None:
    """The file that was named, or the one of that name in the project; None when there is none."""
    if given is not None and not given.is_file():
        raise ConfigError(f"there is no file '{shown(given)}'")
    file = given or root / name
    return file if file.is_file() else None


def storage_settings() -> Mapping[str, str]:
    """Where models are in a cloud, as Rasa has it in the environment (see bot/model_storage.py)."""
    names = ("BUCKET_NAME", "AWS_ENDPOINT_URL", "AZURE_CONTAINER", "AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_KEY")
    return {name: os.environ[name] for name in (*names, "AZURE_ENDPOINT_URL") if os.environ.get(name)}


def _seed(fields: Fields, problems: Problems) -> int:
    seed = fields.whole("seed", 0)
    if seed < 0:
        problems.add(f"'seed' must be at least 0, not {seed}", fields.source("seed"))
    return max(seed, 0)


def _identity_key(fields: Fields, problems: Problems) -> str:
    """What signs the links that join a customer's channels; empty where there are none."""
    key = fields.text("identity_key") or ""
    if key and len(key) < SHORTEST_KEY:
        message = f"'identity_key' must have at least {SHORTEST_KEY} characters. Make one with: openssl rand -base64 32"
        problems.add(message, fields.source("identity_key"))
    return key


def _expanded(value: Any, problems: Problems) -> Any:
    """The value with the environment's in place of `${NAME}`; a name that is not set is a mistake."""
    if isinstance(value, YamlMap):
        for key, one in value.items():
            value[key] = _expanded_text(one, key, value.sources[key], problems) if isinstance(one, str) else one
            _expanded(value[key], problems)
    elif isinstance(value, YamlList):
        for number, one in enumerate(value):
            value[number] = _expanded_text(one, "", value.sources[number], problems) if isinstance(one, str) else one
            _expanded(value[number], problems)
    return value


def _expanded_text(text: str, key: str, source: Source, problems: Problems) -> str:
    def look_up(match: re.Match[str]) -> str:
        found = os.environ.get(match["name"])
        if not found and match["default"] is not None:
            return match["default"]
        if found is None:
            problems.add(
                f"the environment variable {match['name']} is not set. Set it, or write ${{{match['name']}:-}}", source
            )
        return found or ""

    found = _REFERENCE.sub(look_up, text)
    return Secret(found) if _SECRET.search(key) else found


def _check_recipe(fields: Fields, problems: Problems) -> None:
    recipe, place = fields.text("recipe"), fields.source("recipe")
    if recipe and recipe in RECIPES:
        problems.add(f"the recipe '{recipe}' is not supported: {RECIPES[recipe]}", place)
    elif recipe and recipe != RECIPE:
        problems.unknown("recipe", recipe, (RECIPE,), place)


def _check_importers(fields: Fields, problems: Problems) -> None:
    """One that reads this folder is welcome; without the data of any other, another bot would be trained."""
    items = fields.sequence("importers")
    for item, place in zip(items, items.sources, strict=True):
        name = item if isinstance(item, str) else Fields(item, place, "an importer", problems).text("name") or ""
        if "." in name:
            message = f"the importer '{name}' is not supported: write what it reads into files in domain/ and data/"
            problems.add(message, place)
        elif name not in IMPORTERS:
            problems.unknown("importer", name, tuple(IMPORTERS), place, loose=True)
        elif IMPORTERS[name]:
            problems.add(f"the importer '{name}' is not supported: {IMPORTERS[name]}", place)


def _channels(section: YamlMap, problems: Problems) -> dict[str, ComponentConfig]:
    """`channels:` of config.yml: a channel's name with its options, or `false` to leave it out."""
    found = {}
    for name, value in section.items():
        source = section.sources[name]
        if value is False:
            if name not in known_names("channel"):
                problems.unknown("channel", name, known_names("channel"), source)
            found[name] = ComponentConfig("", source=source)
        else:
            given = None if value is True else value
            found[name] = plugged("channel", name, Fields(given, source, f"channel '{name}'", problems), problems)
    return found


def _rasa_channels(file: Any, problems: Problems) -> dict[str, ComponentConfig]:
    """credentials.yml: what this version has no channel for is left out, and said."""
    fields = Fields(file, file.source if isinstance(file, YamlMap) else NOWHERE, "credentials.yml", problems)
    found = {}
    for name, value in fields.data.items():
        source = fields.source(name)
        if name in known_names("channel") or "." in name:
            try:
                load_class("channel", name, source)
            except WrittenForRasa as error:
                # Nobody needs a channel to train, to test or to talk at the shell.
                message = error.message.replace(" cannot run here.", " cannot run here: it is left out.")
                problems.warn(message, source)
                continue
            except ConfigError:
                # Told below.
                pass
            given = value if isinstance(value, YamlMap) else None
            found[name] = plugged("channel", name, Fields(given, source, f"channel '{name}'", problems), problems)
        elif name == "rasa":
            problems.warn("the channel 'rasa' belongs to Rasa X and Rasa Enterprise: it is left out", source)
        else:
            problems.warn(f"the channel '{name}' is not part of this version: it is left out", source)
    return found


def _servers(file: Any, problems: Problems) -> dict[str, ComponentConfig]:
    """The servers that endpoints.yml names, by section; what else Rasa reads there is not acted on, and said."""
    fields = Fields(file, file.source if isinstance(file, YamlMap) else NOWHERE, "endpoints.yml", problems)
    found = {}
    for name in fields.data:
        source = fields.source(name)
        if name in RASA_STORES:
            continue
        if name == "event_broker":
            if broker := _event_broker(fields, problems):
                found[name] = broker
        elif name not in SERVERS:
            problems.doubt(f"there is no endpoint called '{name}'", source)
        elif fields.mapping(name) and not (name == "nlg" and _are_own_responses(fields.mapping(name), problems)):
            one = Fields(fields.mapping(name), source, name, problems)
            module, _, attribute = SERVERS[name].partition(":")
            options = {key: plain(value) for key, value in one.data.items() if (name, key) != ("nlg", "type")}
            if name == "action_endpoint" and os.environ.get(COMPRESS, "").lower() in ("true", "1"):
                options.setdefault("compress", True)
            cls = getattr(importlib.import_module(module), attribute)
            found[name] = ComponentConfig(name, checked(cls, name, options, one, problems), source)
    return found


def _rasa_store(file: Any, problems: Problems) -> ComponentConfig | None:
    """The store of `tracker_store` in endpoints.yml, None where that names none that we have.

    Our stores keep turns apart themselves: what `lock_store` would do needs no place of its own.
    """
    fields = Fields(file, file.source if isinstance(file, YamlMap) else NOWHERE, "endpoints.yml", problems)
    source = fields.source("tracker_store")
    one = Fields(fields.data.get("tracker_store"), source, "tracker_store", problems)
    kind = (one.text("type") or "").lower()
    dialect = (one.text("dialect") or "sqlite").partition("+")[0] if kind == "sql" else ""
    if kind == "redis":
        return plugged("store", "redis", one, problems, "type")
    if dialect == "postgresql":
        return plugged("store", "postgresql", one, problems, "type", "dialect")
    if dialect == "sqlite":
        path = one.text("db")
        return ComponentConfig("sqlite", {"path": path} if path and path != ":memory:" else {}, source)
    if kind and kind != "inmemorytrackerstore":
        problems.warn(
            f"the tracker store '{one.text('type')}' is not part of this version: conversations are kept in SQLite. "
            "Several processes share them in Redis or PostgreSQL",
            source,
        )
    return None


def _are_own_responses(nlg: YamlMap, problems: Problems) -> bool:
    """Whether `nlg:` names no server, and the domain's responses are said."""
    kind = str(nlg.get("type") or "callback")
    if "." in kind:
        problems.warn(
            f"the generator '{kind}' is written for Rasa's own classes, which cannot run here: the domain's "
            "responses are said. Serve it as an NLG server, with 'url'",
            nlg.sources["type"],
        )
    return "." in kind or kind.lower() == "response"


def _event_broker(fields: Fields, problems: Problems) -> ComponentConfig | None:
    """`event_broker:` of endpoints.yml or config.yml; RabbitMQ's without a `type`, as in Rasa."""
    given = fields.mapping("event_broker")
    if not given:
        return None
    one = Fields(given, fields.source("event_broker"), "'event_broker'", problems)
    kind = one.text("type") or "pika"
    name = kind if set(kind) & {".", ":"} else BROKERS.get(kind.lower(), kind.lower())
    for option, variable in BROKER_VARIABLES.get(name, {}).items():
        if os.environ.get(variable):
            given.setdefault(option, os.environ[variable])
    try:
        load_class("event broker", name, one.source("type"))
    except WrittenForRasa as error:
        message = error.message.replace(" cannot run here.", " cannot run here: no events go out.")
        problems.warn(message, one.source("type"))
        return None
    except ConfigError:
        # Told below.
        pass
    return plugged("event broker", name, one, problems, "type")


def _store(fields: Fields, problems: Problems) -> ComponentConfig:
    value = fields.data.get("store")
    if isinstance(value, str):
        return plugged("store", value, Fields(None, fields.source("store"), "'store'", problems), problems)
    one = Fields(value, fields.source("store"), "'store'", problems)
    return plugged("store", one.text("type") or "sqlite", one, problems, "type")


def _llm(fields: Fields, problems: Problems) -> tuple[ComponentConfig | None, Mapping[str, Any]]:
    """The provider (None while no model is named), and the settings that the action takes."""
    source = fields.source("llm")
    one = Fields(fields.data.get("llm"), source, "'llm'", problems)
    action: dict[str, Any] = {}
    for key, low, high in (("deadline", 0.1, 120.0), ("threshold", 0.0, 1.0)):
        if one.data.get(key) is None:
            continue
        value = one.number(key, low)
        if not low <= value <= high:
            problems.add(f"'{key}' of 'llm' must be from {low} to {high}, not {kind_of(value)}", one.source(key))
        action[key] = float(value)
    if not one.data.get("model"):
        return None, action
    empty = [key for key, value in one.data.items() if value in (None, "")]
    name = one.text("provider") or "openai"
    return plugged("LLM provider", name, one, problems, "provider", "deadline", "threshold", *empty), action
