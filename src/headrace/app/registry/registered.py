"""A model that was made elsewhere as bytes of ours, and as a variant of the project that it is for."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from headrace.app.composition import App
from headrace.core.data import Artifact
from headrace.core.errors import GateFailed, HeadraceError, InvalidInput, NotFound
from headrace.core.ids import derived_id
from headrace.core.project import Project, Variant
from headrace.core.record import Finding
from headrace.training.registered import MEDIA_TYPE, TRAINER, pack_model

_log = logging.getLogger(__name__)
_BROUGHT = "folder:/"
_LONGEST = 300


class Named(NamedTuple):
    """A version in the registry."""

    model: str
    version: str

    @classmethod
    def parse(cls, uri: str) -> Named:
        """Read ``models:/NAME/VERSION``.

        >>> Named.parse("models:/cars/3")
        Named(model='cars', version='3')

        Raises:
            InvalidInput: it has another form.
        """
        kind, _, rest = uri.partition(":/")
        model, _, version = rest.rpartition("/")
        if kind != "models" or not model or "/" in model or not version.isdecimal():
            raise InvalidInput(
                f"The model is {uri[:120]!r}. Expected models:/NAME/VERSION, such as models:/cars/3."
            )
        return cls(model, version)


class Brought(NamedTuple):
    """A folder that somebody brought, kept under its digest."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{_BROUGHT}{self.name}/{self.digest}"

    @classmethod
    def find(cls, uri: str) -> Brought | None:
        """Read what ``str`` wrote; None for what is something else."""
        if not uri.startswith(_BROUGHT):
            return None
        name, _, digest = uri.removeprefix(_BROUGHT).rpartition("/")
        return cls(name, digest)


def keep_folder(app: App, author: str, project: str, folder: Path) -> Brought:
    """Keep the files of a model's folder, once nothing speaks against ever loading them.

    Raises:
        NotFound: there is no such folder.
        GateFailed: something speaks against it; the audit log names it.
        InvalidInput: it is no model of MLflow or MLServer.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}. Give that of a model, or models:/NAME/VERSION.")
    kept = _kept(app, author, project, folder, str(folder))
    return Brought(folder.resolve().name, kept.digest)


def fetch_registered(app: App, author: str, project: str, uri: str, scratch: Path) -> Artifact:
    """Keep the files of a registered version, or find those of a folder that was brought.

    Raises:
        GateFailed: something does; the audit log names it.
        Conflict, InvalidInput: there is no such version, or it is no model.
    """
    brought = Brought.find(uri)
    if brought is not None:
        path = app.store.artifacts.path(brought.digest)
        return Artifact(digest=brought.digest, size_bytes=path.stat().st_size, media_type=MEDIA_TYPE)
    named = Named.parse(uri)
    folder = scratch / "registered"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        app.tracker.fetch(project, named.model, named.version, folder)
        return _kept(app, author, project, folder, uri)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(app: App, author: str, project: str, folder: Path, what: str) -> Artifact:
    try:
        return app.store.artifacts.put(pack_model(folder), MEDIA_TYPE)
    except GateFailed as error:
        detail = {"model": what, "reason": str(error)[:1000]}
        app.store.audit.append(author, "artefact.refused", f"project:{project}", detail)
        raise


def say_what_became(app: App, build: Mapping[str, Any], release_id: str | None) -> None:
    """Say where people look whether a model that was brought has become a release: on the project, and on
    the version, where MLflow has it.

    Args:
        build: the plain request of its build, with ``stopped``, why it ended, where it did.
    """
    reason, brought = str(build.get("stopped") or ""), Brought.find(build["model_uri"])
    named = None if brought else Named.parse(build["model_uri"])
    what = (
        f"{named.model} version {named.version} of MLflow"
        if named
        else f"The folder {brought and brought.name}"
    )
    if release_id is None:
        now = app.clock.now()
        finding = Finding(
            id=derived_id("finding", build["build_id"]),
            project=build["project"],
            kind="registration",
            release_id="",
            title=f"{what} became no release: {reason}"[:_LONGEST],
            window=(now, now),
            evidence={"model": build["model_uri"], "registered by": build["author"]},
            size=0.0,
            at=now,
        )
        app.store.findings.add(finding)
    if named is None:
        return
    tags = {
        "headrace.release": release_id or "none",
        "headrace.reason": reason or "handed over to its release",
    }
    try:
        app.tracker.annotate(build["project"], named.model, named.version, tags)
    except HeadraceError as error:
        # The record is ours; what MLflow shows is a convenience, and it may be MLflow that failed.
        _log.warning("%s is not marked in MLflow: %s", build["model_uri"], error)


def as_candidate(project: Project, uri: str) -> Project:
    """The project with the registered model as the only variant beside the simplest one, its yardstick."""
    brought = Brought.find(uri)
    if brought is not None:
        name = f"folder-{brought.digest[:12]}"
    else:
        name = "mlflow-" + "-".join(Named.parse(uri))
    variant = Variant(name=name, trainer=TRAINER, params={"model": uri})
    return replace(project, variants=(*project.variants[:1], variant))
