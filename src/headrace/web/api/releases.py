"""Releases: manifest, evidence, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.asking import Sent, ask
from headrace.app.flight import ToTick, to_tick
from headrace.app.llm.examples import Examples, examples
from headrace.app.operations import decide, find_release
from headrace.app.overviews import reading, reviews
from headrace.app.rollouts.comparing import Difference, difference
from headrace.app.ticking import tick
from headrace.core.release import Measurement, Release, ReleaseState, Review
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["releases"])
Id = Annotated[str, Path(max_length=64, description="The release's id, or how it or its digest begins.")]


class Comment(BaseModel):
    """Why it was decided so; kept with the decision."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = Field("", max_length=2000)


class Looked(BaseModel):
    """What a person who reviewed a live release looked at, and what they found."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["fit", "unfit"]
    looked_at: Text = Field(min_length=1, max_length=2000, description="And what follows.")


class Ticked(BaseModel):
    """Items of a flight check that a person has looked at."""

    model_config = ConfigDict(extra="forbid")

    items: list[Text] = Field(default=[], max_length=30, description="All that are open, without any.")
    note: Text = Field(min_length=1, max_length=2000, description="What you looked at, and what you saw.")


class Question(BaseModel):
    """Whom to ask for a decision, and how they are told."""

    model_config = ConfigDict(extra="forbid")

    person: Text = Field(min_length=1, max_length=80)
    channel: Text = Field("email", max_length=40, description="One of the server's channels.")
    to: Text = Field("", max_length=320, description="The address, where the channel tells persons.")


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Where the release stands once the decision has taken effect."""

    id: str
    digest: str
    state: ReleaseState
    approvals: reading.Quorum


@router.get("/releases")
def list_releases(
    server: Server,
    me: Me,
    project: Annotated[str | None, Query(max_length=63, description="Only this project.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many of the newest.")] = 100,
) -> list[Release]:
    """Releases that you may see, newest first."""
    return reading.releases(server.app, me, project)[:limit]


@router.get("/releases/{release_id}")
def show_release(release_id: Id, server: Server, me: Me) -> reading.ReleaseReport:
    """One release: manifest, verdicts with their evidence, approvals, rollout."""
    return reading.release_report(server.app, me, find_release(server.app, me, release_id).id)


@router.post("/releases/{release_id}/reviews", status_code=201)
def review_release(release_id: Id, server: Server, me: Me, body: Looked) -> Review:
    """Record a periodic review of a live release; whoever may approve it may, and nobody their own."""
    release = find_release(server.app, me, release_id)
    return reviews.record(server.app, me, release.id, outcome=body.outcome, looked_at=body.looked_at)


@router.get("/reviews")
def list_due_reviews(server: Server, me: Me) -> list[reviews.Standing]:
    """When each live release that you may see has to be reviewed, the first due first."""
    return reviews.standings(server.app, me)


@router.get("/projects/{project}/reviews")
def list_reviews(project: Name, server: Server, me: Me) -> list[Review]:
    """All reviews of a project's releases, the newest first."""
    return reviews.history(server.app, me, project)


@router.get("/releases/{release_id}/difference")
def show_difference(release_id: Id, server: Server, me: Me) -> Difference:
    """What differs from the release that is live, or that was live when this one was made."""
    return difference(server.app, me, find_release(server.app, me, release_id).id)


@router.get("/releases/{release_id}/looks")
def list_looks(release_id: Id, server: Server, me: Me) -> list[Measurement]:
    """The looks at a canary, the oldest first: all that decided something, and some hundred of the others."""
    return reading.looks(server.app, me, find_release(server.app, me, release_id).id)


@router.get("/releases/{release_id}/examples")
def show_examples(release_id: Id, server: Server, me: Me) -> Examples | None:
    """Rows on which the candidate and the live release are furthest apart; null where nothing is live."""
    return examples(server.app, me, find_release(server.app, me, release_id).id)


@router.post("/releases/{release_id}/ask", status_code=201)
def ask_somebody(release_id: Id, server: Server, me: Me, body: Question) -> Sent:
    """Ask one person to decide about a waiting release, by e-mail or in Slack; only they can answer, once."""
    return ask(server.app, me, release_id, person=body.person, channel=body.channel, to=body.to)


@router.post("/releases/{release_id}/approve")
def approve(
    release_id: Id, server: Server, me: Me, body: Annotated[Comment | None, Body()] = None
) -> Decided:
    """Approve a waiting release; never one's own."""
    return _decide(server, me, release_id, "approved", body)


@router.get("/releases/{release_id}/flight")
def list_flight_items(release_id: Id, server: Server, me: Me) -> list[ToTick]:
    """What people tick before a release is deployed, and who has."""
    return to_tick(server.app, find_release(server.app, me, release_id))


@router.post("/releases/{release_id}/flight")
def tick_flight_items(release_id: Id, server: Server, me: Me, body: Ticked) -> list[ToTick]:
    """Tick items of a waiting release, with what you saw; once all are, what was approved starts."""
    release = tick(server.app, server.work, me, release_id, body.items, body.note)
    return to_tick(server.app, release)


@router.post("/releases/{release_id}/reject")
def reject(release_id: Id, server: Server, me: Me, body: Annotated[Comment | None, Body()] = None) -> Decided:
    """Reject a waiting release."""
    return _decide(server, me, release_id, "rejected", body)


def _decide(
    server: Server, me: Me, release_id: str, decision: Literal["approved", "rejected"], body: Comment | None
) -> Decided:
    comment = "" if body is None else body.comment
    release = decide(server.app, server.work, me, release_id, decision, comment)
    votes = reading.quorum(server.app, me, release)
    return Decided(id=release.id, digest=release.digest, state=release.state, approvals=votes)
