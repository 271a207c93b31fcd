"""A build as a durable workflow: from raw bytes to a release that its gates have judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.app.alerting.alerts import close_alert
from headrace.app.composition import App
from headrace.app.data.table import Sourced, gather
from headrace.app.durable import Durable
from headrace.app.gates.amending import Amending, put_up
from headrace.app.gates.baseline_first import as_baseline
from headrace.app.gates.declared_proofs import DeclaredProofs
from headrace.app.gates.gating import Gating, judge_all, keep_contracts
from headrace.app.learning import as_online, continued, gather_batch, held_back, learn
from headrace.app.llm.gateway import ask_models
from headrace.app.llm.prompting import Prompting
from headrace.app.registry.registered import as_candidate, fetch_registered, say_what_became
from headrace.app.rollouts.fallbacks import as_fallback
from headrace.checks.estimation import LossModel
from headrace.checks.profiles import Profile
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED, answers_classes
from headrace.core.data import Artifact, Run, Snapshot
from headrace.core.errors import HeadraceError, Unavailable, UserCodeError, UserError
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Verdict
from headrace.data.frames import take
from headrace.data.snapshots import take_snapshot
from headrace.data.sources import read_file
from headrace.monitoring.baseline import MEDIA_TYPE as BASELINE
from headrace.monitoring.baseline import make_baseline, text_profiles
from headrace.releases.manifest import propose
from headrace.store.documents import from_plain, to_plain
from headrace.training import lock
from headrace.training.evaluation import losses_of
from headrace.training.features import FeatureStore
from headrace.training.pipeline import Build, choose_best, recipe_of, train_variant
from headrace.training.registry import publish_model, register_model
from headrace.training.training_set import (
    Rows,
    TrainingSet,
    input_columns,
    load_rows,
    load_training_set,
    make_training_set,
)


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build and why.

    Attributes:
        until: learn only from rows before this event time (ISO 8601).
        approval: overrides the project's own policy, such as when a trigger asks for review.
        with_production: add answered rows whose labels have come.
        model_uri: the version in MLflow's registry that is the candidate, instead of the project's variants.
        stands_in: build the fallback that the project names, instead of its variants.
        online: let the next batch test and teach what learns online, instead of its variants.
        settings: as ``declared``; those of the ``live`` release, where nobody means to release others; or
            ``only`` the declared ones, for the model that is live.
        baseline: build the first variant alone, which goes live before any other.
    """

    build_id: str
    folder: str
    project: str
    author: str
    cause: str
    until: str | None = None
    approval: str | None = None
    with_production: bool = False
    model_uri: str | None = None
    stands_in: bool = False
    online: bool = False
    settings: Literal["declared", "live", "only"] = "live"
    baseline: bool = False


class Builds:
    """Steps of :meth:`run`; each can be repeated without another effect."""

    def __init__(self, app: App, durable: Durable) -> None:
        self._app = app
        self._store = app.store
        self._durable = durable
        self._gating = Gating(app)
        self._proofs = DeclaredProofs(app, self._gating)
        self._amending = Amending(app)
        self._prompting = Prompting(app, self._gating, ask_models(app))

    def run(self, plain_request: dict[str, Any]) -> dict[str, Any]:
        """The workflow. Returns ``release_id``, or None with the ``reason`` and its ``kind`` (an error's
        name: a gate's, or what the user's data or code did), and the verdicts."""
        step = self._durable.step
        request = from_plain(BuildRequest, plain_request)
        try:
            if request.settings == "only":
                return self._amend(plain_request)
            state = plain_request | step("archive", self._archive, plain_request)
            state |= step("snapshot", self._snapshot, state)
            step("data_drift", self._gating.moved_data, state)
            state |= step("data_gate", self._data_gate, state)
            if state["stopped"]:
                return step("close", self._close, state)
            if request.online:
                state |= step("learn", self._learn, state)
                if state["stopped"]:
                    return step("close", self._close, state)
            state |= step("split", self._split, state)
            variants = [(v.name, (state, v.name)) for v in self._project(state).variants]
            state["runs"] = self._durable.children("train", request.build_id, variants)
            state |= step("evaluate", self._evaluate, state)
            if state["stopped"]:
                return step("close", self._close, state)
            if request.model_uri is not None:
                step("origin", self._gating.origin, state)
            step("tests", self._tests, state)
            state["measured"] = judge_all(self._gating, step, state, self._prompting.gates)
            step("training", self._training_checks, state)
            step("robustness", self._robustness, state)
            state |= step("register", self._register, state)
            step("ingredients", self._proofs.ingredients, state)
            step("track", self._track, state)
            state |= step("release", self._release, state)
            return self._hand_over(state)
        except (UserError, Unavailable) as error:
            if isinstance(error, Unavailable) and request.model_uri is None:
                raise
            # What a step says of the user's own data or code is the build's result, not a crash of ours; so
            # is a registry that does not answer, to whoever has registered something and is not waiting.
            stopped = {"stopped": str(error), "kind": _kind_of(error), "release_id": None}
            return step("close", self._close, plain_request | stopped)

    def _amend(self, plain_request: dict[str, Any]) -> dict[str, Any]:
        """Release the live model under the declared settings: nothing is trained, all gates judge it anew."""
        step = self._durable.step
        state = plain_request | step("archive", self._amending.archive, plain_request)
        state |= step("data_gate", self._data_gate, state)
        if state["stopped"]:
            return step("close", self._close, state)
        step("tests", self._tests, state)
        state["measured"] = judge_all(self._gating, step, state, self._prompting.gates)
        step("training", self._training_checks, state)
        step("robustness", self._robustness, state)
        step("ingredients", self._proofs.ingredients, state)
        state |= step("release", self._amending.release, state)
        return self._hand_over(state)

    def _hand_over(self, state: dict[str, Any]) -> dict[str, Any]:
        self._durable.step("contract", self._contract, state)
        self._durable.child("deliver", f"deliver:{state['release_id']}", state["release_id"])
        return self._durable.step("close", self._close, state)

    def _generates(self, state: dict[str, Any]) -> bool:
        return self._project(state).task in GENERATIVE

    def train(self, state: dict[str, Any], variant: str) -> str:
        """The child workflow of one variant; returns its run's id."""
        return self._durable.step(f"train {variant}", self._train, state, variant)

    def _archive(self, request: dict[str, Any]) -> dict[str, Any]:
        """Raw bytes, code and environment, before anything is done with them."""
        folder = Path(request["folder"])
        project = self._app.store.projects.get(request["project"])
        if request.get("settings") == "live":
            project = self._app.access.charters.in_force(project.name)
        project = replace_approval(project, request["approval"])
        uri = request.get("model_uri")
        if uri is not None:
            project = as_candidate(project, uri)
        if request.get("stands_in"):
            project = as_fallback(project)
        if request.get("baseline"):
            project = as_baseline(self._store, project)
        if request.get("online"):
            return self._archive_batch(request, project)
        until = None if request["until"] is None else datetime.fromisoformat(request["until"])
        scratch = self._scratch(request["build_id"])
        try:
            sourced = gather(
                self._app, project, folder, scratch / "source", until=until,
                with_production=request["with_production"], author=request["author"],
                noted=partial(self._noted, request["author"]),
            )  # fmt: skip
            model = None
            if uri is not None:
                model = to_plain(fetch_registered(self._app, request["author"], project.name, uri, scratch))
            return self._archived(project, folder, sourced) | {"model": model}
        finally:
            shutil.rmtree(scratch / "source", ignore_errors=True)

    def _archived(self, project: Project, folder: Path, sourced: Sourced) -> dict[str, Any]:
        return {
            "declared": to_plain(project),
            "raw": to_plain(sourced.raw),
            "source": sourced.source,
            "arrivals": sourced.arrivals,
            "code": to_plain(lock.archive_code(folder, self._store.artifacts)),
            "commit": lock.git_commit(folder),
            "environment": to_plain(lock.environment_lock(self._store.artifacts)),
            "contracts": keep_contracts(self._app, folder),
            "release_id": None,
            "stopped": None,
        }

    def _archive_batch(self, request: dict[str, Any], project: Project) -> dict[str, Any]:
        """The next batch, and what has learnt the rows before it; the code is that of the model."""
        got = gather_batch(self._app, project)
        origin = self._store.releases.get(got.at.origin).manifest
        archived = self._archived(as_online(project, got.at), Path(request["folder"]), got.sourced)
        return archived | {
            "code": to_plain(origin.code),
            "model": to_plain(got.at.state),
            "checkpoint": to_plain(got.at),
            "batch": to_plain(got.batch),
            "n_batch": got.n_batch,
        }

    def _learn(self, state: dict[str, Any]) -> dict[str, Any]:
        """Learn the batch; there is a candidate once something has been learnt before it."""
        project, scratch = self._project(state), self._scratch(state["build_id"]) / "learn"
        judged = self._gating.keep(state, learn(self._app, project, state, state["judged_id"], scratch))
        if judged.outcome != "passed":
            self._store.findings.add(held_back(self._app, project, state["checkpoint"]["id"], judged))
            return {"stopped": judged.reason}
        if not state["checkpoint"]["n_learnt"]:
            return {"stopped": "the first batch is learnt; the next one tests what it has taught"}
        return {"stopped": None}

    def _snapshot(self, state: dict[str, Any]) -> dict[str, Any]:
        raw = from_plain(Artifact, state["raw"])
        snapshot = take_snapshot(
            project=state["project"],
            columns=read_file(self._store.artifacts.path(raw.digest), raw.media_type),
            raw=raw,
            source=state["source"],
            privacy=self._project(state).privacy,
            tables=self._store.tables,
            snapshots=self._store.snapshots,
            clock=self._app.clock,
            noted=partial(self._noted, state["author"]),
        )
        return {"snapshot_id": snapshot.id, "judged_id": derived_id("release", state["build_id"])}

    @contextmanager
    def _noted(self, author: str, snapshot: Snapshot) -> Iterator[None]:
        detail = {"snapshot": snapshot.id, "digest": snapshot.digest, "rows": snapshot.n_rows}
        with self._store.transaction():
            self._store.audit.append(author, "data.snapshot", f"project:{snapshot.project}", detail)
            yield

    def _data_gate(self, state: dict[str, Any]) -> dict[str, Any]:
        self._gating.arrivals(state)
        judged, blocked = self._gating.data(state)
        stopped = None if judged.outcome in ("passed", "inconclusive") else f"data gate: {judged.reason}"
        return {"blocked": blocked, "stopped": stopped}

    def _split(self, state: dict[str, Any]) -> dict[str, Any]:
        snapshot = self._store.snapshots.get(state["snapshot_id"])
        project = self._project(state)
        made = make_training_set(
            self._store,
            project,
            snapshot,
            blocked_segments=state["blocked"],
            continued=continued(self._app, project, state) if state.get("online") else None,
        )
        return {"training_set": to_plain(made)}

    def _train(self, state: dict[str, Any], variant: str) -> str:
        project = self._project(state)
        build = Build(
            id=state["build_id"],
            project=project,
            training_set=from_plain(Artifact, state["training_set"]),
            code=from_plain(Artifact, state["code"]),
            environment=from_plain(Artifact, state["environment"]),
            author=state["author"],
            cause=state["cause"],
            scratch=self._scratch(state["build_id"]),
            model=from_plain(Artifact, state["model"]) if state.get("model") else None,
        )
        chosen = next(v for v in project.variants if v.name == variant)
        make = self._prompting.make if self._generates(state) else None
        return train_variant(self._store, self._app.clock, build, chosen, make).id

    def _evaluate(self, state: dict[str, Any]) -> dict[str, Any]:
        """The best variant; the first declared one is the baseline that it has to beat."""
        runs = [self._store.runs.get(run_id) for run_id in state["runs"]]
        metric = self._project(state).gates.model.metric
        try:
            choose = self._prompting.best if self._generates(state) else choose_best
            best = choose(runs[-1:] if state.get("model") else runs, metric)
        except HeadraceError as error:
            return {"stopped": str(error), "kind": _kind_of(error)}
        return {"run_id": best.id, "baseline_run_id": runs[0].id, "stopped": None}

    def _register(self, state: dict[str, Any]) -> dict[str, Any]:
        run = self._store.runs.get(state["run_id"])
        return {"version": register_model(self._store, self._app.clock, run).version}

    def _track(self, state: dict[str, Any]) -> str | None:
        """Tell the tracker; it recognises a run or version that it was told of before."""
        for run_id in state["runs"]:
            self._app.tracker.log_run(self._store.runs.get(run_id))
        if self._generates(state):
            return None
        model = self._store.models.get(state["project"], state["version"])
        return publish_model(self._store, self._app.tracker, model)

    def _release(self, state: dict[str, Any]) -> dict[str, Any]:
        project = self._project(state)
        run = self._store.runs.get(state["run_id"])
        route = self._store.rollouts.route(project.name)
        release = propose(
            project,
            run,
            self._store.models.get(project.name, state["version"]),
            self._store.snapshots.get(state["snapshot_id"]),
            self._baseline(project, run),
            commit=state["commit"],
            parent=None if route is None else route.live,
            at=self._app.clock.now(),
            contracts=from_plain(Artifact, state["contracts"]) if state.get("contracts") else None,
            measured=state.get("measured", {}),
            features=[one.ref for one in self._training(run)[0].features],
            stands_in=bool(state.get("stands_in")),
        )
        return {"release_id": put_up(self._app, release).id}

    def _tests(self, state: dict[str, Any]) -> str:
        return self._proofs.tests(state, self._scratch(state["build_id"]) / "tests")

    def _training_checks(self, state: dict[str, Any]) -> str:
        if self._generates(state):
            return "nothing is trained"
        if self._store.snapshots.get(state["snapshot_id"]).n_erased:
            return "rows were erased since: what was learnt from them cannot be asked again"
        return self._proofs.training(state, self._scratch(state["build_id"]) / "training")

    def _robustness(self, state: dict[str, Any]) -> str:
        if self._generates(state) or self._store.snapshots.get(state["snapshot_id"]).n_erased:
            return "not applicable: there is no table of all its test rows"
        return self._proofs.robustness(state)

    def _contract(self, state: dict[str, Any]) -> str:
        """Gate 3b asks the release as it was signed: after the proposal, and before any decision."""
        return self._gating.contract(state, self._scratch(state["build_id"]) / "rehearsal")

    def _baseline(self, project: Project, run: Run) -> Artifact:
        made, rows = self._training(run)
        if project.task in GENERATIVE:
            return self._store.artifacts.put(self._prompting.baseline(project, run).to_bytes(), BASELINE)
        if run.package is None:
            raise UserError(f"Run {run.id} has no package.")
        scorer = self._app.scorers.of_package(run.package.digest)
        answers = scorer.score(rows.test_columns())
        classifies = answers_classes(project.task)
        baseline = make_baseline(
            self._profile(project, made, rows),
            answers["predict"],
            np.asarray(losses_of(self._store, run, rows)),
            project.gates.model.metric,
            residuals=None if classifies else rows.truth() - answers["predict"],
            trained_until=made.trained_until,
            classes=scorer.classes,
            loss_model=self._loss_model(project, rows, answers, scorer.classes),
            features=made.features,
            texts=text_profiles(
                take(rows.columns, rows.train),
                input_columns(project),
                self._app.access.privacy.rules(project.name).column,
            ),
        )
        return self._store.artifacts.put(baseline.to_bytes(), BASELINE)

    def _loss_model(self, project: Project, rows: Rows, answers: Any, classes: Any) -> LossModel | None:
        if project.task in UNSUPERVISED:
            return None
        altered = altered_inputs(project)
        return LossModel.fit(
            project.gates.model.metric,
            rows.truth(),
            take(rows.columns, rows.test),
            answers,
            [column for column in input_columns(project) if column.name not in altered],
            classes=classes,
        )

    def _profile(self, project: Project, made: TrainingSet, rows: Rows) -> Profile:
        if made.features:
            return FeatureStore(self._store.artifacts).baseline(made.features)
        # A build that began before there was a feature store, and goes on now.
        return Profile.fit(take(rows.columns, rows.train), input_columns(project))

    def _training(self, run: Run) -> tuple[TrainingSet, Rows]:
        recipe = recipe_of(self._store, run)
        made = load_training_set(self._store.artifacts, recipe.training_set.digest)
        return made, load_rows(self._store, recipe.project, made)

    def _close(self, state: dict[str, Any]) -> dict[str, Any]:
        """Say how it ended, and close the alert that asked for it."""
        release_id, judged_id = state.get("release_id"), derived_id("release", state["build_id"])
        verdicts: list[Verdict] = self._store.evidence.verdicts(judged_id)
        why = "its build has ended" if release_id else f"its build made no release{_refusal(state, verdicts)}"
        for alert in self._store.findings.alerts(state["project"]):
            if alert.build_id == state["build_id"] and alert.state != "closed":
                close_alert(self._store, alert, state["author"], why)
        shutil.rmtree(self._scratch(state["build_id"]), ignore_errors=True)
        if state.get("model_uri"):
            say_what_became(self._app, state, release_id)
        return {
            "build_id": state["build_id"],
            "release_id": release_id,
            "reason": state.get("stopped") or "",
            "kind": state.get("kind", "GateFailed"),
            "verdicts": json.loads(json.dumps(to_plain(verdicts))),
        }

    def _project(self, state: dict[str, Any]) -> Project:
        return from_plain(Project, state["declared"])

    def _scratch(self, build_id: str) -> Path:
        return self._app.settings.home / "scratch" / build_id.replace(":", "-")


def replace_approval(project: Project, approval: str | None) -> Project:
    """The project with a stricter approval where a trigger asks for one."""
    return project if approval is None else replace(project, approval="manual")


def _refusal(state: dict[str, Any], verdicts: list[Verdict]) -> str:
    """What stopped a build, as the end of a sentence."""
    failed = [f"{one.gate}: {one.reason}" for one in verdicts if one.outcome in ("failed", "error")]
    why = "; ".join(failed) or state.get("stopped") or ""
    return f": {why}" if why else ""


def _kind_of(error: HeadraceError) -> str:
    """The name by which commands know an error: what narrows one down counts as the one that it is."""
    return UserCodeError.__name__ if isinstance(error, UserCodeError) else type(error).__name__
