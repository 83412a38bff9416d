"""Talking to the bot in a terminal."""

from __future__ import annotations

import uuid
from typing import TextIO

import orjson

from bot.assistant import Assistant
from bot.messages import BotMessage, UserMessage

STOP = "/stop"


async def talk(assistant: Assistant, source: TextIO) -> None:
    """A conversation, line by line, until `/stop` or the end of the input.

    Whoever runs the shell is trusted: a typed payload is obeyed, as Rasa's shell does.
    """
    await assistant.start()
    sender = uuid.uuid4().hex
    interactive = source.isatty()
    if interactive:
        print(f"The bot is ready. Type your message; {STOP} ends the conversation.")
    while line := _next_line(source, interactive):
        text = line.rstrip("\n")
        if text == STOP:
            break
        payload = text if text.startswith("/") else None
        replies = await assistant.handle(UserMessage(text=text, payload=payload, sender_id=sender, channel="cmdline"))
        for reply in replies:
            print(as_text(reply), flush=True)
    await assistant.close()


async def parse_texts(assistant: Assistant, source: TextIO) -> None:
    """What is understood of each line, as JSON, until `/stop` or the end of the input."""
    await assistant.start()
    while (line := _next_line(source, source.isatty())) and line.rstrip("\n") != STOP:
        await _print_parse(assistant, line.rstrip("\n"))
    await assistant.close()


async def parse_once(assistant: Assistant, text: str) -> None:
    """What is understood of one text, as JSON."""
    await _print_parse(assistant, text)
    await assistant.close()


async def _print_parse(assistant: Assistant, text: str) -> None:
    parse = await assistant.parse(text)
    print(orjson.dumps(parse.to_json(), option=orjson.OPT_INDENT_2, default=str).decode(), flush=True)


def _next_line(source: TextIO, interactive: bool) -> str:
    if interactive:
        print("> ", end="", flush=True)
    return source.readline()


def as_text(message: BotMessage) -> str:
    """A message as a terminal shows it: text, picture, and numbered buttons with their payloads."""
    lines = [message.text] if message.text else []
    if message.image:
        lines.append(f"[image] {message.image}")
    for number, button in enumerate((*message.buttons, *message.quick_replies), 1):
        lines.append(
            f"  {number}: {button.get('title')} ({button.get('payload') or button.get('url') or 'no payload'})"
        )
    if message.attachment:
        lines.append(f"[attachment] {message.attachment}")
    if message.custom:
        lines.append(f"[custom] {orjson.dumps(dict(message.custom)).decode()}")
    return "\n".join(lines)
