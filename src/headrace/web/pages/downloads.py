"""The numbers behind a plot, as CSV or JSON."""

from __future__ import annotations

import csv
import io
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.app.business.kpis import kpis
from headrace.app.overviews import reading
from headrace.app.overviews.lead_times import lead_times
from headrace.core.errors import NotFound
from headrace.web.identity import principal_of
from headrace.web.pages.kpis import kpi_rows
from headrace.web.pages.lead_times import lead_time_rows
from headrace.web.pages.overview import asked, fleet_rows
from headrace.web.pages.project import TRAFFIC_DAYS, project_name, subjects
from headrace.web.pages.rendering import parts_of
from headrace.web.pages.segments import segment_rows
from headrace.web.pages.series import drift_rows, estimate_rows, performance_rows
from headrace.web.pages.usage import traffic_rows

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show(request: Request) -> Response:
    """``/projects/{name}/performance.csv`` and its like."""
    app, me, name = parts_of(request).app, principal_of(request.scope), project_name(request)
    plot, _, form = request.path_params["file"].partition(".")
    subject_of = subjects(reading.releases(app, me, name))
    if plot == "performance":
        rows = performance_rows(reading.performance(app, me, name), subject_of)
    elif plot == "estimates":
        rows = estimate_rows(reading.estimates(app, me, name), subject_of)
    elif plot == "drift":
        rows = drift_rows(reading.measurements(app, me, name, "shift"), subject_of)
    elif plot == "traffic":
        rows = traffic_rows(reading.traffic(app, me, name, days=TRAFFIC_DAYS))
    elif plot == "segments":
        rows = segment_rows(reading.segments(app, me, name), subject_of)
    elif plot == "kpis":
        rows = kpi_rows(kpis(app, me, name), subject_of)
    elif plot == "lead-times":
        rows = lead_time_rows(lead_times(app, me, name)[0])
    else:
        known = "performance, estimates, drift, traffic, segments, kpis or lead-times"
        raise NotFound(f"There is no plot {plot[:80]!r}. Expected {known}.")
    return as_file(form, f"{name}-{plot}", rows, {"project": name})


def show_fleet(request: Request) -> Response:
    """``/fleet.csv`` and its like: all lines of the overview that the address asks for."""
    wanted, found = asked(request)
    said = {"words": wanted.words, "state": wanted.state, "counts": found.counts}
    return as_file(request.path_params["form"], "fleet", fleet_rows(found.projects), said)


def as_file(form: str, name: str, rows: list[dict[str, Any]], said: dict[str, Any]) -> Response:
    """``rows`` in the form that was asked for; as JSON beside what is ``said`` of them."""
    if form == "json":
        return JSONResponse({**said, "rows": rows})
    if form == "csv":
        disposition = f'attachment; filename="{name}.csv"'
        return Response(
            as_csv(rows), media_type="text/csv; charset=utf-8", headers={"content-disposition": disposition}
        )
    raise NotFound(f"There is no form {form[:20]!r} of it. Expected .csv or .json.")


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV. Text that a spreadsheet would run as a formula is marked as text."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _inert(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
