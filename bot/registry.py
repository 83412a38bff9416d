"""The folder is the registry: a name in config.yml is a file in the folder of its kind.

`telegram` is channels/telegram.py, `DIETClassifier` is bot/nlu/diet_classifier.py, and
`"package.module:Class"` (or Rasa's `package.module.Class`) is the user's own. Nothing is imported
before it is named.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bot.errors import ConfigError, Source, UnknownName, WrittenForRasa
from bot.yaml_file import kind_of, shown

FOLDERS = {
    "component": "bot.nlu",
    "policy": "bot.policies",
    "channel": "bot.channels",
    "LLM provider": "bot.llm",
    "store": "bot.stores",
    "event broker": "bot.brokers",
    "action": "bot.actions",
}
_METHODS = {"component": "def parse(self, parses", "policy": "def predict(self, tracker"}
"""What is written in a file that holds one; beside them lies what they share."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
T = TypeVar("T")
NETWORK_OPTIONS = frozenset(
    (
        *("BILOU_flag", "batch_size", "batch_strategy", "checkpoint_model", "concat_dimension", "connection_density"),
        *("constrain_similarities", "dense_dimension", "drop_rate", "drop_rate_attention", "drop_rate_label"),
        *("drop_small_last_batch", "e2e_confidence_threshold", "embedding_dimension", "encoding_dimension"),
        *("entity_recognition", "epochs", "evaluate_every_number_of_epochs", "evaluate_on_number_of_examples"),
        *("featurizers", "hidden_layers_sizes", "learning_rate", "loss_type", "max_relative_position"),
        *("maximum_negative_similarity", "maximum_positive_similarity", "model_confidence", "negative_margin_scale"),
        *("number_of_attention_heads", "number_of_negative_examples", "number_of_transformer_layers"),
        *("ranking_length", "regularization_constant", "renormalize_confidences", "run_eagerly", "scale_loss"),
        *("share_hidden_layers", "similarity_type", "split_entities_by_comma", "tensorboard_log_directory"),
        *("tensorboard_log_level", "transformer_size", "unidirectional_encoder", "use_dense_input_dropout"),
        *("use_gpu", "use_key_relative_attention", "use_masked_language_model", "use_maximum_negative_similarity"),
        *("use_sparse_input_dropout", "use_value_relative_attention"),
    )
)
"""Options that shape or train Rasa's networks. What a class says that it `passes_over`, and is none of its
keywords, is accepted and changes nothing; `frontdesk validate` says so."""


def module_name(name: str) -> str:
    """`DIETClassifier` → `diet_classifier`, `LanguageModelFeaturizer` → `language_model_featurizer`."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def short_name(name: str) -> str:
    """`DIETClassifier` of `rasa.nlu.classifiers.diet_classifier.DIETClassifier`; a class of the user's is itself."""
    return name.rpartition(".")[2] if name.startswith("rasa.") else name


def known_names(kind: str) -> list[str]:
    """The modules in the folder of this kind."""
    package = importlib.import_module(FOLDERS[kind])
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def load_class(kind: str, name: str, source: Source | None = None) -> type[Any]:
    """The class that a name stands for; `UnknownName` lists the folder and suggests the nearest."""
    name = short_name(name)
    if ":" in name or "." in name:
        return _own_class(kind, name, source)
    wanted = module_name(name)
    if wanted not in known_names(kind):
        raise UnknownName(kind, name, _class_names(kind) if name[:1].isupper() else known_names(kind), source)
    module = importlib.import_module(f"{FOLDERS[kind]}.{wanted}")
    if name[:1].isupper():
        found = getattr(module, name, None)
        if not inspect.isclass(found):
            raise UnknownName(kind, name, [c.__name__ for c in _public_classes(module)], source)
        return found
    classes = _public_classes(module)
    if len(classes) != 1:
        raise ConfigError(f"{module.__name__} must hold one public class, not {len(classes)}", source)
    return classes[0]


def construct(cls: type[T], options: Mapping[str, Any], source: Source | None = None, **context: Any) -> T:
    """An instance from the options of the configuration, whose schema is the constructor's keywords.

    What `context` offers is passed where the constructor has that keyword and the options do not.
    """
    for error in wrong_options(cls, cls.__name__, options, context, lambda _: source):
        raise error
    keywords = _keywords(cls)
    offered = {name: value for name, value in context.items() if name in keywords}
    given = {name: value for name, value in options.items() if name in keywords or name not in _passed_over(cls)}
    try:
        return cls(**{**offered, **given})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{cls.__name__}: {error}", source) from error
    except ConfigError as error:
        raise error if error.source else ConfigError(error.message, source) from error


def wrong_options(
    cls: type[Any],
    name: str,
    options: Mapping[str, Any],
    context: Collection[str],
    place: Callable[[str], Source | None],
) -> Iterator[ConfigError]:
    """Options that the constructor does not have, or has with another type, and those it cannot do without.

    `name` is the class's in the configuration, `context` the keywords that come from elsewhere; `place` says
    where an option is written.
    """
    keywords = _keywords(cls)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
    for key, value in options.items():
        if key in keywords:
            types = _plain_types(cls, key)
            if types and not _is_one_of(value, types):
                expected = " or ".join(_WORDS[kind] for kind in types)
                message = f"'{key}' of {name} must be {expected}, not {kind_of(value)}"
                yield ConfigError(message, place(key))
        elif not takes_any and key not in _passed_over(cls):
            yield UnknownName(f"option of {name}", str(key), {*keywords, *_passed_over(cls)}, place(key))
    for key, parameter in keywords.items():
        if parameter.default is parameter.empty and key not in options and key not in context:
            yield ConfigError(f"{name} needs the option '{key}'", place(key))


def _keywords(cls: type[Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls).parameters
    return {name: p for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}


def _passed_over(cls: type[Any]) -> Collection[str]:
    found: Collection[str] = getattr(cls, "passes_over", ())
    return found


def without_effect(cls: type[Any], options: Collection[str]) -> list[str]:
    """Those of the options that are accepted, and change nothing here."""
    return [key for key in options if key in _passed_over(cls) and key not in _keywords(cls)]


def _plain_types(cls: type[Any], key: str) -> tuple[type[Any], ...]:
    """bool, int, float, str or None, where the constructor says that the option is one of these; else nothing."""
    try:
        hint = typing.get_type_hints(cls.__init__).get(key)
    except (NameError, TypeError):
        # A class of the user's, whose annotations need not be there at run time.
        return ()
    is_choice = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if is_choice else (hint,)
    return kinds if all(kind in _WORDS for kind in kinds) else ()


def _is_one_of(value: Any, types: tuple[type[Any], ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (isinstance(value, int) and float in types)


def _own_class(kind: str, name: str, source: Source | None) -> type[Any]:
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    short = attribute or name
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        # Whatever goes wrong in a file of the user's.
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in ("rasa", "sanic"):
            raise WrittenForRasa(_written_for_rasa(kind, module, short), source) from error
        raise ConfigError(f"the {kind} '{name}' cannot be imported: {type(error).__name__}: {error}", source) from error
    if not inspect.isclass(found):
        raise ConfigError(f"the {kind} '{name}' is no class", source)
    return found


SKELETONS = {
    "component": """
class {name}:
    def __init__(self, *, some_option: int = 1) -> None: ...       # its keywords are the options in config.yml

    def parse(self, parses):                                       # adds what it knows to each, in place
        for parse in parses:
            parse.entities.append(Entity("city", "Rome", 0, 4))    # from bot.messages import Entity

    # If it learns: train(data, parses), save(folder), load(folder). See bot/interfaces.py.
""",
    "policy": """
class {name}:
    priority = 2

    def predict(self, tracker, domain):                            # from bot.interfaces import Prediction
        return Prediction("utter_greet", 0.9, "{name}")            # or None, when it has nothing to say

    # If it learns: train(stories, rules, domain), save(folder), load(folder). See bot/interfaces.py.
""",
    "channel": """
class {name}:
    name = "{channel}"

    def routes(self, assistant):                                   # from starlette.routing import Route
        return [Route("/webhooks/{channel}/webhook", partial(receive, assistant), methods=["POST"])]

    async def send(self, sender_id, messages): ...                 # BotMessages to the platform

async def receive(assistant, request):
    replies = await assistant.handle(UserMessage(text="…", sender_id="…", channel="{channel}"))
    # See channels/rest.py and bot/interfaces.py.
""",
    "event broker": """
class {name}:
    def __init__(self, *, url: str): ...                           # its keywords are the options of event_broker

    async def publish(self, events):                               # all of them, or an EndpointError (bot.errors)
        for event in events: ...                                   # event.id, event.body: JSON

    async def close(self): ...
""",
}
"""What to write in place of a class of Rasa's, by kind."""


def _written_for_rasa(kind: str, module: str, name: str) -> str:
    """Why a class of a user's cannot run, and the beginning of one that can."""
    spec = importlib.util.find_spec(module)
    found = shown(Path(spec.origin)) if spec and spec.origin else module
    skeleton = SKELETONS[kind].replace("{name}", name).replace("{channel}", module_name(name))
    return f"the {kind} '{name}' in {found} is written for Rasa's own classes, which cannot run here. Write:{skeleton}"


def _class_names(kind: str) -> list[str]:
    """The classes that are named after their file, without importing every file: `RegexEntityExtractor`."""
    folders = [Path(folder) for folder in importlib.import_module(FOLDERS[kind]).__path__]
    files = [file for name in known_names(kind) for folder in folders if (file := folder / f"{name}.py").is_file()]
    has_method, bases = set(), {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for name, base in re.findall(r"^class (\w+)(?:\((\w+)\))?:", text, re.MULTILINE):
            if module_name(name) == file.stem:
                bases[name] = base
                if _METHODS.get(kind, "") in text:
                    has_method.add(name)
    return [name for name, base in bases.items() if name in has_method or base in has_method]


def _public_classes(module: Any) -> list[type[Any]]:
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
