"""What another version would have said: recorded answers of a window, asked again of any model version."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.answers.recorded import answer_again, recorded_inputs
from headrace.app.composition import App
from headrace.app.elsewhere.attaching import STATEMENT
from headrace.checks.comparison import paired_interval
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.monitoring.ingest import ingest
from headrace.monitoring.joining import Labelled, answered_rows
from headrace.monitoring.performance import losses_of
from headrace.training.package import PackageScorer

MAX_ROWS = 1_000_000
_SAME = 1e-6
"""Answers that differ by less, relative to their size, are the same: a row alone and one among many may
round differently."""
_FEW = 5
_CONFIDENCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A row with one of the largest differences; ``subject`` is its id in the record."""

    subject: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The project's metric on rows whose truth is known; smaller is better.

    Attributes:
        difference: of the means, replayed less recorded; ``low`` to ``high`` is its paired 90 % interval.
    """

    metric: str
    n_rows: int
    recorded: float
    replayed: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """Recorded answers beside those of another version.

    Attributes:
        releases: rows that each release had answered.
        n_changed: rows whose answer differs.
        mean_difference, largest_difference: of the answers, or of two classes the probability of the last;
            of more classes that of the recorded one. Absolute.
        classes: how many rows moved from which class to which, most first; empty for numbers.
        moved: the rows that differ most.
        losses: None while no truth is known.
    """

    project: str
    version: int
    since: datetime
    until: datetime
    n_rows: int
    releases: dict[str, int]
    n_changed: int
    mean_difference: float
    largest_difference: float
    classes: dict[str, int]
    moved: list[Moved]
    losses: Losses | None


def backtest(
    app: App, me: Principal, project: str, version: int, since: datetime, until: datetime
) -> Backtest:
    """Ask a model version for the recorded inputs of a window of event time; nothing is recorded or sent.

    Args:
        version: of the project's registry: live, retired or never released.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such version, or no answer in the window.
        Conflict: an input was not recorded as it came.
        InvalidInput: the window is empty or too large, or the version takes an input that the record has not.
    """
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    if since >= until:
        raise InvalidInput(
            f"The window from {since:%Y-%m-%d} to {until:%Y-%m-%d} is empty. Its end is not included."
        )
    declared = app.store.projects.get(project)
    package = app.store.models.get(project, version).package
    if package.media_type == STATEMENT:
        raise InvalidInput(
            f"{project}@{version} answers elsewhere: its model is not here, so that it cannot be asked again."
        )
    scorer = app.scorers.of_package(package.digest)
    ingest(project, app.store.events, app.store.tables, numeric=numeric_inputs(app.store, declared))
    rows = answered_rows(project, app.store.tables, since=since, until=until, most=MAX_ROWS + 1)
    if not len(rows.subject):
        raise NotFound(f"The record of {project!r} has no answer from {since:%Y-%m-%d} to {until:%Y-%m-%d}.")
    if len(rows.subject) > MAX_ROWS:
        raise InvalidInput(f"The window has more than {MAX_ROWS:,} rows. Name a shorter one.")
    again = replace(
        rows,
        outputs=answer_again(scorer, recorded_inputs(app, project, scorer.encoding.inputs, rows.columns)),
    )
    differences = _differences(rows, again, scorer)
    before, after = rows.outputs["predict"], again.outputs["predict"]
    classifies = scorer.classes is not None
    largest = np.argsort(-differences, kind="stable")[:_FEW]
    return Backtest(
        project=project,
        version=version,
        since=since,
        until=until,
        n_rows=len(rows.subject),
        releases=dict(Counter(rows.release_id.tolist())),
        n_changed=int((differences > _SAME * np.maximum(1.0, _sizes(before))).sum()),
        mean_difference=float(differences.mean()),
        largest_difference=float(differences.max()),
        classes=_between_classes(before, after) if classifies else {},
        moved=[
            Moved(subject=str(rows.subject[at]), recorded=_plain(before[at]), replayed=_plain(after[at]))
            for at in largest
            if differences[at] > 0
        ],
        losses=_losses(app, declared.gates.model.metric, rows, again, scorer),
    )


def _differences(rows: Labelled, again: Labelled, scorer: PackageScorer) -> NDArray[np.float64]:
    """How far the answers are apart, ``(n_rows,)``, not negative."""
    recorded, replayed = rows.outputs.get("probability"), again.outputs.get("probability")
    if scorer.classes is None:
        found = np.abs(np.asarray(again.outputs["predict"] - rows.outputs["predict"], dtype=np.float64))
    elif recorded is None or replayed is None or recorded.shape[1] < replayed.shape[1]:
        raise InvalidInput("The recorded answers tell fewer classes apart than this version does.")
    else:
        chosen = np.nanargmax(recorded, axis=1) if replayed.shape[1] > 2 else np.ones(len(recorded), int)
        chosen = np.minimum(chosen, replayed.shape[1] - 1)
        at = np.arange(len(recorded))
        found = np.abs(replayed[at, chosen] - recorded[at, chosen])
    return np.nan_to_num(found, nan=np.inf)


def _sizes(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.abs(values) if values.dtype.kind == "f" else np.zeros(len(values))


def _between_classes(before: NDArray[Any], after: NDArray[Any]) -> dict[str, int]:
    pairs = zip(map(_plain, before), map(_plain, after), strict=True)
    moves = Counter(f"{one} to {other}" for one, other in pairs if str(one) != str(other))
    return dict(moves.most_common())


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(value, bool) else value


def _losses(app: App, metric: str, rows: Labelled, again: Labelled, scorer: PackageScorer) -> Losses | None:
    replayed = losses_of(metric, again, scorer.classes)
    recorded = np.full(len(replayed), np.nan)
    for release_id in set(rows.release_id.tolist()):
        mine = rows.release_id == release_id
        recorded[mine] = losses_of(metric, rows.of(mine), app.scorers.of_release(str(release_id)).classes)
    known = np.isfinite(recorded) & np.isfinite(replayed)
    if known.sum() < 2:
        return None
    interval = paired_interval(replayed[known], recorded[known], _CONFIDENCE)
    return Losses(
        metric=metric,
        n_rows=int(known.sum()),
        recorded=float(recorded[known].mean()),
        replayed=float(replayed[known].mean()),
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
    )
