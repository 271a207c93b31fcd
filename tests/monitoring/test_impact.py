"""How far a rate has moved: the interval is Newcombe's, and covers as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from headrace.checks.fairness import Share
from headrace.monitoring.impact import CONFIDENCE, moved

N_TRIALS = 1_500


@pytest.mark.requirement("FBK-05")
@pytest.mark.parametrize("hits", [(40, 10), (3, 9), (0, 4), (0, 0), (200, 120), (1, 0)])
def test_the_interval_is_newcombes(hits: tuple[int, int]) -> None:
    before, after = Share(hits=hits[0], n=200), Share(hits=hits[1], n=120)
    found = moved("complaints", before, after)
    assert found is not None
    expected = confint_proportions_2indep(
        after.hits, after.n, before.hits, before.n, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    assert found.interval == pytest.approx(expected, abs=1e-9)
    assert found.difference == pytest.approx(after.hits / after.n - before.hits / before.n)


@pytest.mark.requirement("FBK-05")
@pytest.mark.parametrize(
    ("n", "rates"), [((200, 300), (0.01, 0.1)), ((60, 60), (0.1, 0.5)), ((1_000, 80), (0.05, 0.2))]
)
def test_it_covers_what_it_says_and_finds_no_change_where_there_is_none(
    n: tuple[int, int], rates: tuple[float, float]
) -> None:
    random = np.random.default_rng(5)
    covered = alarms = 0
    for _ in range(N_TRIALS):
        one, other = random.uniform(*rates, 2)
        for after, same in ((other, False), (one, True)):
            found = moved(
                "poor",
                Share(hits=int(random.binomial(n[0], one)), n=n[0]),
                Share(hits=int(random.binomial(n[1], after)), n=n[1]),
            )
            assert found is not None
            if same:
                alarms += found.conclusion != "unsure"
            else:
                covered += found.interval[0] <= after - one <= found.interval[1]
    assert covered / N_TRIALS >= CONFIDENCE - 0.01
    assert alarms / N_TRIALS <= 1 - CONFIDENCE + 0.01


def test_it_says_which_way_and_nothing_of_nothing() -> None:
    many, few, none = Share(hits=60, n=200), Share(hits=20, n=200), Share(hits=0, n=0)
    assert [
        found and found.conclusion
        for found in (
            moved("poor", many, few),
            moved("poor", few, many),
            moved("poor", few, few),
            moved("poor", none, few),
            moved("poor", few, none),
        )
    ] == ["better", "worse", "unsure", None, None]
