"""Traces of applications and agents: taken in by the rules of their project, found, and handed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.llm.prompting import question_of
from headrace.core.errors import Denied, HeadraceError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.record import Span
from headrace.monitoring.dialects import normalised
from headrace.monitoring.ingest import ingest_table, predictions_table, quoted, spans_table
from headrace.monitoring.messages import BEGINNING, beginning
from headrace.monitoring.otlp import HANDED_ON, SCOPE, SERVICE, Batch, to_otlp
from headrace.monitoring.spans import Summary, Trace, Wanted
from headrace.monitoring.spans import find as find_trace
from headrace.monitoring.spans import search as search_traces
from headrace.store.records import Received, decode_received, encode_received

PROJECT = "headrace.project"
"""Resource attribute that names the project of a service; without it the service's own name does."""
MOST_FOUND = 200
_SHORTEST_ID, _ID = 8, 32


def take(app: App, me: Principal, batch: Batch, project: str | None = None) -> dict[str, list[bytes]]:
    """Project to the records of a batch's steps, normalised and by that project's privacy rules.

    Steps of a project that is not known, or to which ``me`` may not write, are rejected in ``batch``; of one
    request some may be taken and others not.

    Args:
        project: whose steps they all are; without it each resource says so.

    Raises:
        Denied, InvalidInput: not one step can be taken; the message says why.
    """
    now = app.clock.now()
    records: dict[str, list[bytes]] = {}
    failed: HeadraceError | None = None
    for sent in batch.sent:
        service = sent.resource.get(SERVICE)
        name = project or str(sent.resource.get(PROJECT) or service or "")
        try:
            rules = _rules(app, me, name)
        except HeadraceError as error:
            failed = failed or error
            batch.reject(len(sent.spans), str(error))
            continue
        about = {} if service is None else {SERVICE: service}
        kept = records.setdefault(name, [])
        for span in sent.spans:
            span.attributes.update(about)
            written = rules.span(normalised(span))
            kept.append(encode_received(Received(now, me.name, written)))
    if failed is not None and not records:
        raise failed
    return records


def _rules(app: App, me: Principal, name: str) -> Any:
    if not name:
        raise InvalidInput(
            "A resource names no project. Set the header headrace-project, the resource attribute "
            "headrace.project, or OTEL_SERVICE_NAME to the name of a project."
        )
    resource = f"project:{name}"
    if not app.gatekeeper.allows(me, "tracking.write", resource):
        try:
            app.gatekeeper.require(me, "tracking.write", resource)
        except Denied as error:
            raise Denied(f"{error} Steps of traces go to a project ({name!r} is named).") from error
    try:
        return app.access.privacy.rules(name)
    except NotFound as error:
        raise InvalidInput(
            f"There is no project {name!r} here, so nobody has said what may be kept of its traces. Make it "
            "known (headrace run in its folder), or name another in the header headrace-project."
        ) from error


def search(app: App, me: Principal, project: str, wanted: Wanted, *, limit: int = 50) -> list[Summary]:
    """Traces of a project, the newest first; a step that was acknowledged a moment ago is found.

    Raises:
        Denied: ``me`` may not read traces of this project.
        NotFound: there is no such project.
        InvalidInput: more are asked for than are given at once.
    """
    if not 1 <= limit <= MOST_FOUND:
        raise InvalidInput(f"{limit} traces are asked for. Expected 1 to {MOST_FOUND}.")
    return search_traces(app.store.tables, _table(app, me, project), wanted, limit=limit)


def listed(app: App, me: Principal, project: str, wanted: Wanted, *, limit: int = 50) -> list[Summary]:
    """As :func:`search`, each with the beginning of its question, so that a reader tells one from another.

    A step says its question to whoever may read traces. Of a call through the gateway only the record has
    it, masked as the project says: it is shown to those who may read the record.
    """
    found = search(app, me, project, wanted, limit=limit)
    asked = [one.answer for one in found if one.answer is not None and one.question is None]
    recorded = questions(app, me, project, asked)
    return [
        replace(one, question=recorded[one.answer])
        if one.question is None and one.answer in recorded
        else one
        for one in found
    ]


def questions(app: App, me: Principal, project: str, answers: Sequence[str]) -> dict[str, str]:
    """Id of an answer to the beginning of its question, as the record has both, for who may read that.

    Example::

        questions(app, me, "support", [one.id for one in newest_answers(app, me, "support")])
    """
    if not answers or not app.gatekeeper.allows(me, "data.read", f"project:{project}"):
        return {}
    app.gatekeeper.used(me, "data.read", f"project:{project}")
    declared, table, tables = app.store.projects.get(project), predictions_table(project), app.store.tables
    try:
        column = f"in_{question_of(declared)}"
    except InvalidInput:
        return {}
    ingest_table(table, app.store.events, tables, numeric=numeric_inputs(app.store, declared))
    named = {"t": (table, None)}
    if tables.version(table) is None or column not in tables.query("select * from t limit 0", named):
        return {}
    sql = f"""
        select prediction_id, left({quoted(column)}, {BEGINNING}) as asked from t
        where prediction_id in (select unnest(?::varchar[])) and "row" = 0 and arm <> 'shadow'
    """
    found = tables.query(sql, named, [list(answers)])
    pairs = zip(found["prediction_id"], found["asked"], strict=True)
    return {str(which): beginning(text) for which, text in pairs if isinstance(text, str)}


def trace(app: App, me: Principal, project: str, trace_id: str) -> Trace:
    """One trace, by its id or the first part of it.

    Raises:
        Denied: ``me`` may not read traces of this project.
        NotFound: there is no such project or trace.
        InvalidInput: the id is none, or its part is too short or names several.
    """
    table = _table(app, me, project)
    asked = trace_id.lower()
    if not _SHORTEST_ID <= len(asked) <= _ID or set(asked) - set("0123456789abcdef"):
        raise InvalidInput(
            f"{trace_id[:60]!r} is no trace id. Expected 32 hexadecimal digits, or the first 8 or more."
        )
    found = find_trace(app.store.tables, table, _whole(app, table, asked))
    if found is None:
        raise NotFound(
            f"Project {project!r} has no trace {trace_id!r}. headrace monitor traces {project} lists them; "
            "steps are kept for as long as privacy.retention_days says."
        )
    return found


def as_otlp(found: Trace) -> dict[str, Any]:
    """A trace for any other tool, as an exporter would send it."""
    return to_otlp(step.span for step in found.steps)


def forward(records: list[bytes], emit: Callable[[list[Span]], None]) -> None:
    """Hand on what was taken, as it was written down: privacy rules hold for the next collector too.

    What was handed on from here is not again, so that a server that is its own collector stops at once.
    """
    spans = [decode_received(record).span for record in records]
    emit([span for span in spans if span.attributes.get(SCOPE) != HANDED_ON])


def _whole(app: App, table: str, asked: str) -> str:
    if len(asked) == _ID or app.store.tables.version(table) is None:
        return asked
    sql = "select distinct trace_id from t where starts_with(trace_id, ?) limit 2"
    ids = app.store.tables.query(sql, {"t": (table, None)}, [asked])["trace_id"]
    if len(ids) > 1:
        raise InvalidInput(f"Several traces begin with {asked!r}. Give more of the id.")
    return str(ids[0]) if len(ids) else asked


def _table(app: App, me: Principal, project: str) -> str:
    """The table, up to date with the log."""
    app.gatekeeper.require(me, "trace.read", f"project:{project}")
    table = spans_table(app.store.projects.get(project).name)
    ingest_table(table, app.store.events, app.store.tables)
    return table
