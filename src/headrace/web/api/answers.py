"""Answers of models elsewhere, sent as they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from headrace.app.elsewhere.foreign_answers import ForeignAnswer, record_answers
from headrace.web.api.monitors import Moment
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["predictions"])
MAX_ANSWERS = 1_000
Value = bool | int | float | Text | None


class Given(BaseModel):
    """One row that was answered elsewhere."""

    model_config = ConfigDict(extra="forbid")

    id: Text = Field(
        min_length=1, max_length=200, description="By which it is named; the same id, the same answer."
    )
    at: Moment
    columns: dict[Text, Value]
    prediction: bool | int | float | Text
    probability: Annotated[float | None, Field(ge=0, le=1)] = None
    key: Annotated[Text | None, Field(max_length=256)] = None
    event_time: Moment | None = Field(
        None, description="When the thing predicted happens; as `at` if absent."
    )


class Answers(BaseModel):
    """Up to 1,000 answers of one attached version."""

    model_config = ConfigDict(extra="forbid")

    version: Text = Field(min_length=1, max_length=200)
    answers: Annotated[list[Given], Field(min_length=1, max_length=MAX_ANSWERS)]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Answers that are durable now; labels come by `ID:0`."""

    recorded: int
    ids: list[str]


@router.post("/projects/{project}/answers")
def add_answers(project: Name, server: Server, me: Me, body: Answers) -> Recorded:
    """Record what an attached model has answered elsewhere."""
    given = [ForeignAnswer(**one.model_dump()) for one in body.answers]
    ids = record_answers(server.app, me, project, body.version, given)
    return Recorded(recorded=len(ids), ids=ids)
