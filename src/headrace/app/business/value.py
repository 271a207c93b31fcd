"""What a project's model has been worth in its first year, for who may see it."""

from __future__ import annotations

from headrace.app.business.kpis import kpis
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.identity import Principal
from headrace.monitoring.value import Realised, realised_value, unmeasured
from headrace.projects.intake import intake_of


def value(app: App, me: Principal, name: str) -> Realised:
    """The realised value beside the hypothesis, by month of production; or why it cannot be told.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    project = reading.project(app, me, name)
    case = intake_of(project).value
    if case is None:
        return unmeasured(name, None, "no number is expected: say how much in intake.value")
    if case.kpi is None:
        return unmeasured(name, case, "no KPI measures it: name one of kpis in intake.value.kpi")
    measured = [one for one in kpis(app, me, name) if one.feature == case.kpi and one.segment is None]
    windows = [one.window[0] for one in measured if one.window is not None]
    windows += [
        one.window[0] for one in reading.measurements(app, me, name, "window") if one.window is not None
    ]
    if not windows:
        return unmeasured(name, case, "it has not answered yet")
    return realised_value(name, case, measured, min(windows))
