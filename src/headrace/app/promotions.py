"""A release that was brought here, as a durable workflow: the gates of this place, then its delivery."""

from __future__ import annotations

from typing import Any

from headrace.app.composition import App
from headrace.app.durable import Durable
from headrace.app.gates.gating import Gating, judge_all
from headrace.app.llm.gateway import ask_models
from headrace.app.llm.prompting import Prompting
from headrace.checks.tasks import GENERATIVE
from headrace.core.errors import UserError
from headrace.core.project import Project
from headrace.releases.gates import verdict
from headrace.store.documents import from_plain
from headrace.training.registry import publish_model

_STOPPED = "promotion"
"""The gate that says why the others could not be asked."""


class Promotions:
    """Steps of :meth:`run`; each can be repeated without another effect."""

    def __init__(self, app: App, durable: Durable) -> None:
        self._app = app
        self._durable = durable
        self._gating = Gating(app)
        self._prompting = Prompting(app, self._gating, ask_models(app))

    def run(self, state: dict[str, Any]) -> str:
        """The workflow: judge here what depends on the place, then deliver. Nothing is trained."""
        step = self._durable.step
        try:
            step("data_gate", self._data, state)
            judge_all(self._gating, step, state, self._prompting.gates)
            step("contract", self._contract, state)
        except UserError as error:
            step("stopped", self._stopped, state, str(error))
        step("track", self._track, state)
        self._durable.child("deliver", f"deliver:{state['release_id']}", state["release_id"])
        return str(state["release_id"])

    def _data(self, state: dict[str, Any]) -> str:
        return self._gating.data(state)[0].outcome

    def _contract(self, state: dict[str, Any]) -> str:
        return self._gating.contract(
            state, self._app.settings.home / "scratch" / f"promote-{state['judged_id']}"
        )

    def _stopped(self, state: dict[str, Any], why: str) -> str:
        now = self._app.clock.now()
        judged = verdict(state["judged_id"], _STOPPED, "error", why, evidence={}, at=now)
        return self._gating.keep(state, judged).outcome

    def _track(self, state: dict[str, Any]) -> str | None:
        """Tell the tracker of this installation, which knows neither run nor version."""
        self._app.tracker.log_run(self._app.store.runs.get(state["run_id"]))
        if from_plain(Project, state["declared"]).task in GENERATIVE:
            return None
        model = self._app.store.models.get(state["project"], state["version"])
        return publish_model(self._app.store, self._app.tracker, model)
