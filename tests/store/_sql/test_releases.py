from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.errors import InvalidInput
from headrace.core.ports import ReleaseStore
from headrace.store import Store
from headrace.testing import ReleaseStoreSuite, make_manifest, make_release


class TestSqlReleaseStore(ReleaseStoreSuite):
    @pytest.fixture
    def releases(self, store: Store) -> ReleaseStore:
        return store.releases


@pytest.mark.parametrize(
    "change",
    [{"digest": "0" * 64}, {"author": "eve"}, {"manifest": make_manifest(seed=7)}],
    ids=["digest", "author", "manifest"],
)
def test_a_release_must_match_its_manifest(store: Store, change: dict[str, object]) -> None:
    release = replace(make_release(), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="does not match its manifest"):
        store.releases.add(release)
    assert store.releases.list() == []


def test_a_manifest_that_reads_back_with_another_digest_is_refused(store: Store) -> None:
    """An integer where a float is declared would come back as a float, under another digest."""
    release = make_release(manifest=make_manifest(evaluation={"mae": 1}))
    with pytest.raises(InvalidInput, match="floats"):
        store.releases.add(release)
