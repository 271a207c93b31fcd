"""Who shares the budget of false alarms."""

from __future__ import annotations

import inspect
from pathlib import Path

from headrace.monitoring.monitors import MONITORS, n_sharing
from headrace.testing import make_project

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "monitoring.md"


def test_of_all_monitors_the_one_that_counts_facts_asks_for_no_level() -> None:
    sources = {name: inspect.getsource(inspect.getmodule(run) or run) for name, run in MONITORS.items()}
    assert [name for name, source in sources.items() if ".level(" not in source] == ["refused"]


def test_who_tests_nothing_has_no_share_and_the_page_names_how_many_have() -> None:
    n = n_sharing(make_project())
    assert n == len(MONITORS) - len({"refused", "latency", "fairness", "metrics", "bias", "sources"})
    assert f"1 / (13 x {n} x 21)" in PAGE.read_text(encoding="utf-8")
