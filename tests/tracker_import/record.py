"""Holds a few conversations with real Rasa 3.6.21 and writes down how its tracker stores and its export keep them.

Run by hand, with the Python 3.10 that `make conformance` sets up, and a `redis-server` on the path:

    .venv-rasa/bin/python tests/tracker_import/record.py

It writes into tests/tracker_import/recorded: rasa.sql (the SQL store, dumped), redis.json (every key and its text),
tracker.json (`GET /conversations/anna/tracker`) and export.jsonl (`rasa export` through the file broker).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", RASA_TELEMETRY_ENABLED="false")
warnings.filterwarnings("ignore")

HERE = Path(__file__).resolve().parent
OUT = HERE / "recorded"
# Whom, on which channel, and what they say: Anna is asked for the amount when the recording ends.
CONVERSATIONS = {
    "anna": ("rest", ["hello", "send money", "to Ben"]),
    "ben": ("socketio", ["send money", "to Carla", "20 euro", "rent for May"]),
    "42": ("telegram", ["hello", "send money"]),
}


def main() -> None:
    from rasa.model_training import train

    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        shutil.copytree(HERE / "project", folder)
        os.chdir(folder)
        model = train("domain.yml", "config.yml", ["data"], output="models", force_training=True).model
        port = free_port()
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", temporary]
        redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(port)
            asyncio.run(record(str(model), port))
        finally:
            redis.terminate()
            redis.wait()
            os.chdir(HERE)


async def record(model: str, port: int) -> None:
    from rasa.core.agent import Agent
    from rasa.core.brokers.file import FileEventBroker
    from rasa.core.exporter import Exporter
    from rasa.core.tracker_store import RedisTrackerStore, SQLTrackerStore
    from rasa.shared.core.trackers import EventVerbosity

    database, log = Path(os.getcwd()) / "rasa.db", OUT / "export.jsonl"
    log.unlink(missing_ok=True)
    agent = Agent.load(model)
    sql = SQLTrackerStore(agent.domain, db=str(database))
    for store in (sql, RedisTrackerStore(agent.domain, port=port, key_prefix="bank")):
        agent.tracker_store = store
        agent.processor.tracker_store = store
        await talk(agent)
        assert set(await store.keys()) >= (set(CONVERSATIONS) if store is sql else {"bank:tracker:anna"})
        keys = {key: store.red.get(key) for key in sorted(store.red.keys())} if store is not sql else {}
    (OUT / "redis.json").write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")
    tracker = await sql.retrieve_full_tracker("anna")
    state = tracker.current_state(EventVerbosity.ALL)
    (OUT / "tracker.json").write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    dump = "\n".join(sqlite3.connect(database).iterdump())
    (OUT / "rasa.sql").write_text(dump + "\n", encoding="utf-8")
    await Exporter(sql, FileEventBroker(str(log)), "endpoints.yml").publish_events()


async def talk(agent: Any) -> None:
    from rasa.core.channels.channel import CollectingOutputChannel, UserMessage

    for sender, (channel, texts) in CONVERSATIONS.items():
        for text in texts:
            output = CollectingOutputChannel()
            await agent.handle_message(UserMessage(text, output, sender_id=sender, input_channel=channel))
            print(sender, text, [one.get("text") for one in output.messages])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    logging.disable(logging.DEBUG)  # the file broker writes by way of logging.info
    main()
