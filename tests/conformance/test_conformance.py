"""What real Rasa 3.6.21 did in each case, we do: event for event, reply for reply (see `case.py`, `record.py`)."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bot.channels.rest import write_messages
from case import HERE, Case, Step, normalised, read_cases, write_project  # type: ignore[import-not-found]

from bot.assistant import Assistant
from bot.errors import FrontdeskError
from bot.events import event_to_json
from bot.messages import UserMessage
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_as_rasa(case: Case, tmp_path: Path) -> None:
    recorded = json.loads((HERE / "recordings" / f"{case.name}.json").read_text(encoding="utf-8"))
    assert recorded["digest"] == case.digest, "the case has changed: record it again with `make conformance`"
    write_project(case, tmp_path)
    if "error" in recorded:
        with pytest.raises(FrontdeskError):
            train(load_project(tmp_path))
        return
    project = load_project(tmp_path)
    train(project)
    ours = asyncio.run(talk(case, load_assistant(project, store=MemoryStore())))
    for mine, theirs in zip(ours, recorded["dialogues"], strict=True):
        assert mine["replies"] == theirs["replies"]
        assert mine["events"] == theirs["events"]


async def talk(case: Case, assistant: Assistant) -> list[dict[str, Any]]:
    await assistant.start()
    dialogues = []
    for number, steps in enumerate(case.dialogues):
        replies = [
            await say(step, f"sender-{number}", assistant) for step in steps if not step.pause or await pause(step)
        ]
        # A conversation of Rasa's is a sender's, whatever the channel; ours is the channel's and the sender's.
        events = await assistant.store.events(f"rest:sender-{number}")
        dialogues.append({"replies": replies, "events": [normalised(event_to_json(event)) for event in events]})
    await assistant.close()
    return dialogues


async def pause(step: Step) -> bool:
    await asyncio.sleep(step.pause)
    return False


async def say(step: Step, sender: str, assistant: Assistant) -> list[dict[str, Any]]:
    payload = step.say if step.say.startswith("/") else None
    message = UserMessage(text=step.say, payload=payload, sender_id=sender, channel=step.channel)
    sent = write_messages(sender, await assistant.handle(message))
    return [{key: value for key, value in one.items() if key != "recipient_id"} for one in sent]
