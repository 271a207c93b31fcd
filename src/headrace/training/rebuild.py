"""Makes a recorded run again from its record alone, and says whether the same came out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from headrace.core.canonical import digest_bytes
from headrace.core.data import Run
from headrace.core.errors import Conflict, InvalidInput
from headrace.store import Store
from headrace.training.lock import environment_differences
from headrace.training.pipeline import TIMEOUT_S, train_recipe


class RebuildResult(NamedTuple):
    """What came out.

    ``differences`` lists how the present environment differs from the recorded one: with any, another
    digest proves nothing about the record.
    """

    run_id: str
    same_digest: bool
    metrics_equal: bool
    recorded_digest: str
    rebuilt_digest: str
    recorded_metrics: dict[str, float]
    rebuilt_metrics: dict[str, float]
    same_environment: bool
    differences: list[str]


def rebuild_run(run: Run, store: Store, workdir: Path, *, timeout_s: float = TIMEOUT_S) -> RebuildResult:
    """Train again from the archived code, the snapshot, the parameters and the seed; keeps nothing.

    Args:
        workdir: a folder for temporary files; made if absent.

    Raises:
        InvalidInput: the run did not finish, so there is nothing to compare with.
        Conflict: rows that it was trained on were erased since.
        NotFound: something that it was made from is not kept here any more.
        UserCodeError: the archived code fails today.

    Example::

        rebuild_run(store.runs.get(run_id), store, Path("scratch")).same_digest  # True
    """
    if run.state != "finished" or run.package is None:
        raise InvalidInput(f"Run {run.id} is {run.state} and has no package. Rebuild a finished run.")
    snapshot = store.snapshots.get(run.snapshot_id)
    if snapshot.n_erased:
        raise Conflict(
            f"Run {run.id} cannot be made again: {snapshot.n_erased} of the {snapshot.n_rows} rows of its "
            f"snapshot {snapshot.id} were erased since. Build a new version with 'headrace run'."
        )
    differences = environment_differences(store.artifacts.get(run.environment.digest))
    folder = workdir / f"rebuild-{run.id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        trained = train_recipe(store, run, folder, timeout_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    digest = digest_bytes(trained.package)
    return RebuildResult(
        run_id=run.id,
        same_digest=digest == run.package.digest,
        metrics_equal=trained.metrics == run.metrics,
        recorded_digest=run.package.digest,
        rebuilt_digest=digest,
        recorded_metrics=run.metrics,
        rebuilt_metrics=trained.metrics,
        same_environment=not differences,
        differences=differences,
    )
