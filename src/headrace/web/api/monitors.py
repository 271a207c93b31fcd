"""Watching: labels in; findings, alerts, performance and measurements out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headrace.app.operations import label_notes, record_outcomes, watch_now
from headrace.app.overviews import reading
from headrace.app.overviews.service_levels import standings
from headrace.app.rollouts.recommending import recommendation
from headrace.core.record import Alert, Finding
from headrace.core.release import Measurement
from headrace.monitoring.recommending import Recommendation
from headrace.monitoring.service import Standing
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["monitors"])
MAX_LABELS = 20_000


def finite(value: bool | int | float | str) -> bool | int | float | str:
    """A number that is finite, or anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            is_finite = isfinite(value)
        except OverflowError:
            is_finite = False
        if not is_finite:
            raise ValueError("a finite number is expected")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment between the years 1 and 9999 in UTC is expected") from error


Moment = Annotated[datetime, AfterValidator(_in_utc)]


class Label(BaseModel):
    """What turned out to be true of one answered row."""

    model_config = ConfigDict(extra="forbid")

    subject: Text = Field(
        min_length=1, max_length=300, description="Row id (PREDICTION:ROW) or business key."
    )
    value: Annotated[bool | int | float | Text, AfterValidator(finite)]
    kind: Literal["label", "rating", "correction", "dwell"] = "label"
    observed_at: Moment | None = Field(None, description="When it became known; now when not given.")


class Labels(BaseModel):
    """Up to 20,000 labels; sending one twice changes nothing."""

    model_config = ConfigDict(extra="forbid")

    labels: list[Label] = Field(max_length=MAX_LABELS)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Labels that are durable now; ``notes`` says what is odd about them."""

    stored: int
    ids: list[str]
    notes: list[str]


@router.get("/service-levels")
def list_service_levels(server: Server, me: Me) -> list[Standing]:
    """How each model was there over 30 days, downtime counted, and what is left of its error budget."""
    return standings(server.app, me)


@router.get("/projects/{project}/service-level")
def show_service_level(project: Name, server: Server, me: Me) -> Standing | None:
    """The same of one project; nothing before its first full hour was counted."""
    return next(iter(standings(server.app, me, project)), None)


@router.post("/projects/{project}/labels")
@router.post("/labels/{project}", name="label_project")
def add_labels(project: Name, server: Server, me: Me, body: Labels) -> Stored:
    """Store labels, late or not; they are joined to the answers they belong to."""
    items = [label.model_dump() for label in body.labels]
    ids = record_outcomes(server.app, me, project, items)
    return Stored(stored=len(ids), ids=ids, notes=label_notes(server.app, project, items))


@router.post("/projects/{project}/watch")
def watch(project: Name, server: Server, me: Me) -> dict[str, Any]:
    """Run one round now: ingest, measure, conclude, react. Answers when it is done."""
    return watch_now(server.app, server.work, me, project)


@router.get("/projects/{project}/findings")
def list_findings(project: Name, server: Server, me: Me) -> list[Finding]:
    """What production data has shown, oldest first."""
    return reading.findings(server.app, me, project)


@router.get("/projects/{project}/alerts")
def list_alerts(project: Name, server: Server, me: Me) -> list[Alert]:
    """Findings that ask or asked for action, and what was done about them."""
    return reading.alerts(server.app, me, project)


@router.get("/projects/{project}/recommendation")
def get_recommendation(project: Name, server: Server, me: Me) -> Recommendation:
    """Whether to keep, roll back, roll out or train again, worked out now, and on which evidence."""
    return recommendation(server.app, me, project)


@router.get("/projects/{project}/performance")
def list_performance(project: Name, server: Server, me: Me) -> list[Measurement]:
    """The loss by window and release, as far as labels have come."""
    return reading.performance(server.app, me, project)


@router.get("/projects/{project}/traffic")
def list_traffic(
    project: Name,
    server: Server,
    me: Me,
    days: Annotated[int, Query(ge=1, le=366, description="How many days to look back.")] = 8,
) -> list[Measurement]:
    """Calls of each full hour by consumer, beside the same hour of the day and of the week before."""
    return reading.traffic(server.app, me, project, days=days)


@router.get("/projects/{project}/segments")
def list_segments(project: Name, server: Server, me: Me) -> list[Measurement]:
    """Loss and rates by window, release and segment, as far as labels have come."""
    return reading.segments(server.app, me, project)


@router.get("/projects/{project}/measurements")
def list_measurements(
    project: Name,
    server: Server,
    me: Me,
    name: Annotated[str | None, Query(max_length=100, description="Only one, such as shift.")] = None,
) -> list[Measurement]:
    """Everything measured on production windows, by window."""
    return reading.measurements(server.app, me, project, name)
