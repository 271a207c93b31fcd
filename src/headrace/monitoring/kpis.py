"""What the answers of each version brought: KPIs that the project declares, and some that all have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np

from headrace.checks.kpis import Brought, difference, mean_of, share_of
from headrace.core.canonical import digest_bytes
from headrace.core.ports import Columns, TableStore
from headrace.core.project import KpiSpec, Project
from headrace.core.release import Measurement
from headrace.monitoring.feedback import Happened, count_answers, feedback_by_window, linked_feedback
from headrace.monitoring.ingest import as_category, predictions_table
from headrace.monitoring.places import Place
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window, as_utc, watermark, window_of

NAME = "kpi"
"""Name of the measurements; ``feature`` is the KPI's, ``segment`` the action, where it is by action."""
BUILT_IN = (
    KpiSpec(name="complaints", event="complaint", measure="share"),
    KpiSpec(name="praise", event="praise", measure="share"),
    KpiSpec(name="satisfaction", event="rating", measure="mean"),
    KpiSpec(name="deviation", measure="deviation"),
)
"""What every project has once such an event has come, unless it declares a KPI of that name."""
_MOST_ACTIONS = 20


def kpis_of(project: Project) -> tuple[KpiSpec, ...]:
    """Those that it declares, and the built-in ones."""
    own = {spec.name for spec in project.kpis}
    return (*project.kpis, *(spec for spec in BUILT_IN if spec.name not in own))


def _names(project: Project) -> frozenset[str]:
    return frozenset(spec.event for spec in kpis_of(project) if spec.event)


class Measured(NamedTuple):
    """What a measurement is of: each time that its feedback changes, it is measured again."""

    window: tuple[datetime, datetime] | None
    release_id: str | None
    kpi: str | None
    action: str | None


def newest(measurements: Iterable[Measurement]) -> dict[Measured, Measurement]:
    """Of each place the measurement that counts: the last one."""
    found: dict[Measured, Measurement] = {}
    for one in measurements:
        place = Measured(one.window, one.release_id, one.feature, one.segment)
        if place not in found or one.at >= found[place].at:
            found[place] = one
    return found


class _Part(NamedTuple):
    """Events of some answers of one release, and how many answers there are."""

    events: Columns
    n_answers: int
    classes: Sequence[Any] | None


def watch_kpis(watch: Watch) -> Round:
    """Measure each window that feedback has come for since it was last measured, and once more at its end.

    A KPI of which no event has ever come is not measured: that nobody reports is not that nothing happens.
    """
    found, project, moment = Round([], []), watch.project, watermark(watch.project.name, watch.tables)
    length_s, origin, names = project.monitors.window_s, watch.origin, _names(project)
    happened = feedback_by_window(project.name, watch.tables, names=names, window_s=length_s, origin=origin)
    ever = sorted({one for events in happened.values() for one in events})
    if moment is None or not ever:
        return found
    counted = count_answers(project.name, watch.tables, window_s=length_s, origin=origin)
    over = {place for place in counted if _window(watch, place, 0).end <= moment}
    present = {
        place: repr((ever, sorted(happened.get(place, {}).items()), place in over and n_answers))
        for place, n_answers in counted.items()
    }
    changed = watch.changed(present)
    if not changed.chosen:
        return found
    events = linked_feedback(project.name, watch.tables, names=names, places=changed)
    slots = _slots(events["event_time"], length_s, origin)
    known = newest(watch.evidence.measurements(project.name, name=NAME))
    specs = [spec for spec in kpis_of(project) if any(_made_of(spec, one) for one in ever)]
    for place in changed.chosen:
        mine = _of(events, (events["release_id"] == place.release_id) & (slots == place.slot))
        part = _Part(mine, counted[place], watch.baseline_of(place.release_id).classes)
        measured = _measured_anew(watch, place, part, specs, known, is_over=place in over)
        found.measurements.extend(measured)
    return found


def _measured_anew(
    watch: Watch,
    place: Place,
    part: _Part,
    specs: Sequence[KpiSpec],
    known: Mapping[Measured, Measurement],
    *,
    is_over: bool,
) -> Iterator[Measurement]:
    """Those KPIs of a window of which other events have come, or that are counted once more at its end."""
    window = _window(watch, place, part.n_answers)
    for spec in specs:
        if not is_over and not _counts(part.events, spec).any():
            continue
        for action, brought, digest in _measured(spec, part):
            of = Measured((window.start, window.end), window.release_id, spec.name, action)
            before, made_of = known.get(of), f"{digest}:{part.n_answers}" if is_over else digest
            if before is None or before.detail.get("digest") != made_of:
                yield _kept(
                    watch, window, spec, action=action, brought=brought, digest=made_of, before=before
                )


def _window(watch: Watch, place: Place, n_answers: int) -> Window:
    length_s, origin = watch.project.monitors.window_s, watch.origin
    start, end = window_of(_moment(origin, place.slot, length_s), length_s, origin)
    return Window(release_id=place.release_id, start=start, end=end, n_rows=n_answers)


def _made_of(spec: KpiSpec, one: Happened) -> bool:
    """Whether the KPI is made of such events."""
    if spec.measure == "deviation":
        return one.kind == "action" and spec.event in (None, "", one.name)
    return one.name == spec.event


@dataclass(frozen=True, kw_only=True)
class KpiDifference:
    """One KPI of two releases, on the answers that they gave in the same time.

    Attributes:
        value, against_value: of the one and of the other release, each over so many answers: ``n`` and
            ``against_n``; None where there are none.
        interval: of the difference at ``confidence``, for one look; None where too little is known.
        conclusion: ``higher`` or ``lower`` where 0 is outside of the interval, else ``undecided``.
    """

    kpi: str
    unit: str
    release_id: str
    value: float | None
    n: int
    against: str
    against_value: float | None
    against_n: int
    difference: float | None
    interval: tuple[float, float] | None
    confidence: float
    conclusion: Literal["higher", "lower", "undecided"]


def compare_kpis(
    project: Project,
    tables: TableStore,
    classes_of: Callable[[str], Sequence[Any] | None],
    release_id: str,
    against: str,
) -> list[KpiDifference]:
    """Compare what two releases brought while both answered: at another time, the world is another one.

    From when both had answered until one did so for the last time, each length of the project's windows
    counts in which both did. Empty where there is none, or nothing was ever told of an answer.
    """
    events, both = linked_feedback(project.name, tables, names=_names(project)), (release_id, against)
    together = _together(project, tables, both)
    if together is None or not events:
        return []
    then = together.holds(events["answered_at"])
    parts = [
        _Part(_of(events, then & (events["release_id"] == one)), together.n_answers[one], classes_of(one))
        for one in both
    ]
    return [
        _compared(spec, both, [_whole(spec, part) for part in parts])
        for spec in kpis_of(project)
        if _counts(events, spec).any()
    ]


def _compared(spec: KpiSpec, both: tuple[str, str], found: Sequence[Brought | None]) -> KpiDifference:
    (release_id, against), (one, other) = both, found
    apart = None if one is None or other is None else difference(one, other)
    return KpiDifference(
        kpi=spec.name,
        unit=spec.unit,
        release_id=release_id,
        value=None if one is None else one.value,
        n=0 if one is None else one.n,
        against=against,
        against_value=None if other is None else other.value,
        against_n=0 if other is None else other.n,
        difference=None if one is None or other is None else one.value - other.value,
        interval=apart,
        confidence=LEVEL,
        conclusion=_conclusion(apart),
    )


def _conclusion(apart: tuple[float, float] | None) -> Literal["higher", "lower", "undecided"]:
    if apart is None or apart[0] <= 0 <= apart[1]:
        return "undecided"
    return "higher" if apart[0] > 0 else "lower"


class _Together(NamedTuple):
    """The time in which two releases both answered, in slots that begin at ``since``; and how many rows each
    did in it."""

    since: Any
    until: Any
    length_us: int
    slots: frozenset[int]
    n_answers: dict[str, int]

    def holds(self, times: Any) -> Any:
        """Which of these times lie in it, as a mask."""
        place = (times - self.since).astype("timedelta64[us]").astype(np.int64) // self.length_us
        return (times >= self.since) & (times <= self.until) & np.isin(place, list(self.slots))


def _together(project: Project, tables: TableStore, both: tuple[str, str]) -> _Together | None:
    table, length_us = predictions_table(project.name), project.monitors.window_s * 1_000_000
    if tables.version(table) is None:
        return None
    rows = tables.query(
        """with given as (select release_id, "at" from p where release_id in (?, ?) and arm <> 'shadow'),
           span as (select min("at") as first, max("at") as last from given group by release_id),
           shared as (select max(first) as since, min(last) as until from span),
           counted as (
             select release_id, since, until, (epoch_us("at") - epoch_us(since)) // ? as slot, count(*) as n
             from given, shared where "at" between since and until group by all
           )
           select * from counted
           where slot in (select slot from counted group by slot having count(*) = 2)""",
        {"p": (table, None)},
        [*both, length_us],
    )
    if not len(rows["n"]):
        return None
    slots = frozenset(int(slot) for slot in rows["slot"])
    n_answers = {one: int(rows["n"][rows["release_id"] == one].sum()) for one in both}
    return _Together(rows["since"][0], rows["until"][0], length_us, slots, n_answers)


def _measured(spec: KpiSpec, part: _Part) -> Iterator[tuple[str | None, Brought, str]]:
    """Over all answers and, if it is by action, over those on which each action was taken; with a digest of
    what it is made of."""
    whole = _whole(spec, part)
    digest = _digest(part.events, spec)
    if whole is not None:
        yield None, whole, digest
    if not spec.by_action:
        return
    taken = _actions(part.events)
    names, counts = np.unique(np.array(list(taken.values()), dtype=object).astype(str), return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:_MOST_ACTIONS]:
        chosen = {subject for subject, action in taken.items() if action == names[place]}
        mine = _of(part.events, np.array([s in chosen for s in part.events["subject"]], dtype=bool))
        brought = _whole(spec, part._replace(events=mine, n_answers=len(chosen)))
        if brought is not None:
            yield str(names[place]), brought, f"{digest}:{len(chosen)}"


def _whole(spec: KpiSpec, part: _Part) -> Brought | None:
    values = np.array(list(answer_values(spec, part.events, part.classes).values()), dtype=np.float64)
    if spec.measure == "share":
        return share_of(int(values.sum()), part.n_answers, LEVEL)
    if spec.measure == "deviation" and part.classes is not None:
        return share_of(int(values.sum()), values.size, LEVEL)
    return mean_of(values, part.n_answers if spec.measure == "per_answer" else values.size, LEVEL)


def answer_values(spec: KpiSpec, events: Columns, classes: Sequence[Any] | None) -> dict[str, float]:
    """What each answer brought, by row id, as far as something was told of it.

    Of a share, and of a deviation from classes, 1 or 0.

    Args:
        events: as :func:`linked_feedback` gives them.
        classes: those of the model, where it answers with classes.
    """
    mine = _of(events, _counts(events, spec))
    if spec.measure == "deviation":
        return _deviation(mine, classes)
    answers, place = np.unique(mine["subject"].astype(str), return_inverse=True)
    number = mine["number"]
    if spec.measure == "share":
        happened = np.zeros(len(answers))
        happened[place[np.isnan(number) | (number != 0)]] = 1
        return dict(zip(answers.tolist(), happened.tolist(), strict=True))
    known = np.isfinite(number)
    n_values = np.bincount(place[known], minlength=len(answers))
    sums = np.zeros(len(answers))
    np.add.at(sums, place[known], number[known])
    values = sums / np.maximum(n_values, 1) if spec.measure == "mean" else sums
    has = n_values > 0
    return dict(zip(answers[has].tolist(), values[has].tolist(), strict=True))


def _deviation(actions: Columns, classes: Sequence[Any] | None) -> dict[str, float]:
    """Of the last action on each answer: whether it is another class, or how far it is from the number."""
    last = {str(subject): index for index, subject in enumerate(actions["subject"])}
    if classes is not None:
        done, predicted = _done(actions), actions["predicted"]
        return {one: float(done[i] != as_category(predicted[i])) for one, i in last.items()}
    if actions["predicted"].dtype.kind != "f":
        return {}
    apart = np.abs(actions["number"] - actions["predicted"])
    return {one: float(apart[index]) for one, index in last.items() if np.isfinite(apart[index])}


def _actions(events: Columns) -> dict[str, str]:
    """The last action on each answer, by its row id."""
    actions = _of(events, events["kind"] == "action")
    return {str(s): done for s, done in zip(actions["subject"], _done(actions), strict=True)}


def _done(actions: Columns) -> list[str]:
    """What was done: the value of an action, or its name."""
    told = zip(actions["number"], actions["word"], actions["name"], strict=True)
    return [
        str(word) if isinstance(word, str) else str(name if np.isnan(number) else as_category(number))
        for number, word, name in told
    ]


def _counts(events: Columns, spec: KpiSpec) -> Any:
    """Which events the KPI is made of, as a mask."""
    if spec.measure == "deviation":
        is_action = events["kind"] == "action"
        return is_action & (events["name"] == spec.event) if spec.event else is_action
    return events["name"] == spec.event


def _digest(events: Columns, spec: KpiSpec) -> str:
    """Another one once the events are others that the KPI is made of."""
    mine = _of(events, _counts(events, spec) | (spec.by_action & (events["kind"] == "action")))
    order = np.argsort(mine["id"].astype(str), kind="stable")
    columns = [mine[name][order].tolist() for name in ("id", "subject", "number", "word", "name")]
    return digest_bytes(repr((spec.measure, columns)).encode())


def _of(events: Columns, chosen: Any) -> Columns:
    chosen = np.asarray(chosen, dtype=bool)
    return {name: values[chosen] for name, values in events.items()}


def _slots(times: Any, length_s: int, origin: datetime) -> Any:
    return (times.astype("datetime64[s]").astype(np.int64) - int(origin.timestamp())) // length_s


def _moment(origin: datetime, slot: int, length_s: int) -> datetime:
    return as_utc(np.datetime64(int(origin.timestamp()) + slot * length_s, "s"))


def _kept(
    watch: Watch,
    window: Window,
    spec: KpiSpec,
    *,
    action: str | None,
    brought: Brought,
    digest: str,
    before: Measurement | None,
) -> Measurement:
    """Its id follows from the events that are known and from the measurement before it: what is corrected
    back to what it was is a measurement of its own."""
    own = Window(release_id=window.release_id, start=window.start, end=window.end, n_rows=brought.n)
    return watch.measurement(
        own,
        NAME,
        brought.value,
        key=f"{spec.name}:{action or ''}:{digest}:{'' if before is None else before.id}",
        feature=spec.name,
        segment=action,
        interval=brought.interval,
        detail={
            "measure": spec.measure,
            "event": spec.event,
            "unit": spec.unit,
            "total": brought.total,
            "n_covered": brought.covered,
            "n_answers": window.n_rows,
            "digest": digest,
        },
    )
