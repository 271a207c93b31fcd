"""Labels that stop, come late, or are missing of one group; and windows of which nothing is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from headrace.core.record import Finding
from headrace.monitoring.coverage import NAME, watch_coverage
from headrace.monitoring.diagnosis import diagnose
from headrace.monitoring.watch import Round
from headrace.testing import START
from tests.monitoring.traffic import Scene, answer, cars, day, label, named, price

Make = Callable[..., Scene]
WEEK = timedelta(days=7)
N_ROWS = 160


def week(scene: Scene, number: int, *, share: float = 0.75, late_days: float = 1, without: str = "") -> None:
    """Answers of a week, and labels of a share of them; of none where the fuel is ``without``."""
    columns = cars(scene.random, N_ROWS)
    listed = {name: values.tolist() for name, values in columns.items()}
    outputs = {"predict": price(columns).tolist()}
    scene.answered([answer(f"w{number}", at=day(7 * number), columns=listed, outputs=outputs)])
    told = [
        label(f"w{number}:{row}", value, at=day(7 * number + late_days))
        for row, value in enumerate(outputs["predict"])
        if row < share * N_ROWS and columns["fuel"][row] != without
    ]
    if told:
        scene.told(told)


def look(scene: Scene, weeks: int) -> Round:
    """One round, kept, once so many weeks are over."""
    scene.close(7 * weeks)
    found = watch_coverage(scene.looking())
    scene.store.evidence.measure(found.measurements)
    return found


def only(found: Round) -> Finding:
    (finding,) = found.findings
    return finding


def test_labels_that_stop_are_found_a_window_later(watched: Make) -> None:
    scene = watched()
    for number in range(3):
        week(scene, number)
    week(scene, 3, share=0.0)
    assert look(scene, 4).findings == [], "labels of the newest window may still be sent in"
    week(scene, 4)
    finding = only(look(scene, 5))
    assert (finding.kind, finding.feature, finding.window[0]) == ("coverage", None, START + 3 * WEEK)
    assert (finding.size, finding.evidence["share"], finding.evidence["before"]) == (
        1.0,
        0.0,
        pytest.approx(0.75, abs=0.02),
    )
    assert finding.evidence["p_value"] <= finding.evidence["level"]
    assert finding.title == ("labels are missing: by 2026-01-29 00:00 0% of the answers had one, before 75%")
    assert [cause.name for cause in diagnose([finding])] == ["labels"]
    assert look(scene, 5) == Round([], []), "each window is judged once at each time"


def test_labels_that_come_late_are_missing_until_they_come(watched: Make) -> None:
    scene = watched()
    for number in range(7):
        week(scene, number, late_days=9 if number == 3 else 1)
        found = look(scene, number + 1)
        assert len(found.findings) == (1 if number == 4 else 0)
    measured = {
        (m.window[0], m.detail["after_windows"]): m.value
        for m in scene.store.evidence.measurements(scene.project.name, name=NAME)
        if m.window is not None
    }
    late = START + 3 * WEEK
    assert [measured[late, age] for age in (0, 1)] == [0.0, pytest.approx(0.75, abs=0.02)]


def test_labels_missing_of_one_group_name_the_group(watched: Make) -> None:
    scene = watched()
    for number in range(4):
        week(scene, number, share=1.0, without="hybrid" if number == 3 else "")
    week(scene, 4)
    finding = only(look(scene, 5))
    assert finding.feature == "fuel: hybrid"
    assert finding.title.startswith("labels are missing: by 2026-01-29 00:00 0% of the answers where fuel is")
    measured = next(m for m in named(look_again(scene), NAME) if m.window and m.window[0] == START + 3 * WEEK)
    assert measured.detail["segments"]["fuel: hybrid"] == 0.0


def look_again(scene: Scene) -> Round:
    """What is kept so far."""
    return Round(scene.store.evidence.measurements(scene.project.name, name=NAME), [])


@pytest.mark.parametrize("share", [0.0, 0.6, 0.75])
def test_fewer_labels_within_what_windows_vary_and_none_at_all_are_no_finding(
    watched: Make, share: float
) -> None:
    scene = watched()
    for number in range(5):
        week(scene, number, share=share if number != 2 or not share else 0.7)
    found = look(scene, 5)
    assert found.findings == []
    assert len(named(found, NAME)) == 4 + 3 + 1


def test_what_stops_again_is_found_again_and_what_goes_on_is_not(watched: Make) -> None:
    scene = watched()
    known: set[str] = set()
    for number in range(9):
        week(scene, number, share=0.0 if number in (3, 4, 6) else 0.75)
        for finding in look(scene, number + 1).findings:
            scene.store.findings.add(finding)
            known.add(finding.id)
    assert len(known) == 2, "one of the fourth and fifth week, one of the seventh"


def test_two_windows_alone_say_nothing(watched: Make) -> None:
    scene = watched()
    week(scene, 0)
    week(scene, 1, share=0.0)
    week(scene, 2)
    assert look(scene, 3).findings == []


def test_before_the_first_answer_and_the_first_label_there_is_nothing_to_miss(watched: Make) -> None:
    scene = watched()
    assert watch_coverage(scene.looking()) == Round([], [])
