"""Orders of erasure that are carried out at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.app.composition import App
from headrace.app.durable import Status
from headrace.app.privacy.erasing import Erasure
from headrace.app.privacy.erasures import Erasures
from headrace.core.errors import HeadraceError
from headrace.core.identity import Principal

REASON = "asked by the subject"


class Directly:
    """Runs a workflow where it is started; records nothing, so that one that was killed begins anew."""

    def __init__(self) -> None:
        self.run: Callable[[str], dict[str, Any]]
        self.ended: dict[str, dict[str, Any] | Exception] = {}

    def step(self, _: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def status(self, workflow_id: str) -> Status:
        ended = self.ended.get(workflow_id)
        return "absent" if ended is None else "failed" if isinstance(ended, Exception) else "finished"

    def start(self, _: str, workflow_id: str, order_id: str) -> None:
        try:
            self.ended[workflow_id] = self.run(order_id)
        except HeadraceError as error:
            self.ended[workflow_id] = error

    def result(self, workflow_id: str) -> dict[str, Any]:
        ended = self.ended[workflow_id]
        if isinstance(ended, Exception):
            raise ended
        return ended


def erasures_of(app: App, durable: Directly | None = None) -> Erasures:
    durable = durable or Directly()
    erasures = Erasures(app, durable)  # type: ignore[arg-type]  # what it uses of a Durable
    durable.run = erasures.run
    return erasures


def erase(
    app: App, me: Principal, key: str, *, reason: str = REASON, raw: bool = False, project: str = "people"
) -> Erasure:
    erasures = erasures_of(app)
    return erasures.result(erasures.order(me, project, key, reason=reason, raw=raw))
