"""Who waits in this process for the answer to a message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from bot.messages import BotMessage

Answer = asyncio.Future[list[BotMessage]]


class Answers:
    """Futures by conversation and message id. A caller who goes away takes nothing from the others."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, list[Answer]]] = {}

    def expect(self, conversation_id: str, message_id: str) -> Answer:
        """Done when the message is answered, or when its turn fails for good."""
        future: Answer = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(conversation_id, {}).setdefault(message_id, []).append(future)
        future.add_done_callback(partial(self._forget, conversation_id, message_id))
        return future

    def _forget(self, conversation_id: str, message_id: str, future: Answer) -> None:
        """Whoever has gone away is not waited for: the message may never be answered, or known."""
        waiting = self._waiting.get(conversation_id, {}).get(message_id, [])
        if future.cancelled() and future in waiting:
            waiting.remove(future)
            if not waiting:
                self._taken(conversation_id, message_id)

    def awaited(self, conversation_id: str) -> list[str]:
        """The ids of the messages whose answers somebody waits for."""
        return list(self._waiting.get(conversation_id, ()))

    def conversations(self) -> list[str]:
        """Those in which somebody waits."""
        return list(self._waiting)

    def give(self, conversation_id: str, message_id: str, replies: Sequence[BotMessage]) -> None:
        """The message has been answered."""
        for future in self._taken(conversation_id, message_id):
            if not future.done():
                future.set_result(list(replies))

    def fail(self, conversation_id: str, error: Exception, message_id: str | None = None) -> None:
        """Nobody who waits in this conversation (for this message) can be answered now."""
        for one in self.awaited(conversation_id) if message_id is None else [message_id]:
            for future in self._taken(conversation_id, one):
                if not future.done():
                    future.set_exception(error)
                    # Nobody need be there any more to hear of it.
                    future.exception()

    def fail_all(self, error: Exception) -> None:
        for conversation_id in list(self._waiting):
            self.fail(conversation_id, error)

    def _taken(self, conversation_id: str, message_id: str) -> list[Answer]:
        waiting = self._waiting.get(conversation_id)
        if waiting is None:
            return []
        found = waiting.pop(message_id, [])
        if not waiting:
            del self._waiting[conversation_id]
        return found
