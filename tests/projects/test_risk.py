"""The risk tier follows from the answers, and never falls when an answer gets graver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.project import Governance
from headrace.projects.questions import answered
from headrace.projects.risk import TIERS, assess, covers
from headrace.projects.rules import CHOICES

answers = st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in CHOICES.items()})
MILD = {name: choices[0] for name, choices in CHOICES.items()}


@pytest.mark.requirement("GOV-03")
@pytest.mark.parametrize(
    ("graver", "tier"),
    [
        ({}, "low"),
        ({"automation": "recommends", "scale": "thousands"}, "low"),
        ({"automation": "recommends", "scale": "thousands", "reversible": "with_effort"}, "medium"),
        ({"impact": "serious"}, "medium"),
        ({"impact": "serious", "automation": "decides"}, "high"),
        ({"personal_data": "sensitive", "automation": "decides"}, "high"),
        ({"impact": "material", "scale": "millions", "reversible": "never"}, "high"),
    ],
)
def test_the_tier_of_some_answers(graver: dict[str, str], tier: str) -> None:
    assert assess(Governance(**{**MILD, **graver})).tier == tier  # type: ignore[arg-type]


@given(answers, st.sampled_from(list(CHOICES)))
def test_a_graver_answer_never_lowers_the_tier(given: dict[str, str], question: str) -> None:
    before = assess(Governance(**given))  # type: ignore[arg-type]
    choices = CHOICES[question]
    for graver in choices[choices.index(given[question]) :]:
        after = assess(Governance(**{**given, question: graver}))  # type: ignore[arg-type]
        assert covers(after.tier, before.tier)
        assert after.total >= before.total


def test_a_question_without_an_answer_counts_as_the_gravest() -> None:
    assert assess(Governance()).tier == "high"
    assert assess(replace(Governance(**MILD), impact=None)).points["impact"] == 4  # type: ignore[arg-type]


def test_what_init_assumes_is_no_more_than_the_tier_it_declares() -> None:
    assert covers("medium", assess(answered({}, target="price", risk="medium")).tier)


def test_tiers_are_ordered() -> None:
    assert [[covers(a, b) for b in TIERS] for a in TIERS] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
