from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.core.ports import Epoch
from headrace.store.epoch import SharedEpoch
from headrace.testing import EpochSuite, MemoryEpoch


class TestSharedEpoch(EpochSuite):
    @pytest.fixture
    def epoch(self, tmp_path: Path) -> Iterator[Epoch]:
        epoch = SharedEpoch(tmp_path / "home" / "epoch")
        yield epoch
        epoch.close()

    @pytest.fixture
    def same_epoch(self, epoch: Epoch, tmp_path: Path) -> Iterator[Epoch]:
        again = SharedEpoch(tmp_path / "home" / "epoch")
        yield again
        again.close()


class TestMemoryEpoch(EpochSuite):
    @pytest.fixture
    def epoch(self) -> Epoch:
        return MemoryEpoch()

    @pytest.fixture
    def same_epoch(self, epoch: Epoch) -> Epoch:
        return epoch


def test_another_process_sees_it(tmp_path: Path) -> None:
    epoch = SharedEpoch(tmp_path / "epoch")
    code = (
        "import sys; from pathlib import Path; from headrace.store.epoch import SharedEpoch;"
        "epoch = SharedEpoch(Path(sys.argv[1])); epoch.advance(); epoch.advance()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "epoch")], check=True, timeout=60)
    assert epoch.read() == 2
    epoch.close()
    epoch.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    SharedEpoch(tmp_path / "epoch").close()
    assert (tmp_path / "epoch").stat().st_mode & 0o777 == 0o600
