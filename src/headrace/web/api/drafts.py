"""Drafts of a language model: what waits for a person, what they decide, and what its caller gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.labels.feedback import MAX_TEXT
from headrace.app.llm import drafts
from headrace.store.drafts import Decided, Draft
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["drafts"])
Id = Annotated[Text, Path(max_length=60, description="Id of the draft, which is that of its answer.")]


@dataclass(frozen=True, kw_only=True)
class About:
    """A draft without its whole texts; ``decides``: what hangs on it; ``why_not``: why the caller cannot
    decide; ``question``: the beginning of what was asked."""

    id: str
    project: str
    release_id: str
    trace_id: str
    principal: str
    at: datetime
    state: str
    decides: str
    reviewers: tuple[str, ...]
    by: str | None
    decided_at: datetime | None
    reason: str
    why_not: str
    question: str


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A draft with its texts; ``final``: what its caller gets, once that is decided."""

    about: About
    messages: list[dict[str, str]]
    text: str
    tools: list[dict[str, str]]
    final: str | None


class Decision(BaseModel):
    """What a person decides."""

    model_config = ConfigDict(extra="forbid")

    decision: Decided
    text: Annotated[Text, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, description="The answer, where it is edited."
    )
    reason: Text = Field("", max_length=MAX_TEXT, description="Why; needed where it is rejected.")


@router.get("/projects/{project}/drafts")
def list_drafts(
    project: Name,
    server: Server,
    me: Me,
    *,
    decided: Annotated[bool, Query(description="Those that were decided, instead.")] = False,
    after: Annotated[Text, Query(max_length=60, description="Only those after the draft with this id.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 100,
) -> list[About]:
    """Drafts that wait for a person, the oldest first; those that were decided, the newest first."""
    found = drafts.listed(server.app, me, project, decided=decided, after=after)
    return [_about(server, me, one) for one in islice(found, limit)]


@router.get("/drafts/{draft}")
def show_draft(draft: Id, server: Server, me: Me) -> Whole:
    """A draft with its texts, for who decides on it."""
    found = drafts.opened(server.app, me, draft)
    return Whole(
        about=_about(server, me, found.draft),
        messages=found.messages,
        text=found.text,
        tools=found.tools,
        final=found.final,
    )


@router.post("/drafts/{draft}/decision")
def decide_draft(draft: Id, server: Server, me: Me, body: Decision) -> About:
    """Approve, edit or reject a draft, once; durable when it answers."""
    kept = drafts.decide(server.app, me, draft, body.decision, text=body.text, reason=body.reason)
    return _about(server, me, kept)


@router.get("/drafts/{draft}/answer")
def show_answer(draft: Id, server: Server, me: Me) -> dict[str, Any]:
    """What its caller gets now, as a chat completion: the answer, once a person has decided so."""
    found: dict[str, Any] = msgspec.json.decode(drafts.given(server.app, me, draft))
    return found


def _about(server: Server, me: Me, one: Draft) -> About:
    return About(
        id=one.id,
        project=one.subject,
        release_id=one.release_id,
        trace_id=one.trace_id,
        principal=one.principal,
        at=one.at,
        state=one.state,
        decides=one.decides,
        reviewers=one.reviewers,
        by=one.by,
        decided_at=one.decided_at,
        reason=one.reason,
        why_not=drafts.why_not(server.app, me, one),
        question=drafts.question(server.app, one),
    )
