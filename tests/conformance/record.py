"""Holds every case's dialogues with real Rasa and writes down what it did: `record.py [--new] [name-prefix …]`.

Run by `make conformance` with a Python 3.10 that has rasa 3.6.21. Actions run on the real rasa-sdk server.
With `--times FILE` each case is held twice, and the better of both times is written there, for `compare.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from case import HERE, Case, read_cases, write_project
from nlg_server import nlg_server

from bot.certify.in_rasa import quiet, say, start_actions, train
from bot.certify.turns import normalised

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
        if given.times and "error" not in recording:
            first = TIMES[case.name]
            record(case)
            TIMES[case.name] = better(first, TIMES[case.name])
        file.write_text(json.dumps(recording, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        told = recording.get("error") or "{} dialogues".format(len(recording["dialogues"]))
        print(f"{case.name:40} {time.perf_counter() - started:6.1f} s  {told}", flush=True)
    if given.times:
        given.times.write_text(json.dumps(TIMES, indent=1), encoding="utf-8")


def better(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The shorter training, and each turn's shorter time: what the machine did besides is nobody's."""
    training = min(one["training"], other["training"])
    return {"training": training, "turns": [min(pair) for pair in zip(one["turns"], other["turns"], strict=True)]}


def is_recorded(case: Case, file: Path) -> bool:
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["digest"] == case.digest


def record(case: Case) -> dict[str, Any]:
    """`{"digest", "dialogues": [{"replies", "events"}]}`, or `error` where Rasa refuses to train."""
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as temporary, nlg_server(case.sections.get("nlg")) as nlg:
        folder = Path(temporary)
        write_project(case, folder, nlg)
        os.chdir(folder)
        server = None
        try:
            endpoint = None
            if "actions" in case.sections:
                server, endpoint, _ = start_actions(folder, [sys.executable])
            started = time.perf_counter()
            try:
                model = train(folder)
            except BaseException as error:  # Rasa ends the process when stories contradict each other
                return {"digest": case.digest, "rule": case.rule, "error": type(error).__name__}
            TIMES[case.name] = {"training": time.perf_counter() - started, "turns": []}
            dialogues = asyncio.run(talk(case, model, endpoint, nlg))
        finally:
            if server:
                server.terminate()
                server.wait(20)
            os.chdir(home)
    return {"digest": case.digest, "rule": case.rule, "dialogues": dialogues}


async def talk(case: Case, model: str, endpoint: str | None, nlg: str | None) -> list[dict[str, Any]]:
    from rasa.core import jobs
    from rasa.core.agent import Agent
    from rasa.core.tracker_store import SQLTrackerStore
    from rasa.utils.endpoints import EndpointConfig

    # Rasa's own default store forgets all sessions but the latest.
    store = SQLTrackerStore(db=":memory:")
    agent = Agent.load(
        model,
        tracker_store=store,
        action_endpoint=EndpointConfig(endpoint) if endpoint else None,
        generator=EndpointConfig(nlg) if nlg else None,
    )
    dialogues = []
    for number, steps in enumerate(case.dialogues):
        sender = f"sender-{number}"
        replies = []
        for step in steps:
            turn = await say(agent, sender, dataclasses.asdict(step))
            if turn:
                TIMES[case.name]["turns"].append(turn["seconds"])
                replies.append(turn["messages"])
        tracker = await agent.tracker_store.retrieve_full_tracker(sender)
        events = [normalised(event.as_dict()) for event in tracker.events]
        dialogues.append({"replies": replies, "events": events})
    jobs.kill_scheduler()  # of reminders: it belongs to this event loop
    return dialogues


if __name__ == "__main__":
    quiet()
    main()
