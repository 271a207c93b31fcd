"""What a model is made from and what making it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Bytes that are kept, named by their SHA-256."""

    digest: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An immutable state of a project's table.

    Attributes:
        raw: the bytes as they came, before any transform.
        table, table_version: the Delta table and the version that holds these rows.
        digest: SHA-256 over the column names, types and values in row order.
        columns: column name to type: ``number``, ``text``, ``time`` or ``boolean``.
        basis, purpose: why the data might be collected, as stated when it was.
        n_erased: rows that were taken out because a subject was erased; ``n_rows`` and ``digest`` say what
            was learnt from.
        left_digest: digest of the rows that are left then.
    """

    id: str
    project: str
    raw: Artifact
    table: str
    table_version: int
    digest: str
    n_rows: int
    columns: dict[str, str]
    source: str
    created_at: datetime
    basis: str = ""
    purpose: str = ""
    n_erased: int = 0
    left_digest: str = ""


RunState = Literal["running", "finished", "failed"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt to make a model, successful or not.

    Attributes:
        build_id: the workflow that this attempt belongs to; variants of one build share it.
        fingerprint: digest of data, code, environment, parameters and seed.
        package: the deployable artefact; none while running or after a failure.
        outputs: further artefacts by role, such as ``test_predictions``.
        metrics: metric name to value on the test rows.
        timings_s: step name to seconds.
        tracking_id: id of the same run in MLflow.
    """

    id: str
    build_id: str
    project: str
    variant: str
    cause: str
    author: str
    state: RunState
    fingerprint: str
    snapshot_id: str
    code: Artifact
    environment: Artifact
    params: dict[str, Any]
    seed: int
    started_at: datetime
    finished_at: datetime | None = None
    package: Artifact | None = None
    outputs: dict[str, Artifact] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    tracking_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a metric while a run was under way; ``value`` may be NaN, as training gives it."""

    step: int
    at: datetime
    value: float


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """An immutable numbered model; ``registry_version`` is its number in MLflow."""

    project: str
    version: int
    run_id: str
    package: Artifact
    registered_at: datetime
    registry_version: str | None = None
