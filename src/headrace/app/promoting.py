"""A release goes from one installation to the next, as it is: nothing is trained, and its digest stays.

Everything that the release names leaves in one signed bundle. The next installation verifies all of it before
it keeps anything, keeps the parts by content and the records in one transaction, judges what depends on the
place, and has its own people decide.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from headrace.app.compliance import require_project
from headrace.app.composition import App
from headrace.app.gates.gating import CONTRACTS
from headrace.app.operations import declared, find_release, make_known
from headrace.app.workflows import Workflows
from headrace.checks.artefacts import require_safe, scan
from headrace.core.data import Artifact, Run, Snapshot
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.release import Release
from headrace.data.frames import content_digest
from headrace.data.snapshots import take_snapshot
from headrace.data.sources import read_file
from headrace.releases.bundle import Bundle, BundleReader, Told, named_parts, read_bundle, write_bundle
from headrace.releases.promotion import LEAVES, promoted_gate
from headrace.store.disk import make_folder
from headrace.store.documents import to_plain
from headrace.training.features import FeatureStore
from headrace.training.lock import unpack_code
from headrace.training.pipeline import recipe_of
from headrace.training.rooms import own_folder
from headrace.training.training_set import load_training_set

_FOLDER = "promoted"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A release that has left; ``index`` is the digest of the bundle's index, ``key`` signed it."""

    release: str
    digest: str
    index: str
    key: str
    parts: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A release that was brought here; ``new``: by this import."""

    release: Release
    new: bool


def bundle_of(app: App, me: Principal, text: str) -> Bundle:
    """Everything that a release names; of a project the release that is live.

    Args:
        text: the release's id, or the first letters of it, or a project's name.

    Raises:
        NotFound: there is no such release, or something of it is not kept any more.
        Conflict: it was not approved here, is not what was signed, or rows that it has learnt were erased.
    """
    release = _named(app, me, text)
    app.gatekeeper.require(me, "data.read", f"project:{release.project}")
    manifest = release.manifest
    if release.state not in LEAVES or manifest.charter is None:
        raise Conflict(
            f"Release {release.id} is {release.state.replace('_', ' ')}: only what was approved here goes to "
            "another installation. Have it approved first: headrace release approve."
        )
    app.signed.package(release)
    run = app.store.runs.get(manifest.run_id)
    snapshot = app.store.snapshots.get(run.snapshot_id)
    if snapshot.n_erased:
        raise Conflict(
            f"Release {release.id} cannot leave: {snapshot.n_erased} of the {snapshot.n_rows} rows that it "
            "has learnt were erased since. Build a new one with 'headrace run'."
        )
    model = next(one for one in app.store.models.list(release.project) if one.run_id == run.id)
    bundle = Bundle(
        release=release,
        model=replace(model, registry_version=None),
        runs=tuple(replace(one, tracking_id=None) for one in _runs(app, run)),
        snapshot=snapshot,
        verdicts=tuple(app.store.evidence.verdicts(release.id)),
        approvals=tuple(app.store.evidence.approvals(release.id)),
        parts=(),
    )
    parts = {one.digest: one for one in (*named_parts(bundle), *_inner_parts(app, bundle))}
    return replace(bundle, parts=tuple(parts[digest] for digest in sorted(parts)))


def export_release(
    app: App, me: Principal, bundle: Bundle, file: IO[bytes], told: Told = lambda _: None
) -> Exported:
    """Write what :func:`bundle_of` found, signed by this installation's key; who takes it is on record."""
    release, signatures = bundle.release, app.access.signatures
    detail = {"digest": release.digest, "parts": len(bundle.parts), "bytes": bundle.size_bytes}
    app.store.audit.append(me.name, "release.export", f"release:{release.id}", detail)
    index = write_bundle(file, bundle, part=app.store.artifacts.path, sign=signatures.sign_bundle, told=told)
    return Exported(
        release=release.id,
        digest=release.digest,
        index=index,
        key=next(key.name for key in signatures.public_keys() if key.signs),
        parts=len(bundle.parts),
        size_bytes=bundle.size_bytes,
    )


def _named(app: App, me: Principal, text: str) -> Release:
    route = app.store.rollouts.route(text)
    return find_release(app, me, text if route is None else route.live)


def _runs(app: App, run: Run) -> list[Run]:
    """The run and the baseline of its build: the model gate asks both."""
    first = recipe_of(app.store, run).project.variants[0].name
    build = app.store.runs.list(run.project, build_id=run.build_id)
    return [run, *(one for one in build if one.variant == first and one.id != run.id)]


def _inner_parts(app: App, bundle: Bundle) -> Iterator[Artifact]:
    """What is named inside of parts: recipes, training sets, feature sets, contracts."""
    for run in bundle.runs:
        recipe = recipe_of(app.store, run)
        made = load_training_set(app.store.artifacts, recipe.training_set.digest)
        yield from (recipe.training_set, made.view.encoding, made.split, made.row_hashes)
        yield from () if recipe.model is None else (recipe.model,)
        for version in made.features:
            yield version.kept
            yield FeatureStore(app.store.artifacts).get(version).profile
    for check in bundle.release.manifest.checks:
        if check.name == "contract":
            digest = str(check.limit["contracts"])
            size_bytes = app.store.artifacts.path(digest).stat().st_size
            yield Artifact(digest=digest, size_bytes=size_bytes, media_type=CONTRACTS)


def import_release(
    app: App, work: Workflows, me: Principal, file: Path, told: Told = lambda _: None
) -> Arrived:
    """Bring a release here from the bundle in ``file``: verified whole, then kept, then judged here.

    Doing it again changes nothing and completes what was interrupted.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is no bundle, or is damaged.
        Conflict: no key that is trusted here has signed it; its id, version or rows are others here.
        Denied: ``me`` may not run the project.
        GateFailed: the package holds what runs when it is loaded, or the project does not keep the rules.
    """
    app.gatekeeper.require(me, "project.read", f"artefact:{file.name}")
    if not file.is_file():
        raise NotFound(
            f"There is no file {file}. Make one with 'headrace release export', where it comes from."
        )
    try:
        with (
            read_bundle(file, lambda signature, digest: _verified(app, signature, digest)) as reader,
            own_folder(app.settings.home / "scratch", "bundle-") as scratch,
        ):
            return _brought(app, work, me, reader, scratch, told)
    except (Conflict, InvalidInput) as error:
        detail = {"reason": str(error)}
        app.store.audit.append(me.name, "bundle.refused", f"artefact:{file.name}", detail)
        raise


def _verified(app: App, signature: str, digest: str) -> str:
    try:
        return app.access.signatures.verify_bundle(signature, digest)
    except Conflict as error:
        raise Conflict(
            f"Nothing was kept of the bundle: {error}. If it comes from a stage of yours, print its public "
            "key there by 'headrace release keys show', and trust it here: headrace release keys trust FILE."
        ) from error


def _brought(
    app: App, work: Workflows, me: Principal, reader: BundleReader, scratch: Path, told: Told
) -> Arrived:
    bundle = reader.bundle
    release = bundle.release
    if release.manifest.charter is None:
        raise InvalidInput(f"The bundled release {release.id} carries no charter.")
    app.gatekeeper.require(me, "project.run", declared(app, me, release.project))
    reader.extract(scratch, told)
    _check_parts(app, bundle, scratch)
    known = _known(app, release)
    if known is None:
        folder = _code_folder(app, release, scratch)
        project = make_known(app, me, release.manifest.charter, _path(app, release.project, folder))
        require_project(app, me, project)
        for part in bundle.parts:
            app.store.artifacts.put_file(scratch / part.digest, part.media_type)
        _take_rows(app, me, bundle, scratch)
        known = _record(app, me, reader)
        new = True
    else:
        app.gatekeeper.require(me, "project.run", f"project:{release.project}")
        new = False
    work.durable.start("promote", f"promote:{release.id}", _state(bundle))
    return Arrived(release=known, new=new)


def _check_parts(app: App, bundle: Bundle, scratch: Path) -> None:
    """Whatever could not be used here is found before anything is kept."""
    manifest, snapshot = bundle.release.manifest, bundle.snapshot
    if bundle.release.state not in LEAVES:
        raise Conflict(f"Release {bundle.release.id} was not approved where it comes from.")
    require_safe(scan(scratch / manifest.subject.package.digest), "The package")
    rows = read_file(scratch / snapshot.raw.digest, snapshot.raw.media_type)
    if content_digest(rows) != snapshot.digest:
        raise InvalidInput("The bundle's rows are not those of its snapshot. Export the release again.")
    unpack_code((scratch / manifest.code.digest).read_bytes(), scratch / "code")
    here = _snapshot(app, snapshot.id)
    if here is not None and here.n_erased:
        raise Conflict(
            f"{here.n_erased} of the rows that release {bundle.release.id} has learnt were erased here. "
            "Build a new one where it comes from."
        )


def _known(app: App, release: Release) -> Release | None:
    try:
        known = app.store.releases.get(release.id)
    except NotFound:
        return None
    if known.digest != release.digest:
        raise Conflict(f"Release {release.id} is here already, with another digest: {known.digest[:12]}.")
    return known


def _snapshot(app: App, snapshot_id: str) -> Snapshot | None:
    try:
        return app.store.snapshots.get(snapshot_id)
    except NotFound:
        return None


def _code_folder(app: App, release: Release, scratch: Path) -> Path:
    """The release's code as a folder of its own, where retraining and the pages look for it."""
    folder = app.settings.home / _FOLDER / f"{release.project}-{release.manifest.code.digest[:12]}"
    if not folder.is_dir():
        make_folder(folder.parent)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        shutil.copytree(scratch / "code", draft, dirs_exist_ok=True)
        draft.replace(folder)
    return folder


def _path(app: App, project: str, folder: Path) -> str:
    """A folder that somebody keeps here stays the project's; that of an earlier import does not."""
    try:
        present = Path(app.store.projects.path(project))
    except NotFound:
        return str(folder.resolve())
    promoted = (app.settings.home / _FOLDER).resolve()
    kept = present.is_dir() and not present.resolve().is_relative_to(promoted)
    return str(present if kept else folder.resolve())


def _take_rows(app: App, me: Principal, bundle: Bundle, scratch: Path) -> None:
    """The rows become a version of the project's table here, under the snapshot's own id."""
    snapshot, charter = bundle.snapshot, bundle.release.manifest.charter
    assert charter is not None
    kept = take_snapshot(
        project=snapshot.project,
        columns=read_file(scratch / snapshot.raw.digest, snapshot.raw.media_type),
        raw=snapshot.raw,
        source=snapshot.source,
        privacy=charter.privacy,
        tables=app.store.tables,
        snapshots=app.store.snapshots,
        clock=app.clock,
    )
    detail = {"snapshot": kept.id, "digest": kept.digest, "rows": kept.n_rows}
    app.store.audit.append(me.name, "data.snapshot", f"project:{kept.project}", detail)


def _record(app: App, me: Principal, reader: BundleReader) -> Release:
    """All records of the release and the entry about them, or none."""
    bundle, now = reader.bundle, app.clock.now()
    release = replace(bundle.release, state="proposed", created_at=now, reason="")
    release = replace(release, signature=app.access.signatures.sign(release))
    came = promoted_gate(bundle, key=reader.key, digest=reader.digest, by=me.name, at=now)
    detail = {"digest": release.digest, "from": reader.key, "bundle": reader.digest}
    with app.store.transaction():
        for run in bundle.runs:
            app.store.runs.save(run)
        app.store.models.adopt(bundle.model)
        app.store.evidence.add_verdict(came)
        app.store.audit.append(me.name, "release.import", f"release:{release.id}", detail)
        return app.store.releases.add(release)


def _state(bundle: Bundle) -> dict[str, Any]:
    """What the gates ask about, as of a build."""
    manifest, run = bundle.release.manifest, bundle.run
    baseline = next((one for one in bundle.runs if one.id != run.id), run)
    contracts = next((to_plain(one) for one in bundle.parts if one.media_type == CONTRACTS), None)
    return {
        "project": bundle.release.project,
        "release_id": bundle.release.id,
        "judged_id": bundle.release.id,
        "build_id": run.build_id,
        "declared": to_plain(manifest.charter),
        "run_id": run.id,
        "baseline_run_id": baseline.id,
        "baseline": baseline.id == run.id,
        "snapshot_id": bundle.snapshot.id,
        "version": bundle.model.version,
        "author": bundle.release.author,
        "commit": manifest.commit,
        "contracts": contracts,
        "stands_in": manifest.stands_in,
    }
