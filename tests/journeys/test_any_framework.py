"""An estimator of one's own, and a framework on no list: from `headrace init` to equal live answers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

import headrace
from headrace.core.settings import read_settings
from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, serving
from tests.journeys.tables import write_cars

pytestmark = [pytest.mark.journey, pytest.mark.slow]
OWN = """

import pricing


@headrace.trainer
def ours(data: headrace.TrainingData):
    return pricing.Slopes().fit(data.X, data.y)
"""
PRICING = '''\
import numpy


class Slopes:
    """Least squares in numpy, with a class of our own."""

    def fit(self, X, y):
        self.slopes = numpy.linalg.lstsq(self._full(X), y, rcond=None)[0]
        return self

    def predict(self, X):
        return self._full(X) @ self.slopes

    def _full(self, X):
        X = numpy.nan_to_num(numpy.asarray(X, dtype=float))
        kinds = numpy.stack([X[:, 2] == code for code in (0, 1)], axis=1)
        return numpy.column_stack([numpy.ones(len(X)), X[:, :2], kinds])
'''
FRAMEWORK = """

@headrace.trainer
def ours(data: headrace.TrainingData):
    import numpy
    from statsmodels.discrete.discrete_model import Poisson

    scaled = numpy.nan_to_num(data.X.astype(float)) / numpy.array([1000.0, 1e6, 1.0])
    full = numpy.column_stack([numpy.ones(len(scaled)), scaled])
    return Scaled(Poisson(data.y.clip(1) / 1e4, full).fit(disp=0))


class Scaled:
    def __init__(self, result):
        self.result = result

    def predict(self, X):
        import numpy

        X = numpy.nan_to_num(numpy.asarray(X, dtype=float)) / numpy.array([1000.0, 1e6, 1.0])
        return 1e4 * numpy.asarray(self.result.predict(numpy.column_stack([numpy.ones(len(X)), X])))
"""
ROWS: dict[str, list[Any]] = {
    "year": [2009.0, 2015.0, 2019.0],
    "mileage": [120_000.0, 40_000.0, 2_000.0],
    "fuel": ["Petrol", "Diesel", "Hybrid"],
}


@pytest.mark.requirement("TPL-08")
@pytest.mark.parametrize(
    ("code", "modules", "names"),
    [
        (OWN, {"pricing.py": PRICING}, ["pricing.Slopes (pricing.py)"]),
        (FRAMEWORK, {}, ["project.Scaled (project.py)", "(statsmodels "]),
    ],
    ids=["own-class", "framework"],
)
def test_whatever_fits_a_model_goes_live_once_a_person_has_agreed(
    shell: Shell, code: str, modules: dict[str, str], names: list[str]
) -> None:
    if "statsmodels" in code and find_spec("statsmodels") is None:
        pytest.skip("needs statsmodels")
    table = write_cars(shell.folder / "cars.csv")
    assert shell("init", "cars", "--data", str(table), "--target", "price").code == 0
    shell.folder = shell.folder / "cars"
    project, charter = shell.folder / "project.py", shell.folder / "headrace.yaml"
    project.write_text(project.read_text(encoding="utf-8") + code, encoding="utf-8")
    for name, text in modules.items():
        (shell.folder / name).write_text(text, encoding="utf-8")
    kept = charter.read_text(encoding="utf-8").split("\nvariants:")[0]
    rest = charter.read_text(encoding="utf-8").split("\nvariants:")[1].split("\n\n", 1)[1]
    variants = "\nvariants:\n  - {name: baseline, trainer: baseline}\n  - {name: ours, trainer: ours}\n\n"
    changed = (kept + variants + rest).replace("approval: manual ", "approval: automatic ", 1)
    charter.write_text(changed, encoding="utf-8")
    assert shell("check").code == 0

    ran = shell("run", "--json")
    assert ran.code == 4, ran.out + ran.err
    release = ran.json["release"]
    assert release["state"] == "waiting", "the gates leave it to a person"
    verdicts = {one["gate"]: one for one in ran.json["verdicts"]}
    assert verdicts["artefact"]["outcome"] == "inconclusive"
    for name in names:
        assert name in verdicts["artefact"]["reason"]
    assert verdicts["package"]["outcome"] == "passed", verdicts["package"]["reason"]
    shown = shell("release", "show", release["id"])
    assert "it runs code that is on no list" in shown.out

    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    assert shell("release", "approve", release["id"]).code == 2, "not by whoever has made it"
    approve = ("--tick", "looked at its code", "--as", "reviewer", "--json")
    approved = shell("release", "approve", release["id"], *approve)
    assert approved.json["state"] == "live", approved.err
    with serving(shell) as url, client_of(shell, url, "ann") as client:
        answer = client.post("/api/v1/predict/cars", json={"columns": ROWS})
        assert answer.status_code == 200, answer.text
        live = [one["predict"] for one in answer.json()["predictions"]]
    with headrace.load("cars@live", settings=read_settings(shell.env())) as model:
        assert model.predict(ROWS).outputs["predict"] == live
    assert live == sorted(live)
    rebuilt = shell("model", "rebuild", "cars@1", "--json")
    assert rebuilt.code == 0, rebuilt.err
    assert rebuilt.json["same_predictions"] is True
