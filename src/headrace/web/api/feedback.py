"""Feedback: what people did around answers, and what those earned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headrace.access.answer_tokens import MAX_TTL_S, TTL_S
from headrace.app.business.kpis import AnsweredRow, around_answer, kpi_differences, kpis
from headrace.app.labels.feedback import MAX_NAME, MAX_PAGE, MAX_SUBJECT, MAX_TEXT, Event, record_feedback
from headrace.app.labels.opinions import Kept, Offered, Said, Thumbs, offer, say_of
from headrace.app.overviews.impact import Impact, impact
from headrace.core.record import FeedbackKind
from headrace.core.release import Measurement
from headrace.monitoring.kpis import KpiDifference
from headrace.web.api.monitors import Moment, finite
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["monitors"])
MAX_EVENTS = 20_000
Value = bool | int | float | Annotated[Text, Field(min_length=1, max_length=MAX_NAME)]


class Happened(BaseModel):
    """One event about one answer."""

    model_config = ConfigDict(extra="forbid")

    kind: FeedbackKind
    subject: Text = Field(
        min_length=1, max_length=MAX_SUBJECT, description="Row id (PREDICTION:ROW) or business key."
    )
    name: Text = Field(min_length=1, max_length=MAX_NAME, description="Such as clicked, denied, paid.")
    happened_at: Moment
    value: Annotated[Value, AfterValidator(finite)] | None = Field(
        None, description="How much, or which. 0 or false: it did not happen, after all."
    )
    id: Text | None = Field(
        None,
        min_length=1,
        max_length=MAX_SUBJECT,
        description="By which its source knows it: sent again it counts once, and what came last is valid.",
    )
    page: Text | None = Field(None, max_length=MAX_PAGE)
    text: Text | None = Field(None, max_length=MAX_TEXT)
    source: Text | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME,
        description="The system that reports it; ids are its own, and its sender's.",
    )
    by: Text | None = Field(
        None, min_length=1, max_length=MAX_SUBJECT, description="Whose word it is, where not the sender's."
    )


class Events(BaseModel):
    """Up to 20,000 events; sending one twice changes nothing."""

    model_config = ConfigDict(extra="forbid")

    feedback: list[Happened] = Field(max_length=MAX_EVENTS)


@dataclass(frozen=True, kw_only=True)
class Received:
    """Feedback that is durable now: how many events, and an id for each that was sent."""

    stored: int
    ids: list[str]


@router.post("/projects/{project}/feedback")
def add_feedback(project: Name, server: Server, me: Me, body: Events) -> Received:
    """Store what people did around answers, and what those earned, late or not."""
    events = [Event(**one.model_dump()) for one in body.feedback]
    ids = record_feedback(server.app, me, project, events)
    return Received(stored=len(set(ids)), ids=ids)


Words = Annotated[Text, Field(min_length=1, max_length=MAX_TEXT)]


class Opinion(BaseModel):
    """What is said of one answer; what is not given is left as it is."""

    model_config = ConfigDict(extra="forbid")

    thumbs: Thumbs | None = Field(None, description="'none' takes it back.")
    rating: int | None = Field(None, ge=1, le=5, description="1 is the worst, 5 the best.")
    comment: Words | None = None
    correction: Words | None = Field(None, description="What the answer should have been.")
    complaint: Words | None = None
    dwell_s: float | None = Field(None, ge=0, le=86_400, description="How long it was looked at, in seconds.")
    copied: bool | None = None
    edit_distance: float | None = Field(
        None, ge=0, le=1, description="Of what was used of it: 0 as it was, 1 nothing of it."
    )
    rephrased: bool | None = None
    retried: bool | None = None
    abandoned: bool | None = None
    by: Annotated[Text, Field(min_length=1, max_length=MAX_SUBJECT)] | None = Field(
        None, description="Whose word it is, where not the sender's."
    )
    key: Annotated[Text, Field(min_length=1, max_length=MAX_SUBJECT)] | None = Field(
        None, description="By which its source knows it; without one, later words replace earlier ones."
    )


class Lifetime(BaseModel):
    """How long a token for feedback lives."""

    model_config = ConfigDict(extra="forbid")

    ttl_s: int = Field(TTL_S, ge=1, le=MAX_TTL_S, description="In seconds.")


@router.post("/projects/{project}/answers/{answer}/feedback")
def say(project: Name, answer: Text, server: Server, me: Me, body: Opinion) -> Kept:
    """Store what somebody says of an answer, or did with it; durable when it answers."""
    return say_of(server.app, me, project, answer, Said(**body.model_dump()))


@router.post("/projects/{project}/answers/{answer}/feedback-token")
def offer_token(project: Name, answer: Text, server: Server, me: Me, body: Lifetime) -> Offered:
    """A token by which a browser that shows the answer can say something of it, and do nothing else."""
    return offer(server.app, me, project, answer, ttl_s=body.ttl_s)


@router.get("/projects/{project}/answers/{answer}/feedback")
def list_feedback(project: Name, answer: str, server: Server, me: Me) -> list[AnsweredRow]:
    """What happened around an answer of the record, by its id: before it and after it, row by row."""
    return around_answer(server.app, me, project, answer)


@router.get("/projects/{project}/feedback/impact")
def show_impact(project: Name, server: Server, me: Me) -> Impact:
    """How people get on with the answers of each release, and what changed from one to the next."""
    return impact(server.app, me, project)


@router.get("/projects/{project}/kpis")
def list_kpis(project: Name, server: Server, me: Me) -> list[Measurement]:
    """What the answers of each release brought, by window, as far as feedback has come."""
    return kpis(server.app, me, project)


Release = Annotated[str | None, Query(max_length=100, description="Its id, or how that begins.")]


@router.get("/projects/{project}/kpis/differences")
def list_kpi_differences(
    project: Name, server: Server, me: Me, release: Release = None, against: Release = None
) -> list[KpiDifference]:
    """What a release (the canary, or the arms of an A/B test) brought beside another one (the live one)."""
    return kpi_differences(server.app, me, project, release=release, against=against)
