"""Answers, outcomes and feedback are kept for as long as their project says, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.llm.drafts import forget_drafts
from headrace.app.llm.handoffs import forget_handoffs
from headrace.app.llm.kept_files import delete_old_files
from headrace.app.llm.shadow_use import forget_uses
from headrace.core.identity import Principal
from headrace.core.record import Explained, Failure, Feedback, Outcome, Prediction, Refusal
from headrace.monitoring.ingest import ingest, record_tables
from headrace.store.records import (
    Received,
    decode_explained,
    decode_failure,
    decode_feedback,
    decode_outcome,
    decode_prediction,
    decode_received,
    decode_refusal,
)

SYSTEM = "system:privacy"
_Kept = Prediction | Outcome | Feedback | Failure | Explained | Refusal | Received
STREAMS: dict[str, Callable[[bytes], _Kept]] = {
    "predictions": decode_prediction,
    "shadows": decode_prediction,
    "embeddings": decode_prediction,
    "moderations": decode_prediction,
    "outcomes": decode_outcome,
    "feedback": decode_feedback,
    "failures": decode_failure,
    "explanations": decode_explained,
    "refusals": decode_refusal,
    "spans": decode_received,
}
"""Streams of a project's record, and how one of their records is read."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What was older than ``before`` and is deleted now: records of the event log, and rows of tables."""

    project: str
    before: datetime
    events: int
    rows: int


def retain(app: App, principal: Principal, project: str) -> Retention:
    """Delete what is older than the project allows, as the server does every hour.

    Raises:
        Denied: ``principal`` may not erase data.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(principal, "data.erase", f"project:{project}")
    return delete_old(app, project, principal.name)


def delete_old(app: App, name: str, actor: str = SYSTEM) -> Retention:
    """The same for whoever needs no permission. Repeating it deletes what has become too old since."""
    store = app.store
    project = app.access.charters.in_force(name)
    before = app.clock.now() - timedelta(days=project.privacy.retention_days)
    forget_drafts(app, name, lambda one: one.at < before)
    forget_handoffs(app, name, lambda one: one.at < before)
    delete_old_files(app, name)
    forget_uses(app, lambda one: one.project == name and one.last_at < before)
    ingest(name, store.events, store.tables, numeric=numeric_inputs(store, project))
    old = {stream: _n_old(app, f"{name}/{stream}", decode, before) for stream, decode in STREAMS.items()}
    tables = record_tables(name)
    rows = {table: _n_old_rows(app, table, before) for table in tables}
    if any(old.values()) or any(rows.values()):
        detail = {"before": before.isoformat(), "events": sum(old.values()), "rows": sum(rows.values())}
        store.audit.append(actor, "data.retain", f"project:{name}", detail)
    for stream, decode in STREAMS.items():
        if old[stream]:
            store.events.rewrite(f"{name}/{stream}", _younger(decode, before))
    for table in tables:
        if rows[table]:
            store.tables.remove(table, '"at" < ?', [_naive(before)])
        if rows[table] or actor != SYSTEM:  # somebody who asks gets done what a killed round left, too
            store.tables.forget(table)
    return Retention(project=name, before=before, events=sum(old.values()), rows=sum(rows.values()))


def _younger(decode: Callable[[bytes], _Kept], before: datetime) -> Callable[[bytes], bytes | None]:
    return lambda record: None if decode(record).at < before else record


def _n_old(app: App, stream: str, decode: Callable[[bytes], _Kept], before: datetime) -> int:
    """How many records are too old. A segment is in the order of time, so that most are left after one."""
    found = 0
    for segment in app.store.events.segments(stream):
        offset = 0
        while offset < segment.size_bytes:
            records, offset = app.store.events.read(stream, segment.name, offset, 1000)
            n_old = sum(decode(record).at < before for record in records)
            found += n_old
            if not n_old:
                break
    return found


def _n_old_rows(app: App, table: str, before: datetime) -> int:
    if app.store.tables.version(table) is None:
        return 0
    sql = 'SELECT count(*) AS n FROM t WHERE "at" < ?'
    return int(app.store.tables.query(sql, {"t": (table, None)}, [_naive(before)])["n"][0])


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
