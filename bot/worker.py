"""Works off what waits: messages that were accepted, replies that are to be delivered. One per process.

A worker has no state of its own: whatever it had in hand when it died is ready again when its lease has run out.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from bot.assistant import MOST_ATTEMPTS, Assistant
from bot.brokers import Publisher
from bot.errors import DeliveryError, StoreError, StoreUnavailable, describe
from bot.interfaces import Channel, Delivery, EventBroker, Lease, OutboxLease
from bot.processes import GRACE, Control, leave_soon, loop_factory, settle

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Conversations in which one worker takes turns."""
DELIVERIES_AT_ONCE = 256
"""Conversations in which it delivers replies: many may wait for a platform that hangs."""
PAUSE = 1.0
"""Seconds until a store that does not answer is asked again."""
BREATH = 0.05
"""Seconds until the next piece of work is taken up, after one that could not be."""
LONGEST_CLEARING = 10.0
"""Seconds that a message which was begun before waits until the others in hand are done."""
LONGEST_DELIVERY = 30.0
"""Seconds that a platform may take to accept a reply."""
MOST_DELAY = 300.0
"""Seconds between two attempts to deliver a reply, at most, where the platform says nothing."""
LONGEST_DELAY = 86_400.0
"""Seconds that a platform may have us wait."""
PATIENCE = 10
"""Attempts after which a platform that says when to try again has us wait longer and longer."""
MOST_DELIVERIES = 30
"""Attempts at a delivery, about two hours, before it becomes a dead letter."""


class Worker:
    """Answers with `assistant`, delivers by its channels, and publishes to `broker`, until it is stopped."""

    def __init__(self, assistant: Assistant, broker: EventBroker | None = None, *, at_once: int = AT_ONCE) -> None:
        self._assistant = assistant
        self._publisher = Publisher(assistant.store, broker) if broker else None
        self._at_once = at_once
        self._turns: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._main = asyncio.create_task(self._run())
        if self._publisher:
            self._publisher.start()

    async def stop(self, grace: float) -> None:
        """Take nothing more; what is in hand may go on for `grace` seconds, and is given back then."""
        if self._main:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        tasks = self._turns | self._deliveries
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._publisher:
            await self._publisher.stop()

    async def _run(self) -> None:
        store, trouble = self._assistant.store, ""
        while True:
            # Nobody says beforehand which of the two it will be.
            await _room(self._turns, self._at_once)
            await _room(self._deliveries, DELIVERIES_AT_ONCE)
            try:
                while not self._assistant.has_model:  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE)
                work = await store.ready()
                lease = await store.claim(work.conversation_id) if work.kind == "inbox" else None
            except Exception as error:
                # One conversation is damaged, or it is a mistake of ours: that must not end the worker, or keep the
                # others waiting for long.
                is_away = isinstance(error, StoreUnavailable)
                pause = PAUSE if is_away else BREATH
                what, why = ("the store is away", error) if is_away else ("work cannot be taken up", describe(error))
                if what != trouble:
                    log.error("%s, and tried again in %g s: %s", what, pause, why)
                trouble = what
                await asyncio.sleep(pause)
                continue
            if trouble:
                log.warning("work is taken up again")
            trouble = ""
            if work.kind == "outbox":
                self._spawn(self._deliver(work.conversation_id), self._deliveries)
            elif lease and 0 < lease.attempts <= MOST_ATTEMPTS:
                alone = self._spawn(self._work_alone(lease, set(self._turns)), self._turns)
                await asyncio.wait({alone}, timeout=2 * LONGEST_CLEARING)
            elif lease:
                self._spawn(self._assistant.work(lease), self._turns)

    async def _work_alone(self, lease: Lease, others: set[asyncio.Task[None]]) -> None:
        """For a message of which its worker may have died before: with no other in hand, none dies with it."""
        try:
            if others:
                await asyncio.wait(others, timeout=LONGEST_CLEARING)
        except asyncio.CancelledError:
            await self._assistant.store.release(lease)
            raise
        await self._assistant.work(lease)

    def _spawn(self, doing: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        among.add(task)

        def done(task: asyncio.Task[None]) -> None:
            among.discard(task)
            if not task.cancelled() and (error := task.exception()):
                log.error("a worker's task failed: %s", describe(error))

        task.add_done_callback(done)
        return task

    # ---- deliveries ----

    async def _deliver(self, conversation_id: str) -> None:
        """Everything in the outbox, in order; what cannot be delivered now holds up what comes after it."""
        store = self._assistant.store
        try:
            lease = await store.claim_outbox(conversation_id)
            while lease:
                lease = await self._deliver_first(lease)
        except StoreError as error:
            # Whoever delivers it next repeats at most the one reply whose delivery could not be noted down.
            log.warning("conversation %s: %s", conversation_id, error)

    async def _deliver_first(self, lease: OutboxLease) -> OutboxLease | None:
        store, delivery = self._assistant.store, lease.deliveries[0]
        channel = self._assistant.channels.get(delivery.channel)
        if channel is None:
            return await self._give_up(lease, f"there is no channel '{delivery.channel}' here")
        try:
            await _send(channel, delivery)
        except asyncio.CancelledError:
            await store.postpone(lease, 0.0)
            raise
        except DeliveryError as error:
            if error.is_final or delivery.attempts + 1 >= MOST_DELIVERIES:
                return await self._give_up(lease, str(error))
            delay = delay_of(error, delivery.attempts)
            log.warning("conversation %s: %s: again in %g s", lease.conversation_id, error, delay)
            await store.postpone(lease, delay)
            return None
        return await store.delivered(lease)

    async def _give_up(self, lease: OutboxLease, reason: str) -> OutboxLease | None:
        log.error("conversation %s: a reply is not delivered: %s", lease.conversation_id, reason)
        return await self._assistant.store.give_up(lease, reason)


async def _send(channel: Channel, delivery: Delivery) -> None:
    try:
        async with asyncio.timeout(LONGEST_DELIVERY):
            await channel.send(delivery)
    except TimeoutError as error:
        raise DeliveryError(f"{channel.name} did not answer within {LONGEST_DELIVERY:g} s") from error
    except DeliveryError:
        raise
    except Exception as error:
        raise DeliveryError(f"{channel.name} failed: {describe(error)}") from error


def delay_of(error: DeliveryError, attempts: int) -> float:
    """Seconds until the next attempt, after so many before: what the platform says, else 1, 2, 4 and so on.

    A platform that has said so often enough is believed no more: a reply must neither be given up within moments nor
    wait for ever.
    """
    if error.retry_after is None:
        return min(2.0**attempts, MOST_DELAY)
    least = min(2.0 ** (attempts - PATIENCE), MOST_DELAY) if attempts >= PATIENCE else 0.0
    return min(max(least, error.retry_after), LONGEST_DELAY)


async def _room(tasks: set[asyncio.Task[None]], most: int) -> None:
    """Waits until there are fewer than so many."""
    while len(tasks) >= most:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def run_worker(
    assistant: Assistant,
    channels: Sequence[Channel],
    broker: EventBroker | None = None,
    follow: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """A process that serves no pages, until Ctrl-C or SIGTERM; turns in hand are finished first.

    `follow` takes newer models over for as long as it runs. The process ends with it, also where an action hangs in a
    thread.
    """
    control = Control.inherited()
    assistant.channels = {channel.name: channel for channel in channels}

    async def main() -> None:
        stopped = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        await assistant.start()
        worker = Worker(assistant, broker)
        worker.start()
        besides = [asyncio.create_task(follow())] if follow else []
        settle()
        if control:
            besides.append(asyncio.create_task(control.listen(_is_not_ours)))
            control.say(ready=True)
        else:
            print("The worker is ready", flush=True)
        await stopped.wait()
        for task in besides:
            task.cancel()
        await worker.stop(GRACE)
        await assistant.close()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
    leave_soon()


async def _is_not_ours(model: Any) -> None:
    """No worker is asked to load a model: it comes from the project's folder, or from a model server."""
