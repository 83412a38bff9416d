"""Holds dialogues with real Rasa: a script of its own, for a Python 3.10 that has rasa 3.6 and knows nothing of ours.

    python in_rasa.py < task.json

The task is one JSON object: `project` (a folder that may be written to), `dialogues` (each a list of steps
`{"say": …, "channel": "rest", "pause": 0}`), `pythons` (who tries to serve the project's actions, in that order)
and `action_url` (an action server that already runs, in place of that). On stdout come JSON lines: `{"rasa": version}`,
`{"actions": …}`, `{"trained": {"seconds", "memory"}}`, a `{"dialogue": [turn, …]}` for each, `{"done": {"memory"}}`;
or `{"error": …}`. A turn has `said`, `seconds`, `messages`, `events`, `slots`, `active_loop`, `failure`, in Rasa's own
shapes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import resource
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

_BOT_STEP = re.compile(r"^\s*-?\s*bot:", re.MULTILINE)
MOST_WAITED = 60.0
"""Seconds until an action server that does not listen is given up."""


def main() -> int:
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What Rasa and the project's own code print is no JSON.
    os.dup2(2, 1)

    def tell(**what: Any) -> None:
        print(json.dumps(what, default=str), file=lines, flush=True)

    task = json.load(sys.stdin)
    folder = Path(task["project"])
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    quiet()
    server = None
    try:
        from rasa import __version__

        tell(rasa=__version__)
        url = task.get("action_url")
        if url is None and has_actions(folder):
            server, url, said = start_actions(folder, task.get("pythons") or [sys.executable])
            tell(actions=said)
            if url is None:
                raise OSError(said)
        started = time.perf_counter()
        model = train(folder)
        tell(trained={"seconds": time.perf_counter() - started, "memory": peak_memory()})
        asyncio.run(hold_all(model, url, task["dialogues"], lambda turns: tell(dialogue=turns)))
        tell(done={"memory": peak_memory()})
    except BaseException as error:  # Rasa ends the process when stories contradict each other
        tell(error=f"{type(error).__name__}: {error}"[:2000])
        return 1
    finally:
        if server is not None:
            server.terminate()
            server.wait(20)
    return 0


def quiet() -> None:
    """Rasa and TensorFlow say nothing, use no graphics card and send nothing home."""
    os.environ.update(
        TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", RASA_TELEMETRY_ENABLED="false", LOG_LEVEL="CRITICAL"
    )
    warnings.filterwarnings("ignore")
    import structlog

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def peak_memory() -> int:
    """The most memory that this process ever had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def train(folder: Path) -> str:
    """The model's file. The present folder is the project's."""
    from rasa.model_training import train as rasa_train
    from rasa.shared.core.domain import Domain

    # Its fingerprint writes into the domain itself, so that a story with a `bot:` step is refused as a duplicate.
    # Nothing else may be spared that: what `use_entities` does in Rasa depends on it.
    spared = any(_BOT_STEP.search(file.read_text("utf-8")) for file in (folder / "data").rglob("*.y*ml"))
    Domain.as_dict = (lambda self: dict(self._data)) if spared else (lambda self: self._data)
    domain = next((name for name in ("domain.yml", "domain.yaml", "domain") if (folder / name).exists()), "domain.yml")
    result = rasa_train(domain, "config.yml", ["data"], output="models", force_training=True)
    if not result.model:
        raise ValueError("nothing was trained")
    return str(result.model)


# ---- actions ----


def has_actions(folder: Path) -> bool:
    return (folder / "actions.py").is_file() or (folder / "actions").is_dir()


def start_actions(folder: Path, pythons: list[str]) -> tuple[Any, str | None, str]:
    """The project's actions on rasa-sdk's server, with the first Python where that comes up: (process, url, said)."""
    said = ""
    for python in pythons:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [python, "-m", "rasa_sdk", "--actions", "actions", "--port", str(port)]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        started = time.perf_counter()
        while server.poll() is None and time.perf_counter() - started < MOST_WAITED:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return server, f"http://127.0.0.1:{port}/webhook", f"rasa-sdk's server of {python}"
        server.kill()
        words = (server.communicate()[1] or b"").decode("utf-8", "replace").strip().splitlines()
        said = f"the action server of {python} does not come up: {words[-1] if words else 'it says nothing'}"
    return None, None, said


# ---- talking ----


async def hold_all(model: str, action_url: str | None, dialogues: list[list[dict[str, Any]]], tell: Any) -> None:
    """Hold each dialogue with the model, as a sender of its own, and `tell` its turns."""
    from rasa.core.agent import Agent
    from rasa.core.tracker_store import SQLTrackerStore
    from rasa.utils.endpoints import EndpointConfig

    # Rasa's own default store forgets all sessions but the latest.
    store = SQLTrackerStore(db=":memory:")
    endpoint = EndpointConfig(action_url) if action_url else None
    agent = Agent.load(model, tracker_store=store, action_endpoint=endpoint)
    for number, steps in enumerate(dialogues):
        tell([turn for step in steps if (turn := await say(agent, f"sender-{number}", step))])


async def say(agent: Any, sender: str, step: dict[str, Any]) -> dict[str, Any] | None:
    """One turn; None for a step that is a pause."""
    from rasa.core.channels.channel import CollectingOutputChannel, UserMessage

    if step.get("pause"):
        await asyncio.sleep(step["pause"])
        return None
    channel = step.get("channel", "rest")
    output = CollectingOutputChannel()
    output.name = lambda: channel
    before = await agent.tracker_store.retrieve_full_tracker(sender)
    seen = len(before.events) if before else 0
    message = UserMessage(step["say"], output, sender_id=sender, input_channel=channel)
    started = time.perf_counter()
    failure = ""
    try:
        said = await agent.handle_message(message)
    except Exception as error:  # as its channels do: the turn is lost, the conversation goes on
        said, failure = [], f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    tracker = await agent.tracker_store.retrieve_full_tracker(sender)
    # Its slots are those of the latest session.
    now = await agent.tracker_store.retrieve(sender)
    return {
        "said": step["say"],
        "seconds": seconds,
        "messages": [{key: value for key, value in one.items() if key != "recipient_id"} for one in said or []],
        "events": [event.as_dict() for event in list(tracker.events)[seen:]] if tracker else [],
        "slots": now.current_slot_values() if now else {},
        "active_loop": now.active_loop_name if now else None,
        "failure": failure,
    }


if __name__ == "__main__":
    sys.exit(main())
