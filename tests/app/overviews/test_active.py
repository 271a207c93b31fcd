"""What is active where, and versions as folders for MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headrace.app.composition import App, open_app
from headrace.app.overviews.active import active, export_embedded, export_model
from headrace.core.errors import Conflict, Denied, NotFound
from headrace.core.identity import Principal
from headrace.plugins.mlflow_model import _load_pyfunc
from headrace.testing.factories import make_settings
from headrace.training.embedded import load
from headrace.training.package import load_scorer
from headrace.training.registry import register_model
from tests.web.making import AUTHOR
from tests.web.seed import VIEWER, Seeded, seed


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Seeded]]:
    with open_app(make_settings(tmp_path_factory.mktemp("active") / "home")) as app:
        seeded = seed(app)
        app.identities.add("bea", ["developer"], actor=AUTHOR, workspace="north")
        yield app, seeded


def _me(app: App, name: str = VIEWER) -> Principal:
    return app.identities.resolve(name)


@pytest.mark.requirement("REG-02")
def test_every_active_version_is_listed_with_its_share_its_approval_and_its_place_in_mlflow(
    home: tuple[App, Seeded],
) -> None:
    app, seeded = home
    found = {(a.project, a.environment): a for a in active(app, _me(app))}
    routes = {route.project: route for route in app.store.rollouts.routes()}
    assert {project for project, _ in found} == set(routes)
    for (project, environment), one in found.items():
        route = routes[project]
        assert one.release_id == (route.live if environment == "production" else route.canary)
        assert one.since is not None
        assert one.approved_by
        assert one.version.startswith(f"{project}@")
        assert one.mlflow_alias == (
            "champion" if one.mlflow_version and environment == "production" else None
        )
    on_trial = [a for a in found.values() if a.environment == "canary"]
    assert [a.release_id for a in on_trial] == [seeded.canary]
    live = found[on_trial[0].project, "production"]
    assert live.share_percent + on_trial[0].share_percent == 100
    assert 0 < on_trial[0].share_percent < 100


def test_another_workspace_sees_nothing_of_it(home: tuple[App, Seeded], tmp_path: Path) -> None:
    app, _ = home
    assert active(app, _me(app, "bea")) == []
    with pytest.raises(Denied):
        export_model(app, _me(app, "bea"), "cars@1", tmp_path / "out")


@pytest.mark.requirement("REG-08")
def test_an_exported_version_answers_as_its_package_does(home: tuple[App, Seeded], tmp_path: Path) -> None:
    app, seeded = home
    release = app.store.releases.get(seeded.cars_live)
    run = app.store.runs.get(release.manifest.run_id)
    model = register_model(app.store, app.clock, replace(run, package=release.manifest.subject.package))
    project = model.project
    with pytest.raises(Denied, match="may not data.read"):
        export_model(app, _me(app), f"{project}@{model.version}", tmp_path / "out")
    folder = export_model(app, _me(app, AUTHOR), f"{project}@{model.version}", tmp_path / "out")
    loaded = _load_pyfunc(str(folder / "model.package"))
    scorer = load_scorer(app.store.artifacts.path(model.package.digest))
    texts = {spec.name for spec in scorer.inputs if spec.kind == "text"}
    row = {
        name: np.array(["x"], dtype=object) if name in texts else np.array([1.0])
        for name in scorer.encoding.columns
    }

    import pandas as pd

    expected = scorer.score(row)["predict"]
    assert np.asarray(loaded.predict(pd.DataFrame(row))).tolist() == expected.tolist()
    with pytest.raises(Conflict, match="is there already"):
        export_model(app, _me(app, AUTHOR), f"{project}@{model.version}", tmp_path / "out")
    with pytest.raises(NotFound):
        export_model(app, _me(app, AUTHOR), f"{project}@77", tmp_path / "other")


@pytest.mark.requirement("DEP-08")
def test_an_embedded_version_answers_as_its_package_does_and_leaves_on_the_record(
    home: tuple[App, Seeded], tmp_path: Path
) -> None:
    app, seeded = home
    release = app.store.releases.get(seeded.cars_live)
    run = app.store.runs.get(release.manifest.run_id)
    register_model(app.store, app.clock, replace(run, package=release.manifest.subject.package))
    name = release.manifest.project
    me = _me(app, AUTHOR)
    with pytest.raises(Denied, match="may not data.read"):
        export_embedded(app, _me(app), name, tmp_path / "out")
    with pytest.raises(NotFound, match="Nothing of 'absent' is live"):
        export_embedded(app, me, "absent@live", tmp_path / "out")
    folder = export_embedded(app, me, f"{name}@live", tmp_path / "out")
    scorer = load_scorer(app.store.artifacts.path(release.manifest.subject.package.digest))
    values = {spec.name: ["x"] if spec.kind == "text" else [1.0] for spec in scorer.inputs}
    columns = {
        column: np.array(given, dtype=object if given == ["x"] else None) for column, given in values.items()
    }
    expected = scorer.score(columns)["predict"].tolist()
    assert list(load(folder).predict(values)["predict"]) == expected
    with pytest.raises(Conflict, match="is there already"):
        export_embedded(app, me, name, tmp_path / "out")
    (entry, *_) = [e for e in app.store.audit.list() if e.action == "model.export" and "form" in e.detail][
        -1:
    ]
    assert (entry.actor, entry.detail["form"]) == (AUTHOR, "embedded")
