"""`frontdesk keys`: a new one, and everything under the first of them."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.commands import load
from bot.errors import ConfigError, StoreError
from bot.messages import UserMessage
from bot.stores.sealing import Seal, new_key
from bot.stores.sqlite import SQLiteStore
from bot.training import open_store

CONFIG = """
domains: []
pipeline: [{name: KeywordIntentClassifier}]
policies: [{name: RulePolicy}]
store: {type: sqlite, encryption_keys: "${FRONTDESK_KEYS:-}"}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config.yml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "domain.yml").write_text("intents: [greet]\n", encoding="utf-8")
    return tmp_path


def rotate(root: Path, keys: str) -> str:
    result = CliRunner().invoke(app, ["keys", "rotate", "--project", str(root)], env={"FRONTDESK_KEYS": keys})
    if result.exception:
        raise result.exception
    return result.stdout


def accept(root: Path, text: str, keys: str = "") -> None:
    async def accepted() -> None:
        store = SQLiteStore(root / "frontdesk.db", encryption_keys=keys)
        await store.accept(UserMessage(text))
        await store.close()

    asyncio.run(accepted())


def test_a_new_key_can_be_put_into_the_environment_as_it_is_printed() -> None:
    result = CliRunner().invoke(app, ["keys", "new"])
    key = result.stdout.strip()
    assert Seal(key).key_ids[0] in result.stderr
    assert key not in result.stderr


def test_what_is_stored_is_encrypted_with_the_first_key(root: Path) -> None:
    old, new = new_key(), new_key()
    (old_id, new_id) = Seal(f"{old},{new}").key_ids
    accept(root, "before there were keys")
    assert rotate(root, old) == f"1 piece encrypted anew: all is under the key {old_id} now.\n"
    accept(root, "with the old key", old)
    assert rotate(root, f"{new},{old}").splitlines() == [
        f"2 pieces encrypted anew: all is under the key {new_id} now.",
        f"Nothing needs the other key any more: {old_id}.",
    ]
    assert rotate(root, new) == f"0 pieces encrypted anew: all is under the key {new_id} now.\n"


def test_there_must_be_keys(root: Path) -> None:
    with pytest.raises(ConfigError, match="there are no keys: 'store' needs 'encryption_keys'"):
        rotate(root, "")


def test_what_an_unknown_key_has_encrypted_is_said(root: Path) -> None:
    old = new_key()
    accept(root, "hi", old)
    with pytest.raises(StoreError, match=Seal(old).key_ids[0]):
        rotate(root, new_key())


def test_keys_in_the_configuration_are_not_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    monkeypatch.setenv("FRONTDESK_KEYS", key)
    project = load(root)
    assert key[:8] not in repr(project.config)
    store = open_store(project)
    assert isinstance(store, SQLiteStore)
    asyncio.run(store.close())


def test_a_wrong_key_is_told_with_its_place_and_without_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONTDESK_KEYS", "geheim")
    with pytest.raises(ConfigError, match=r"config\.yml:5: key 1 of 'encryption_keys' is of 4 bytes") as caught:
        open_store(load(root))
    assert "geheim" not in str(caught.value)
