"""Explanations by a function of the project, in a process of its own, from the code that its release was
approved with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.data import Artifact
from headrace.core.errors import NotFound
from headrace.core.ports import ArtifactStore, Columns
from headrace.core.project import Project
from headrace.core.record import Contributions, Explanation, Scale
from headrace.data.frames import as_column, n_rows
from headrace.data.sources import write_parquet
from headrace.training.definition import Definition, marked_names
from headrace.training.job import EXPLAINED
from headrace.training.launch import run_worker
from headrace.training.lock import unpack_code
from headrace.training.mixing import as_given, explained_class, said_of
from headrace.training.package import PackageScorer

TIMEOUT_S = 60.0

_explanation = msgspec.json.Decoder(Explanation)
EXPLAINERS = ("shapley", "lime")
"""Ways to explain an answer that need no function of the project."""


def check_explainer(project: Project, folder: Path) -> None:
    """Whether the declared explainer is one of ours or marked in ``project.py``; none of its code is run.

    Raises:
        NotFound: it is neither; the message lists those that there are.
    """
    name = project.serving.explainer
    if name in EXPLAINERS:
        return
    own = marked_names(folder, "explainer")
    if name not in own:
        raise NotFound(
            f"There is no explainer {name!r}. Headrace has: {', '.join(EXPLAINERS)}; project.py has: "
            f'{", ".join(sorted(own)) or "none"}. Mark a function there with @headrace.explainer("{name}"), '
            "or correct serving.explainer in headrace.yaml."
        )


class OwnExplainer:
    """Explains rows of one package by a function of its project.

    Args:
        code: archive that holds the function; ``name``: by which it is marked.
        package: the same that ``scorer`` was loaded from.
        background: raw training rows, which the function gets.
        scratch: a folder to work in; it is gone afterwards.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        code: Artifact,
        name: str,
        *,
        package: Path,
        scorer: PackageScorer,
        background: Columns,
        scratch: Path,
    ) -> None:
        self._artifacts = artifacts
        self._code = code
        self._name = name
        self._package = package
        self._inputs = scorer.encoding.inputs
        self._background = {name: as_column(background[name], name) for name in scorer.encoding.columns}
        self._scratch = scratch

    def explain(self, columns: Mapping[str, Any]) -> Explanation:
        """Explain rows.

        Raises:
            InvalidInput: an input is missing, or the model takes no such value.
            NotFound: the code has no such function.
            UserCodeError: it failed, took too long, or returned something else.
        """
        rows = {one.name: as_given(columns.get(one.name), one) for one in self._inputs}
        shutil.rmtree(self._scratch, ignore_errors=True)
        try:
            folder = self._scratch / "code"
            unpack_code(self._artifacts.get(self._code.digest), folder)
            tables = [(self._scratch / name).resolve() for name in ("background.parquet", "rows.parquet")]
            for table, path in zip((self._background, rows), tables, strict=True):
                write_parquet(table, path)
            job = {
                "kind": "explain",
                "folder": str(folder.resolve()),
                "explainer": self._name,
                "package": str(self._package.resolve()),
                "tables": [str(table) for table in tables],
            }
            result = run_worker(job, self._scratch / "worker", cwd=folder, timeout_s=TIMEOUT_S)
            return _explanation.decode((result.output / EXPLAINED).read_bytes())
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


def explain_by(
    definition: Definition, name: str, scorer: PackageScorer, columns: Columns, background: Columns
) -> Explanation:
    """Ask the function of a project about each row; ``base`` is the mean over the background, whatever the
    function says.

    Raises:
        NotFound, UserCodeError: as :meth:`Definition.explain`.
    """
    rows = {one.name: as_given(columns.get(one.name), one) for one in scorer.encoding.inputs}
    others = {one.name: as_given(background.get(one.name), one) for one in scorer.encoding.inputs}
    classes = scorer.classes
    probability = None if classes is None else scorer.score(rows)["probability"]
    found = []
    for index in range(n_rows(rows)):
        row = {input_: values[index : index + 1] for input_, values in rows.items()}
        place = None if probability is None else explained_class(probability[index])

        def predict(asked: Mapping[str, Any], place: int | None = place) -> NDArray[np.float64]:
            table = {one.name: as_given(asked.get(one.name), one) for one in scorer.encoding.inputs}
            return said_of(scorer, table, place)

        said = definition.explain(name, predict, row, {key: values.copy() for key, values in others.items()})
        found.append(
            Contributions(
                of=None if classes is None or place is None else classes[place],
                base=float(predict(others).mean()),
                value=float(predict(row)[0]),
                contributions=said,
                confidence=None if probability is None else float(probability[index].max()),
            )
        )
    scale: Scale = "output" if classes is None else "probability"
    return Explanation(method="own", scale=scale, background_rows=n_rows(others), rows=found)
