"""The answer as records, the form of ``/api/v1/predict``: one object per row."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec

from headrace.core.record import Prediction

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer, which is in the log as the project has it: durable, or about to be.

    Attributes:
        subjects: row ids, to send labels for.
        predictions: output name to value, one object per row, with ``confidence`` where there is one.
        unseen: inputs that hold a category which training never saw.
        prepare_ms, infer_ms: reading the rows, and the model's part.
    """

    id: str
    project: str
    release: str
    version: str
    arm: str
    subjects: list[str]
    predictions: list[dict[str, Any]]
    unseen: list[str]
    prepare_ms: float
    infer_ms: float


def answer_of(prediction: Prediction, version: str) -> Answer:
    """What the caller is told; ``version`` is the model's."""
    names = list(prediction.answers)
    rows = zip(*prediction.answers.values(), strict=True)
    return Answer(
        id=prediction.id,
        project=prediction.project,
        release=prediction.release_id,
        version=version,
        arm=prediction.arm,
        subjects=[f"{prediction.id}:{row}" for row in range(prediction.n_rows)],
        predictions=[dict(zip(names, map(_plain, row), strict=True)) for row in rows],
        unseen=prediction.unseen or [],
        prepare_ms=prediction.prepare_ms,
        infer_ms=prediction.infer_ms,
    )


def encode_answer(prediction: Prediction, version: str) -> bytes:
    """The same as JSON."""
    return _encode(answer_of(prediction, version))


def _plain(value: Any) -> Any:
    """NaN and infinity, which JSON has no form for, are null."""
    return None if isinstance(value, float) and not isfinite(value) else value
