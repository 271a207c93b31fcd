"""Makes a recorded run again from its record alone, and says whether the same came out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from headrace.core.canonical import digest_bytes
from headrace.core.data import Run
from headrace.core.errors import Conflict, InvalidInput
from headrace.store import Store
from headrace.training.archives import unpack_arrays
from headrace.training.fresh import differences_in, make_environment
from headrace.training.lock import environment_differences
from headrace.training.pipeline import TIMEOUT_S, train_recipe
from headrace.training.rooms import own_folder

Environment = Literal["present", "fresh"]


class RebuildResult(NamedTuple):
    """What came out.

    Attributes:
        proved_by: ``digest``: the package is the same to the last byte. ``predictions``: it is not, as where
            a framework is not deterministic, and the model answers each row of the frozen test set exactly
            as the recorded one did. ``nothing``: it answers otherwise.
        largest_difference: between two answers to a test row; None where they cannot be compared.
        environment: in which it was made: the ``present`` one, or a ``fresh`` one made from the lock.
        differences: how that environment differs from the recorded one: with any, another digest proves
            nothing about the record.
    """

    run_id: str
    proved_by: Literal["digest", "predictions", "nothing"]
    same_digest: bool
    same_predictions: bool
    metrics_equal: bool
    largest_difference: float | None
    recorded_digest: str
    rebuilt_digest: str
    recorded_metrics: dict[str, float]
    rebuilt_metrics: dict[str, float]
    environment: Environment
    same_environment: bool
    differences: list[str]


def rebuild_run(
    run: Run,
    store: Store,
    workdir: Path,
    *,
    environment: Environment | None = None,
    timeout_s: float = TIMEOUT_S,
    told: Callable[[str], None] = lambda _: None,
) -> RebuildResult:
    """Train again from the archived code, the snapshot, the parameters and the seed; keeps nothing.

    Args:
        workdir: a folder for temporary files; made if absent.
        environment: without it the present one if it equals the lock, else a fresh one made from the lock.
        timeout_s: of the training.
        told: gets a sentence before something that takes minutes.

    Raises:
        InvalidInput: the run did not finish, so there is nothing to compare with; or its environment cannot
            be made on this machine.
        Conflict: rows that it was trained on were erased since.
        NotFound: something that it was made from is not kept here any more, or a package that the lock lists
            is not to be had any more.
        UserCodeError: the archived code fails today.

    Example::

        rebuild_run(store.runs.get(run_id), store, Path("scratch")).proved_by  # "digest"
    """
    if run.state != "finished" or run.package is None:
        raise InvalidInput(f"Run {run.id} is {run.state} and has no package. Rebuild a finished run.")
    snapshot = store.snapshots.get(run.snapshot_id)
    if snapshot.n_erased:
        raise Conflict(
            f"Run {run.id} cannot be made again: {snapshot.n_erased} of the {snapshot.n_rows} rows of its "
            f"snapshot {snapshot.id} were erased since. Build a new version with 'headrace run'."
        )
    lock = store.artifacts.get(run.environment.digest)
    if environment is None:
        environment = "fresh" if environment_differences(lock) else "present"
    with own_folder(workdir, "rebuild-") as folder:
        python = Path(sys.executable)
        if environment == "fresh":
            told("Installing what the lock lists into an environment of its own. This takes minutes.")
            python = make_environment(lock, folder / "environment")
        differences = differences_in(python, lock)
        told("Training again.")
        elsewhere = python if environment == "fresh" else None
        trained = train_recipe(store, run, folder / "training", timeout_s, python=elsewhere)
    digest = digest_bytes(trained.package)
    same_digest = digest == run.package.digest
    largest = _largest_difference(store.artifacts.get(run.outputs["test_predictions"].digest), trained.test)
    return RebuildResult(
        run_id=run.id,
        proved_by="digest" if same_digest else "predictions" if largest == 0 else "nothing",
        same_digest=same_digest,
        same_predictions=largest == 0,
        metrics_equal=trained.metrics == run.metrics,
        largest_difference=largest,
        recorded_digest=run.package.digest,
        rebuilt_digest=digest,
        recorded_metrics=run.metrics,
        rebuilt_metrics=trained.metrics,
        environment=environment,
        same_environment=not differences,
        differences=differences,
    )


def _largest_difference(recorded: bytes, rebuilt: bytes) -> float | None:
    """Between answers to the same rows; None where one refuses a row that the other answers."""
    then, now = (unpack_arrays(data, "The predictions") for data in (recorded, rebuilt))
    if {name: values.shape for name, values in then.items()} != {n: v.shape for n, v in now.items()}:
        return None
    largest = 0.0
    for name, values in then.items():
        if not np.array_equal(np.isnan(values), np.isnan(now[name])):
            return None
        gaps = np.abs(values.astype(np.float64) - now[name].astype(np.float64))
        largest = max(largest, float(np.nanmax(gaps, initial=0.0)))
    return largest
