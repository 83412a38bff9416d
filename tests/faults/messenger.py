"""A messaging platform, as bad as the real ones: its own process, with a ledger of all that it sent and received.

It plays the customers. Their messages go to any of the bot's web processes, signed; without a 2xx within the deadline
they come again, and sometimes although there was one: at once, later, to two processes at the same time, each time in
a new envelope. Replies are taken at `/send`: some are turned away (429 with the time to wait, 5xx), of some the
connection is dropped, before or after they were taken, and some are answered too late.

Usage: python messenger.py LEDGER SEED SECRET (prints its port; ends when its standard input does)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from ledger import Ledger

sys.path.append(str(Path(__file__).with_name("project")))

from hook import signature

DEADLINE = 5.0
"""Seconds in which the bot must acknowledge."""
PATIENCE = 30.0
"""Seconds that a REST caller waits for an answer."""
AGAIN = 0.1, 0.5
"""Seconds until a message that was not acknowledged comes again: at first, and at most."""
LATEST_TROUBLE = 3
"""Attempts at one reply that may go wrong; the next is taken."""


@dataclass(slots=True)
class Player:
    """A customer, and how far they are. `seen` are the replies that came."""

    data: dict[str, Any]
    gates: dict[str, asyncio.Event]
    acknowledged: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_done(self) -> bool:
        return all(line["message_id"] in self.acknowledged and self.has_heard(line) for line in self.data["lines"])

    def has_heard(self, line: dict[str, Any], *, later: bool = True) -> bool:
        """Whether all replies to it have come; those of a REST caller come with the acknowledgement."""
        wanted = {*line["replies"], *(line["later"] if later else ())}
        return self.data["channel"] == "rest" or wanted <= self.seen


class Messenger:
    def __init__(self, ledger: Ledger, seed: str, secret: str) -> None:
        self._ledger = ledger
        self._seed = seed
        self._secret = secret
        self._doors: list[str] = []
        self._players: dict[str, Player] = {}
        self._attempts: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/send", self.receive),
                web.post("/play", self.play),
                web.post("/doors", self.set_doors),
                web.post("/gate", self.open_gate),
                web.get("/done", self.done),
            ]
        )
        app.cleanup_ctx.append(self._with_session)
        return app

    async def _with_session(self, app: web.Application) -> Any:
        # Every request has its own connection: a platform has many machines.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as self._session:
            yield
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- the driver's side ----

    async def play(self, request: web.Request) -> web.Response:
        """Customers come in; a line in `gates` waits until its gate is opened."""
        body = await request.json()
        for data in body["customers"]:
            gates = {line["message_id"]: asyncio.Event() for line in data["lines"]}
            for message, gate in gates.items():
                if message not in body["gates"]:
                    gate.set()
            player = self._players[data["conversation_id"]] = Player(data, gates)
            self._start(self._act(player))
        return web.json_response({})

    async def set_doors(self, request: web.Request) -> web.Response:
        """Where the bot's web processes are now."""
        self._doors = await request.json()
        return web.json_response({})

    async def open_gate(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._players[body["conversation"]].gates[body["message"]].set()
        return web.json_response({})

    async def done(self, request: web.Request) -> web.Response:
        """Waits until every customer has said and heard all, for `seconds` at most; says who has not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query["seconds"])):
                for player in self._players.values():
                    while not player.is_done:
                        await _next_move(player)
        return web.json_response([key for key, player in self._players.items() if not player.is_done])

    # ---- from the customers to the bot ----

    async def _act(self, player: Player) -> None:
        draw = self._draw(player.data["conversation_id"])
        async with asyncio.TaskGroup() as group:
            for line in player.data["lines"]:
                await player.gates[line["message_id"]].wait()
                deliver = self._deliver(player, line)
                if player.data["manner"] == "burst":
                    # These overtake each other.
                    group.create_task(deliver)
                    continue
                await deliver
                while player.data["manner"] == "patient" and not player.has_heard(line, later=False):
                    await _next_move(player)
                await asyncio.sleep(draw.uniform(0, 0.05))

    async def _deliver(self, player: Player, line: dict[str, Any]) -> None:
        """Until it is acknowledged; and then again, now and then."""
        message, wait = line["message_id"], AGAIN[0]
        draw = self._draw(f"to {message}")
        trouble = draw.random()
        if trouble < 0.08:
            # Two of the platform's machines have it.
            await asyncio.gather(self._post(player, line), self._post(player, line))
        elif trouble < 0.16:
            # It gives up before the bot can answer.
            await self._post(player, line, deadline=draw.uniform(0.001, 0.02))
        while message not in player.acknowledged:
            await self._post(player, line)
            if message not in player.acknowledged:
                await asyncio.sleep(wait * draw.uniform(0.8, 1.2))
                wait = min(2 * wait, AGAIN[1])
        if draw.random() < 0.15:
            self._start(self._later(player, line, draw.choice((0.0, 0.1, 1.0, 3.0))))

    async def _later(self, player: Player, line: dict[str, Any], seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._post(player, line)

    async def _post(self, player: Player, line: dict[str, Any], deadline: float | None = None) -> None:
        """One attempt, written down before and after."""
        assert self._session is not None
        key, message = player.data["conversation_id"], line["message_id"]
        if not self._doors:
            return
        is_rest = player.data["channel"] == "rest"
        door = random.choice(self._doors)
        envelope = uuid.uuid4().hex
        headers = {}
        if is_rest:
            body = json.dumps({"sender": player.data["name"], "message": line["text"], "message_id": message}).encode()
        else:
            sent = {"id": message, "from": player.data["name"], "text": line["text"], "at": time.time()}
            body = json.dumps({"envelope": envelope, "message": sent}).encode()
            now = f"{time.time():.3f}"
            headers = {"X-Hook-Time": now, "X-Hook-Signature": signature(self._secret, now, body)}
        self._ledger.write("sent", conversation=key, message=message, envelope=envelope, door=door)
        timeout = aiohttp.ClientTimeout(deadline or (PATIENCE if is_rest else DEADLINE))
        url = f"{door}/webhooks/{player.data['channel']}/webhook"
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=timeout) as response:
                answer = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._ledger.write("refused", conversation=key, message=message, why=type(error).__name__)
            return
        if not 200 <= status < 300:
            self._ledger.write("refused", conversation=key, message=message, why=status)
            return
        self._ledger.write("acknowledged", conversation=key, message=message, envelope=envelope)
        if is_rest:
            self._ledger.write(
                "answered", conversation=key, message=message, replies=[reply.get("text") for reply in answer]
            )
        player.acknowledged.add(message)
        player.moved.set()

    # ---- from the bot to the customers ----

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """A reply. What happens to an attempt depends on the seed, the reply and the attempt's number alone."""
        body = await request.json()
        key, text = request.headers["Idempotency-Key"], body["text"]
        conversation = f"{body['channel']}:{body['to']}"
        attempt = self._attempts[text] = self._attempts.get(text, 0) + 1
        draw = self._draw(f"reply {text} {attempt}")
        trouble = draw.random() if attempt <= LATEST_TROUBLE else 1.0
        note = {"conversation": conversation, "key": key, "text": text, "attempt": attempt}
        if trouble < 0.06:
            seconds = round(draw.uniform(0.05, 0.3), 3)
            self._ledger.write("received", **note, taken=False, answer="429")
            return web.json_response({"retry_after": seconds}, status=429, headers={"Retry-After": "1"})
        if trouble < 0.10:
            self._ledger.write("received", **note, taken=False, answer="503")
            return web.json_response({}, status=503)
        if trouble < 0.13:
            self._ledger.write("received", **note, taken=False, answer="dropped")
            return _dropped(request)
        answer = "dropped" if trouble < 0.19 else "too late" if trouble < 0.20 else "200"
        self._ledger.write("received", **note, taken=True, answer=answer)
        player = self._players.get(conversation)
        if player is not None:
            player.seen.add(text)
            player.moved.set()
        if answer == "dropped":
            return _dropped(request)
        if answer == "too late":
            await asyncio.sleep(3)
        return web.json_response({"ok": True})

    # ----

    def _draw(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _next_move(player: Player) -> None:
    player.moved.clear()
    await player.moved.wait()


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def main(ledger: Path, seed: str, secret: str) -> None:
    runner = web.AppRunner(Messenger(Ledger(ledger), seed, secret).app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.5)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    path, seed, secret = sys.argv[1:]
    asyncio.run(main(Path(path), seed, secret))
