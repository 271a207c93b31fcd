"""Forecasts follow from what was last known: truth that comes later is told to the loaded models."""

from __future__ import annotations

import numpy as np

from headrace.app.composition import App
from headrace.core.project import Project
from headrace.monitoring.joining import Labelled, labelled_rows


def tell_truth(app: App, project: Project) -> int:
    """Add every label that has come to the histories of the models that answer.

    Returns how many moments are known to them from production; 0 unless the project forecasts.
    """
    route = app.store.rollouts.route(project.name)
    if project.task != "forecasting" or route is None:
        return 0
    labelled = labelled_rows(project.name, app.store.tables)
    if not len(labelled):
        return 0
    moments, values = moments_of(project, labelled), np.asarray(labelled.truth, dtype=np.float64)
    for release_id in route.releases:
        app.scorers.of_release(release_id).observe(moments, values)
    return len(labelled)


def moments_of(project: Project, labelled: Labelled) -> np.ndarray:
    """The moment that each row was a forecast for, ``datetime64[us]`` of shape ``(n_rows,)``."""
    given = labelled.columns.get(project.data.time or "")
    if given is None:
        return np.asarray(labelled.event_time)
    return np.array([np.datetime64(str(v).replace("Z", "").partition("+")[0], "us") for v in given])
