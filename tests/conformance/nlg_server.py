"""A small NLG server: says a case's `nlg` responses, with the slots, the arguments and the channel filled in.

    nlg:
      utter_greet: {text: "Hello {name} on {channel}, {id}", buttons: […]}

A process of its own, as with a real one: it reads the responses from its input and writes its port. It answers
quickly, so that what is timed is the bot's call and not the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.request import Request, urlopen

from aiohttp import web

RESPONSES: dict[str, Any] = {}


@contextlib.contextmanager
def nlg_server(responses: Mapping[str, Any] | None) -> Iterator[str | None]:
    """Its address while it runs; None when there is nothing to say."""
    if not responses:
        yield None
        return
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(responses).encode() + b"\n")
        server.stdin.flush()
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/nlg"
            ask_once(url)
            yield url
        finally:
            server.terminate()


def ask_once(url: str) -> None:
    """The first answer of a process takes longest."""
    tracker = {"slots": {}, "latest_message": {"text": ""}}
    question = {"response": "", "id": None, "arguments": {}, "tracker": tracker, "channel": {"name": ""}}
    asked = Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    urlopen(asked).close()


async def answer(request: web.Request) -> web.Response:
    return web.json_response(said(RESPONSES, await request.json()))


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/nlg", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def said(responses: Mapping[str, Any], question: Mapping[str, Any]) -> dict[str, Any]:
    """The server's answer to one question in Rasa's form."""
    response = dict(responses.get(question["response"]) or {"text": "Nothing to say for {response}"})
    tracker = question["tracker"]
    values = {
        **tracker["slots"],
        **question["arguments"],
        "id": question["id"],
        "response": question["response"],
        "channel": question["channel"]["name"],
        "latest": tracker["latest_message"]["text"],
    }
    response["text"] = response["text"].format(**values)
    return response


if __name__ == "__main__":
    RESPONSES.update(json.loads(sys.stdin.readline()))
    asyncio.run(serve())
