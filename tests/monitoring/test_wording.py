from __future__ import annotations

from headrace.core.alerts import Notice
from headrace.core.record import FINDING_KINDS
from headrace.monitoring.notices import Raised
from headrace.monitoring.wording import MEANS, worded
from headrace.testing import START, make_alert, make_finding

URL = "https://headrace.example"


def notice(**changes: object) -> Notice:
    given = {"id": "n1", "workspace": "main", "subject": "cars", "channel": "ops", "alerts": ("a", "b")}
    return Notice(**given | {"at": START, "due_at": START} | changes)  # type: ignore[arg-type]


def raised(number: int, kind: str = "data_drift", title: str = "x has shifted") -> Raised:
    finding = make_finding(id=f"finding-{number}", kind=kind, title=title)
    return Raised(make_alert(id=f"alert-{number}", finding_id=finding.id, action="automatic"), finding)


def test_the_gravest_comes_first_and_all_are_there() -> None:
    message = worded(
        notice(), [raised(1, "schedule"), raised(2), raised(3, "fairness", "groups differ")], URL
    )
    assert message.title == "cars: groups differ, and 2 more"
    assert message.severity == "critical"
    assert [one["alert"] for one in message.details] == ["alert-3", "alert-2", "alert-1"]
    assert all(f"alert alert-{number}" in message.text for number in (1, 2, 3))
    assert "a retraining starts by itself" in message.text
    assert message.links[0].url == f"{URL}/projects/cars#finding-finding-3"


def test_an_escalation_says_so() -> None:
    message = worded(notice(why="escalated"), [raised(1)], URL)
    assert message.title == "Not acknowledged yet: cars: x has shifted"


def test_every_kind_of_finding_is_said_in_words() -> None:
    assert set(MEANS) == set(FINDING_KINDS)


def test_many_are_counted() -> None:
    message = worded(notice(), [raised(number) for number in range(50)], URL)
    assert "... and 30 more." in message.text
    assert len(message.details) == 50


def test_a_title_from_elsewhere_stays_one_line() -> None:
    message = worded(notice(), [raised(1, title="a\nSubject: b\u202e")], URL)
    assert "\n" not in message.title
    assert "\u202e" not in message.title + message.text
