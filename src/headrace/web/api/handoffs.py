"""Hand-offs between an AI and people: asked, taken, answered, and returned to where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.labels.feedback import MAX_TEXT
from headrace.app.llm import handoffs
from headrace.app.llm.handoffs import MAX_MESSAGES, Reply
from headrace.store.handoffs import Handoff
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["hand-offs"])
Id = Annotated[Text, Path(max_length=60, description="Id of the hand-off.")]


@dataclass(frozen=True, kw_only=True)
class About:
    """A hand-off without its texts; ``why_not``: why the caller cannot take it."""

    id: str
    project: str
    answer: str
    release_id: str
    trace_id: str | None
    asked_by: str
    at: datetime
    to: str
    people: tuple[str, ...]
    state: str
    by: str | None
    goes_on: bool
    steps: tuple[dict[str, str], ...]
    why_not: str


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A hand-off with its texts, masked; ``text``: what the person answered."""

    about: About
    why: str
    messages: list[dict[str, str]]
    text: str | None


class Asked(BaseModel):
    """What is handed over, to whom and why."""

    model_config = ConfigDict(extra="forbid")

    answer: Text = Field(max_length=80, description="Id of the last answer, as 'headrace-answer' says it.")
    why: Text = Field(min_length=1, max_length=2_000, description="Why a person is needed.")
    to: Text = Field("", max_length=80, description="A person, a role, or a queue of llm.oversight.queues.")
    messages: list[dict[str, Any]] | None = Field(
        None, max_length=MAX_MESSAGES, description="The conversation; else what is on record of the answer."
    )


class PutBack(BaseModel):
    """Whom it is put back for; those that it was for, unless it is said."""

    model_config = ConfigDict(extra="forbid")

    to: Text | None = Field(None, max_length=80)
    note: Text = Field("", max_length=2_000)


class Answered(BaseModel):
    """What the person says."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(min_length=1, max_length=MAX_TEXT)
    goes_on: bool = Field(True, description="Whether the AI goes on after it, with it in its context.")


@router.post("/projects/{project}/handoffs")
def hand_over(project: Name, server: Server, me: Me, body: Asked) -> About:
    """Hand a conversation to a person; durable when it answers."""
    made = handoffs.hand_over(
        server.app, me, project, body.answer, why=body.why, to=body.to, messages=body.messages
    )
    return _about(server, me, made)


@router.get("/projects/{project}/handoffs")
def list_handoffs(
    project: Name,
    server: Server,
    me: Me,
    *,
    over: Annotated[bool, Query(description="Those that are over, instead.")] = False,
    after: Annotated[Text, Query(max_length=60, description="Only those after the one with this id.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
) -> list[About]:
    """Hand-offs that are open, the oldest first; those that are over, the newest first."""
    found = handoffs.listed(server.app, me, project, over=over, after=after)
    return [_about(server, me, one) for one in islice(found, limit)]


@router.get("/handoffs/{handoff}")
def show_handoff(handoff: Id, server: Server, me: Me) -> Whole:
    """A hand-off with its texts."""
    found = handoffs.opened(server.app, me, handoff)
    about = _about(server, me, found.handoff)
    return Whole(about=about, why=found.why, messages=found.messages, text=found.text)


@router.post("/handoffs/{handoff}/take")
def take_handoff(handoff: Id, server: Server, me: Me) -> About:
    """Take it, so that nobody else answers."""
    return _about(server, me, handoffs.take(server.app, me, handoff))


@router.post("/handoffs/{handoff}/put-back")
def put_handoff_back(handoff: Id, server: Server, me: Me, body: PutBack) -> About:
    """Give it to others."""
    return _about(server, me, handoffs.put_back(server.app, me, handoff, to=body.to, note=body.note))


@router.post("/handoffs/{handoff}/answer")
def answer_handoff(handoff: Id, server: Server, me: Me, body: Answered) -> About:
    """Answer it; durable when it answers."""
    kept = handoffs.answer(server.app, me, handoff, body.text, goes_on=body.goes_on)
    return _about(server, me, kept)


@router.post("/handoffs/{handoff}/return")
def return_handoff(handoff: Id, server: Server, me: Me) -> Reply:
    """The person's answer, for the conversation that it was asked for; 409 before there is one."""
    return handoffs.give_back(server.app, me, handoff)


@router.post("/handoffs/{handoff}/withdraw")
def withdraw_handoff(handoff: Id, server: Server, me: Me) -> About:
    """Say that no answer is needed any more."""
    return _about(server, me, handoffs.withdraw(server.app, me, handoff))


def _about(server: Server, me: Me, one: Handoff) -> About:
    return About(
        id=one.id,
        project=one.subject,
        answer=one.answer,
        release_id=one.release_id,
        trace_id=one.trace_id,
        asked_by=one.asked_by,
        at=one.at,
        to=one.to,
        people=one.people,
        state=one.state,
        by=one.by,
        goes_on=one.goes_on,
        steps=one.steps,
        why_not=handoffs.why_not(server.app, me, one),
    )
