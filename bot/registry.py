"""The folder is the registry: a name in config.yml is a file in the folder of its kind.

`telegram` is channels/telegram.py, `DIETClassifier` is bot/nlu/diet_classifier.py, and
`"package.module:Class"` (or Rasa's `package.module.Class`) is the user's own. Nothing is imported
before it is named.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from bot.errors import ConfigError, Source, UnknownName

FOLDERS = {
    "component": "bot.nlu",
    "policy": "bot.policies",
    "channel": "bot.channels",
    "LLM provider": "bot.llm",
    "store": "bot.stores",
    "action": "bot.actions",
}
T = TypeVar("T")


def module_name(name: str) -> str:
    """`DIETClassifier` → `diet_classifier`, `LanguageModelFeaturizer` → `language_model_featurizer`."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def known_names(kind: str) -> list[str]:
    """The modules in the folder of this kind."""
    package = importlib.import_module(FOLDERS[kind])
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def load_class(kind: str, name: str, source: Source | None = None) -> type[Any]:
    """The class that a name stands for; `UnknownName` lists the folder and suggests the nearest."""
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
    parameters = inspect.signature(cls).parameters
    known = [name for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in options:
        if key not in known and not takes_any:
            raise UnknownName(f"option of {cls.__name__}", str(key), known, source)
    missing = [
        name
        for name, p in parameters.items()
        if name in known and p.default is p.empty and name not in options and name not in context
    ]
    if missing:
        raise ConfigError(f"{cls.__name__} needs the option '{missing[0]}'", source)
    arguments = {name: value for name, value in context.items() if name in known}
    arguments.update(options)
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{cls.__name__}: {error}", source) from error


def _own_class(kind: str, name: str, source: Source | None) -> type[Any]:
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    short = attribute or name
    if module.startswith("rasa.") and module_name(short) in known_names(kind):
        return load_class(kind, short, source)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the {kind} '{name}' cannot be imported: {error}", source) from error
    if not inspect.isclass(found):
        raise ConfigError(f"the {kind} '{name}' is no class", source)
    return found


def _class_names(kind: str) -> list[str]:
    """Names as a configuration writes them, without importing every file: `RegexEntityExtractor`."""
    return ["".join(part.capitalize() for part in module.split("_")) for module in known_names(kind)]


def _public_classes(module: Any) -> list[type[Any]]:
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
