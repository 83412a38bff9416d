"""Hands conversations on as Rasa does: each event as one line of JSON with its `sender_id`.

It is what `rasa export` publishes, and what `frontdesk import-trackers` reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any

from bot.events import event_to_json
from bot.interfaces import Store


async def exported_events(
    store: Store,
    conversation_ids: Collection[str] = (),
    *,
    minimum_timestamp: float | None = None,
    maximum_timestamp: float | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """The events of these conversations, or of all, each as JSON; a conversation's stand together, oldest first.

    Timestamps are in seconds since 1970; the minimum is included, the maximum is not. Beside Rasa's
    `sender_id` stands our `conversation_id`: the same sender may write on two channels.
    """
    async for conversation_id in _each(store, conversation_ids):
        for event in await store.events(conversation_id):
            is_late_enough = minimum_timestamp is None or event.timestamp >= minimum_timestamp
            if is_late_enough and (maximum_timestamp is None or event.timestamp < maximum_timestamp):
                sender_id = conversation_id.partition(":")[2]
                yield {**event_to_json(event), "sender_id": sender_id, "conversation_id": conversation_id}


async def found(store: Store, name: str) -> str | None:
    """The conversation that a caller names, by its id or by the sender alone; None when there is none."""
    if await store.events(name, limit=1):
        return name
    bare = [one async for one in _each(store) if one.partition(":")[2] == name]
    return bare[0] if bare else None


async def _each(store: Store, conversation_ids: Collection[str] = ()) -> AsyncIterator[str]:
    for one in conversation_ids:
        yield one
    page = [""] if not conversation_ids else []
    while page:
        page = await store.conversation_ids(after=page[-1])
        for one in page:
            yield one
