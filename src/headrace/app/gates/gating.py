"""Runs the gates of a build over what the stores hold, and keeps each verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from headrace.app.compliance import Candidate, judge_candidate, waiver_for
from headrace.app.composition import App
from headrace.app.data.arrivals import judge_arrivals
from headrace.app.gates.movement import MODEL, data_drift, live_sample, movement
from headrace.app.gates.rehearsal import rehearse
from headrace.checks.bias import data_bias
from headrace.checks.fairness import represented
from headrace.checks.opinions import scanners
from headrace.checks.quality import check_data
from headrace.checks.tasks import GENERATIVE
from headrace.core.canonical import digest_bytes, digest_of
from headrace.core.data import Artifact, Run
from headrace.core.errors import HeadraceError, UserError
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Outcome4, Verdict
from headrace.data.snapshots import load_snapshot
from headrace.monitoring.segments import declared_segments
from headrace.projects.contracts import Contract, contract_files, read_contracts
from headrace.releases.contracts import CONTRACT, REHEARSAL, contract_gate, rehearsal_gate, unmeasured
from headrace.releases.gates import (
    SEGMENTS,
    comparison_gate,
    fairness_gate,
    flight_gate,
    limit_gate,
    metrics_gate,
    reported,
    segments_gate,
    verdict,
    waived,
)
from headrace.store.documents import from_plain, to_plain
from headrace.training.archives import pack_files, unpack_files
from headrace.training.evaluation import compare_with, doubtful_labels, evaluate
from headrace.training.measuring import group_run, measure_run
from headrace.training.own_code import scan_package
from headrace.training.pipeline import recipe_of
from headrace.training.proof import prove_package
from headrace.training.training_set import load_rows, load_training_set, trained_on

SYSTEM = "system:gates"
_OF_CANDIDATES = frozenset({"baseline", "champion", SEGMENTS, MODEL})
"""Gates that hold a candidate against others."""
_SIMPLEST = (
    "the simplest model is the best one. To let it go live first, before there is a better one: "
    "headrace run --baseline"
)
_NO_BETTER = (
    "the simplest prompt answers at least as well as this one: {simplest:.4g} against {loss:.4g} {metric}. "
    "To let the simplest go live first, before there is a better one: headrace run --baseline"
)
CONTRACTS = "application/vnd.headrace.contracts+zip"


class Gating:
    """One method per gate. All take the build's state and record a verdict on its release-to-be."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._store = app.store

    def data(self, state: dict[str, Any]) -> tuple[Verdict, list[str]]:
        """Gate 1: enough good data, per segment where one is declared, and are its groups filled alike? Also
        returns blocked segments."""
        project = from_plain(Project, state["declared"])
        columns = load_snapshot(self._store.snapshots.get(state["snapshot_id"]), self._store.tables)
        result = check_data(columns, project.data, project.gates.data, project.task)
        bias = {} if project.fairness is None else {"groups": represented(columns, project)}
        judged = verdict(
            self._subject(state),
            "data",
            result.outcome,
            result.reason,
            evidence=result.evidence | bias,
            at=self._now(),
        )
        self._record(state, judged)
        if judged.outcome != "failed":
            found = data_bias(columns, project)
            about = found.outcome, found.reason
            self._keep(
                state,
                [verdict(judged.subject_id, "data_bias", *about, evidence=found.evidence, at=self._now())],
            )
        return judged, [str(segment) for segment in result.blocked_segments]

    def arrivals(self, state: dict[str, Any]) -> str:
        """What came is kept as it was measured, and held to the targets that are declared for it."""
        project, came = from_plain(Project, state["declared"]), state.get("arrivals", [])
        judged = judge_arrivals(self._app, project, came, self._subject(state), state["build_id"])
        return self._keep(state, judged) or "no targets"

    def moved_data(self, state: dict[str, Any]) -> str:
        """Before training: the rows against those of the live release, and against what production sends."""
        project, subject = from_plain(Project, state["declared"]), self._subject(state)
        snapshot = self._store.snapshots.get(state["snapshot_id"])
        asked = (data_drift, live_sample)
        judged = [ask(self._app, project, snapshot, subject) for ask in asked]
        return self._keep(state, [one for one in judged if one is not None]) or "nothing to compare with"

    def moved_model(self, state: dict[str, Any]) -> str:
        """After training: the answers against those of the live release, where one is live."""
        project = from_plain(Project, state["declared"])
        route = self._store.rollouts.route(project.name)
        if route is None:
            return "movement: nothing is live"
        run = self._store.runs.get(state["run_id"])
        recipe = recipe_of(self._store, run)
        made = load_training_set(self._store.artifacts, recipe.training_set.digest)
        columns = load_rows(self._store, recipe.project, made).test_columns()
        answers = self._app.scorers.of_package(_package(run)).score(columns)["predict"]
        judged = movement(self._app, project, self._subject(state), columns, answers, route.live)
        return self._keep(state, [judged])

    def origin(self, state: dict[str, Any]) -> str:
        """For a model that was made elsewhere: nobody here knows what it learnt from. A person decides."""
        reason = (
            "which rows the registered model was trained on is not recorded: the test rows may be among "
            "them. Ask whoever registered it"
        )
        evidence = {"model": state["model_uri"], "digest": state["model"]["digest"]}
        subject = self._subject(state)
        judged = verdict(subject, "origin", "inconclusive", reason, evidence=evidence, at=self._now())
        return self._keep(state, [judged])

    def model(self, state: dict[str, Any]) -> str:
        """Gate 2: within the declared limit, and better than the simplest model on the same rows."""
        project = from_plain(Project, state["declared"])
        run, baseline = self._store.runs.get(state["run_id"]), self._store.runs.get(state["baseline_run_id"])
        gate = project.gates.model
        subject = self._subject(state)
        within = limit_gate(subject, gate, run.metrics[gate.metric], self._now())
        doubts = doubtful_labels(self._store, run)
        if doubts:
            within = replace(within, evidence=within.evidence | {"doubtful_labels": doubts})
        judged = [within]
        if run.id == baseline.id and state.get("baseline"):
            why = "this is the baseline: it goes live first, and every later one has to beat it"
            evidence = {"baseline": baseline.variant, "best": run.variant}
            judged.append(verdict(subject, "baseline", "passed", why, evidence=evidence, at=self._now()))
        elif run.id == baseline.id or baseline.state != "finished" or _is_no_better(project, run, baseline):
            why = _SIMPLEST if baseline.state == "finished" else str(baseline.error)
            if baseline.state == "finished" and run.id != baseline.id:
                simplest, loss = baseline.metrics[gate.metric], run.metrics[gate.metric]
                why = _NO_BETTER.format(simplest=simplest, loss=loss, metric=gate.metric)
            evidence = {"baseline": baseline.variant, "best": run.variant}
            judged.append(verdict(subject, "baseline", "failed", why, evidence=evidence, at=self._now()))
        else:
            against = {e.run_id: e for e in evaluate(self._store, [baseline, run])}[run.id]
            judged.append(
                comparison_gate(
                    subject,
                    "baseline",
                    gate,
                    against.against_first,
                    other=f"variant {baseline.variant!r}",
                    other_loss=baseline.metrics[gate.metric],
                    margin=0.0,
                    at=self._now(),
                )
            )
        return self._keep(state, judged)

    def metrics(self, state: dict[str, Any]) -> dict[str, float]:
        """The metrics that the project declares, each within its limits; returns their values."""
        project = from_plain(Project, state["declared"])
        subject = self._subject(state)
        scratch = self._app.settings.home / "scratch" / f"metrics-{subject}"
        try:
            measured = measure_run(self._store, project, self._store.runs.get(state["run_id"]), scratch)
        except UserError as error:
            judged = verdict(subject, "metrics", "error", str(error), evidence={}, at=self._now())
            measured = {}
        else:
            judged = metrics_gate(subject, project, measured, self._now())
        self._keep(state, [judged])
        return {name: found.value for name, found in measured.items()}

    def fairness(self, state: dict[str, Any]) -> str:
        """No group is treated worse than another by more than the project allows, on the test rows."""
        project = from_plain(Project, state["declared"])
        if project.fairness is None:
            return "fairness not declared"
        groups = group_run(self._store, self._store.runs.get(state["run_id"]), project.fairness)
        return self._keep(state, [fairness_gate(self._subject(state), project.fairness, groups, self._now())])

    def champion(self, state: dict[str, Any]) -> str:
        """Not worse than the live release on rows that neither was trained on, by a paired interval."""
        project = from_plain(Project, state["declared"])
        subject, route = self._subject(state), self._store.rollouts.route(project.name)
        if route is None:
            reason = "nothing is live yet: there is no champion to compare with"
            return self._keep(
                state, [verdict(subject, "champion", "passed", reason, evidence={}, at=self._now())]
            )
        live = self._store.releases.get(route.live)
        live_run = self._store.runs.get(live.manifest.run_id)
        run = self._store.runs.get(state["run_id"])
        recipe = recipe_of(self._store, run)
        rows = load_rows(
            self._store, recipe.project, load_training_set(self._store.artifacts, recipe.training_set.digest)
        )
        columns = rows.test_columns()
        try:
            comparison = compare_with(
                self._app.scorers.of_package(_package(run)),
                self._app.scorers.of_release(live.id),
                columns,
                rows.truth(),
                project.gates.model.metric,
                excluded=self._seen_by(live_run, columns),
                groups=rows.groups(recipe.project),
                confidence=project.gates.model.confidence,
                segments=declared_segments(project, self._app.scorers.baseline(live.id), columns),
            )
        except UserError as error:
            # An incomparable champion (other columns, no unseen row) is a doubt for a person, not a failure.
            reason = f"cannot be compared with {live.manifest.subject.ref}: {error}"
            return self._keep(
                state, [verdict(subject, "champion", "inconclusive", reason, evidence={}, at=self._now())]
            )
        judged = comparison_gate(
            subject,
            "champion",
            project.gates.model,
            comparison.difference,
            other=live.manifest.subject.ref,
            other_loss=comparison.other_loss,
            margin=project.gates.model.margin,
            at=self._now(),
        )
        judged.evidence.update(n_excluded=comparison.n_excluded, loss=comparison.loss, live_release=live.id)
        if not comparison.segments:
            return self._keep(state, [judged])
        gate, ref = project.gates.model, live.manifest.subject.ref
        parts = segments_gate(subject, gate, comparison.segments, other=ref, at=self._now())
        return self._keep(state, [judged, parts])

    def artefact(self, state: dict[str, Any]) -> str:
        """Nothing in the package runs when it is loaded, or a person decides. No waiver covers this."""
        digest = _package(self._store.runs.get(state["run_id"]))
        found = scan_package(self._store.artifacts.get(digest), digest)
        reason = "; ".join(str(threat) for threat in found.threats[:3])
        outcome: Outcome4 = "failed" if found.threats else "inconclusive" if found.code else "passed"
        if outcome == "inconclusive":
            names = ", ".join(f"{one.name} ({one.origin})" for one in found.code[:5])
            more = f" and {len(found.code) - 5} more" if len(found.code) > 5 else ""
            reason = f"it runs code that is on no list: {names}{more}. It gets a process of its own, without "
            reason += "network on Linux; a person decides whether it may answer"
        evidence = {
            "threats": [str(threat) for threat in found.threats],
            "code": to_plain(list(found.code)),
            "scanners": ["headrace", *scanners()],
        }
        said = reason or "nothing in it runs when it is loaded"
        judged = verdict(self._subject(state), "artefact", outcome, said, evidence=evidence, at=self._now())
        self._record(state, judged)
        return f"artefact {outcome}"

    def package(self, state: dict[str, Any]) -> str:
        """Gate 3a: the package answers as the original model did, on test and boundary rows."""
        run = self._store.runs.get(state["run_id"])
        proof = prove_package(self._store, run)
        judged = verdict(
            self._subject(state),
            "package",
            proof.outcome,
            proof.reason,
            evidence=proof.evidence,
            at=self._now(),
        )
        return self._keep(state, [judged])

    def flight(self, state: dict[str, Any]) -> str:
        """Owner, monitors, baseline and lineage are in place."""
        return self._keep(
            state, [flight_gate(self._subject(state), from_plain(Project, state["declared"]), self._now())]
        )

    def contract(self, state: dict[str, Any], folder: Path) -> str:
        """Gate 3b: the packaged service keeps what its consumers rely on, and works with all around it.

        Args:
            folder: for the rehearsal's own home; it is gone afterwards.
        """
        subject = self._subject(state)
        if not state.get("contracts"):
            return self._keep(state, [contract_gate(subject, (), {}, self._now())])
        digest = from_plain(Artifact, state["contracts"]).digest
        files = unpack_files(self._store.artifacts.get(digest), "The archive of contracts")
        contracts = read_contracts(files)
        published = {
            one.consumer: {"digest": digest_bytes(files[name]), "owner": _owner(one)}
            for one, name in zip(contracts, sorted(files), strict=True)
        }
        try:
            release = self._store.releases.get(state["release_id"])
            project = from_plain(Project, state["declared"])
            heard = rehearse(self._app, project, release, contracts, folder)
        except HeadraceError as error:
            why, at = str(error), self._now()
            judged = [unmeasured(subject, gate, why, published, at) for gate in (CONTRACT, REHEARSAL)]
        else:
            judged = [
                contract_gate(subject, heard.kept, published, self._now()),
                rehearsal_gate(subject, heard.parts, self._now()),
            ]
        return self._keep(state, judged)

    def _seen_by(self, run: Run, columns: dict[str, Any]) -> np.ndarray:
        made = load_training_set(self._store.artifacts, recipe_of(self._store, run).training_set.digest)
        return trained_on(self._store.artifacts, made, columns)

    def compliance(self, state: dict[str, Any]) -> str:
        """The controls of the project's risk tier are met, or waived."""
        project = from_plain(Project, state["declared"])
        route = self._store.rollouts.route(project.name)
        candidate = Candidate(
            release_id=self._subject(state),
            author=state["author"],
            commit=state["commit"],
            parent=None if route is None else route.live,
        )
        return judge_candidate(self._app, project, candidate).outcome

    def keep(self, state: dict[str, Any], judged: Verdict) -> Verdict:
        """Record what was judged elsewhere; returns it as it stands, by leave where there is one."""
        kept = self._by_leave(state, judged)
        self._record(state, kept)
        return kept

    def _keep(self, state: dict[str, Any], verdicts: list[Verdict]) -> str:
        kept = [self.keep(state, judged) for judged in verdicts]
        return ", ".join(f"{judged.gate} {judged.outcome}" for judged in kept)

    def _record(self, state: dict[str, Any], judged: Verdict) -> None:
        detail = {
            "gate": judged.gate,
            "outcome": judged.outcome,
            "reason": judged.reason,
            "verdict": judged.id,
            "build": state["build_id"],
            "evidence": digest_of(judged),
        }
        with self._store.transaction():
            if all(known.id != judged.id for known in self._store.evidence.verdicts(judged.subject_id)):
                self._store.audit.append(SYSTEM, "gate.judge", f"project:{state['project']}", detail)
            self._store.evidence.add_verdict(judged)

    def _by_leave(self, state: dict[str, Any], judged: Verdict) -> Verdict:
        """The verdict, let through if somebody else gave leave to deviate from this gate.

        What stands in for a live release that fails need not be better than anything.
        """
        if state.get("stands_in") and judged.gate in _OF_CANDIDATES:
            return reported(judged)
        if judged.outcome != "failed":
            return judged
        waiver = waiver_for(self._app, state["project"], f"gate:{judged.gate}", state["author"])
        return judged if waiver is None else waived(judged, waiver)

    def _subject(self, state: dict[str, Any]) -> str:
        return str(state.get("judged_id") or derived_id("release", state["build_id"]))

    def _now(self) -> Any:
        return self._app.clock.now()


Gate = tuple[str, Callable[[dict[str, Any]], str]]
"""Its name as a step, and what judges the state of a build."""


def judge_all(
    gating: Gating,
    step: Callable[..., Any],
    state: dict[str, Any],
    of_texts: Callable[[dict[str, Any]], Sequence[Gate]],
) -> dict[str, float]:
    """All gates that a model passes before it is proposed, each as a step; returns what was measured.

    Args:
        of_texts: instead of those that need a model's numbers, where answers are texts.
    """
    project = from_plain(Project, state["declared"])
    gates: tuple[Gate, ...] = (
        ("champion_gate", gating.champion),
        ("movement", gating.moved_model),
        ("artefact", gating.artefact),
        ("package", gating.package),
    )
    if project.task in GENERATIVE:
        gates = (*of_texts(state), ("artefact", gating.artefact))
    always: tuple[Gate, ...] = (("flight_check", gating.flight), ("compliance", gating.compliance))
    for name, gate in (("model_gate", gating.model), *gates, *always):
        step(name, gate, state)
    measured: dict[str, float] = step("metrics_gate", gating.metrics, state) if project.metrics else {}
    if project.fairness is not None:
        step("fairness", gating.fairness, state)
    return measured


def keep_contracts(app: App, folder: Path) -> dict[str, Any] | None:
    """What consumers rely on, as it stands in a project's folder; None where nobody has published anything.

    Raises:
        InvalidInput: a contract cannot be used.
    """
    files = contract_files(folder)
    read_contracts(files)
    return to_plain(app.store.artifacts.put(pack_files(files), CONTRACTS)) if files else None


def _package(run: Run) -> str:
    if run.package is None:
        raise UserError(f"Run {run.id} has no package. Its error: {run.error}")
    return run.package.digest


def _is_no_better(project: Project, run: Run, baseline: Run) -> bool:
    """Of texts: it is what is judged, though the simplest prompt is as good or better."""
    metric = project.gates.model.metric
    return project.task in GENERATIVE and run.metrics[metric] >= baseline.metrics.get(metric, inf)


def _owner(contract: Contract) -> str:
    return "" if contract.owner is None else f"{contract.owner.name}, {contract.owner.contact}"
