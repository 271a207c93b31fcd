"""Why a release answered as it did: its package against a sample of the rows that it was trained on."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

import msgspec
import numpy as np

from headrace.app.answers.input_kinds import latest_kinds, numeric_inputs
from headrace.app.answers.recorded import recorded_inputs
from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.record import Condition, Contributions, Explanation, Method
from headrace.data.frames import is_null, nulls, take
from headrace.gateway.prompts import is_prompt
from headrace.monitoring.ingest import explanations_table, ingest, predictions_table
from headrace.training.explaining import BACKGROUND_ROWS, Explainer
from headrace.training.lime import LimeExplainer
from headrace.training.own_explainers import OwnExplainer
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import load_rows, load_training_set

MAX_ROWS = 100
_NEWEST = """
    WITH newest AS (
        SELECT prediction_id, "at", release_id FROM t WHERE "row" = 0 ORDER BY "at" DESC LIMIT ?
    )
    SELECT newest.*, count(*) AS n FROM newest JOIN t USING (prediction_id)
    GROUP BY ALL ORDER BY newest."at" DESC
"""
_IMPORTANCE = """
    SELECT release_id, scale, input, count(*) AS n, avg(abs(contribution)) AS size,
        avg(contribution) AS mean, avg(confidence) AS confidence
    FROM t GROUP BY release_id, scale, input ORDER BY max("at") DESC, release_id, size DESC, input
"""
_KEPT = 8
_MOST_WAITING = 16
_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?::(\d{1,9}))?")


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer of the record: when, by which release, to how many rows."""

    id: str
    at: datetime
    release_id: str
    n_rows: int


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An answer as it was read from the record.

    Attributes:
        row: the one that was asked for; None: all.
        columns: of the table of answers, with the rows that were asked for.
    """

    project: str
    id: str
    row: int | None
    columns: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RecordedRow:
    """One row of an answer, as the record has it.

    Attributes:
        answer: what the model said.
        values: input name to what it was asked about, None for a gap; without what is not recorded.
    """

    answer: Any
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much an input has moved the answers of a release, over the explanations that are kept.

    Attributes:
        scale: what the numbers are measured in.
        size: mean of the contributions' absolute values; ``mean``: of the contributions themselves.
        confidence: mean over the same answers; None where the model gives no probabilities.
    """

    release_id: str
    input: str
    scale: str
    n_rows: int
    size: float
    mean: float
    confidence: float | None


_NAMED: dict[type, Method] = {LimeExplainer: "lime", OwnExplainer: "own"}


class Explainers:
    """One explainer per release, made when it is first asked for. Safe to call from several threads.

    The background is drawn from the training rows as they are kept now, by the seed of the run: rows that
    were erased are not in it, and privacy rules were applied when they were taken in.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="headrace-explain")
        self._waiting = 0
        self._of = lru_cache(maxsize=_KEPT)(self._make)

    def explain(self, release_id: str, columns: Mapping[str, Any]) -> Explanation:
        """What moved the answers of a release to these rows; whoever asks has been found to be allowed to.

        Args:
            columns: the inputs as the answer has them, at most :data:`MAX_ROWS` rows.

        Raises:
            InvalidInput: there are more rows, or the release cannot be explained; the message says why.
        """
        require_few(max((len(values) for values in columns.values()), default=0))
        return self._explainer(release_id).explain(columns)

    def method(self, release_id: str) -> Method:
        """How this release's answers are explained. Raises InvalidInput where they cannot be."""
        explainer = self._explainer(release_id)
        return explainer.method if isinstance(explainer, Explainer) else _NAMED[type(explainer)]

    def _explainer(self, release_id: str) -> Explainer | LimeExplainer | OwnExplainer:
        # An erasure writes a new version of the rows; what was drawn before is not used after it.
        release = self._app.store.releases.get(release_id)
        held = [self._app.store.snapshots.get(one["id"]) for one in release.manifest.snapshots]
        with self._lock:  # two that ask at once do not read the training set twice
            name = self._app.access.charters.in_force(release.project).serving.explainer
            return self._of(release_id, name, tuple(one.table_version for one in held))

    def require_few(self, n_rows: int) -> None:
        """Raises InvalidInput where more rows are to be explained than one request may ask for."""
        require_few(n_rows)

    async def apart(self, call: Callable[..., Explanation], *arguments: Any) -> Explanation:
        """Run ``call`` on the one thread that explanations have, so that answers do not wait for them.

        Raises:
            Unavailable: too many wait for it already.
        """
        if self._waiting >= _MOST_WAITING:
            raise Unavailable(f"{_MOST_WAITING} explanations are being computed already. Try again later.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *arguments))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish the one under way; those that wait are given up."""
        self._pool.shutdown(cancel_futures=True)

    def _make(
        self, release_id: str, name: str, _versions: tuple[int, ...]
    ) -> Explainer | LimeExplainer | OwnExplainer:
        store = self._app.store
        release = store.releases.get(release_id)
        run = store.runs.get(release.manifest.run_id)
        scorer = self._app.scorers.of_release(release_id)
        try:
            recipe = recipe_of(store, run)
            rows = load_rows(
                store, recipe.project, load_training_set(store.artifacts, recipe.training_set.digest)
            )
        except NotFound as error:
            raise InvalidInput(
                f"Release {release_id} cannot be explained: the rows that it was trained on are not kept "
                f"here. {error}"
            ) from error
        target = rows.columns[rows.target]
        usable = rows.train[rows.train < len(target)]
        usable = usable[~nulls(target[usable])]
        some = np.random.default_rng(run.seed).permutation(usable)[:BACKGROUND_ROWS]
        background = {name: rows.columns[name] for name in scorer.encoding.columns}
        path = store.artifacts.path(release.manifest.subject.package.digest)
        drawn = take(background, some)
        if name == "shapley":
            return Explainer(path, scorer, drawn)
        if name == "lime":
            return LimeExplainer(scorer, drawn)
        scratch = self._app.settings.home / "scratch" / f"explained-{new_id(self._app.clock.now())}"
        return OwnExplainer(
            store.artifacts,
            release.manifest.code,
            name,
            package=path,
            scorer=scorer,
            background=drawn,
            scratch=scratch,
        )


def require_few(n_rows: int) -> None:
    """Raises InvalidInput where more rows are to be explained than one request may ask for."""
    if n_rows > MAX_ROWS:
        raise InvalidInput(
            f"{n_rows} rows are to be explained. Expected at most {MAX_ROWS} at once: send several requests."
        )


def explain_answer(
    app: App, explainers: Explainers, me: Principal, answer: str, project: str | None = None
) -> Explanation:
    """Explain an answer of the record by its id: as it was explained when it was given, if that is kept, else
    now, with the release that gave it.

    Args:
        answer: its id, or ``ID:ROW``, the ``subject`` of one of its rows.
        project: whose answer it is; without it, all projects whose record ``me`` may read are searched.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: no such answer is in the record.
        Conflict: an input was not recorded as it came: ask together with the answer instead.
        InvalidInput: it is no id, or the release cannot be explained.
    """
    return explain_recorded(app, explainers, read_answer(app, me, answer, project))


def explain_recorded(app: App, explainers: Explainers, read: Recorded) -> Explanation:
    """As :func:`explain_answer`, of an answer that was read already.

    Raises:
        Conflict, InvalidInput: as :func:`explain_answer`.
    """
    kept = _kept(app, read)
    return _of_record(app, explainers, read.project, read.columns) if kept is None else kept


def recorded_rows(app: App, read: Recorded) -> list[RecordedRow]:
    """What a model was asked about and what it said; at most one row more than :data:`MAX_ROWS`.

    Example::

        read = read_answer(app, me, f"{answer_id}:0", "cars")
        recorded_rows(app, read)[0].values  # {'mileage': 12500.0, 'model': 'a4'}
    """
    found, kinds = read.columns, latest_kinds(app.store, read.project)
    columns = {
        column[3:]: _plain(found[column], kinds.get(column[3:])) for column in found if column[:3] == "in_"
    }
    answers = _plain(found["out_predict"], None) if "out_predict" in found else [None] * len(found["row"])
    return [
        RecordedRow(answer=said, values={column: values[place] for column, values in columns.items()})
        for place, said in enumerate(answers)
    ]


def _plain(values: Any, kind: str | None) -> list[Any]:
    """As people write them: the tables keep true and false as numbers, and a gap among numbers as NaN."""
    listed = [None if is_null(value) else value for value in np.asarray(values).tolist()]
    return [None if one is None else bool(one) for one in listed] if kind == "boolean" else listed


def read_answer(app: App, me: Principal, answer: str, project: str | None = None) -> Recorded:
    """An answer of the record.

    Args:
        answer, project: as of :func:`explain_answer`.

    Raises:
        Denied, NotFound, InvalidInput: as :func:`explain_answer`.
    """
    if project is None:
        names = [p.name for p in app.store.projects.list() if _may_read(app, me, p.name)]
    else:
        app.gatekeeper.require(me, "data.read", f"project:{project}")
        names = [app.store.projects.get(project).name]
    asked = _ID.fullmatch(answer)
    if asked is None:
        raise InvalidInput(
            f"{answer[:80]!r} is no id of an answer. Expected the 'id' that came with it, or the 'subject' "
            "of a row."
        )
    row = None if asked[2] is None else int(asked[2])
    for name in names:
        found = _recorded(app, name, asked[1], row)
        if len(found.get("release_id", ())):
            return Recorded(project=name, id=asked[1], row=row, columns=found)
    raise NotFound(f"There is no answer {answer} in the record that you may read.")


def _may_read(app: App, me: Principal, name: str) -> bool:
    return app.gatekeeper.allows(me, "data.read", f"project:{name}")


def newest_answers(app: App, me: Principal, project: str, limit: int = 20) -> list[Given]:
    """Answers of the record, the newest first, to choose one to explain.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    found = _query(app, app.store.projects.get(project).name, _NEWEST, [limit])
    if not found:
        return []
    rows = zip(*(found[name] for name in ("prediction_id", "at", "release_id", "n")), strict=True)
    return [
        Given(id=str(which), at=_moment(at), release_id=str(by), n_rows=int(n_rows))
        for which, at, by, n_rows in rows
    ]


def importances(app: App, me: Principal, project: str) -> list[Importance]:
    """How much each input has moved the answers that an explanation is kept of: the newest release first, and
    of each the largest first.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    found = _query(app, app.store.projects.get(project).name, _IMPORTANCE, [], explanations_table)
    if not found:
        return []
    columns = ("release_id", "input", "scale", "n", "size", "mean", "confidence")
    return [
        Importance(
            release_id=str(by),
            input=str(name),
            scale=str(scale),
            n_rows=int(n_rows),
            size=float(size),
            mean=float(mean),
            confidence=_or_none(confidence),
        )
        for by, name, scale, n_rows, size, mean, confidence in zip(
            *(found[column] for column in columns), strict=True
        )
    ]


def _kept(app: App, read: Recorded) -> Explanation | None:
    """What was said when the answer was given, if it is kept; reading the answer brought its table up to
    date."""
    which = "" if read.row is None else 'AND "row" = ? '
    sql = f'SELECT * FROM t WHERE prediction_id = ? {which}ORDER BY "row", place'
    values = [read.id, *([] if read.row is None else [read.row])]
    found = _rows(app, explanations_table(read.project), sql, values)
    cells = [dict(zip(found, one, strict=True)) for one in zip(*found.values(), strict=True)]
    if not cells:
        return None
    rows = [list(of_row) for _, of_row in groupby(cells, key=lambda cell: cell["row"])]
    return Explanation(
        method=cells[0]["method"],
        scale=cells[0]["scale"],
        background_rows=int(cells[0]["background_rows"]),
        rows=[_contributions(of_row) for of_row in rows],
    )


def _contributions(cells: Sequence[Mapping[str, Any]]) -> Contributions:
    """One row of an explanation, of what the table has of its inputs."""
    first = cells[0]
    errors = {cell["input"]: float(cell["standard_error"]) for cell in cells}
    return Contributions(
        of=None if first["of"] is None else msgspec.json.decode(first["of"]),
        base=float(first["base"]),
        value=float(first["value"]),
        contributions={cell["input"]: float(cell["contribution"]) for cell in cells},
        standard_errors=None if np.isnan(list(errors.values())).any() else errors,
        confidence=_or_none(first["confidence"]),
        fidelity=_or_none(first["fidelity"]),
        path=[_condition(cell) for cell in cells if cell["asked"]] if first["has_path"] else None,
    )


def _condition(cell: Mapping[str, Any]) -> Condition:
    return Condition(
        input=cell["input"],
        above=_or_none(cell["above"]),
        at_most=_or_none(cell["at_most"]),
        among=None if cell["among"] is None else msgspec.json.decode(cell["among"]),
        missing=bool(cell["missing"]),
    )


def _or_none(number: float) -> float | None:
    """The tables keep a null number as NaN."""
    return None if np.isnan(number) else float(number)


def _moment(at: np.datetime64) -> datetime:
    moment: datetime = at.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def _recorded(app: App, name: str, answer: str, row: int | None) -> dict[str, Any]:
    which = "" if row is None else 'AND "row" = ? '
    sql = f'SELECT * FROM t WHERE prediction_id = ? {which}ORDER BY "row" LIMIT ?'
    return _query(app, name, sql, [answer, *([] if row is None else [row]), MAX_ROWS + 1])


def _query(
    app: App, name: str, sql: str, values: list[Any], table_of: Callable[[str], str] = predictions_table
) -> dict[str, Any]:
    """A table that is made of the project's record, brought up to date, as ``t``; nothing where there is none
    yet."""
    project = app.store.projects.get(name)
    ingest(name, app.store.events, app.store.tables, numeric=numeric_inputs(app.store, project))
    return _rows(app, table_of(name), sql, values)


def _rows(app: App, table: str, sql: str, values: list[Any]) -> dict[str, Any]:
    """A table as it is, as ``t``."""
    if app.store.tables.version(table) is None:
        return {}
    return dict(app.store.tables.query(sql, {"t": (table, None)}, values))


def _of_record(app: App, explainers: Explainers, name: str, found: Mapping[str, Any]) -> Explanation:
    release_id = str(found["release_id"][0])
    ref = app.store.releases.get(release_id).manifest.subject.ref
    if is_prompt(ref):
        raise InvalidInput(
            f"{ref} is a prompt: what each input contributed to a text is not told in numbers. "
            f"Where an answer comes from: headrace monitor provenance {name} {found['prediction_id'][0]}"
        )
    inputs = app.scorers.of_release(release_id).encoding.inputs
    columns = {column.removeprefix("in_"): values for column, values in found.items() if column[:3] == "in_"}
    return explainers.explain(release_id, recorded_inputs(app, name, inputs, columns))
