"""An exported model answers as the package does, in a process that has no Headrace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.training.embedding import LOADER, encoding_plan, write_embedded
from headrace.training.package import load_scorer
from headrace.training.preparing import Preparation
from tests.training.examples import table
from tests.training.pipelines import cars, fitted, inputs
from tests.training.test_package import _forecasting, _package
from tests.training.test_packaging import boosting, packaged

PROGRAM = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("headrace", "pandas", "sklearn", "lightgbm", "onnx", "msgspec"):
            raise ImportError(name + " is not here")
sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
from headrace_model import load
model = load(sys.argv[1])
columns = json.load(sys.stdin)
answer = model.predict(columns)
row = model.predict_row({name: values[0] for name, values in columns.items()})
table = {name: values if isinstance(values, list) else values.tolist() for name, values in answer.items()}
print(json.dumps({"table": table, "row": row}))
"""


def elsewhere(folder: Path, columns: dict[str, Any]) -> dict[str, Any]:
    """What the folder answers in a process where Headrace cannot be imported."""
    plain = {
        name: [None if isinstance(v, float) and np.isnan(v) else v for v in np.asarray(values).tolist()]
        for name, values in columns.items()
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(folder)],
        input=json.dumps(plain),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


SERVED = """
import sys
from pathlib import Path
from headrace.training.package import load_scorer
load_scorer(Path(sys.argv[1]).read_bytes())
"""


@pytest.mark.parametrize("is_served", [True, False])
def test_the_makers_of_the_runtime_are_told_nothing_of_a_model(is_served: bool, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "model.package"
    home.mkdir()
    path.write_bytes(_package())
    write_embedded(path, tmp_path / "model", name="cars", version="1")
    command = ["-P", "-c", SERVED, str(path)] if is_served else ["-I", "-c", PROGRAM, str(tmp_path / "model")]
    columns = {name: table(3, seed=3)[name].tolist() for name in ("size", "year", "fuel")}
    quiet = ("CI", "ORT_", "XDG_")  # by which it keeps quiet anyway, or writes elsewhere
    named = {name: value for name, value in os.environ.items() if not name.startswith(quiet)}
    done = subprocess.run(
        [sys.executable, *command],
        input=json.dumps(columns),
        env=named | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Before it sends anything, it writes who it is there.
    assert list(home.rglob("*")) == []


@pytest.mark.requirement("DEP-08")
@pytest.mark.parametrize("kind", ["raw", "numbers", "labels"])
def test_an_exported_model_gives_the_answers_of_its_package_without_headrace(
    kind: str, tmp_path: Path
) -> None:
    if kind == "raw":
        package = packaged(fitted(boosting("classification"), task="classification"), "classification")[
            0
        ].package
        columns = inputs(cars(40, seed=3))
        columns["fuel"][:2] = ["steam", ""]
        columns["fuel"][2:4] = [" gas", None]
    else:
        package = _package("text" if kind == "labels" else "")
        columns = {name: table(40, seed=3)[name] for name in ("size", "year", "fuel")}
        columns["fuel"][:3] = ["steam", " petrol ", None]
        columns["size"][:2] = [1e300, 0.1]
    path = tmp_path / "model.package"
    path.write_bytes(package)
    write_embedded(path, tmp_path / "out", name="cars", version="3")
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"model.onnx", "model.json", LOADER}
    answer = elsewhere(tmp_path / "out", columns)
    scorer = load_scorer(package)
    expected = scorer.score(columns)
    assert {name: values.tolist() for name, values in expected.items()} == answer["table"]
    first = scorer.score({name: values[:1] for name, values in columns.items()})
    assert {name: values.tolist()[0] for name, values in first.items()} == answer["row"]


CATEGORIES = ["petrol", "diesel", "hybrid"]
ENCODING = Encoding.fit(
    {
        "x": np.zeros(3),
        "fuel": np.array(CATEGORIES, dtype=object),
        "doors": np.array([2.0, 4.0, 5.0]),
        "new": np.array([True, False, True]),
    },
    [
        Column(name="x", role="numeric"),
        *(Column(name=name, role="categorical") for name in ("fuel", "doors", "new")),
    ],
)


@pytest.mark.requirement("FEA-03")
@given(
    st.one_of(st.none(), st.floats()),
    st.one_of(st.none(), st.sampled_from([*CATEGORIES, " diesel ", "steam", ""])),
    st.one_of(st.none(), st.floats(), st.sampled_from([2.0, 4.0])),
    st.one_of(st.none(), st.booleans()),
)
def test_an_encoding_as_a_plan_gives_the_same_numbers(x: Any, fuel: Any, doors: Any, new: Any) -> None:
    preparation = Preparation(json.loads(json.dumps(encoding_plan(ENCODING))))
    expected = np.array([ENCODING.encode_row([x, fuel, doors, new])], dtype=np.float32).astype(np.float64)
    np.testing.assert_array_equal(np.array([preparation.row([x, fuel, doors, new])]), expected)


def test_what_cannot_be_embedded_is_said(tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    native = tmp_path / "native.package"
    native.write_bytes(packaged(fitted(HistGradientBoostingRegressor(max_iter=5)))[0].package)
    with pytest.raises(InvalidInput, match="answers through its own library"):
        write_embedded(native, tmp_path / "out", name="cars", version="1")
    forecasting = tmp_path / "forecasting.package"
    forecasting.write_bytes(_forecasting())
    with pytest.raises(InvalidInput, match="forecasts from what it observes"):
        write_embedded(forecasting, tmp_path / "out", name="cars", version="1")
    assert not (tmp_path / "out").exists()
