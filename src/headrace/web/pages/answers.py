"""``/projects/{name}/answers``: what each input contributed to one answer of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headrace.app import reading
from headrace.app.explanations import MAX_ROWS, explain_answer, newest_answers
from headrace.core.errors import Conflict, HeadraceError, InvalidInput, NotFound
from headrace.core.record import Contributions, Explanation
from headrace.web.identity import principal_of
from headrace.web.pages.project import project_name, subjects
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.problems import status_of


class Bar(NamedTuple):
    """One input's contribution; ``start`` and ``length`` are percent of the plot's width, 0 in its middle."""

    name: str
    value: float
    start: float
    length: float
    error: float | None


async def show(request: Request) -> Response:
    """The newest answers, and the one whose id is asked for."""
    parts, me, name = parts_of(request), principal_of(request.scope), project_name(request)
    newest = await run_in_threadpool(newest_answers, parts.app, me, name)
    asked = request.query_params.get("id", "").strip()
    found: Explanation | None = None
    problem: HeadraceError | None = None
    if asked:
        try:
            found = await parts.explainers.apart(explain_answer, parts.app, parts.explainers, me, asked, name)
        except (InvalidInput, NotFound, Conflict) as error:
            problem = error
    releases = await run_in_threadpool(reading.releases, parts.app, me, name)
    return renderer_of(request).page(
        request,
        "answers.html",
        200 if problem is None else status_of(problem),
        project=name,
        asked=asked,
        newest=newest,
        found=found,
        rows=[(row, bars(row)) for row in found.rows] if found else [],
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
