"""Holds a case's dialogues with our engine, as `record.py` holds them with Rasa."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from bot.channels.rest import write_messages
from case import Case, Step, write_project
from nlg_server import nlg_server

from bot.assistant import Assistant
from bot.certify.turns import normalised
from bot.events import event_to_json
from bot.messages import UserMessage
from bot.project import load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train


def hold(case: Case, folder: Path) -> tuple[list[dict[str, Any]], float, list[float]]:
    """What each dialogue brought, the seconds of reading and training, and those of each turn.

    Raises what training raises.
    """
    with nlg_server(case.sections.get("nlg")) as nlg:
        write_project(case, folder, nlg)
        started = time.perf_counter()
        project = load_project(folder)
        train(project)
        seconds = time.perf_counter() - started
        turns: list[float] = []
        return asyncio.run(talk(case, load_assistant(project, store=MemoryStore()), turns)), seconds, turns


async def talk(case: Case, assistant: Assistant, turns: list[float]) -> list[dict[str, Any]]:
    await assistant.start()
    dialogues = []
    for number, steps in enumerate(case.dialogues):
        sender = f"sender-{number}"
        replies = []
        for step in steps:
            if step.pause:
                await asyncio.sleep(step.pause)
                continue
            started = time.perf_counter()
            replies.append(await say(step, sender, assistant))
            turns.append(time.perf_counter() - started)
        # A conversation of Rasa's is a sender's, whatever the channel; ours is the channel's and the sender's.
        events = await assistant.store.events(f"{steps[0].channel}:{sender}")
        dialogues.append({"replies": replies, "events": [normalised(event_to_json(event)) for event in events]})
    await assistant.close()
    return dialogues


async def say(step: Step, sender: str, assistant: Assistant) -> list[dict[str, Any]]:
    payload = step.say if step.say.startswith("/") else None
    message = UserMessage(text=step.say, payload=payload, sender_id=sender, channel=step.channel)
    sent = write_messages(sender, await assistant.handle(message))
    return [{key: value for key, value in one.items() if key != "recipient_id"} for one in sent]
