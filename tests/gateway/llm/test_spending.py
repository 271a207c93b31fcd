"""What is held back before a call is enough for the dearest way in which it can be paid."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.core.clock import SystemClock
from headrace.gateway.budgets import Budgets
from headrace.gateway.llm.chat import NOTHING, UNREAD, Filled, Usage
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import Providers, Target
from headrace.gateway.llm.prices import read_prices
from headrace.gateway.llm.spending import Spending, limit_of
from headrace.projects.llm import Budget
from headrace.store import open_store
from headrace.testing import FakeClock, make_settings
from headrace.testing.factories import make_principal, make_project

CLAUDE = Target("anthropic", "claude-opus-4-5")
BUDGET: dict[str, Any] = {"per": "project", "of": "money", "most": 1.0, "period": "day"}
AT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.requirement("LGW-04")
def test_what_is_written_into_a_cache_for_an_hour_fits_into_what_was_held_back(tmp_path: Path) -> None:
    store = open_store(make_settings(tmp_path / "home"), SystemClock())
    budgets = Budgets(store.budgets, FakeClock(), "process")
    spending = Spending(Declared(Providers(), closed=False), budgets, read_prices())
    project = make_project(llm={"budgets": [BUDGET]})
    filled = Filled(fields={"messages": [{"role": "user", "content": "How long? " * 100}], "max_tokens": 10})
    charge = asyncio.run(spending.reserve(make_principal(), project, [CLAUDE], filled, AT))
    n = charge.used.input
    usage = Usage(input=n, output=10, written=n, written_1h=n)
    settled = spending.settle(charge, CLAUDE, NOTHING._replace(usage=usage, is_counted=True))
    assert settled.cost == pytest.approx((n * 10.0 + 10 * 25.0) / 1e6, abs=1e-6)
    assert settled.waits is None, "it exceeds what was held back"
    store.close()


@pytest.mark.requirement("LGW-04")
@pytest.mark.parametrize("budgets", [[], [BUDGET]])
def test_what_a_provider_has_not_counted_is_not_free(tmp_path: Path, budgets: list[dict[str, Any]]) -> None:
    store = open_store(make_settings(tmp_path / "home"), SystemClock())
    held = Budgets(store.budgets, FakeClock(), "process")
    spending = Spending(Declared(Providers(), closed=False), held, read_prices())
    project = make_project(llm={"budgets": budgets})
    filled = Filled(fields={"messages": [{"role": "user", "content": "How long? " * 100}], "max_tokens": 100})
    charge = asyncio.run(spending.reserve(make_principal(), project, [CLAUDE], filled, AT))
    n = filled.most_input
    said = NOTHING._replace(usage=Usage(output=7), is_counted=False)
    settled = spending.settle(charge, CLAUDE, said)
    assert settled.estimated == Usage(input=n, output=7)
    assert settled.cost == pytest.approx((n * 5.0 + 7 * 25.0) / 1e6, abs=1e-6)
    if budgets:
        held.give_back(0.0)
        limit = limit_of(Budget(**BUDGET), project.name, "main", "ada")
        (standing,) = held.standing([limit])
        assert standing.spent == charge.most.micro, "a budget takes it as if it had cost the most"
    store.close()


def test_what_exceeds_a_reservation_is_never_written_down_on_the_event_loop(tmp_path: Path) -> None:
    store = open_store(make_settings(tmp_path / "home"), SystemClock())
    spending = Spending(
        Declared(Providers(), closed=False), Budgets(store.budgets, FakeClock(), "process"), read_prices()
    )
    project = make_project(llm={"budgets": [BUDGET]})
    filled = Filled(fields={"messages": [], "max_tokens": 10})
    for target in (CLAUDE, None):
        charge = asyncio.run(spending.reserve(make_principal(), project, [CLAUDE], filled, AT))
        settled = spending.settle(charge, target, UNREAD, lost=[CLAUDE, CLAUDE])
        assert settled.waits is not None
        settled.waits()
        assert not charge.reservation.is_open
    store.close()
