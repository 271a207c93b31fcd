"""What a look at the canary sees: requests, losses in all and by segment, times to answer, and KPIs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.metrics import row_losses
from headrace.checks.sequential import AlwaysValid, between_arms
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED
from headrace.core.ports import Columns, Scorer
from headrace.core.project import KpiSpec, Project
from headrace.core.release import Rollout
from headrace.monitoring.feedback import linked_feedback
from headrace.monitoring.ingest import predictions_table, shadows_table
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.kpis import answer_values
from headrace.monitoring.segments import Cut
from headrace.monitoring.windows import as_utc, watermark
from headrace.releases.rollout import KpiSeen, Observation, SegmentSeen, Shares, Slow, one_sided
from headrace.store import Store
from headrace.store.columns import quoted
from headrace.store.records import decode_failure

_FAILURES = 10_000
FEWEST_IN_ARM = 50
"""Customers of either release before anything is said of a KPI."""
LoadScorer = Callable[[str], Scorer]


class Traffic(NamedTuple):
    """Requests the candidate has answered, and failed to answer, since the present step began."""

    answered: int
    failed: int


def traffic(store: Store, rollout: Rollout) -> Traffic:
    """The candidate's requests in the present step, from the durable record; a shadow's count too."""
    asked = store, rollout.project, rollout.release_id, rollout.step_started_at
    return Traffic(count_answers(*asked), count_failures(*asked))


def count_answers(store: Store, project: str, release_id: str, since: datetime) -> int:
    """Requests that a release has answered since then, as far as they are in the tables; a shadow's, too."""
    answered = 0
    for table in _answers(store, project):
        rows = store.tables.query(
            'select count(distinct prediction_id) as n from p where release_id = ? and "at" >= ?',
            {"p": (table, None)},
            [release_id, since.replace(tzinfo=None)],
        )
        answered += int(rows["n"][0])
    return answered


def count_failures(store: Store, project: str, release_id: str, since: datetime) -> int:
    """Requests that a release could not answer since then, from the durable record."""
    failed = 0
    stream = f"{project}/failures"
    for segment in store.events.segments(stream):
        offset = 0
        while offset < segment.size_bytes:
            records, offset = store.events.read(stream, segment.name, offset, _FAILURES)
            failures = [decode_failure(record) for record in records]
            failed += sum(f.release_id == release_id and f.at >= since for f in failures)
            if not records:
                break
    return failed


def observe(
    store: Store, project: Project, rollout: Rollout, load: LoadScorer, cuts: Sequence[Cut] = ()
) -> Observation:
    """See how the candidate does: its traffic in this step, and both models' losses on the same rows.

    All labelled rows answered since the rollout began are scored by candidate and champion alike, from
    the logged inputs, so that the comparison is paired: what differs between rows cancels out. Where an
    input is not logged as it came, or no truth judges answers, losses cannot be compared.

    Args:
        cuts: how columns are cut into the segments in which losses are compared as well.
    """
    seen = _beside(store, project, rollout, load)
    newest = watermark(project.name, store.tables)
    unjudged = project.task in (*GENERATIVE, *UNSUPERVISED) or altered_inputs(project)
    if rollout.champion_id is None or newest is None or unjudged:
        return seen
    since = canary_began(store, rollout)
    if since is None:
        return seen
    labelled = labelled_rows(project.name, store.tables, since=since)
    if len(labelled) < 2:
        return seen
    metric = project.gates.model.metric
    candidate = _losses(metric, labelled, load(rollout.release_id))
    champion = _losses(metric, labelled, load(rollout.champion_id))
    # Rows without a usable label say nothing about either; a candidate that fails on the rest does.
    measurable = np.isfinite(champion)
    candidate, champion = candidate[measurable], champion[measurable]
    if champion.size < 2:
        return seen
    shares = Shares.of(project)
    sequence = one_sided(shares.losses)
    sequence.update(candidate - champion)
    interval = sequence.interval()
    difference = None if interval is None else (float(interval.low), float(interval.high))
    if difference is None and champion.size >= project.rollout.min_labels and not sequence.n_different:
        difference = (0.0, 0.0)  # both answered every row alike: the candidate is the champion again
    segments = _segments(labelled.of(measurable), candidate, champion, cuts, shares.segments)
    return replace(
        seen,
        n_labels=champion.size,
        difference=difference,
        estimate=float((candidate - champion).mean()),
        champion_loss=float(champion.mean()),
        segments=tuple(segments),
    )


def _losses(metric: str, labelled: Labelled, scorer: Scorer) -> np.ndarray:
    outputs = scorer.score(labelled.columns)
    return np.asarray(row_losses(metric, labelled.truth, outputs, classes=scorer.classes))


def _segments(
    rows: Labelled, candidate: np.ndarray, champion: np.ndarray, cuts: Sequence[Cut], share: float
) -> Iterator[SegmentSeen]:
    """Each segment that there may be has its part of ``share``, whether or not rows of it have come."""
    mine = [cut for cut in cuts if cut.column in rows.columns]
    n_segments = sum(cut.most for cut in mine)
    for cut in mine:
        names = cut.of(rows.columns[cut.column])
        for name in sorted(set(names.tolist()) - {None}):
            inside = names == name
            sequence = one_sided(share / n_segments)
            sequence.update((candidate - champion)[inside])
            found = sequence.interval()
            yield SegmentSeen(
                column=cut.column,
                name=name,
                n_labels=int(inside.sum()),
                champion_loss=float(champion[inside].mean()),
                difference=None if found is None else (float(found.low), float(found.high)),
            )


def _beside(store: Store, project: Project, rollout: Rollout, load: LoadScorer) -> Observation:
    """What needs no comparison of losses: requests, and of a canary, times to answer and KPIs.

    Both are of this step alone. While the share of the traffic stands, chance decides who answers; over steps
    of other shares, other times of the day would be compared.
    """
    seen = Observation(**traffic(store, rollout)._asdict())
    share, table = rollout.steps[rollout.step] / 100, predictions_table(project.name)
    shares, nobody = Shares.of(project), store.tables.version(table) is None
    if rollout.champion_id is None or not 0 < share < 1 or nobody or not (shares.slow or shares.kpis):
        return seen
    since, both = rollout.step_started_at.replace(tzinfo=None), (rollout.release_id, rollout.champion_id)
    answered = store.tables.query(
        """select subject, coalesce(key, prediction_id) as unit, release_id, prediction_id,
                  (prepare_ms + infer_ms) / count(*) over (partition by prediction_id) as ms, row
           from p where release_id in (?, ?) and arm <> 'shadow' and "at" >= ? order by "at", subject""",
        {"p": (table, None)},
        [*both, since],
    )
    if not len(answered["unit"]):
        return seen
    kpis = tuple(_kpis(store, project, rollout, answered, load, share))
    return replace(seen, slow=_slow(project, rollout, answered, share), kpis=kpis)


def _slow(project: Project, rollout: Rollout, answered: Columns, share: float) -> Slow | None:
    level = project.serving.level
    if level is None:
        return None
    timed = (answered["row"] == 0) & np.isfinite(answered["ms"])
    mine, slow = answered["release_id"] == rollout.release_id, answered["ms"] > level.p99_ms
    counted = (timed & mine, timed & mine & slow, timed & ~mine, timed & ~mine & slow)
    n, n_slow, n_others, n_others_slow = (int(np.count_nonzero(one)) for one in counted)
    return Slow(
        limit_ms=level.p99_ms, n=n, slow=n_slow, champion_n=n_others, champion_slow=n_others_slow, share=share
    )


def _kpis(
    store: Store, project: Project, rollout: Rollout, answered: Columns, load: LoadScorer, share: float
) -> Iterator[KpiSeen]:
    judged = [spec for spec in project.kpis if spec.worse]
    names = frozenset(spec.event for spec in judged if spec.event)
    events = linked_feedback(project.name, store.tables, names=names) if judged else {}
    if not events:
        return
    classes = None if project.task in GENERATIVE else load(rollout.release_id).classes
    each = Shares.of(project).kpis / (len(judged) * len(project.rollout.steps))
    for spec in judged:
        brought = answer_values(spec, events, classes)
        sequence = _between(spec, brought, rollout, answered, share, each)
        if sequence is None:
            continue
        found = sequence.interval()
        yield KpiSeen(
            name=spec.name,
            unit=spec.unit,
            worse=spec.worse,
            n=sequence.n,
            difference=None if found is None else (float(found.low), float(found.high)),
        )


def _between(
    spec: KpiSpec, brought: dict[str, float], rollout: Rollout, answered: Columns, share: float, each: float
) -> AlwaysValid | None:
    """How far the candidate's answers are from the champion's in a KPI; None while too few are known.

    Nothing told of an answer counts as 0, but where only what was told counts.
    """
    subjects = answered["subject"].tolist()
    told = np.array([subject in brought for subject in subjects])
    counts = told if spec.measure in ("mean", "deviation") else np.ones(told.size, dtype=bool)
    values = np.array([brought.get(subject, 0.0) for subject in subjects])[counts]
    units, mine = answered["unit"][counts].astype(str), (answered["release_id"] == rollout.release_id)[counts]
    in_arms = [np.unique(units[chosen]).size for chosen in (mine, ~mine)]
    if min(in_arms) < FEWEST_IN_ARM or np.ptp(values) == 0:
        return None
    sequence = one_sided(each)
    sequence.update(between_arms(values, mine, share, units))
    return sequence


def canary_began(store: Store, rollout: Rollout) -> datetime | None:
    """Event time of the first row that the candidate answered, if only as a shadow; None before that."""
    found = []
    for table in _answers(store, rollout.project):
        sql = "select min(event_time) as t from p where release_id = ?"
        first = store.tables.query(sql, {"p": (table, None)}, [rollout.release_id])["t"]
        found += [as_utc(first[0])] if len(first) and not np.isnat(first[0]) else []
    return min(found, default=None)


def agreement(store: Store, rollout: Rollout) -> dict[str, Any]:
    """How far the candidate, as a shadow, agreed with what callers were answered: empty before it was one.

    ``shadow_rows`` were answered by both and ``same`` of them alike; ``apart`` is the mean absolute
    difference of numbers.
    """
    tables = _answers(store, rollout.project)
    if len(tables) < 2:
        return {}
    answers, shadows = tables
    known = store.tables.query("select * from s limit 0", {"s": (shadows, None)})
    output = next((name for name in known if name.startswith("out_")), None)
    answered = store.tables.query("select * from p limit 0", {"p": (answers, None)})
    if output is None or output not in answered:
        return {}
    column = quoted(output)
    is_number = known[output].dtype.kind == answered[output].dtype.kind == "f"
    gap = f"avg(abs(s.{column} - p.{column}))" if is_number else "null"
    rows = store.tables.query(
        f"select count(*) as n, count(*) filter (s.{column} is not distinct from p.{column}) as same, "
        f"{gap} as gap from s join p using (prediction_id, row) where s.release_id = ?",
        {"p": (answers, None), "s": (shadows, None)},
        [rollout.release_id],
    )
    n_rows = int(rows["n"][0])
    if not n_rows:
        return {}
    apart = {"apart": float(rows["gap"][0])} if is_number else {}
    return {"shadow_rows": n_rows, "same": int(rows["same"][0]), **apart}


def _answers(store: Store, project: str) -> list[str]:
    """The tables that hold answers of a candidate, as far as they are there: to callers, then as a shadow."""
    tables = (predictions_table(project), shadows_table(project))
    return [table for table in tables if store.tables.version(table) is not None]
