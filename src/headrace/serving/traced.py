"""The handler when somebody follows requests: what each came to is noted for its trace."""

from __future__ import annotations

from typing import Any

from headrace.core.record import Prediction
from headrace.serving.handler import Handler
from headrace.serving.inputs import Matrix, Values
from headrace.serving.trace_context import NOTED


class TracedHandler(Handler):
    """Answers as its parent, and notes of traced requests what they came to."""

    async def predict(self, project: str, columns: Values | Matrix, **asked: Any) -> Prediction:
        """As the parent's."""
        noted = NOTED.get()
        if noted is None:
            return await super().predict(project, columns, **asked)
        try:
            noted.prediction = await super().predict(project, columns, **asked)
        except Exception as error:
            # Its kind only: the text may hold values.
            noted.raised, noted.raised_at = type(error).__name__, self._clock.now()
            raise
        return noted.prediction
