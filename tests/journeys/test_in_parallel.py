"""From the first day on, data, model and infrastructure are worked on beside each other, from one charter."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.journeys.conftest import Shell

pytestmark = [pytest.mark.journey, pytest.mark.slow]


@pytest.mark.requirement("ORG-01")
def test_none_of_the_three_waits_for_another(cars: Shell) -> None:
    charter = cars.folder / "headrace.yaml"
    text = charter.read_text()
    for section in ("data:", "variants:", "deployment:"):
        assert f"\n{section}" in text, "declared on the first day: data, model and target"
    declared = text.replace("target: laptop ", "target: kubernetes ")
    data, code, deploy = (cars.folder / name for name in ("data", "project.py", "deploy"))
    away = cars.folder.parent / "away"
    away.mkdir()

    # Infrastructure, while there is neither data nor code.
    for one in (data, code):
        shutil.move(one, away / one.name)
    charter.write_text(declared)
    rendered = cars("project", "render")
    assert rendered.code == 0, rendered.err
    assert "kubernetes" in (deploy / "roll-out").read_text()
    assert "build-image" in (cars.folder / ".gitlab-ci.yml").read_text()

    # Data, while there is neither code nor infrastructure.
    shutil.move(deploy, away / "deploy")
    shutil.move(away / "data", data)
    looked = cars("data", "check", "--json")
    assert looked.code == 0, looked.err
    assert looked.json["n_rows"] == 300

    # The model's code, while there is neither data nor infrastructure.
    shutil.move(data, away / "data")
    shutil.move(away / "project.py", code)
    pytest_of_the_project = [sys.executable, "-m", "pytest", "-q", "tests", "-k", "trainer"]
    tested = subprocess.run(
        pytest_of_the_project, cwd=cars.folder, env=cars.env(), capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    missing = cars("check")
    assert missing.code != 0
    assert "data/" in missing.out + missing.err, "what the others still owe is named"

    # Brought together, it is proved as a whole.
    shutil.move(away / "data", data)
    shutil.move(away / "deploy", deploy)
    assert cars("check").code == 0
    assert cars("run").code == 4
