from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.governance.stage_keys import distrust_stage, own_key, stage_keys, trust_stage
from headrace.app.operations import decide
from headrace.app.promoting import Arrived, bundle_of, export_release, import_release
from headrace.app.ticking import tick
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.release import Release
from tests.app.small import AUTHOR, VALIDATOR, Site, cars, site

MANUAL = ("approval: automatic", "approval: manual")


def exported(here: Site, text: str, file: Path) -> Path:
    """The release as a file, and beside it the key that verifies it."""
    with file.open("wb") as target:
        export_release(here.app, here.app.me(), bundle_of(here.app, here.app.me(), text), target)
    file.with_suffix(".pem").write_text(own_key(here.app, here.app.me()).pem)
    return file


def trusted(here: Site, file: Path) -> str:
    return trust_stage(here.app, here.app.me(), file.with_suffix(".pem").read_bytes(), "dev")


def arrived(here: Site, file: Path) -> Arrived:
    """What was brought, once the gates have judged it."""
    came = import_release(here.app, here.work, here.app.me(), file)
    here.work.durable.result(f"promote:{came.release.id}")
    return came


def made_there(folder: Path) -> tuple[Path, list[Release]]:
    """The second release of a project whose first one never leaves."""
    with site(folder) as there:
        project = there.project("moved")
        first = project.released()
        project.write(rows=cars(220, seed=1))
        second = project.promoted(project.released())
        assert (project.releases()[1].id, second.state) == (first.id, "live")
        return exported(there, "moved", folder / "moved.headrace"), [first, second]


@pytest.mark.requirement("REG-04")
def test_a_release_is_brought_whose_parent_never_was_here(tmp_path: Path) -> None:
    file, (first, second) = made_there(tmp_path / "there")
    with site(tmp_path / "here") as here:
        app, me = here.app, here.app.me()
        with pytest.raises(Conflict, match="headrace release keys trust"):
            import_release(app, here.work, me, file)
        name = trusted(here, file)
        assert [key.name for key in stage_keys(app, me)] == [name]
        validator = app.identities.resolve(VALIDATOR)
        for refused in (
            lambda: trust_stage(app, validator, file.with_suffix(".pem").read_bytes(), ""),
            lambda: distrust_stage(app, validator, name),
            lambda: import_release(app, here.work, validator, file),
        ):
            with pytest.raises(Denied):
                refused()
        assert not app.store.projects.list()
        assert not app.store.releases.list()

        came = arrived(here, file)
        assert came.new
        assert second.manifest.parent == first.id
        assert (came.release.id, came.release.digest) == (second.id, second.digest)
        assert came.release.manifest == second.manifest
        project = here.project("moved")
        here_now = project.delivered(came.release.id)
        assert here_now.state == "live", project.verdicts(here_now)
        assert project.verdicts(here_now)["champion"].reason.startswith("nothing is live yet")
        assert [model.version for model in app.store.models.list("moved")] == [2]
        assert Path(app.store.projects.path("moved")).is_dir()
        assert not arrived(here, file).new
        actions = [entry.action for entry in app.store.audit.list(limit=1000)]
        for action in ("stage.trust", "bundle.refused", "project.declare", "data.snapshot", "release.import"):
            assert actions.count(action) == 1, action

        distrust_stage(app, me, name)
        assert stage_keys(app, me) == []
        with pytest.raises(Conflict, match="headrace release keys trust"):
            import_release(app, here.work, me, file)


@pytest.mark.requirement("REG-04")
def test_neither_its_author_nor_whoever_brought_it_approves_it(tmp_path: Path) -> None:
    with site(tmp_path / "there") as there:
        project = there.project("kept", MANUAL)
        release = project.work_until_waiting(project.released())
        with pytest.raises(Conflict, match="only what was approved"):
            bundle_of(there.app, there.app.me(), release.id)
        grace = there.app.identities.resolve(VALIDATOR)
        tick(there.app, there.work, grace, release.id, (), "all of it")
        assert decide(there.app, there.work, grace, release.id, "approved", "").state == "live"
        there.app.identities.add("vi", ["viewer"], actor=AUTHOR)
        with pytest.raises(Denied):
            bundle_of(there.app, there.app.identities.resolve("vi"), release.id)
        file = exported(there, release.id, tmp_path / "kept.headrace")
    with site(tmp_path / "here") as here:
        trusted(here, file)
        here.app.identities.add("wim", ["developer", "validator"], actor=AUTHOR)
        wim = here.app.identities.resolve("wim")
        release = import_release(here.app, here.work, wim, file).release
        here.work.durable.result(f"promote:{release.id}")
        project = here.project("kept", MANUAL)
        assert project.work_until_waiting(release).state == "waiting"
        for name, said in ((AUTHOR, "own work"), ("wim", "'wim' brought release")):
            who = here.app.identities.resolve(name)
            with pytest.raises(Denied, match=said):
                decide(here.app, here.work, who, release.id, "approved", "")


@pytest.mark.requirement("REG-04")
def test_what_is_another_here_is_refused(tmp_path: Path) -> None:
    with site(tmp_path / "there") as there:
        there.project("twin").released()
        file = exported(there, "twin", tmp_path / "twin.headrace")
    with site(tmp_path / "here") as here:
        trusted(here, file)
        here.project("twin").released()
        with pytest.raises(Conflict, match="keeps its number"):
            import_release(here.app, here.work, here.app.me(), file)
        assert len(here.app.store.releases.list("twin")) == 1
        with pytest.raises(NotFound, match="headrace release export"):
            import_release(here.app, here.work, here.app.me(), tmp_path / "absent")
        (tmp_path / "text").write_text("no bundle")
        with pytest.raises(InvalidInput, match="cannot be read"):
            import_release(here.app, here.work, here.app.me(), tmp_path / "text")
