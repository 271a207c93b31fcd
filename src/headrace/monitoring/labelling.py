"""Which answers people should judge: those that signals call poor, and a sample of all. Rules, no model.

Whether an answer is in the sample follows from its id alone, so that every repeat says the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.checks.columns import is_missing, readable
from headrace.core.ports import TableStore
from headrace.core.project import Project
from headrace.monitoring.feedback import linking
from headrace.monitoring.ingest import predictions_table, quoted
from headrace.monitoring.windows import as_utc
from headrace.projects.llm import FeedbackRules, llm_of

SOURCE = "labelling"
"""Source of judgements."""
JUDGED, CATEGORIES, CORRECTION = "judged", "judged_categories", "correction"
"""Names of the events that a judgement is."""
_DIGITS = 12
_NOTHING = """
    select null::varchar as id, null::varchar as kind, null::varchar as name, null::double as number,
           null::varchar as word, null::timestamp as happened_at, null::varchar as text,
           null::varchar as source, null::varchar as principal, null::varchar as subject where false"""
_WAITING = """
with told as ({told}),
signal as (
  select subject,
         count(*) filter (name = 'thumbs_down' and coalesce(number, 1) <> 0)::double as thumbs_down,
         min(number) filter (name = 'rating' and kind = 'opinion') as rating,
         count(*) filter (name = 'complaint' and coalesce(number, 1) <> 0)::double as complaint,
         count(*) filter (name = 'correction' and source is distinct from '{source}')::double as correction,
         max(number) filter (name = 'edit_distance') as edited,
         coalesce(max(number) filter (name = 'retried'), 0) as retried,
         coalesce(max(number) filter (name = 'rephrased'), 0) as rephrased,
         coalesce(min(number) filter (name = 'abandoned'), 0) as abandoned,
         string_agg(text, chr(10) order by happened_at) filter (name in ('comment', 'complaint')) as said
  from told group by subject
),
judged as (
  select subject, list(distinct principal order by principal) as people
  from told where name = '{judged}' and source = '{source}' group by subject
),
answer as (
  select p.subject, p.release_id, p."at", p.out_predict as answer, {asked}
         s.* exclude (subject),
         coalesce(j.people, []::varchar[]) as people,
         substr(sha256('sample:' || p.subject), 1, {digits}) < ? as sampled,
         substr(sha256('twice:' || p.subject), 1, {digits}) < ? as twice
  from predictions p left join signal s on s.subject = p.subject left join judged j on j.subject = p.subject
  where p.arm <> 'shadow' and p.out_predict is not null
),
rated as (
  select *, coalesce(thumbs_down, 0) > 0 or rating <= ? or coalesce(complaint, 0) > 0
              or coalesce(correction, 0) > 0 as explicit,
         (coalesce(edited, 0) >= ?)::int + (coalesce(retried, 0) > 0)::int + (coalesce(rephrased, 0) > 0)::int
              + (coalesce(abandoned, 0) > 0)::int as n_implicit
  from answer
)
select * from rated
where (explicit or n_implicit >= ? or sampled) {which}
order by explicit desc, n_implicit >= ? desc, "at" desc, subject limit ?
"""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An answer that people should judge.

    Attributes:
        reasons: why, in words; the strongest first. ``sampled``: because everybody's turn comes.
        people: who has judged it already.
        said: what users have said of it in words.
    """

    subject: str
    release_id: str
    answered_at: datetime
    question: str
    answer: str
    reasons: tuple[str, ...]
    sampled: bool
    people: tuple[str, ...]
    said: str


def waiting(
    project: Project,
    tables: TableStore,
    kinds: Mapping[str, str],
    *,
    by: str | None = None,
    everything: bool = False,
    most: int = 50,
) -> list[Waiting]:
    """Those that wait to be judged: what users have said is poor before what they did, and that before the
    sample; the newest first.

    Args:
        kinds: of the columns of the project's data: they tell yes and no from numbers.
        by: only those that this one has not judged.
        everything: also those that enough people have judged.
    """
    predictions = predictions_table(project.name)
    rules = llm_of(project).feedback
    if tables.version(predictions) is None:
        return []
    columns = tables.query("select * from p limit 0", {"p": (predictions, None)})
    if "out_predict" not in columns:
        return []
    inputs = _inputs(project, columns)
    found = linking(project.name, tables)
    which, asked = _which(by, everything=everything)
    sql = _WAITING.format(
        told=_NOTHING if found is None else found.sql,
        source=SOURCE,
        judged=JUDGED,
        asked="".join(f'p.{quoted(name)} as "asked {place}", ' for place, name in enumerate(inputs)),
        digits=_DIGITS,
        which=which,
    )
    parameters = [
        *([] if found is None else found.parameters),
        _threshold(rules.sample.of(project.risk)),
        _threshold(rules.twice),
        rules.rating_at_most,
        rules.edited_from,
        rules.implicit,
        *asked,
        rules.implicit,
        most,
    ]
    among = {"predictions": (predictions, None), **({} if found is None else found.among)}
    rows = tables.query(sql, among, parameters)
    return [
        _waiting({name: values[index] for name, values in rows.items()}, inputs, rules, kinds)
        for index in range(len(rows["subject"]))
    ]


def _inputs(project: Project, columns: Collection[str]) -> list[str]:
    """The recorded inputs, those that are declared first."""
    declared = [f"in_{column.name}" for column in project.data.columns]
    recorded = sorted(name for name in columns if name.startswith("in_"))
    return [name for name in declared if name in recorded] + [n for n in recorded if n not in declared]


def _question(values: Mapping[str, Any]) -> str:
    """What was asked: the only input as it is; of several, each that is known, with its name."""
    if len(values) == 1:
        return "".join(_text(value) for value in values.values())
    return ", ".join(f"{name}: {text}" for name, value in values.items() if (text := _text(value)))


def _which(by: str | None, *, everything: bool) -> tuple[str, list[Any]]:
    conditions, parameters = [], []
    if not everything:
        conditions.append("len(people) < case when twice then 2 else 1 end")
    if by is not None:
        conditions.append("not list_contains(people, ?)")
        parameters.append(by)
    return "".join(f" and {one}" for one in conditions), parameters


def _threshold(share: float) -> str:
    """Below which the first digits of a hash are for this share of all."""
    return "g" if share >= 1.0 else f"{int(share * 16**_DIGITS):0{_DIGITS}x}"


def _waiting(
    row: dict[str, Any], inputs: Sequence[str], rules: FeedbackRules, kinds: Mapping[str, str]
) -> Waiting:
    asked = {name.removeprefix("in_"): row[f"asked {place}"] for place, name in enumerate(inputs)}
    for name, value in asked.items():
        if kinds.get(name) == "boolean" and not is_missing(value):
            asked[name] = bool(value)
    return Waiting(
        subject=str(row["subject"]),
        release_id=str(row["release_id"]),
        answered_at=as_utc(row["at"]),
        question=_question(asked),
        answer=_text(row["answer"]),
        reasons=tuple(_reasons(row, rules)),
        sampled=bool(row["sampled"]),
        people=tuple(map(str, row["people"])),
        said=_text(row["said"]),
    )


def _reasons(row: dict[str, Any], rules: FeedbackRules) -> Iterator[str]:
    if _number(row["thumbs_down"]):
        yield "thumbs down"
    rating = row["rating"]
    if rating is not None and not math.isnan(rating) and rating <= rules.rating_at_most:
        yield f"rated {rating:g} of 5"
    if _number(row["complaint"]):
        yield "a complaint"
    if _number(row["correction"]):
        yield "corrected by a user"
    if row["n_implicit"] >= rules.implicit:
        if _number(row["edited"]) >= rules.edited_from:
            yield f"{_number(row['edited']):.0%} of it changed before use"
        for name, said in (
            ("retried", "asked again"),
            ("rephrased", "asked in other words"),
            ("abandoned", "left without use"),
        ):
            if _number(row[name]):
                yield said
    if row["sampled"]:
        yield "in the sample"


def _number(value: Any) -> float:
    return 0.0 if value is None or math.isnan(value) else float(value)


def _text(value: Any) -> str:
    return "" if is_missing(value) else readable(value)
