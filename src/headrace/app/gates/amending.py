"""A release of the model that is live under other settings: what its steps need, and where it begins."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from headrace.access.privacy.charters import SETTINGS
from headrace.app.composition import App
from headrace.app.gates.gating import keep_contracts
from headrace.core.data import Artifact
from headrace.core.errors import Conflict
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.gateway.llm.pins import guard_pins, is_pinned
from headrace.gateway.prompts import MEDIA_TYPE as PROMPT
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import guards_personal
from headrace.releases.manifest import amend
from headrace.store.documents import from_plain, to_plain
from headrace.training import lock
from headrace.training.pipeline import recipe_of

_RELEASED = (*SETTINGS, "owner", "team", "tags", "governance", "privacy", "deployment", "intake")
"""What such a release takes from ``headrace.yaml``; how the model was made stays as it was."""


class Amending:
    """Steps of a build that trains nothing; each can be repeated without another effect."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._store = app.store

    def archive(self, request: dict[str, Any]) -> dict[str, Any]:
        """The declared settings, and all that the live model was made from.

        Raises:
            Conflict: nothing is live whose settings could be changed; the gate's metric was not measured.
        """
        live = amendable(self._app, request["project"])
        run = self._store.runs.get(live.manifest.run_id)
        project = amended(recipe_of(self._store, run).project, self._store.projects.get(request["project"]))
        _require_measured(project, run.metrics)
        same_build = self._store.runs.list(project.name, build_id=run.build_id)
        baseline = next((one for one in same_build if one.variant == project.variants[0].name), run)
        code = lock.with_charter(live.manifest.code, Path(request["folder"]), self._store.artifacts)
        return {
            "declared": to_plain(project),
            "live": live.id,
            "code": to_plain(code),
            "commit": _commit(live, code),
            "contracts": keep_contracts(self._app, Path(request["folder"])),
            "snapshot_id": run.snapshot_id,
            "judged_id": derived_id("release", request["build_id"]),
            "run_id": run.id,
            "version": live.manifest.subject.ref.rpartition("@")[2],
            "baseline": baseline.id == run.id,
            "baseline_run_id": baseline.id,
            "arrivals": [],
            "release_id": None,
            "stopped": None,
        }

    def release(self, state: dict[str, Any]) -> dict[str, Any]:
        """Propose it."""
        live, project = self._store.releases.get(state["live"]), from_plain(Project, state["declared"])
        release = amend(
            live,
            project,
            from_plain(Artifact, state["code"]),
            commit=state["commit"],
            build_id=state["build_id"],
            author=state["author"],
            cause=state["cause"],
            at=self._app.clock.now(),
            contracts=from_plain(Artifact, state["contracts"]) if state.get("contracts") else None,
            measured=state["measured"],
            pins=self._pins(live, project),
        )
        return {"release_id": put_up(self._app, release).id}

    def _pins(self, live: Release, project: Project) -> dict[str, str]:
        """Settings say whether data is about people, and so which guards a prompt has by default."""
        package = live.manifest.subject.package
        if package.media_type != PROMPT or not is_pinned(live.manifest.params):
            return {}
        prompt = Prompt.from_bytes(self._store.artifacts.get(package.digest))
        return guard_pins(prompt, personal=guards_personal(project))


def put_up(app: App, release: Release) -> Release:
    """Sign a release and propose it, once."""
    manifest = release.manifest
    release = replace(release, signature=app.access.signatures.sign(release))
    detail = {"digest": release.digest, "run": manifest.run_id, "cause": manifest.cause}
    with app.store.transaction():
        if all(known.id != release.id for known in app.store.releases.list(release.project)):
            app.store.audit.append(release.author, "release.propose", f"release:{release.id}", detail)
        return app.store.releases.add(release)


def amendable(app: App, project: str) -> Release:
    """The live release, if its settings can be changed without making a model.

    Raises:
        Conflict: nothing is live, it answers elsewhere, or what answers is a fallback.
    """
    route = app.store.rollouts.route(project)
    if route is None:
        raise Conflict(f"Nothing of {project!r} is live whose settings could be changed. Run 'headrace run'.")
    live = app.store.releases.get(route.live)
    if route.stands_in or live.state == "external":
        why = "is a fallback that stands in" if route.stands_in else "answers elsewhere"
        raise Conflict(f"What is live of {project!r} {why}. Run 'headrace run' instead.")
    return live


def amended(made: Project, declared: Project) -> Project:
    """The project that the live model was ``made`` from, with what ``declared`` says of everything else."""
    changes = {one.name: getattr(declared, one.name) for one in fields(Project) if one.name in _RELEASED}
    return replace(made, **changes)


def _commit(live: Release, code: Artifact) -> str | None:
    """The commit of the live release; with another charter the code is not that of any commit."""
    commit = live.manifest.commit
    if commit is None or code.digest == live.manifest.code.digest:
        return commit
    return f"{commit.removesuffix(lock.CHANGES)}{lock.CHANGES}"


def _require_measured(project: Project, measured: dict[str, float]) -> None:
    metric = project.gates.model.metric
    if metric not in measured:
        raise Conflict(
            f"gates.model.metric is {metric!r}, which the live model was not trained for (has: "
            f"{', '.join(sorted(measured))}). Run 'headrace run': it trains one that is."
        )
