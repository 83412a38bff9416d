"""TEDPolicy: what comes next in a dialogue that no story tells word for word, by the Transformer Embedding Dialogue.

Each state (intent, entities, slots, the latest action, the running form) becomes a vector; the latest one
looks back at those before it (attention); what comes out lies in one space with the actions, and the
nearest is taken (Vlasov, Mosig and Nichol, 2019, "Dialogue Transformers"). Trained in PyTorch on the stories
and on stories joined at random; asked in numpy, so that a serving process never imports PyTorch. `forward`
is the network for both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bot.domain import Domain
from bot.interfaces import Prediction
from bot.policies.memoization_policy import rule_only
from bot.policies.training_dialogues import SNIPPET, unroll
from bot.registry import NETWORK_OPTIONS
from bot.states import LONGEST, NOT_SET, State, story_states
from bot.tracker import Tracker
from bot.training_data import CheckpointStep, Rule, Story

Array = NDArray[np.float32]
Window = tuple[State, ...]
SMOOTHING = 0.1
"""What the right action leaves to the others in training, so that nothing is ever quite certain."""
MOST_JOINED = 3
"""Stories in one that augmentation makes."""


class TEDPolicy:
    """It has nothing to say after an intent that is in no story.

    Options are Rasa's. `max_history` is how many states are looked at (None: all, up to 60), and
    `augmentation` how many times ten stories are joined at random. An action is as sure as its share of
    what all actions get (softmax). Further options of Rasa's network are accepted and change nothing.
    """

    passes_over = NETWORK_OPTIONS

    def __init__(
        self,
        *,
        priority: int = 1,
        max_history: int | None = None,
        epochs: int = 1,
        batch_size: Sequence[int] | int = (64, 256),
        learning_rate: float = 0.001,
        transformer_size: Mapping[str, int] | int = 128,
        number_of_attention_heads: int = 4,
        embedding_dimension: int = 20,
        regularization_constant: float = 0.001,
        drop_rate_dialogue: float = 0.1,
        augmentation: int = 50,
        random_seed: int | None = None,
        seed: int = 0,
    ) -> None:
        self.priority = priority
        self._max_history = min(max_history or LONGEST, LONGEST)
        self._epochs = epochs
        self._batch_sizes = (batch_size, batch_size) if isinstance(batch_size, int) else tuple(batch_size)
        self._learning_rate = learning_rate
        width = transformer_size if isinstance(transformer_size, int) else transformer_size.get("dialogue", 128)
        self._heads = number_of_attention_heads
        if number_of_attention_heads < 1:
            raise ValueError("'number_of_attention_heads' must be at least 1")
        self._width = width - width % number_of_attention_heads
        if min(self._width, *self._batch_sizes, embedding_dimension, epochs + 1, max_history or 1) < 1:
            raise ValueError("sizes must be at least 1, and 'epochs' at least 0")
        self._embedding = embedding_dimension
        self._weight_decay = regularization_constant
        self._dropout = drop_rate_dialogue
        self._augmentation = augmentation
        self._seed = seed if random_seed is None else random_seed
        self._features: dict[str, int] = {}
        self._actions: list[str] = []
        self._weights: dict[str, Array] = {}
        self._rule_slots: frozenset[str] = frozenset()
        self._rule_loops: frozenset[str] = frozenset()

    # ---- learning ----

    def train(self, stories: Sequence[Story], rules: Sequence[Rule], domain: Domain) -> None:
        self._rule_slots, self._rule_loops = rule_only(unroll(stories, rules, domain))
        examples = self._examples([*stories, *joined(stories, self._augmentation * 10, self._seed)], domain)
        if not examples:
            return
        self._actions = sorted({action for _, action in examples})
        names = sorted({name for window, _ in examples for state in window for name in features_of(state)})
        self._features = {name: number for number, name in enumerate(names)}
        windows, there = self._arrays([window for window, _ in examples])
        labels = np.array([self._actions.index(action) for _, action in examples])
        self._weights = self._fit(windows, there, labels)

    def _examples(self, stories: Sequence[Story], domain: Domain) -> list[tuple[Window, str]]:
        """Each different window of states with the action that followed it."""
        found: dict[bytes, tuple[Window, str]] = {}
        for dialogue in unroll(stories, (), domain):
            for states, step in dialogue.prefixes():
                if step.action == SNIPPET:
                    continue
                window = tuple(states[-self._max_history :])
                key = orjson.dumps([window, step.action], option=orjson.OPT_SORT_KEYS)
                found.setdefault(key, (window, step.action))
        return list(found.values())

    def _fit(self, windows: Array, there: Array, labels: NDArray[np.int64]) -> dict[str, Array]:
        import torch

        # More threads would wait for each other longer than they work on matrices of this size.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._descend(torch, windows, there, labels)
        finally:
            torch.set_num_threads(threads)

    def _descend(self, torch: Any, windows: Array, there: Array, labels: NDArray[np.int64]) -> dict[str, Array]:
        generator = torch.Generator().manual_seed(self._seed)
        weights = {
            name: torch.from_numpy(value).requires_grad_()
            for name, value in self._first_weights(np.random.default_rng(self._seed)).items()
        }
        optimizer = torch.optim.AdamW(weights.values(), lr=self._learning_rate, weight_decay=self._weight_decay)
        x, mask, y = torch.from_numpy(windows), torch.from_numpy(there), torch.from_numpy(labels)
        time = x.shape[1]
        smallest, largest = self._batch_sizes[0], self._batch_sizes[-1]
        for epoch in range(self._epochs):
            # As in Rasa, batches grow: small ones explore, large ones settle (Smith et al., 2018).
            size = round(smallest + (largest - smallest) * epoch / max(self._epochs - 1, 1))
            order = torch.randperm(len(y), generator=generator)
            for chosen in (order[start : start + size] for start in range(0, len(y), size)):
                keep = torch.rand(x[chosen].shape, generator=generator) >= self._dropout
                # Half of the dialogues are looked at from somewhere in their middle on: what was said last
                # must do where what went before is new.
                cut = torch.rand((len(chosen), 1), generator=generator).mul(2 * time).floor() - time
                recent = (torch.arange(time) >= cut) | (torch.arange(time) == time - 1)
                similarities = forward(weights, x[chosen] * keep, mask[chosen] * recent, self._heads, torch)
                loss = torch.nn.functional.cross_entropy(similarities, y[chosen], label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return {name: value.detach().numpy() for name, value in weights.items()}

    def _first_weights(self, generator: np.random.Generator) -> dict[str, Array]:
        width, inner = self._width, 2 * self._width

        def matrix(rows: int, columns: int) -> Array:
            values: Array = (generator.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
            return values

        out = {
            "input": matrix(len(self._features), width),
            "positions": matrix(self._max_history, width),
            "query": matrix(width, width),
            "key": matrix(width, width),
            "value": matrix(width, width),
            "out": matrix(width, width),
            "inner": matrix(width, inner),
            "outer": matrix(inner, width),
            "dialogue": matrix(width, self._embedding),
            "actions": matrix(self._embedding, len(self._actions)),
        }
        for norm in ("before", "between", "after"):
            out[f"{norm}_gain"] = np.ones(width, np.float32)
            out[f"{norm}_bias"] = np.zeros(width, np.float32)
        return out

    def _arrays(self, windows: Sequence[Window]) -> tuple[Array, Array]:
        """(windows, time, features), the latest state last, and (windows, time): 1 where there is a state."""
        time = max(map(len, windows))
        x = np.zeros((len(windows), time, len(self._features)), np.float32)
        there = np.zeros((len(windows), time), np.float32)
        for number, window in enumerate(windows):
            for place, state in enumerate(window, time - len(window)):
                there[number, place] = 1
                for name, value in features_of(state).items():
                    if name in self._features:
                        x[number, place, self._features[name]] = value
        return x, there

    # ---- deciding ----

    def predict(self, tracker: Tracker, domain: Domain) -> Prediction | None:
        intent = tracker.latest_message.intent_name if tracker.latest_message else None
        if not self._weights or (intent and f"intent={intent}" not in self._features):
            return None
        states = story_states(tracker.history, tracker.state(), self._rule_slots, self._rule_loops)
        x, there = self._arrays([tuple(states[-self._max_history :])])
        similarities: Array = forward(self._weights, x, there, self._heads, np)[0]
        shares = np.exp(similarities - similarities.max())
        best = int(shares.argmax())
        return Prediction(self._actions[best], float(shares[best] / shares.sum()), type(self).__name__)

    # ---- keeping ----

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self._weights, folder / "weights.safetensors")
        content = {
            "features": list(self._features),
            "actions": self._actions,
            "rule_slots": sorted(self._rule_slots),
            "rule_loops": sorted(self._rule_loops),
        }
        (folder / "labels.json").write_bytes(orjson.dumps(content))

    def load(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        self._weights = load_file(folder / "weights.safetensors")
        content = orjson.loads((folder / "labels.json").read_bytes())
        self._features = {name: number for number, name in enumerate(content["features"])}
        self._actions = content["actions"]
        self._rule_slots = frozenset(content["rule_slots"])
        self._rule_loops = frozenset(content["rule_loops"])


def forward(weights: Mapping[str, Any], x: Any, there: Any, heads: int, library: Any) -> Any:
    """How near each action is to each dialogue: (batch, actions). `library` is numpy or torch.

    `x` is (batch, time, features) and `there` (batch, time). Only the latest state asks, so attention
    costs no more than the dialogue is long.
    """

    def norm(h: Any, name: str) -> Any:
        centred = h - h.mean(-1)[..., None]
        scale = ((centred * centred).mean(-1)[..., None] + 1e-6) ** -0.5
        return centred * scale * weights[f"{name}_gain"] + weights[f"{name}_bias"]

    batch, time, _ = x.shape
    h = x @ weights["input"] + weights["positions"][-time:]  # (batch, time, width)
    a = norm(h, "before")
    query = (a[:, -1] @ weights["query"]).reshape(batch, heads, 1, -1)  # (batch, heads, 1, width / heads)
    key = (a @ weights["key"]).reshape(batch, time, heads, -1).swapaxes(1, 2)  # (batch, heads, time, width / heads)
    value = (a @ weights["value"]).reshape(batch, time, heads, -1).swapaxes(1, 2)
    scores = query @ key.swapaxes(2, 3) * query.shape[-1] ** -0.5  # (batch, heads, 1, time)
    looks = library.exp(library.clip(scores, -30, 30)) * there[:, None, None]
    seen = ((looks / looks.sum(-1)[..., None]) @ value).reshape(batch, -1)  # (batch, width)
    latest = h[:, -1] + seen @ weights["out"]
    inner = norm(latest, "between") @ weights["inner"]
    latest = latest + (inner * (inner > 0)) @ weights["outer"]
    return norm(latest, "after") @ weights["dialogue"] @ weights["actions"]


def features_of(state: State) -> dict[str, float]:
    """A state as named numbers: 1 for what is so, and the features of each slot."""
    found: dict[str, float] = {}
    user, action = state.get("user", {}), state.get("prev_action", {})
    named = [
        *(f"{kind}={user[kind]}" for kind in ("intent", "text") if user.get(kind)),
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


def joined(stories: Sequence[Story], count: int, seed: int) -> Iterator[Story]:
    """`count` dialogues made of stories one after the other, drawn at random: a customer rarely stops after one."""
    whole = [story for story in stories if not any(isinstance(step, CheckpointStep) for step in story.steps)]
    draw = random.Random(seed)
    for number in range(count if len(whole) > 1 else 0):
        parts = [draw.choice(whole) for _ in range(draw.randint(2, MOST_JOINED))]
        steps = tuple(step for part in parts for step in part.steps)
        yield Story(f"joined {number}", steps, source=parts[0].source)
