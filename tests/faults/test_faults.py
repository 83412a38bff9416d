"""A short run of the fault suite; `make faults` is the long one."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from driver import Run
from ledger import Verdict
from plan import KILL, Fault
from sabotage import warrant
from script import Customer, Line

from bot.action_execution import SORRY

pytestmark = pytest.mark.anyio
SEED = 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    kill_points = {"redis": 7, "sqlite": 6}
    async with asyncio.TaskGroup() as group:
        tasks = {
            store: group.create_task(prove(store, count, tmp_path / store)) for store, count in kill_points.items()
        }
    assert {store: task.result().kill_points for store, task in tasks.items()} == kill_points


async def prove(store: str, kill_points: int, folder: Path) -> Verdict:
    async with Run(store, SEED, folder) as run:
        await run.act(0, kill_points, size=5, length=5)
        verdict = await run.verdict(aftermath=1)
    assert verdict.is_clean, "\n".join([*verdict.findings, f"{store}: ledger and logs are in {folder}"])
    return verdict


async def test_a_store_that_forgets_is_found_out(tmp_path: Path) -> None:
    anna = Customer("anna", "hook", "quick", (_ping(1),))
    async with Run("memory", SEED, tmp_path, quiet=0) as run:
        await run.play([anna], [_killing(anna, "turn.begun")])
        verdict = await run.verdict(aftermath=0)
    assert f"{anna.conversation_id}: no turn of m1" in verdict.lost


async def test_a_message_that_kills_three_times_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    poison = Customer("poison", "hook", "quick", (replace(_ping(1), replies=(SORRY["en"],)), _ping(2)))
    other = Customer("other", "hook", "patient", (_ping(3), _ping(4)))
    async with Run("sqlite", SEED, tmp_path, attempts=3) as run:
        await run.play([poison, other], [_killing(poison, "understanding.after", times=3)])
        verdict = await run.verdict(aftermath=0)
        heard = [event["message_id"] for event in await run.history(poison) if event["event"] == "user"]
    assert verdict.kill_points == 3
    assert verdict.is_clean, verdict.findings
    assert heard == ["m1", "m2"]


def _killing(customer: Customer, point: str, *, times: int = 1) -> Fault:
    """Whoever is at this point with the customer's first message dies."""
    key, message = customer.conversation_id, customer.lines[0].message_id
    return Fault(point, KILL, key, message, warrant(point, key, message), 0, times=times)


def _ping(number: int) -> Line:
    pongs = (f"pong {number}, one of two", f"pong {number}, two of two")
    return Line(f"m{number}", f"ping {number}", pongs, ("action_pong",))
