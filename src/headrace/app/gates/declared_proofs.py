"""Runs what a charter's section ``proofs`` asks for, over what the stores hold."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from headrace.app.composition import App
from headrace.app.gates.gating import Gating
from headrace.checks.advisories import Found, known_flaws
from headrace.checks.training_faults import InputFaults
from headrace.core.data import Artifact, Run
from headrace.core.errors import InvalidInput, ModelFailed, UserError
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Verdict
from headrace.projects.proofs import Proofs, proofs_of
from headrace.releases.explanations import explanations_gate
from headrace.releases.gates import verdict
from headrace.releases.ingredients import ingredients_gate
from headrace.releases.own_tests import own_tests_gate
from headrace.releases.robustness import ROBUSTNESS, TOLD_SHARE, robustness_gate
from headrace.releases.training_faults import TRAINING, training_gate
from headrace.store.documents import from_plain
from headrace.training.disturbed import Disturbance, disturb_run
from headrace.training.ingredients import MEDIA_TYPE as BILL
from headrace.training.ingredients import bill_of_materials, ingredients
from headrace.training.own_tests import run_own_tests
from headrace.training.package import PackageScorer
from headrace.training.pipeline import recipe_of
from headrace.training.probed import Probed, probe_run
from headrace.training.reliance import reliance_of


class DeclaredProofs:
    """One method per gate, as of :class:`headrace.app.gates.gating.Gating`, which keeps the verdicts."""

    def __init__(self, app: App, gating: Gating) -> None:
        self._app = app
        self._store = app.store
        self._gating = gating

    def tests(self, state: dict[str, Any], scratch: Path) -> str:
        """The project's own tests pass on the code that is released.

        Args:
            scratch: a folder of their own; it is gone afterwards.
        """
        declared = _declared(state).tests
        code = self._store.artifacts.get(from_plain(Artifact, state["code"]).digest)
        folder = Path(state["folder"])
        ran = run_own_tests(code, folder, scratch, self._app.clock, timeout_s=declared.timeout_s)
        return self._keep(state, own_tests_gate(_subject(state), ran, declared, self._now()))

    def training(self, state: dict[str, Any], scratch: Path) -> str:
        """The pipeline learns, and learns from its labels: on rows of its own, and beside an ordinary model.

        Args:
            scratch: a folder of its own; it is gone afterwards.
        """
        run = self._store.runs.get(state["run_id"])
        scorer, at = self._scorer(run), self._now()
        if state.get("stands_in") or state.get("online") or recipe_of(self._store, run).model is not None:
            self._explanations(state, run, Probed(inputs=InputFaults()))
            return "training: it was not made from these rows alone"
        project, declared = from_plain(Project, state["declared"]), _declared(state).training
        found = Probed(inputs=InputFaults())
        try:
            found = probe_run(
                self._store, run, scorer, scratch,
                timeout_s=declared.timeout_s, least_gain=declared.least_gain,
                learns=not state.get("baseline"),
            )  # fmt: skip
        except (InvalidInput, ModelFailed) as error:
            evidence = {"error": str(error)}
            judged = verdict(_subject(state), TRAINING, "error", str(error), evidence=evidence, at=at)
        else:
            judged = training_gate(_subject(state), found, declared, project.gates.model.metric, at)
        return f"{self._keep(state, judged)}, {self._explanations(state, run, found)}"

    def robustness(self, state: dict[str, Any]) -> str:
        """The package keeps its answers under noise, without an input, and when somebody tries."""
        run, declared, at = self._store.runs.get(state["run_id"]), _declared(state).robustness, self._now()
        done = Disturbance(
            allowed=TOLD_SHARE if declared.loss is None else declared.loss,
            noise=declared.noise, reach=declared.reach, missing=declared.missing,
        )  # fmt: skip
        try:
            found = disturb_run(self._store, run, self._scorer(run), done)
        except (InvalidInput, ModelFailed) as error:
            evidence = {"error": str(error)}
            judged = verdict(_subject(state), ROBUSTNESS, "error", str(error), evidence=evidence, at=at)
        else:
            metric = from_plain(Project, state["declared"]).gates.model.metric
            judged = robustness_gate(_subject(state), found, declared, metric, at)
        return self._keep(state, judged)

    def _explanations(self, state: dict[str, Any], run: Run, probed: Probed) -> str:
        """What it relies on can be believed; models with shuffled labels, where there are any, are asked."""
        chosen = from_plain(Project, state["declared"]).serving.explainer
        found = reliance_of(self._store, run, self._scorer(run), probed, explainer=chosen)
        return self._keep(state, explanations_gate(_subject(state), found, self._now()))

    def _scorer(self, run: Run) -> PackageScorer:
        if run.package is None:
            raise UserError(f"Run {run.id} has no package. Its error: {run.error}")
        return self._app.scorers.of_package(run.package.digest)

    def ingredients(self, state: dict[str, Any]) -> str:
        """The packages have licences that are allowed and no known flaw; the bill of materials is kept."""
        declared, run = _declared(state).ingredients, self._store.runs.get(state["run_id"])
        listed = ingredients(self._store.artifacts.get(run.environment.digest))
        made = bill_of_materials(f"{state['project']}@{state['version']}", listed, run.started_at)
        bill = self._store.artifacts.put(made, BILL)
        found: Found | str | None = None
        if declared.advisories:
            packages = {one.name: one.version for one in listed}
            try:
                found = known_flaws(Path(state["folder"]) / declared.advisories, packages)
            except InvalidInput as error:
                found = str(error)
        judged = ingredients_gate(_subject(state), listed, found, declared, bill, self._now())
        return self._keep(state, judged)

    def _keep(self, state: dict[str, Any], judged: Verdict) -> str:
        return f"{judged.gate} {self._gating.keep(state, judged).outcome}"

    def _now(self) -> datetime:
        return self._app.clock.now()


def _declared(state: dict[str, Any]) -> Proofs:
    return proofs_of(from_plain(Project, state["declared"]))


def _subject(state: dict[str, Any]) -> str:
    return derived_id("release", state["build_id"])
