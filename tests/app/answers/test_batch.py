from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.app.answers.batch import BatchReport, Request, score_table
from headrace.app.answers.batch_part import ROWS_PER_PART
from headrace.app.composition import App, open_app
from headrace.app.workflows import launch
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable
from headrace.core.project import PrivacySpec
from headrace.core.record import Prediction
from headrace.core.release import Route
from headrace.core.settings import Settings
from headrace.data.snapshots import archive, take_snapshot
from headrace.data.sources import read_file
from headrace.store.records import decode_prediction
from headrace.testing.factories import make_settings
from tests.web.making import AUTHOR
from tests.web.seed import VIEWER, seed


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = make_settings(tmp_path_factory.mktemp("batch") / "home", user=AUTHOR)
    with open_app(made) as app, launch(app, role="server"):
        seed(app)
    return made


@pytest.fixture
def app(settings: Settings) -> Iterator[App]:
    with open_app(settings) as made:
        yield made


def _table(folder: Path, n_rows: int, odd: str = "") -> Path:
    path = folder / "cars.csv"
    lines = [f"car-{row},{row}.5,{'a3' if row % 2 else 'tt'}" for row in range(n_rows)]
    path.write_text("\n".join(["plate,mileage,model", *lines, *filter(None, [odd])]) + "\n")
    return path


def _score(app: App, source: Path | str, out: Path, **changes: Any) -> BatchReport:
    return score_table(app, app.me(), Request(project="cars", source=str(source), out=out, **changes))


def _rows(out: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    with duckdb.connect() as engine:
        return engine.execute(f"SELECT {columns} FROM '{out}'").fetchall()


def _recorded(app: App, batch: str) -> list[Prediction]:
    stream = "cars/predictions"
    decoded = [
        decode_prediction(record)
        for segment in app.store.events.segments(stream)
        for record in app.store.events.read(stream, segment.name, 0, 1 << 30)[0]
    ]
    return [one for one in decoded if one.request_id == f"batch:{batch}"]


@pytest.mark.requirement("SRV-02")
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_every_row_is_in_the_output_in_order_and_on_record(app: App, tmp_path: Path, form: str) -> None:
    source, out = _table(tmp_path, 5, "car-5,unknown,a3"), tmp_path / f"out.{form}"
    told: list[tuple[int, int, int]] = []
    asked = Request(project="cars", source=str(source), out=out, keep=["plate"], max_refused=0.2)
    report = score_table(app, app.me(), asked, tell=lambda *state: told.append(state))
    rows = _rows(out, "row, plate, predict, subject, refused")
    assert [row[:3] for row in rows] == [(n, f"car-{n}", n + 0.5) for n in range(5)] + [(5, "car-5", None)]
    assert "Input 'mileage': got 'unknown'. Expected a finite number" in rows[5][4]
    assert (report.n_rows, report.n_refused, report.version) == (6, 1, "1")
    assert told == [(0, 6, 0), (6, 6, 1)]
    assert not out.with_name(out.name + ".parts").exists()
    (recorded,) = _recorded(app, report.id)
    assert [f"{recorded.id}:{n}" for n in range(5)] == [row[3] for row in rows[:5]]
    assert recorded.outputs["predict"] == [n + 0.5 for n in range(5)]
    assert (recorded.release_id, recorded.principal, recorded.arm) == (report.release, AUTHOR, "live")


def test_a_run_is_in_the_audit_log_without_its_query(app: App, tmp_path: Path) -> None:
    query = "SELECT * FROM source WHERE plate <> 'car-1'"
    report = _score(app, _table(tmp_path, 3), tmp_path / "o.csv", query=query, recorded=False)
    finish, start = app.store.audit.search(report.id)
    assert (start.action, finish.action) == ("batch.start", "batch.finish")
    assert (finish.actor, finish.resource) == (AUTHOR, "project:cars")
    assert finish.detail["out_digest"] == report.out_digest
    assert finish.detail["source_digest"] == report.source_digest
    assert (finish.detail["rows"], finish.detail["refused"], finish.detail["recorded"]) == (2, 0, False)
    assert "car-1" not in str(finish.detail)
    assert _recorded(app, report.id) == []


def test_a_snapshot_is_scored_as_its_file(app: App, tmp_path: Path) -> None:
    source = _table(tmp_path, 7)
    taken = take_snapshot(
        project="cars",
        columns=read_file(source),
        raw=archive(source, app.store.artifacts),
        source="cars.csv",
        privacy=PrivacySpec(basis="contract"),
        tables=app.store.tables,
        snapshots=app.store.snapshots,
        clock=app.clock,
    )
    report = _score(app, f"snapshot:{taken.id}", tmp_path / "a.parquet")
    assert report.source_digest == taken.digest
    _score(app, source, tmp_path / "b.parquet")
    columns = "row, predict, refused"
    assert _rows(tmp_path / "a.parquet", columns) == _rows(tmp_path / "b.parquet", columns)


@pytest.mark.requirement("SRV-02")
@pytest.mark.parametrize(("when", "processes"), [("after", 1), ("before", 2)])
def test_a_killed_run_goes_on_with_no_row_twice_or_missing(
    settings: Settings, tmp_path: Path, when: str, processes: int
) -> None:
    n_rows = 3 * ROWS_PER_PART + 17
    source, out = _table(tmp_path, n_rows), tmp_path / "out.parquet"
    command = [sys.executable, "-m", "tests.app.answers.killed_batch", "2", when, str(settings.home)]
    killed = subprocess.run([*command, str(source), str(out), str(processes)], check=False)
    assert killed.returncode == -9
    assert not out.exists()
    with open_app(settings) as app:
        report = _score(app, source, out)
        assert (report.n_rows, report.n_refused) == (n_rows, 0)
        assert [row[0] for row in _rows(out)] == list(range(n_rows))
        recorded = _recorded(app, report.id)
        subjects = [f"{one.id}:{n}" for one in recorded for n in range(one.n_rows)]
        assert len(subjects) == len(set(subjects)) == n_rows
        found = _rows(out, "subject")
        assert {row[0] for row in found} == set(subjects)
        assert len(app.store.audit.search(report.id)) == 2
        with pytest.raises(Conflict, match="is there already"):
            _score(app, source, out)


def test_a_scoring_process_that_is_killed_is_told_and_the_run_goes_on(app: App, tmp_path: Path) -> None:
    n_rows = 5 * ROWS_PER_PART + 1  # so that several are under way when they are killed
    source, out = _table(tmp_path, n_rows), tmp_path / "out.parquet"

    def kill(_done: int, _all: int, _refused: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    asked = Request(project="cars", source=str(source), out=out, processes=2)
    with pytest.raises(Unavailable, match="the same command goes on"):
        score_table(app, app.me(), asked, tell=kill)
    report = _score(app, source, out, processes=2)
    assert (report.n_rows, [row[0] for row in _rows(out, "row")]) == (n_rows, list(range(n_rows)))


@pytest.mark.xdist_group("ray")
@pytest.mark.requirement("SRV-02")
def test_a_cluster_scores_as_this_machine_does_and_what_it_leaves_is_finished_here(
    settings: Settings, ray_cluster: None, tmp_path: Path
) -> None:
    n_rows = 5 * ROWS_PER_PART + 1
    source, out = _table(tmp_path, n_rows), tmp_path / "out.parquet"

    def kill(done: int, _all: int, _refused: int) -> None:
        if done:
            for told in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    if told.read_bytes().startswith(b"ray::_Worker"):
                        os.kill(int(told.parent.name), signal.SIGKILL)

    with open_app(replace(settings, ray_address="local")) as app:
        asked = Request(project="cars", source=str(source), out=out, processes=2)
        with pytest.raises(Unavailable, match="the same command goes on"):
            score_table(app, app.me(), asked, tell=kill)
        report = _score(app, source, out, processes=2)
    with open_app(settings) as app:
        _score(app, source, tmp_path / "here.parquet")
        recorded = _recorded(app, report.id)
    assert (report.n_rows, report.n_refused) == (n_rows, 0)
    columns = "row, predict, refused"
    assert _rows(out, columns) == _rows(tmp_path / "here.parquet", columns)
    assert sum(one.n_rows for one in recorded) == n_rows


def test_a_run_that_was_begun_takes_no_other_source_or_release(app: App, tmp_path: Path) -> None:
    source, out = _table(tmp_path, 20, "car-x,odd,a3"), tmp_path / "out.csv"
    with pytest.raises(InvalidInput, match="More than 0 of 21 rows cannot be answered"):
        _score(app, source, out, max_refused=0.0)
    with pytest.raises(Conflict, match="another query"):
        _score(app, source, out, query="SELECT * FROM source")
    with pytest.raises(Conflict, match="another release"):
        _score(app, source, out, release="2")
    route = app.store.rollouts.route("cars")
    assert route is not None
    app.store.rollouts.set_route(_moved(route, route.canary or ""))
    try:
        with pytest.raises(Conflict, match="another release.*--release 1"):
            _score(app, source, out)
    finally:
        moved = app.store.rollouts.route("cars")
        assert moved is not None
        app.store.rollouts.set_route(replace(route, revision=moved.revision + 1))
    text = source.read_text()
    source.write_text(text.replace("car-1,", "car-one,"))
    with pytest.raises(Conflict, match="another source"):
        _score(app, source, out, max_refused=1.0)
    source.write_text(text)
    assert _score(app, source, out, max_refused=0.05).n_refused == 1


def _moved(route: Route, live: str) -> Route:
    return replace(route, live=live, canary=None, canary_weight=0.0, revision=route.revision + 1)


def test_answers_are_about_the_hour_of_their_row(app: App, tmp_path: Path) -> None:
    project = app.store.projects.get("cars")
    timed = replace(project, data=replace(project.data, time="sold", key="plate"))
    source = tmp_path / "sold.csv"
    source.write_text(
        "plate,mileage,model,sold\na,1,a3,2026-01-31T08:10:00\nb,2,a3,2026-01-31T07:00:00\n"
        "c,3,a3,2026-01-31T08:50:00\nd,4,a3,\n"
    )
    app.store.projects.save(timed, "/nowhere/cars")
    try:
        report = _score(app, source, tmp_path / "out.csv")
    finally:
        app.store.projects.save(project, "/nowhere/cars")
    first, second, last = _recorded(app, report.id)
    assert (first.event_time, first.keys) == (datetime(2026, 1, 31, 8, tzinfo=UTC), ["a", "c"])
    assert (second.event_time, second.keys) == (datetime(2026, 1, 31, 7, tzinfo=UTC), ["b"])
    assert (last.event_time, last.keys) == (last.at, ["d"])
    rows = _rows(tmp_path / "out.csv", "plate, subject, predict")
    assert rows == [
        ("a", f"{first.id}:0", 1.0),
        ("b", f"{second.id}:0", 2.0),
        ("c", f"{first.id}:1", 3.0),
        ("d", f"{last.id}:0", 4.0),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"out": Path("x.xlsx")}, InvalidInput, "Expected .parquet or .csv"),
        ({"max_refused": 2.0}, InvalidInput, "between 0 and 1"),
        ({"source": "absent.csv"}, NotFound, "There is no file"),
        ({"source": "snapshot:none"}, NotFound, "none"),
        ({"release": "9"}, NotFound, "no release or model version '9'"),
        ({"keep": ["colour"]}, InvalidInput, "no column 'colour' to keep"),
        ({"query": "SELECT mileage FROM source"}, InvalidInput, "no column 'model', which the model"),
        (
            {"query": "SELECT *, 1 AS predict FROM source", "keep": ["predict"]},
            InvalidInput,
            "cannot be kept",
        ),
        ({"project": "tsa-passengers"}, NotFound, "Nothing of 'tsa-passengers' is live"),
    ],
)
def test_what_cannot_be_scored(
    app: App, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = Request(project="cars", source=str(_table(tmp_path, 3)), out=tmp_path / "out.csv")
    if "out" in changes:
        changes = {"out": tmp_path / changes["out"]}
    with pytest.raises(error, match=message):
        score_table(app, app.me(), replace(asked, **changes))
    assert list(tmp_path.iterdir()) == [tmp_path / "cars.csv"]


def test_a_release_that_never_answered_is_not_used(app: App, tmp_path: Path) -> None:
    releases = app.store.releases.list("flight-delay")
    aborted = next(one for one in releases if one.state == "aborted")
    asked = Request(
        project="flight-delay",
        source=str(_table(tmp_path, 3)),
        out=tmp_path / "out.csv",
        release=aborted.id,
    )
    with pytest.raises(Conflict, match="is aborted. Expected one that is live, on trial, or was live"):
        score_table(app, app.me(), asked)


@pytest.mark.requirement("SRV-02")
def test_who_may_not_predict_scores_nothing(app: App, tmp_path: Path) -> None:
    asked = Request(project="cars", source=str(_table(tmp_path, 3)), out=tmp_path / "out.csv")
    with pytest.raises(Denied, match="predict"):
        score_table(app, app.identities.resolve(VIEWER), asked)
    assert list(tmp_path.iterdir()) == [tmp_path / "cars.csv"]
