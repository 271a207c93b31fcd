"""Groups that are treated alike, and that are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency
from sklearn.metrics import recall_score

from headrace.checks.fairness import RATES, Share, compare_groups, gap_of
from headrace.core.errors import InvalidInput


@pytest.mark.requirement("EVA-09")
def test_rates_and_gaps_agree_with_their_definitions() -> None:
    random = np.random.default_rng(0)
    group, deserved = random.choice(["a", "b", "c"], 900), random.random(900) < 0.4
    selected = random.random(900) < np.where(deserved, 0.7, 0.2) + 0.1 * (group == "b")
    found = {g.name: g.rates for g in compare_groups(group, selected, deserved)}
    tpr = {g: recall_score(deserved[group == g], selected[group == g]) for g in "abc"}
    fpr = {g: 1 - recall_score(~deserved[group == g], ~selected[group == g]) for g in "abc"}
    for name, rates in found.items():
        assert rates["selection_rate"].rate == pytest.approx(selected[group == name].mean())
        assert rates["label_rate"].rate == pytest.approx(deserved[group == name].mean())
        assert rates["false_negative_rate"].rate == pytest.approx(1 - tpr[name])
        assert rates["false_positive_rate"].rate == pytest.approx(fpr[name])
    groups = compare_groups(group, selected, deserved)
    opportunity = gap_of(groups, "false_negative_rate", 10)
    assert opportunity is not None
    assert opportunity.difference == pytest.approx(max(tpr.values()) - min(tpr.values()))
    parity = gap_of(groups, "selection_rate", 10)
    assert parity is not None
    table = [[selected[group == g].sum(), (~selected[group == g]).sum()] for g in "abc"]
    assert parity.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    rates_of = {g: selected[group == g].mean() for g in "abc"}
    assert parity.ratio == pytest.approx(min(rates_of.values()) / max(rates_of.values()))
    assert rates_of[parity.highest] == max(rates_of.values())


def test_the_interval_of_a_rate_agrees_with_scipy() -> None:
    for hits, n in ((0, 5), (3, 40), (40, 40)):
        right = binomtest(hits, n).proportion_ci(0.9, method="wilson")
        assert Share(hits=hits, n=n).interval(0.9) == pytest.approx((right.low, right.high))
    assert Share(hits=0, n=0).interval(0.9) is None
    assert Share(hits=0, n=0).rate is None


def test_equal_treatment_is_called_unequal_as_often_as_declared() -> None:
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(1000):
        groups = compare_groups(random.integers(0, 3, 240), random.random(240) < 0.3)
        gap = gap_of(groups, "selection_rate", 20)
        assert gap is not None
        alarms += gap.p_value <= 0.05
    assert 30 <= alarms <= 72  # 5 %, and three deviations


def test_small_groups_are_listed_and_not_compared() -> None:
    groups = compare_groups(["a"] * 50 + ["b"] * 3 + [None], [True] * 54)
    assert [(g.name, g.n_rows) for g in groups] == [("a", 50), ("b", 3)]
    assert all(gap_of(groups, rate, 10) is None for rate in RATES)
    with pytest.raises(InvalidInput, match="one per row"):
        compare_groups(["a"], [True, False])
