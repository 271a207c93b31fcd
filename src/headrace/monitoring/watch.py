"""What one monitor looks at in one round, and how it writes down what it saw.

Everything written has an id that follows from what it is about, so a round that is killed is simply
run again: nothing is counted twice and nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from headrace.checks.packs import Measured, Scored
from headrace.core.alerts import Period
from headrace.core.ids import derived_id
from headrace.core.ports import EvidenceStore, TableStore
from headrace.core.project import MonitorSpec, Project
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.places import Place, Places
from headrace.monitoring.windows import Window, closed_windows, origin_of

LEVEL = 0.9
"""Confidence of the intervals of what is measured in a window."""
QUARTER_S = 91 * 86_400
MOST_LEVEL = 0.05
"""No finding rests on weaker evidence, however much of the budget is left."""
FEW = 20
"""Windows with fewer rows than this are too small for a test of means; a cumulative sum watches them."""


class Round(NamedTuple):
    """What one round added."""

    measurements: list[Measurement]
    findings: list[Finding]


def level_of(monitors: MonitorSpec, n_monitors: int, n_tests: int) -> float:
    """The budget of false alarms, spread evenly over the windows of a quarter, the monitors and their tests.

    By linearity of expectation it holds whatever depends on what (Bonferroni).

    >>> round(level_of(MonitorSpec(window_s=604_800), 5, 21) * 13 * 5 * 21, 9)
    1.0
    """
    n_windows = max(QUARTER_S / monitors.window_s, 1.0)
    return min(monitors.false_alarms / (n_windows * n_monitors * n_tests), MOST_LEVEL)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One project, as it is now.

    Attributes:
        baseline_of: release id to what that release is compared with.
        known: what earlier rounds and monitors have found.
        now: time of this round.
        n_monitors: monitors that share the budget of false alarms.
        periods: known events that people have named.
        before: of each window what had come of its labels, or feedback, when this monitor looked at it last
            and what it found was kept, for the project as it is; empty: it looks at all windows.
        looked: the same of this round; whoever keeps what is found hands it to the next round as ``before``.
        measure: the project's declared metrics, by the code of a release, of each part of its rows.
    """

    project: Project
    tables: TableStore
    evidence: EvidenceStore
    baseline_of: Callable[[str], Baseline]
    known: Sequence[Finding]
    now: datetime
    measure: Callable[[str, Sequence[Scored]], list[dict[str, Measured]]]
    n_monitors: int
    periods: Sequence[Period] = ()
    before: Mapping[Place, str] = field(default_factory=dict)
    looked: dict[Place, str] = field(default_factory=dict)

    def changed(self, now: Mapping[Place, str]) -> Places:
        """Windows of which something else has come than when this monitor looked at them last."""
        self.looked.update(now)
        return Places(
            chosen=[place for place, what in now.items() if self.before.get(place) != what],
            window_s=self.project.monitors.window_s,
            origin=self.origin,
        )

    def level(self, n_tests: int) -> float:
        """At which one of ``n_tests`` that this monitor makes of each window may call chance a finding."""
        return level_of(self.project.monitors, self.n_monitors, n_tests)

    @cached_property
    def origin(self) -> datetime:
        """Where the first window begins."""
        return origin_of(self.project.name, self.tables, self.project.monitors.window_s) or self.now

    @cached_property
    def answered(self) -> dict[tuple[str, datetime], int]:
        """Rows of each closed window, by its release and start."""
        closed = closed_windows(self.project.name, self.tables, self.project.monitors.window_s)
        return {(window.release_id, window.start): window.n_rows for window in closed}

    @property
    def fewest(self) -> int:
        """Windows with fewer rows than this are measured and conclude nothing."""
        return max(FEW, self.project.monitors.min_rows)

    def measured(self, name: str) -> set[str]:
        """Ids of the measurements of this name that earlier rounds have kept."""
        return {m.id for m in self.evidence.measurements(self.project.name, name=name)}

    def new_windows(
        self, name: str, detail: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Window, Measurement]]:
        """Closed windows that have no measurement ``name`` yet, each with the one to keep.

        Its value is the number of rows. Kept with all else that was measured in the window, it says that
        nothing of it is left to do.
        """
        seen = self.measured(name)
        for window in closed_windows(self.project.name, self.tables, self.project.monitors.window_s):
            mark = self.measurement(window, name, float(window.n_rows), detail=detail)
            if mark.id not in seen:
                yield window, mark

    def finding(
        self,
        window: Window,
        kind: str,
        title: str,
        evidence: Mapping[str, Any],
        size: float,
        *,
        feature: str | None = None,
        since: datetime | None = None,
    ) -> Finding:
        """One finding per release, kind and feature: what goes on is measured, not announced again.

        Args:
            since: when a spell of it began, where it is announced anew after it was over.
        """
        spell = [] if since is None else [since.isoformat()]
        return Finding(
            id=derived_id("finding", self.project.name, kind, window.release_id, feature or "", *spell),
            project=self.project.name,
            kind=kind,
            release_id=window.release_id,
            title=title,
            window=(window.start, window.end),
            evidence=dict(evidence),
            size=size,
            at=self.now,
            feature=feature,
        )

    def measurement(
        self,
        window: Window,
        name: str,
        value: float | None,
        *,
        key: str = "",
        feature: str | None = None,
        segment: str | None = None,
        interval: tuple[float, float] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Measurement:
        """A value of a window; ``key`` tells several of one name and window apart."""
        return Measurement(
            id=derived_id(self.project.name, name, window.release_id, window.start.isoformat(), key),
            project=self.project.name,
            name=name,
            value=value,
            n_rows=window.n_rows,
            at=self.now,
            release_id=window.release_id,
            feature=feature,
            segment=segment,
            interval=interval,
            confidence=None if interval is None else LEVEL,
            window=(window.start, window.end),
            detail=dict(detail or {}),
        )
