"""Which rows teach and which test: seeded, reproducible, and proven to share no data point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import SplitSpec
from headrace.data.frames import kind_of, mix, n_rows, nulls, row_hashes

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row positions of either side, ascending.

    Attributes:
        train, test: int64, shapes ``(n_train,)`` and ``(n_test,)``.
        time: the column that a sequential split follows; None for a random one.
    """

    train: Positions
    test: Positions
    policy: Literal["random", "sequential"]
    time: str | None = None

    def prove_disjoint(self, columns: Columns) -> dict[str, Any]:
        """Evidence that no data point is on both sides, as JSON.

        Raises:
            InvalidInput: one is, or (sequential) a training row is not older than every test row.
        """
        n = n_rows(columns)
        together = np.concatenate([self.train, self.test])
        if len(together) != len(np.unique(together)):
            raise InvalidInput("A row is on both sides of the split, or twice on one. Split again.")
        if len(together) and not (together.min() >= 0 and together.max() < n):
            raise InvalidInput(f"The split names rows that a table of {n} rows does not have.")
        hashes = row_hashes(columns)
        shared = np.intersect1d(hashes[self.train], hashes[self.test])
        if len(shared):
            first = int(np.flatnonzero(hashes == shared[0])[0])
            raise InvalidInput(
                f"{len(shared)} data points are on both sides of the split; the first is row {first}. "
                "Equal rows have to stay on one side."
            )
        proof: dict[str, Any] = {
            "policy": self.policy,
            "n_train": len(self.train),
            "n_test": len(self.test),
            "shared_data_points": 0,
        }
        if self.time is not None:
            proof |= self._prove_order(columns[self.time])
        return proof

    def _prove_order(self, times: NDArray[Any]) -> dict[str, Any]:
        if not len(self.train) or not len(self.test):
            return {}
        newest, oldest = times[self.train].max(), times[self.test].min()
        if not newest < oldest:
            raise InvalidInput(
                f"The split overlaps in time: training rows reach {newest}, test rows begin at {oldest}."
            )
        return {"trained_until": f"{newest}Z", "tested_from": f"{oldest}Z"}


def split(columns: Columns, spec: SplitSpec, time: str | None = None) -> Split:
    """Divide a table into training and test rows.

    ``random`` ranks rows by a seeded hash of their content: the order of the rows does not matter, equal
    rows stay together, and with unique rows the share is exact. ``sequential`` tests on the newest rows;
    rows of the same time stay together.

    Raises:
        InvalidInput: the share leaves one side empty, rows cannot be told apart, or a time is missing.

    >>> halves = split({"x": np.arange(10.0)}, SplitSpec(test_fraction=0.3))
    >>> len(halves.train), len(halves.test)
    (7, 3)
    """
    n = n_rows(columns)
    if not 0 < spec.test_fraction < 1:
        raise InvalidInput(
            f"test_fraction is {spec.test_fraction}. Expected a share between 0 and 1, such as 0.3."
        )
    if n < 2:
        raise InvalidInput(f"A table with {n} rows cannot be split. Expected at least 2.")
    n_test = min(max(round(n * spec.test_fraction), 1), n - 1)
    if spec.policy == "sequential":
        return _sequential(columns, time, n_test)
    hashes = row_hashes(columns)
    seed = np.array([spec.seed & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64)
    return _cut(mix(hashes ^ mix(seed)), n_test, "random", None)


def _sequential(columns: Columns, time: str | None, n_test: int) -> Split:
    if time is None or time not in columns or kind_of(columns[time]) != "time":
        raise InvalidInput(
            f"A sequential split follows a time column; got {time!r}. "
            "Name one under data.time, or use the policy 'random'."
        )
    missing = int(nulls(columns[time]).sum())
    if missing:
        raise InvalidInput(
            f"{missing} rows have no {time!r}, so they belong to neither side. Drop them or fill them in."
        )
    # The newest come first, as those that test.
    return _cut(-columns[time].astype(np.int64), n_test, "sequential", time)


def _cut(
    ranks: NDArray[Any], n_test: int, policy: Literal["random", "sequential"], time: str | None
) -> Split:
    """The rows of lowest rank test; where ranks tie, the cut that is nearest to ``n_test``."""
    groups, place, sizes = np.unique(ranks, return_inverse=True, return_counts=True)
    if len(groups) < 2:
        what = "time" if time else "content"
        raise InvalidInput(f"All rows have the same {what}, so they cannot be divided. Check the data.")
    reached = np.cumsum(sizes)[:-1]
    n_groups = int(np.abs(reached - n_test).argmin()) + 1
    is_test = place < n_groups
    return Split(train=np.flatnonzero(~is_test), test=np.flatnonzero(is_test), policy=policy, time=time)
