from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import testing
from headrace.core.canonical import digest_of
from headrace.store.documents import from_plain, to_plain
from headrace.testing import make_approval, make_manifest, make_release, make_run, make_settings

FACTORIES = [
    getattr(testing, name)
    for name in testing.__all__
    if name.startswith("make_") and name not in ("make_settings", "make_approval", "make_tokens")
]


@pytest.mark.parametrize("make", FACTORIES, ids=lambda make: str(make.__name__))
def test_a_factory_makes_a_record_that_can_be_kept(make: Callable[[], Any]) -> None:
    record = make()
    assert from_plain(type(record), to_plain(record)) == record


@pytest.mark.parametrize(
    "make", [make for make in FACTORIES if hasattr(make(), "id")], ids=lambda m: str(m.__name__)
)
def test_ids_are_new_each_time(make: Callable[..., Any]) -> None:
    assert make().id != make().id
    if make is not make_release:
        assert make(id="mine").id == "mine"


def test_a_release_fits_its_manifest() -> None:
    release = make_release(author="eve", project="boats", state="live")
    assert release.digest == digest_of(release.manifest)
    assert (release.author, release.manifest.author) == ("eve", "eve")
    assert (release.project, release.manifest.project) == ("boats", "boats")
    assert make_release(manifest=make_manifest(author="zoe")).author == "zoe"


def test_an_approval_fits_its_release() -> None:
    release = make_release()
    approval = make_approval(release)
    assert (approval.release_id, approval.digest) == (release.id, release.digest)
    assert approval.approver != approval.author == release.author


def test_a_run_has_the_results_of_its_state() -> None:
    assert make_run(state="running").package is None
    assert make_run(state="failed").error
    assert make_run().package


def test_settings_know_nothing_of_the_environment(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, user="eve")
    assert (settings.home, settings.storage_path, settings.user) == (tmp_path, tmp_path, "eve")
    assert settings.database_url == f"sqlite:///{tmp_path / 'headrace.sqlite'}"
    assert make_settings(tmp_path, database_url="postgresql://x@y/z").database_url == "postgresql://x@y/z"
