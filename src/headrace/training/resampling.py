"""What can be measured of a model without truth, while it is still at hand: its losses on test rows, and
whether it answers alike when it learns from other parts of the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.checks.clusters import adjusted_rand, silhouette
from headrace.checks.unlabelled import Ask, losses_without_truth, overlap
from headrace.core.ports import Columns
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.frames import take
from headrace.training.job import Job
from headrace.training.unlabelled import Scale

_TIMES = 5
_SHARE = 0.8
_MOST_CLUSTERS = 8
_MOST_TRIED = 2_000


def resamples(n_rows: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Positions of four fifths of the rows, in their order, five times."""
    random = np.random.default_rng(seed)
    for _ in range(_TIMES):
        yield np.sort(random.choice(n_rows, max(2, round(_SHARE * n_rows)), replace=False))


def unlabelled(ask: Ask, test: Columns, again: Sequence[Ask], job: Job) -> dict[str, NDArray[np.float64]]:
    """Losses of test rows, ``(n_rows,)``, and ``stability`` of each refit: how far it agrees with the model.

    Of clusters that is the adjusted Rand index, of anomalies the overlap of the rows that come first.
    """
    answers, others = ask(test), [other(test) for other in again]
    if job.info is not None and job.info.task == "clustering":
        agree = [adjusted_rand(answers["predict"], other["predict"]) for other in others]
    else:
        mine = answers["probability"][:, 1]
        agree = [overlap(mine, other["probability"][:, 1], job.budget) for other in others]
    return {"losses": losses_without_truth(job.metric, ask, test), "stability": np.array(agree)}


def suggested_clusters(columns: Columns, inputs: Sequence[Column]) -> int:
    """How many clusters, of 2 to 8, have the largest mean silhouette by KMeans, on at most 2,000 rows."""
    from sklearn.cluster import KMeans

    n_rows = len(next(iter(columns.values())))
    chosen = np.linspace(0, n_rows - 1, min(n_rows, _MOST_TRIED)).round().astype(np.int64)
    rows, used = take(columns, np.unique(chosen)), [one for one in inputs if one.role != "ignored"]
    encoding = Encoding.fit(rows, used)
    features = encoding.encode(rows)
    scaled = Scale().fit(features, encoding.categorical_indexes).apply(features)
    tried = {}
    for n_clusters in range(2, min(_MOST_CLUSTERS, len(scaled) - 1) + 1):
        found = KMeans(n_clusters, n_init=4, random_state=0).fit_predict(scaled)
        if len(set(found.tolist())) > 1:
            tried[n_clusters] = float(silhouette(scaled, found).mean())
    return max(tried, key=lambda n: tried[n], default=2)
