"""When a live release is to be reviewed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.project import ReviewSpec
from headrace.core.release import Review
from headrace.monitoring.notices import severity_of, telling
from headrace.monitoring.review import due_at, every_days, overdue_finding
from headrace.testing import START
from headrace.testing.factories import make_project

DAY = timedelta(days=1)
YEARLY = make_project(review=ReviewSpec(every_days=365))
FIT = Review(
    id="r", workspace="main", subject="cars", release_id="release-1", digest="d", looked_at="drift",
    by="grace", at=START + 100 * DAY,
)  # fmt: skip


@pytest.mark.requirement("GOV-15")
@pytest.mark.parametrize(
    ("risk", "declared", "expected"),
    [("low", None, None), ("medium", None, None), ("high", None, 90), ("high", 30, 30), ("low", 365, 365)],
)
def test_a_high_risk_is_reviewed_unless_it_says_how_often_and_others_if_they_say_so(
    risk: str, declared: int | None, expected: int | None
) -> None:
    assert every_days(make_project(risk=risk, review=ReviewSpec(every_days=declared))) == expected


@pytest.mark.requirement("GOV-15")
def test_it_is_due_so_long_after_it_went_live_or_was_reviewed_whichever_is_later() -> None:
    assert due_at(make_project(), START, None) is None
    assert due_at(YEARLY, START, None) == START + 365 * DAY
    assert due_at(YEARLY, START, FIT) == START + 465 * DAY
    assert due_at(YEARLY, START + 300 * DAY, FIT) == START + 665 * DAY, "rolled back to, and approved, since"


@pytest.mark.requirement("GOV-15")
def test_what_was_found_unfit_is_due_from_then_on() -> None:
    unfit = replace(FIT, state="unfit")
    assert due_at(YEARLY, START, unfit) == unfit.at
    found = overdue_finding(YEARLY, "release-1", unfit.at, unfit, START + 101 * DAY)
    assert found.title == f"grace found it unfit on {unfit.at:%Y-%m-%d}: replace it, or roll it back"
    assert found.evidence["last_review"] == "r"


@pytest.mark.requirement("GOV-15")
def test_each_time_that_a_review_is_due_is_told_once_to_those_responsible() -> None:
    due = START + 365 * DAY
    first, later = (overdue_finding(YEARLY, "release-1", due, None, due + n * DAY) for n in (1, 9))
    assert first.id == later.id
    assert (first.kind, first.size, later.size) == ("review", 1, 9)
    assert overdue_finding(YEARLY, "release-1", due + DAY, None, due + 2 * DAY).id != first.id
    assert severity_of("review") == "warning"
    assert telling(YEARLY, first).channels == ("email",), "which tells the owner and the team"
