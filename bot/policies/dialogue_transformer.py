"""The network of TEDPolicy and UnexpecTEDIntentPolicy: the Transformer Embedding Dialogue.

Each state (intent, entities, slots, the latest action, the running form) becomes a vector; the latest one
looks back at those before it (attention); what comes out lies in one space with the labels, and is nearest to
those that follow (Vlasov, Mosig and Nichol, 2019, "Dialogue Transformers"). Trained in PyTorch on the stories
and on stories joined at random; asked in numpy, so that a serving process never imports PyTorch. `forward` is the
network for both.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bot.policies.training_dialogues import opened
from bot.states import LONGEST, NOT_SET, State
from bot.training_data import CheckpointStep, Story

Array = NDArray[np.float32]
Loss = Callable[[Any, Any, Any], Any]
"""Of torch itself, similarities (batch, labels) and targets (batch, labels): how wrong they are."""
MOST_JOINED = 3
"""Stories in one that augmentation makes."""
_LOCK = threading.Lock()
_learning = 0
"""How many networks learn at this moment."""
_threads = 1
"""Those of torch before the first of them began."""
_WORD = re.compile(r"[\u3400-\u9fff]|\w+")


@dataclass(slots=True)
class DialogueTransformer:
    """The network with its sizes (Rasa's options), what it was trained on, and its weights by name.

    `max_history` is how many states are looked at (None: all, up to 60), `batch_sizes` those of the first and
    the last epoch.
    """

    max_history: int | None
    epochs: int
    batch_sizes: Sequence[int] | int
    learning_rate: float
    transformer_size: Mapping[str, int] | int
    heads: int
    embedding: int
    weight_decay: float
    dropout: float
    seed: int
    features: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError("'number_of_attention_heads' must be at least 1")
        sizes = self._batch_sizes
        if min(self._width, *sizes, self.embedding, self.epochs + 1, self.max_history or 1) < 1:
            raise ValueError("sizes must be at least 1, and 'epochs' at least 0")

    @property
    def longest(self) -> int:
        return min(self.max_history or LONGEST, LONGEST)

    @property
    def _width(self) -> int:
        size = self.transformer_size
        width = size if isinstance(size, int) else size.get("dialogue", 128)
        return width - width % self.heads

    @property
    def _batch_sizes(self) -> tuple[int, ...]:
        return (self.batch_sizes,) if isinstance(self.batch_sizes, int) else tuple(self.batch_sizes)

    # ---- learning ----

    def fit(self, windows: Sequence[Sequence[State]], targets: Array, labels: Sequence[str], loss: Loss) -> None:
        """Learn which labels follow each window of states, oldest first. `targets` is (windows, labels), 1 where so."""
        import torch

        self.labels = list(labels)
        table = _StateTable.of(windows, self.longest)
        self.features = table.features
        with _one_thread_each(torch):
            self.weights = self._descend(torch, table, targets, loss)

    def _descend(self, torch: Any, table: _StateTable, targets: Array, loss: Loss) -> dict[str, Array]:
        generator = torch.Generator().manual_seed(self.seed)
        weights = {
            name: torch.from_numpy(value).requires_grad_()
            for name, value in self._first_weights(np.random.default_rng(self.seed)).items()
        }
        rate, decay = self.learning_rate, self.weight_decay
        optimizer = torch.optim.AdamW(weights.values(), lr=rate, weight_decay=decay, fused=True)
        windows, there, y = map(torch.from_numpy, (table.windows, table.there, targets))
        numbers, values = map(torch.from_numpy, (table.numbers, table.values))
        time = windows.shape[1]
        smallest, largest = self._batch_sizes[0], self._batch_sizes[-1]
        for epoch in range(self.epochs):
            # As in Rasa, batches grow: small ones explore, large ones settle (Smith et al., 2018).
            size = round(smallest + (largest - smallest) * epoch / max(self.epochs - 1, 1))
            order = torch.randperm(len(y), generator=generator)
            for chosen in (order[start : start + size] for start in range(0, len(y), size)):
                states = windows[chosen].flatten()  # (batch * time)
                keep = torch.rand(values[states].shape, generator=generator) >= self.dropout
                h = torch.nn.functional.embedding_bag(
                    numbers[states], weights["input"], mode="sum", per_sample_weights=values[states] * keep
                ).reshape(len(chosen), time, -1)  # (batch, time, width)
                # Half of the dialogues are looked at from somewhere in their middle on: what was said last
                # must do where what went before is new.
                cut = torch.rand((len(chosen), 1), generator=generator).mul(2 * time).floor() - time
                recent = (torch.arange(time) >= cut) | (torch.arange(time) == time - 1)
                wrong = loss(torch, forward(weights, h, there[chosen] * recent, self.heads, torch), y[chosen])
                optimizer.zero_grad()
                wrong.backward()
                optimizer.step()
        return {name: value.detach().numpy() for name, value in weights.items()}

    def _first_weights(self, generator: np.random.Generator) -> dict[str, Array]:
        width, inner = self._width, 2 * self._width

        def matrix(rows: int, columns: int) -> Array:
            values: Array = (generator.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
            return values

        out = {
            "input": matrix(len(self.features), width),
            "positions": matrix(self.longest, width),
            "query": matrix(width, width),
            "key": matrix(width, width),
            "value": matrix(width, width),
            "out": matrix(width, width),
            "inner": matrix(width, inner),
            "outer": matrix(inner, width),
            "dialogue": matrix(width, self.embedding),
            "labels": matrix(self.embedding, len(self.labels)),
        }
        for norm in ("before", "between", "after"):
            out[f"{norm}_gain"] = np.ones(width, np.float32)
            out[f"{norm}_bias"] = np.zeros(width, np.float32)
        return out

    # ---- asking ----

    def similarities(self, states: Sequence[State]) -> Array:
        """How near each label is to the dialogue with these states, oldest first: (labels)."""
        window = states[-self.longest :]
        h = np.zeros((1, len(window), self._width), np.float32)
        for place, state in enumerate(window):
            for name, value in features_of(state).items():
                if name in self.features:
                    h[0, place] += value * self.weights["input"][self.features[name]]
        found: Array = forward(self.weights, h, np.ones((1, len(window)), np.float32), self.heads, np)[0]
        return found

    # ---- keeping ----

    def save(self, folder: Path, content: Mapping[str, Any]) -> None:
        """The weights, and `labels.json` with `content` beside the names of features and labels."""
        from safetensors.numpy import save_file

        save_file(self.weights, folder / "weights.safetensors")
        kept = {**content, "features": list(self.features), "labels": self.labels}
        (folder / "labels.json").write_bytes(orjson.dumps(kept))

    def load(self, folder: Path) -> dict[str, Any]:
        """What was saved; returns its `content`."""
        from safetensors.numpy import load_file

        self.weights = load_file(folder / "weights.safetensors")
        content: dict[str, Any] = orjson.loads((folder / "labels.json").read_bytes())
        self.features = {name: number for number, name in enumerate(content["features"])}
        self.labels = content["labels"]
        return content


@contextmanager
def _one_thread_each(torch: Any) -> Iterator[None]:
    """More threads would wait for each other longer than they work on matrices of this size.

    torch has one number for the whole process, and networks may learn beside each other: the last one out restores it.
    """
    global _learning, _threads
    with _LOCK:
        if _learning == 0:
            _threads = torch.get_num_threads()
            torch.set_num_threads(1)
        _learning += 1
    try:
        yield
    finally:
        with _LOCK:
            _learning -= 1
            if _learning == 0:
                torch.set_num_threads(_threads)


def forward(weights: Mapping[str, Any], h: Any, there: Any, heads: int, library: Any) -> Any:
    """How near each label is to each dialogue: (batch, labels). `library` is numpy or torch.

    `h` is (batch, time, width), the sum of each state's features, and `there` (batch, time): 1 where there is a state.
    Only the latest state asks, so it asks the states themselves (the keys' matrix turns the question instead of every
    state): attention costs time * heads * width, not time * width².
    """

    def norm(h: Any, name: str) -> Any:
        gain, bias = weights[f"{name}_gain"], weights[f"{name}_bias"]
        if library is not np:
            return library.nn.functional.layer_norm(h, gain.shape, gain, bias, eps=1e-6)
        centred = h - h.mean(-1)[..., None]
        scale = ((centred * centred).mean(-1)[..., None] + 1e-6) ** -0.5
        return centred * scale * gain + bias

    batch, time, width = h.shape
    each = width // heads
    h = h + weights["positions"][-time:]
    a = norm(h, "before")
    query = (a[:, -1] @ weights["query"]).reshape(batch, heads, each).swapaxes(0, 1)  # (heads, batch, width / heads)
    key = weights["key"].reshape(width, heads, each).swapaxes(0, 1)  # (heads, width, width / heads)
    value = weights["value"].reshape(width, heads, each).swapaxes(0, 1)
    asks = (query @ key.swapaxes(1, 2)).swapaxes(0, 1) * each**-0.5  # (batch, heads, width)
    scores = asks @ a.swapaxes(1, 2)  # (batch, heads, time)
    looks = library.exp(library.clip(scores, -30, 30)) * there[:, None]
    mixed = (looks / looks.sum(-1)[..., None]) @ a  # (batch, heads, width)
    seen = (mixed.swapaxes(0, 1) @ value).swapaxes(0, 1).reshape(batch, width)
    latest = h[:, -1] + seen @ weights["out"]
    inner = norm(latest, "between") @ weights["inner"]
    latest = latest + (inner * (inner > 0)) @ weights["outer"]
    return norm(latest, "after") @ weights["dialogue"] @ weights["labels"]


@dataclass(frozen=True, slots=True)
class _StateTable:
    """Each different state once. `numbers` and `values` are its features, (states, most features), filled up with
    zeros; `windows` and `there` are (windows, time), the latest state last."""

    features: dict[str, int]
    numbers: NDArray[np.int64]
    values: Array
    windows: NDArray[np.int64]
    there: Array

    @staticmethod
    def of(windows: Sequence[Sequence[State]], longest: int) -> _StateTable:
        known: dict[int, int] = {}
        states: list[State] = []
        by_content: dict[bytes, int] = {}
        time = max(min(len(window), longest) for window in windows)
        places = np.zeros((len(windows), time), np.int64)
        there = np.zeros((len(windows), time), np.float32)
        for row, window in enumerate(windows):
            kept = window[-time:]
            for column, state in enumerate(kept, time - len(kept)):
                number = known.get(id(state))
                if number is None:
                    content = orjson.dumps(state, option=orjson.OPT_SORT_KEYS)
                    number = known[id(state)] = by_content.setdefault(content, len(states))
                    if number == len(states):
                        states.append(state)
                places[row, column], there[row, column] = number, 1
        found = [features_of(state) for state in states]
        features = {name: number for number, name in enumerate(sorted({name for one in found for name in one}))}
        most = max((len(one) for one in found), default=0) or 1
        numbers = np.zeros((len(states), most), np.int64)
        values = np.zeros((len(states), most), np.float32)
        for row, one in enumerate(found):
            numbers[row, : len(one)] = [features[name] for name in one]
            values[row, : len(one)] = list(one.values())
        return _StateTable(features, numbers, values, places, there)


def features_of(state: State) -> dict[str, float]:
    """A state as named numbers: 1 for what is so, and the features of each slot. A text counts by its words."""
    found: dict[str, float] = {}
    user, action = state.get("user", {}), state.get("prev_action", {})
    named = [
        *([f"intent={user['intent']}"] if user.get("intent") else ()),
        *(f"word={word}" for word in words_of(user.get("text") or "")),
        *(f"entity={entity}" for entity in user.get("entities", ())),
        *(f"{kind}={name}" for kind, name in action.items() if name),
    ]
    loop = state.get("active_loop", {}).get("name")
    if loop and loop != NOT_SET:
        named.append(f"loop={loop}")
    found.update(dict.fromkeys(named, 1.0))
    for slot, values in state.get("slots", {}).items():
        if values != NOT_SET:
            found.update({f"slot={slot}[{number}]": float(value) for number, value in enumerate(values)})
    return found


def words_of(text: str) -> list[str]:
    """Words in small letters; a Chinese character is one."""
    return _WORD.findall(text.lower())


def joined(stories: Sequence[Story], count: int, seed: int) -> Iterator[Story]:
    """`count` dialogues made of stories one after the other, drawn at random: a customer rarely stops after one.

    As in Rasa, the bot does not listen between a story and one that begins with an action, which is not learnt.
    """
    whole = [story for story in stories if not any(isinstance(step, CheckpointStep) for step in story.steps)]
    draw = random.Random(seed)
    for number in range(count if len(whole) > 1 else 0):
        parts = [draw.choice(whole) for _ in range(draw.randint(2, MOST_JOINED))]
        steps = tuple(step for part in parts for step in opened(part.steps))
        yield Story(f"joined {number}", steps, source=parts[0].source)


def window_key(states: Iterable[State]) -> bytes:
    """The same for the same states."""
    return orjson.dumps(list(states), option=orjson.OPT_SORT_KEYS)
