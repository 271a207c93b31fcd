"""Models of other libraries: trained, saved by MLflow, brought, proved, approved, asked, explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.app.answers.explanations import Explainers
from headrace.app.answers.serving import serving_of
from headrace.app.elsewhere.adopting import adopt_folder
from headrace.app.operations import decide, declare, settle
from headrace.app.overviews import reading
from headrace.core.errors import GateFailed
from tests.app.small import INPUTS, VALIDATOR, Site, Small, cars

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own code, on the newest of everything
ORDER = tuple(reversed(INPUTS))
"""In which the models were fitted; not that of the project."""


_PROGRAM = """\
import mlflow


class Doubled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["year"] * 2


mlflow.models.set_model(Doubled())
"""


def frame(n_rows: int, seed: int) -> Any:
    import pandas as pd

    rows = cars(n_rows, seed=seed)
    return pd.DataFrame({name: rows[name] for name in ORDER}), np.array(rows["price"])


def xgboost(folder: Path) -> Callable[[Any], Any]:
    import xgboost as library

    X, y = frame(200, 0)
    model = library.XGBRegressor(n_estimators=40, max_depth=3, n_jobs=1).fit(X, y)
    import mlflow.xgboost

    mlflow.xgboost.save_model(model, str(folder), pip_requirements=["xgboost-cpu"])
    predict: Callable[[Any], Any] = model.predict
    return predict


def xgboost_booster(folder: Path) -> Callable[[Any], Any]:
    import xgboost as library

    X, y = frame(200, 0)
    model = library.train({"max_depth": 3, "nthread": 1}, library.DMatrix(X, y), 40)
    import mlflow.xgboost

    mlflow.xgboost.save_model(model, str(folder), model_format="json", pip_requirements=["xgboost-cpu"])
    return lambda rows: model.predict(library.DMatrix(rows))


def catboost(folder: Path) -> Callable[[Any], Any]:
    library = pytest.importorskip("catboost", reason="CatBoost is an extra of 276 MB")
    X, y = frame(200, 0)
    model = library.CatBoostRegressor(
        n_estimators=40, depth=4, verbose=0, allow_writing_files=False, thread_count=1
    ).fit(X, y)
    import mlflow.catboost

    mlflow.catboost.save_model(model, str(folder), pip_requirements=["catboost"])
    predict: Callable[[Any], Any] = model.predict
    return predict


KINDS = {"xgboost": xgboost, "xgboost-booster": xgboost_booster, "catboost": catboost}


@pytest.mark.slow
@pytest.mark.requirement("SRV-01", "GAT-03", "DEP-09")
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_library_answers_as_it_did_where_it_was_made(
    shared: Site, tmp_path: Path, kind: str
) -> None:
    original = KINDS[kind](tmp_path / "model")
    project = shared.project(f"kind-{kind}")
    app, work = project.app, project.work
    declare(app, project.me, project.folder)
    build_id = adopt_folder(app, work, project.me, project.name, tmp_path / "model")
    result = work.durable.result(build_id)
    assert result["release_id"], result["reason"]
    release = settle(app, work, result["release_id"], leaving=("proposed",))
    package = project.verdicts(release)["package"]
    assert package.outcome == "passed", package.reason
    scorer = app.scorers.of_release(release.id)
    assert scorer.info.engine == "onnx", package.evidence["search"]["passed_over"]

    decide(app, work, app.identities.resolve(VALIDATOR), release.id, "approved", "as good as it was")
    assert project.delivered(release.id).state == "live"
    fresh, _ = frame(50, 7)
    answer = _answer(project, {name: fresh[name].tolist() for name in INPUTS})
    assert answer.release_id == release.id
    np.testing.assert_allclose(answer.outputs["predict"], original(fresh), rtol=2e-6)

    explained = Explainers(app).explain(release.id, answer.columns)
    assert explained.method == "trees"
    for value, row in zip(answer.outputs["predict"], explained.rows, strict=True):
        assert row.base + sum(row.contributions.values()) == pytest.approx(value, rel=1e-9)


def _answer(project: Small, columns: dict[str, list[Any]]) -> Any:
    """Through the handler that every protocol asks."""
    import asyncio

    serving = serving_of(project.app)
    serving.routes.refresh()
    try:
        return asyncio.run(serving.handler.predict(project.name, columns, principal=project.me))
    finally:
        serving.shadows.close()
        serving.recorder.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["statsmodels", "pyfunc"])
def test_what_is_a_program_or_a_pickle_of_other_classes_is_refused_before_it_is_loaded(
    shared: Site, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "model"
    X, y = frame(200, 0)
    if kind == "statsmodels":
        import mlflow.statsmodels
        import statsmodels.api as library

        fitted = library.OLS(y, X.astype(float)).fit()
        mlflow.statsmodels.save_model(fitted, str(folder), pip_requirements=["statsmodels"])
    else:
        import mlflow.pyfunc

        doubled = tmp_path / "doubled.py"
        doubled.write_text(_PROGRAM, encoding="utf-8")
        mlflow.pyfunc.save_model(str(folder), python_model=str(doubled), pip_requirements=["mlflow"])
    project = shared.project(f"refused-{kind}")
    declare(project.app, project.me, project.folder)
    with pytest.raises(GateFailed, match="refused before anything loaded it"):
        adopt_folder(project.app, project.work, project.me, project.name, folder)
    assert reading.releases(project.app, project.me, project.name) == []
