"""A call as a step of a trace, by the OpenTelemetry conventions for generative AI.

It says who answered, what it took, and by which release; what was said stands in the record of the answer,
which it names. So a trace leads from a poor answer to its prompt, its model and what guards found.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from headrace.core.record import Span
from headrace.gateway.llm.chat import Answered
from headrace.gateway.llm.endpoints import Target

ANSWER, RELEASE, GUARDS = "headrace.answer", "headrace.release", "headrace.guards"
ESTIMATED = "headrace.usage_estimated"
"""The provider has not said what it took."""


class Parent(NamedTuple):
    """The step of a caller's trace (W3C trace context) that a call belongs to."""

    trace_id: str
    span_id: str


def step_of(
    answer_id: str,
    answered: Answered,
    *,
    operation: str,
    project: str,
    release_id: str,
    target: Target | None,
    parent: Parent | None,
    user: str | None,
    guards: list[str],
    started_at: datetime,
    ended_at: datetime,
    error: str | None = None,
) -> Span:
    """The step of one call; without a parent it begins a trace of its own, which the answer's id names.

    Args:
        operation: what OpenTelemetry calls it, such as ``chat``.
        target: who was asked; None: a guard let nothing through.
        user: as it may be written down.
        error: why there is no answer; of what a guard blocked there is a record that says so.
    """
    named = answer_id.replace("-", "")
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.prompt.name": project,
        "gen_ai.response.model": answered.model,
        "gen_ai.response.finish_reasons": [answered.finish] if answered.finish else [],
        "gen_ai.usage.input_tokens": answered.usage.input,
        "gen_ai.usage.output_tokens": answered.usage.output,
        "gen_ai.usage.cache_read.input_tokens": answered.usage.cached,
        "user.id": user,
        ANSWER: answer_id if error is None or answered.finish else None,
        "error.type": error,
        RELEASE: release_id,
        GUARDS: guards,
        ESTIMATED: not answered.is_counted,
    }
    if target is not None:
        attributes |= {"gen_ai.provider.name": target.endpoint, "gen_ai.request.model": target.model}
    return Span(
        trace_id=named if parent is None else parent.trace_id,
        span_id=named[16:],
        parent_id=None if parent is None else parent.span_id,
        name=f"{operation} {project}",
        started_at=started_at,
        ended_at=ended_at,
        attributes={name: value for name, value in attributes.items() if value},
    )
