"""Alerts and what people do about them; silences and known events."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.alerting import cases
from headrace.app.alerting.cases import Shown
from headrace.app.overviews import periods
from headrace.core.alerts import Period
from headrace.core.errors import InvalidInput
from headrace.web.api.monitors import Moment
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["alerts"])
Words = Annotated[Text, Field(max_length=2_000)]


class Answer(BaseModel):
    """What somebody does about an alert."""

    model_config = ConfigDict(extra="forbid")

    step: Literal["acknowledge", "note", "ignore", "remediate", "accept"]
    why: Words = Field("", description="Needed for all but acknowledging.")
    evidence: Words = Field("", description="Needed for remediate and accept: a release, an address.")


class Named(BaseModel):
    """A silence (from now on), a known event (in event time) or a maintenance window (still to come)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["silence", "event", "maintenance"]
    title: Words = Field(min_length=1, description="Why, or what happened.")
    starts_at: Moment | None = Field(None, description="Of an event or a maintenance window.")
    ends_at: Moment
    finding: Text = Field("", max_length=40, description="Of a silence: only this kind of finding.")
    feature: Text = Field("", max_length=200, description="Of a silence: only this input, metric or group.")


@router.get("/alerts")
def list_answers(
    server: Server, me: Me, pending: Annotated[bool, Query(description="Only what is not closed.")] = False
) -> list[Shown]:
    """Alerts of all projects that one may read, newest first: findings, notices, and what was done."""
    return [one for one in cases.shown(server.app, me) if one.pending or not pending]


@router.get("/alerts/{alert_id}")
def show_alert(server: Server, me: Me, alert_id: str) -> Shown:
    """One alert with everything about it."""
    return cases.one(server.app, me, alert_id)


@router.post("/alerts/{alert_id}/answer")
def answer_alert(server: Server, me: Me, alert_id: str, body: Answer) -> Shown:
    """Acknowledge it, note something, or close it: ignored, remediated or accepted."""
    return cases.answer(server.app, me, alert_id, body.step, why=body.why, evidence=body.evidence)


@router.get("/projects/{project}/periods")
def list_periods(server: Server, me: Me, project: Name) -> list[Period]:
    """Known events, and silences and maintenance windows that have not ended."""
    return periods.periods(server.app, me, project)


@router.post("/projects/{project}/periods", status_code=201)
def add_period(server: Server, me: Me, project: Name, body: Named) -> Period:
    """Silence a project's alerts for a while, name a known event, or announce maintenance."""
    if body.kind == "silence":
        return periods.silence(
            server.app, me, project, until=body.ends_at, why=body.title, finding=body.finding,
            feature=body.feature,
        )  # fmt: skip
    if body.starts_at is None:
        raise InvalidInput(f"The {body.kind} has no beginning. Expected 'starts_at'.")
    add = periods.add_event if body.kind == "event" else periods.add_maintenance
    return add(server.app, me, project, body.title, starts_at=body.starts_at, ends_at=body.ends_at)


@router.post("/projects/{project}/periods/{period_id}/end")
def end_period(server: Server, me: Me, project: Name, period_id: str) -> Period:
    """Take an event or a maintenance window back, or end a silence before its time."""
    return periods.withdraw(server.app, me, project, period_id)
