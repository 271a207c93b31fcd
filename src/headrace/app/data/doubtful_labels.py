"""Labels of a project's own table, or of another with its columns, that are probably wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.app.data.suspect_rows import table_to_check
from headrace.checks.mislabelled import FEWEST, Doubt, doubtful_classes, doubtful_numbers, summary
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.errors import InvalidInput
from headrace.core.project import Project
from headrace.data.encoding import Encoding
from headrace.data.frames import nulls, take
from headrace.training.out_of_fold import FOLDS, out_of_fold
from headrace.training.training_set import codes_of, input_columns

FIELDS = ("row", "given", "likely", "score", "reason")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What was found among ``n_rows`` rows with a label; rows count from 1, the first after the header."""

    n_rows: int
    rows: list[Doubt]
    reasons: list[dict[str, Any]]


def look_at_labels(folder: Path, project: Project, file: Path | None = None) -> Labels:
    """Rows whose label is probably wrong, the surest first.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is no table, lacks a declared column, or has too few rows; the project forecasts; or
            scikit-learn is not installed.
        UserCodeError: the project's own source function raised.
    """
    if project.task in UNSUPERVISED:
        raise InvalidInput(f"{project.name!r} learns from no labels, so none of them can be doubtful.")
    if project.task == "forecasting":
        raise InvalidInput(
            "A forecast has no labels that people gave. Look for outliers: headrace data check."
        )
    columns = table_to_check(folder, project, file)
    target = np.asarray(columns[project.data.target])
    classifies = project.task == "classification"
    kept = ~nulls(target)
    if not classifies:
        if target.dtype.kind not in "fiu":
            raise InvalidInput(
                f"The target {project.data.target!r} is no number in every row. See data check."
            )
        kept &= np.isfinite(target.astype(np.float64))
    classes: list[Any] = []
    if classifies:
        named, counts = np.unique(target[kept], return_counts=True)
        classes = named[counts >= FOLDS].tolist()
        # A class of a few rows cannot be learnt without some of them: nothing is said of it.
        kept &= codes_of(target, classes) >= 0
    at = np.flatnonzero(kept)
    if len(at) < FEWEST:
        raise InvalidInput(f"{len(at)} rows have a label to learn from. Expected at least {FEWEST}.")
    rows = take(columns, at)
    encoding = Encoding.fit(rows, input_columns(project))
    if classifies:
        codes = codes_of(target[at], classes)
        said = out_of_fold(rows, encoding, codes, classifies=True, seed=project.seed)
        found = doubtful_classes(codes, said, classes)
    else:
        truth = target[at].astype(np.float64)
        said = out_of_fold(rows, encoding, truth, classifies=False, seed=project.seed)
        found = doubtful_numbers(truth, said)
    listed = [replace(one, row=int(at[one.row]) + 1) for one in found]
    return Labels(n_rows=len(at), rows=listed, reasons=summary(found, at))
