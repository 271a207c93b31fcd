"""A process of the tests' own that spends a budget."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection

from headrace.core.clock import SystemClock
from headrace.core.settings import Settings
from headrace.gateway.budgets import Amount, Budgets, Limit, OverBudget
from headrace.store import open_store


def spend(sender: Connection, settings: Settings, owner: str, limit: Limit, n_calls: int) -> None:
    """Register, make so many calls at once, and tell of each that was let through, once it is settled."""
    store = open_store(settings, SystemClock())
    store.executors.register(owner, "server", None)
    budgets = Budgets(store.budgets, SystemClock(), owner)

    async def call() -> None:
        try:
            held = await budgets.reserve([limit], Amount(micro=10, requests=1))
        except OverBudget:
            sender.send("refused")
            return
        await asyncio.sleep(0.002)
        sender.send("spent")  # that the call was made, whatever becomes of us
        budgets.settle(held, Amount(micro=10, requests=1))

    async def everything() -> None:
        await asyncio.gather(*(call() for _ in range(n_calls)))

    asyncio.run(everything())
    budgets.give_back(0)
    store.executors.release(owner)
    store.close()
