"""Models in the caller's own process: ``headrace.load("cars@live").predict(frame)``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

from headrace.app.answers.explanations import require_few
from headrace.app.answers.serving import serving_of
from headrace.app.composition import App, open_app
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.record import Explanation, Prediction
from headrace.core.settings import Settings, read_settings
from headrace.data.frames import n_rows
from headrace.data.sources import read_frame
from headrace.serving.table_values import plain_values

_T = TypeVar("_T")
LIVE = "live"
_MAX_AGE_S = 0.5


class LocalModel:
    """A model of this home that answers here, by the same route, checks and record as on a server.

    It asks as the local identity, which must be allowed to ``predict``. Every answer is in the durable log
    before it is returned. Safe to call from several threads; load it after a fork, not before. Close it, or
    use it as a context manager; made by :func:`load`.
    """

    def __init__(self, app: App, project: str, version: str | None) -> None:
        self._app = app
        self._project = project
        self._version = version
        self._serving = serving_of(app)
        self._refreshing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headrace-local", daemon=True)
        self._thread.start()

    @property
    def inputs(self) -> dict[str, str]:
        """Input name to kind: ``number``, ``text``, ``time`` or ``boolean``."""
        self._app.gatekeeper.require(self._me, "project.read", f"project:{self._project}")
        self._refresh()
        found = self._run(self._serving.handler.describe(self._project, self._version))
        return dict(found[0].kinds)

    def predict(
        self,
        frame: Any,
        *,
        key: str | None = None,
        keys: Sequence[str] | None = None,
        event_time: datetime | None = None,
    ) -> Prediction:
        """Predict the rows of a table and return once the answer is durable in the log.

        Args:
            frame: a pandas, Polars or Arrow table, or a mapping of columns; names must be the model's inputs.
            key: who asks: the same key meets the same release while a canary runs.
            keys: business keys of the rows, by which labels may be joined.
            event_time: when the thing predicted happens.

        Raises:
            Denied: the local identity may not predict with this project.
            InvalidInput: the table is not what the model expects.
            NotFound: nothing is live, or the version is neither the live nor the canary's.
            Unavailable: the model cannot be loaded, or the answer cannot be stored.

        Example::

            answer = headrace.load("cars@live").predict({"mileage": [15735.0], "model": ["a4"]})
            answer.outputs["predict"], answer.confidence
        """
        return self._predict(frame, key=key, keys=keys, event_time=event_time)

    def explain(self, frame: Any, *, key: str | None = None) -> Explanation:
        """Predict at most 100 rows of a table, and say what each column contributed to each answer.

        The answers are recorded as those of :meth:`predict`, and the explanation beside them; ``frame`` and
        ``key`` are as there.

        Raises:
            Denied, NotFound, Unavailable: as :meth:`predict`.
            InvalidInput: as :meth:`predict`, there are more rows, or this release cannot be explained.

        Example::

            why = headrace.load("cars@live").explain({"mileage": [15735.0], "model": ["a4"]})
            why.rows[0].base, why.rows[0].contributions
        """
        require_few(n_rows(read_frame(frame)))
        answer = self._predict(frame, key=key, explained=True)
        return self._run(self._serving.explanations.of(answer))

    def close(self) -> None:
        """Write what waits, then release files and connections; later calls are refused."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._serving.handler.refusals.flush()
        self._serving.shadows.close()
        self._serving.explanations.close()
        self._serving.recorder.close()
        self._app.close()

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _me(self) -> Principal:
        return self._app.me()

    def _predict(self, frame: Any, **asked: Any) -> Prediction:
        self._require_open()
        kinds = self.inputs
        values = {
            name: plain_values(name, column, kinds.get(name)) for name, column in read_frame(frame).items()
        }
        return self._run(
            self._serving.handler.predict(
                self._project, values, principal=self._me, version=self._version, **asked
            )
        )

    def _refresh(self) -> None:
        """Follow the routes, as a server does: a new release answers here within half a second."""
        routes = self._serving.routes
        with self._refreshing:
            age_s = routes.age_s()
            if age_s is None or age_s > _MAX_AGE_S:
                routes.refresh()
                route = routes.get(self._project)
                self._serving.models.keep(route.releases)

    def _run(self, answering: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(answering, self._loop).result()

    def _require_open(self) -> None:
        if self._loop.is_closed():
            raise InvalidInput("This model has been closed. Load it again: headrace.load(...).")


def load(reference: str, *, settings: Settings | None = None) -> LocalModel:
    """A model of this home, to be asked in this process: no server, no network.

    Args:
        reference: ``PROJECT@live`` for what the project's route says at the moment of each call (a canary
            gets its share), or ``PROJECT@VERSION`` for one version as long as it is live or canary.
        settings: the environment's when not given.

    Raises:
        InvalidInput: ``reference`` has another form.
        NotFound: nothing is live, or the version is neither the live nor the canary's.
        Denied: the local identity may not read the project.

    Example::

        model = headrace.load("cars@live")
        model.predict(frame).outputs["predict"]
    """
    project, _, version = reference.partition("@")
    if not project or (not version and "@" in reference) or "@" in version:
        raise InvalidInput(f"{reference[:100]!r} names no model. Expected PROJECT@live or PROJECT@VERSION.")
    model = LocalModel(
        open_app(settings or read_settings()), project, None if version in ("", LIVE) else version
    )
    try:
        # Loads it: what cannot answer is refused now, not at the first row.
        _ = model.inputs
    except BaseException:
        model.close()
        raise
    return model
