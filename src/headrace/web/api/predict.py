"""Predictions as records: the same handler as the Open Inference Protocol, in plainer JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from headrace.core.errors import InvalidInput
from headrace.web.api.monitors import Moment
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(tags=["predictions"])
MAX_RECORDS = 10_000
Value = bool | int | float | Text | None
Short = Annotated[Text, Field(max_length=256)]


class Records(BaseModel):
    """Rows to predict, one object each."""

    model_config = ConfigDict(extra="forbid")

    records: list[dict[Text, Value]] = Field(min_length=1, max_length=MAX_RECORDS)
    key: Short | None = Field(None, description="Who asks: the same key meets the same release in a canary.")
    keys: list[Short] | None = Field(
        None, description="Business keys of the rows; labels are joined by them."
    )
    event_time: Moment | None = Field(None, description="When the thing predicted happens; now if absent.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer, which is in the durable log.

    Attributes:
        subjects: row ids, to send labels for.
        predictions: output name to value, one object per record.
        unseen: inputs that hold a category which training never saw.
    """

    id: str
    project: str
    release: str
    version: str
    arm: str
    subjects: list[str]
    predictions: list[dict[str, Any]]
    unseen: list[str]


@router.post("/predict/{project}")
async def predict(project: Name, server: Server, me: Me, body: Records) -> Answer:
    """Predict records; answers once the prediction is durable."""
    answered = await server.handler.predict(
        project,
        columns_of(body.records),
        principal=me,
        key=body.key,
        keys=body.keys,
        event_time=body.event_time,
    )
    names = list(answered.outputs)
    rows = zip(*answered.outputs.values(), strict=True)
    return Answer(
        id=answered.id,
        project=project,
        release=answered.release_id,
        version=server.handler.version(answered.release_id),
        arm=answered.arm,
        subjects=[f"{answered.id}:{row}" for row in range(answered.n_rows)],
        predictions=[dict(zip(names, row, strict=True)) for row in rows],
        unseen=answered.unseen or [],
    )


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
