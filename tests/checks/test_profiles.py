from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.checks.profiles import MOST_QUANTILES, N_BINS, CategoricalProfile, NumericProfile, Profile
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.project import Column

SPECS = (
    Column(name="x", role="numeric"),
    Column(name="word", role="categorical"),
    Column(name="skip", role="ignored"),
)
COLUMNS = st.fixed_dictionaries(
    {
        "x": hnp.arrays(np.float64, 15, elements=st.floats(width=32)),
        "word": st.lists(st.sampled_from(["a", "b ", " b", None]), min_size=15, max_size=15).map(
            lambda values: np.array(values, dtype=object)
        ),
    }
)


def numeric(profile: Profile, name: str) -> NumericProfile:
    feature = profile.features[name]
    assert isinstance(feature, NumericProfile)
    return feature


@pytest.mark.requirement("MON-11")
def test_key_statistics_of_every_feature_are_kept() -> None:
    random = np.random.default_rng(0)
    table = {
        "x": np.append(random.normal(3, 2, 9999), np.nan),
        "word": np.array(["a", "b"] * 5000, dtype=object),
    }
    profile = Profile.fit(table, SPECS)
    assert list(profile.features) == ["x", "word"]
    x = numeric(profile, "x")
    assert (x.n, x.n_missing) == (10_000, 1)
    assert x.summary["mean"] == pytest.approx(np.nanmean(table["x"]))
    assert x.summary["median"] == pytest.approx(np.nanmedian(table["x"]))
    assert x.summary["deviation"] == pytest.approx(np.nanstd(table["x"]))
    assert len(x.counts) == N_BINS + 3
    inner = np.array(x.counts[1:-2])
    assert inner.min() >= 499
    assert inner.max() <= 501
    word = profile.features["word"]
    assert isinstance(word, CategoricalProfile)
    assert (word.counts, word.n_missing, word.n) == ({"a": 5000, "b": 5000}, 0, 10_000)


@given(COLUMNS)
def test_it_survives_json(columns: dict[str, Any]) -> None:
    profile = Profile.fit(columns, SPECS)
    again = Profile.from_dict(json.loads(canonical_json(profile.to_dict())))
    assert again == profile
    assert numeric(again, "x").quantiles.tobytes() == numeric(profile, "x").quantiles.tobytes()
    assert canonical_json(again.to_dict()) == canonical_json(profile.to_dict())


@given(COLUMNS)
def test_every_row_is_in_one_bin(columns: dict[str, Any]) -> None:
    x = numeric(Profile.fit(columns, SPECS), "x")
    assert sum(x.counts) == 15
    assert x.counts[0] == 0
    assert x.counts[-2] == 0
    assert list(x.edges) == sorted(set(x.edges))
    assert x.quantiles.size == 15 - x.n_missing
    assert (np.diff(x.quantiles) >= 0).all()


def test_few_values_have_a_bin_each_and_new_ones_fall_outside() -> None:
    profile = NumericProfile.fit(np.array([2016.0] * 5 + [2017.0] * 3 + [2019.0]))
    assert profile.counts == (0, 5, 3, 1, 0, 0)
    assert profile.count(np.array([2015.0, 2018.0, 2020.0, np.nan])).tolist() == [1, 0, 0, 1, 1, 1]


def test_columns_without_values() -> None:
    profile = NumericProfile.fit(np.full(3, np.nan))
    assert (profile.counts, profile.summary, profile.n_missing) == ((0, 3), {}, 3)
    assert CategoricalProfile.fit(np.array([None, None], dtype=object)).n_missing == 2


def test_rare_categories_are_counted_together() -> None:
    words = [f"w{i}" for i in range(600)] + ["often"] * 10
    profile = CategoricalProfile.fit(np.array(words, dtype=object))
    assert len(profile.counts) == 501
    assert (profile.counts["often"], profile.counts["(other)"]) == (10, 101)
    assert profile.n == 610


def test_twenty_columns_take_less_than_200_kb() -> None:
    random = np.random.default_rng(0)
    draws = (
        random.normal,
        lambda size: random.lognormal(0, 2, size),
        lambda size: random.uniform(1e6, 2e6, size),
    )
    table = {f"x{i}": draws[i % 3](size=50_000) for i in range(20)}
    profile = Profile.fit(table, [Column(name=name, role="numeric") for name in table])
    assert numeric(profile, "x0").quantiles.size == MOST_QUANTILES
    assert len(canonical_json(profile.to_dict())) < 200_000


def test_bad_input() -> None:
    with pytest.raises(InvalidInput, match="'x' is missing"):
        Profile.fit({}, SPECS)
    with pytest.raises(InvalidInput, match="'x' holds text"):
        Profile.fit({"x": np.array(["a"], dtype=object), "word": np.array(["a"], dtype=object)}, SPECS)
    with pytest.raises(InvalidInput, match="format 9"):
        Profile.from_dict({"format": 9})
