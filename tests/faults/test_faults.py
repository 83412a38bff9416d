"""A short run of the fault suite; `make faults` is the long one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from driver import Run
from ledger import Verdict, visible
from plan import KILL, Fault
from sabotage import warrant
from script import Customer, Line

pytestmark = pytest.mark.anyio
SEED = 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    kill_points = {"redis": 7, "sqlite": 6}
    verdicts = await asyncio.gather(*(prove(store, count, tmp_path / store) for store, count in kill_points.items()))
    assert [verdict.kill_points for verdict in verdicts] == list(kill_points.values())


async def prove(store: str, kill_points: int, folder: Path) -> Verdict:
    async with Run(store, SEED, folder) as run:
        await run.act(0, kill_points, size=5, length=5)
        verdict = await run.verdict(aftermath=1)
    assert verdict.is_clean, "\n".join([*verdict.findings, f"{store}: ledger and logs are in {folder}"])
    return verdict


async def test_a_store_that_forgets_is_found_out(tmp_path: Path) -> None:
    async with Run("memory", SEED, tmp_path, quiet=1) as run:
        await run.act(0, 2, size=3, length=5)
        verdict = await run.verdict(aftermath=0)
    assert verdict.lost


async def test_a_message_that_kills_three_times_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    poison = Customer("poison", "hook", "quick", (_ping(1), _ping(2)))
    other = Customer("other", "hook", "patient", (_ping(3), _ping(4)))
    key, message = poison.conversation_id, poison.lines[0].message_id
    name = warrant("action.before", key, f"action_pong {message}")
    async with Run("sqlite", SEED, tmp_path, quiet=3, attempts=3) as run:
        await run.play([poison, other], [Fault("action.before", KILL, key, message, name, 0, times=3)])
        told = [event.get("text") or "" for event in await run.history(poison) if event["event"] == "bot"]
        entries = run.entries
    assert told[0].startswith("Sorry")
    assert told[1:] == list(poison.lines[1].replies)
    assert visible(entry for entry in entries if entry.get("conversation") == key) == told
    expected = [reply for line in other.lines for reply in line.replies]
    assert visible(entry for entry in entries if entry.get("conversation") == other.conversation_id) == expected


def _ping(number: int) -> Line:
    pongs = (f"pong {number}, one of two", f"pong {number}, two of two")
    return Line(f"m{number}", f"ping {number}", pongs, ("action_pong",))
