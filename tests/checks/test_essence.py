"""The same essence in other words, steadiness over repeats, and voices: with their error rates simulated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.essence import compare_voices, likeness, same_essence, steadiness
from headrace.core.errors import InvalidInput

YES = "You may return it within 30 days."
NO = "Gift cards are never refunded."
KIND = ("Sure!", "Happy to help!", "Great question!", "No worries at all!", "Hey, lovely that you ask!")
STIFF = ("Indeed.", "Kindly note:", "We regret to state:", "Pursuant to our terms:", "It is hereby stated:")
FACTS = ("Shoes can be returned.", "We ship on Monday.", "The shop opens at nine.", "Orders have a number.")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (YES, "Within 30 days you can return it."),
        (YES, "Returns: within 30 days!"),
        ("The train leaves at 9 from platform 3.", "From platform 3, at 9, the train is leaving."),
        ("It isn't covered.", "That is not covered."),
    ],
)
def test_other_wording_has_the_same_essence(one: str, other: str) -> None:
    assert same_essence(one, other)
    assert same_essence(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (YES, "You may return it within 14 days."),
        (YES, "You may not return it within 30 days."),
        (YES, "The shop has 30 employees."),
        (YES, ""),
        (YES, NO),
    ],
)
def test_another_number_a_denial_or_another_matter_has_not(one: str, other: str) -> None:
    assert not same_essence(one, other)
    assert not same_essence(other, one)


@given(st.text(max_size=60), st.text(max_size=60))
def test_likeness_is_symmetric_and_of_a_text_with_itself_one(one: str, other: str) -> None:
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    assert -1e-9 <= likeness(one, other) <= 1 + 1e-9
    assert likeness(one, one) == pytest.approx(1.0)
    assert same_essence(one, one)


@pytest.mark.requirement("EVA-04")
def test_variance_is_reported_and_the_unsteady_question_named() -> None:
    found = steadiness([[YES, "Within 30 days you can return it.", YES], [NO, NO, YES], [NO, NO, NO]])
    assert (found.n, found.steady, found.unsteady) == (3, 2, (1,))
    assert 0 < found.likeness < 1
    assert found.within > 0.1
    assert found.between > 0.1
    assert found.lower < 2 / 3 < found.upper
    with pytest.raises(InvalidInput):
        steadiness([[YES]])


@pytest.mark.requirement("EVA-04")
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_each_bound_is_wrong_in_five_percent_at_most(share: float) -> None:
    """A gate passes by the lower bound and fails by the upper one: both error rates at the limit itself."""
    rng = np.random.default_rng(7)
    passed = failed = 0
    for _ in range(600):
        steady = rng.random(30) < share
        found = steadiness([[YES, YES if one else NO] for one in steady])
        passed += found.lower > share
        failed += found.upper < share
    assert passed / 600 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert failed / 600 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def voiced(rng: np.random.Generator, openings: tuple[str, ...], n: int = 4) -> list[list[str]]:
    return [[f"{rng.choice(openings)} {fact}" for _ in range(n)] for fact in FACTS]


@pytest.mark.requirement("PRM-04")
def test_the_same_voice_is_called_another_one_in_five_percent_of_cases() -> None:
    rng, n = np.random.default_rng(11), 300
    alarms = 0
    for number in range(n):
        mixed = KIND if number % 2 else KIND + STIFF
        found = compare_voices(voiced(rng, mixed), voiced(rng, mixed), seed=number, rounds=99)
        alarms += found.p_value <= 0.05
    assert alarms / n <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


@pytest.mark.requirement("PRM-04")
def test_another_voice_is_found() -> None:
    rng = np.random.default_rng(3)
    found = [
        compare_voices(voiced(rng, KIND), voiced(rng, STIFF), seed=number, rounds=199) for number in range(20)
    ]
    assert all(one.p_value <= 0.05 for one in found)
    assert all(one.share > 0.05 for one in found)


def test_equal_answers_are_one_voice() -> None:
    said = [[YES, YES], [NO, NO]]
    assert compare_voices(said, said).p_value == 1.0
    with pytest.raises(InvalidInput):
        compare_voices(said, said[:1])
