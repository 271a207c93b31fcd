"""A model that somebody registered in MLflow becomes a candidate: judged, and decided by a person."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from headrace.app.elsewhere.adopting import adopt, adopt_folder
from headrace.app.elsewhere.adopting import registered as registered_by
from headrace.app.operations import decide, declare, settle
from headrace.app.overviews import reading
from headrace.app.overviews.fleet import overview
from headrace.checks.loading import pickled
from headrace.core.errors import Denied, GateFailed, InvalidInput, NotFound
from headrace.testing import MemoryTracker
from tests.app.small import AUTHOR, INPUTS, VALIDATOR, Site, Small, cars


def save(folder: Path, estimator: Any, *, pickled: bytes | None = None) -> Path:
    """The folder that ``mlflow.sklearn.log_model`` writes."""
    folder.mkdir(parents=True)
    name = "model.pkl" if pickled is not None else "model.skops"
    if pickled is not None:
        (folder / name).write_bytes(pickled)
    else:
        from skops import io as skops

        skops.dump(estimator, folder / name)
    flavours = {
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": name},
        "sklearn": {"pickled_model": name, "serialization_format": "skops"},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "mlflow_version": "3.17.2"}))
    return folder


def fitted(columns: tuple[str, ...] = INPUTS) -> Any:
    """A linear model as a notebook makes it from the same table."""
    from sklearn.linear_model import Ridge

    rows = cars(200)
    X = np.array([rows[name] for name in columns], dtype=np.float64).T
    return Ridge().fit(X, np.array(rows["price"]))


def registered(project: Small, version: str, folder: Path) -> str:
    """Put a folder into the registry; returns the version's address."""
    declare(project.app, project.me, project.folder)
    tracker = project.app.tracker
    assert isinstance(tracker, MemoryTracker)
    tracker.files[project.name, version] = folder
    return f"models:/{project.name}/{version}"


def adopted(project: Small, uri: str) -> dict[str, Any]:
    """The result of the build that registering starts."""
    build_id = adopt(project.app, project.work, project.me, project.name, uri)
    result: dict[str, Any] = project.work.durable.result(build_id)
    return result


@pytest.fixture(scope="module")
def live(shared: Site) -> Small:
    made = shared.project("adopting")
    assert made.released().state == "live"
    return made


@pytest.mark.requirement("REG-08", "ORG-13")
def test_a_registered_version_is_judged_like_any_other_and_waits_for_a_person(
    live: Small, tmp_path: Path
) -> None:
    uri = registered(live, "5", save(tmp_path / "model", fitted()))
    result = adopted(live, uri)
    assert result["release_id"], result["reason"]
    release = settle(live.app, live.work, result["release_id"], leaving=("proposed",))
    verdicts = live.verdicts(release)
    assert set(verdicts) >= {
        "data", "origin", "model", "baseline", "champion", "package", "flight_check", "compliance",
    }  # fmt: skip
    assert verdicts["package"].outcome == "passed"
    assert verdicts["baseline"].outcome == "passed"
    assert verdicts["origin"].outcome == "inconclusive"
    assert release.state == "waiting", "the project leaves it to the gates, and one of them cannot tell"
    assert release.author == AUTHOR
    assert release.manifest.params["model"] == uri
    assert release.manifest.cause == "registered in MLflow: adopting version 5"
    assert adopt(live.app, live.work, live.me, live.name, uri), "asking again starts nothing new"
    assert len(live.releases()) == 2
    with pytest.raises(Denied, match="Nobody can decide on their own work"):
        decide(live.app, live.work, live.me, release.id, "approved", "mine")
    grace = live.app.identities.resolve(VALIDATOR)
    decide(live.app, live.work, grace, release.id, "rejected", "not now")


@pytest.mark.requirement("REG-06")
def test_a_version_that_was_made_elsewhere_can_be_rebuilt_from_its_record(
    shared: Site, tmp_path: Path
) -> None:
    project = shared.project("elsewhere")
    adopted(project, registered(project, "1", save(tmp_path / "model", fitted())))
    (model,) = reading.model_versions(project.app, project.me, project.name)
    assert reading.rebuild(project.app, project.me, f"{project.name}@{model.version}")["same_digest"]


def test_a_hostile_file_is_refused_before_anything_loads_it_and_named_in_the_audit(
    shared: Site, tmp_path: Path
) -> None:
    project = shared.project("hostile")
    marker = tmp_path / "ran"
    bomb = f"cposix\nsystem\n(Vtouch {marker}\ntR.".encode()
    result = adopted(project, registered(project, "1", save(tmp_path / "model", None, pickled=bomb)))
    assert result["release_id"] is None
    assert "refused before anything loaded it" in result["reason"]
    assert not marker.exists()
    refused = [e for e in project.app.store.audit.list() if e.action == "artefact.refused"]
    (entry,) = [e for e in refused if e.resource == "project:hostile"]
    assert entry.actor == AUTHOR
    assert "posix.system" in entry.detail["reason"]


def _link(folder: Path) -> None:
    (folder / "more").symlink_to("/etc/passwd")


def _bomb(folder: Path) -> None:
    (folder / "more.joblib").write_bytes(gzip.compress(b"\x80\x04" + b"0" * (100 << 20)))


def _anchors(folder: Path) -> None:
    lines = ["flavors: &l0 [x]", *(f"l{i}: &l{i} [{f'*l{i - 1}, ' * 10}]" for i in range(1, 30))]
    (folder / "MLmodel").write_text("\n".join(lines))


def _outside(folder: Path) -> None:
    (folder / "MLmodel").write_text("flavors: {sklearn: {pickled_model: ../../../etc/passwd}}")


@pytest.mark.requirement("GAT-16")
@pytest.mark.parametrize("spoil", [_link, _bomb, _anchors, _outside])
def test_a_hostile_folder_that_is_brought_starts_nothing_and_is_named_in_the_audit(
    live: Small, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = save(tmp_path / "model", fitted())
    spoil(folder)
    n_releases, n_entries = len(live.releases()), len(live.app.store.audit.list())
    with pytest.raises(GateFailed, match="refused before anything loaded it"):
        adopt_folder(live.app, live.work, live.me, live.name, folder)
    (entry,) = live.app.store.audit.list()[n_entries:]
    assert (entry.action, entry.resource) == ("artefact.refused", f"project:{live.name}")
    assert len(live.releases()) == n_releases


@pytest.mark.requirement("ORG-13")
def test_a_folder_of_mlserver_serves_unchanged_over_its_raw_columns(shared: Site, tmp_path: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from headrace.training.tables import to_frame

    project = shared.project("brought")
    rows = {name: np.array(values, dtype=np.float64) for name, values in cars(200).items() if name in INPUTS}
    prepare = ColumnTransformer([("scaled", StandardScaler(), list(INPUTS[1:]))], remainder="passthrough")
    model = make_pipeline(prepare, GradientBoostingRegressor(n_estimators=40, random_state=0))
    model.fit(to_frame(rows, INPUTS), np.array(cars(200)["price"]))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickled(model, "It"))
    (folder / "model-settings.json").write_text(
        '{"name": "cars", "implementation": "mlserver_sklearn.SKLearnModel"}'
    )
    app, work = project.app, project.work
    declare(app, project.me, project.folder)
    build_id = adopt_folder(app, work, project.me, project.name, folder)
    result = work.durable.result(build_id)
    assert result["release_id"], result["reason"]
    release = settle(app, work, result["release_id"], leaving=("proposed",))
    assert release.manifest.cause == "brought as a folder: model"
    package = project.verdicts(release)["package"]
    assert package.outcome == "passed", package.reason
    assert package.evidence["search"]["passed_over"] == []
    scorer = app.scorers.of_release(release.id)
    assert (scorer.info.engine, scorer.info.takes) == ("onnx", "raw")
    expected = model.predict(to_frame(rows, INPUTS))
    np.testing.assert_allclose(scorer.score(rows)["predict"], expected, rtol=1e-12)
    assert adopt_folder(app, work, project.me, project.name, folder) == build_id
    with pytest.raises(NotFound, match="There is no folder"):
        adopt_folder(app, work, project.me, project.name, tmp_path / "absent")
    with pytest.raises(Denied):
        adopt_folder(app, work, app.identities.resolve(VALIDATOR), project.name, folder)


def test_a_model_of_other_inputs_is_no_candidate(shared: Site, tmp_path: Path) -> None:
    project = shared.project("other-inputs")
    result = adopted(project, registered(project, "1", save(tmp_path / "few", fitted(("year", "mileage")))))
    assert result["release_id"] is None
    assert "5" in result["reason"]
    absent = adopted(project, f"models:/{project.name}/77")
    assert absent["release_id"] is None
    assert "no registered version '77'" in absent["reason"]


@pytest.mark.requirement("REG-08")
def test_a_version_whose_build_failed_says_so_and_is_tried_again_when_asked(
    shared: Site, tmp_path: Path
) -> None:
    project = shared.project("again")
    uri = registered(project, "1", tmp_path / "absent")
    tracker = project.app.tracker
    assert isinstance(tracker, MemoryTracker)
    assert adopted(project, f"models:/{project.name}/9")["release_id"] is None
    tracker.files[project.name, "1"] = save(tmp_path / "few", fitted(("year", "mileage")))
    first = adopt(project.app, project.work, project.me, project.name, uri)
    reason = project.work.durable.result(first)["reason"]
    assert tracker.tags[project.name, "1"] == {"headrace.release": "none", "headrace.reason": reason}
    (glance,) = [p for p in overview(project.app, project.me).projects if p.name == project.name]
    assert glance.last_finding is not None
    assert glance.last_finding.title.startswith("again version 1 of MLflow became no release: ")

    # Asked again, with what was wrong mended: a new attempt, by the same person, for the same version.
    tracker.files[project.name, "1"] = save(tmp_path / "whole", fitted())
    second = adopt(project.app, project.work, project.me, project.name, uri)
    assert second != first
    assert adopt(project.app, project.work, project.me, project.name, uri) == second
    release_id = project.work.durable.result(second)["release_id"]
    assert release_id
    assert tracker.tags[project.name, "1"]["headrace.release"] == release_id
    assert adopt(project.app, project.work, project.me, project.name, uri) == second
    settled = settle(project.app, project.work, release_id, leaving=("proposed",))
    assert (settled.author, settled.manifest.params["model"]) == (AUTHOR, uri)


def test_only_whoever_may_build_the_project_adopts(shared: Site) -> None:
    project = shared.project("rights")
    declare(project.app, project.me, project.folder)
    app, work = project.app, project.work
    with pytest.raises(Denied):
        adopt(app, work, app.identities.resolve(VALIDATOR), project.name, f"models:/{project.name}/1")
    with pytest.raises((NotFound, Denied)):
        adopt(app, work, project.me, "absent", "models:/absent/1")
    for uri in ("models:/cars", "models:/cars/x", "runs:/1/model", "/etc/passwd", "models:/a/b/1"):
        with pytest.raises(InvalidInput, match="Expected models:/NAME/VERSION"):
            adopt(app, work, project.me, project.name, uri)


def test_a_model_that_is_no_project_s_is_kept_and_nothing_is_started(shared: Site) -> None:
    app, me = shared.app, shared.app.me()
    kind, why = registered_by(app, shared.work, me, "nobodys", "1")
    assert kind == "note"
    assert why.startswith("kept in the registry, no release was started: There is no project 'nobodys' here.")
    elsewhere = replace(me, workspace="north")
    project = shared.project("southern")
    declare(app, me, project.folder)
    kind, why = registered_by(app, shared.work, elsewhere, "southern", "1")
    assert (kind, why) == ("note", "kept in the registry: no project is called southern")
    assert shared.work.durable.status("build:southern:mlflow:southern:1") == "absent"
