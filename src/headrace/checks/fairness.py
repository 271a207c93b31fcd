"""Are groups of people treated alike? Fairlearn's definitions, with the evidence and the size of each gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import labels, missing
from headrace.checks.metrics import labels_of
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Project

Floats = NDArray[np.float64]
RATES = ("selection_rate", "false_positive_rate", "false_negative_rate")


@dataclass(frozen=True, kw_only=True)
class Share:
    """``hits`` of ``n`` rows, and the interval of the rate (Wilson, JASA 22, 1927)."""

    hits: int
    n: int

    @property
    def rate(self) -> float | None:
        """None of no rows."""
        return self.hits / self.n if self.n else None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Covers the true rate with about this probability; None of no rows."""
        from scipy.special import ndtri

        if not self.n:
            return None
        z = float(ndtri((1 + confidence) / 2))
        share, n = self.hits / self.n, self.n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        return max(middle - reach, 0.0), min(middle + reach, 1.0)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What one group of rows was answered.

    Attributes:
        rates: ``selection_rate`` (of all its rows) and, where truth is known, ``false_positive_rate`` (of
            those who did not deserve the favourable outcome), ``false_negative_rate`` (of those who did) and
            ``label_rate`` (share that did).
    """

    name: str
    n_rows: int
    rates: dict[str, Share]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A rate's largest difference between two groups.

    Attributes:
        difference: largest less smallest, 0 to 1.
        ratio: smallest over largest; 1 where both are 0.
        p_value: of no group differing from another (chi-square of homogeneity).
    """

    rate: str
    difference: float
    ratio: float
    highest: str
    lowest: str
    p_value: float
    n_rows: int


def compare_groups(groups: Any, selected: Any, deserved: Any = None) -> list[Group]:
    """The rates of each group, the largest group first; rows without a group are left out.

    Args:
        groups: names (or numbers) of each row's group, ``(n_rows,)``.
        selected: whether the row was answered with the favourable outcome, ``(n_rows,)``.
        deserved: whether the favourable outcome is the true one, ``(n_rows,)``; None where it is not known.

    Raises:
        InvalidInput: shapes that do not match.

    >>> compare_groups(["a", "a", "b"], [True, False, True])[0].rates["selection_rate"].rate
    0.5
    """
    chosen = np.asarray(selected, dtype=bool)
    names = np.array(labels(groups), dtype=object)
    true = None if deserved is None else np.asarray(deserved, dtype=bool)
    if names.shape != chosen.shape or (true is not None and true.shape != chosen.shape):
        raise InvalidInput(f"There are {names.size} groups and {chosen.size} answers. Expected one per row.")
    found = []
    for name in dict.fromkeys(name for name in names.tolist() if name is not None):
        mine = names == name
        rates = {"selection_rate": _share(chosen[mine])}
        if true is not None:
            rates |= {
                "false_positive_rate": _share(chosen[mine & ~true]),
                "false_negative_rate": _share(~chosen[mine & true]),
                "label_rate": _share(true[mine]),
            }
        found.append(Group(name=name, n_rows=int(mine.sum()), rates=rates))
    return sorted(found, key=lambda group: (-group.n_rows, group.name))


def represented(columns: Columns, project: Project) -> list[dict[str, Any]]:
    """Bias of the data itself: each group's share of the rows, and its share of favourable labels, with 90 %
    intervals. Columns that are not there, and rows without a label, are left out."""
    spec, target = project.fairness, project.data.target
    if spec is None or target not in columns:
        return []
    known = ~missing(np.asarray(columns[target]))
    deserved = is_favourable(np.asarray(columns[target])[known], spec.favourable)
    told = []
    for column in (name for name in spec.groups if name in columns):
        groups = compare_groups(np.asarray(columns[column])[known], deserved, deserved)
        n_rows = sum(group.n_rows for group in groups)
        for group in groups:
            share = group.rates["label_rate"]
            told.append(
                {
                    "column": column,
                    "group": group.name,
                    "rows": group.n_rows,
                    "share": group.n_rows / n_rows,
                    "label_rate": share.rate,
                    "interval": list(share.interval(0.9) or ()),
                }
            )
    return told


def is_favourable(values: Any, favourable: Any) -> NDArray[np.bool_]:
    """Which labels are the favourable outcome, ``(n_rows,)``."""
    (wanted,) = labels_of([favourable])
    return np.array([one == wanted for one in labels_of(values)], dtype=bool)


def gap_of(groups: Sequence[Group], rate: str, min_rows: int) -> Gap | None:
    """How far the groups are apart by ``rate``; None with fewer than two groups of ``min_rows`` rows for it.

    Demographic parity is the gap of ``selection_rate``, equal opportunity that of
    ``false_negative_rate``; equalised odds is the larger one of both error rates (Hardt, Price and Srebro,
    NeurIPS 2016).
    """
    known = [
        (g.name, g.rates[rate]) for g in groups if rate in g.rates and g.rates[rate].n >= max(min_rows, 1)
    ]
    if len(known) < 2:
        return None
    ordered = sorted(known, key=lambda one: (one[1].hits / one[1].n, one[0]))
    (lowest, low), (highest, high) = ordered[0], ordered[-1]
    least, most = low.hits / low.n, high.hits / high.n
    return Gap(
        rate=rate,
        difference=most - least,
        ratio=least / most if most else 1.0,
        highest=highest,
        lowest=lowest,
        p_value=_homogeneity([share for _, share in known]),
        n_rows=sum(share.n for _, share in known),
    )


def _share(hits: NDArray[np.bool_]) -> Share:
    return Share(hits=int(hits.sum()), n=int(hits.size))


def _homogeneity(shares: Sequence[Share]) -> float:
    """Pearson's test that all groups have one rate; 1 where nothing, or everything, is a hit."""
    from scipy.special import chdtrc

    hits, n = (np.array([getattr(s, of) for s in shares], dtype=np.float64) for of in ("hits", "n"))
    overall = hits.sum() / n.sum()
    if overall in (0.0, 1.0):
        return 1.0
    statistic = float(((hits - n * overall) ** 2 / (n * overall * (1 - overall))).sum())
    return float(chdtrc(len(shares) - 1, statistic))
