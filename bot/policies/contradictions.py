"""Where stories and rules disagree, as a person reads it: how both begin, and what follows here and there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.errors import Contradiction
from bot.events import ActionExecuted, ActiveLoopChanged, Event, SlotSet, UserUttered
from bot.policies.training_dialogues import SNIPPET, DialogueStep, TrainingDialogue
from bot.states import NOT_SET
from bot.tracker import LISTEN

MOST_SHOWN = 12
"""How much of a long beginning is written out: its end."""


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a dialogue, by its number."""

    dialogue: TrainingDialogue
    number: int

    @property
    def step(self) -> DialogueStep:
        return self.dialogue.steps[self.number]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """At `here` another action follows than at `there`; None there: than what is built in, which is `action`."""

    here: Place
    there: Place | None
    action: str

    @property
    def pair(self) -> frozenset[object]:
        """The two dialogues: whatever else they disagree about is no more than a consequence."""
        return frozenset(_identity(place) for place in (self.here, self.there))

    @property
    def lines(self) -> frozenset[object]:
        """The two steps: stories that share a checkpoint share what comes after it."""
        return frozenset((place.step.source, place.step.action) if place else None for place in (self.here, self.there))


def _identity(place: Place | None) -> object:
    return (place.dialogue.source, place.dialogue.is_rule, place.dialogue.name) if place else None


def told_once(found: Iterable[Disagreement]) -> Iterator[Disagreement]:
    """The first disagreement of each pair."""
    known: set[frozenset[object]] = set()
    for one in found:
        if known.isdisjoint((one.pair, one.lines)):
            yield one
        known |= {one.pair, one.lines}


def contradiction(found: Disagreement, most_states: int | None = None) -> Contradiction:
    """The error that tells of it; of the beginning, only `most_states` states are what they have in common."""
    here, there = found.here, found.there
    what = _name(here.dialogue)
    follows = _follow(here.step.action, found.action)
    if there is None:
        return Contradiction(
            f"{what} disagrees with what is built in, after {_after(beginning(here))}. {follows} Take another intent, "
            f"or write an action '{found.action}' of your own.",
            here.step.source,
        )
    # A rule says no more than what must be so, its conditions among it.
    places = (there,) if there.dialogue.is_rule else (here, there)
    shortest = min((beginning(place, most_states) for place in places), key=len)
    return Contradiction(
        f"{what} disagrees with {_name(there.dialogue)} ({there.step.source}) after {_after(shortest)}. {follows} "
        f"{_advice(found)}",
        here.step.source,
        there.step.source,
    )


def _name(dialogue: TrainingDialogue) -> str:
    return f"{'rule' if dialogue.is_rule else 'story'} '{dialogue.name}'"


def _follow(here: str, there: str) -> str:
    if here == LISTEN:
        return f"Here the bot listens, there '{there}' follows."
    other = "the bot listens" if there == LISTEN else f"'{there}'"
    return f"Here '{here}' follows, there {other}."


def _advice(found: Disagreement) -> str:
    rules = [place.dialogue.is_rule for place in (found.here, found.there) if place]
    if found.there and found.there.dialogue.is_rule and found.action == LISTEN:
        return "Make them agree, or end the rule with `wait_for_user_input: false`."
    if all(rules):
        return "Make them agree, or tell them apart by a condition."
    if any(rules):
        return "Make them agree, or give the rule a condition."
    return "Make them agree, or let something before tell them apart: an intent, an entity, a slot."


def beginning(place: Place, most_states: int | None = None) -> list[str]:
    """What goes before a step: `user: greet`, `action: utter_greet`, `slot: name = Ann`… in order."""
    found: list[str] = []
    heard: list[str] = []
    number = 0
    for event in place.dialogue.events:
        if isinstance(event, ActionExecuted):
            if number == place.number:
                break
            if most_states and number == place.number - most_states and found:
                # The message that this action answers counts still.
                found = ["…", *(heard if event.name != LISTEN else ())]
            number += 1
        words = list(_words(event))
        heard = words if isinstance(event, UserUttered) else heard
        found += words
    return found


def _words(event: Event) -> Iterator[str]:
    match event:
        case UserUttered():
            names = ", ".join(dict.fromkeys(str(entity.get("entity")) for entity in event.entities))
            said = event.intent_name or f"“{event.text}”"
            yield f"user: {said}{f' ({names})' if names else ''}"
        case ActionExecuted(name=name, action_text=text):
            if name not in (LISTEN, SNIPPET):
                yield f"action: {name}" if name else f"bot: “{text}”"
        case SlotSet(name=slot, value=value):
            if value is None or value == NOT_SET:
                yield f"slot: {slot} is empty"
            elif value in ("filled", ["filled"], "", [""]):
                # A file names the slot, or the entity that fills it, without a value.
                yield f"slot: {slot} is set"
            else:
                yield f"slot: {slot} = {str(value).lower() if isinstance(value, bool) else value}"
        case ActiveLoopChanged(name=loop):
            yield f"active loop: {'none' if loop in (None, NOT_SET) else loop}"
        case _:
            pass


def _after(parts: Sequence[str]) -> str:
    if len(parts) > MOST_SHOWN:
        parts = ["…", *parts[-MOST_SHOWN:]]
    return f"[{'; '.join(parts)}]" if parts else "the beginning"
