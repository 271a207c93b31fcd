"""When a live release is to be reviewed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.charters import terms_of
from headrace.core.project import ReviewSpec
from headrace.core.release import Review
from headrace.monitoring.notices import severity_of, telling
from headrace.monitoring.review import due_at, every_days, overdue_finding
from headrace.testing import START
from headrace.testing.factories import make_manifest, make_project, make_release

DAY = timedelta(days=1)
YEARLY = make_project(review=ReviewSpec(every_days=365))
FIT = Review(
    id="r", workspace="main", subject="cars", release_id="release-1", digest="d", looked_at="drift",
    by="grace", at=START + 100 * DAY,
)  # fmt: skip


@pytest.mark.requirement("GOV-15")
@pytest.mark.parametrize(
    ("risk", "declared", "expected"),
    [
        ("low", None, None),
        ("medium", None, None),
        ("high", None, 90),
        ("high", 30, 30),
        ("high", 365, 90),
        ("low", 365, 365),
    ],
)
def test_a_high_risk_is_reviewed_every_90_days_at_least_and_others_if_they_say_so(
    risk: str, declared: int | None, expected: int | None
) -> None:
    project = make_project(risk=risk, review=ReviewSpec(every_days=declared))
    assert every_days(project, make_release()) == expected


DAYS = st.none() | st.integers(1, 400)
RISKS = st.sampled_from(["low", "medium", "high"])


@pytest.mark.requirement("GOV-15")
@given(RISKS, DAYS, RISKS, DAYS)
def test_whatever_is_declared_sheds_no_review_of_what_was_approved(
    risk: str, days: int | None, approved_risk: str, approved_days: int | None
) -> None:
    def asked(risk: str, days: int | None) -> float:
        project = make_project(risk=risk, review=ReviewSpec(every_days=days))
        return every_days(project, make_release(manifest=make_manifest(risk="low"))) or math.inf

    declared = make_project(risk=risk, review=ReviewSpec(every_days=days))
    terms = terms_of(make_project(review=ReviewSpec(every_days=approved_days)))
    live = make_release(manifest=make_manifest(risk=approved_risk, terms=terms))
    found = every_days(declared, live) or math.inf
    assert found == min(asked(risk, days), asked(approved_risk, approved_days))


@pytest.mark.requirement("GOV-15")
def test_it_is_due_so_long_after_it_went_live_or_was_reviewed_whichever_is_later() -> None:
    assert due_at(None, START, None) is None
    assert due_at(365, START, None) == START + 365 * DAY
    assert due_at(365, START, FIT) == START + 465 * DAY
    assert due_at(365, START + 300 * DAY, FIT) == START + 665 * DAY, "rolled back to, and approved, since"


@pytest.mark.requirement("GOV-15")
def test_what_was_found_unfit_is_due_from_then_on() -> None:
    unfit = replace(FIT, state="unfit")
    assert due_at(365, START, unfit) == unfit.at
    found = overdue_finding(YEARLY, "release-1", unfit.at, 365, unfit, START + 101 * DAY)
    assert found.title == f"grace found it unfit on {unfit.at:%Y-%m-%d}: replace it, or roll it back"
    assert found.evidence["last_review"] == "r"


@pytest.mark.requirement("GOV-15")
def test_each_time_that_a_review_is_due_is_told_once_to_those_responsible() -> None:
    due = START + 365 * DAY
    first, later = (overdue_finding(YEARLY, "release-1", due, 365, None, due + n * DAY) for n in (1, 9))
    assert first.id == later.id
    assert (first.kind, first.size, later.size) == ("review", 1, 9)
    assert overdue_finding(YEARLY, "release-1", due + DAY, 365, None, due + 2 * DAY).id != first.id
    assert severity_of("review") == "warning"
    assert telling(YEARLY, first).channels == ("email",), "which tells the owner and the team"
