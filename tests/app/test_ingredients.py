"""The packages of a build: their licences, their known flaws, and the bill that is kept."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from headrace.app.overviews.reading import bill_of_materials
from headrace.core.errors import NotFound
from tests.app.small import Site

NUMPY = {"package": {"ecosystem": "PyPI", "name": "NumPy"}, "versions": [version("numpy")]}


def test_the_bill_of_a_version_is_kept(shared: Site) -> None:
    project = shared.project("billed")
    release = project.released()
    judged = project.verdicts(release)["ingredients"]
    assert judged.outcome == "passed"
    assert "no rule for licences is declared; no advisories are named" in judged.reason
    bill = bill_of_materials(shared.app, project.me, "billed@1")
    by_name = {one["name"]: one for one in bill["components"]}
    assert by_name["numpy"]["version"] == version("numpy")
    assert len(by_name) == judged.evidence["packages"]
    assert bill["metadata"]["component"]["version"] == "1"
    with pytest.raises(NotFound):
        bill_of_materials(shared.app, project.me, "billed@2")


def test_licences_and_flaws_refuse_a_release(shared: Site) -> None:
    project = shared.project("unsafe")
    advisory = {"id": "PYSEC-7", "modified": "2026-11-01T00:00:00Z", "affected": [NUMPY]}
    (project.folder / "osv.json").write_text(json.dumps([advisory]))
    charter = project.folder / "headrace.yaml"
    plain = charter.read_text()
    charter.write_text(plain + "proofs: {ingredients: {deny: [MIT], advisories: osv.json}}\n")
    release = project.released()
    judged = project.verdicts(release)["ingredients"]
    assert (release.state, judged.outcome) == ("refused", "failed")
    assert "licences that are not allowed: " in judged.reason
    assert f"known flaws: numpy {version('numpy')}: PYSEC-7" in judged.reason
    assert judged.evidence["newest advisory"] == "2026-11-01T00:00:00Z"
    charter.write_text(plain + "proofs: {ingredients: {advisories: gone.json}}\n")
    judged = project.verdicts(project.released())["ingredients"]
    assert (judged.outcome, "cannot be read" in judged.reason) == ("error", True)
