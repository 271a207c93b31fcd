"""Explanations on the way out: a request that asks for one gets it beside its answer, in every protocol."""

from __future__ import annotations

from typing import Any, Protocol

from headrace.core.errors import InvalidInput
from headrace.core.project import Project
from headrace.core.record import Prediction
from headrace.serving.inputs import Matrix, Values


class Explaining(Protocol):
    """Says what each input contributed to an answer."""

    async def of(self, prediction: Prediction) -> Any:
        """The explanation of an answer that has just been given, in a form that msgspec encodes.

        Raises:
            InvalidInput: its release cannot be explained, or it has too many rows.
            Unavailable: too many explanations are being computed.
        """

    def require_few(self, n_rows: int) -> None:
        """Raises InvalidInput where more rows are to be explained than one request may ask for."""


class Share(Protocol):
    """Explains a share of the answers after they were given."""

    def draws(self, project: Project) -> bool:
        """Whether an answer of the project belongs to the share; asking decides."""

    def offer(self, prediction: Prediction) -> None:
        """Explain an answer once there is time. Never blocks."""


def explaining_of(explaining: Explaining | None, values: Values | Matrix) -> Explaining:
    """Who will explain the answer to ``values``; asked before anything is predicted.

    Raises:
        InvalidInput: nobody here does, or there are too many rows.
    """
    if explaining is None:
        raise InvalidInput("This server explains nothing. Leave 'explain' out.")
    columns = values.columns if isinstance(values, Matrix) else list(values.values())
    explaining.require_few(max(map(len, columns), default=0))
    return explaining
