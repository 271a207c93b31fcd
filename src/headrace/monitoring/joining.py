"""Late truth meets early answers: labels are joined by row id or by business key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from headrace.core.ports import Columns, TableStore
from headrace.monitoring.ingest import outcomes_table, predictions_table
from headrace.monitoring.places import SLOT, Place, Places
from headrace.monitoring.windows import as_utc

_JOINED = """
with label as (
  select subject,
         arg_max({number: value_number, text: value_text}, ("at", observed_at)) as said,
         max(observed_at) as observed_at
  from outcomes where kind in ('label', 'correction') and observed_at <= ?
  group by subject
)
select p.*,
       coalesce(r.said, k.said).number as label_number,
       coalesce(r.said, k.said).text as label_text,
       coalesce(r.observed_at, k.observed_at) as label_at
from predictions p
left join label r on r.subject = p.subject
left join label k on k.subject = p.key
"""
_UNLABELLED = """
select *, null::double as label_number, null::varchar as label_text, null::timestamp as label_at
from predictions p
"""
_KNOWN = "where (r.subject is not null or k.subject is not null)"
_SAID = f"""
select release_id, {SLOT.format(of="l")} as slot, min(event_time) as first, count(label_number) as n_numbers,
       count(label_text) as n_texts, sum(hash(subject, label_number, label_text)::hugeint)::varchar as labels
from ({_JOINED}{_KNOWN}) l group by 1, 2
"""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


class Said(NamedTuple):
    """What labels say of a window: ``labels`` is another word once another label is known.

    Attributes:
        first: event time of its first labelled row.
        n_numbers, n_texts: how many labels are numbers, and how many are words.
    """

    first: datetime
    labels: str
    n_numbers: int
    n_texts: int


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Answered rows whose truth is known, in the order in which labels came.

    Attributes:
        columns: model inputs by their own names, each ``(n_rows,)``.
        outputs: ``predict`` and, for classification, ``probability`` (n_rows, n_classes).
        truth: the labels, float64 or text.
        subject: ids of the rows.
        release_id, event_time, label_at, key: per row.
    """

    columns: dict[str, Any]
    outputs: dict[str, Any]
    truth: Any
    subject: Any
    release_id: Any
    event_time: Any
    label_at: Any
    key: Any

    def __len__(self) -> int:
        return len(self.truth)

    def of(self, chosen: Any) -> Labelled:
        """The rows that ``chosen`` (a mask or positions) picks."""
        return Labelled(
            columns={name: values[chosen] for name, values in self.columns.items()},
            outputs={name: values[chosen] for name, values in self.outputs.items()},
            truth=self.truth[chosen],
            subject=self.subject[chosen],
            release_id=self.release_id[chosen],
            event_time=self.event_time[chosen],
            label_at=self.label_at[chosen],
            key=self.key[chosen],
        )


def labelled_rows(
    project: str,
    tables: TableStore,
    *,
    until: datetime | None = None,
    since: datetime | None = None,
    release_id: str | None = None,
    arm: tuple[str, datetime] | None = None,
    most: int | None = None,
    before: datetime | None = None,
    places: Places | None = None,
    as_text: bool | None = None,
) -> Labelled:
    """Rows answered since ``since`` and before ``before`` (event time) whose label was observed by ``until``
    (None: so far).

    ``arm`` is a part that they were answered in, and since when. A corrected label replaces the earlier one;
    a label without an answer stays in the table for later. Of more than ``most``, the newest.

    Args:
        places: only of these windows.
        as_text: whether labels are words or numbers; None: whichever more of these are.
    """
    if tables.version(predictions_table(project)) is None or tables.version(outcomes_table(project)) is None:
        return _as_labelled({})
    sql = _JOINED + _KNOWN
    parameters: list[Any] = [_naive(until or _END)]
    if since is not None:
        sql, parameters = sql + " and p.event_time >= ?", [*parameters, _naive(since)]
    if before is not None:
        sql, parameters = sql + " and p.event_time < ?", [*parameters, _naive(before)]
    if release_id is not None:
        sql, parameters = sql + " and p.release_id = ?", [*parameters, release_id]
    if arm is not None:
        sql, parameters = sql + ' and p.arm = ? and p."at" >= ?', [*parameters, arm[0], _naive(arm[1])]
    if places is not None:
        sql, parameters = f"{sql} and {places.condition('p')}", [*parameters, *places.parameters]
    if most is not None:
        sql = f"select * from ({sql} order by label_at desc, p.subject desc limit {most:d}) p"
    rows = tables.query(
        sql + " order by label_at, p.subject",
        _joined(project),
        parameters,
    )
    return _as_labelled(rows, as_text)


def labels_by_window(
    project: str, tables: TableStore, *, window_s: int, origin: datetime
) -> dict[Place, Said]:
    """What the labels that are known by now say of each window, without reading the rows."""
    if tables.version(predictions_table(project)) is None or tables.version(outcomes_table(project)) is None:
        return {}
    rows = tables.query(_SAID, _joined(project), [origin.timestamp(), window_s, _naive(_END)])
    columns = (rows[name] for name in ("release_id", "slot", "first", "labels", "n_numbers", "n_texts"))
    return {
        Place(str(release_id), int(slot)): Said(as_utc(first), str(labels), int(n_numbers), int(n_texts))
        for release_id, slot, first, labels, n_numbers, n_texts in zip(*columns, strict=True)
    }


def _joined(project: str) -> dict[str, tuple[str, int | None]]:
    return {"predictions": (predictions_table(project), None), "outcomes": (outcomes_table(project), None)}


def answered_rows(
    project: str, tables: TableStore, *, since: datetime, until: datetime, most: int
) -> Labelled:
    """Rows answered in a window of event time, oldest first, at most ``most``; ``truth`` is null where none
    has come."""
    predictions, outcomes = predictions_table(project), outcomes_table(project)
    if tables.version(predictions) is None:
        return _as_labelled({})
    among: dict[str, tuple[str, int | None]] = {"predictions": (predictions, None)}
    sql, parameters = _UNLABELLED, [_naive(since), _naive(until)]
    if tables.version(outcomes) is not None:
        among["outcomes"] = (outcomes, None)
        sql, parameters = _JOINED, [_naive(_END), *parameters]
    sql += "where p.event_time >= ? and p.event_time < ? order by p.event_time, p.subject limit ?"
    return _as_labelled(tables.query(sql, among, [*parameters, most]))


def count_labels(project: str, tables: TableStore, *, since: datetime | None) -> int:
    """How many labelled subjects were recorded after ``since`` (wall-clock time; None: ever)."""
    if tables.version(outcomes_table(project)) is None:
        return 0
    rows = tables.query(
        "select count(distinct subject) as n from o where kind = 'label' and \"at\" > ?",
        {"o": (outcomes_table(project), None)},
        [_naive(since or _BEGINNING)],
    )
    return int(rows["n"][0])


def _as_labelled(rows: Columns, as_text: bool | None = None) -> Labelled:
    empty = np.zeros(0)
    return Labelled(
        columns={name[3:]: values for name, values in rows.items() if name.startswith("in_")},
        outputs=answers_of(rows),
        truth=_truth(rows, as_text),
        subject=rows.get("subject", empty.astype(object)),
        release_id=rows.get("release_id", empty.astype(object)),
        event_time=rows.get("event_time", empty.astype("datetime64[us]")),
        label_at=rows.get("label_at", empty.astype("datetime64[us]")),
        key=rows.get("key", empty.astype(object)),
    )


def counted_labels(
    project: str,
    tables: TableStore,
    *,
    origin: datetime,
    length: timedelta,
    ages: Sequence[int],
    span: tuple[datetime, datetime],
    column: str | None,
) -> Columns:
    """How many live answers each window of a span has, and of how many the truth was observed soon enough.

    Args:
        origin: where the first window begins; each is ``length`` long.
        ages: so many windows after a window's end.
        span: of event time, from where a window begins up to where one begins.
        column: of the table, quoted: counts are by its values, too.

    Returns:
        ``start``, ``segment`` (with a column), ``n``, and ``known_0``, ``known_1`` ... for each of ``ages``.
    """
    predictions, outcomes = predictions_table(project), outcomes_table(project)
    aliases: dict[str, tuple[str, int | None]] = {"predictions": (predictions, None)}
    labels = "select null::varchar as subject, null::timestamp as observed_at where false"
    if tables.version(outcomes) is not None:
        aliases["outcomes"] = (outcomes, None)
        labels = """
            select subject, min(observed_at) as observed_at
            from outcomes where kind in ('label', 'correction') group by subject
        """
    length_s = length.total_seconds()
    segment = "null" if column is None else column
    known = ", ".join(
        f"count(*) filter (epoch(label_at) <= epoch(start) + {(age + 1) * length_s:.6f}) as known_{place}"
        for place, age in enumerate(ages)
    )
    return tables.query(
        f"""
        with label as ({labels}),
        answered as (
          select {segment} as segment, least(r.observed_at, k.observed_at) as label_at,
                 to_timestamp(? + {length_s:.6f} * floor((epoch(p.event_time) - ?) / {length_s:.6f}))
                   at time zone 'UTC' as start
          from predictions p
          left join label r on r.subject = p.subject
          left join label k on k.subject = p.key
          where p.arm not in ('canary', 'shadow') and p.event_time >= ? and p.event_time < ?
        )
        select start, segment, count(*) as n, {known} from answered group by start, segment order by start
        """,
        aliases,
        [origin.timestamp(), origin.timestamp(), *map(_naive, span)],
    )


def answers_of(rows: Columns) -> dict[str, Any]:
    """``predict`` ``(n_rows,)`` and, where there are any, ``probability`` ``(n_rows, n_classes)``."""
    probability = _probability(rows)
    answers = {"predict": rows.get("out_predict", np.zeros(0))}
    return answers if probability is None else answers | {"probability": probability}


def _probability(rows: Columns) -> Any:
    """``(n_rows, n_classes)``: of two classes one number was recorded, of more a list; None without any."""
    listed = sorted(
        (name for name in rows if name.startswith("out_probability_")),
        key=lambda n: int(n.rpartition("_")[2]),
    )
    columns = [rows[name] for name in listed]
    if "out_probability" not in rows:
        return np.stack(columns, axis=1) if columns else None
    positive = rows["out_probability"]
    columns += [np.full(len(positive), np.nan)] * (2 - len(columns))
    for index, share in enumerate((1 - positive, positive)):
        columns[index] = np.where(np.isnan(positive), columns[index], share)
    return np.stack(columns, axis=1)


def _truth(rows: Columns, as_text: bool | None) -> Any:
    """Numbers or text, whichever more labels are; the others do not say anything that can be measured."""
    numbers, texts = rows.get("label_number", np.zeros(0)), rows.get("label_text", np.zeros(0, dtype=object))
    if as_text is not None:
        return texts if as_text else numbers
    n_numbers = int(np.count_nonzero(~np.isnan(np.asarray(numbers, dtype=np.float64))))
    return texts if sum(text is not None for text in texts) > n_numbers else numbers


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


NO_ROWS = _as_labelled({})
"""Nothing has a label."""
