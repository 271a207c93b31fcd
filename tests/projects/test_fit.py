"""Which kind of solution fits a problem: by the first rule that holds, with its reason."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.project import Column, DataSpec
from headrace.projects.fit import ENOUGH, Approach, Inputs, Problem, Rules, problem_of, recommend
from headrace.projects.intake import Output
from headrace.testing import make_project

CLOSED: dict[str, Any] = {"output": "category", "inputs": "table", "rules": "none", "examples": 5000}
OPEN: dict[str, Any] = {"output": "text", "inputs": "text", "rules": "none", "exact": False}


@pytest.mark.requirement("ORG-06")
@pytest.mark.parametrize(
    ("problem", "approach", "because"),
    [
        (CLOSED, "classical", "a generative model gives none of the three"),
        (CLOSED | {"inputs": "text"}, "classical", "measured by its loss"),
        (CLOSED | {"rules": "all"}, "rule", "exact, explain themselves"),
        (CLOSED | {"examples": ENOUGH - 1}, "collect", "Too few right answers"),
        (CLOSED | {"examples": 10, "inputs": "text", "exact": False}, "generative", "model that learns is"),
        (CLOSED | {"examples": 10, "inputs": "text", "exact": True}, "collect", "Too few right answers"),
        (OPEN, "generative", "no list of right ones"),
        (OPEN | {"exact": True}, "rule", "fill a template"),
        (OPEN | {"output": "actions"}, "generative", "The answer is open"),
        ({}, "undecided", "Too little is known"),
    ],
)
def test_the_first_rule_that_holds_decides_and_says_why(
    problem: dict[str, Any], approach: str, because: str
) -> None:
    found = recommend(Problem(**problem))
    assert found.approach == approach
    assert because in found.reasons[0]


def test_what_rules_can_do_in_part_is_said_beside() -> None:
    assert "decide that part by rules" in recommend(Problem(**CLOSED | {"rules": "some"})).reasons[1]
    unsaid = recommend(Problem(**CLOSED | {"rules": None}))
    assert unsaid.missing == ("rules",)
    assert "try the simplest one as a variant" in unsaid.reasons[1]


problems = st.builds(
    Problem,
    output=st.sampled_from([None, *get_args(Output)]),
    inputs=st.sampled_from([None, *get_args(Inputs)]),
    rules=st.sampled_from([None, *get_args(Rules)]),
    examples=st.none() | st.integers(0, 200),
    exact=st.sampled_from([None, True, False]),
)


@given(problems)
def test_every_problem_has_an_answer_and_only_an_unanswered_one_is_undecided(problem: Problem) -> None:
    found = recommend(problem)
    assert found.approach in get_args(Approach)
    assert all(found.reasons)
    if not found.missing:
        assert found.approach != "undecided"
    if problem.rules == "all":
        assert found.approach == "rule"


@given(problems, st.integers(0, 1000))
def test_more_examples_never_speak_for_a_generative_model(problem: Problem, more: int) -> None:
    before = recommend(problem).approach
    if problem.examples is not None and before != "generative":
        assert recommend(Problem(**vars(problem) | {"examples": problem.examples + more})).approach != (
            "generative"
        )


def test_task_and_columns_answer_what_the_charter_does_not_say() -> None:
    text = Column(name="letter", role="text")
    project = make_project(
        data=DataSpec(source="a.csv", target="kind", columns=(text,)),
        intake={"need": {"why": "too many to read", "complexity": "low", "examples": 900}},
    )
    assert problem_of(project) == Problem(output="number", inputs="text", examples=900)
    assert recommend(problem_of(project)).approach == "classical"
