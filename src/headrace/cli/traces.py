"""Traces of applications and agents: which there were, and the steps of one."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.llm import traces
from headrace.app.provenance import facts, provenance
from headrace.cli.moments import moment
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.monitoring.dialects import ARGUMENTS, QUERY, RESULT
from headrace.monitoring.messages import INPUT, OUTPUT, text_of
from headrace.monitoring.spans import Step, Wanted, error_of

Project = Annotated[str, typer.Argument(help="Name of the project.")]
_WIDEST, _LONGEST_ERRORS = 100, 40


def list_traces(
    project: Project,
    text: Annotated[str, typer.Option(help="Stands in the name or an attribute of a step.")] = "",
    operation: Annotated[str, typer.Option(help="Of a step, such as chat or execute_tool.")] = "",
    model: Annotated[str, typer.Option(help="That a step asked.")] = "",
    user: Annotated[str, typer.Option(help="Whom it was for, in the form in which it is kept.")] = "",
    conversation: Annotated[str, typer.Option(help="Id of the conversation.")] = "",
    since: Annotated[str | None, typer.Option(help="A day such as 2027-01-31.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only those with a step that failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=traces.MOST_FOUND, help="How many of the newest.")] = 20,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List the traces that applications and agents sent, the newest first."""
    with session(as_name) as s:
        wanted = Wanted(
            text=text,
            operation=operation,
            model=model,
            user=user,
            conversation=conversation,
            errors=errors,
            since=None if since is None else moment(since, s.app.clock.now()),
        )
        found = traces.listed(s.app, s.me, project, wanted, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("TRACE", "STARTED", "NAME", "STEPS", "FAILED", "MS", "TOKENS IN", "TOKENS OUT", "ASKED"),
        [
            (
                one.trace_id,
                f"{one.started_at:%Y-%m-%d %H:%M:%S}",
                one.name[:_WIDEST],
                one.n_spans,
                f"{one.n_errors}: {', '.join(one.errors)}"[:_LONGEST_ERRORS] if one.n_errors else "",
                f"{one.duration_ms:.0f}",
                one.input_tokens or "",
                one.output_tokens or "",
                one.question or "",
            )
            for one in found
        ],
        empty="No trace. Applications send them to /otlp/v1/traces: see the page 'Trace an application'.",
    )
    if found:
        say(f"Next: headrace monitor trace {project} {found[0].trace_id}")


def show_trace(
    project: Project,
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="Its id, or the first 8 digits.")],
    otlp: Annotated[bool, typer.Option("--otlp", help="Print it as OTLP JSON, for other tools.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show the steps of one trace, each below the step that took it."""
    with session(as_name) as s:
        found = traces.trace(s.app, s.me, project, trace_id)
    if otlp:
        print_json(traces.as_otlp(found))
        return
    if as_json:
        print_json(found)
        return
    start = found.summary.started_at
    print_table(
        ("STEP", "AT MS", "MS", "FAILED", "WHAT"),
        [
            (
                "." * step.depth + step.span.name[:_WIDEST],
                f"{(step.span.started_at - start).total_seconds() * 1000:.0f}",
                f"{(step.span.ended_at - step.span.started_at).total_seconds() * 1000:.0f}",
                error_of(step.span) or "",
                _said(step)[:_WIDEST],
            )
            for step in found.steps
        ],
        empty="It has no steps.",
    )
    if found.n_spans > len(found.steps):
        say(f"These are the first {len(found.steps)} of {found.n_spans} steps.")


def show_provenance(
    project: Project,
    answer: Annotated[str, typer.Argument(metavar="ANSWER_ID", help="As headrace-answer says it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show where one answer comes from: what was asked and given, what answered, and who decided."""
    with session(as_name) as s:
        found = provenance(s.app, s.me, project, answer)
    if as_json:
        print_json(found)
        return
    print_table(("WHAT", "IS"), list(facts(found)), empty="")


def _said(step: Step) -> str:
    """What went in and came out, in short."""
    given = step.span.attributes
    parts = [
        text_of(given[name]) if name in (INPUT, OUTPUT) else str(given[name])
        for name in (INPUT, QUERY, ARGUMENTS, OUTPUT, RESULT)
        if name in given
    ]
    return " -> ".join(parts)
