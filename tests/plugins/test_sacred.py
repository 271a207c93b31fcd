"""Folders that Sacred itself has written, and some that it would not write."""

from __future__ import annotations

import json
import math
import warnings
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.plugins.sacred import sacred_runs


def write_runs(folder: Path) -> Path:
    """One run that ended well and one that failed, by Sacred's own observer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Sacred's own code, on the newest of everything
        from sacred import Experiment
        from sacred.observers import FileStorageObserver

        experiment: Any = Experiment("deliveries", interactive=True, save_git_info=False)
        experiment.observers.append(FileStorageObserver(str(folder)))
        experiment.add_config({"alpha": 0.5, "model": {"depth": 3, "kind": "tree"}, "seed": 7})

        @experiment.main  # type: ignore[untyped-decorator]
        def train(_run: Any, alpha: float) -> float:
            for step in range(3):
                _run.log_scalar("loss", alpha / (step + 1), step)
            _run.log_scalar("gap", math.nan, 0)
            return 0.25

        @experiment.command  # type: ignore[untyped-decorator]
        def fail() -> None:
            raise ValueError("no such street")

        experiment.run(config_updates={"alpha": 0.75})
        with pytest.raises(ValueError, match="no such street"):
            experiment.run("fail")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("sacred") / "runs")


@pytest.mark.requirement("EXP-06")
def test_runs_are_read_with_parameters_metrics_by_step_and_times(written: Path) -> None:
    finished, failed = sacred_runs(written)
    assert finished.params == {"alpha": 0.75, "model.depth": 3, "model.kind": "tree", "seed": 7}
    assert [(point.step, point.value) for point in finished.series["loss"]] == [
        (0, 0.75),
        (1, 0.375),
        (2, 0.25),
    ]
    assert math.isnan(finished.metrics["gap"])
    assert finished.metrics["result"] == 0.25
    assert finished.started_at <= finished.series["loss"][0].at <= finished.finished_at
    assert finished.started_at.tzinfo is UTC
    assert (finished.name, finished.error) == ("deliveries 1", None)
    assert (failed.name, failed.error) == ("deliveries 2", "ValueError: no such street")
    assert finished.source_id != failed.source_id
    assert [one.source_id for one in sacred_runs(written / "1")] == [finished.source_id]


def test_a_run_under_way_is_left_alone(written: Path, tmp_path: Path) -> None:
    about = json.loads((written / "1" / "run.json").read_text()) | {"status": "RUNNING"}
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "run.json").write_text(json.dumps(about))
    assert list(sacred_runs(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[1]"),
        ("run.json", '{"status": "COMPLETED"}'),
        ("run.json", '{"status": "COMPLETED", "experiment": {"name": "x"}, "start_time": "yesterday"}'),
        ("config.json", "[]"),
        ("metrics.json", '{"loss": {"steps": [1], "timestamps": [], "values": [1]}}'),
        ("metrics.json", '{"loss": {"steps": [1], "timestamps": ["2026-01-01"], "values": ["low"]}}'),
    ],
)
def test_what_sacred_would_not_write_is_said(written: Path, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "1").mkdir()
    for path in (written / "1").glob("*.json"):
        (tmp_path / "1" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "1" / name).write_text(content)
    with pytest.raises(InvalidInput, match="Sacred"):
        list(sacred_runs(tmp_path))
