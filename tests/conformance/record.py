"""Holds every case's dialogues with real Rasa and writes down what it did: `record.py [--new] [name-prefix …]`.

Run by `make conformance` with a Python 3.10 that has rasa 3.6.21. Actions run on the real rasa-sdk server.
With `--times FILE`, how long Rasa took for each case is written there, for `compare.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", RASA_TELEMETRY_ENABLED="false", LOG_LEVEL="CRITICAL"
)
warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from case import HERE, Case, normalised, read_cases, write_project  # noqa: E402

TIMES: dict[str, dict[str, Any]] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="how the names of the wanted cases begin; default: all")
    parser.add_argument("--new", action="store_true", help="only cases that have no recording yet, or have changed")
    parser.add_argument("--times", type=Path)
    given = parser.parse_args()
    wanted = tuple(given.names)
    for case in read_cases():
        file = HERE / "recordings" / (case.name + ".json")
        if (wanted and not case.name.startswith(wanted)) or (given.new and is_recorded(case, file)):
            continue
        started = time.perf_counter()
        recording = record(case)
        file.write_text(json.dumps(recording, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        told = recording.get("error") or "{} dialogues".format(len(recording["dialogues"]))
        print(f"{case.name:40} {time.perf_counter() - started:6.1f} s  {told}", flush=True)
    if given.times:
        given.times.write_text(json.dumps(TIMES, indent=1), encoding="utf-8")


def is_recorded(case: Case, file: Path) -> bool:
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["digest"] == case.digest


def record(case: Case) -> dict[str, Any]:
    """`{"digest", "dialogues": [{"replies", "events"}]}`, or `error` where Rasa refuses to train."""
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_project(case, folder)
        os.chdir(folder)
        server = None
        try:
            endpoint = None
            if "actions" in case.sections:
                server, endpoint = start_actions(folder)
            started = time.perf_counter()
            try:
                model = train(folder)
            except BaseException as error:  # Rasa ends the process when stories contradict each other
                return {"digest": case.digest, "rule": case.rule, "error": type(error).__name__}
            TIMES[case.name] = {"training": time.perf_counter() - started, "turns": []}
            dialogues = asyncio.run(talk(case, model, endpoint))
        finally:
            if server:
                server.terminate()
                server.wait(20)
            os.chdir(home)
    return {"digest": case.digest, "rule": case.rule, "dialogues": dialogues}


def train(folder: Path) -> str:
    from rasa.model_training import train as rasa_train
    from rasa.shared.core.domain import Domain

    # Its fingerprint writes into the domain itself, so that a story with a `bot:` step is refused as a duplicate.
    Domain.as_dict = lambda self: dict(self._data)
    domain = "domain" if (folder / "domain").is_dir() else "domain.yml"
    result = rasa_train(domain, "config.yml", ["data"], output="models", force_training=True)
    if not result.model:
        raise ValueError("nothing was trained")
    return str(result.model)


def start_actions(folder: Path) -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "rasa_sdk", "--actions", "actions", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    return server, f"http://127.0.0.1:{port}/webhook"


async def talk(case: Case, model: str, endpoint: Any) -> list[dict[str, Any]]:
    from rasa.core import jobs
    from rasa.core.agent import Agent
    from rasa.core.channels.channel import CollectingOutputChannel, UserMessage
    from rasa.core.tracker_store import SQLTrackerStore
    from rasa.utils.endpoints import EndpointConfig

    # Rasa's own default store forgets all sessions but the latest.
    store = SQLTrackerStore(db=":memory:")
    agent = Agent.load(model, tracker_store=store, action_endpoint=EndpointConfig(endpoint) if endpoint else None)
    dialogues = []
    for number, steps in enumerate(case.dialogues):
        sender = f"sender-{number}"
        replies = []
        for step in steps:
            if step.pause:
                await asyncio.sleep(step.pause)
                continue
            started = time.perf_counter()
            output = CollectingOutputChannel()
            output.name = lambda channel=step.channel: channel  # type: ignore[method-assign, misc]
            message = UserMessage(step.say, output, sender_id=sender, input_channel=step.channel)
            said = await agent.handle_message(message)
            TIMES[case.name]["turns"].append(time.perf_counter() - started)
            replies.append([{k: v for k, v in one.items() if k != "recipient_id"} for one in said or []])
        tracker = await agent.tracker_store.retrieve_full_tracker(sender)
        events = [normalised(event.as_dict()) for event in tracker.events]
        dialogues.append({"replies": replies, "events": events})
    jobs.kill_scheduler()  # of reminders: it belongs to this event loop
    return dialogues


if __name__ == "__main__":
    import structlog

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    main()
