"""Losses of generated texts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.answers import TEXT_LOSSES, text_losses, word_loss, wrong_answer
from headrace.checks.metrics import default_metric, report, row_losses


@pytest.mark.parametrize(
    ("truth", "answer", "wrong"),
    [
        ("30 days", "Within 30 days.", 0.0),
        ("30 days", "Within 130 days.", 1.0),
        ("30 days", "30 long days", 1.0),
        ("30 days | a month", "You have a MONTH!", 0.0),
        ("9.50", "It is 9.50 EUR", 0.0),
        ("9.50", "It is 9.05 EUR", 1.0),
        ("\uff21", "a", 0.0),
        ("|", "anything", 1.0),
    ],
)
def test_an_answer_is_right_where_it_says_a_label(truth: str, answer: str, wrong: float) -> None:
    assert wrong_answer(truth, answer) == wrong


@given(st.text(max_size=40), st.text(max_size=40))
def test_losses_lie_between_none_and_one(truth: str, answer: str) -> None:
    for loss in TEXT_LOSSES.values():
        assert 0.0 <= loss(truth, answer) <= 1.0


@given(st.lists(st.sampled_from("a b c d".split()), min_size=1).map(" ".join))
def test_the_label_itself_has_no_loss(text: str) -> None:
    assert wrong_answer(text, text) == word_loss(text, text) == 0.0


def test_rows_without_label_have_no_loss_and_rows_without_answer_the_largest() -> None:
    losses = text_losses("wrong_answer", np.array(["a", None, "a"], dtype=object), ["a", "a", None])
    assert losses[0] == 0.0
    assert math.isnan(losses[1])
    assert losses[2] == 1.0


def test_a_number_is_a_label_as_people_write_it() -> None:
    assert text_losses("wrong_answer", np.array([30.0, 9.5]), ["in 30 days", "9.5 EUR"]).tolist() == [
        0.0,
        0.0,
    ]


def test_they_are_metrics_like_others() -> None:
    assert default_metric("text_generation") == "wrong_answer"
    truth, outputs = np.array(["yes", "no"], dtype=object), {"predict": ["yes", "yes"]}
    assert row_losses("wrong_answer", truth, outputs).tolist() == [0.0, 1.0]
    assert report("text_generation", truth, outputs) == {"wrong_answer": 0.5, "word_loss": 0.5}
