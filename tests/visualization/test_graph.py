"""Stories and rules as a graph: what is shared is one node, and every dialogue can still be followed."""

from __future__ import annotations

from pathlib import Path

from bot.errors import Source
from bot.story_file import read_rules, read_stories
from bot.visualization.graph import Graph, build_graph
from bot.visualization.layout import lay_out
from bot.visualization.page import page
from bot.yaml_file import Problems, parse_yaml


def graph_of(text: str, max_history: int = 2) -> Graph:
    problems = Problems()
    data = parse_yaml(text, "s.yml", problems)
    stories = read_stories(data.get("stories"), Source("s.yml", 1), problems)
    rules = read_rules(data.get("rules"), Source("s.yml", 1), problems)
    problems.raise_errors()
    return build_graph(stories, rules, max_history)


def paths(graph: Graph) -> list[list[str]]:
    return [[graph.nodes[number].look.label for number in one.path] for one in graph.dialogues]


TWO = """
stories:
- story: happy
  steps: [{intent: greet}, {action: utter_greet}, {intent: great}, {action: utter_happy}, {action: utter_bye}]
- story: sad
  steps: [{intent: greet}, {action: utter_greet}, {intent: sad}, {action: utter_happy}, {action: utter_bye}]
"""


def test_beginnings_and_ends_are_shared() -> None:
    graph = graph_of(TWO)
    assert [node.look.label for node in graph.nodes] == [
        *("start", "greet", "utter_greet", "great", "utter_happy", "utter_bye", "sad")
    ]
    assert paths(graph) == [
        ["start", "greet", "utter_greet", "great", "utter_happy", "utter_bye"],
        ["start", "greet", "utter_greet", "sad", "utter_happy", "utter_bye"],
    ]
    shared = next(node for node in graph.nodes if node.look.label == "utter_bye")
    assert shared.dialogues == [0, 1]


def test_without_a_history_ends_stand_apart() -> None:
    assert len(graph_of(TWO, max_history=0).nodes) == 9


def test_every_step_of_a_dialogue_is_a_line_of_the_graph() -> None:
    stories = "\n".join(
        f"- story: s{one}{two}{three}\n  steps: [{{intent: i{one}}}, {{action: a}}, {{intent: i{two}}}, "
        f"{{action: b{three}}}, {{action: a}}, {{intent: i{one}}}, {{action: a}}]"
        for one in range(3)
        for two in range(3)
        for three in range(2)
    )
    graph = graph_of("stories:\n" + stories)
    for dialogue in graph.dialogues:
        for before, after in zip(dialogue.path, dialogue.path[1:], strict=False):
            assert after in graph.nodes[before].after
    for node in graph.nodes:
        looks = [graph.nodes[after].look for after in node.after]
        assert len(looks) == len(set(looks)), "two nodes that look the same follow one node"


def test_forms_slots_and_choices_are_told() -> None:
    graph = graph_of("""
stories:
- story: a form
  steps:
  - or: [{intent: order}, {intent: buy, entities: [{what: tea}]}]
  - action: tea_form
  - active_loop: tea_form
  - intent: chat
  - action: utter_chat
  - action: tea_form
  - active_loop: null
  - slot_was_set: [{sold: true}, {cup: null}, size]
""")
    looks = [node.look for node in graph.nodes]
    assert looks[1].label == "order or buy (what: tea)"
    assert [(look.kind, look.form) for look in looks[2:5]] == [
        ("form", "tea_form"),
        ("user", "tea_form"),
        ("action", "tea_form"),
    ]
    assert looks[5].notes == ("the form ends", "sold = true", "cup is not set", "size is set")


def test_a_rule_stands_for_itself_with_what_it_needs() -> None:
    graph = graph_of("""
rules:
- {rule: one, condition: [{active_loop: f}, {slot_was_set: [{a: 1}]}], steps: [{intent: x}, {action: y}]}
- {rule: two, conversation_start: true, steps: [{intent: x}, {action: y}]}
- {rule: three, steps: [{intent: x}, {action: y}]}
""")
    roots = [graph.nodes[root].look for root in graph.roots]
    assert [(look.label, look.notes) for look in roots] == [
        ("when", ("f runs", "a = 1")),
        ("when", ("at the start of a conversation",)),
        ("any time", ()),
    ]
    assert len(graph.nodes) == 9
    assert [graph.nodes[number].look.form for number in graph.dialogues[0].path] == [None, "f", "f"]


def test_checkpoints_join_stories_even_in_a_circle() -> None:
    graph = graph_of("""
stories:
- {story: in, steps: [{intent: a}, {action: b}, {checkpoint: c}]}
- {story: on, steps: [{checkpoint: c}, {intent: d}, {action: e}, {checkpoint: c}]}
- {story: alone, steps: [{checkpoint: x}, {intent: d}, {action: f}, {checkpoint: x}]}
""")
    assert [node.look.label for node in graph.nodes].count("c") == 1
    html = page(graph, "circle")
    assert html.count('data-node="') == len(graph.nodes)


def test_no_two_nodes_stand_in_one_place_and_a_long_story_is_no_problem() -> None:
    steps = ", ".join(f"{{intent: i{number}}}, {{action: a{number}}}" for number in range(1200))
    graph = graph_of(TWO + f"- {{story: long, steps: [{steps}]}}\n")
    layout = lay_out(graph, graph.roots)
    assert len({(box.x, box.y) for box in layout.boxes.values()}) == len(graph.nodes)


def test_names_in_a_page_cannot_become_markup(tmp_path: Path) -> None:
    html = page(
        graph_of(
            "stories:\n- story: </script><script>alert(1)</script>\n"
            "  steps: [{intent: a}, {action: '<img onerror=1>@@DATA@@'}]\n"
        ),
        "<b>",
    )
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "&lt;b&gt;" in html
