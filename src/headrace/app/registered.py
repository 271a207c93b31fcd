"""A version of MLflow's registry as bytes of ours, and as a variant of the project that it is for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from headrace.app.composition import App
from headrace.core.data import Artifact
from headrace.core.errors import GateFailed, InvalidInput
from headrace.core.project import Project, Variant
from headrace.training.registered import MEDIA_TYPE, TRAINER, pack_model


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


def as_candidate(project: Project, uri: str) -> Project:
    """The project with the registered model as the only variant beside the simplest one, its yardstick."""
    named = Named.parse(uri)
    variant = Variant(name=f"mlflow-{named.model}-{named.version}", trainer=TRAINER, params={"model": uri})
    return replace(project, variants=(*project.variants[:1], variant))
