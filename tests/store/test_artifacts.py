from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.core.errors import InternalError
from headrace.core.ports import ArtifactStore
from headrace.store.artifacts import FolderArtifacts
from headrace.testing import ArtifactStoreSuite


class TestFolderArtifacts(ArtifactStoreSuite):
    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> ArtifactStore:
        return FolderArtifacts(tmp_path / "artifacts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def _damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_files_lie_under_their_digest_for_this_user_only(folder: Path) -> None:
    digest = FolderArtifacts(folder).put(b"content", "text/plain").digest
    path = folder / digest[:2] / digest[2:4] / digest
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o444
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content", [b"contemt", b"", b"content and more"], ids=["edited", "emptied", "longer"]
)
def test_damaged_bytes_are_never_given_out(folder: Path, content: bytes) -> None:
    artifacts = FolderArtifacts(folder)
    digest = artifacts.put(b"content", "text/plain").digest
    _damage(artifacts.path(digest), content)
    with pytest.raises(InternalError, match="no longer matches"):
        artifacts.get(digest)
    with pytest.raises(InternalError, match="no longer matches"):
        artifacts.path(digest)


def test_keeping_the_bytes_again_mends_damage(folder: Path) -> None:
    artifacts = FolderArtifacts(folder)
    digest = artifacts.put(b"content", "text/plain").digest
    _damage(artifacts.path(digest), b"broken")
    artifacts.put(b"content", "text/plain")
    assert artifacts.get(digest) == b"content"


def test_nothing_but_whole_files_is_left_behind(folder: Path, tmp_path: Path) -> None:
    artifacts = FolderArtifacts(folder)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    kept = {artifacts.put(b"content", "text/plain").digest, artifacts.put_file(source, "text/plain").digest}
    assert {path.name for path in folder.rglob("*") if path.is_file()} == kept


_FULL = """
import resource, sys
from pathlib import Path
from headrace.core.errors import Unavailable
from headrace.store.artifacts import FolderArtifacts
artifacts = FolderArtifacts(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    artifacts.put(b"x" * 5000, "text/plain")
except Unavailable as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"Could not keep an artefact in {folder}")
    assert not [path for path in folder.rglob("*") if path.is_file()]
