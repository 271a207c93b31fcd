"""Feedback meets the answer that it is about: by row id, or by business key and time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from headrace.core.ports import Columns, TableStore
from headrace.monitoring.ingest import feedback_table, outcomes_table, predictions_table
from headrace.monitoring.places import SLOT, Place, Places

LABEL = "label"
"""Name of the event that truth is: a label, corrected or not, also where it came as one."""
_SAID = {
    # Tables that were begun before it was asked whose word it is have no column for that.
    "feedback": """
        select id, kind, subject, name, value_number, value_text, happened_at, "at", page, text, source,
               principal, "by"
        from (select null::varchar as "by" where false union all by name select * from feedback)""",
    "outcomes": f"""
        select case when kind in ('label', 'correction') then 'label:' || subject else id end as id,
               'result' as kind, subject,
               case when kind in ('label', 'correction') then '{LABEL}' else kind end as name,
               value_number, value_text, observed_at as happened_at, "at",
               null::varchar as page, null::varchar as text, null::varchar as source,
               principal, null::varchar as "by"
        from outcomes""",
}
_LINKED = """
with said as (
  select e.* from (
    select arg_max({{id: id, kind: kind, subject: subject, name: name, number: value_number,
                    word: value_text, happened_at: happened_at, page: page, text: text, source: source,
                    principal: principal, "by": "by"}},
                   ("at", happened_at)) as e
    from ({said}) group by id
  ) where {counts}
),
given as (select * from predictions where arm <> 'shadow'),
-- Of the rows of one request that have one key, the first stands for all.
keyed as (
  select key, "at", min(subject) as row_id from given where key in (select subject from said)
  group by key, "at"
),
linked as (
  select g.subject as row_id, s.* from said s join given g on g.subject = s.subject
  union all
  select g.subject as row_id, s.* from said s join given g on g.key = s.subject where s.name = 'label'
  union all
  select k.row_id, s.* from said s asof join keyed k on s.subject = k.key and s.happened_at >= k."at"
  where s.kind <> 'interaction' and s.name <> 'label'
  union all
  select k.row_id, s.* from said s asof join keyed k on s.subject = k.key and s.happened_at <= k."at"
  where s.kind = 'interaction'
)
select l.* exclude (subject, row_id), l.row_id as subject, g.release_id, g.event_time, g."at" as answered_at,
       g.out_predict as predicted
from linked l join given g on g.subject = l.row_id
"""


def linked_feedback(
    project: str,
    tables: TableStore,
    *,
    names: Collection[str] | None = None,
    prediction_id: str | None = None,
    places: Places | None = None,
) -> Columns:
    """Each event that is about an answer, beside it; in the order in which things happened.

    An event by business key is about the last answer before it, and an interaction about the first one after
    it, by the time at which they were answered; a label is about every answer of the key. What no answer is
    there for is left out, until there is one.

    Args:
        names: only actions, and events of these names; None: all.
        prediction_id: only of this answer; None: of all.
        places: only of answers in these windows; None: in all.

    Returns:
        By event: ``id``, ``kind``, ``name``, ``number`` and ``word`` (its value), ``happened_at``, ``page``,
        ``text``, ``source``, ``principal`` (who sent it), ``by`` (whose word it is); and of the answer
        ``subject`` (its row id), ``release_id``, ``event_time``, ``answered_at``, ``predicted``.
        No columns where nothing has come.
    """
    found = linking(project, tables, names)
    if found is None:
        return {}
    sql, parameters = found.sql, found.parameters
    if prediction_id is not None:
        sql, parameters = sql + "where g.prediction_id = ?", [*parameters, prediction_id]
    if places is not None:
        sql, parameters = f"{sql}where {places.condition('g')}", [*parameters, *places.parameters]
    return tables.query(sql + " order by l.happened_at, l.id, l.row_id", found.among, parameters)


class Happened(NamedTuple):
    """A kind and name of events; of actions the kind is ``action``."""

    kind: str
    name: str


def feedback_by_window(
    project: str, tables: TableStore, *, names: Collection[str], window_s: int, origin: datetime
) -> dict[Place, dict[Happened, str]]:
    """What happened on the answers of each window, without reading the events: of each kind and name a word
    that is another one once another event has come. Parameters as of :func:`linked_feedback`."""
    linked = linking(project, tables, names)
    if linked is None:
        return {}
    rows = tables.query(
        f"""select release_id, {SLOT.format(of="e")} as slot, kind, name,
                   sum(hash(id, subject, number, word)::hugeint)::varchar as events
            from ({linked.sql}) e group by all order by all""",
        linked.among,
        [origin.timestamp(), window_s, *linked.parameters],
    )
    found: dict[Place, dict[Happened, str]] = {}
    columns = (rows[column] for column in ("release_id", "slot", "kind", "name", "events"))
    for release_id, slot, kind, name, events in zip(*columns, strict=True):
        found.setdefault(Place(str(release_id), int(slot)), {})[Happened(str(kind), str(name))] = str(events)
    return found


class Linking(NamedTuple):
    """A query of each event beside the answer that it is about, for others to begin with."""

    sql: str
    among: dict[str, tuple[str, int | None]]
    parameters: list[Any]


def linking(project: str, tables: TableStore, names: Collection[str] | None = None) -> Linking | None:
    """As :func:`linked_feedback` has its rows; None where nothing has come, or nothing was answered."""
    named = {"feedback": feedback_table(project), "outcomes": outcomes_table(project)}
    there = {name: (table, None) for name, table in named.items() if tables.version(table) is not None}
    predictions = predictions_table(project)
    if not there or tables.version(predictions) is None or not _answers(tables, predictions):
        return None
    parameters: list[Any] = [] if names is None else sorted(names)
    counts = (
        "true" if names is None else f"e.kind = 'action' or e.name in ({', '.join('?' * len(parameters))})"
    )
    sql = _LINKED.format(said=" union all ".join(_SAID[name] for name in there), counts=counts)
    return Linking(sql, {**there, "predictions": (predictions, None)}, parameters)


def count_answers(project: str, tables: TableStore, *, window_s: int, origin: datetime) -> dict[Place, int]:
    """How many rows each release answered in each window of event time."""
    rows = tables.query(
        f"""select release_id, {SLOT.format(of="p")} as slot, count(*) as n
            from p where arm <> 'shadow' group by all order by slot, release_id""",
        {"p": (predictions_table(project), None)},
        [origin.timestamp(), window_s],
    )
    counted = zip(rows["release_id"], rows["slot"], rows["n"], strict=True)
    return {Place(str(release_id), int(slot)): int(n) for release_id, slot, n in counted}


def _answers(tables: TableStore, predictions: str) -> bool:
    return "out_predict" in tables.query("select * from p limit 0", {"p": (predictions, None)})
