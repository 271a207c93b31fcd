"""Free text as numbers, a script and words."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.checks.drift import shifts
from headrace.checks.texts import FEWEST_ROWS, TextProfile, WordCounts, script_of, words_of
from headrace.checks.words import words_shift


def texts_of(shared_data: Path, label: int) -> NDArray[Any]:
    """Real requests to language models, the first 120 characters of each."""
    lines = (shared_data / "injection-train.jsonl").read_text(encoding="utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]
    return np.array([row["text"][:120] for row in rows if row["label"] == label], dtype=object)


def counted(profile: TextProfile, values: NDArray[Any]) -> WordCounts:
    counts = WordCounts(frozenset(profile.words))
    profile.measure(values, counts)
    return counts


@given(st.text(max_size=200))
def test_any_text_has_words_that_are_words_of_their_own(text: str) -> None:
    for word in words_of(text):
        assert words_of(word) == [word] or word == "#"


@pytest.mark.parametrize(
    ("text", "script"),
    [("Don't", "latin"), ("Привет, мир", "cyrillic"), ("東京都", "cjk"), ("مرحبا", "arabic"), ("42", None)],
)
def test_a_text_has_the_script_of_most_of_its_letters(text: str, script: str | None) -> None:
    assert script_of(text) == script


def test_what_is_measured_of_texts() -> None:
    texts = np.array(["good car, 5 doors", "good car", None, "", "ещё один"] * 20, dtype=object)
    profile = TextProfile.fit(texts)
    measured = profile.measure(np.array(["Good boat", None, "", "день"], dtype=object))
    assert measured["characters"].tolist() == pytest.approx([9, np.nan, 0, 4], nan_ok=True)
    assert measured["words"].tolist() == pytest.approx([2, np.nan, 0, 1], nan_ok=True)
    assert measured["unknown words"].tolist() == pytest.approx([0.5, np.nan, np.nan, 1.0], nan_ok=True)
    assert measured["script"].tolist() == ["latin", None, "none", "cyrillic"]
    assert profile.words["#"] == 20, "numbers are one word, whatever they are"
    assert TextProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


def test_a_word_of_few_rows_is_not_kept() -> None:
    texts = np.array(["common"] * 100 + ["kowalczyk"] * (FEWEST_ROWS - 1), dtype=object)
    assert TextProfile.fit(texts).words == {"common": 100}


@given(st.lists(st.lists(st.sampled_from([f"w{n}" for n in range(30)]), max_size=8), max_size=60))
def test_few_words_are_counted_exactly(rows: list[list[str]]) -> None:
    counts = WordCounts(frozenset({"w1", "w2"}))
    for row in rows:
        counts.add(row)
    expected = Counter(word for row in rows for word in set(row))
    assert {word: n for word, n in counts.rows().items() if n} == dict(expected)


def test_many_words_take_constant_memory_and_are_counted_from_below() -> None:
    random = np.random.default_rng(0)
    counts, expected = WordCounts(), Counter[str]()
    for _ in range(20_000):
        row = {f"w{n}" for n in random.zipf(1.3, 5).tolist()}
        counts.add(row)
        expected.update(row)
    found = counts.rows()
    assert len(expected) > 5_000 > len(found)
    assert all(n <= expected[word] for word, n in found.items())
    assert {word for word, _ in expected.most_common(50)} <= set(found)


@pytest.mark.requirement("MON-12")
def test_texts_that_are_like_the_reference_are_called_changed_as_seldom_as_stated(shared_data: Path) -> None:
    """80 times a reference of 700 real texts and 300 others of the same kind."""
    texts = texts_of(shared_data, 0)
    random = np.random.default_rng(3)
    false: Counter[str] = Counter()
    runs = 80
    for _ in range(runs):
        chosen = texts[random.permutation(len(texts))[:1_000]]
        profile = TextProfile.fit(chosen[:700])
        counts = WordCounts(frozenset(profile.words))
        found = shifts(profile.measures, profile.measure(chosen[700:], counts))
        for shift in (*found, words_shift("text", profile, counts)):
            false[shift.feature] += shift.p_value is not None and shift.p_value <= 0.1
    # Of 80 independent ones at 10 %, more than 17 come once in 1,000 times.
    assert max(false.values()) <= 17, false


@pytest.mark.requirement("MON-12")
def test_a_planted_word_is_found_and_named(shared_data: Path) -> None:
    """A word in a tenth of 300 rows: found in each of 10 repetitions at a level of 1 in 1,000, and named."""
    texts = texts_of(shared_data, 0)
    random = np.random.default_rng(4)
    for _ in range(10):
        chosen = texts[random.permutation(len(texts))[:1_000]]
        profile = TextProfile.fit(chosen[:700])
        now = np.array(
            [f"refund {t}" if n % 10 == 0 else t for n, t in enumerate(chosen[700:])], dtype=object
        )
        found = words_shift("text", profile, counted(profile, now))
        assert found.p_value is not None
        assert found.p_value < 0.001
        assert found.detail["current"]["more"][0]["word"] == "refund"
        assert found.size == pytest.approx(0.2, abs=0.05)


@pytest.mark.requirement("MON-12")
def test_texts_of_another_kind_are_found_by_every_measure(shared_data: Path) -> None:
    profile = TextProfile.fit(texts_of(shared_data, 0))
    attacks = texts_of(shared_data, 1)
    counts = WordCounts(frozenset(profile.words))
    found = {s.feature: s for s in shifts(profile.measures, profile.measure(attacks, counts))}
    words = words_shift("text", profile, counts)
    for shift in (found["characters"], found["words"], words):
        assert shift.p_value is not None
        assert shift.p_value < 1e-6
    assert words.size is not None
    assert words.size > 0.5


def test_nothing_is_said_without_texts() -> None:
    profile = TextProfile.fit(np.array([None, None], dtype=object))
    found = words_shift("text", profile, WordCounts())
    assert (found.p_value, found.size, found.test) == (None, None, "none")
