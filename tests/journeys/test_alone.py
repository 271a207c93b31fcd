"""Six commands from a table to an answer: a pipeline of scikit-learn, XGBoost, or no framework at all."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.journeys.conftest import Ended, Shell
from tests.journeys.server import client_of, serving

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("cold")]
TRAINERS = {
    "sklearn": """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    forest = RandomForestRegressor(n_estimators=20, min_samples_leaf=3, random_state=data.seed)
    return make_pipeline(SimpleImputer(keep_empty_features=True), forest).fit(data.X, data.y)
""",
    "xgboost": """
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=100, random_state=data.seed, n_jobs=1).fit(data.X, data.y)
""",
    "numpy": """
    # No framework at all: least squares on what is known, given as the coefficients of a line.
    import numpy as np
    from sklearn.linear_model import LinearRegression

    known = np.nan_to_num(data.X)
    solved, *_ = np.linalg.lstsq(np.column_stack([known, np.ones(len(known))]), data.y, rcond=None)
    line = LinearRegression()
    line.coef_, line.intercept_, line.n_features_in_ = solved[:-1], solved[-1], known.shape[1]
    return line
""",
}
FORD = {"model": "Fiesta", "year": 2017.0, "transmission": "Manual", "mileage": 20000.0, "fuelType": "Petrol",
        "tax": 145.0, "mpg": 60.0, "engineSize": 1.0}  # fmt: skip


class Counted:
    """Counts the commands that somebody types."""

    def __init__(self, shell: Shell) -> None:
        self.shell, self.n = shell, 0

    def __call__(self, *arguments: str) -> Ended:
        self.n += 1
        return self.shell(*arguments)


@pytest.mark.slow
@pytest.mark.requirement("TPL-07")
@pytest.mark.parametrize("framework", TRAINERS)
def test_a_table_is_in_production_after_six_commands(shell: Shell, shared_data: Path, framework: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    headrace = Counted(shell)
    table = shared_data / "used_cars_ford.csv"
    assert headrace("init", "fords", "--data", str(table), "--target", "price").code == 0
    shell.folder = shell.folder / "fords"
    code, charter = shell.folder / "project.py", shell.folder / "headrace.yaml"
    text = code.read_text()
    code.write_text(
        text + f"\n\n@headrace.trainer\ndef own(data: headrace.TrainingData):{TRAINERS[framework]}"
    )
    variants = "variants:\n  - {name: baseline, trainer: baseline}\n  - {name: own, trainer: own}\n\n"
    charter.write_text(re.sub(r"variants:\n(  - .*\n)+\n", variants, charter.read_text()))

    assert headrace("check").code == 0
    ran = headrace("run", "--json")
    assert ran.code == 4, ran.err
    release = ran.json["release"]
    assert release["manifest"]["params"]["variant"] == "own"
    assert release["manifest"]["commit"].endswith("+changes")  # made from the first commit
    assert headrace("access", "user", "add", "reviewer", "--role", "validator").code == 0
    looked = ("--tick", "looked at the rows")
    assert headrace("release", "approve", release["id"], *looked, "--as", "reviewer").code == 0
    with serving(shell) as url, client_of(shell, url, "ann") as client:
        headrace.n += 1
        answer = client.post("/api/v1/predict/fords", json={"records": [FORD]})
        assert answer.status_code == 200, answer.text
        assert 4_000 < answer.json()["predictions"][0]["predict"] < 25_000
    assert headrace.n <= 6
