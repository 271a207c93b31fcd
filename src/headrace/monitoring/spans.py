"""Steps of traces as a table that tools read, and as it is asked: which traces there were, what one held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np

from headrace.core.ports import TableStore
from headrace.core.record import Span, SpanEvent
from headrace.monitoring.dialects import (
    AGENT,
    CONVERSATION,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    TOOL,
    USER,
)
from headrace.monitoring.messages import INPUT, beginning, question_in
from headrace.monitoring.otlp import SERVICE, STATUS
from headrace.store.records import Received

MOST_SPANS, MOST_CHARACTERS = 2_000, 32 << 20
"""Of one trace that are shown; a longer one says how many steps there are."""
MOST_ASKED = 200_000
"""Characters of messages in which a question is looked for; those of a long conversation hold many more."""
RELEASE, ANSWER = "headrace.release", "headrace.answer"


class Column(NamedTuple):
    """A column of the table, and where its value stands in a span."""

    name: str
    of: Callable[[Span], Any]


def _attribute(*names: str) -> Callable[[Span], Any]:
    def of(span: Span) -> Any:
        found = next((span.attributes[name] for name in names if name in span.attributes), None)
        return found if found is None or isinstance(found, str) else str(found)

    return of


def _count(name: str) -> Callable[[Span], Any]:
    def of(span: Span) -> Any:
        found = span.attributes.get(name)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else np.nan

    return of


def error_of(span: Span) -> str | None:
    """What went wrong in a step, in short; None: nothing.

    >>> at = datetime(2026, 1, 1)
    >>> error_of(
    ...     Span(
    ...         trace_id="1",
    ...         span_id="2",
    ...         parent_id=None,
    ...         name="ask",
    ...         started_at=at,
    ...         ended_at=at,
    ...         attributes={"error.type": "Timeout"},
    ...     )
    ... )
    'Timeout'
    """
    if "error.type" in span.attributes:
        return str(span.attributes["error.type"])
    return "error" if span.attributes.get(STATUS) == "ERROR" else None


_TEXTS = (
    Column("trace_id", lambda span: span.trace_id),
    Column("span_id", lambda span: span.span_id),
    Column("parent_id", lambda span: span.parent_id),
    Column("name", lambda span: span.name),
    Column("service", _attribute(SERVICE)),
    Column("operation", _attribute(OPERATION)),
    Column("provider", _attribute(PROVIDER)),
    Column("model", _attribute(RESPONSE_MODEL, REQUEST_MODEL)),
    Column("agent", _attribute(AGENT)),
    Column("tool", _attribute(TOOL)),
    Column("conversation", _attribute(CONVERSATION)),
    Column("user", _attribute(USER)),
    Column("release_id", _attribute(RELEASE)),
    Column("error", error_of),
    Column("attributes", lambda span: msgspec.json.encode(span.attributes).decode()),
    Column("events", lambda span: msgspec.json.encode(span.events).decode() if span.events else None),
)
_NUMBERS = (Column("input_tokens", _count(INPUT_TOKENS)), Column("output_tokens", _count(OUTPUT_TOKENS)))


def span_rows(received: Sequence[Received]) -> dict[str, Any]:
    """Steps as columns, one row each; ``attributes`` and ``events`` are JSON."""
    spans = [one.span for one in received]
    durations = [(span.ended_at - span.started_at).total_seconds() * 1000 for span in spans]
    return {
        "subject": _texts([f"{span.trace_id}:{span.span_id}" for span in spans]),
        **{column.name: _texts([column.of(span) for span in spans]) for column in _TEXTS},
        **{
            column.name: np.array([column.of(span) for span in spans], dtype=np.float64)
            for column in _NUMBERS
        },
        "duration_ms": np.array(durations, dtype=np.float64),
        "principal": _texts([one.principal for one in received]),
        "started_at": _times([span.started_at for span in spans]),
        "at": _times([one.at for one in received]),
    }


def _texts(values: list[Any]) -> Any:
    return np.array(values, dtype=object)


def _times(values: list[datetime]) -> Any:
    return np.array([np.datetime64(value.replace(tzinfo=None), "us") for value in values], "datetime64[us]")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which traces; what is not set does not matter. ``text`` stands in a step's name or attributes."""

    text: str = ""
    operation: str = ""
    model: str = ""
    service: str = ""
    user: str = ""
    conversation: str = ""
    errors: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One trace: its first step, and sums over all of them.

    Attributes:
        name, service: of the step without a parent, or else of the earliest one.
        models, errors: distinct ones; ``n_errors``: steps that failed.
        duration_ms: from the first beginning to the last end.
        answer: id of the first answer that stands in the record of the project.
        question: the beginning of what was asked, as a step says it.
    """

    trace_id: str
    name: str
    service: str | None
    started_at: datetime
    duration_ms: float
    n_spans: int
    n_errors: int
    errors: list[str]
    models: list[str]
    input_tokens: int
    output_tokens: int
    user: str | None
    conversation: str | None
    answer: str | None = None
    question: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A span in its place: ``depth`` steps below the first, in the order of a tree."""

    span: Span
    depth: int
    principal: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All that is known of one trace; ``n_spans`` may be more than the steps that are shown."""

    summary: Summary
    n_spans: int
    steps: list[Step] = field(default_factory=list)


# An exporter that got no answer sends again: of the same step the newest row counts.
_ONCE = 'qualify row_number() over (partition by trace_id, span_id order by "at" desc) = 1'
_SAID = f"json_extract_string(attributes, '$.\"{INPUT}\"')"
_SUMMARY = f"""
    select trace_id,
        arg_min(name, (parent_id is not null, started_at)) as name,
        arg_min(service, (parent_id is not null, started_at)) as service,
        min(started_at) as started_at,
        (epoch_us(max(started_at + to_microseconds(cast(duration_ms * 1000 as bigint))))
            - epoch_us(min(started_at))) / 1000 as duration_ms,
        count(*) as n_spans, count(error) as n_errors,
        to_json(list_sort(list(distinct error) filter (error is not null))) as errors,
        to_json(list_sort(list(distinct model) filter (model is not null))) as models,
        -- A step that calls models sums their tokens up, and so would count them twice.
        sum(case when operation in ('chat', 'text_completion', 'generate_content', 'embeddings')
            and not isnan(input_tokens) then input_tokens else 0 end) as input_tokens,
        sum(case when operation in ('chat', 'text_completion', 'generate_content', 'embeddings')
            and not isnan(output_tokens) then output_tokens else 0 end) as output_tokens,
        max("user") as "user", max(conversation) as conversation,
        -- Embeddings and moderations have records of their own, which say no question.
        arg_min(json_extract_string(attributes, '$."{ANSWER}"'), started_at)
            filter (operation = 'chat') as answer,
        arg_min({_SAID}, started_at) filter (length({_SAID}) <= {MOST_ASKED}) as asked
    from steps group by trace_id
"""


def search(tables: TableStore, table: str, wanted: Wanted, *, limit: int) -> list[Summary]:
    """Traces with a step that is wanted, the newest first."""
    if tables.version(table) is None:
        return []
    condition, values = _condition(wanted)
    sql = f"""
        with matching as (
            select trace_id, max(started_at) as newest from t where {condition}
            group by trace_id order by newest desc limit {int(limit)}
        ),
        steps as (select t.* from t join matching using (trace_id) {_ONCE})
        {_SUMMARY} order by started_at desc
    """
    return _summaries(tables.query(sql, {"t": (table, None)}, values))


def find(tables: TableStore, table: str, trace_id: str) -> Trace | None:
    """One trace with its steps, the earliest of very many."""
    if tables.version(table) is None:
        return None
    named = {"t": (table, None)}
    steps = f"with steps as (select * from t where trace_id = ? {_ONCE})"
    summaries = _summaries(tables.query(f"{steps} {_SUMMARY}", named, [trace_id]))
    if not summaries:
        return None
    size = "sum(length(attributes) + coalesce(length(events), 0)) over (order by started_at, span_id)"
    shown = f"qualify {size} <= {MOST_CHARACTERS} order by started_at, span_id limit {MOST_SPANS}"
    found = tables.query(f"{steps} select * from steps {shown}", named, [trace_id])
    received = [_span(found, index) for index in range(len(found["span_id"]))]
    return Trace(summary=summaries[0], n_spans=summaries[0].n_spans, steps=in_tree(received))


def in_tree(steps: Sequence[tuple[Span, str]]) -> list[Step]:
    """Steps below their parents, in order of time. What has no parent here begins a tree; of a cycle the
    earliest step does.

    Args:
        steps: each with who sent it.
    """
    known = {span.span_id for span, _ in steps}
    below: dict[str | None, list[tuple[Span, str]]] = {}
    for step in sorted(steps, key=lambda one: (one[0].started_at, one[0].span_id)):
        parent = step[0].parent_id
        below.setdefault(parent if parent in known else None, []).append(step)
    ordered: list[Step] = []
    seen: set[str] = set()
    # A cycle has no root: whatever was not reached begins a tree of its own.
    for first in [*below.get(None, ()), *(one for group in below.values() for one in group)]:
        waiting = [(first, 0)]
        while waiting:
            (span, principal), depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            ordered.append(Step(span=span, depth=depth, principal=principal))
            waiting += [(one, depth + 1) for one in reversed(below.get(span.span_id, []))]
    return ordered


def _condition(wanted: Wanted) -> tuple[str, list[Any]]:
    terms, values = ["true"], []
    for name in ("operation", "model", "service", "user", "conversation"):
        if asked := getattr(wanted, name):
            terms.append(f'"{name}" = ?')
            values.append(asked)
    if wanted.errors:
        terms.append("error is not null")
    if wanted.text:
        terms.append("(contains(lower(name), lower(?)) or contains(lower(attributes), lower(?)))")
        values += [wanted.text, wanted.text]
    for sign, moment in ((">=", wanted.since), ("<", wanted.until)):
        if moment is not None:
            terms.append(f"started_at {sign} ?")
            values.append(moment.astimezone(UTC).replace(tzinfo=None))
    return " and ".join(terms), values


def _summaries(found: dict[str, Any]) -> list[Summary]:
    return [
        Summary(
            trace_id=found["trace_id"][i],
            name=found["name"][i],
            service=found["service"][i],
            started_at=_moment(found["started_at"][i]),
            duration_ms=float(found["duration_ms"][i]),
            n_spans=int(found["n_spans"][i]),
            n_errors=int(found["n_errors"][i]),
            errors=msgspec.json.decode(found["errors"][i] or "[]"),
            models=msgspec.json.decode(found["models"][i] or "[]"),
            input_tokens=int(found["input_tokens"][i]),
            output_tokens=int(found["output_tokens"][i]),
            user=found["user"][i],
            conversation=found["conversation"][i],
            answer=found["answer"][i],
            question=beginning(question_in(found["asked"][i])) or None if found["asked"][i] else None,
        )
        for i in range(len(found["trace_id"]))
    ]


_events = msgspec.json.Decoder(tuple[SpanEvent, ...])


def _span(found: dict[str, Any], index: int) -> tuple[Span, str]:
    started_at = _moment(found["started_at"][index])
    duration = np.timedelta64(round(float(found["duration_ms"][index]) * 1000), "us")
    events = found["events"][index]
    span = Span(
        trace_id=found["trace_id"][index],
        span_id=found["span_id"][index],
        parent_id=found["parent_id"][index],
        name=found["name"][index],
        started_at=started_at,
        ended_at=started_at + duration.item(),
        attributes=msgspec.json.decode(found["attributes"][index]),
        events=_events.decode(events) if events else (),
    )
    return span, found["principal"][index]


def _moment(value: Any) -> datetime:
    moment: datetime = np.datetime64(value, "us").item()
    return moment.replace(tzinfo=UTC)
