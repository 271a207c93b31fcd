"""The pages of a project, as the bar on each of them lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request

from headrace.app.composition import App
from headrace.checks.tasks import GENERATIVE
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.monitoring.ingest import predictions_table
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of


@dataclass(frozen=True, kw_only=True)
class Place:
    """A page of a project, and how much waits there for a person."""

    address: str
    name: str
    n_waiting: int = 0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The pages of a project for one reader."""

    project: str
    places: tuple[Place, ...]


def bar_of(request: Request, name: str) -> Bar:
    """What the reader may open of a project; the page that is asked for is always in it.

    Raises:
        NotFound: there is no such project.
    """
    app, me, asked = parts_of(request).app, principal_of(request.scope), request.url.path
    project = app.store.projects.get(name)
    waiting = {one.kind: one.n for one in app.store.backlog.waiting({name})}
    counts = {"drafts": waiting.get("draft", 0), "handoffs": waiting.get("handoff", 0)}
    places = []
    for path, title, is_theirs in _places(app, me, project):
        address = f"/projects/{name}/{path}" if path else f"/projects/{name}"
        if is_theirs or address == asked:
            places.append(Place(address=address, name=title, n_waiting=counts.get(path, 0)))
    return Bar(project=name, places=tuple(places))


def _places(app: App, me: Principal, project: Project) -> Iterator[tuple[str, str, bool]]:
    """Path and name of each page, and whether ``me`` finds anything there."""
    allows, resource = app.gatekeeper.allows, f"project:{project.name}"
    reads, texts = allows(me, "data.read", resource), project.task in GENERATIVE
    decides = texts and (reads or allows(me, "draft.decide", resource))
    yield "", "Project", True
    yield "readiness", "Readiness", True
    yield "answers", "Answers", reads and _has_answered(app, project.name)
    yield "traces", "Traces", allows(me, "trace.read", resource)
    yield "labelling", "Labelling", reads
    yield "drafts", "Drafts", decides
    yield "handoffs", "Hand-offs", decides
    yield "prompts", "Prompts", texts
    yield "budgets", "Budgets", texts
    yield "guards", "Guards", texts


def _has_answered(app: App, name: str) -> bool:
    """Whether releases of ours have answered: of what answers elsewhere no inputs are on record."""
    store = app.store
    if store.rollouts.route(name) is None and store.releases.list(name, state="external"):
        return False
    return store.events.count(predictions_table(name)) > 0
