"""Feature sets of other projects: read from their snapshots, within the rights of whoever builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.access.privacy.fields import stated_basis
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.canonical import plain
from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ports import Columns
from headrace.core.project import FeatureSpec, Project
from headrace.data.features import OWN, REUSED, FeatureSet, feature_sets
from headrace.data.snapshots import archive_columns, load_snapshot, snapshots_of
from headrace.releases.manifest import parent_of
from headrace.training.training_set import input_columns


class Reused(NamedTuple):
    """Rows of another project's set, their archived bytes, and which snapshot of whose they are."""

    columns: Columns
    raw: Artifact
    source: str


class Offer(NamedTuple):
    """What to write into a charter to take a set over: the columns, and the set itself."""

    columns: list[dict[str, str]]
    feature: dict[str, object]


def reuse(app: App, author: str, project: Project, spec: FeatureSpec) -> Reused:
    """The newest rows of the set that ``spec.source`` names; that they were read, and for what, is in the
    audit log.

    Args:
        author: who asks. A machine, such as a trigger, reads what the live release says that it reads, with
            the rights of the person who made that.

    Raises:
        NotFound: there is no such project or set, or nothing of it was snapshotted yet.
        Denied: the author may not read its data.
        InvalidInput: it names the project itself, or its data is about people and this project says not.
    """
    origin, name = parted(spec.source)
    if origin == project.name:
        raise InvalidInput(f"{spec.source!r} is a set of this project. Name its file as the source.")
    reader = _reader(app, author, project.name, spec)
    app.gatekeeper.require(reader, "data.read", f"project:{origin}")
    theirs = app.access.charters.in_force(app.store.projects.get(origin).name)
    stated_basis(theirs.privacy, origin)
    if theirs.privacy.basis != "not_personal" and project.privacy.basis == "not_personal":
        raise InvalidInput(
            f"{spec.source!r} is about people ({theirs.privacy.basis}), and {project.name!r} says that its "
            "data is not. State in privacy.basis why it may use them."
        )
    snapshot = _newest(app, theirs, name)
    detail = {"snapshot": snapshot.id, "rows": snapshot.n_rows, "reused_by": project.name, "set": name}
    app.store.audit.append(reader.name, "data.read", f"project:{origin}", detail)
    loaded, wanted = load_snapshot(snapshot, app.store.tables), _read_by(spec)
    columns = {name: values for name, values in loaded.items() if name in wanted}
    raw = archive_columns(columns, app.store.artifacts)
    return Reused(columns, raw, f"{spec.source} (snapshot {snapshot.id} of {origin})")


def offer(app: App, me: Principal, reference: str) -> Offer:
    """What a charter has to say to take over ``PROJECT/SET``.

    Raises:
        NotFound: there is no such project or set.
        Denied: ``me`` may not read its data.
        InvalidInput: it has no time or no key to be joined by.
    """
    origin, name = parted(reference if reference.startswith(REUSED) else f"{REUSED}{reference}")
    app.gatekeeper.require(me, "data.read", f"project:{origin}")
    found = _set(reading.project(app, me, origin), name)
    if found.key is None or found.time is None:
        raise InvalidInput(
            f"{found.name!r} has no {'key' if found.key is None else 'time'} that its rows could be joined "
            f"by. Ask {found.owner.name} ({found.owner.contact}) to declare it."
        )
    feature: dict[str, object] = {
        "name": f"{origin}-{name}",
        "source": f"{REUSED}{found.name}",
        "columns": [column.name for column in found.columns],
        "key": found.key,
        "time": found.time,
        "known": found.known,
        "owner": plain(found.owner),
        "documentation": f"of the project {origin}, as version {found.version}: {found.documentation}",
    }
    why = f"from {found.name}"
    columns = [
        {"name": one.name, "role": one.role, "why": f"{one.why}; {why}" if one.why else why}
        for one in found.columns
    ]
    return Offer(columns, {key: value for key, value in feature.items() if value is not None})


def users_of(project: Project) -> set[str]:
    """The sets of others, such as ``flights/weather``, that a project takes over."""
    return {one.source.removeprefix(REUSED) for one in project.data.features if one.source.startswith(REUSED)}


def parted(source: str) -> tuple[str, str]:
    """Project and set that ``project:NAME/SET`` names."""
    origin, _, name = source.removeprefix(REUSED).partition("/")
    if not origin or not name:
        raise InvalidInput(
            f"{source!r} names no set of another project. Expected {REUSED}PROJECT/SET, such as "
            f"{REUSED}flights/weather; 'headrace project assets' lists them."
        )
    return origin, name


def _set(project: Project, name: str) -> FeatureSet:
    sets = {one.name.partition("/")[2]: one for one in feature_sets(project, input_columns(project))}
    if name not in sets:
        raise NotFound(f"Project {project.name!r} has no feature set {name!r} (has: {', '.join(sets)}).")
    return sets[name]


def _newest(app: App, origin: Project, name: str) -> Snapshot:
    _set(origin, name)
    taken = snapshots_of(app.store.snapshots, origin.name, name)
    if not taken and name == OWN:  # a project whose inputs all are in its own table
        taken = snapshots_of(app.store.snapshots, origin.name)
    if not taken:
        raise NotFound(
            f"Nothing of '{origin.name}/{name}' was snapshotted yet. Have {origin.name!r} built first."
        )
    return taken[-1]


def _read_by(spec: FeatureSpec) -> set[str]:
    """The columns of the set that are needed; no others are copied."""
    return {*spec.columns, spec.key, spec.time, spec.known or spec.time}


def _reader(app: App, author: str, project: str, spec: FeatureSpec) -> Principal:
    if app.store.principals.find(author) is not None:
        return app.identities.resolve(author)
    live = app.access.charters.live(project) if ":" in author else None
    named = () if live is None else live.data.features
    if any(one.source == spec.source and _read_by(spec) <= _read_by(one) for one in named):
        for name in _makers(app, project):
            if app.store.principals.find(name) is not None:
                return app.identities.resolve(name)
    raise Denied(
        f"{author!r} may not read {spec.source!r}: it has no rights of its own, and the live release of "
        f"{project!r} does not read these columns of it. Build it by hand, and have that approved."
    )


def _makers(app: App, project: str) -> Iterator[str]:
    """Who made the live release, and then each that it came after: a retraining follows a person's."""
    route = app.store.rollouts.route(project)
    release = None if route is None else app.store.releases.get(route.live)
    while release is not None:
        yield release.author
        release = parent_of(app.store.releases, release.manifest)
