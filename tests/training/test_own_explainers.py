"""A project's own function explains, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.data import Artifact
from headrace.core.errors import InvalidInput, NotFound, UserCodeError
from headrace.core.project import ServingSpec
from headrace.testing import MemoryArtifacts, make_project
from headrace.training.definition import load_definition
from headrace.training.lock import pack_code
from headrace.training.own_explainers import OwnExplainer, check_explainer, explain_by
from tests.training.pipelines import cars, inputs
from tests.training.test_explaining import case

CODE = """\
import headrace
import numpy as np


@headrace.explainer("without")
def without(predict, row, background):
    said = predict(row)[0]
    n_rows = len(background["year"])
    rows = {name: np.repeat(value, n_rows) for name, value in row.items()}
    return {name: said - predict({**rows, name: background[name]}).mean() for name in row}


@headrace.explainer("year_only")
def year_only(predict, row, background):
    return {"year": 1}


@headrace.explainer("broken")
def broken(predict, row, background):
    raise LookupError("no such thing")


@headrace.explainer("odd")
def odd(predict, row, background):
    return ODD
"""
ROWS = {name: values.tolist() for name, values in inputs(cars(2, seed=9)).items()}
BACKGROUND = inputs(cars(20, seed=3))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    def write(code: str = CODE) -> Path:
        made = tmp_path / "project"
        made.mkdir(exist_ok=True)
        (made / "project.py").write_text(code, encoding="utf-8")
        return made

    return write


@pytest.fixture
def own(tmp_path: Path, folder: Callable[..., Path]) -> Callable[[str], OwnExplainer]:
    artifacts = MemoryArtifacts()
    code: Artifact = artifacts.put(pack_code(folder()), "application/zip")

    def of(name: str, kind: str = "forest") -> OwnExplainer:
        package, scorer, _ = case(kind)
        path = tmp_path / "model.package"
        path.write_bytes(package)
        return OwnExplainer(
            artifacts,
            code,
            name,
            package=path,
            scorer=scorer,
            background=BACKGROUND,
            scratch=tmp_path / "scratch",
        )

    return of


@pytest.mark.requirement("TRC-10")
@pytest.mark.parametrize("kind", ["forest", "ridge"])
def test_it_is_asked_in_a_process_of_its_own_and_says_what_it_would_say_here(
    own: Callable[..., OwnExplainer], folder: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    _, scorer, _ = case(kind)
    found = own("without", kind).explain(ROWS)
    definition = load_definition(folder())
    columns = {name: np.array(values, dtype=object) for name, values in ROWS.items()}
    expected = explain_by(definition, "without", scorer, columns, BACKGROUND)
    assert found.method == "own"
    assert found.background_rows == 20
    for mine, here in zip(found.rows, expected.rows, strict=True):
        assert mine.contributions == pytest.approx(here.contributions)
        assert (mine.base, mine.value, mine.confidence) == pytest.approx(
            (here.base, here.value, here.confidence)
        )
    answers = scorer.score(inputs(cars(2, seed=9)))
    said = answers["predict"] if kind == "ridge" else answers["probability"][:, 1]
    assert [row.value for row in found.rows] == pytest.approx(said.tolist())
    assert not (tmp_path / "scratch").exists()


@pytest.mark.requirement("TRC-10")
def test_what_it_leaves_out_contributed_nothing(own: Callable[..., OwnExplainer]) -> None:
    (first, _) = own("year_only").explain(ROWS).rows
    assert first.contributions == {name: float(name == "year") for name in ROWS}


@pytest.mark.requirement("TRC-10")
def test_what_it_raises_is_told_with_its_line(own: Callable[..., OwnExplainer]) -> None:
    line = CODE.splitlines().index('    raise LookupError("no such thing")') + 1
    with pytest.raises(UserCodeError, match=f"project.py:{line} in broken: LookupError: no such thing"):
        own("broken").explain(ROWS)
    with pytest.raises(NotFound, match="has no explainer 'absent'; it has: broken, odd, without, year_only"):
        own("absent").explain(ROWS)
    with pytest.raises(InvalidInput, match="'year' is missing"):
        own("without").explain({"size": [1.0]})


@pytest.mark.parametrize(
    "odd", ["None", "{'colour': 1.0}", "{'year': float('nan')}", "{'year': 'much'}", "[1]"]
)
def test_anything_but_a_finite_number_for_each_input_is_refused(
    folder: Callable[..., Path], odd: str
) -> None:
    _, scorer, _ = case("ridge")
    definition = load_definition(folder(CODE.replace("ODD", odd)))
    columns: dict[str, Any] = {name: np.array(values, dtype=object) for name, values in ROWS.items()}
    with pytest.raises(UserCodeError, match="Expected a finite number for each of size, year"):
        explain_by(definition, "odd", scorer, columns, BACKGROUND)


@pytest.mark.requirement("TRC-10")
def test_an_explainer_that_nobody_knows_is_refused_before_anything_is_built(
    folder: Callable[..., Path],
) -> None:
    for name in ("shapley", "lime", "without"):
        check_explainer(make_project(serving=ServingSpec(explainer=name)), folder())
    with pytest.raises(NotFound, match="shapley, lime; project.py has: broken, odd, without, year_only"):
        check_explainer(make_project(serving=ServingSpec(explainer="witout")), folder())


def test_two_functions_do_not_have_one_name(folder: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="marks two explainers with one name"):
        load_definition(folder(CODE.replace('"odd"', '"broken"')))
    with pytest.raises(InvalidInput, match="Expected a name in quotes"):
        load_definition(folder(CODE.replace('"odd"', '"very odd"')))
