"""Entities learned from examples, by a linear-chain conditional random field.

Lafferty, McCallum and Pereira, 2001, "Conditional Random Fields". crfsuite finds the weights; they
are kept as JSON and safetensors and read by a few lines of numpy here: the same labels as crfsuite's own
tagger, 0.05 ms later per message, and no native parser ever reads a model file.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.errors import ModelError
from bot.messages import Entity, Parse, Token
from bot.nlu.lexical_syntactic_featurizer import check_features
from bot.nlu.patterns import Match, Patterns
from bot.nlu.tokens import fine_tokens
from bot.training_data import Example, TrainingData

log = logging.getLogger(__name__)

KNOWN_FEATURES = (
    "low", "title", "prefix5", "prefix2", "suffix5", "suffix3", "suffix2", "suffix1", "bias", "upper", "digit",
    "pattern", "pos", "pos2", "text_dense_features", "entity",
)  # fmt: skip
Floats = NDArray[np.float32]
_IMPOSSIBLE = -1e4
_COMMAS = frozenset(",，、")


class Label(NamedTuple):
    """What a token is: B(egin), I(nside), L(ast) or U(nit) of an entity with its role and group, or O(utside)."""

    position: str
    entity: str = ""
    role: str = ""
    group: str = ""

    def continues(self, before: Label) -> bool:
        """Whether this token goes on with the entity of the token `before`."""
        return self.position in "IL" and before.position in "BI" and self[1:] == before[1:]


OUTSIDE = Label("O")


class CRFEntityExtractor:
    """Labels the smallest tokens of a text (see `fine_tokens`), so that every entity has its exact characters.

    `features` is Rasa's window of feature names (before, token, after); without it the extractor uses
    words, shapes, beginnings and ends, neighbours, the pipeline's own tokens, patterns and lookup
    tables. "pos", "pos2" and "text_dense_features" are accepted and say nothing here. With
    `split_entities_by_comma` (or `{entity: true}`) an entity ends at a comma, unless an example of that
    entity has a comma inside. An entity's confidence is that of its least certain token.
    """

    passes_over = ("featurizers",)

    needed_in_training = False
    extractor = "CRFEntityExtractor"  # the name on the entities; DIETClassifier puts its own

    def __init__(
        self,
        *,
        BILOU_flag: bool = True,
        split_entities_by_comma: bool | Mapping[str, bool] = True,
        features: Sequence[Sequence[str]] | None = None,
        max_iterations: int = 100,
        L1_c: float = 0.1,
        L2_c: float = 0.1,
    ) -> None:
        self._bilou = BILOU_flag
        self._split = split_entities_by_comma
        self._window = tuple(tuple(names) for names in features or ())
        check_features("CRFEntityExtractor", self._window, KNOWN_FEATURES)
        self._max_iterations = max_iterations
        self._l1 = L1_c
        self._l2 = L2_c
        self._patterns = Patterns()
        self._with_commas: frozenset[str] = frozenset()
        self._labels: list[Label] = []
        self._rows: dict[str, int] = {}
        self._state: Floats = np.zeros((0, 0), np.float32)  # (features, labels)
        self._transitions: Floats = np.zeros((0, 0), np.float32)  # (label before, label)
        self._chain = Chain(self._transitions, [])

    # ---- learning --------------------------------------------------------------------------------

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        examples = [_own_entities(example, self.extractor) for example in data.examples]
        if not any(example.entities for example in examples):
            log.info("%s: no example has an entity, nothing to learn", self.extractor)
            self._set_model([], [], {}, {})
            return
        self._patterns = Patterns.of(data, case_sensitive=False)
        self._with_commas = frozenset(
            entity.entity
            for example in examples
            for entity in example.entities
            if not _COMMAS.isdisjoint(example.text[entity.start : entity.end])
        )
        feature_ids: dict[str, int] = {}
        label_ids: dict[Label, int] = {}
        sequences: list[tuple[list[list[str]], list[str]]] = []
        for example, parse in zip(examples, parses, strict=True):
            tokens = fine_tokens(example.text)
            if not tokens:
                continue
            rows = self._features(example.text, tokens, parse)
            # crfsuite sees numbers: what a customer may type (spaces, colons) never meets its text format.
            xs = [[str(feature_ids.setdefault(name, len(feature_ids))) for name in row] for row in rows]
            ys = [str(label_ids.setdefault(label, len(label_ids))) for label in self._label(tokens, example)]
            sequences.append((xs, ys))
        state, transitions = _crfsuite(
            sequences,
            {"c1": self._l1, "c2": self._l2, "max_iterations": self._max_iterations},
        )
        self._set_model(list(label_ids), list(feature_ids), state, transitions)

    def _label(self, tokens: Sequence[Token], example: Example) -> list[Label]:
        labels = [OUTSIDE] * len(tokens)
        for entity in example.entities:
            inside = [i for i, token in enumerate(tokens) if token.start < entity.end and token.end > entity.start]
            names = (entity.entity, entity.role or "", entity.group or "")
            for i in inside:
                position = "B" if i == inside[0] else "I"
                if self._bilou and i == inside[-1]:
                    position = "U" if i == inside[0] else "L"
                labels[i] = Label(position, *names)
        return labels

    def _set_model(
        self,
        labels: Sequence[Label],
        features: Sequence[str],
        state: Mapping[tuple[int, int], float],
        transitions: Mapping[tuple[int, int], float],
    ) -> None:
        used = sorted({feature for feature, _ in state})  # L1 has brought most weights to zero
        row = {feature: i for i, feature in enumerate(used)}
        self._labels = list(labels)
        self._rows = {features[feature]: i for feature, i in row.items()}
        self._state = np.zeros((len(used), len(labels)), np.float32)
        for (feature, label), weight in state.items():
            self._state[row[feature], label] = weight
        self._transitions = np.zeros((len(labels), len(labels)), np.float32)
        for (before, label), weight in transitions.items():
            self._transitions[before, label] = weight
        self._chain = Chain(self._transitions, self._labels)

    # ---- what the model looks at -----------------------------------------------------------------

    def _features(self, text: str, tokens: Sequence[Token], parse: Parse) -> list[list[str]]:
        """For each token, the names of the features that it has."""
        matched = _covering(tokens, self._patterns.find(text))
        window = self._window or parse.features.get("LexicalSyntacticFeaturizer", ())
        rows: list[list[str]] = [[] for _ in tokens] if self._window else _default_features(tokens, parse.tokens)
        for i, names in enumerate(matched):
            for offset in (-1, 0, 1) if names else ():
                if 0 <= i + offset < len(tokens) and (not self._window or "pattern" in self._window[-1]):
                    rows[i + offset].extend(f"{-offset}:pattern={name}" for name in names)
        if window:
            middle = len(window) // 2
            for i, row in enumerate(rows):
                for k, names_at in enumerate(window):
                    j = i + k - middle
                    if 0 <= j < len(tokens):
                        row.extend(f"{k - middle}:{name}={_named(name, tokens[j].text)}" for name in names_at)
                    else:
                        row.append("BOS" if j < 0 else "EOS")
        return rows

    # ---- finding ---------------------------------------------------------------------------------

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            parse.entities.extend(self.extract(parse))

    def extract(self, parse: Parse) -> list[Entity]:
        """The entities of one text, in order, none overlapping."""
        tokens = fine_tokens(parse.text) if self._labels else []
        if not tokens:
            return []
        emissions = self._emissions(self._features(parse.text, tokens, parse))  # (tokens, labels)
        path = self._chain.best(emissions)
        labels = [self._labels[i] for i in path]
        spans = self._spans(tokens, labels)
        if not spans:
            return []
        marginals = self._chain.marginals(emissions)  # (tokens, labels)
        alike = [[j for j, other in enumerate(self._labels) if other[1:] == label[1:]] for label in labels]
        sure = [float(marginals[t, columns].sum()) for t, columns in enumerate(alike)]
        return [
            Entity(
                entity=labels[first].entity,
                value=parse.text[tokens[first].start : tokens[last].end],
                start=tokens[first].start,
                end=tokens[last].end,
                confidence=min(1.0, *sure[first : last + 1]),
                role=labels[first].role or None,
                group=labels[first].group or None,
                extractor=self.extractor,
            )
            for first, last in spans
        ]

    def _emissions(self, rows: Sequence[Sequence[str]]) -> Floats:
        known = self._rows
        out = np.zeros((len(rows), len(self._labels)), np.float32)
        for t, row in enumerate(rows):
            columns = [known[name] for name in row if name in known]
            if columns:
                out[t] = self._state[columns].sum(axis=0)
        return out

    def _spans(self, tokens: Sequence[Token], labels: Sequence[Label]) -> list[tuple[int, int]]:
        """First and last token of each entity."""
        spans: list[tuple[int, int]] = []
        for i, label in enumerate(labels):
            if label.position == "O" or (tokens[i].text in _COMMAS and self._splits(label.entity, tokens, i)):
                continue
            if spans and spans[-1][1] == i - 1 and label.continues(labels[i - 1]):
                spans[-1] = (spans[-1][0], i)
            else:
                spans.append((i, i))
        return spans

    def _splits(self, entity: str, tokens: Sequence[Token], i: int) -> bool:
        """Whether the comma at `i` ends an entity; one inside a number ("1,000") does not."""
        split = self._split if isinstance(self._split, bool) else self._split.get(entity, True)
        in_number = 0 < i < len(tokens) - 1 and tokens[i - 1].end == tokens[i].start and tokens[i + 1].text.isdigit()
        return split and entity not in self._with_commas and not (in_number and tokens[i - 1].text.isdigit())

    # ---- the model's files -----------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        description = {
            "labels": self._labels,
            "features": list(self._rows),
            "window": self._window,
            "with_commas": sorted(self._with_commas),
            "patterns": self._patterns.to_json(),
        }
        (folder / "crf.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
        save_file({"state": self._state, "transitions": self._transitions}, folder / "crf.safetensors")

    def load(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        description = json.loads((folder / "crf.json").read_text(encoding="utf-8"))
        try:
            weights = load_file(folder / "crf.safetensors")
        except SafetensorError as error:
            raise ModelError(f"'{folder / 'crf.safetensors'}' is damaged, train again: {error}") from error
        size = len(description["labels"])
        shapes = {"state": (len(description["features"]), size), "transitions": (size, size)}
        if {name: weight.shape for name, weight in weights.items()} != shapes:
            raise ModelError(f"'{folder}' is damaged, train again: crf.json and crf.safetensors do not fit together")
        self._labels = [Label(*label) for label in description["labels"]]
        self._rows = {name: i for i, name in enumerate(description["features"])}
        self._window = tuple(tuple(names) for names in description["window"])
        self._with_commas = frozenset(description["with_commas"])
        self._patterns = Patterns.from_json(description["patterns"])
        self._state, self._transitions = weights["state"], weights["transitions"]
        self._chain = Chain(self._transitions, self._labels)


class Chain:
    """The labels of a sequence under transition weights and BILOU's grammar (an L follows a B or I, …)."""

    def __init__(self, transitions: Floats, labels: Sequence[Label]) -> None:
        bilou = any(label.position in "LU" for label in labels)
        self._between = transitions.copy()  # (label before, label)
        self._first = np.zeros(len(labels), np.float32)
        self._last = np.zeros(len(labels), np.float32)
        for j, label in enumerate(labels):
            if label.position in "IL":
                self._first[j] = _IMPOSSIBLE
            if bilou and label.position in "BI":
                self._last[j] = _IMPOSSIBLE
            for i, before in enumerate(labels):
                must_go_on = bilou and before.position in "BI"
                if (label.position in "IL" or must_go_on) and not label.continues(before):
                    self._between[i, j] = _IMPOSSIBLE

    def best(self, emissions: Floats) -> list[int]:
        """The most likely labels of (tokens, labels) emissions, by Viterbi."""
        backwards: list[NDArray[np.intp]] = []
        weight = emissions[0] + self._first
        for emission in emissions[1:]:
            through = weight[:, None] + self._between  # (label before, label)
            backwards.append(through.argmax(axis=0))
            weight = through.max(axis=0) + emission
        path = [int((weight + self._last).argmax())]
        for pointers in reversed(backwards):
            path.append(int(pointers[path[-1]]))
        return path[::-1]

    def marginals(self, emissions: Floats) -> NDArray[np.float64]:
        """How sure each label of each token is: (tokens, labels), rows add up to 1; forward-backward."""
        local = np.exp((emissions - emissions.max(axis=1, keepdims=True)).astype(np.float64))
        between = np.exp(self._between.astype(np.float64))
        forward, backward = np.empty_like(local), np.empty_like(local)
        forward[0] = local[0] * np.exp(self._first)
        for t in range(1, len(local)):
            forward[t] = (forward[t - 1] / forward[t - 1].sum()) @ between * local[t]
        backward[-1] = np.exp(self._last)
        for t in range(len(local) - 2, -1, -1):
            onward = between @ (local[t + 1] * backward[t + 1])
            backward[t] = onward / onward.sum()
        both = forward * backward
        return np.asarray(both / both.sum(axis=1, keepdims=True))


def _own_entities(example: Example, extractor: str) -> Example:
    """Without the entities that the example leaves to another extractor."""
    mine = tuple(entity for entity in example.entities if entity.extractor in (None, extractor))
    return replace(example, entities=mine)


def _covering(tokens: Sequence[Token], matches: Sequence[Match]) -> list[list[str]]:
    """For each token, the names of the matches that it is part of."""
    names: list[list[str]] = [[] for _ in tokens]
    for match in matches:
        for i, token in enumerate(tokens):
            if token.start < match.end and token.end > match.start:
                names[i].append(match.name)
    return names


def _default_features(tokens: Sequence[Token], words: Sequence[Token]) -> list[list[str]]:
    """Word, shape, beginnings, ends, the tokenizer's word around it, and two neighbours on each side."""
    low = [token.text.lower() for token in tokens]
    shapes = [_shape(token.text) for token in tokens]
    around = _words_around(tokens, words)
    last = len(tokens) - 1
    rows: list[list[str]] = []
    for i, word in enumerate(low):
        row = ["bias", f"w={word}", f"s={shapes[i]}"]
        if not word.isdigit() and len(word) > 1:
            row += [f"p{n}={word[:n]}" for n in (2, 3, 5)] + [f"e{n}={word[-n:]}" for n in (1, 2, 3, 5)]
        if around[i]:
            row.append(around[i])
        row.append(f"-1w={low[i - 1]}" if i else "first")
        row.append(f"+1w={low[i + 1]}" if i < last else "last")
        if i:
            row += [f"-1s={shapes[i - 1]}", f"-1e3={low[i - 1][-3:]}", f"-1w,w={low[i - 1]} {word}"]
            row.append(f"-2w={low[i - 2]}" if i > 1 else "second")
        if i > 1:
            row += [f"-2s={shapes[i - 2]}", f"-2w,-1w={low[i - 2]} {low[i - 1]}"]
        if i < last:
            row += [f"+1s={shapes[i + 1]}", f"+1e3={low[i + 1][-3:]}", f"w,+1w={word} {low[i + 1]}"]
        if i < last - 1:
            row += [f"+2w={low[i + 2]}", f"+2s={shapes[i + 2]}", f"+1w,+2w={low[i + 1]} {low[i + 2]}"]
        rows.append(row)
    return rows


def _shape(text: str) -> str:
    """ "Xx" for "London", "dd" for "23", "dx" for "5pm", "d4" for long numbers of one length."""
    if text.isdigit():
        return f"d{len(text)}"
    out = ""
    for character in text[:20]:
        kind = (
            "d" if character.isdigit()
            else "X" if character.isupper()
            else "x" if character.islower()
            else "c" if character.isalpha()
            else character
        )  # fmt: skip
        if not out.endswith(kind):
            out += kind
    return out


def _words_around(tokens: Sequence[Token], words: Sequence[Token]) -> list[str]:
    """The pipeline's own token that each fine token is a smaller part of ("" where they are the same)."""
    out = [""] * len(tokens)
    k = 0
    for i, token in enumerate(tokens):
        while k < len(words) and words[k].end <= token.start:
            k += 1
        if k < len(words) and words[k].start <= token.start and token.end <= words[k].end:
            word = words[k]
            if word.end - word.start > token.end - token.start:
                out[i] = f"{'B' if word.start == token.start else 'I'} {word.text.lower()}"
    return out


def _named(name: str, text: str) -> str:
    """The value of one of Rasa's features."""
    match name:
        case "low":
            return text.lower()
        case "title" | "upper" | "digit":
            return str({"title": text.istitle, "upper": text.isupper, "digit": text.isdigit}[name]())
        case _ if name.startswith("prefix"):
            return text[: int(name[6:])]
        case _ if name.startswith("suffix"):
            return text[-int(name[6:]) :]
        case _:
            return ""


def _crfsuite(
    sequences: Sequence[tuple[list[list[str]], list[str]]], options: Mapping[str, float]
) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """Weights by (feature, label) and by (label before, label), learned by L-BFGS."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(dict(options))
    for features, labels in sequences:
        trainer.append(features, labels)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "crf")
        trainer.train(file)
        tagger = pycrfsuite.Tagger()
        with tagger.open(file):
            learned = tagger.info()
    state = {(int(feature), int(label)): weight for (feature, label), weight in learned.state_features.items()}
    between = {(int(before), int(label)): weight for (before, label), weight in learned.transitions.items()}
    return state, between
