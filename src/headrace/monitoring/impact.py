"""What people said of the answers of each release, and what changed from one release to the next.

A difference is that of two times, not of two randomly chosen groups: it shows that something has changed with
a release, and not that the release is why. A/B tests (:mod:`headrace.monitoring.kpis`) show that.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from headrace.checks.fairness import Share
from headrace.checks.kpis import difference, share_of
from headrace.checks.sentiment import Sentiment, sentiment
from headrace.core.ports import EventLog, TableStore
from headrace.core.project import Project
from headrace.monitoring.feedback import Linking, linking
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.labelling import CATEGORIES, SOURCE
from headrace.monitoring.windows import as_utc
from headrace.projects.llm import llm_of
from headrace.store.records import decode_failure

Rate = Literal["poor", "thumbs_down", "complaints", "asked_again", "errors"]
RATES: tuple[Rate, ...] = ("poor", "thumbs_down", "complaints", "asked_again", "errors")
"""All are the better, the lower they are."""
CONFIDENCE = 1 - 0.05 / len(RATES)
"""Of each, so that all of one change hold together with 95 %."""
_GAP_S = 1_800
_FAILURES = 10_000
"""Read at once."""
_NOTHING = """
    select null::varchar as name, null::double as number, null::varchar as text, null::varchar as source,
           null::varchar as subject where false"""
_COUNTED = """
with told as ({told}),
said as (
  select subject,
         count(*) filter (name in ('thumbs_up', 'thumbs_down') and coalesce(number, 1) <> 0) > 0 as thumbed,
         count(*) filter (name = 'thumbs_down' and coalesce(number, 1) <> 0) > 0 as down,
         count(*) filter (name = 'complaint' and coalesce(number, 1) <> 0) > 0 as complaint,
         count(*) filter (name in ('retried', 'rephrased') and number = 1) > 0 as again,
         count(*) filter (name = 'correction' and source is distinct from '{labelling}') > 0 as corrected,
         min(number) filter (name = 'rating') as lowest,
         avg(number) filter (name = 'rating') as rating, avg(number) filter (name = 'dwell_s') as dwell_s
  from told group by subject
)
select p.release_id, count(*) as n, count(distinct prediction_id) as requests,
       min(p."at") as first, max(p."at") as last,
       count(*) filter (down or complaint or corrected or lowest <= ?) as poor,
       count(*) filter (thumbed) as thumbed, count(*) filter (down) as down,
       count(*) filter (complaint) as complaint, count(*) filter (again) as again,
       avg(rating) as rating, avg(dwell_s) as dwell_s
from predictions p left join said s on s.subject = p.subject
where p.arm <> 'shadow' group by p.release_id order by first, p.release_id
"""
_SESSIONS = f"""
with turn as (
  select release_id, key, "at",
         coalesce(epoch("at" - lag("at") over one) > {_GAP_S}, true) as begins
  from predictions where arm <> 'shadow' and key is not null
  window one as (partition by key order by "at")
),
numbered as (
  select *, sum(begins::int) over (partition by key order by "at" rows unbounded preceding) as number
  from turn
),
session as (
  select arg_min(release_id, "at") as release_id, count(*) as turns, epoch(max("at") - min("at")) as lasted_s
  from numbered group by key, number
)
select release_id, count(*) as n, avg(turns) as turns, median(lasted_s) as lasted_s from session group by 1
"""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How people got on with the answers of one release.

    Attributes:
        rates: of each of :data:`RATES` how many, and of how many. Answers are poor that users call so: by a
            thumb down, a low rating, a complaint or a correction. Thumbs down are of the answers with a
            thumb, errors of all requests, the others of all answers.
        rating: mean over answers, 1 to 5; ``dwell_s`` likewise, in seconds. None: nothing was told.
        sessions: answers to one user (or business key) without a pause of 30 minutes; each counts for the
            release that began it. ``turns`` is the mean number of answers, ``lasted_s`` the median of
            seconds from the first to the last.
        comments: how many comments and complaints of users are positive, neutral and negative.
        categories: what people who judged its answers found wrong, the most frequent first.
    """

    release_id: str
    n_answers: int
    first: datetime
    last: datetime
    rates: dict[Rate, Share]
    rating: float | None
    dwell_s: float | None
    sessions: int
    turns: float | None
    lasted_s: float | None
    comments: dict[Sentiment, int]
    categories: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A rate before and after a change: ``difference`` is after less before, with Newcombe's interval.

    Attributes:
        interval: at :data:`CONFIDENCE`, so that all rates of one change hold together with 95 %.
        conclusion: ``unsure`` where the interval has room for no difference.
    """

    rate: Rate
    before: Share
    after: Share
    difference: float
    interval: tuple[float, float]
    conclusion: Literal["better", "worse", "unsure"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A release after the one before it.

    Attributes:
        at: when it first answered.
        categories: what people had found wrong with the answers before, the most frequent first.
        moved: each rate of which both know something.
    """

    before: str
    after: str
    at: datetime
    categories: dict[str, int]
    moved: list[Moved]


def interactions(project: Project, tables: TableStore, events: EventLog) -> list[Interaction]:
    """Of each release that has answered, in the order of their first answers."""
    table = predictions_table(project.name)
    if tables.version(table) is None:
        return []
    answers: dict[str, tuple[str, int | None]] = {"predictions": (table, None)}
    found = linking(project.name, tables) or Linking(_NOTHING, answers, [])
    counted = tables.query(
        _COUNTED.format(told=found.sql, labelling=SOURCE),
        {**found.among, **answers},
        [*found.parameters, llm_of(project).feedback.rating_at_most],
    )
    sessions = {str(row["release_id"]): row for row in _rows(tables.query(_SESSIONS, answers))}
    moods, wrong = _words(found, tables)
    errors = _errors(project.name, events)
    return [
        _interaction(row, errors[of], sessions.get(of, {}), moods[of], wrong[of])
        for row in _rows(counted)
        for of in (str(row["release_id"]),)
    ]


def changes(found: list[Interaction]) -> list[Change]:
    """Each release after the one before it."""
    return [
        Change(
            before=before.release_id,
            after=after.release_id,
            at=after.first,
            categories=before.categories,
            moved=[
                one
                for rate in RATES
                if (one := moved(rate, before.rates[rate], after.rates[rate])) is not None
            ],
        )
        for before, after in pairwise(found)
    ]


def moved(rate: Rate, before: Share, after: Share) -> Moved | None:
    """None where one of them is of nothing.

    >>> found = moved("complaints", Share(hits=40, n=200), Share(hits=10, n=200))
    >>> found is not None and (found.conclusion, round(found.difference, 2))
    ('better', -0.15)
    """
    one, other = (share_of(share.hits, share.n, CONFIDENCE) for share in (after, before))
    interval = None if one is None or other is None else difference(one, other)
    if one is None or other is None or interval is None:
        return None
    low, high = interval
    return Moved(
        rate=rate,
        before=before,
        after=after,
        difference=one.value - other.value,
        interval=interval,
        conclusion="better" if high < 0 else "worse" if low > 0 else "unsure",
    )


def _words(
    found: Linking, tables: TableStore
) -> tuple[dict[str, Counter[Sentiment]], dict[str, Counter[str]]]:
    """By release: how comments are, and what people who judged found wrong."""
    moods, wrong = defaultdict[str, Counter[Sentiment]](Counter), defaultdict[str, Counter[str]](Counter)
    if found.sql == _NOTHING:
        return moods, wrong
    said = tables.query(
        f"select release_id, name, text from ({found.sql}) l where text is not null "
        "and coalesce(number, 1) <> 0 and name in ('comment', 'complaint', ?)",
        found.among,
        [*found.parameters, CATEGORIES],
    )
    for row in _rows(said):
        of, text = str(row["release_id"]), str(row["text"])
        if row["name"] == CATEGORIES:
            wrong[of].update(text.split())
        else:
            moods[of][sentiment(text)] += 1
    return moods, wrong


def _errors(project: str, events: EventLog) -> Counter[str]:
    """By release, requests that it failed to answer."""
    stream, failed = f"{project}/failures", Counter[str]()
    for segment in events.segments(stream):
        offset = 0
        while offset < segment.size_bytes:
            records, offset = events.read(stream, segment.name, offset, _FAILURES)
            failures = [decode_failure(record) for record in records]
            failed.update(one.release_id for one in failures if one.arm != "shadow")
            if not records:
                break
    return failed


def _interaction(
    row: dict[str, Any],
    failed: int,
    session: dict[str, Any],
    moods: Counter[Sentiment],
    wrong: Counter[str],
) -> Interaction:
    n, requests = int(row["n"]), int(row["requests"])
    return Interaction(
        release_id=str(row["release_id"]),
        n_answers=n,
        first=as_utc(row["first"]),
        last=as_utc(row["last"]),
        rates={
            "poor": Share(hits=int(row["poor"]), n=n),
            "thumbs_down": Share(hits=int(row["down"]), n=int(row["thumbed"])),
            "complaints": Share(hits=int(row["complaint"]), n=n),
            "asked_again": Share(hits=int(row["again"]), n=n),
            "errors": Share(hits=failed, n=requests + failed),
        },
        rating=_number(row["rating"]),
        dwell_s=_number(row["dwell_s"]),
        sessions=int(session.get("n", 0)),
        turns=_number(session.get("turns")),
        lasted_s=_number(session.get("lasted_s")),
        comments={"positive": moods["positive"], "neutral": moods["neutral"], "negative": moods["negative"]},
        categories=dict(wrong.most_common()),
    )


def _rows(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
