"""``/projects/{name}/answers``: what each input contributed to one answer of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headrace.app.answers.explanations import (
    MAX_ROWS,
    RecordedRow,
    explain_recorded,
    newest_answers,
    read_answer,
    recorded_rows,
)
from headrace.app.llm import traces
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, HeadraceError, InvalidInput, NotFound
from headrace.core.record import Contributions, Explanation
from headrace.gateway.prompts import is_prompt
from headrace.web.identity import principal_of
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import project_name, subjects
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.problems import status_of

_SHOWN_ROWS = 10
"""Rows of an answer that are drawn; each has a subject by which it is asked for alone."""


class Bar(NamedTuple):
    """One input's contribution; ``start`` and ``length`` are percent of the plot's width, 0 in its middle."""

    name: str
    value: float
    start: float
    length: float
    error: float | None


async def show(request: Request) -> Response:
    """The newest answers, and the one whose id is asked for; what was asked shows even where no explanation
    does."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    newest = await run_in_threadpool(newest_answers, parts.app, me, name)
    asked = request.query_params.get("id", "").strip()
    found: Explanation | None = None
    recorded: list[RecordedRow] = []
    problem: HeadraceError | None = None
    releases = await run_in_threadpool(reading.releases, parts.app, me, name)
    texts = any(is_prompt(one.manifest.subject.ref) for one in releases)
    ids = [one.id for one in newest] if texts else []
    if asked:
        try:
            read = await run_in_threadpool(read_answer, parts.app, me, asked, name)
            recorded = await run_in_threadpool(recorded_rows, parts.app, read)
            if not texts:
                found = await parts.explainers.apart(explain_recorded, parts.app, parts.explainers, read)
        except (InvalidInput, NotFound, Conflict) as error:
            problem = error
    return renderer_of(request).page(
        request,
        "answers.html",
        200 if problem is None else status_of(problem),
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        asked=asked,
        texts=texts,
        newest=newest,
        questions=await run_in_threadpool(traces.questions, parts.app, me, name, ids),
        found=found,
        rows=[(row, bars(row), one) for row, one in zip(found.rows[:_SHOWN_ROWS], recorded, strict=False)]
        if found
        else [],
        recorded=recorded[:_SHOWN_ROWS],
        n_rows=len(recorded),
        problem="" if problem is None else str(problem),
        subject_of=subjects(releases),
        most_rows=MAX_ROWS,
    )


def bars(row: Contributions) -> Sequence[Bar]:
    """The contributions, the largest first, on one scale.

    >>> row = Contributions(of=None, base=1.0, value=2.0, contributions={"age": -1.0, "year": 2.0})
    >>> [(bar.name, bar.start, bar.length) for bar in bars(row)]
    [('year', 50.0, 50.0), ('age', 25.0, 25.0)]
    """
    most = max((abs(value) for value in row.contributions.values()), default=0.0) or 1.0
    errors = row.standard_errors or {}
    found = []
    for name, value in sorted(row.contributions.items(), key=lambda one: -abs(one[1])):
        length = 50.0 * abs(value) / most
        found.append(Bar(name, value, 50.0 - length if value < 0 else 50.0, length, errors.get(name)))
    return found
