"""Event-time windows over real tables: each row in exactly one, closed by the watermark."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.record import Prediction
from headrace.monitoring.ingest import prediction_rows, predictions_table
from headrace.monitoring.windows import (
    FAIR_SHARE,
    closed_windows,
    origin_of,
    watermark,
    window_of,
    window_parts,
    window_rows,
)
from headrace.store.tables import DeltaTables

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_S = 3600


def prediction(index: int, minutes: int, *, release: str = "r1", n_rows: int = 1) -> Prediction:
    moment = START + timedelta(minutes=minutes)
    return Prediction(
        id=f"p{index}",
        project="cars",
        release_id=release,
        arm="live",
        principal="app",
        at=moment,
        event_time=moment,
        n_rows=n_rows,
        columns={"year": [2017.0] * n_rows},
        outputs={"predict": [1.0] * n_rows},
    )


@pytest.mark.requirement("MON-06")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(["r1", "r2"])), min_size=1, max_size=60))
def test_a_release_has_the_windows_of_which_it_answered_a_fair_share(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, str]]
) -> None:
    tables = DeltaTables(tmp_path_factory.mktemp("tables"))
    made = [prediction(i, minutes, release=release) for i, (minutes, release) in enumerate(arrivals)]
    tables.append(predictions_table("cars"), prediction_rows(made, frozenset({"year"})))
    newest = watermark("cars", tables)
    assert newest == START + timedelta(minutes=max(minutes for minutes, _ in arrivals))
    origin = origin_of("cars", tables, HOUR_S)
    assert origin is not None
    expected = Counter(
        (release, window_of(START + timedelta(minutes=minutes), HOUR_S, origin))
        for minutes, release in arrivals
    )
    found = {(w.release_id, (w.start, w.end)): w.n_rows for w in closed_windows("cars", tables, HOUR_S)}
    total = Counter(window for _, window in expected.elements())
    assert found == {
        (release, window): n
        for (release, window), n in expected.items()
        if window[1] <= newest and n >= FAIR_SHARE * total[window]
    }


def test_a_canary_has_no_window_of_its_own(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    live = [prediction(i, i) for i in range(50)]
    canary = [replace(prediction(100 + i, i, release="r2"), arm="canary") for i in range(50)]
    later = prediction(999, 61)
    rows = prediction_rows([*live, *canary, later], frozenset({"year"}))
    tables.append(predictions_table("cars"), rows)
    assert [(w.release_id, w.n_rows) for w in closed_windows("cars", tables, HOUR_S)] == [("r1", 50)]


def test_an_answer_about_the_future_closes_no_window_before_its_time(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    early = [prediction(i, i) for i in range(3)]
    far = replace(prediction(3, 3), event_time=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    tables.append(predictions_table("cars"), prediction_rows([*early, far], frozenset({"year"})))
    assert watermark("cars", tables) == START + timedelta(minutes=3)
    assert closed_windows("cars", tables, HOUR_S) == []


@pytest.mark.parametrize(
    "edge", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
)
def test_the_first_and_the_last_moment_have_a_window(tmp_path: Path, edge: datetime) -> None:
    start, end = window_of(edge, 7 * 24 * HOUR_S, START)
    assert start <= edge <= end
    tables = DeltaTables(tmp_path)
    answers = [prediction(0, 0), replace(prediction(1, 61), event_time=edge)]
    tables.append(predictions_table("cars"), prediction_rows(answers, frozenset({"year"})))
    closed = closed_windows("cars", tables, 7 * 24 * HOUR_S)
    assert [window.start for window in closed] == ([start] if edge < START else [])


def test_each_arm_of_a_split_has_its_windows(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    rows = [
        replace(prediction(100 * n + i, i, release=f"r{n}"), arm=f"v{n}")
        for n, count in ((1, 35), (2, 12), (3, 3))
        for i in range(count)
    ]
    later = prediction(999, 61)
    tables.append(predictions_table("cars"), prediction_rows([*rows, later], frozenset({"year"})))
    windows = closed_windows("cars", tables, HOUR_S)
    assert [(w.release_id, w.n_rows) for w in windows] == [("r1", 35), ("r2", 12)], "3 of 50 rows are too few"
    assert len(window_rows("cars", tables, windows[1])["arm"]) == 12


def test_nothing_answered_means_no_window(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    assert watermark("cars", tables) is None
    assert closed_windows("cars", tables, HOUR_S) == []


def test_of_a_large_window_a_sample_is_read_and_its_parts_are_all_of_it(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    answers = [prediction(index, index % 600, n_rows=5) for index in range(600)]
    tables.append(predictions_table("cars"), prediction_rows(answers, frozenset({"year"})))
    (window, *_) = closed_windows("cars", tables, 9 * HOUR_S)
    assert window.n_rows == 9 * 60 * 5
    everything = window_rows("cars", tables, window)["subject"]
    assert len(everything) == window.n_rows
    sample = window_rows("cars", tables, window, most=900)["subject"]
    assert 750 <= len(sample) <= 1050
    assert set(sample) < set(everything)
    assert sample.tolist() == window_rows("cars", tables, window, most=900)["subject"].tolist()
    parts = [part["subject"].tolist() for part in window_parts("cars", tables, window, most=1000)]
    assert [len(part) for part in parts] == [900, 900, 900]
    assert Counter(subject for part in parts for subject in part) == Counter(everything.tolist())
