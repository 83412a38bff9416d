"""Examples, entities and retrieval intents: what understanding could not learn, or would learn wrongly."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.domain import DEFAULT_INTENTS
from bot.errors import Source, suggest
from bot.registry import short_name
from bot.training_data import Example
from bot.validation.finding import Finding, warning

if TYPE_CHECKING:
    from bot.project import Project

FEWEST = 2
"""Examples that an intent or an entity needs to be learnt, as in Rasa."""
LEARNERS = {"DIETClassifier", "LogisticRegressionClassifier", "SklearnIntentClassifier", "MitieIntentClassifier"}
"""Components that learn intents from examples."""
USUAL = 5
"""How often words must be annotated so that one example without it looks like an oversight."""


def check_examples_of_intents(project: Project) -> Iterator[Finding]:
    """Intents with too few examples, and texts that stand twice."""
    data = project.data
    number = Counter(example.intent.split("/")[0] for example in data.examples)
    learners = {short_name(one.name) for one in project.config.pipeline}
    for name, spec in project.domain.intents.items():
        if name in DEFAULT_INTENTS or not data.examples:
            continue
        if not number[name]:
            yield warning("intent-without-examples", f"intent '{name}' has no examples", spec.source)
        elif number[name] < FEWEST and not learners.isdisjoint(LEARNERS):
            message = f"intent '{name}' has one example: it needs at least {FEWEST} to be learnt"
            yield warning("few-examples", message, spec.source)
    first: dict[str, Example] = {}
    told: set[str] = set()
    for example in data.examples:
        text = " ".join(example.text.lower().split())
        other = first.setdefault(text, example)
        if other.intent != example.intent:
            message = (
                f"'{example.text}' is an example of '{example.intent}' here and of '{other.intent}' in {other.source}"
            )
            yield warning("example-of-two-intents", message, example.source, other.source)
        elif _annotated(other) != _annotated(example):
            message = f"'{example.text}' is annotated otherwise in {other.source}: one of them is wrong"
            yield warning("annotation", message, example.source, other.source)
        elif other is not example and text not in told and other.source.file == example.source.file:
            # What stands in files of two languages is meant.
            told.add(text)
            message = f"'{example.text}' is an example of '{example.intent}' in {other.source} already"
            yield warning("repeated-example", message, example.source, other.source)


def _annotated(example: Example) -> list[tuple[object, ...]]:
    return [(one.start, one.end, one.entity, one.role, one.group, str(one.value)) for one in example.entities]


def check_entities(project: Project) -> Iterator[Finding]:
    """Entities that the domain lacks, that no example has, and annotations that do not fit the words."""
    known = project.domain.entities
    number: Counter[str] = Counter()
    told: set[tuple[str, ...]] = set()
    labels: set[tuple[str, str]] = set()
    for example in project.data.examples:
        for one in example.entities:
            number[one.entity] += 1
            labels |= {(one.entity, label) for label in (one.role, one.group) if label}
            yield from _boundaries(example, one.start, one.end)
            if one.entity not in known:
                if (one.entity,) not in told:
                    told.add((one.entity,))
                    hint = suggest(one.entity, known)
                    message = f"entity '{one.entity}' is annotated, but the domain does not have it.{hint}"
                    yield warning("entity", message, example.source)
                continue
            spec = known[one.entity]
            for kind, label, names in (("role", one.role, spec.roles), ("group", one.group, spec.groups)):
                if label and label not in names and (one.entity, kind, label) not in told:
                    told.add((one.entity, kind, label))
                    message = (
                        f"the {kind} '{label}' of entity '{one.entity}' is annotated, but the domain does not have it."
                    )
                    yield warning("entity", f"{message}{suggest(label, names)}", example.source, spec.source)
    listed = {pattern.name for pattern in project.data.patterns} | {lookup.name for lookup in project.data.lookups}
    for name, spec in known.items():
        if not project.data.examples:
            break
        if number[name] == 1 and name not in listed:
            message = f"entity '{name}' is annotated once: it needs at least {FEWEST} examples to be learnt"
            yield warning("few-examples", message, spec.source)
        for kind, names in (("role", spec.roles), ("group", spec.groups)):
            for label in names:
                if (name, label) not in labels:
                    yield warning("entity", f"the {kind} '{label}' of entity '{name}' is in no example", spec.source)


def _boundaries(example: Example, start: int, end: int) -> Iterator[Finding]:
    """Where an annotation begins or ends within a word, or takes in a space."""
    text, said = example.text, example.text[start:end]
    inside = (start and _in_word(text[start - 1 : start + 1])) or _in_word(text[end - 1 : end + 1])
    if said != said.strip() or inside:
        message = f"the annotation of '{said}' in '{text}' does not begin and end with a word: it is not learnt"
        yield warning("annotation", message, example.source)


def _in_word(pair: str) -> bool:
    """Whether two letters that follow each other are of one word; languages without spaces have no such pairs."""
    return len(pair) == 2 and all(character.isalpha() and ord(character) < 0x0E00 for character in pair)


def check_annotations(project: Project) -> Iterator[Finding]:
    """Words that are an entity in all examples of an intent but one."""
    said: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for example in project.data.examples:
        for one in example.entities:
            said[example.intent][example.text[one.start : one.end].lower()][one.entity] += 1
    patterns = {
        intent: re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?!\w)", re.I)
        for intent, words in said.items()
    }
    forgotten: dict[tuple[str, str], list[tuple[str, str, int, Source]]] = defaultdict(list)
    for example in project.data.examples:
        pattern = patterns.get(example.intent)
        for match in pattern.finditer(example.text) if pattern else ():
            words = match[0].lower()
            (entity, times), *_ = said[example.intent][words].most_common(1)
            overlaps = any(one.start < match.end() and match.start() < one.end for one in example.entities)
            # A number or a word of one letter means many things.
            plain = len(words) > 2 and not words.isdigit()
            if plain and times >= USUAL and not overlaps:
                forgotten[(example.intent, words)].append((match[0], entity, times, example.source))
    for (intent, _), places in forgotten.items():
        said_so, entity, times, source = places[0]
        if len(places) == 1:
            message = f"'{said_so}' is no entity here, and '{entity}' in {times} other examples of '{intent}'"
            yield warning("annotation", message, source)


def check_retrieval(project: Project) -> Iterator[Finding]:
    """Retrieval intents (`faq/opening_hours`) without their response, and such responses without examples."""
    responses = project.domain.responses
    first: dict[str, Example] = {}
    for example in project.data.examples:
        if "/" in example.intent:
            first.setdefault(example.intent, example)
    for intent, example in first.items():
        if f"utter_{intent}" not in responses:
            near = suggest(f"utter_{intent}", [name for name in responses if "/" in name])
            message = f"there are examples of '{intent}', and no response 'utter_{intent}'.{near}"
            yield warning("retrieval", message, example.source)
    for name, variations in responses.items():
        intent = name.removeprefix("utter_")
        if "/" in name and intent not in first and variations:
            message = f"response '{name}' has no examples: write some of the intent '{intent}'.{suggest(intent, first)}"
            yield warning("retrieval", message, variations[0].source)
