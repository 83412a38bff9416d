"""The graph of stories and rules in a real browser: found, followed and read with mouse, keys and words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from bot.project import load_project
from bot.visualization import build_graph, write_page

PROJECT = Path(__file__).parents[1] / "projects" / "rasa_init"


@pytest.fixture
def graph(context: Callable[..., BrowserContext], tmp_path: Path) -> Page:
    """The page of the project that `rasa init` makes."""
    project = load_project(PROJECT)
    write_page(build_graph(project.stories, project.rules), tmp_path / "graph.html", "mood bot")
    page = context().new_page()
    page.goto((tmp_path / "graph.html").as_uri())
    return page


def test_a_story_is_followed_through_the_graph(graph: Page) -> None:
    expect(graph).to_have_title("mood bot: stories and rules")
    button = graph.get_by_role("button", name="sad path 1")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    told = ["start", "greet", "utter_greet", "mood_unhappy", "utter_cheer_up", "utter_did_that_help", "affirm"]
    shown = graph.locator(".node.on .label").all_text_contents()
    assert sorted(shown) == sorted([*told, "utter_happy"])
    expect(graph.locator("#details")).to_contain_text("data/stories.yml:12")
    graph.keyboard.press("Escape")
    expect(graph.locator(".node.on")).to_have_count(0)


def test_a_node_tells_its_stories_with_their_places(graph: Page) -> None:
    graph.get_by_role("button", name="the bot does: utter_cheer_up; in 2 dialogues").click()
    details = graph.locator("#details")
    expect(details).to_contain_text("data/stories.yml:12")
    expect(details).to_contain_text("data/stories.yml:22")
    details.get_by_role("button", name="sad path 2").click()
    expect(details.get_by_role("heading")).to_have_text("sad path 2")


def test_arrow_keys_go_from_node_to_node(graph: Page) -> None:
    graph.locator("svg .node[tabindex='0']").first.focus()
    for key, label in (("ArrowRight", "greet"), ("ArrowRight", "utter_greet"), ("ArrowRight", "mood_great")):
        graph.keyboard.press(key)
        expect(graph.locator(".node:focus .label")).to_have_text(label)
    graph.keyboard.press("ArrowDown")
    expect(graph.locator(".node:focus .label")).to_have_text("mood_unhappy")
    graph.keyboard.press("ArrowLeft")
    graph.keyboard.press("Enter")
    expect(graph.locator("#details").get_by_role("heading")).to_have_text("utter_greet")


def test_a_search_finds_nodes_and_dialogues(graph: Page) -> None:
    search = graph.get_by_role("searchbox")
    search.fill("cheer")
    expect(graph.get_by_role("status")).to_have_text("2 of 5 dialogues")
    expect(graph.locator(".node.hit")).to_have_count(1)
    expect(graph.get_by_role("button", name="happy path")).to_be_hidden()
    search.press("Enter")
    expect(graph.locator("#details").get_by_role("heading")).to_have_text("utter_cheer_up")


def test_the_page_fetches_nothing_and_can_be_read_as_text(graph: Page, tmp_path: Path) -> None:
    text = (tmp_path / "graph.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    graph.get_by_text("story “sad path 2”").click()
    expect(graph.locator("#text details[open] li")).to_have_count(8)
