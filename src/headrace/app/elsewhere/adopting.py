"""A model that was made elsewhere becomes a candidate: a version of MLflow's registry, or a folder."""

from __future__ import annotations

from pathlib import Path

from headrace.app.build import BuildRequest
from headrace.app.composition import App
from headrace.app.durable import Durable
from headrace.app.registry.registered import Named, keep_folder
from headrace.app.workflows import Workflows
from headrace.core.errors import Denied, NotFound
from headrace.core.identity import Principal
from headrace.store.documents import to_plain


def adopt(app: App, work: Workflows, me: Principal, project: str, uri: str) -> str:
    """Start the release of ``models:/NAME/VERSION`` as a candidate of ``project``; returns the build's id.

    The build fetches the model, evaluates it on the project's test rows, and hands it to a person. Asking for
    the same version again starts nothing new, unless the build before has ended without a release.

    Raises:
        Denied: ``me`` may not build the project.
        NotFound: there is no such project, or its folder is gone.
    """
    named = Named.parse(uri)
    app.gatekeeper.require(me, "project.run", f"project:{project}")
    cause = f"registered in MLflow: {named.model} version {named.version}"
    build_id = f"build:{project}:mlflow:{named.model}:{named.version}"
    return _started(app, work, me, project, uri, build_id=build_id, cause=cause)


def adopt_folder(app: App, work: Workflows, me: Principal, project: str, folder: Path) -> str:
    """As :func:`adopt`, for a folder on this machine that MLflow 2 or 3 has written or MLServer serves.

    Raises:
        Denied: ``me`` may not build the project.
        NotFound: there is no such project or folder.
        GateFailed: something speaks against ever loading it.
        InvalidInput: it is no such folder.
    """
    app.gatekeeper.require(me, "project.run", f"project:{project}")
    app.store.projects.path(project)
    brought = keep_folder(app, me.name, project, folder)
    build_id = f"build:{project}:folder:{brought.digest[:16]}"
    cause = f"brought as a folder: {brought.name}"
    return _started(app, work, me, project, str(brought), build_id=build_id, cause=cause)


def _started(
    app: App, work: Workflows, me: Principal, project: str, uri: str, *, build_id: str, cause: str
) -> str:
    folder = app.store.projects.path(project)
    if not Path(folder).is_dir():
        raise NotFound(f"The folder of {project!r}, {folder}, is gone. Run 'headrace run' where it is now.")
    build_id, absent = _attempt(work.durable, build_id)
    if not absent:
        return build_id
    request = BuildRequest(
        build_id=build_id,
        folder=folder,
        project=project,
        author=me.name,
        cause=cause,
        model_uri=uri,
    )
    started = {"cause": request.cause, "model": uri}
    app.store.audit.append(me.name, "build.start", f"project:{project}", started)
    work.durable.start("build", build_id, to_plain(request))
    return build_id


def _attempt(durable: Durable, first: str) -> tuple[str, bool]:
    """The attempt that counts, and whether it is still to be started: the one after the last that failed."""
    build_id, number = first, 1
    while True:
        status = durable.status(build_id)
        if status == "absent":
            return build_id, True
        if status == "unfinished" or (status == "finished" and durable.result(build_id)["release_id"]):
            return build_id, False
        number += 1
        build_id = f"{first}.{number}"


def registered(app: App, work: Workflows, me: Principal, model: str, version: str) -> tuple[str, str]:
    """What follows from a version that ``me`` has just registered: a release, where the model is a project's.

    Returns:
        ``("build", its id)``, or ``("note", why nothing was started)``; the version is registered anyway.
    """
    try:
        if app.store.projects.workspace(model) != me.workspace:
            return "note", f"kept in the registry: no project is called {model}"
        return "build", adopt(app, work, me, model, f"models:/{model}/{version}")
    except NotFound as error:
        return "note", f"kept in the registry, no release was started: {error}"
    except Denied as error:
        return "note", f"registered, but no release was started: {error}"
