"""A project's table as archived bytes: from its file, its code, or from production."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.app.composition import App, open_app
from headrace.app.data.table import Sourced, gather, project_table
from headrace.core.data import Snapshot
from headrace.core.errors import InvalidInput, NotFound, UserCodeError
from headrace.core.ids import new_id
from headrace.core.project import Column, DataSpec, PrivacySpec, Project
from headrace.core.release import Route
from headrace.data.snapshots import archive_columns, take_snapshot
from headrace.data.sources import read_file
from headrace.monitoring.ingest import outcome_rows, outcomes_table, prediction_rows, predictions_table
from headrace.testing import (
    START,
    make_manifest,
    make_outcome,
    make_prediction,
    make_project,
    make_release,
    make_settings,
)

COLUMNS = (
    Column(name="year", role="numeric"),
    Column(name="diesel", role="categorical"),
    Column(name="doors", role="categorical"),
    Column(name="note", role="ignored"),
)
BASE: dict[str, Any] = {
    "car": np.array([1.0, 2.0]),
    "sold": np.array(["2025-01-01", "2025-02-01"], dtype="datetime64[us]"),
    "year": np.array([2016.0, 2017.0]),
    "diesel": np.array([True, False]),
    "doors": np.array([3.0, 5.0]),
    "note": np.array(["good", None], dtype=object),
    "price": np.array([9000.0, 12000.0]),
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A home with one project."""

    app: App
    project: Project
    folder: Path

    def gather(self, *, until: datetime | None = None, with_production: bool = False) -> dict[str, Any]:
        """The gathered rows."""
        return self.read(self.sourced(until=until, with_production=with_production))

    def sourced(self, *, until: datetime | None = None, with_production: bool = False) -> Sourced:
        scratch = self.folder / ".scratch"
        return gather(
            self.app, self.project, self.folder, scratch,
            until=until, with_production=with_production, author="ada",
        )  # fmt: skip

    def read(self, sourced: Sourced) -> dict[str, Any]:
        return read_file(self.app.store.artifacts.path(sourced.raw.digest), sourced.raw.media_type)

    def live(self, columns: dict[str, Any], *, source: str = "cars.csv", parent: str | None = None) -> str:
        """A live release that learnt from ``columns``."""
        snapshot = self.snapshot(columns, source)
        manifest = make_manifest(
            snapshots=({"id": snapshot.id, "digest": snapshot.digest},), parent=parent, project="cars"
        )
        release = self.app.store.releases.add(make_release(manifest=manifest, id=new_id(START)))
        present = self.app.store.rollouts.route("cars")
        revision = 0 if present is None else present.revision + 1
        self.app.store.rollouts.set_route(Route(project="cars", live=release.id, revision=revision))
        return release.id

    def snapshot(self, columns: dict[str, Any], source: str) -> Snapshot:
        store = self.app.store
        return take_snapshot(
            project="cars", columns=columns, raw=archive_columns(columns, store.artifacts), source=source,
            privacy=PrivacySpec(basis="not_personal"), tables=store.tables, snapshots=store.snapshots,
            clock=self.app.clock,
        )  # fmt: skip

    def answered(self, rows: Sequence[dict[str, Any]], prices: Sequence[float | str]) -> None:
        """Answers about cars 10, 11, ... and what those were sold for."""
        columns = {name: [row[name] for row in rows] for name in ("year", "diesel", "doors")}
        keys = [str(10 + i) for i in range(len(rows))]
        made = make_prediction(
            n_rows=len(rows), columns=columns, outputs={"predict": [1.0] * len(rows)}, keys=keys,
            event_time=datetime(2026, 5, 1, tzinfo=UTC),
        )  # fmt: skip
        numeric = frozenset({"year", "diesel", "doors"})
        self.app.store.tables.append(predictions_table("cars"), prediction_rows([made], numeric))
        said = [make_outcome(subject=k, value=v) for k, v in zip(keys, prices, strict=True)]
        self.app.store.tables.append(outcomes_table("cars"), outcome_rows(said))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "cars"
    folder.mkdir()
    lines = ["car,sold,year,diesel,doors,note,price", "1,2025-01-01,2016,true,3,good,9000"]
    (folder / "cars.csv").write_text("\n".join([*lines, "2,2025-02-01,2017,false,5,,12000"]) + "\n")
    data = DataSpec(source="cars.csv", target="price", time="sold", key="car", columns=COLUMNS)
    with open_app(make_settings(tmp_path / "home")) as app:
        yield Bench(app=app, project=make_project(data=data), folder=folder)


@pytest.mark.requirement("DAT-01")
def test_the_file_is_archived_as_it_is(bench: Bench) -> None:
    sourced = bench.sourced()
    assert bench.app.store.artifacts.get(sourced.raw.digest) == (bench.folder / "cars.csv").read_bytes()
    assert sourced.source == "cars.csv"


def test_rows_before_a_moment_are_kept_beside_the_original(bench: Bench) -> None:
    sourced = bench.sourced(until=datetime(2025, 2, 1, tzinfo=UTC))
    rows = bench.read(sourced)
    assert rows["car"].tolist() == [1.0]
    assert "rows before 2025-02-01" in sourced.source
    original = bench.sourced().raw.digest
    assert original[:12] in sourced.source


@pytest.mark.parametrize(
    ("time", "until", "message"),
    [
        (None, datetime(2025, 2, 1, tzinfo=UTC), "--until needs a time column"),
        ("year", datetime(2025, 2, 1, tzinfo=UTC), "'year' holds no times"),
        ("sold", datetime(2001, 1, 1, tzinfo=UTC), "No row of 'cars' is before 2001-01-01"),
    ],
)
def test_a_moment_that_chooses_nothing_is_refused(
    bench: Bench, time: str | None, until: datetime, message: str
) -> None:
    project = replace(bench.project, data=replace(bench.project.data, time=time))
    with pytest.raises(InvalidInput, match=message):
        replace(bench, project=project).sourced(until=until)


def test_a_table_may_be_made_by_the_projects_own_code(bench: Bench) -> None:
    code = 'import headrace\n\n\n@headrace.source\ndef rows():\n    return "cars.csv"\n'
    (bench.folder / "project.py").write_text(code)
    project = replace(bench.project, data=replace(bench.project.data, source="project.py"))
    columns = project_table(bench.folder, project, bench.folder / ".scratch")
    assert columns["price"].tolist() == [9000.0, 12000.0]
    (bench.folder / "project.py").write_text(code.replace('return "cars.csv"', 'raise OSError("offline")'))
    with pytest.raises(UserCodeError, match=r"project.py:6 in rows: OSError: offline"):
        project_table(bench.folder, project, bench.folder / ".scratch2")


def test_without_a_live_release_there_is_no_production(bench: Bench) -> None:
    with pytest.raises(NotFound, match="Nothing of 'cars' is live"):
        bench.gather(with_production=True)


CAR = {"year": 2020.0, "diesel": True, "doors": 5.0}


@pytest.mark.requirement("RET-04")
def test_labelled_answers_are_added_in_the_kinds_of_the_table(bench: Bench) -> None:
    bench.live(BASE)
    bench.answered([CAR, CAR | {"diesel": False}], [20_000.0, 21_000.0])
    rows = bench.gather(with_production=True)
    assert {name: values.dtype.kind for name, values in rows.items()} == {
        name: values.dtype.kind for name, values in BASE.items()
    }
    assert rows["car"].tolist() == [1.0, 2.0, 10.0, 11.0]
    assert rows["price"].tolist() == [9000.0, 12000.0, 20000.0, 21000.0]
    assert rows["diesel"].tolist() == [True, False, True, False]
    assert rows["doors"].tolist() == [3.0, 5.0, 5.0, 5.0]
    assert rows["note"].tolist() == ["good", None, None, None]
    assert rows["sold"][2] == np.datetime64("2026-05-01")


def test_a_missing_flag_makes_numbers_of_all(bench: Bench) -> None:
    """A column of true and false holds no null; it becomes 1, 0 and null."""
    bench.live(BASE)
    bench.answered([CAR | {"diesel": None}, CAR], [20_000.0, 21_000.0])
    rows = bench.gather(with_production=True)
    np.testing.assert_array_equal(rows["diesel"], [1.0, 0.0, np.nan, 1.0])


def test_a_label_that_says_nothing_is_not_learnt_from(bench: Bench) -> None:
    bench.live(BASE)
    bench.answered([CAR, CAR, CAR], [20_000.0, "unknown", 21_000.0])
    assert bench.gather(with_production=True)["car"].tolist() == [1.0, 2.0, 10.0, 12.0]


def test_a_label_that_is_alone_in_its_class_does_not_end_every_retraining(bench: Bench) -> None:
    """The data gate refuses a class of one row, and nobody can take a mistyped label back."""
    bench.live(BASE)
    bench.answered([CAR] * 4, ["good", "maybe", "poor", "poor"])
    data = replace(bench.project.data, target="note", columns=COLUMNS[:3])
    project = make_project(data=data, task="classification")
    sourced = replace(bench, project=project).sourced(with_production=True)
    assert bench.read(sourced)["note"].tolist() == ["good", None, "good", "poor", "poor"]
    assert "3 labelled answers" in sourced.source
    assert "left out, each the only row of its class: maybe" in sourced.source


def test_without_labels_the_rows_are_those_of_the_live_release(bench: Bench) -> None:
    bench.live(BASE)
    sourced = bench.sourced(with_production=True)
    assert bench.read(sourced)["car"].tolist() == [1.0, 2.0]
    assert "0 labelled answers" in sourced.source


def test_answers_are_added_once_however_often_it_was_retrained(bench: Bench) -> None:
    first = bench.live(BASE)
    bench.answered([CAR], [20_000.0])
    retrained = bench.sourced(with_production=True)
    bench.live(bench.read(retrained), source=retrained.source, parent=first)
    again = bench.sourced(with_production=True)
    assert bench.read(again)["car"].tolist() == [1.0, 2.0, 10.0]
    assert again.source == retrained.source


def test_a_table_that_the_project_brought_later_is_the_one_to_add_to(bench: Bench) -> None:
    first = bench.live(BASE)
    more = {name: np.concatenate([values, values]) for name, values in BASE.items()}
    more["car"] = np.array([1.0, 2.0, 3.0, 4.0])
    bench.live(more, parent=first)
    bench.answered([CAR], [20_000.0])
    assert bench.gather(with_production=True)["car"].tolist() == [1.0, 2.0, 3.0, 4.0, 10.0]


def test_a_renamed_column_is_named_with_what_it_is_probably_called_now(bench: Bench) -> None:
    random = np.random.default_rng(0)
    n = 200
    before = {name: np.resize(values, n) for name, values in BASE.items()}
    before["year"] = random.integers(1990, 2020, n).astype(np.float64)
    bench.snapshot(before, "cars.csv")
    lines = [f"{i},2025-01-01,{random.integers(1990, 2020)},true,3,good,9000" for i in range(n)]
    file = bench.folder / "cars.csv"
    file.write_text("\n".join(["car,sold,baujahr,diesel,doors,note,price", *lines]), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"no column 'year'.*probably called 'baujahr' now.*values agree"):
        bench.gather()
    file.write_text("\n".join(["car,sold,weight,diesel,doors,note,price", *lines[:50]]), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"no column 'year' \(has: [a-z, ]*\)\. Mend"):
        bench.gather()
