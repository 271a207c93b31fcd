"""What a worker process is told, and the names of the files that it leaves."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headrace.core.project import Column
from headrace.training.package import PackageInfo

RESULT = "result.json"
PACKAGE = "model.package"
TEST = "test.npz"
PROBES = "probes.npz"
PROBE_TABLE = "probes.parquet"
TABLE = "table.parquet"
MEASURED = "measured.npz"
EXPLAINED = "explained.json"
STATE = "state.pkl"
LEARNT = "learnt.npz"


class Job(msgspec.Struct, kw_only=True, frozen=True):
    """One job. The fields from ``inputs`` on are for training, ``metrics`` and ``tables`` for measuring.

    Attributes:
        folder: of the user's code.
        params: arguments of the trainer or the source.
        output: where files are left.
        life: descriptor of a pipe that closes when the parent ends.
        inputs: an ``.npz`` file with ``y`` of the training rows and, for forecasting, ``times`` and
            ``values`` of the history.
        train, test: Parquet files with the raw inputs of those rows.
        columns: the inputs with their roles.
        tolerance: how far the package may answer from the original.
        metrics: names of the user's own.
        tables: Parquet files, each with ``truth``, ``predict``, ``probability_0`` and so on, and ``in_*``.
        explainer, package: name of the user's own, and the file of the model that is explained; then
            ``tables`` are the background and the rows.
        metric, budget: without truth: the loss to measure, and the share of rows that may be flagged.
        probe_s: for how long shuffled labels are learnt; none is begun after that.
        model: folder of an MLflow model, or file of one that learns online, to take instead of training one.
    """

    kind: Literal["train", "table", "measure", "explain", "learn", "probe"]
    folder: str
    output: str
    life: int
    params: dict[str, Any] = {}
    inputs: str = ""
    train: str = ""
    test: str = ""
    columns: list[Column] = []
    tolerance: float = 1e-3
    trainer: str = ""
    model: str = ""
    seed: int = 0
    metrics: list[str] = []
    metric: str = ""
    budget: float = 0.01
    probe_s: float = 0.0
    explainer: str = ""
    package: str = ""
    tables: list[str] = []
    encoding: dict[str, Any] = {}
    info: PackageInfo | None = None
