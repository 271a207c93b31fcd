"""Whoever has not learnt it is asked three things, gets a set-up that follows from them, and is told why."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.projects.guidance import DAY_S, GUIDED, Answers, choices, read_answers
from headrace.testing import make_project


def test_answers_are_read_as_they_are_typed_and_each_may_be_left_out() -> None:
    assert read_answers({}) == Answers()
    assert read_answers({"explain": "Yes", "truth": "14", "answers": "200"}) == Answers(
        explain=True, truth_days=14, answers_a_day=200
    )
    assert read_answers({"truth": "none"}).truth_days == inf
    assert set(GUIDED) == {"explain", "truth", "answers"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"explain": "maybe"}, "Expected yes or no"),
        ({"truth": "soon"}, "Expected a number, 0 or more"),
        ({"truth": "-1"}, "Expected a number, 0 or more"),
        ({"answers": "0"}, "Expected a number, 1 or more"),
        ({"answers": "inf"}, "Expected a number, 1 or more"),
        ({"answers": "nan"}, "Expected a number, 1 or more"),
    ],
)
def test_an_answer_of_another_form_is_refused(said: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_answers(said)


@given(st.floats(1, 1e9))
def test_a_window_has_enough_answers_or_is_a_month_and_a_step_is_neither_tiny_nor_endless(
    a_day: float,
) -> None:
    answers = Answers(answers_a_day=a_day)
    assert answers.window_s is not None
    assert answers.min_requests is not None
    assert answers.window_s % DAY_S == 0
    days = answers.window_s / DAY_S
    assert 1 <= days <= 30
    assert days == 30 or days * a_day >= 300 * (1 - 1e-9)
    assert 7 <= answers.min_requests <= 1_000


def test_every_choice_says_why_and_where_to_change_it() -> None:
    found = choices(make_project())
    assert {one.about for one in found} == {"algorithm", "evaluation", "monitoring", "rollout"}
    assert all(one.why and one.key for one in found)
