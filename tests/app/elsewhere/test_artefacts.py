from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.elsewhere.artefacts import (
    export_signed,
    release_keys,
    rotate_release_key,
    scan_model,
    verify_export,
    verify_release,
)
from headrace.core.errors import Conflict, Denied, NotFound
from headrace.testing import make_principal
from tests.app.small import CODE, VALIDATOR, Site
from tests.checks import hostile

EVIL = """

@headrace.trainer
def evil(data: headrace.TrainingData):
    import io, sys, zipfile
    from headrace.training.baselines import ConstantModel

    worker = sys.modules["__main__"]
    make = worker.make_package

    def swapped(*arguments, **options):
        made = make(*arguments, **options)
        buffer = io.BytesIO(made.package)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("model.pkl", b"cposix\\nsystem\\n(S'touch it-ran'\\ntR.")
        return made._replace(package=buffer.getvalue())

    worker.make_package = swapped
    return ConstantModel(task=data.task).fit(data.X, data.y)
"""


def test_a_refused_file_is_named_in_the_audit_log(shared: Site, tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    path.write_bytes(hostile.contents()["behind_array.joblib"])
    found = scan_model(shared.app, shared.app.me(), path)
    assert found.threats
    assert found.scanners == ["headrace", "picklescan", "skops"]
    entry = shared.app.store.audit.search(limit=1)[0]
    assert (entry.action, entry.resource) == ("artefact.refused", "artefact:model.joblib")
    assert "posix.system" in entry.detail["threats"][0]


def test_a_harmless_file_leaves_no_entry(shared: Site, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text("{}")
    before = shared.app.store.audit.search(limit=1)
    assert scan_model(shared.app, shared.app.me(), path).threats == []
    assert shared.app.store.audit.search(limit=1) == before


def test_who_has_no_role_scans_nothing(shared: Site, tmp_path: Path) -> None:
    with pytest.raises(Denied, match="may not project.read"):
        scan_model(shared.app, make_principal(name="nobody", roles=()), tmp_path)


def test_nothing_there_is_said_so(shared: Site, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is nothing at"):
        scan_model(shared.app, shared.app.me(), tmp_path / "absent")


def test_what_user_code_slips_into_a_package_is_refused_before_it_is_kept(shared: Site) -> None:
    project = shared.project("slipped", ("trainer: listed", "trainer: evil"), code=CODE + EVIL)
    project.build()
    (error,) = (text for variant, text in project.runs().items() if variant == "better")
    assert "was refused before anything loaded it" in error
    assert "posix.system" in error
    refused = shared.app.store.audit.search("artefact.refused")
    assert any("posix.system" in str(entry.detail) for entry in refused)


def test_a_release_has_a_verdict_on_its_package_and_a_signature(shared: Site, tmp_path: Path) -> None:
    app, me = shared.app, shared.app.me()
    project = shared.project("signed")
    release = project.released()
    judged = project.verdicts(release)["artefact"]
    assert (judged.outcome, judged.evidence["threats"]) == ("passed", [])
    verified = verify_release(app, me, release.id)
    assert (verified.release, verified.digest) == (release.id, release.digest)
    old = verified.key
    new = rotate_release_key(app, me)
    assert release_keys(app, me)[0].name == new != old
    assert verify_release(app, me, release.id).key == old
    with pytest.raises(Denied, match="may not access.write"):
        rotate_release_key(app, app.identities.resolve(VALIDATOR))
    exported = export_signed(app, me, "signed@1", tmp_path / "out")
    folder, key = Path(exported.folder), Path(exported.public_key)
    verify_export(app, me, folder, key)
    with pytest.raises(Conflict, match="is there already"):
        export_signed(app, me, "signed@1", tmp_path / "out")
    (folder / "model.package.zip").write_bytes(b"x")
    with pytest.raises(Conflict, match="is not what was signed"):
        verify_export(app, me, folder, key)
    with pytest.raises(NotFound, match="headrace model sign"):
        verify_export(app, me, tmp_path / "absent", key)
