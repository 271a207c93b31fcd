"""A version is made again from its record alone: code, rows and environment come from the home."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.journeys.conftest import Shell

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.usefixtures("cold")]


def _index_answers() -> bool:
    """Whether pip finds packages from here."""
    asked = [sys.executable, "-m", "pip", "index", "versions", "msgspec"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.requirement("REG-06", "TRN-02")
def test_a_version_is_made_again_in_an_environment_made_from_its_lock(cars: Shell) -> None:
    if not _index_answers():
        pytest.skip("needs a package index: pip finds none")
    made = cars("run", "--json")
    assert made.code in (0, 4), made.err
    # Nothing but the record is left.
    folder = cars.folder
    cars.folder = folder.parent
    shutil.rmtree(folder)
    again = cars("model", "rebuild", "cars@1", "--fresh", "--json")
    assert again.code == 0, again.err
    result = again.json
    assert result["environment"] == "fresh"
    assert result["differences"] == []
    assert result["proved_by"] == "digest"
    assert result["same_predictions"]
    assert "Installing what the lock lists" in again.err
    assert not list((cars.home / "scratch").glob("rebuild-*"))
