from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.access.signing import KEY_FILE, Signatures
from headrace.app.composition import App, open_app
from headrace.app.operations import decide
from headrace.app.workflows import Workflows
from headrace.core.canonical import canonical_json, digest_of
from headrace.core.errors import Conflict, Unavailable
from headrace.core.release import Release
from headrace.serving.models import LoadedModels
from headrace.store.documents import from_plain, to_plain
from headrace.testing import make_settings
from tests.app.small import VALIDATOR, Site, Small

Tamper = Callable[[Path, Release], None]


@pytest.fixture(scope="module")
def built(shared: Site) -> tuple[Small, Release]:
    """A project, and its release that waits for a decision."""
    small = shared.project("small", ("approval: automatic", "approval: manual"))
    return small, small.released()


@pytest.fixture
def home(built: tuple[Small, Release], tmp_path: Path) -> Path:
    """A copy of its home."""
    target = tmp_path / "home"
    shutil.copytree(
        built[0].app.settings.home,
        target,
        ignore=shutil.ignore_patterns("*.lock", "scratch", "workflows.sqlite*"),
    )
    return target


def edited(home: Path, release: Release, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the stored release behind Headrace's back."""
    with sqlite3.connect(home / "headrace.sqlite") as connection:
        (text,) = connection.execute(
            "select document from hr_releases where id = ?", (release.id,)
        ).fetchone()
        document = json.loads(text)
        change(document)
        manifest = from_plain(Release, document).manifest
        document["digest"] = digest_of(manifest)
        connection.execute(
            "update hr_releases set document = ?, digest = ? where id = ?",
            (canonical_json(document).decode(), document["digest"], release.id),
        )
    connection.close()


def change_the_manifest(home: Path, release: Release) -> None:
    edited(home, release, lambda document: document["manifest"].update(seed=99))


def name_another_package(home: Path, release: Release) -> None:
    other = to_plain(release.manifest.baseline)
    edited(home, release, lambda document: document["manifest"]["subject"].update(package=other))


def remove_the_signature(home: Path, release: Release) -> None:
    edited(home, release, lambda document: document.update(signature=""))


def sign_with_another_key(home: Path, release: Release) -> None:
    signature = Signatures(home.parent / "theirs").sign(release)
    edited(home, release, lambda document: document.update(signature=signature))


def swap_the_package(home: Path, release: Release) -> None:
    digest = release.manifest.subject.package.digest
    path = home / "artifacts" / digest[:2] / digest[2:4] / digest
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")


TAMPERED: list[Tamper] = [
    change_the_manifest, name_another_package, remove_the_signature, sign_with_another_key, swap_the_package,
]  # fmt: skip


def test_a_release_is_signed_when_it_is_made(built: tuple[Small, Release]) -> None:
    small, release = built
    assert small.app.signed.check(release) == small.app.access.signatures.public_keys()[0].name
    assert (small.app.settings.home / "keys" / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("tamper", TAMPERED)
def test_what_was_tampered_with_is_neither_approved_nor_served_and_raises_an_incident(
    built: tuple[Small, Release], home: Path, tamper: Tamper
) -> None:
    release = built[1]
    tamper(home, release)
    with open_app(make_settings(home)) as app:
        with pytest.raises(Conflict, match="is not what was signed"):
            app.scorers.of_release(release.id)
        models = LoadedModels(app.scorers.of_release, app.clock)
        with pytest.raises(Unavailable, match="is not what was signed"):
            models.get(release.id)
        (incident,) = app.store.incidents.list(subject=f"release:{release.id}")
        assert (incident.kind, incident.state) == ("bad_signature", "open")
        assert app.store.evidence.approvals(release.id) == []
        with pytest.raises(Conflict, match="is not what was signed"):
            approve(app, release)
        assert app.store.evidence.approvals(release.id) == []
        assert app.store.releases.get(release.id).state == "waiting"


def approve(app: App, release: Release) -> None:
    """Ask for an approval; no workflow is reached."""
    decide(app, cast("Workflows", None), app.identities.resolve(VALIDATOR), release.id, "approved", "")


def test_what_was_left_alone_is_served(built: tuple[Small, Release], home: Path) -> None:
    with open_app(make_settings(home)) as app:
        assert app.scorers.of_release(built[1].id).outputs == ("predict",)
        assert app.store.incidents.list() == []
