"""The model that a server has now: loading another, and unloading it, while conversations go on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot.action_execution import Actions
from bot.assistant import Assistant
from bot.domain import Domain
from bot.errors import ModelError
from bot.interfaces import Store
from bot.model_archive import is_archive, unpack
from bot.nlu.pipeline import Pipeline
from bot.processes import settle
from bot.project import Project, load_project
from bot.registry import construct
from bot.training import load_assistant, models_folder
from bot.understanding import Understanding
from bot.yaml_file import shown

if TYPE_CHECKING:
    from bot.model_server import ModelServer


@dataclass(slots=True)
class Serving:
    """`assistant` is the same for as long as the server runs: another model takes it over.

    `project` is where models are looked for, and whose actions, channels and store serve them; without one no other
    model can be loaded.
    """

    assistant: Assistant
    project: Project | None = None
    model_file: str = ""
    training_jobs: int = 0
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def model_id(self) -> str:
        return Path(self.model_file).name.removesuffix(".tar.gz")

    async def load(self, model: Path) -> None:
        """Take over the model: an archive, or a folder of the project's. `ModelError` or the project's mistakes."""
        if self.project is None:
            raise ModelError("this server was started without a project: it can load no other model")
        # One after the other: the last who asks has the last word.
        async with self._loading:
            other = await asyncio.to_thread(open_model, self.project, model, self.assistant.store)
            await other.understanding.warm_up()
            await self._replace(other)
            self.model_file = str(model)

    async def unload(self) -> None:
        """From the next turn on there is no model; turns in hand finish."""
        async with self._loading:
            await self._replace(without_model(self.assistant.store))
            self.model_file = ""

    async def _replace(self, other: Assistant) -> None:
        before = self.assistant.actions
        self.assistant.take_over(other)
        await before.close()
        if gc.get_freeze_count():
            settle()


def model_server_of(project: Project) -> ModelServer | None:
    """The server of `models:` in endpoints.yml."""
    from bot.model_server import ModelServer

    config = project.config.model_server
    return construct(ModelServer, config.options, config.source) if config else None


def place_of(name: str, project: Project | None) -> Path:
    """The file or folder that a caller means: in the project, or from where the server runs. `ModelError` if none."""
    own = [project.root, models_folder(project)] if project else []
    for folder in (*own, Path()):
        if (folder / name).exists():
            return folder / name
    raise ModelError(f"there is no model '{name}'")


def read_project(folder: Path) -> Project:
    """A project that lies in a folder for a moment; there is no code in it to be found later."""
    project = load_project(folder)
    with contextlib.suppress(ValueError):
        sys.path.remove(str(project.root))
    return project


def open_model(project: Project, model: Path, store: Store) -> Assistant:
    """The assistant of a model: an archive brings its own domain and data, a folder is the project's as that is now."""
    if not model.exists():
        raise ModelError(f"there is no model '{shown(model)}'")
    if not is_archive(model):
        return load_assistant(load_project(project.root), model=model, store=store)
    folder = Path(tempfile.mkdtemp(prefix="frontdesk-"))
    try:
        unpacked = unpack(model, folder)
        own = read_project(unpacked.project)
        # What is around a model, its actions and services, is the server's.
        kept = (
            "action_endpoint",
            "actions",
            "actions_source",
            "llm",
            "llm_action",
            "store",
            "channels",
            "typed_payloads",
            "identity_key",
        )
        config = dataclasses.replace(own.config, **{name: getattr(project.config, name) for name in kept})
        return load_assistant(
            dataclasses.replace(own, root=project.root, config=config), model=unpacked.model, store=store
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def for_pages_alone(project: Project, store: Store) -> Assistant:
    """An assistant that takes no turn: it accepts messages for the workers, and hands out their answers."""
    actions = Actions(project.domain, identity_key=project.config.identity_key)
    one = Assistant(project.domain, Understanding(Pipeline([])), [], actions, store, languages=project.config.languages)
    one.takes_turns = False
    return one


def without_model(store: Store) -> Assistant:
    """An assistant that takes no turn until a model takes it over."""
    domain = Domain()
    empty = Assistant(domain, Understanding(Pipeline([])), [], Actions(domain), store)
    empty.has_model = False
    return empty
