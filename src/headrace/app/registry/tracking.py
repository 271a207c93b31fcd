"""What people and programs may do with the team's MLflow: one question, asked before a request reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.app.composition import App
from headrace.core.errors import NotFound
from headrace.core.identity import Principal, Resource
from headrace.plugins.mlflow_database import artifact_folder
from headrace.plugins.mlflow_process import MlflowProcess

FOLLOWED_ALIASES = frozenset({"champion", "live", "production"})
"""Aliases that production follows, whatever their case. Only a release moves them."""
FOLLOWED_STAGES = frozenset({"production", "staging"})
"""The stages that aliases replaced; the same holds for them."""

Change = Literal["none", "alias", "stage", "rename", "delete", "delete_version", "prompt"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a request to MLflow wants.

    Attributes:
        writes: whether it changes anything.
        name: the registered model or experiment that it names, if any.
        change: what of the registered model it changes that production might follow; ``prompt``: whether
            MLflow takes it for a model.
        value: the alias, stage, new name or version that it changes it to.
    """

    writes: bool
    name: str | None = None
    change: Change = "none"
    value: str = ""


def mlflow_server(app: App) -> MlflowProcess | str:
    """The team's MLflow: the address of the server that they run, or one of ours that is not started yet."""
    settings = app.settings
    if settings.mlflow_url.startswith(("http://", "https://")):
        return settings.mlflow_url
    folder = artifact_folder(settings.mlflow_url)
    return MlflowProcess(settings.mlflow_url, folder, settings.environment, app.clock)


def admit(app: App, me: Principal, wish: Wish) -> None:
    """Return if ``me`` may have ``wish``.

    A model or experiment that is named like a project of the same workspace is that project's; everything
    else belongs to the workspace as a whole.

    Raises:
        Denied: it may not, or what it wants is for releases alone.
    """
    project = _project(app, me, wish.name)
    resource = Resource(kind="tracking", name=me.workspace, workspace=me.workspace)
    app.gatekeeper.require(
        me,
        "tracking.write" if wish.writes else "project.read",
        (project and f"project:{project}") or resource,
    )
    if _moves(app, me, wish, project):
        model = Resource(kind="model", name=wish.name or "", workspace=me.workspace)
        app.gatekeeper.require(me, "alias.move", model)


def _moves(app: App, me: Principal, wish: Wish, project: str | None) -> bool:
    """Whether ``wish`` changes, or takes away, what production follows."""
    value = wish.value.strip().casefold()
    match wish.change:
        case "none":
            return False
        case "alias":
            return value in FOLLOWED_ALIASES
        case "stage":
            return project is not None or value in FOLLOWED_STAGES
        case "rename":
            return project is not None or _project(app, me, wish.value) is not None
        case "delete" | "prompt":
            return project is not None
        case "delete_version":
            return project is not None and _ours(app, project, value)


def _ours(app: App, project: str, version: str) -> bool:
    """Whether a version is one of those that Headrace registered; a number that is none counts as one."""
    known = {model.registry_version for model in app.store.models.list(project)}
    return not version.isdecimal() or str(int(version)) in known


def _project(app: App, me: Principal, name: str | None) -> str | None:
    """The project of ``me``'s workspace that is called ``name``."""
    if not name:
        return None
    try:
        return name if app.store.projects.workspace(name) == me.workspace else None
    except NotFound:
        return None
