"""The points at which the fault suite strikes: around each step of a turn, from outside of the product.

`install` wraps the assistant's and the store's own calls. A process that passes a point for which the driver has laid
out a warrant (a file) takes it, tells the driver, and stands still until the driver has done its deed: most often that
is the end of this process. Without the driver's environment nothing is wrapped.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("FAULTS_WARRANTS", "")
"""Where the warrants lie."""
CONTROL = int(os.environ.get("FAULTS_CONTROL") or 0)
"""The port on which the driver waits."""
STORE = os.environ.get("FAULTS_STORE", "")
"""The store's name in the configuration."""


ATTEMPTS = int(os.environ.get("FAULTS_ATTEMPTS") or 0)
"""After how many a message counts as poison, in place of the product's three."""


def warrant(point: str, conversation_id: str, detail: str | None = None) -> str:
    """The name of the file that strikes at this point of this conversation, in the turn of this message."""
    return hashlib.sha256("\0".join((point, conversation_id, detail or "")).encode()).hexdigest()


def passage(point: str, conversation_id: str, detail: str | None = None) -> None:
    """Goes on at once, unless there is a warrant."""
    if is_fated(name := warrant(point, conversation_id, detail)):
        await_deed(name)


def is_fated(name: str) -> bool:
    """Whether there was this warrant; it is used up, whichever process asks first."""
    if not FOLDER:
        return False
    try:
        os.unlink(Path(FOLDER) / name)
    except FileNotFoundError:
        return False
    return True


def await_deed(name: str) -> None:
    """The whole process stands still, until the driver answers or is gone."""
    with socket.create_connection(("127.0.0.1", CONTROL)) as control:
        control.sendall(json.dumps({"warrant": name, "pid": os.getpid()}).encode() + b"\n")
        control.recv(1)


def install() -> None:
    """Wrap the steps of a turn, once."""
    if not FOLDER or "wrapped" in globals():
        return
    globals()["wrapped"] = True
    import bot.assistant
    from bot.action_execution import Actions
    from bot.assistant import Assistant
    from bot.registry import load_class

    if ATTEMPTS:
        bot.assistant.MOST_ATTEMPTS = ATTEMPTS
    store = load_class("store", STORE)
    _wrap(store, "accept", "inbox", lambda message, **_: (message.conversation_id, message.message_id))
    _wrap(store, "begin", "inbox", lambda message, **_: (message.conversation_id, message.message_id), _lease_of_begun)
    _wrap(store, "claim", "lease", lambda conversation_id: (conversation_id, None), _lease)
    _wrap(Assistant, "hear", "understanding", lambda message, tracker: (message.conversation_id, message.message_id))
    _wrap(Actions, "run", "action", _action)
    _wrap(store, "commit", "commit", _turn, _lease)
    _wrap(store, "delivered", "strike", lambda lease: (lease.conversation_id, lease.deliveries[0].message.text))


Place = tuple[str, str | None]


def _wrap(
    cls: type[Any],
    method: str,
    step: str,
    place: Callable[..., Place],
    then: Callable[[Any], None] = lambda result: None,
) -> None:
    """Points before, during and after a method; `then` passes those that its result leads to."""
    original = getattr(cls, method)

    @functools.wraps(original)
    async def passing(self: Any, *args: Any, **options: Any) -> Any:
        conversation_id, detail = place(*args, **options)
        passage(f"{step}.before", conversation_id, detail)
        if is_fated(name := warrant(f"{step}.during", conversation_id, detail)):
            under_way = asyncio.ensure_future(original(self, *args, **options))
            # A few steps of the loop: the request is out, and its answer not read.
            for _ in range(1 + int(name[0], 16) % 4):
                await asyncio.sleep(0)
            await_deed(name)
            result = await under_way
        else:
            result = await original(self, *args, **options)
        passage(f"{step}.after", conversation_id, detail)
        then(result)
        return result

    setattr(cls, method, passing)


def _lease(lease: Any) -> None:
    """A turn begins: with the first that waits."""
    if lease is not None and lease.messages:
        passage("turn.begun", lease.conversation_id, lease.messages[0].message_id)


def _lease_of_begun(begun: Any) -> None:
    _lease(begun.lease)


def _action(name: str, tracker: Any) -> Place:
    said = tracker.latest_message
    return tracker.conversation_id, f"{name} {said.message_id if said else ''}"


def _turn(lease: Any, turn: Any, tracker: Any) -> Place:
    return turn.conversation_id, turn.message_ids[0] if turn.message_ids else None
