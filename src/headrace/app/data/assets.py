"""What other projects have that can be used again: their data, feature sets, pipelines and templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from headrace.app.composition import App
from headrace.app.data.reused import users_of
from headrace.app.overviews import reading
from headrace.checks.tasks import GENERATIVE
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.data.features import REUSED, feature_sets
from headrace.projects.expert_templates import ANSWERS, template_of
from headrace.projects.starters import STARTERS
from headrace.training.training_set import input_columns

Kind = Literal["dataset", "feature set", "pipeline", "template"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_MAX_WORDS = 20


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Something that can be used again.

    Attributes:
        name: ``PROJECT`` of a dataset, ``PROJECT/SET`` or ``PROJECT/VARIANT``; of a template where it is.
        project: whose it is; empty of what comes with Headrace.
        version: of a set or template, or the newest model that a pipeline has made; empty without one.
        contact: whom to ask.
        reuse: what to do to use it.
        used_by: projects that you may see and that take it over.
    """

    kind: Kind
    name: str
    project: str
    version: str
    owner: str
    contact: str
    text: str
    reuse: str
    used_by: tuple[str, ...] = ()


def assets(app: App, me: Principal, search: str = "", kind: Kind | None = None) -> list[Asset]:
    """All that ``me`` may see and in which every word of ``search`` occurs; by kind, then by name.

    Data and feature sets are those whose rows ``me`` may read: what is found can be used.

    Raises:
        InvalidInput: too many words.
    """
    words = search.casefold().split()
    if len(words) > _MAX_WORDS:
        raise InvalidInput(f"A search takes at most {_MAX_WORDS} words, got {len(words)}. Search for fewer.")
    seen = reading.projects(app, me)
    users: dict[str, list[str]] = {}
    for project in seen:
        for name in sorted(users_of(project)):
            users.setdefault(name, []).append(project.name)
    found = [*_built_in()]
    for project in seen:
        found += _pipelines(app, project)
        found += _template(app, project)
        if app.gatekeeper.allows(me, "data.read", f"project:{project.name}"):
            found += _data(project, users)
    chosen = [one for one in found if kind in (None, one.kind) and _matches(one, words)]
    return sorted(chosen, key=lambda one: (KINDS.index(one.kind), one.name))


def _data(project: Project, users: dict[str, list[str]]) -> Iterator[Asset]:
    owner, contact = project.owner.name, project.owner.contact
    yield Asset(
        kind="dataset", name=project.name, project=project.name, version="", owner=owner, contact=contact,
        text=project.data.documentation, reuse=f"headrace data rows {project.name}",
    )  # fmt: skip
    for one in feature_sets(project, input_columns(project)):
        if not one.columns or one.source.startswith(REUSED):
            continue  # what a project has taken over is found where it is from
        columns = ", ".join(f"{column.name} ({column.role})" for column in one.columns)
        joined = one.key is not None and one.time is not None
        yield Asset(
            kind="feature set", name=one.name, project=project.name, version=one.version,
            owner=one.owner.name, contact=one.owner.contact, text=f"{columns}. {one.documentation}",
            reuse=f"headrace features reuse {one.name}" if joined else "it needs a key and a time first",
            used_by=tuple(users.get(one.name, ())),
        )  # fmt: skip


def _pipelines(app: App, project: Project) -> Iterator[Asset]:
    made = {
        app.store.runs.get(one.run_id).variant: one.version for one in app.store.models.list(project.name)
    }
    for variant in project.variants:
        params = ", ".join(f"{name}={value}" for name, value in variant.params.items())
        made_by = variant.trainer if project.task in GENERATIVE else f"{variant.trainer}({params})"
        version = f"{project.name}@{made[variant.name]}" if variant.name in made else ""
        yield Asset(
            kind="pipeline", name=f"{project.name}/{variant.name}", project=project.name, version=version,
            owner=project.owner.name, contact=project.owner.contact,
            text=f"{project.task.replace('_', ' ')} by {made_by}, judged by {project.gates.model.metric}",
            reuse="headrace project to-template FOLDER, in its folder; then init NAME --template FOLDER",
        )  # fmt: skip


def _template(app: App, project: Project) -> Iterator[Asset]:
    folder = Path(app.store.projects.path(project.name))
    if not (folder / ANSWERS).is_file():
        return
    try:
        source, version = template_of(folder)
    except InvalidInput:
        return  # an upgrade of that project says what is wrong
    yield Asset(
        kind="template", name=source, project=project.name, version=version, owner=project.owner.name,
        contact=project.owner.contact, text=f"{project.task}; {project.name} was made from it",
        reuse=f"headrace init NAME --data FILE --target COLUMN --template {source}",
    )  # fmt: skip


def _built_in() -> Iterator[Asset]:
    for name, starter in STARTERS.items():
        yield Asset(
            kind="template", name=f"starter {name}", project="", version="", owner="Headrace", contact="",
            text=starter.what, reuse=f"headrace init NAME --starter {name}",
        )  # fmt: skip


def _matches(one: Asset, words: list[str]) -> bool:
    text = f"{one.kind} {one.name} {one.project} {one.version} {one.owner} {one.text}".casefold()
    return all(word in text for word in words)
