"""The pipeline: components in order, each adding to the parses of a batch what it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bot.errors import ConfigError, ModelError, Source
from bot.interfaces import Component, TrainableComponent
from bot.messages import Parse
from bot.registry import construct, load_class, module_name
from bot.training_data import TrainingData


class ComponentSettings(Protocol):
    """One entry of `pipeline:` in config.yml."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def source(self) -> Source: ...


class Pipeline:
    """Ordered (name, component) pairs. One batch at a time: a pipeline is not for two threads at once."""

    def __init__(self, components: Sequence[tuple[str, Component]]) -> None:
        self.components = list(components)

    @staticmethod
    def build(
        settings: Sequence[ComponentSettings],
        *,
        languages: Sequence[str] = ("en",),
        seed: int = 0,
        root: Path | None = None,
    ) -> Pipeline:
        """Untrained components, as config.yml names them; ConfigError at an unknown name or option."""
        components: list[tuple[str, Component]] = []
        for setting in settings:
            cls = load_class("component", setting.name, setting.source)
            component = construct(
                cls, setting.options, setting.source, languages=tuple(languages), seed=seed, root=root
            )
            if not isinstance(component, Component):
                raise ConfigError(f"{setting.name} is no component: it has no method parse(parses)", setting.source)
            components.append((setting.name, component))
        return Pipeline(components)

    def train(self, data: TrainingData, progress: Callable[[str, float], None] | None = None) -> None:
        """Each component learns from what those before it made of the examples.

        `progress(name, done)` is called before each component, with the share of components done. A
        component may say `needed_in_training = False` when nobody learns from what it adds.
        """
        parses = [Parse(example.text) for example in data.examples]
        learners = [isinstance(component, TrainableComponent) for _, component in self.components]
        for number, (name, component) in enumerate(self.components):
            if progress:
                progress(name, number / len(self.components))
            if isinstance(component, TrainableComponent):
                component.train(data, parses)
            if any(learners[number + 1 :]) and getattr(component, "needed_in_training", True):
                component.parse(parses)

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        """What all components make of the texts, in their order."""
        parses = [Parse(text) for text in texts]
        if parses:
            for _, component in self.components:
                component.parse(parses)
        return parses

    def warm_up(self) -> None:
        """What components would otherwise load at the first message that needs it (those with a `warm_up`)."""
        for _, component in self.components:
            getattr(component, "warm_up", lambda: None)()

    def save(self, folder: Path) -> None:
        """Each component that learns gets a folder of its own in `folder`."""
        for place, component in self._places(folder):
            place.mkdir(parents=True, exist_ok=True)
            component.save(place)

    def load(self, folder: Path) -> None:
        """Take up what `save` left; ModelError when it was another pipeline's, or is damaged."""
        for place, component in self._places(folder):
            if not place.is_dir():
                raise ModelError(f"the model has no '{place.name}': train again, the pipeline has changed")
            try:
                component.load(place)
            except (OSError, ValueError, KeyError) as error:
                raise ModelError(f"'{place}' is damaged, train again: {error}") from error

    def _places(self, folder: Path) -> list[tuple[Path, TrainableComponent]]:
        return [
            (folder / f"{number:02d}_{module_name(name.rpartition('.')[2].rpartition(':')[2])}", component)
            for number, (name, component) in enumerate(self.components)
            if isinstance(component, TrainableComponent)
        ]
