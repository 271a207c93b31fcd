"""Model files and releases: are they harmless, and are they what was signed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.access.key_ring import PublicKey
from headrace.app.composition import App
from headrace.app.operations import find_release
from headrace.app.overviews.reading import model_run
from headrace.checks.artefacts import Threat, scan
from headrace.checks.opinions import scanners
from headrace.core.canonical import canonical_json
from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import MAIN, Principal
from headrace.plugins.openssf import BUNDLE, sign_folder, verify_folder
from headrace.store.disk import make_folder

PACKAGE_FILE = "model.package.zip"
MANIFEST_FILE = "release.json"
_KEYS = "key:releases"


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What was found in a model's files, and who looked."""

    path: str
    threats: list[Threat]
    scanners: list[str]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A release that is what was signed, and the key that signed it."""

    release: str
    digest: str
    package: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model version in a folder of its own, with the files that verify it."""

    folder: str
    release: str
    bundle: str
    public_key: str


def scan_model(app: App, me: Principal, path: Path, *, allow_code: bool = False) -> Scanned:
    """Look at a file or folder before anything loads it; a refusal is audited.

    Raises:
        NotFound: there is nothing at ``path``.
    """
    app.gatekeeper.require(me, "project.read", f"artefact:{path.name}")
    try:
        threats = scan(path, allow_code=allow_code)
    except FileNotFoundError as error:
        raise NotFound(f"There is nothing at {path}. Give the path of a model's file or folder.") from error
    if threats:
        app.store.audit.append(
            me.name,
            "artefact.refused",
            f"artefact:{path.name}",
            {"threats": [str(threat) for threat in threats[:20]], "n_threats": len(threats)},
        )
    return Scanned(path=str(path), threats=threats, scanners=["headrace", *scanners()])


def verify_release(app: App, me: Principal, text: str) -> Verified:
    """Check a release's manifest, signature and package; what does not fit raises an incident.

    Raises:
        Conflict: it is not what was signed.
    """
    release = find_release(app, me, text)
    app.gatekeeper.require(me, "project.read", f"release:{release.id}")
    app.signed.package(release)
    return Verified(
        release=release.id,
        digest=release.digest,
        package=release.manifest.subject.package.digest,
        key=app.signed.check(release),
    )


def release_keys(app: App, me: Principal) -> list[PublicKey]:
    """The keys that releases are verified with, the one that signs first."""
    app.gatekeeper.require(me, "project.read", _KEYS)
    return app.access.signatures.public_keys()


def rotate_release_key(app: App, me: Principal) -> str:
    """Sign releases with a new key from now on; those signed so far stay valid. Returns its name."""
    app.gatekeeper.require(me, "access.write", f"workspace:{MAIN}")
    before = next(key.name for key in app.access.signatures.public_keys() if key.signs)
    app.store.audit.append(me.name, "release.key.rotate", _KEYS, {"before": before})
    return app.access.signatures.rotate()


def export_signed(app: App, me: Principal, reference: str, out: Path) -> Exported:
    """Write a model version into the new folder ``out``, with an OpenSSF model signature beside it.

    The stock ``model_signing`` verifies it with the public key that is written beside the folder.

    Raises:
        NotFound: no release carries this version.
        Conflict: the folder is there already, or the release is not what was signed.
    """
    run = model_run(app, me, reference)
    app.gatekeeper.require(me, "data.read", f"project:{run.project}")
    release = next((r for r in app.store.releases.list(run.project) if r.manifest.run_id == run.id), None)
    if release is None:
        raise NotFound(f"No release carries {reference}: only what was released is signed.")
    package = app.signed.package(release)
    if out.exists():
        raise Conflict(f"{out} is there already. Name a folder that is not.")
    app.store.audit.append(me.name, "model.export", f"release:{release.id}", {"digest": release.digest})
    make_folder(out)
    (out / PACKAGE_FILE).write_bytes(package.read_bytes())
    (out / MANIFEST_FILE).write_bytes(canonical_json(release))
    key = sign_folder(out, app.settings.home / "keys")
    return Exported(folder=str(out), release=release.id, bundle=str(out / BUNDLE), public_key=str(key))


def verify_export(app: App, me: Principal, folder: Path, public_key: Path) -> None:
    """Check a folder that :func:`export_signed` or another signer of OpenSSF bundles has written.

    Raises:
        NotFound: the folder, its bundle or the key is not there.
        Conflict: the files are not what was signed.
    """
    app.gatekeeper.require(me, "project.read", f"artefact:{folder.name}")
    for path in (folder / BUNDLE, public_key):
        if not path.is_file():
            raise NotFound(f"There is no file {path}. 'headrace model sign' writes both.")
    verify_folder(folder, public_key)
