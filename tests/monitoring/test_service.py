"""Hours with failures and downtime, and what is left of the error budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.alerts import Period
from headrace.core.project import Project, ServiceLevel, ServingSpec
from headrace.core.record import Failure
from headrace.core.release import Measurement
from headrace.monitoring.service import (
    NAME,
    Counts,
    Interval,
    Service,
    budget,
    maintenance,
    standing,
    watch_service,
)
from headrace.monitoring.watch import Round
from headrace.store import Store, open_store
from headrace.store.records import encode_failure
from headrace.testing import START, FakeClock
from headrace.testing.factories import make_measurement, make_project, make_settings

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LEVEL = ServiceLevel(p99_ms=50, requests_per_s=10, availability=0.999)


@dataclass(kw_only=True)
class Scene:
    """A project that answered from ``START`` on, on a clock of the test's own."""

    store: Store
    project: Project
    uptime: list[Interval] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    begun: datetime | None = START - MINUTE

    def look(self, hours: float) -> Round:
        """One round, so many hours after the start, kept."""
        service = Service(
            project=self.project,
            release_id="release-1",
            begun=lambda: self.begun,
            uptime=lambda since: [one for one in self.uptime if one[1] >= since],
            periods=self.periods,
            evidence=self.store.evidence,
            events=self.store.events,
            tables=self.store.tables,
            now=START + hours * HOUR,
        )
        found = watch_service(service)
        self.store.evidence.measure(found.measurements)
        return found

    def answer(self, hour: int, calls: int) -> None:
        """What the monitor of calls keeps of an hour."""
        window = (START + hour * HOUR, START + (hour + 1) * HOUR)
        self.store.evidence.measure([make_measurement(name="calls", value=float(calls), window=window)])

    def fail(self, minutes: Sequence[float], arm: str = "live") -> None:
        """Requests that failed, so many minutes after the start."""
        records = [
            encode_failure(
                Failure(
                    id=f"{arm}-{minute}", project="cars", release_id="release-1", arm=arm, principal="ada",
                    at=START + minute * MINUTE, n_rows=1, error="no",
                )
            )
            for minute in minutes
        ]  # fmt: skip
        self.store.events.append("cars/failures", records)

    def kept(self) -> list[Measurement]:
        return self.store.evidence.measurements("cars", name=NAME)

    def hours(self) -> list[Counts]:
        return [Counts(*one.detail["hour"]) for one in self.kept()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    project = make_project(serving=ServingSpec(level=LEVEL))
    with closing(open_store(make_settings(tmp_path / "home"), FakeClock())) as store:
        yield Scene(store=store, project=project)


def announced(start: datetime, end: datetime, *, at: datetime) -> Period:
    return Period(
        id=f"{start}", workspace="main", subject="cars", kind="maintenance", title="new disks",
        starts_at=start, ends_at=end, by="ada", at=at,
    )  # fmt: skip


@pytest.mark.requirement("MON-36")
def test_time_without_any_server_counts_also_where_nobody_asked(scene: Scene) -> None:
    scene.uptime = [(START - HOUR, START + 90 * MINUTE), (START + 100 * MINUTE, START + 9 * HOUR)]
    scene.uptime.append((START + 30 * MINUTE, START + 95 * MINUTE))  # another replica, for five minutes more
    scene.look(4.2)
    assert [one.down_s for one in scene.hours()] == [0, 300, 0, 0]
    assert scene.kept()[1].value == 1 - 300 / 3600
    last = standing(scene.project, scene.kept()[-1])
    assert (last.down_s, last.observed_s, last.failing_day) == (300, 4 * 3600, None)
    assert last.allowed_s == pytest.approx(2592)
    assert last.left == pytest.approx(1 - 300 / 2592)


@pytest.mark.requirement("MON-36")
def test_hours_in_which_no_round_could_look_are_counted_afterwards(scene: Scene) -> None:
    scene.uptime = [(START - HOUR, START + HOUR)]
    scene.look(1.2)
    scene.uptime.append((START + 30 * HOUR, START + 40 * HOUR))
    found = scene.look(31.2)
    assert [one.down_s for one in scene.hours()] == [0] + 29 * [3600] + [0]
    (finding,) = found.findings
    assert finding.kind == "service_level"
    assert finding.window[0] == START + HOUR, "the hour in which the budget ended, and no hour after"
    assert "1 h 0 min without a server" in finding.title
    assert scene.look(31.2) == Round([], [])
    assert scene.look(33.2).findings == [], "what goes on is not announced again"


@pytest.mark.requirement("MON-36")
def test_requests_that_failed_count_once_each_in_their_hour(scene: Scene) -> None:
    scene.uptime = [(START - HOUR, START + 99 * HOUR)]
    scene.fail([-5, 10, 20, 59.9, 60.1, 61, 130])
    scene.fail([15, 16], arm="shadow")
    for hour, calls in enumerate((96, 40, 10, 50)):
        scene.answer(hour, calls)
        scene.look(hour + 1.2)
        if hour == 1:
            scene.fail([119])  # late, beside one that is counted later
    assert [(one.answered, one.failed) for one in scene.hours()] == [(96, 3), (40, 2), (10, 2), (50, 0)]
    last = standing(scene.project, scene.kept()[-1])
    assert last.failing_day == 7 / 203
    assert last.availability == pytest.approx(196 / 203)


def test_an_hour_whose_answers_are_not_counted_yet_is_left_to_the_next_round(scene: Scene) -> None:
    scene.uptime = [(START - HOUR, START + 99 * HOUR)]
    scene.answer(0, 5)
    scene.look(2.2)
    assert len(scene.hours()) == 1
    scene.answer(1, 7)
    scene.look(2.3)
    assert [one.answered for one in scene.hours()] == [5, 7]


@pytest.mark.requirement("MON-36")
def test_maintenance_is_excused_if_it_was_announced_before_it_began(scene: Scene) -> None:
    scene.uptime = [(START - HOUR, START + HOUR), (START + 3 * HOUR, START + 9 * HOUR)]
    end = START + 2 * HOUR
    scene.periods = [announced(START + HOUR, end, at=START)]
    scene.periods.append(announced(end, end + HOUR, at=end + MINUTE))
    scene.fail([70, 200])
    scene.look(4.2)
    assert [(one.observed_s, one.down_s, one.failed) for one in scene.hours()] == [
        (3600, 0, 0),
        (0, 0, 0),
        (3600, 3600, 0),
        (3600, 0, 1),
    ]
    assert scene.kept()[1].value is None
    assert maintenance([replace(one, kind="event") for one in scene.periods]) == []


def test_nothing_is_counted_before_servers_were_heard_of(scene: Scene) -> None:
    scene.begun = None
    assert scene.look(5.2) == Round([], [])
    scene.begun = START + 3 * HOUR + MINUTE
    scene.uptime = [(START + 3 * HOUR, START + 9 * HOUR)]
    scene.look(6.2)
    assert [one.window for one in scene.kept()] == [
        (START + n * HOUR, START + (n + 1) * HOUR) for n in (4, 5)
    ]


def test_without_a_declared_level_it_is_measured_and_nobody_is_told(scene: Scene) -> None:
    scene.project = make_project()
    scene.uptime = [(START - 2 * HOUR, START - HOUR)]
    assert scene.look(9.2).findings == []
    last = standing(scene.project, scene.kept()[-1])
    assert (last.availability, last.declared, last.left) == (0.0, None, None)


def test_what_lies_before_the_period_is_given_back(scene: Scene) -> None:
    scene.uptime = [(START + HOUR, START + 9_999 * HOUR)]
    found = [scene.look(day * 24 + 0.2) for day in range(1, 33)]
    assert [one.project for round_ in found for one in round_.findings] == ["cars"]
    assert [standing(scene.project, one).down_s for one in scene.kept()][-1] == 0
    left = [standing(scene.project, one).left or 0.0 for one in scene.kept()]
    assert left[0] < 0 < left[-1] == 1.0


@settings(deadline=None, max_examples=8)
@given(
    st.lists(st.tuples(st.integers(0, 719), st.integers(1, 300)), max_size=6),
    st.lists(st.tuples(st.integers(0, 719), st.integers(1, 120)), max_size=3),
)
def test_seconds_add_up_as_if_each_minute_had_been_looked_at(
    tmp_path_factory: pytest.TempPathFactory, up: list[tuple[int, int]], planned: list[tuple[int, int]]
) -> None:
    home = tmp_path_factory.mktemp("minutes") / "home"
    with closing(open_store(make_settings(home), FakeClock())) as store:
        scene = Scene(store=store, project=make_project())
        scene.uptime = [(START + a * MINUTE, START + (a + n) * MINUTE) for a, n in up]
        scene.periods = [
            announced(START + a * MINUTE, START + (a + n) * MINUTE, at=START) for a, n in planned
        ]
        scene.look(12.2)
        excused = {minute for a, n in planned for minute in range(a, a + n)}
        there = {minute for a, n in up for minute in range(a, a + n)}
        for hour, counts in enumerate(scene.hours()):
            minutes = set(range(60 * hour, 60 * hour + 60)) - excused
            assert counts.observed_s == 60 * len(minutes)
            assert counts.down_s == 60 * len(minutes - there)


@pytest.mark.requirement("MON-36")
def test_availability_is_the_share_that_callers_see_who_come_at_any_moment() -> None:
    """Callers at random moments, of whom none is recorded while nothing is there."""
    random, n = np.random.default_rng(11), 400_000
    down, failing = 0.07, 0.04
    came_while_down = random.random(n) < down
    failed = ~came_while_down & (random.random(n) < failing)
    answered = ~came_while_down & ~failed
    recorded = Counts(int(answered.sum()), int(failed.sum()), 1_000.0, 1_000.0 * down)
    seen = float(answered.mean())
    assert recorded.availability == pytest.approx(seen, abs=4 * np.sqrt(seen * (1 - seen) / n))
    only_requests = recorded.answered / (recorded.answered + recorded.failed)
    assert only_requests - seen > 0.05, "what is recorded alone would not show the downtime"


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1), st.floats(0.9, 0.9999))
def test_the_budget_is_used_in_proportion_to_what_was_not_answered(
    answered: int, failed: int, down: float, declared: float
) -> None:
    counts = Counts(answered, failed, 30 * 86_400.0, down * 30 * 86_400.0)
    spent = budget(replace(LEVEL, availability=declared), counts)
    availability = counts.availability
    assert availability is not None
    assert spent.left == pytest.approx(1 - (1 - availability) / (1 - declared))
    assert (spent.left < -1e-9) == (availability < declared - 1e-9) or abs(availability - declared) < 1e-8


def test_of_a_level_without_any_budget_nothing_is_left_after_the_first_failure() -> None:
    perfect = replace(LEVEL, availability=1.0)
    assert budget(perfect, Counts(10, 0, 3600.0, 0.0)).left == 0
    assert budget(perfect, Counts(9, 1, 3600.0, 0.0)).left == -1
