"""`event_broker` of endpoints.yml and config.yml means what it means in Rasa."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.brokers import open_broker
from bot.brokers.file import FileBroker
from bot.component_config import ComponentConfig
from bot.config import load_config
from bot.errors import ConfigError
from bot.project import load_project
from bot.training import open_store
from bot.yaml_file import Problems


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RASA_ENVIRONMENT", "RABBITMQ_SSL_CLIENT_CERTIFICATE", "RABBITMQ_SSL_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, **files: str) -> Path:
    files = {"config": "language: en\n", **files}
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return folder


def broker_of(folder: Path, problems: Problems | None = None, **files: str) -> ComponentConfig | None:
    problems = problems or Problems()
    found = load_config(write(folder, **files), problems).event_broker
    problems.raise_errors()
    return found


RASAS = {
    "rabbitmq": """
event_broker:
  type: pika
  url: localhost
  username: username
  password: password
  queues:
    - queue-1
  exchange_name: exchange
  should_keep_unpublished_messages: true
  raise_on_failure: false
  connection_attempts: 20
  retry_delay_in_seconds: 5
""",
    "kafka": """
event_broker:
  type: kafka
  security_protocol: SASL_SSL
  topic: topic
  url: localhost
  partition_by_sender: True
  client_id: kafka-python-rasa
  sasl_username: username
  sasl_password: password
  sasl_mechanism: PLAIN
  ssl_cafile: CARoot.pem
  ssl_certfile: certificate.pem
  ssl_keyfile: key.pem
  ssl_check_hostname: True
  queue_size: 1000
""",
    "sql": """
event_broker:
  type: SQL
  dialect: sqlite
  db: events.db
""",
    "file": """
event_broker:
  type: file
  path: rasa_event.log
""",
}
"""As Rasa's documentation has them."""


@pytest.mark.parametrize("name", sorted(RASAS))
def test_rasas_settings_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    problems = Problems(strict=False)
    found = broker_of(tmp_path, problems, endpoints=RASAS[name])
    assert found is not None
    assert found.name == name
    assert problems.warnings == []


def test_without_a_type_it_is_rabbitmqs(tmp_path: Path) -> None:
    found = broker_of(tmp_path, endpoints="event_broker: {url: localhost, username: u, password: p, queues: q}\n")
    assert found is not None
    assert found.name == "rabbitmq"


def test_no_broker_is_the_default(tmp_path: Path) -> None:
    assert broker_of(tmp_path) is None
    assert broker_of(tmp_path, endpoints="event_broker:\n") is None


def test_config_yml_names_one_too(tmp_path: Path) -> None:
    config = "event_broker: {type: redis, url: localhost, stream: events}\n"
    found = broker_of(tmp_path, config=config, endpoints="event_broker: {type: file}\n")
    assert found is not None
    assert (found.name, found.options) == ("redis", {"url": "localhost", "stream": "events"})


def test_what_rasa_has_in_the_environment_is_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASA_ENVIRONMENT", "staging")
    monkeypatch.setenv("RABBITMQ_SSL_CLIENT_CERTIFICATE", "client.pem")
    monkeypatch.setenv("RABBITMQ_SSL_CLIENT_KEY", "client.key")
    found = broker_of(tmp_path, endpoints="event_broker: {type: pika, url: localhost, environment: mine}\n")
    assert found is not None
    assert found.options == {
        "url": "localhost",
        "environment": "mine",
        "ssl_certfile": "client.pem",
        "ssl_keyfile": "client.key",
    }
    kafka = broker_of(tmp_path, endpoints="event_broker: {type: kafka, url: localhost}\n")
    assert kafka is not None
    assert kafka.options == {"url": "localhost", "environment": "staging"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{type: kafak, url: x}", "endpoints.yml:1: there is no event broker called 'kafak'. Did you mean 'kafka'?"),
        ("{type: kafka, topc: x, url: x}", "there is no option of kafka called 'topc'. Did you mean 'topic'?"),
        ("{type: kafka}", "endpoints.yml:1: kafka needs the option 'url'"),
        ("{type: sql, db: 7}", "endpoints.yml:1: 'db' of sql must be text, not the number 7"),
        ("yes", "endpoints.yml:1: 'event_broker'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, section: str, message: str) -> None:
    problems = Problems()
    load_config(write(tmp_path, endpoints=f"event_broker: {section}\n"), problems)
    [mistake] = [*problems.errors, *problems.warnings]
    assert message in str(mistake)


def test_a_broker_written_for_rasa_is_told_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rasa_broker.py").write_text("from rasa.core.brokers.broker import EventBroker\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    problems = Problems()
    assert broker_of(tmp_path, problems, endpoints="event_broker: {type: own_rasa_broker.Own, url: x}\n") is None
    [warning] = problems.warnings
    assert "no events go out" in str(warning)
    assert "async def publish(self, events)" in str(warning)


OWN = """
class Own:
    def __init__(self, *, url: str) -> None:
        self.url = url

    async def publish(self, events): ...

    async def close(self): ...
"""


def test_a_broker_of_the_users_own_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_broker.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    broker: Any = opened(tmp_path, "{type: 'own_broker:Own', url: 'https://events.example'}")
    assert broker.url == "https://events.example"


def test_a_file_lies_in_the_projects_folder(tmp_path: Path) -> None:
    broker = opened(tmp_path, "{type: file, path: events.log}")
    assert isinstance(broker, FileBroker)
    asyncio.run(broker.publish([]))
    assert (tmp_path / "events.log").exists()


def test_a_package_that_is_missing_is_told_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'frontdesk\[kafka\]'"):
        opened(tmp_path, "{type: kafka, url: localhost, security_protocol: PLAINTEXT}")


def opened(folder: Path, section: str) -> Any:
    return open_broker(load_project(write(folder, endpoints=f"event_broker: {section}\n", **PROJECT)))


PROJECT = {"domain": "intents: [greet]\n", "config": "language: en\npipeline: [{name: WhitespaceTokenizer}]\n"}


@pytest.mark.parametrize("has_broker", [True, False])
def test_the_store_keeps_a_feed_where_there_is_a_broker(tmp_path: Path, has_broker: bool) -> None:
    endpoints = "event_broker: {type: file}\n" if has_broker else "\n"
    store: Any = open_store(load_project(write(tmp_path, endpoints=endpoints, **PROJECT)))
    assert store._feeds == has_broker
    asyncio.run(store.close())
