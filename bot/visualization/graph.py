"""Stories and rules as a graph: what the customer says and what the bot does are nodes, what they share is shared.

As in Rasa, stories share their beginnings, and nodes that go on alike for `max_history` steps are one node. A rule
stands for itself. A checkpoint is one node, which stories lead to and go on from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.errors import Source
from bot.training_data import (
    ActionStep,
    CheckpointStep,
    LoopStep,
    OrStep,
    Rule,
    SlotStep,
    Step,
    Story,
    UserStep,
)

MAX_HISTORY = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What a node shows: `kind` is start, user, action, form or checkpoint; `form` runs meanwhile."""

    kind: str
    label: str
    notes: tuple[str, ...] = ()
    form: str | None = None


@dataclass(slots=True)
class Node:
    """A node with those after it, in the order of the files; `dialogues` are the numbers of those that pass here."""

    number: int
    look: Look
    after: list[int] = field(default_factory=list)
    dialogues: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Dialogue:
    """A story or a rule: `path` are its nodes in order."""

    number: int
    name: str
    kind: str
    source: Source
    path: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes; `roots` are where dialogues start: that of all stories, checkpoints, and one for each rule."""

    nodes: list[Node]
    roots: list[int]
    dialogues: list[Dialogue]


def build_graph(stories: Sequence[Story], rules: Sequence[Rule], max_history: int = MAX_HISTORY) -> Graph:
    """`max_history` of 0 shares beginnings alone."""
    maker = _Maker()
    for story in stories:
        maker.add_story(story)
    told = len(maker.nodes)
    for rule in rules:
        maker.add_rule(rule)
    graph = Graph(maker.nodes, maker.roots, maker.dialogues)
    return _merged(graph, max_history, told) if max_history else graph


class _Maker:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.roots: list[int] = []
        self.dialogues: list[Dialogue] = []
        self._start: int | None = None
        self._checkpoints: dict[str, int] = {}
        self._led_to: set[int] = set()

    def add_story(self, story: Story) -> None:
        dialogue = self._dialogue(story, "story")
        looks = list(_looks(story.steps))
        first = looks[0] if looks else None
        if first and first.kind == "checkpoint":
            at = self._checkpoint(first, led_to=False)
            looks = looks[1:]
        else:
            if self._start is None:
                self._start = self._node(Look("start", "start"))
                self.roots.insert(0, self._start)
            at = self._start
        self._follow(dialogue, at, looks)

    def add_rule(self, rule: Rule) -> None:
        when = [_condition(step) for step in rule.condition]
        if rule.conversation_start:
            when.insert(0, "at the start of a conversation")
        running = next((step.name for step in rule.condition if isinstance(step, LoopStep)), None)
        looks = list(_looks(rule.steps, running))
        root = self._node(Look("start", "when" if when else "any time", tuple(when)))
        self.roots.append(root)
        self._follow(self._dialogue(rule, "rule"), root, looks)

    def _dialogue(self, told: Story | Rule, kind: str) -> Dialogue:
        dialogue = Dialogue(len(self.dialogues), told.name or f"a {kind} without a name", kind, told.source)
        self.dialogues.append(dialogue)
        return dialogue

    def _follow(self, dialogue: Dialogue, at: int, looks: Sequence[Look]) -> None:
        self._pass(dialogue, at)
        for look in looks:
            at = self._next(at, look)
            self._pass(dialogue, at)

    def _pass(self, dialogue: Dialogue, at: int) -> None:
        dialogue.path.append(at)
        if dialogue.number not in self.nodes[at].dialogues:
            self.nodes[at].dialogues.append(dialogue.number)

    def _next(self, at: int, look: Look) -> int:
        """The node after this one that looks so: one that is there already, if there is."""
        if look.kind == "checkpoint":
            found = self._checkpoint(look, led_to=True)
        else:
            alike = (number for number in self.nodes[at].after if self.nodes[number].look == look)
            found = next(alike, -1)
            if found < 0:
                found = self._node(look)
        if found not in self.nodes[at].after:
            self.nodes[at].after.append(found)
        return found

    def _checkpoint(self, look: Look, *, led_to: bool) -> int:
        number = self._checkpoints.get(look.label)
        if number is None:
            number = self._checkpoints[look.label] = self._node(look)
            if not led_to:
                self.roots.append(number)
        elif led_to and number in self.roots:
            self.roots.remove(number)
        return number

    def _node(self, look: Look) -> int:
        self.nodes.append(Node(len(self.nodes), look))
        return len(self.nodes) - 1


def _looks(steps: Sequence[Step], form: str | None = None) -> Iterator[Look]:
    """The nodes of a dialogue that begins while `form` runs; slots and loops are told by the node before them."""
    found: list[Look] = []
    for step in steps:
        match step:
            case UserStep() | OrStep():
                found.append(Look("user", _said(step), form=form))
            case ActionStep(name=name, text=text):
                is_form = name is not None and name == form
                found.append(Look("form" if is_form else "action", name or f"“{text}”", form=form))
            case CheckpointStep(name=name, slots=slots):
                found.append(Look("checkpoint", name, tuple(map(_slot, slots))))
            case LoopStep(name=None):
                form = None
                _note(found, "the form ends")
            case LoopStep(name=name):
                form = name
                if found and found[-1].label == name:
                    found[-1] = Look("form", name or "", found[-1].notes, name)
                else:
                    _note(found, f"form {name} runs")
            case SlotStep():
                _note(found, _slot(step))
    return iter(found)


def _note(found: list[Look], note: str) -> None:
    if not found:
        found.append(Look("start", "so far", (note,)))
    else:
        last = found[-1]
        found[-1] = Look(last.kind, last.label, (*last.notes, note), last.form)


def _said(step: UserStep | OrStep) -> str:
    if isinstance(step, OrStep):
        return " or ".join(_said(one) if isinstance(one, UserStep) else _slot(one) for one in step.choices)
    if step.text and not step.intent:
        return f"“{step.text}”"
    entities = ", ".join(
        f"{entity.entity}: {entity.value}" if entity.value not in (None, "") else entity.entity
        for entity in step.entities
    )
    return f"{step.intent or '?'}{f' ({entities})' if entities else ''}"


def _slot(step: SlotStep) -> str:
    if step.any_value:
        return f"{step.name} is set"
    if step.value is None:
        return f"{step.name} is not set"
    return f"{step.name} = {str(step.value).lower() if isinstance(step.value, bool) else step.value}"


def _condition(step: SlotStep | LoopStep) -> str:
    if isinstance(step, SlotStep):
        return _slot(step)
    return f"{step.name} runs" if step.name else "no form runs"


# ---- sharing what goes on alike ----


def _merged(graph: Graph, max_history: int, among: int) -> Graph:
    """Nodes that look the same and go on the same for so many steps become one; the first `among` are stories'."""
    first: dict[tuple[Look, frozenset[tuple[Look, ...]]], int] = {}
    stands_for: list[int] = []
    for node in graph.nodes:
        number = node.number
        if number < among and node.look.kind != "start":
            number = first.setdefault((node.look, _goes_on(graph, node.number, max_history)), number)
        stands_for.append(number)
    graph = _renumbered(graph, stands_for)
    while twins := _twins(graph):
        graph = _renumbered(graph, twins)
    return graph


def _twins(graph: Graph) -> list[int]:
    """For each node the one it becomes part of, because both follow one node and look the same; empty if none do."""
    stands_for = list(range(len(graph.nodes)))
    for node in graph.nodes:
        first: dict[Look, int] = {}
        for after in node.after:
            other = first.setdefault(graph.nodes[after].look, after)
            if other != after and stands_for[other] == other and stands_for[after] == after:
                stands_for[after] = other
    # Of a chain of such nodes one step is taken at a time.
    changed = any(number != other for number, other in enumerate(stands_for))
    return [stands_for[stands_for[number]] for number in stands_for] if changed else []


def _renumbered(graph: Graph, stands_for: list[int]) -> Graph:
    """The graph with each node in the place of those it stands for."""
    kept = sorted(set(stands_for))
    place = {old: new for new, old in enumerate(kept)}
    nodes = [Node(place[old], graph.nodes[old].look) for old in kept]
    for old, node in enumerate(graph.nodes):
        into = nodes[place[stands_for[old]]]
        into.after = list(dict.fromkeys([*into.after, *(place[stands_for[one]] for one in node.after)]))
        into.dialogues = list(dict.fromkeys([*into.dialogues, *node.dialogues]))
    for dialogue in graph.dialogues:
        dialogue.path = [place[stands_for[old]] for old in dialogue.path]
    return Graph(nodes, list(dict.fromkeys(place[stands_for[root]] for root in graph.roots)), graph.dialogues)


def _goes_on(graph: Graph, number: int, steps: int) -> frozenset[tuple[Look, ...]]:
    """Every way on from a node, as far as so many steps."""
    if steps == 0 or not graph.nodes[number].after:
        return frozenset([()])
    return frozenset(
        (graph.nodes[after].look, *rest)
        for after in graph.nodes[number].after
        for rest in _goes_on(graph, after, steps - 1)
    )
