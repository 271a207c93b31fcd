"""Are requests refused because a column has gone, is called otherwise, or holds something else?

Whoever was answered before and is refused now has changed, or what feeds it has. No row of such requests is
recorded, so hours of the clock on the wall are looked at: windows may never close again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from headrace.checks.renames import renamed
from headrace.core.ids import derived_id
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.hours import HOUR, NewHours, new_hours
from headrace.monitoring.ingest import predictions_table, refusals_table
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window, as_utc

NAME = "refused"
"""Name of the measurements: one for each hour; ``detail`` has the changes, and the spells that go on."""
_KNOWN = timedelta(days=7)
"""A consumer is known who was answered in the days before; what a new one sends wrong is its own matter."""
_FEW, _MANY = 3, 20
_HALF, LEAST_SHARE = 0.5, 0.05
"""Shares of the calls of those consumers: half of a few, or one in twenty of many, are a change."""
_LISTED = 5


class Change(NamedTuple):
    """What is wrong with a column: ``renamed`` (``words`` is its new name), ``missing``, ``retyped``
    (``words`` is what it holds instead), or ``extra``."""

    release_id: str
    column: str
    what: str
    words: str = ""

    @property
    def title(self) -> str:
        """As a clause."""
        return {
            "renamed": f"input {self.column!r} comes as {self.words!r}",
            "missing": f"input {self.column!r} does not come any more",
            "retyped": f"input {self.column!r} holds {self.words}",
            "extra": f"column {self.column!r} comes, which the model does not know",
        }[self.what]


@dataclass
class _Seen:
    """Of one change in one hour: refused calls by consumer, and when the first came."""

    since: datetime
    calls: dict[str, int] = field(default_factory=dict)


def watch_refused(watch: Watch) -> Round:
    """Count the requests of each hour that were refused for their columns, by column and what is wrong.

    A finding needs consumers who were answered in the week before: half of their calls and three at least, or
    one in twenty and twenty at least, are refused alike now. It is a fact and no sample, so no test is made.
    What goes on is announced once, and anew after an hour in which fewer than one in twenty calls of the
    consumers with which it began were refused alike; an hour without their calls ends nothing.
    """
    found = Round([], [])
    new = new_hours(watch, NAME)
    if new is None:
        return found
    start, spells = new.first, _spells(new)
    while start < new.until:
        seen = _seen(watch, start)
        if seen or spells:
            answered, known = _answered(watch, start)
            spells = {
                change: names
                for change, names in spells.items()
                if _goes_on(names, seen[change].calls if change in seen else {}, answered)
            }
            for change, one in seen.items():
                finding = None if change in spells else _finding(watch, start, change, one, answered, known)
                if finding is not None:
                    found.findings.append(finding)
                    spells[change] = sorted(known & set(one.calls))
        found.measurements.append(_measured(watch, start, seen, spells))
        start += HOUR
    return found


def _spells(new: NewHours) -> dict[Change, list[str]]:
    """What went on in the last hour that was looked at, and with which consumers it began."""
    if not new.kept:
        return {}
    last = max(new.kept, key=lambda measured: measured.at if measured.window is None else measured.window[0])
    return {Change(*change): list(names) for change, names in last.detail.get("spells", [])}


def _goes_on(names: list[str], refused: dict[str, int], answered: dict[str, int]) -> bool:
    n, n_answered = (sum(calls.get(name, 0) for name in names) for calls in (refused, answered))
    return not n_answered or n / (n + n_answered) >= LEAST_SHARE


def _seen(watch: Watch, start: datetime) -> dict[Change, _Seen]:
    table = refusals_table(watch.project.name)
    if watch.tables.version(table) is None:
        return {}
    rows = watch.tables.query(
        'select * from t where "at" >= ? and "at" < ? order by since',
        {"t": (table, None)},
        [start.replace(tzinfo=None), (start + HOUR).replace(tzinfo=None)],
    )
    found: dict[Change, _Seen] = {}
    for row in range(len(rows["n"])):
        release_id, principal = str(rows["release_id"][row]), str(rows["principal"][row])
        missing, unknown, mistyped = (
            json.loads(rows[name][row]) for name in ("missing", "unknown", "mistyped")
        )
        for change in _changes(watch, release_id, missing, unknown, mistyped):
            one = found.setdefault(change, _Seen(as_utc(rows["since"][row])))
            one.calls[principal] = one.calls.get(principal, 0) + int(rows["n"][row])
    return found


def _changes(
    watch: Watch, release_id: str, missing: list[str], unknown: list[str], mistyped: dict[str, str]
) -> Iterator[Change]:
    kinds = watch.baseline_of(release_id).inputs.kinds
    left = list(unknown)
    for name in missing:
        likely = renamed(name, kinds.get(name, "other"), dict.fromkeys(left, ()), left, {})
        new = likely.name if likely is not None else None
        if new is None and len(missing) == len(unknown) == 1:
            new = unknown[0]  # one has gone and one has come
        if new is None:
            yield Change(release_id, name, "missing")
        else:
            left.remove(new)
            yield Change(release_id, name, "renamed", new)
    for name in left:
        yield Change(release_id, name, "extra")
    for name, words in mistyped.items():
        yield Change(release_id, name, "retyped", words)


def _answered(watch: Watch, start: datetime) -> tuple[dict[str, int], frozenset[str]]:
    """Calls that were answered in the hour, by consumer; and who was answered before it."""
    rows = watch.tables.query(
        'select principal, count(distinct prediction_id) filter ("at" >= ?) as n, bool_or("at" < ?) as known '
        'from p where "at" >= ? and "at" < ? group by 1',
        {"p": (predictions_table(watch.project.name), None)},
        [moment.replace(tzinfo=None) for moment in (start, start, start - _KNOWN, start + HOUR)],
    )
    named = [str(one) for one in rows["principal"]]
    answered = dict(zip(named, rows["n"].tolist(), strict=True))
    return answered, frozenset(n for n, known in zip(named, rows["known"].tolist(), strict=True) if known)


def _finding(
    watch: Watch,
    start: datetime,
    change: Change,
    seen: _Seen,
    answered: dict[str, int],
    known: frozenset[str],
) -> Finding | None:
    refused = {name: n for name, n in seen.calls.items() if name in known}
    n = sum(refused.values())
    share = n / ((n + sum(answered[name] for name in refused)) or 1)
    if not (n >= _FEW and share >= _HALF) and not (n >= _MANY and share >= LEAST_SHARE):
        return None
    most = sorted(refused, key=lambda name: (-refused[name], name))
    whose = ", ".join(map(repr, most[:3])) + (f" and {len(most) - 3} more" if len(most) > 3 else "")
    title = (
        f"{change.title}, since {seen.since:%Y-%m-%d %H:%M}: {share:.0%} of the calls of {whose}, "
        "which were answered before, are refused"
    )
    evidence = {
        "cause": change.what,
        "instead": change.words,
        "since": seen.since.isoformat(),
        "refused": n,
        "answered": sum(answered[name] for name in refused),
        "consumers": [{"consumer": name, "refused": refused[name]} for name in most[:_LISTED]],
    }
    window = Window(release_id=change.release_id, start=start, end=start + HOUR, n_rows=n)
    feature = f"{change.column}: {change.what}"
    return watch.finding(window, "columns", title, evidence, share, feature=feature, since=start)


def _measured(
    watch: Watch, start: datetime, seen: dict[Change, _Seen], spells: dict[Change, list[str]]
) -> Measurement:
    changes = [
        {
            "release": one.release_id,
            "column": one.column,
            "what": one.what,
            "instead": one.words,
            "calls": s.calls,
        }
        for one, s in seen.items()
    ]
    return Measurement(
        id=derived_id(watch.project.name, NAME, start.isoformat()),
        project=watch.project.name,
        name=NAME,
        value=float(sum(sum(one.calls.values()) for one in seen.values())),
        n_rows=0,
        at=watch.now,
        window=(start, start + HOUR),
        detail={"changes": changes, "spells": [[list(change), names] for change, names in spells.items()]},
    )
