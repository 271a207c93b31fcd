from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from headrace.checks.distributions import Rows
from headrace.checks.drift import Profile, Shift, js_divergence, kl_divergence, psi, shifts
from headrace.core.canonical import canonical_json
from headrace.core.project import Column

SHARES = hnp.arrays(np.float64, 6, elements=st.floats(0.01, 1)).map(lambda v: v / v.sum())


def words(values: Any) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def compare(reference: NDArray[Any], current: NDArray[Any] | None) -> Shift:
    role = "numeric" if reference.dtype.kind == "f" else "categorical"
    profile = Profile.fit({"f": reference}, [Column(name="f", role=role)])  # type: ignore[arg-type]
    (found,) = shifts(profile, {} if current is None else {"f": current})
    canonical_json(asdict(found))
    return found


@pytest.mark.requirement("MON-14")
@given(SHARES, SHARES)
def test_distances_are_those_of_scipy(first: Any, second: Any) -> None:
    there, back = stats.entropy(second, first), stats.entropy(first, second)
    assert kl_divergence(second, first) == pytest.approx(there, abs=1e-9)
    assert psi(first, second) == pytest.approx(there + back, abs=1e-9)
    middle = (first + second) / 2
    halves = stats.entropy(first, middle, base=2) + stats.entropy(second, middle, base=2)
    assert js_divergence(first, second) == pytest.approx(halves / 2, abs=1e-9)
    assert psi(first, second) == pytest.approx(psi(second, first))


@pytest.mark.requirement("MON-14")
def test_an_example_that_scipy_documents() -> None:
    first, second = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert js_divergence(first, second) == pytest.approx(jensenshannon(first, second, base=2) ** 2)


def test_nothing_in_common_is_one_bit() -> None:
    assert js_divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)


@pytest.mark.requirement("MON-14")
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("n", [1, 5, 40, 1000])
def test_numbers_are_tested_as_scipy_does(shift: float, n: int, random: np.random.Generator) -> None:
    reference, current = random.normal(size=800), random.normal(shift, 1, size=n)
    found = compare(reference, current)
    wanted = stats.ks_2samp(reference.astype(np.float32), current.astype(np.float32), method="asymp")
    assert (found.test, found.n_reference, found.n_current) == ("ks", 800, n)
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.ks == pytest.approx(wanted.statistic)


@pytest.mark.requirement("MON-14")
def test_categories_are_tested_as_scipy_does(random: np.random.Generator) -> None:
    reference, current = random.choice(list("abc"), 500), random.choice(list("abc"), 200, p=[0.5, 0.3, 0.2])
    table = [[(side == label).sum() for label in "abc"] for side in (reference, current)]
    found = compare(reference.astype(object), current.astype(object))
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert (found.test, found.ks, found.n_reference, found.n_current) == ("chi2", None, 500, 200)


@pytest.mark.requirement("MON-14")
def test_predictions_are_compared_like_inputs(random: np.random.Generator) -> None:
    found = compare(random.normal(size=2000), random.normal(1, 1, size=500))
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.psi is not None
    assert found.psi > 0.5
    assert found.detail["current"]["mean"] == pytest.approx(1, abs=0.2)


@pytest.mark.requirement("MON-14")
@pytest.mark.parametrize(
    ("draw", "allowed"),
    [
        ("normal", (0.015, 0.09)),
        ("few values", (0.0, 0.09)),  # ties make Kolmogorov-Smirnov cautious
        ("nulls", (0.01, 0.09)),
        ("categories", (0.015, 0.09)),
        ("rare categories", (0.015, 0.09)),
    ],
)
def test_false_alarms_are_as_rare_as_they_say(draw: str, allowed: tuple[float, float]) -> None:
    """At the 5 % level; 300 repetitions have a standard error of 1.3 points."""
    random = np.random.default_rng(3)

    def sample(n: int) -> NDArray[Any]:
        if draw == "normal":
            return random.normal(size=n)
        if draw == "few values":
            return random.integers(0, 8, n).astype(float)
        if draw == "nulls":
            return np.where(random.random(n) < 0.1, np.nan, random.normal(size=n))
        if draw == "categories":
            return random.choice(words(["a", "b", "c", None]), n, p=[0.5, 0.3, 0.15, 0.05])
        return random.choice(words([f"w{i}" for i in range(60)]), n, p=(s := 0.9 ** np.arange(60)) / s.sum())

    alarms = [(p := compare(sample(400), sample(150)).p_value) is not None and p < 0.05 for _ in range(300)]
    assert allowed[0] <= np.mean(alarms) <= allowed[1]


def test_a_profile_of_many_rows_says_what_the_rows_say(random: np.random.Generator) -> None:
    """Its 3,000 quantiles are right to half of a 3,000th of the rows, and the test allows for that."""
    reference = random.lognormal(size=100_000)
    for shift in (0.0, 0.1):
        current = random.lognormal(size=10_000) + shift * reference.std()
        specs = [Column(name="f", role="numeric")]
        (exact,) = shifts(Rows.of({"f": reference}, specs), {"f": current})
        (kept,) = shifts(Profile.fit({"f": reference}, specs), {"f": current})
        assert (kept.n_reference, kept.n_current) == (exact.n_reference, exact.n_current) == (100_000, 10_000)
        assert kept.ks == pytest.approx(exact.ks, abs=0.5 / 3000)
        assert kept.p_value is not None
        assert exact.p_value is not None
        assert kept.p_value >= exact.p_value
        assert (kept.p_value < 1e-9) == (exact.p_value < 1e-9) == bool(shift)
        assert kept.wasserstein == pytest.approx(exact.wasserstein, abs=0.01)
        assert kept.psi == pytest.approx(exact.psi, abs=0.002)


def test_a_column_that_stops_being_filled(random: np.random.Generator) -> None:
    reference = random.normal(size=1000)
    half = np.where(np.arange(200) % 2 == 0, np.nan, random.normal(size=200))
    found = compare(reference, half)
    assert found.test == "ks+nulls"
    assert found.p_value is not None
    assert found.p_value < 1e-9
    assert found.psi is not None
    assert found.psi > 0.2
    empty = compare(reference, np.full(200, np.nan))
    assert (empty.test, empty.ks) == ("nulls", None)
    assert empty.p_value is not None
    assert empty.p_value < 1e-9
    assert (empty.n_reference, empty.n_current) == (1000, 200)
    late = compare(words(["a"] * 500), words([None] * 100))
    assert late.p_value is not None
    assert late.p_value < 1e-9


def test_few_nulls_are_tested_exactly(random: np.random.Generator) -> None:
    reference, current = (
        np.append(random.normal(size=99), np.nan),
        np.append(random.normal(size=16), [np.nan] * 4),
    )
    found = compare(reference, current)
    known = stats.ks_2samp(
        reference[:-1].astype(np.float32), current[:16].astype(np.float32), method="asymp"
    ).pvalue
    nulls = stats.fisher_exact([[99, 1], [16, 4]]).pvalue
    assert found.p_value == pytest.approx(min(1, 2 * min(known, nulls)))


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        (np.full(100, np.nan), np.full(50, np.nan)),
        (np.arange(100.0), np.empty(0)),
        (words(["a"] * 100), words(["a"] * 50)),
        (words(["a", "b"] * 50), words(["a", "b"])),
        (words(["a", "b"] * 50), words([])),
        (words([None] * 100), words([None] * 100)),
    ],
)
def test_what_cannot_be_tested_has_no_p_value(reference: NDArray[Any], current: NDArray[Any]) -> None:
    found = compare(reference, current)
    assert (found.p_value, found.test) == (None, "none")
    if not current.size:
        assert found.psi is None


def test_constants() -> None:
    same = compare(np.full(100, 3.0), np.full(50, 3.0))
    assert same.p_value == pytest.approx(1)
    assert same.psi == pytest.approx(0, abs=0.01)
    moved = compare(np.full(100, 3.0), np.full(50, 2.0))
    assert moved.p_value is not None
    assert moved.p_value < 1e-9
    assert moved.psi is not None
    assert moved.psi > 1
    assert moved.js == pytest.approx(1)


def test_new_categories_are_named_and_counted() -> None:
    found = compare(words(["a", "b"] * 200), words(["a", "b", " zz", "new"] * 25))
    assert found.detail["new"] == {"zz": 25, "new": 25}
    assert found.p_value is not None
    assert found.p_value < 1e-9
    padded = compare(words(["a", "b"] * 200), words([" a", "b "] * 25))
    assert padded.detail["new"] == {}
    assert padded.p_value == pytest.approx(1)


def test_rare_categories_are_merged() -> None:
    reference = words(["a"] * 100 + ["b"] * 100 + [f"r{i}" for i in range(40)])
    current = words(["a"] * 25 + ["b"] * 25 + [f"r{i}" for i in range(10)])
    found = compare(reference, current)
    wanted = stats.chi2_contingency([[100, 100, 40], [25, 25, 10]], correction=False).pvalue
    assert found.p_value == pytest.approx(wanted)


def test_booleans_and_numbers_are_the_same_categories() -> None:
    found = compare(np.array([True, False] * 100), np.array([1.0, 0.0] * 30))
    assert found.p_value == pytest.approx(1)


def test_a_column_that_does_not_come_is_reported() -> None:
    found = compare(np.arange(100.0), None)
    assert (found.n_current, found.p_value, found.psi, found.test) == (0, None, None, "none")


def test_a_type_that_changes_is_a_shift_that_says_so(random: np.random.Generator) -> None:
    came = [*random.normal(size=150).tolist(), *(["12,5"] * 50)]
    found = compare(random.normal(size=1000), words(came))
    assert found.detail["current"]["text"] == found.detail["current"]["missing"] == 50
    assert found.p_value is not None
    assert found.p_value < 1e-9
    assert found.size == pytest.approx(0.5)


def test_a_constant_that_is_no_longer_one(random: np.random.Generator) -> None:
    same, half = (
        compare(np.full(500, 3.0), np.full(100, 3.0)),
        compare(np.full(500, 3.0), np.arange(100) % 2 + 3.0),
    )
    assert same.size == 0.0
    assert same.p_value == pytest.approx(1)
    assert half.size == pytest.approx(1.0)
    assert half.p_value is not None
    assert half.p_value < 1e-9


@pytest.mark.parametrize("kept", [Rows.of, Profile.fit])
def test_ten_thousand_categories(kept: Any, random: np.random.Generator) -> None:
    """A profile names 500 of them; those that chance alone made frequent are not compared."""
    names = words([f"w{i}" for i in range(10_000)])
    shares = np.append(np.full(9_990, 0.5 / 9_990), np.full(10, 0.05))
    before = kept({"f": random.choice(names, 50_000, p=shares)}, [Column(name="f", role="categorical")])
    (calm,) = shifts(before, {"f": random.choice(names, 20_000, p=shares)})
    assert calm.p_value is not None
    assert calm.p_value > 1e-3
    now = np.append(random.choice(names, 18_000, p=shares), words(["elsewhere"] * 2_000))
    (moved,) = shifts(before, {"f": now})
    assert moved.p_value is not None
    assert moved.p_value < 1e-9
    assert moved.detail["new"]["elsewhere"] == 2_000
    assert moved.size == pytest.approx(0.2, abs=0.1)


@given(hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(width=64)))
def test_any_numbers_can_be_compared(current: NDArray[Any]) -> None:
    found = compare(np.array([0.0, 1, 2, 3, np.nan, np.inf] * 10), current)
    assert found.p_value is None or 0 <= found.p_value <= 1
    assert found.js is None or 0 <= found.js <= 1
    assert found.psi is None or found.psi >= 0


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_chance_alone_is_not_a_large_distance(n: int) -> None:
    random = np.random.default_rng(n)
    numeric = [compare(random.normal(size=3000), random.normal(size=n)).psi for _ in range(60)]
    kinds = words([f"w{i}" for i in range(40)])
    words_psi = [compare(random.choice(kinds, 3000), random.choice(kinds, n)).psi for _ in range(60)]
    for found in (numeric, words_psi):
        assert np.mean([value is not None and value >= 0.2 for value in found]) <= 0.1


def test_a_moved_mean_is_a_large_distance_also_in_a_small_window(random: np.random.Generator) -> None:
    found = compare(random.normal(size=3000), random.normal(1.5, 1, size=30))
    assert found.psi is not None
    assert found.psi > 0.5
