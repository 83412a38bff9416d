import shutil

import numpy as np
import pytest

from bot.errors import ModelError
from bot.nlu.minilm import SHA256, MiniLM, model_folder

TEXTS = [
    "hi",
    "My card has not arrived yet, what should I do?",
    "",
    "transfer " * 400,
    "naïve café — 500€ 😀",
    "who's there",
    *(f"number {n} of many, so that several slices are read at the same time" for n in range(40)),
]


@pytest.fixture(scope="module")
def encoder():
    return MiniLM()


def test_the_encoder_agrees_with_transformers(encoder):
    import torch
    from transformers import AutoTokenizer, BertModel

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    model = BertModel.from_pretrained(model_folder()).eval()
    expected = []
    for text in TEXTS:
        words = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            pooled = model(**words).last_hidden_state[0].mean(0)
        expected.append((pooled / pooled.norm()).numpy())
    assert np.abs(encoder.encode(TEXTS) - np.stack(expected)).max() < 1e-4


def test_a_text_means_the_same_alone_and_in_a_batch(encoder):
    together = encoder.encode(TEXTS[:6])
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS[:6]])
    assert np.abs(together - alone).max() < 1e-5


def test_nothing_in_is_nothing_out(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_the_installed_weights_are_the_published_ones():
    assert SHA256.startswith("53aa5117")
    assert SHA256.endswith("d9db")


def test_weights_with_one_flipped_bit_are_refused(tmp_path):
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(model_folder() / name, tmp_path / name)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(ModelError, match="damaged"):
        MiniLM(tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    shutil.copy(model_folder() / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        MiniLM(tmp_path)
