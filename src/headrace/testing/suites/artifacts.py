"""What every artefact store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import ArtifactStore


class ArtifactStoreSuite:
    """Fixture ``artifacts``: an empty store."""

    @pytest.mark.parametrize("data", [b"", b"one", bytes(range(256)) * 5000], ids=["empty", "small", "large"])
    def test_what_is_kept_comes_back(self, artifacts: ArtifactStore, data: bytes) -> None:
        kept = artifacts.put(data, "text/plain")
        assert (kept.digest, kept.size_bytes, kept.media_type) == (
            digest_bytes(data),
            len(data),
            "text/plain",
        )
        assert artifacts.get(kept.digest) == data
        assert artifacts.has(kept.digest)

    def test_a_file_is_kept_like_its_bytes(self, artifacts: ArtifactStore, tmp_path: Path) -> None:
        source = tmp_path / "model.bin"
        source.write_bytes(b"weights" * 300_000)
        kept = artifacts.put_file(source, "application/octet-stream")
        assert kept == artifacts.put(source.read_bytes(), "application/octet-stream")
        source.write_bytes(b"changed afterwards")
        assert artifacts.get(kept.digest) == b"weights" * 300_000

    @pytest.mark.requirement("PRV-02")
    def test_what_is_removed_is_gone_until_it_is_kept_again(self, artifacts: ArtifactStore) -> None:
        kept = artifacts.put(b"about somebody", "text/csv")
        artifacts.path(kept.digest)
        assert artifacts.remove(kept.digest)
        assert not artifacts.has(kept.digest)
        with pytest.raises(NotFound):
            artifacts.path(kept.digest)
        assert not artifacts.remove(kept.digest), "again changes nothing"
        assert artifacts.put(b"about somebody", "text/csv") == kept
        assert artifacts.get(kept.digest) == b"about somebody"

    def test_a_missing_file_is_not_found(self, artifacts: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            artifacts.put_file(tmp_path / "absent", "text/plain")

    def test_path_leads_to_a_file_that_cannot_be_written(self, artifacts: ArtifactStore) -> None:
        path = artifacts.path(artifacts.put(b"read me", "text/plain").digest)
        assert path.read_bytes() == b"read me"
        assert path.stat().st_mode & 0o222 == 0

    def test_keeping_the_same_again_changes_nothing(self, artifacts: ArtifactStore) -> None:
        first = artifacts.put(b"same", "text/plain")
        assert artifacts.put(b"same", "text/plain") == first
        assert artifacts.get(first.digest) == b"same"

    def test_an_absent_digest_is_not_found(self, artifacts: ArtifactStore) -> None:
        absent = "0" * 64
        assert not artifacts.has(absent)
        with pytest.raises(NotFound):
            artifacts.get(absent)
        with pytest.raises(NotFound):
            artifacts.path(absent)

    @pytest.mark.parametrize("digest", ["", "abc", "../../../etc/passwd", "A" * 64, "0" * 63 + "/", "0" * 65])
    def test_what_is_no_digest_is_refused(self, artifacts: ArtifactStore, digest: str) -> None:
        with pytest.raises(InvalidInput):
            artifacts.get(digest)
        with pytest.raises(InvalidInput):
            artifacts.has(digest)
        with pytest.raises(InvalidInput):
            artifacts.path(digest)

    def test_threads_may_keep_the_same_at_once(self, artifacts: ArtifactStore) -> None:
        data = b"shared" * 10_000
        with ThreadPoolExecutor(8) as threads:
            kept = list(threads.map(lambda _: artifacts.put(data, "text/plain"), range(32)))
        assert len(set(kept)) == 1
        assert artifacts.get(kept[0].digest) == data
