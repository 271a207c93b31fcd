"""How well do clusters hold together and apart? Without truth: from the rows and their clusters alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

Floats = NDArray[np.float64]
_BLOCK = 1_000


def silhouette(rows: Any, clusters: Any) -> Floats:
    """The silhouette of each row, -1 to 1, shape ``(n_rows,)`` (Rousseeuw, J. Comput. Appl. Math. 20, 1987).

    Near 1 a row is close to its own cluster and far from the next. A row alone in its cluster has 0. All
    pairs of rows are compared, a thousand rows at a time.

    Args:
        rows: numbers on a common scale, shape ``(n_rows, n_features)``.
        clusters: the cluster of each row, shape ``(n_rows,)``.

    Raises:
        InvalidInput: shapes that do not match, values that are not finite, or not 2 to n_rows - 1 clusters.
    """
    points, place = _checked(rows, clusters)
    counts = np.bincount(place)
    member = np.eye(counts.size)[place]
    squared = (points**2).sum(axis=1)
    values = np.zeros(len(points))
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        gaps = squared[block, None] + squared[None, :] - 2 * points[block] @ points.T
        apart = np.sqrt(np.maximum(gaps, 0)) @ member
        mine, index = place[block], np.arange(len(points[block]))
        inner = apart[index, mine] / np.maximum(counts[mine] - 1, 1)
        between = apart / counts
        between[index, mine] = np.inf
        nearest = between.min(axis=1)
        largest = np.maximum(inner, nearest)
        known = (counts[mine] > 1) & (largest > 0)
        values[block] = np.where(known, (nearest - inner) / np.where(largest > 0, largest, 1), 0.0)
    return values


def davies_bouldin(rows: Any, clusters: Any) -> float:
    """Mean over clusters of the worst ratio of spread to distance; smaller is better, 0 is best.

    Davies and Bouldin, IEEE PAMI 1 (1979). Arguments and errors as for :func:`silhouette`.
    """
    points, place = _checked(rows, clusters)
    centres = _centres(points, place)
    spread = np.bincount(place, weights=np.linalg.norm(points - centres[place], axis=1)) / np.bincount(place)
    apart = np.linalg.norm(centres[:, None] - centres[None, :], axis=2)
    if not spread.any() or not apart.any():
        return 0.0
    apart[apart == 0] = np.inf
    return float(((spread[:, None] + spread[None, :]) / apart).max(axis=1).mean())


def calinski_harabasz(rows: Any, clusters: Any) -> float:
    """Variance between clusters over that within, by degrees of freedom; larger is better.

    Calinski and Harabasz, Communications in Statistics 3 (1974). Clusters without any spread give 1.
    Arguments and errors as for :func:`silhouette`.
    """
    points, place = _checked(rows, clusters)
    centres, counts = _centres(points, place), np.bincount(place)
    between = float((counts[:, None] * (centres - points.mean(axis=0)) ** 2).sum())
    within = float(((points - centres[place]) ** 2).sum())
    if within == 0:
        return 1.0
    return between * (len(points) - counts.size) / (within * (counts.size - 1))


def adjusted_rand(clusters: Any, others: Any) -> float:
    """How far two ways to group the same rows agree: 1 wholly, 0 as much as chance does; names do not matter.

    Hubert and Arabie, Journal of Classification 2 (1985).

    >>> adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0

    Raises:
        InvalidInput: the two are not as long.
    """
    if len(clusters) != len(others):
        raise InvalidInput(f"{len(clusters)} rows are compared with {len(others)}. Expected the same rows.")
    places = [
        np.unique(np.asarray(names), return_inverse=True)[1].reshape(-1) for names in (clusters, others)
    ]
    table = np.zeros([int(place.max(initial=-1)) + 1 for place in places])
    np.add.at(table, tuple(places), 1)
    together = [float((count * (count - 1) / 2).sum()) for count in (table, table.sum(0), table.sum(1))]
    pairs = len(clusters) * (len(clusters) - 1) / 2
    chance = together[1] * together[2] / pairs if pairs else 0.0
    most = (together[1] + together[2]) / 2
    return 1.0 if most == chance else (together[0] - chance) / (most - chance)


def _centres(points: Floats, place: NDArray[np.int64]) -> Floats:
    sums = np.zeros((int(place.max()) + 1, points.shape[1]))
    np.add.at(sums, place, points)
    return sums / np.bincount(place)[:, None]


def _checked(rows: Any, clusters: Any) -> tuple[Floats, NDArray[np.int64]]:
    points, names = np.asarray(rows, dtype=np.float64), np.asarray(clusters)
    if points.ndim != 2 or names.shape != (len(points),):
        raise InvalidInput(
            f"Rows have shape {points.shape} and clusters {names.shape}. "
            "Expected (n_rows, n_features) and (n_rows,)."
        )
    if not np.isfinite(points).all():
        raise InvalidInput("A value is not a finite number. Fill or leave out such rows first.")
    found, place = np.unique(names, return_inverse=True)
    if not 2 <= found.size < len(points):
        raise InvalidInput(
            f"There are {found.size} clusters of {len(points)} rows. Expected 2 or more, and fewer than rows."
        )
    # From the middle: large offsets would drown the distances.
    return points - points.mean(axis=0), place.reshape(-1)
