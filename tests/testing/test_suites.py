"""A suite is worth having if it fails for what is wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import testing
from headrace.core import ports

_BROKEN = """
import pytest
from headrace.testing import ArtifactStoreSuite, MemoryArtifacts


class Forgetful(MemoryArtifacts):
    def get(self, digest):
        return super().get(digest)[:3]


class TestForgetful(ArtifactStoreSuite):
    @pytest.fixture
    def artifacts(self):
        return Forgetful()
"""


def test_every_port_has_a_suite() -> None:
    protocols = {
        name
        for name, kind in inspect.getmembers(ports, inspect.isclass)
        if getattr(kind, "_is_protocol", False) and kind.__module__ == ports.__name__
    }
    assert {f"{name}Suite" for name in protocols} <= set(testing.__all__)


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.endswith("Suite")])
def test_a_suite_names_the_fixtures_it_needs(name: str) -> None:
    suite = getattr(testing, name)
    assert suite.__doc__.startswith("Fixture")
    assert [member for member in dir(suite) if member.startswith("test_")]


def test_a_suite_finds_fault_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(_BROKEN)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "test_broken.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "test_what_is_kept_comes_back[large]" in done.stdout
    assert "assert artifacts.get(kept.digest) == data" in done.stdout
