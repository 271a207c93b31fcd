"""Lessons of templates, offered to every project that was made from one and has not taken them up yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.app.governance import incidents
from headrace.app.overviews import reading
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.projects.blueprints import Blueprint, make_blueprint
from headrace.projects.charter import load_project
from headrace.projects.expert_templates import ANSWERS, template_of
from headrace.projects.lessons import Incidence, Lesson, lessons_of, number_of


@dataclass(frozen=True, kw_only=True)
class Offered:
    """Lessons that a project has not taken up.

    Attributes:
        version: of the template that it has; the lessons came with later ones.
    """

    project: str
    owner: str
    contact: str
    template: str
    version: str
    lessons: tuple[Lesson, ...]


def publish_lesson(
    app: App, me: Principal, folder: Path, template: Path, *, incident: str, learnt: str
) -> Blueprint:
    """Publish the project in ``folder`` as the next version of its template, which brings a new check.

    Args:
        incident: an alert on the project's model, or an incident about an identity, by its id or how that
            begins.
        learnt: what follows from it, in a sentence.

    Raises:
        Denied: ``me`` may not build the project.
        NotFound: there is no such alert or incident.
        InvalidInput: the project brings no new check, or cannot become a template.
        Conflict: something is not committed.
    """
    project = load_project(folder)
    app.gatekeeper.require(me, "project.run", f"project:{project.name}")
    found = Incidence(learnt=learnt, **_happened(app, me, project.name, incident))
    made = make_blueprint(folder, template, lesson=found)
    detail = {
        "template": str(template),
        "version": made.version,
        "incident": found.incident,
        "learnt": learnt,
    }
    app.store.audit.append(me.name, "template.lesson", f"project:{project.name}", detail)
    return made


def lessons_offered(app: App, me: Principal) -> list[Offered]:
    """Every project that ``me`` may see and that could take up a lesson, by name.

    Templates are looked at where they are: in a folder of this machine; of those at an address of git the
    project says the version, and nothing else is known.
    """
    found = (offered_to(app, project) for project in reading.projects(app, me))
    return sorted((one for one in found if one is not None), key=lambda one: one.project)


def offered_to(app: App, project: Project) -> Offered | None:
    """What one project could take up; None where there is nothing, or where what says so cannot be read."""
    folder = Path(app.store.projects.path(project.name))
    if not (folder / ANSWERS).is_file():
        return None
    try:
        source, version = template_of(folder)
        found = lessons_of(place) if (place := folder / source).is_dir() else []
    except InvalidInput:
        return None  # a broken file of one project is no reason to show nothing of any; an upgrade names it
    has = number_of(version)
    later = tuple(one for one in found if number_of(one.version) > has)
    if not later:
        return None
    return Offered(
        project=project.name,
        owner=project.owner.name,
        contact=project.owner.contact,
        template=source,
        version=version,
        lessons=later,
    )


def _happened(app: App, me: Principal, project: str, wanted: str) -> dict[str, str]:
    """The id and the title of what happened: an alert on the model, or an incident."""
    findings = {one.id: one for one in reading.findings(app, me, project)}
    how = f"headrace monitor alerts {project}"
    try:
        alert = find_one(
            reading.alerts(app, me, project), wanted, lambda one: (one.id,), what="alert", how=how
        )
        return {"incident": alert.id, "happened": findings[alert.finding_id].title}
    except NotFound as error:
        try:
            raised = incidents.incident(app, me, wanted)
        except (NotFound, Denied):
            raise error from None
        return {"incident": raised.id, "happened": raised.title}
