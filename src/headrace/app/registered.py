"""A version of MLflow's registry as bytes of ours, and as a variant of the project that it is for."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from headrace.app.composition import App
from headrace.core.data import Artifact
from headrace.core.errors import GateFailed, HeadraceError, InvalidInput
from headrace.core.ids import derived_id
from headrace.core.project import Project, Variant
from headrace.core.record import Finding
from headrace.training.registered import MEDIA_TYPE, TRAINER, pack_model

_log = logging.getLogger(__name__)
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


def fetch_registered(app: App, author: str, project: str, uri: str, scratch: Path) -> Artifact:
    """Keep the files of a registered version, once nothing speaks against ever loading them.

    Raises:
        GateFailed: something does; the audit log names it.
        Conflict, InvalidInput: there is no such version, or it is no model.
    """
    named = Named.parse(uri)
    folder = scratch / "registered"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        app.tracker.fetch(project, named.model, named.version, folder)
        return app.store.artifacts.put(pack_model(folder), MEDIA_TYPE)
    except GateFailed as error:
        detail = {"model": uri, "reason": str(error)[:1000]}
        app.store.audit.append(author, "artefact.refused", f"project:{project}", detail)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def say_what_became(app: App, build: Mapping[str, Any], release_id: str | None) -> None:
    """Say where people look whether a registered version has become a release: on it, and on the project.

    Args:
        build: the plain request of its build, with ``stopped``, why it ended, where it did.
    """
    named, reason = Named.parse(build["model_uri"]), str(build.get("stopped") or "")
    if release_id is None:
        now = app.clock.now()
        finding = Finding(
            id=derived_id("finding", build["build_id"]),
            project=build["project"],
            kind="registration",
            release_id="",
            title=f"{named.model} version {named.version} of MLflow became no release: {reason}"[:_LONGEST],
            window=(now, now),
            evidence={"model": build["model_uri"], "registered by": build["author"]},
            size=0.0,
            at=now,
        )
        app.store.findings.add(finding)
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
    named = Named.parse(uri)
    variant = Variant(name=f"mlflow-{named.model}-{named.version}", trainer=TRAINER, params={"model": uri})
    return replace(project, variants=(*project.variants[:1], variant))
