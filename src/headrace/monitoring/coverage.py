"""Do labels come as they used to? What nobody is told of cannot be seen to be wrong.

For each window it is counted how many of its answers had a label by its end, one window later, and three; by
the time at which the truth was observed. A window is judged when each of these times is a whole window past,
so that labels which are sent in by the night are in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.coverage import FEWEST_WINDOWS, fallen_p_value
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.ingest import quoted
from headrace.monitoring.joining import counted_labels
from headrace.monitoring.segments import Cut, cuts
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window, as_utc, watermark

NAME = "coverage"
"""Name of the measurements: share of the answers that had a label so many windows after the window's end."""
AGES = (0, 1, 3)
"""In windows."""
FALLEN = 0.4
"""Least share of the labels that must be missing."""
_MOST_BEFORE = 8
_EVERYWHERE = ""


class Counted(NamedTuple):
    """Answers of one window, or of a segment of it, and how many had a label at each of :data:`AGES`."""

    n: int
    known: tuple[int, ...]


Windows = Mapping[datetime, Mapping[tuple[str, str], Counted]]
"""By start; each by column and segment, two empty words for all answers."""


def watch_coverage(watch: Watch) -> Round:
    """Compare how many answers of each window have a label with the windows before; each segment as well.

    A finding needs :data:`FALLEN` of the labels to be missing, and evidence beyond how windows vary. What
    is missing everywhere is no matter of segments. A project without labels has nothing to miss.
    """
    found, length = Round([], []), timedelta(seconds=watch.project.monitors.window_s)
    newest, seen = watermark(watch.project.name, watch.tables), watch.measured(NAME)
    closed = _closed(watch)
    due = [
        (window, age)
        for window in closed
        for age in range(len(AGES))
        if newest is not None
        and window.end + (AGES[age] + 1) * length <= newest
        and _mark(watch, window, age, None, {}).id not in seen
    ]
    if not due:
        return found
    windows = _counted(watch, length, _span(closed, [window for window, _ in due]))
    for window, age in due:
        _watch_window(watch, window, age, windows, found)
    return found


def _closed(watch: Watch) -> list[Window]:
    """One window for each time, of the release that answered most of it."""
    most: dict[datetime, tuple[int, str]] = {}
    for (release_id, start), n_rows in watch.answered.items():
        most[start] = max(most.get(start, (0, "")), (n_rows, release_id))
    length = timedelta(seconds=watch.project.monitors.window_s)
    return [
        Window(release_id=release_id, start=start, end=start + length, n_rows=n_rows)
        for start, (n_rows, release_id) in sorted(most.items())
    ]


def _span(closed: list[Window], due: list[Window]) -> tuple[datetime, datetime]:
    """From the first window that any of ``due`` is compared with to the end of the last one."""
    starts = [window.start for window in closed]
    first = starts.index(min(window.start for window in due)) - _MOST_BEFORE
    since = starts[first] if first >= 0 else datetime.min.replace(tzinfo=UTC)
    return since, max(window.end for window in due)


def _counted(watch: Watch, length: timedelta, span: tuple[datetime, datetime]) -> Windows:
    found: dict[datetime, dict[tuple[str, str], Counted]] = defaultdict(dict)
    live = [release_id for release_id, _ in watch.answered]
    by_column: list[Cut | None] = [None, *cuts(watch.project, watch.baseline_of(live[-1]))]
    for cut in by_column:
        rows = counted_labels(
            watch.project.name,
            watch.tables,
            origin=watch.origin,
            length=length,
            ages=AGES,
            span=span,
            column=None if cut is None else quoted(f"in_{cut.column}"),
        )
        segments = [_EVERYWHERE] * len(rows["n"]) if cut is None else cut.of(rows["segment"])
        column = _EVERYWHERE if cut is None else cut.column
        for place, segment in enumerate(segments):
            if segment is None:
                continue
            at = found[as_utc(rows["start"][place])]
            so_far = at.get((column, segment), Counted(0, (0,) * len(AGES)))
            known = tuple(have + int(rows[f"known_{age}"][place]) for age, have in enumerate(so_far.known))
            at[column, segment] = Counted(so_far.n + int(rows["n"][place]), known)
    return found


def _watch_window(watch: Watch, window: Window, age: int, windows: Windows, found: Round) -> None:
    now = windows.get(window.start, {})
    earlier = {start: windows[start] for start in sorted(windows) if start < window.start}
    earlier = dict(list(earlier.items())[-_MOST_BEFORE:])
    everywhere = now.get((_EVERYWHERE, _EVERYWHERE), Counted(0, (0,) * len(AGES)))
    share = everywhere.known[age] / everywhere.n if everywhere.n else None
    detail = {
        "segments": {
            f"{column}: {segment}": one.known[age] / one.n
            for (column, segment), one in now.items()
            if column and one.n
        }
    }
    n_tests = len(AGES) * max(len(now), 1)
    worst = min(
        _fallen(watch, window, age, now, earlier, watch.level(n_tests)),
        key=lambda one: (one.feature is not None, -one.size),
        default=None,
    )
    if worst is not None:
        found.findings.append(worst)
    found.measurements.append(_mark(watch, window, age, share, detail))


def _fallen(
    watch: Watch,
    window: Window,
    age: int,
    now: Mapping[tuple[str, str], Counted],
    earlier: Windows,
    level: float,
) -> Iterator[Finding]:
    """Of all answers and of each segment in which labels are missing; of segments, more than elsewhere."""
    whole = now.get((_EVERYWHERE, _EVERYWHERE))
    for place, one in now.items():
        missing = _missing(watch, place, age, earlier)
        before = [other[place] for start, other in earlier.items() if place in other and start not in missing]
        before = [other for other in before if other.n >= watch.fewest]
        if one.n < watch.fewest or len(before) < FEWEST_WINDOWS:
            continue
        known, n = (np.array(side) for side in ([b.known[age] for b in before], [b.n for b in before]))
        was, is_ = float(known.sum() / n.sum()), one.known[age] / one.n
        p_value = fallen_p_value(one.known[age], one.n, known, n)
        if was == 0 or is_ > (1 - FALLEN) * was or p_value > level:
            continue
        if place[0] and whole is not None and _elsewhere(whole, one, age) < (was + is_) / 2:
            continue
        evidence = {
            "test": "two shares, with variance between windows",
            "p_value": p_value,
            "level": level,
            "known": one.known[age],
            "n_rows": one.n,
            "share": is_,
            "before": was,
            "n_windows": len(before),
            "after_windows": AGES[age],
        }
        yield watch.finding(
            window, "coverage", _title(window, age, place, is_, was), evidence, 1 - is_ / was,
            feature=_feature(place),
            since=_since(window, place, age, earlier, (1 - FALLEN) * was),
        )  # fmt: skip


def _missing(watch: Watch, place: tuple[str, str], age: int, earlier: Windows) -> set[datetime]:
    """Windows whose labels were found to be missing: they are no measure of what is usual."""
    found: set[datetime] = set()
    for known in watch.known:
        if known.kind != "coverage" or known.feature != _feature(place):
            continue
        for start, other in earlier.items():
            one = other.get(place)
            if start < known.window[0] or one is None or not one.n:
                continue
            if one.known[age] / one.n > (1 - FALLEN) * known.evidence["before"]:
                break
            found.add(start)
    return found


def _feature(place: tuple[str, str]) -> str | None:
    column, segment = place
    return f"{column}: {segment}" if column else None


def _since(window: Window, place: tuple[str, str], age: int, earlier: Windows, most: float) -> datetime:
    """Where the first of the windows in a row begins that have as few labels: it is announced once."""
    since = window.start
    for start, other in sorted(earlier.items(), reverse=True):
        one = other.get(place)
        if one is None or not one.n or one.known[age] / one.n > most:
            break
        since = start
    return since


def _elsewhere(whole: Counted, one: Counted, age: int) -> float:
    rest = whole.n - one.n
    return (whole.known[age] - one.known[age]) / rest if rest else 0.0


def _title(window: Window, age: int, place: tuple[str, str], share: float, before: float) -> str:
    column, segment = place
    where = f" where {column} is {segment!r}" if column else ""
    until = window.end + AGES[age] * (window.end - window.start)
    return (
        f"labels are missing: by {until:%Y-%m-%d %H:%M} {share:.0%} of the answers{where} had one, "
        f"before {before:.0%}"
    )


def _mark(
    watch: Watch, window: Window, age: int, share: float | None, detail: Mapping[str, Any]
) -> Measurement:
    return watch.measurement(
        window, NAME, share, key=str(AGES[age]), detail={"after_windows": AGES[age], **detail}
    )
