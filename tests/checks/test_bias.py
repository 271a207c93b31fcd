"""Groups of rows: who is there, whose rows lack something, and how they are labelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.checks.bias import LARGEST_DIFFERENCE, MIN_ROWS, data_bias
from headrace.core.project import Column, FairnessSpec, Project, Task
from headrace.testing import make_project


def declared(task: Task = "regression", **changes: Any) -> Project:
    project = make_project(task=task, **changes)
    columns = (Column(name="income", role="numeric"), Column(name="region", role="categorical"))
    data = replace(project.data, target="y", time=None, key=None, columns=columns)
    return replace(project, data=data, monitors=replace(project.monitors, segments=()), fairness=None)


def table(n: int, *, lacking: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """Two regions; of one ``lacking`` more rows have no income."""
    random = np.random.default_rng(seed)
    region = random.choice(["north", "south"], n).astype(object)
    income = random.normal(0, 1, n)
    income[random.random(n) < 0.1 + lacking * (region == "south")] = np.nan
    return {"income": income, "region": region, "y": random.normal(0, 1, n) + (region == "south")}


@pytest.mark.parametrize("task", ["regression", "anomaly_detection", "clustering"])
def test_rows_that_lack_more_of_one_group_are_a_doubt_with_and_without_labels(task: Task) -> None:
    found = data_bias(table(800, lacking=0.3), declared(task))
    assert found.outcome == "inconclusive"
    assert "region 'south' are incomplete" in found.reason
    groups = {one["group"]: one for one in found.evidence["groups"]}
    assert groups["south"]["incomplete"] > groups["north"]["incomplete"] + LARGEST_DIFFERENCE
    assert sum(one["share"] for one in groups.values()) == pytest.approx(1)
    assert ("label" in groups["south"]) == (task == "regression")
    assert data_bias(table(800), declared(task)).outcome == "passed"


def test_alike_groups_are_seldom_called_biased_and_unlike_ones_mostly() -> None:
    """Simulated: the level of 1 % over all comparisons holds, with the chance that a small table allows."""
    # Of 120 rows a difference above the limit is common by chance alone, so it is the test that decides.
    alike = [data_bias(table(120, seed=i), declared()).outcome for i in range(400)]
    assert alike.count("inconclusive") <= 12, "400 tables at 1 %: at most 4 expected, 12 by far too many"
    unlike = [data_bias(table(400, lacking=0.4, seed=i), declared()).outcome for i in range(50)]
    assert unlike.count("inconclusive") >= 48


def test_a_difference_in_labels_is_reported_with_its_interval_and_judged_by_nobody() -> None:
    found = data_bias(table(2_000), declared())
    groups = {one["group"]: one for one in found.evidence["groups"]}
    low, high = groups["south"]["label interval"]
    assert low < 1 < high
    assert groups["north"]["label interval"][1] < low
    assert found.outcome == "passed"


def test_the_favourable_class_is_the_one_that_is_counted() -> None:
    columns = table(600)
    columns["y"] = np.where(columns["region"] == "south", "yes", "no").astype(object)
    fair = FairnessSpec(groups=("region",), favourable="yes")
    found = data_bias(columns, replace(declared("classification"), fairness=fair))
    assert {one["group"]: (one["class"], one["label"]) for one in found.evidence["groups"]} == {
        "north": ("yes", 0.0),
        "south": ("yes", 1.0),
    }


def test_a_group_too_small_to_judge_is_named() -> None:
    columns = table(300)
    columns["region"][: MIN_ROWS - 1] = "islands"
    found = data_bias(columns, declared())
    assert found.outcome == "passed"
    assert "region islands" in found.reason
    assert found.evidence["thin"] == ["region islands"]


def test_numbers_alone_are_cut_at_their_quartiles() -> None:
    columns = table(400)
    project = declared()
    data = replace(project.data, columns=(Column(name="income", role="numeric"),))
    found = data_bias({"income": columns["income"], "y": columns["y"]}, replace(project, data=data))
    shares = [one["share"] for one in found.evidence["groups"]]
    assert len(shares) == 4
    assert shares == pytest.approx([0.25] * 4, abs=0.02)


def calendar(n: int, closed: str | None = None) -> dict[str, Any]:
    days = np.arange(np.datetime64("2023-01-01"), np.datetime64("2023-01-01") + n)
    open_days = np.ones(n, dtype=bool) if closed is None else (days.astype(int) + 3) % 7 != 6
    return {"day": days[open_days].astype("datetime64[us]"), "y": np.ones(open_days.sum())}


def test_a_forecast_is_compared_by_the_calendar_and_a_day_without_a_row_is_missed() -> None:
    project = declared("forecasting")
    project = replace(project, data=replace(project.data, time="day", columns=()))
    whole = data_bias(calendar(800), project)
    assert whole.outcome == "passed"
    assert whole.evidence["columns"] == ["weekday", "month"]
    assert data_bias(calendar(300), project).evidence["columns"] == ["weekday"]
    found = data_bias(calendar(800, closed="Sunday"), project)
    assert found.outcome == "inconclusive"
    assert "weekday 'Sunday' are absent 100% more often" in found.reason


def test_a_table_that_tells_no_groups_apart_says_so() -> None:
    project = declared()
    project = replace(project, data=replace(project.data, columns=()))
    found = data_bias({"y": np.ones(50)}, project)
    assert (found.outcome, found.reason) == ("passed", "no column tells groups apart")
