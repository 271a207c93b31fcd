"""Whom to call about a project, a model or an agent."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal


@dataclass(frozen=True, kw_only=True)
class Accountable:
    """The person who answers for ``of``, and where to reach them."""

    of: str
    name: str
    contact: str


def accountable(app: App, principal: Principal, of: str) -> Accountable:
    """Who answers for ``project:NAME``, ``model:NAME@VERSION`` or ``agent:NAME`` (``service:NAME``).

    A model's person is the one whom its release names; before there is one, its project's. An agent's is its
    owner, a person known here, reached through the name they sign in by.

    Raises:
        NotFound: there is no such thing, or nobody answers for it.
        InvalidInput: it is none of these kinds.
    """
    kind, _, rest = of.partition(":")
    name, _, version = rest.partition("@")
    if kind in ("project", "model"):
        app.gatekeeper.require(principal, "project.read", f"project:{name}")
        return _of_project(app, of, name, version if kind == "model" else "")
    if kind in ("agent", "service"):
        app.gatekeeper.require(principal, "project.read", f"principal:{name}")
        found = app.store.principals.get(name)
        if found.owner is None:
            raise NotFound(
                f"Nobody answers for {of!r}. Somebody with the role admin can name an owner; until then, "
                "freeze it."
            )
        return Accountable(of=of, name=found.owner, contact=found.owner)
    raise InvalidInput(
        f"{of!r} is of no known kind. Expected project:NAME, model:NAME@VERSION or agent:NAME."
    )


def _of_project(app: App, of: str, name: str, version: str) -> Accountable:
    project = app.store.projects.get(name)
    if version:
        if not version.isdigit():
            raise NotFound(f"There is no {of!r}. Versions are numbers, such as model:{name}@1.")
        run_id = app.store.models.get(name, int(version)).run_id
        for release in app.store.releases.list(name):
            if release.manifest.run_id == run_id:
                return Accountable(of=of, name=release.manifest.owner, contact=release.manifest.contact)
    return Accountable(of=of, name=project.owner.name, contact=project.owner.contact)
