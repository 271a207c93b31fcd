"""Claims about alternatives hold together: simulated, and held against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headrace.checks.playbook import Measured, compare, recommend


def one(name: str, losses: object, **more: float) -> Measured:
    return Measured(name=name, losses=np.asarray(losses, dtype=float), **more)


@pytest.mark.requirement("RET-10")
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_trying_five_alternatives_of_no_effect_makes_a_false_claim_in_at_most_five_of_a_hundred_cases(
    share: float,
) -> None:
    rng, times, n_false = np.random.default_rng(7), 600, 0
    for _ in range(times):
        hard = rng.uniform(size=80) < share
        noisy = [(hard ^ (rng.uniform(size=80) < 0.1)).astype(float) for _ in range(6)]
        live, others = one("live", noisy[0]), [one(str(k), losses) for k, losses in enumerate(noisy[1:])]
        found = compare(live, others, confidence=0.95, margin=0.02)
        n_false += any(each.standing in ("better", "worse") for each in found)
    limit = stats.binom.ppf(0.999, times, 0.05)
    assert n_false <= limit, f"{n_false} of {times} cases"


@pytest.mark.requirement("RET-10")
def test_an_alternative_that_mends_a_fifth_of_the_answers_is_found_nearly_always() -> None:
    rng, times, n_found = np.random.default_rng(8), 100, 0
    for _ in range(times):
        live = (rng.uniform(size=80) < 0.4).astype(float)
        mended = live * (rng.uniform(size=80) < 0.5)
        others = [one("mended", mended), *(one(str(k), live) for k in range(4))]
        found = compare(one("live", live), others, confidence=0.95, margin=0.02)
        n_found += recommend(one("live", live), others, found).name == "mended"
    assert n_found >= 90, n_found


def test_the_interval_is_the_paired_one_of_students_t_at_the_shared_level() -> None:
    rng = np.random.default_rng(9)
    live, other = rng.normal(size=2_000), rng.normal(size=2_000) - 0.01
    found = compare(one("live", live), [one("a", other), one("b", live)], confidence=0.9, margin=0.0)
    expected = stats.ttest_rel(other, live).confidence_interval(1 - 0.1 / 2)
    interval = found[0].difference
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(expected, abs=2e-3)


def test_rows_that_one_of_the_two_has_not_answered_do_not_count() -> None:
    live, other = np.array([1.0] * 40), np.array([0.0] * 30 + [np.nan] * 10)
    (found,) = compare(one("live", live), [one("a", other)], confidence=0.95, margin=0.02)
    assert (found.n_rows, found.standing, found.loss, found.live_loss) == (30, "better", 0.0, 1.0)
    few, none = (
        compare(one("live", live), [one("a", losses)], confidence=0.95, margin=0.02)[0]
        for losses in ([0.0] * 10 + [np.nan] * 30, [np.nan] * 40)
    )
    assert (few.standing, few.difference) == ("unclear", None)
    assert (none.standing, none.n_rows) == ("not measured", 0)


def advice(live: Measured, *others: Measured) -> tuple[str | None, str]:
    found = compare(live, others, confidence=0.95, margin=0.1)
    said = recommend(live, others, found)
    return said.name, said.why


@pytest.mark.requirement("RET-10")
def test_what_is_recommended() -> None:
    wrong = np.array([1.0, 0.0] * 30)
    live = one("live", wrong, cost=1.0, p50_ms=100.0)
    good, best = one("good", wrong * ([1.0] * 30 + [0.0] * 30)), one("best", wrong * 0)
    assert advice(live, good, best, one("cheap", wrong, cost=0.1))[0] == "best"
    assert advice(live, one("cheap", wrong, cost=0.5), one("fast", wrong, p50_ms=10.0)) == (
        "cheap", "cheap is as good and costs 50 % less",
    )  # fmt: skip
    assert advice(live, one("fast", wrong, cost=1.0, p50_ms=80.0)) == (
        "fast", "fast is as good and takes 20 % less",
    )  # fmt: skip
    assert advice(live, one("same", wrong, cost=0.95, p50_ms=95.0))[0] is None
    assert advice(live, one("free", wrong))[0] is None, "nobody knows what it costs"
    rng = np.random.default_rng(1)
    name, why = advice(live, one("other", rng.permutation(wrong), cost=0.1))
    assert (name, "the rows do not tell" in why) == (None, True)
    assert advice(live, one("bad", np.ones(60), cost=0.01))[0] is None
