"""A trained shop, and a server around it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

PROJECT = Path(__file__).with_name("project")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """tests/api/project, trained, in a folder of its own."""
    root = tmp_path_factory.mktemp("api") / "shop"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("models"))
    project = load_project(root)
    train(project)
    return project


@pytest.fixture(scope="session")
def open_shop(shop: Project) -> Callable[[], Assistant]:
    """`open_shop()` → its assistant, with a store of its own."""
    return lambda: load_assistant(shop, store=MemoryStore())


@pytest.fixture(scope="module")
def shop_address(running: Callable[..., Any], shop: Project, open_shop: Callable[[], Assistant]) -> Iterator[str]:
    """A server of the shop that anybody may call."""
    app = create_app(open_shop(), open_channels({"rest": {}}), project=shop, model_file="models/shop")
    with running(app) as address:
        yield address
