"""What is asked when a project is made, and what becomes of questions that nobody answers."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.projects.questions import answered, promised
from headrace.projects.rules import CHOICES, STATEMENTS, broken_rules
from headrace.testing import make_project

GIVEN = {"affected": "sellers", "harms": "a price too low", "fairness": "cars only", "security": "none known"}


def test_what_nobody_answers_is_assumed_and_says_so() -> None:
    governance = answered({"affected": "sellers"}, target="price", risk="medium", contact_given=False)
    assert governance.affected == "sellers"
    assert set(governance.assumed) == {*STATEMENTS, *CHOICES, "contact"} - {"affected"}
    assert all(getattr(governance, name).startswith("Assumed: ") for name in STATEMENTS if name != "affected")


def test_with_every_answer_nothing_is_assumed() -> None:
    grave = {name: choices[-1] for name, choices in CHOICES.items()}
    governance = answered(GIVEN | grave, target="price", risk="low")
    assert governance.assumed == ()
    assert {name: getattr(governance, name) for name in CHOICES} == grave


@pytest.mark.requirement("GOV-11")
@pytest.mark.parametrize("missing", STATEMENTS)
def test_a_high_risk_takes_no_assumptions_about_people(missing: str) -> None:
    given = {name: text for name, text in GIVEN.items() if name != missing}
    with pytest.raises(InvalidInput, match=f"--{missing} TEXT"):
        answered(given, target="price", risk="high")
    assert set(answered(GIVEN, target="price", risk="high").assumed) == set(CHOICES)


@pytest.mark.parametrize(
    ("answers", "message"),
    [({"mood": "good"}, "'mood' is no question"), ({"impact": "huge"}, "Expected one of minor, material")],
)
def test_an_answer_that_cannot_be_used_is_refused(answers: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        answered(answers, target="price", risk="low")


def test_what_is_assumed_reads_back_as_a_charter() -> None:
    project = make_project(governance=answered({}, target="price", risk="medium", contact_given=False))
    assert list(broken_rules(project)) == []


def test_what_is_assumed_of_a_prompt_speaks_of_answers_and_of_the_prompt_it_has_to_beat() -> None:
    promise = promised({}, target="expected", metric="wrong_answer", risk="medium", is_prompt=True)
    governance = answered({}, target="expected", risk="medium", is_prompt=True)
    said = [promise.hypothesis, promise.kpi, promise.need.why, governance.affected, governance.harms]
    assert all(one.startswith("Assumed: ") and "answer" in one for one in said), said
    assert not [one for one in said if "expected" in one or "predict" in one]
    assert "'plain'" in promise.need.alternatives[-1].reached
