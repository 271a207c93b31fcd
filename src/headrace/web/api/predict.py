"""Predictions as records: the same handler as the Open Inference Protocol, in plainer JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.app.answers.explanations import Importance, explain_answer, importances, require_few
from headrace.core.errors import InvalidInput
from headrace.core.record import Explanation
from headrace.serving.asked_later import refuse_callback
from headrace.serving.later import Accepted, Question
from headrace.serving.record_form import Answer, answer_of
from headrace.web.api.later import How, accept_later
from headrace.web.api.monitors import Moment
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["predictions"])
MAX_RECORDS = 10_000
Value = bool | int | float | Text | None
Short = Annotated[Text, Field(max_length=256)]


class Rows(BaseModel):
    """Rows to predict, in exactly one of three forms."""

    model_config = ConfigDict(extra="forbid")

    record: dict[Text, Value] | None = Field(None, description="One row: a value for each input.")
    records: Annotated[list[dict[Text, Value]], Field(min_length=1, max_length=MAX_RECORDS)] | None = Field(
        None, description="Rows, one object each."
    )
    columns: dict[Text, Annotated[list[Value], Field(min_length=1, max_length=MAX_RECORDS)]] | None = Field(
        None, description="Rows by column: a list of values for each input."
    )
    key: Short | None = Field(None, description="Who asks: the same key meets the same release in a canary.")
    keys: list[Short] | None = Field(
        None, description="Business keys of the rows; labels are joined by them."
    )
    event_time: Moment | None = Field(None, description="When the thing predicted happens; now if absent.")
    version: Short | None = Field(
        None,
        description="A model version or release that is live or canary now; the route chooses if absent.",
    )

    callback: Annotated[Text, Field(max_length=2048)] | None = Field(
        None, description="With mode=async: an https address that is told once the request has ended."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if sum(form is not None for form in (self.record, self.records, self.columns)) != 1:
            raise ValueError("exactly one of record, records and columns is expected")
        return self

    def by_name(self) -> dict[str, list[Value]]:
        """The rows as columns.

        Raises:
            InvalidInput: a record has other names than the first.
        """
        if self.columns is not None:
            return self.columns
        return columns_of(self.records or [self.record or {}])


@dataclass(frozen=True, kw_only=True)
class Explained(Answer):
    """An answer, and what each input contributed to it."""

    explanation: Explanation


@router.post("/predict/{project}", responses={202: {"model": Accepted, "description": "Answered later."}})
async def predict(
    project: Name, server: Server, me: Me, body: Rows, how: How, response: Response
) -> Explained | Answer | Accepted:
    """Predict one row or several; the header ``headrace-record`` says how the answer is recorded."""
    columns = body.by_name()
    if how.mode == "async":
        asked = Question(
            columns=columns,
            key=body.key,
            keys=body.keys,
            event_time=body.event_time,
            version=body.version,
        )
        return await accept_later(server, me, project, asked, how, callback=body.callback, response=response)
    refuse_callback(body.callback)
    if how.explain:
        require_few(max(map(len, columns.values()), default=0))
    answered = await server.handler.predict(
        project,
        columns,
        principal=me,
        key=body.key,
        keys=body.keys,
        event_time=body.event_time,
        version=body.version,
        explained=how.explain,
    )
    response.headers["headrace-record"] = server.handler.recorded(answered).decode()
    answer = answer_of(answered, server.handler.version(answered.release_id))
    if not how.explain:
        return answer
    why = await server.explanations.of(answered)
    return Explained(**{one.name: getattr(answer, one.name) for one in fields(answer)}, explanation=why)


@router.get("/projects/{project}/answers/{answer}/explanation")
async def explanation(project: Name, answer: str, server: Server, me: Me) -> Explanation:
    """What each input contributed to an answer of the record, by its id."""
    return await server.explainers.apart(explain_answer, server.app, server.explainers, me, answer, project)


@router.get("/projects/{project}/explanations")
def list_importances(project: Name, server: Server, me: Me) -> list[Importance]:
    """How much each input has moved the answers that an explanation is kept of, by release."""
    return importances(server.app, me, project)


def columns_of(records: list[dict[str, Value]]) -> dict[str, list[Value]]:
    """Records as columns.

    Raises:
        InvalidInput: a record has other names than the first.
    """
    names = records[0].keys()
    for index, record in enumerate(records):
        odd = sorted(record.keys() ^ names)
        if odd:
            has, lacks = (index, 0) if odd[0] in record else (0, index)
            raise InvalidInput(
                f"records[{has}] has {odd[0]!r} and records[{lacks}] has not. "
                "Expected the same names in every record. Send null where a value is not known."
            )
    return {name: [record[name] for record in records] for name in names}
