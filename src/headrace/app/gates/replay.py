"""Sends a project's own later rows to a running server as if they happened now, with labels late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np

from headrace.app.compliance import approvals_needed
from headrace.app.composition import App
from headrace.app.credentials import hand_out
from headrace.app.data.table import project_table
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, InternalError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.data.frames import is_null, take

_CONNECTIONS = 4
_POLL_S = 0.1
_PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What to send, and where.

    Attributes:
        start, until: event times; rows from ``start`` up to, not including, ``until``.
        label_delay_s: how long after its event time a row's label is sent.
        step_s: how much event time passes between two rounds of watching; default: one window.
    """

    project: str
    start: datetime
    until: datetime | None
    label_delay_s: float
    url: str
    step_s: float | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a replay is; handed to ``on_step`` after each round."""

    moment: datetime
    share: float = 0.0
    answered: int = 0
    requests: int = 0
    labelled: int = 0
    waiting: list[str] = field(default_factory=list)
    build: str | None = None
    findings: list[Finding] = field(default_factory=list)


def replay_source(
    app: App, me: Principal, plan: Replay, on_step: Callable[[Progress], None] | None = None
) -> Progress:
    """Run ``plan`` to its end; ``on_step`` may approve what waits before the next round begins.

    Raises:
        NotFound: no server answers at the address, or there is no row in the period.
        Conflict: the server refused a request.
    """
    project = app.store.projects.get(plan.project)
    if project.data.time is None:
        raise InvalidInput(
            f"Project {project.name!r} has no time column, so there is no order to replay in. "
            "Add data.time to headrace.yaml."
        )
    table = _rows(_table(app, me, project), project, plan)
    times = table[project.data.time]
    end = plan.until or _utc(times[-1]) + timedelta(seconds=1)
    step = timedelta(seconds=plan.step_s or project.monitors.window_s)
    subjects = np.full(len(times), None, dtype=object)
    progress = Progress(moment=plan.start)
    with _Client(app, me, plan.url) as client, ThreadPoolExecutor(_CONNECTIONS) as pool:
        labelled_until = plan.start - step

        def send(requests: Sequence[_Request]) -> None:
            ids = pool.map(lambda request: client.infer(project.name, request.body), requests)
            for request, answer in zip(requests, ids, strict=True):
                subjects[request.rows] = [f"{answer}:{i}" for i in range(len(request.rows))]

        def watch() -> None:
            progress.build = client.watch(project.name)["build"]
            _settle_builds(app, project.name)
            progress.waiting = [r.id for r in app.store.releases.list(project.name) if r.state == "waiting"]
            progress.findings = reading.findings(app, me, project.name)
            if on_step is not None:
                on_step(progress)
            _until(app, lambda: not _is_due(app, project.name))

        while progress.moment < end:
            after = min(progress.moment + step, end)
            chosen = _between(times, progress.moment, after)
            requests = list(_requests(project, table, chosen))
            send(requests[:1])
            if progress.moment > plan.start:  # the window before is closed now
                watch()
            send(requests[1:])
            progress.requests += len(requests)
            progress.answered += len(chosen)
            due = after - timedelta(seconds=plan.label_delay_s)
            known = _between(times, labelled_until, due)
            labels = list(_labels(project, take(table, known), subjects[known], plan))
            labelled_until = max(labelled_until, due)
            client.label(project.name, labels)
            progress.labelled += len(labels)
            progress.moment = after
            progress.share = (after - plan.start) / (end - plan.start)
        watch()
    return progress


def _settle_builds(app: App, project: str) -> None:
    """A build takes seconds here and would take weeks of replayed time: wait until none is under way,
    whichever round of watching began it; the server's own may have come before the one asked for here."""
    alerts = app.store.findings.alerts
    _until(app, lambda: all(alert.state != "acting" for alert in alerts(project)))


def _is_due(app: App, project: str) -> bool:
    """Whether an approved release is about to go on its way, which the next round must not overtake."""
    if app.store.rollouts.find_active(project) is not None:
        return False
    return any(
        release.state == "approved"
        or len(app.store.evidence.approvals(release.id)) >= approvals_needed(app, release)
        for release in app.store.releases.list(project)
        if release.state in ("waiting", "approved")
    )


def _until(app: App, happened: Callable[[], bool]) -> None:
    deadline_s = app.clock.monotonic_s() + _PATIENCE_S
    while not happened() and app.clock.monotonic_s() < deadline_s:
        app.clock.sleep(_POLL_S)


def _table(app: App, me: Principal, project: Project) -> dict[str, Any]:
    folder = Path(app.store.projects.path(project.name))
    with TemporaryDirectory(dir=app.settings.home) as scratch:
        return project_table(folder, project, Path(scratch) / "source", app, me.name)


def _rows(table: dict[str, Any], project: Project, plan: Replay) -> dict[str, Any]:
    times = table[project.data.time or ""]
    order = np.argsort(times, kind="stable")
    end = plan.until or datetime.max.replace(tzinfo=UTC)
    chosen = take(table, order[_between(times[order], plan.start, end)])
    if not len(chosen[project.data.time or ""]):
        raise NotFound(f"The source of {project.name!r} has no row from {plan.start:%Y-%m-%d} on.")
    return chosen


def _between(times: Any, start: datetime, end: datetime) -> Any:
    return np.flatnonzero((times >= _naive(start)) & (times < _naive(end)))


class _Request(NamedTuple):
    """The body of one request, and which rows of the table it asks about."""

    rows: Any
    body: bytes


def _requests(project: Project, table: dict[str, Any], chosen: Any) -> Iterator[_Request]:
    """Rows of one hour travel together, as an application that asks once an hour would send them."""
    time = project.data.time or ""
    names = [c.name for c in project.data.columns if c.role != "ignored"]
    numeric = {c.name for c in project.data.columns if c.role == "numeric"}
    if project.task == "forecasting":
        names, numeric = [time], set()
    hours = table[time].astype("datetime64[h]")
    for hour in np.unique(hours[chosen]):
        rows = chosen[hours[chosen] == hour]
        parameters: dict[str, Any] = {"event_time": _utc(table[time][rows[0]]).isoformat()}
        if project.data.key is not None:
            parameters["keys"] = [str(v) for v in table[project.data.key][rows]]
        inputs = [
            {
                "name": name,
                "shape": [len(rows)],
                "datatype": "FP64" if name in numeric else "BYTES",
                "data": _values(table[name][rows]),
            }
            for name in names
        ]
        body = {"id": str(hour), "parameters": parameters, "inputs": inputs}
        yield _Request(rows, msgspec.json.encode(body))


def _values(column: Any) -> list[Any]:
    if column.dtype.kind == "M":
        return [str(v) for v in column.astype("datetime64[s]")]
    if column.dtype.kind in "fiu":
        return [None if not np.isfinite(v) else float(v) for v in column]
    return list(column)


def _labels(project: Project, rows: dict[str, Any], subjects: Any, plan: Replay) -> Iterator[dict[str, Any]]:
    """Labels by business key where there is one, else by row id; a row without a target gets none, and where
    there are only clusters none does."""
    if project.task == "clustering" or project.data.target not in rows:
        return
    delay = timedelta(seconds=plan.label_delay_s)
    named = subjects if project.data.key is None else rows[project.data.key]
    moments, values = rows[project.data.time or ""], rows[project.data.target]
    for subject, moment, value in zip(named, moments, values, strict=True):
        if subject is None or is_null(value):
            continue
        yield {
            "subject": str(subject),
            "value": value if isinstance(value, str) else float(value),
            "observed_at": (_utc(moment) + delay).isoformat(),
        }


def _utc(moment: Any) -> datetime:
    return datetime.fromtimestamp(np.datetime64(moment, "us").astype(np.int64) / 1e6, UTC)


def _naive(moment: datetime) -> Any:
    return np.datetime64(moment.replace(tzinfo=None), "us")


class _Client:
    """The few calls a replay makes, with a token that is renewed while it lasts."""

    def __init__(self, app: App, me: Principal, url: str) -> None:
        self._app = app
        self._me = me
        self._http = httpx.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False)
        self._renew()

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def infer(self, project: str, body: bytes) -> str:
        answer: dict[str, Any] = msgspec.json.decode(self._post(f"/v2/models/{project}/infer", body).content)
        return str(answer["id"])

    def label(self, project: str, labels: list[dict[str, Any]]) -> None:
        for start in range(0, len(labels), 5000):
            part = labels[start : start + 5000]
            self._post(f"/api/v1/projects/{project}/labels", msgspec.json.encode({"labels": part}))

    def watch(self, project: str) -> dict[str, Any]:
        self._renew()
        result: dict[str, Any] = self._post(f"/api/v1/projects/{project}/watch", b"").json()
        return result

    def _renew(self) -> None:
        issued = hand_out(self._app, self._me.name, self._me)
        self._http.headers["authorization"] = f"Bearer {issued.text}"

    def _post(self, path: str, body: bytes) -> httpx.Response:
        try:
            answer = self._http.post(path, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise NotFound(
                f"No server answers at {self._http.base_url} ({error}). Start one with 'headrace up'."
            ) from error
        if answer.status_code >= 500:
            raise InternalError(f"{path} answered {answer.status_code}: {answer.text[:500]}")
        if answer.status_code >= 400:
            raise Conflict(f"{path} answered {answer.status_code}: {answer.text[:500]}")
        return answer
