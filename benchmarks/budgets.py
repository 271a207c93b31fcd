"""Budgets under load: what a call costs, what 500 at once overspend, and what a killed process hides.

    python benchmarks/budgets.py               # 50 kills
    python benchmarks/budgets.py --kills 5 --json

Three parts, each on a SQLite home of its own:

- one process reserves and settles against four limits, of which it holds enough;
- 500 calls of 10 from four processes at once on a budget of 1,000: how many were let through;
- a process with 16 calls at a time tells of each before it settles it, and is killed (SIGKILL) at a random
  moment, again and again: what was told of and is not counted as spent, and what was lost to those kills.

Ends with 1 if more is spent than allowed, or less is counted than was told of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from headrace.core.clock import SystemClock
from headrace.core.settings import Settings, read_settings
from headrace.gateway.budgets import Amount, Budgets, Limit, OverBudget, Scope
from headrace.store import open_store

EACH = 10
LATEST_S = 0.3
"""Each process is killed at most so long after its first call."""
_context = multiprocessing.get_context("spawn")


def _limit(name: str, most: int) -> Limit:
    return Limit(scope=Scope("project", name), measure="money", most=most, period="total")


def spend(sender: Connection, home: str, owner: str, limit: Limit, n_calls: int, at_once: int) -> None:
    """Make calls, and tell of each before it is settled."""
    store = open_store(read_settings({"HEADRACE_HOME": home}), SystemClock())
    store.executors.register(owner, "server", None)
    budgets = Budgets(store.budgets, SystemClock(), owner)
    left = iter(range(n_calls))

    async def calls() -> None:
        for _ in left:
            try:
                held = await budgets.reserve([limit], Amount(micro=EACH))
            except OverBudget:
                continue
            await asyncio.sleep(0.001)
            sender.send(EACH)
            budgets.settle(held, Amount(micro=EACH))

    async def everything() -> None:
        await asyncio.gather(*(calls() for _ in range(at_once)))

    asyncio.run(everything())
    budgets.give_back(0)
    store.executors.release(owner)
    store.close()


def _start(home: Path, owner: str, limit: Limit, n_calls: int, at_once: int) -> tuple[Any, Connection]:
    told, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=spend, args=(sender, str(home), owner, limit, n_calls, at_once))
    process.start()
    sender.close()
    return process, told


def _all_told(told: Connection) -> int:
    total = 0
    try:
        while True:
            total += told.recv()
    except (EOFError, OSError):
        return total


def cost_us(settings: Settings) -> float:
    """Of reserving and settling against four limits, at best; microseconds."""
    store = open_store(settings, SystemClock())
    budgets = Budgets(store.budgets, SystemClock(), "one")
    limits = [_limit(f"p{i}", 10**12) for i in range(4)]
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(2_000):
            budgets.settle(budgets.reserve_now(limits, Amount(micro=100)), Amount(micro=70))
        best = min(best, (time.perf_counter() - start) / 2_000)
    store.close()
    return best * 1e6


def at_once(home: Path, settings: Settings) -> dict[str, int]:
    """500 calls from four processes on a budget for 100."""
    limit = _limit("crowded", 100 * EACH)
    started = [_start(home, f"crowd-{i}", limit, 125, 125) for i in range(4)]
    told = sum(_all_told(pipe) for _, pipe in started)
    for process, _ in started:
        process.join()
    return {"let_through": told // EACH, "counted": _counted(settings, limit)[0]}


def kills(home: Path, settings: Settings, times: int) -> dict[str, int]:
    """What is told of by processes that are killed, and what is counted."""
    limit, told = _limit("killed", 10**9), 0
    for i in range(times):
        process, pipe = _start(home, f"killed-{i}", limit, 10**9, 16)
        told += pipe.recv()
        time.sleep(random.uniform(0, LATEST_S))
        process.kill()
        told += _all_told(pipe)
        process.join()
    counted, lost = _counted(settings, limit)
    return {"kills": times, "told": told, "counted": counted, "lost": lost, "missing": max(0, told - counted)}


def _counted(settings: Settings, limit: Limit) -> tuple[int, int]:
    store = open_store(settings, SystemClock())
    store.budgets.lose_dead()
    (standing,) = Budgets(store.budgets, SystemClock(), "reader").standing([limit])
    store.close()
    return standing.spent, standing.lost


def main() -> int:
    """Run all three and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="How often a process is killed.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        settings = read_settings({"HEADRACE_HOME": str(home)})
        found: dict[str, Any] = {
            "reserve_and_settle_us": round(cost_us(settings), 1),
            "at_once": at_once(home, settings),
            "kills": kills(home, settings, options.kills),
        }
    if options.json:
        print(json.dumps(found))
    else:
        print(f"reserve and settle, four limits: {found['reserve_and_settle_us']} us")
        print(f"500 calls on a budget for 100:   {found['at_once']}")
        print(f"killed processes:                {found['kills']}")
    overspent = max(found["at_once"]["let_through"] - 100, 0)
    return 1 if overspent > 1 or found["kills"]["missing"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
