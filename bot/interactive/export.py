"""What a conversation leaves behind: stories, examples, and what the domain does not have yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain import DEFAULT_ACTIONS, DEFAULT_INTENTS, REQUESTED_SLOT, Domain
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered, entities_of
from bot.nlu_writing import annotated
from bot.project import Project
from bot.tracker import LISTEN, applied_events
from bot.training_data import Example
from bot.yaml_editing import extend_file, read_text, with_example, write_text
from bot.yaml_file import shown

_UNTOLD = (LISTEN, "action_session_start", "action_unlikely_intent", "action_extract_slots")
BACKUP = Path("data") / "nlu_interactive.yml"
"""Where examples go whose intent's file is not to be written to."""


@dataclass(slots=True)
class Learned:
    """`domain` has the keys of a domain file."""

    stories: list[dict[str, Any]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    domain: dict[str, Any] = field(default_factory=dict)


def learned(
    project: Project, conversations: Iterable[Sequence[Event]], new_responses: Mapping[str, str], *, e2e: bool = False
) -> Learned:
    """All that these conversations teach."""
    found = Learned()
    kept = [applied for events in conversations if any(_said(applied := applied_events(events)))]
    taken = {story.name for story in project.stories}
    for events in kept:
        name = _free_name(taken)
        taken.add(name)
        found.stories.append({"story": name, "steps": list(_steps(events, project.domain, e2e))})
    # A form's answers are gone from a story, but not from what was said.
    everything = [event for events in conversations for event in events]
    found.examples = _examples(project, everything)
    found.domain = _new_in_domain(project.domain, everything, new_responses)
    return found


def _said(events: Iterable[Event]) -> Iterator[UserUttered]:
    return (event for event in events if isinstance(event, UserUttered))


def _free_name(taken: set[str]) -> str:
    number = 1
    while f"interactive_story_{number}" in taken:
        number += 1
    return f"interactive_story_{number}"


def _steps(events: Sequence[Event], domain: Domain, e2e: bool) -> Iterator[dict[str, Any]]:
    for event in events:
        match event:
            case UserUttered():
                yield _user_step(event, e2e)
            case ActionExecuted(name=None, action_text=str(text)):
                yield {"bot": text}
            case ActionExecuted(name=str(name)) if name not in _UNTOLD:
                yield {"action": name}
            case SlotSet(name=name, value=value) if _influences(name, domain):
                yield {"slot_was_set": [{name: value}]}
            case ActiveLoopChanged(name=name):
                yield {"active_loop": name}
            case _:
                pass


def _influences(slot: str, domain: Domain) -> bool:
    spec = domain.slots.get(slot)
    return slot == REQUESTED_SLOT or (spec is not None and spec.influence_conversation)


def _user_step(event: UserUttered, e2e: bool) -> dict[str, Any]:
    step: dict[str, Any] = {"intent": event.full_intent_name}
    entities = entities_of(event)
    if e2e and event.text and not event.text.startswith("/"):
        step["user"] = annotated(event.text, entities)
    elif entities:
        step["entities"] = [
            {one.entity: one.value}
            | {key: value for key, value in (("role", one.role), ("group", one.group)) if value is not None}
            for one in entities
        ]
    return step


def _examples(project: Project, events: Iterable[Event]) -> list[Example]:
    """Texts with what they mean, those that are examples already left out; of one text the last word counts."""
    known = {(one.text.strip(), one.intent, _spans(one.entities)) for one in project.data.examples}
    found: dict[str, Example] = {}
    for event in _said(events):
        text, intent = (event.text or "").strip(), event.full_intent_name
        is_ours = intent in DEFAULT_INTENTS and intent not in project.domain.intents
        if not text or text.startswith("/") or not intent or is_ours:
            continue
        entities = tuple(one for one in entities_of(event) if one.extractor not in _COME_TRAINED)
        if (text, intent, _spans(entities)) not in known:
            found[text] = Example(text, intent, entities)
    return list(found.values())


_COME_TRAINED = ("DucklingEntityExtractor", "SpacyEntityExtractor", "RegexEntityExtractor")
"""Extractors that learn from no annotation."""


def _spans(entities: Iterable[Any]) -> frozenset[tuple[Any, ...]]:
    return frozenset((one.entity, one.start, one.end, one.role, one.group) for one in entities)


def _new_in_domain(domain: Domain, events: Sequence[Event], new_responses: Mapping[str, str]) -> dict[str, Any]:
    intents = dict.fromkeys((event.intent_name or "") for event in _said(events))
    entities = dict.fromkeys(one.entity for event in _said(events) for one in entities_of(event))
    actions = dict.fromkeys(event.name or "" for event in events if isinstance(event, ActionExecuted))
    known = {"", *domain.actions, *domain.responses, *domain.forms, *DEFAULT_ACTIONS, *new_responses}
    used = {name: [{"text": text}] for name, text in new_responses.items() if name in actions}
    return {
        "intents": [name for name in intents if name and name not in domain.intents and name not in DEFAULT_INTENTS],
        "entities": [name for name in entities if name not in domain.entities],
        "responses": used,
        "actions": [name for name in actions if name not in known and not name.startswith("utter_")],
    }


# ---- writing ----


def write_stories(found: Learned, path: Path) -> None:
    """At the end of the file's stories."""
    extend_file(path, {"stories": found.stories})


def write_domain(found: Learned, path: Path) -> None:
    extend_file(path, found.domain)


def write_examples(found: Learned, project: Project, path: Path | None) -> list[Path]:
    """Each beside the examples of its intent, or all in the file at `path`; the files that were written."""
    new: dict[Path, dict[str, list[Example]]] = {}
    written: dict[Path, None] = {}
    for example in found.examples:
        file = path or _file_of(example.intent, project)
        text = read_text(file) if file.is_file() else None
        line = annotated(example.text, example.entities)
        more = with_example(text, example.intent, line, shown(file)) if text is not None else None
        if more is None:
            new.setdefault(file, {}).setdefault(example.intent, []).append(example)
        else:
            write_text(file, more)
        written[file] = None
    for file, by_intent in new.items():
        blocks = [
            {"intent": intent, "examples": "".join(f"- {annotated(one.text, one.entities)}\n" for one in examples)}
            for intent, examples in by_intent.items()
        ]
        extend_file(file, {"nlu": blocks})
    return list(written)


def _file_of(intent: str, project: Project) -> Path:
    """Where the intent's latest example stands, if that is a YAML file of the project's; else where others do."""
    own = [
        (example.intent, file)
        for example in project.data.examples
        if (file := Path(example.source.file).resolve()).is_relative_to(project.root)
        and file.suffix in (".yml", ".yaml")
    ]
    beside = [file for name, file in own if name == intent]
    if beside:
        return beside[-1]
    if any(example.intent == intent for example in project.data.examples):
        return project.root / BACKUP
    return own[-1][1] if own else project.root / "data" / "nlu.yml"


def default_story_file(project: Project) -> Path:
    own = (Path(story.source.file).resolve() for story in project.stories)
    usual = project.root / "data" / "stories.yml"
    if usual.is_file():
        return usual
    inside = (file for file in own if file.is_relative_to(project.root) and file.suffix in (".yml", ".yaml"))
    return next(inside, usual)


def default_domain_file(project: Project) -> Path:
    for name in ("domain.yml", "domain.yaml"):
        if (project.root / name).is_file():
            return project.root / name
    folder = project.root / "domain"
    return folder / "interactive.yml" if folder.is_dir() else project.root / "domain.yml"
