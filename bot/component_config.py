"""What a configuration says of things that can be plugged in: a name, options, and where that is written.

Names of Rasa's that have no file here, and options that it has and we do not act on, are dealt with in this file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain import NOWHERE
from bot.errors import ConfigError, Source, UnknownName
from bot.messages import EMPTY
from bot.rasa_names import FROM_ENVIRONMENT, STAND_INS, TEMPLATES, outdated
from bot.registry import load_class, short_name, without_effect, wrong_options
from bot.yaml_file import Fields, Problems, YamlMap, plain


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """Something that can be plugged in: its name, its constructor's keywords, and where that is written."""

    name: str
    options: Mapping[str, Any] = EMPTY
    source: Source = NOWHERE


def components(fields: Fields, key: str, kind: str, problems: Problems) -> tuple[ComponentConfig, ...]:
    """The entries of `pipeline:` or `policies:`: a name, or `name:` with options."""
    found = []
    template = fields.data.get(key)
    if isinstance(template, str) and template in TEMPLATES:
        message = f"'{template}' is a pipeline of Rasa 1: name its components, or run: frontdesk migrate"
        problems.add(message, fields.source(key))
        return ()
    items = fields.sequence(key)
    for item, source in zip(items, items.sources, strict=True):
        one = Fields(None if isinstance(item, str) else item, source, f"an entry of '{key}'", problems)
        name = item if isinstance(item, str) else one.text("name")
        if not name:
            if isinstance(item, YamlMap) and item.get("name") is None:
                problems.add(f"an entry of '{key}' needs a 'name'", source)
        else:
            found += _named(kind, name, one, problems)
    return tuple(found)


def _named(kind: str, name: str, one: Fields, problems: Problems) -> list[ComponentConfig]:
    """The component or policy of that name, or what stands in for it."""
    short, place = short_name(name), one.source("name")
    message = outdated(short)
    if message:
        problems.add(message, place)
        return []
    stand_in = STAND_INS.get(short)
    if stand_in is None:
        return [plugged(kind, name, one, problems, "name")]
    instead = f"{stand_in.name} stands in for it" if stand_in.name else "it is left out"
    problems.warn(f"{short}: {stand_in.reason}; {instead}", place)
    return [plugged(kind, stand_in.name, one, problems, "name", *stand_in.without)] if stand_in.name else []


def plugged(kind: str, name: str, fields: Fields, problems: Problems, *own: str) -> ComponentConfig:
    """What a name and its options stand for; whether there is such a thing, with such options, is checked.

    `own` are keys that are none of its constructor's, the one with the name first. An option that Rasa
    would pass over is left out.
    """
    place = fields.source(own[0]) if own else fields.place
    options = {key: plain(value) for key, value in fields.data.items() if key not in own}
    option, variable = FROM_ENVIRONMENT.get(short_name(name), ("", ""))
    if os.environ.get(variable):
        options[option] = os.environ[variable]
    try:
        cls = load_class(kind, name, place)
    except ConfigError as error:
        problems.errors.append(error)
        return ComponentConfig(name, options, fields.place)
    return ComponentConfig(name, checked(cls, name, options, fields, problems), fields.place)


def checked(cls: type[Any], name: str, options: dict[str, Any], fields: Fields, problems: Problems) -> dict[str, Any]:
    for error in list(wrong_options(cls, name, options, ("languages", "seed", "root"), fields.source)):
        if isinstance(error, UnknownName) and not problems.strict:
            problems.warnings.append(error)
            del options[error.name]
        else:
            problems.errors.append(error)
    return options


def options_without_effect(
    pipeline: Iterable[ComponentConfig], policies: Iterable[ComponentConfig]
) -> dict[str, list[str]]:
    """Options in config.yml that are accepted for Rasa's sake and change nothing here, with whose they are."""
    found: dict[str, list[str]] = {}
    for kind, part in (("component", pipeline), ("policy", policies)):
        for one in part:
            for key in without_effect(load_class(kind, one.name), one.options):
                owners = found.setdefault(key, [])
                if short_name(one.name) not in owners:
                    owners.append(short_name(one.name))
    return found
