"""A release rehearsed before anybody decides about it: the whole server, in a home of its own.

The release goes live there as it would here: signed, approved, rolled out, answering behind the access check,
recorded, labelled and counted. The consumers of its project ask it what they will ask. Nothing of it touches
the home that it is for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.app.answers.trial import server_process
from headrace.app.composition import App, open_app
from headrace.app.credentials import hand_out
from headrace.core.errors import Unavailable
from headrace.core.ports import Clock
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.core.settings import read_settings
from headrace.monitoring.ingest import ingest, predictions_table
from headrace.monitoring.joining import labelled_rows
from headrace.projects.contracts import Contract, Interaction, Request
from headrace.releases import delivery
from headrace.releases.contracts import Got, Kept, Part, judge_interaction
from headrace.store.disk import make_folder
from headrace.store.records import decode_prediction

if TYPE_CHECKING:
    import httpx

SERVER = "headrace.web.rehearsal_server"
N_TIMED = 31
"""How often a request is asked again where its time matters."""
_WARM_UP = 5
_PATIENCE_S = 60.0
_MAX_WORDS = 300


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """How each interaction came out, and how each component did."""

    kept: list[Kept]
    parts: list[Part]


class _Answer(NamedTuple):
    id: str
    release: str
    subject: str
    predicted: Any


def rehearse(
    app: App, project: Project, release: Release, contracts: Sequence[Contract], folder: Path
) -> Rehearsed:
    """Let ``release`` go live in a home made in ``folder``, and ask it all that ``contracts`` hold.

    Raises:
        Unavailable: the server of the rehearsal did not start, or gave no answer.
    """
    import httpx  # late: whoever opens a project gets here, and few rehearse

    with _home(app, release, project, folder) as own:
        stage = _Stage(app, project, f"/api/v1/predict/{project.name}")
        token = hand_out(own, own.me().name, own.me()).text
        try:
            with (
                server_process(own.settings, SERVER) as url,
                httpx.Client(base_url=url, timeout=_PATIENCE_S, trust_env=False) as http,
            ):
                doors = _doors(http, stage.path, contracts[0])
                http.headers["authorization"] = f"Bearer {token}"
                kept = [stage.ask(http, one.consumer, each) for one in contracts for each in one.interactions]
                label = _label(http, project.name, stage.answers)
                metrics = _metrics(http, release, len(stage.answers))
        except httpx.HTTPError as error:
            raise Unavailable(f"the rehearsal's server gave no answer ({type(error).__name__})") from error
        # What the server has written is read once it has ended: all of it has to be there by then.
        parts = [doors, _routed(release, stage.answers), _recorded(own, project.name, stage.answers)]
        return Rehearsed(kept=kept, parts=[*parts, _joined(own, project.name, label), metrics])


class _Stage:
    """Asks a contract's requests, and keeps which answers were given."""

    def __init__(self, app: App, project: Project, path: str) -> None:
        self.path = path
        self.answers: list[_Answer] = []
        self._clock: Clock = app.clock
        self._rules = app.access.privacy.rules(project.name)

    def ask(self, http: httpx.Client, consumer: str, one: Interaction) -> Kept:
        """One interaction: its request, those in which an input is null, and again where time matters."""
        asked = [self._got(http, one.request, None)]
        asked += [self._got(http, one.request.with_null(name), name) for name in one.may_be_null]
        took_ms: list[float] = []
        if one.within_ms is not None and all(got.status == 200 for got in asked):
            took_ms = [self._timed(http, one.request) for _ in range(_WARM_UP + N_TIMED)][_WARM_UP:]
        return judge_interaction(consumer, one, asked, took_ms)

    def _got(self, http: httpx.Client, request: Request, unknown: str | None) -> Got:
        response = http.post(self.path, json=request.body)
        if response.status_code != 200:
            words = self._rules.text(_words(response), request.values, None)
            return Got(status=response.status_code, words=words[:_MAX_WORDS], unknown=unknown)
        body = response.json()
        self._note(body)
        return Got(status=200, rows=body["predictions"], unknown=unknown)

    def _timed(self, http: httpx.Client, request: Request) -> float:
        started_s = self._clock.monotonic_s()
        response = http.post(self.path, json=request.body)
        took_ms = (self._clock.monotonic_s() - started_s) * 1000
        self._note(response.raise_for_status().json())
        return took_ms

    def _note(self, body: Mapping[str, Any]) -> None:
        first = body["predictions"][0]["predict"]
        self.answers.append(_Answer(body["id"], body["release"], body["subjects"][0], first))


def _words(response: httpx.Response) -> str:
    """Of a problem document what it says; of anything else how it begins."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:_MAX_WORDS]


@contextmanager
def _home(app: App, release: Release, project: Project, folder: Path) -> Iterator[App]:
    """A home in ``folder`` in which ``release`` is live, by the steps that it takes everywhere."""
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
    make_folder(folder)
    try:
        with open_app(read_settings({"HEADRACE_HOME": str(folder), "HEADRACE_USER": "rehearsal"})) as own:
            own.me()
            own.store.projects.save(project, str(folder))
            for artifact in (release.manifest.subject.package, release.manifest.baseline):
                own.store.artifacts.put_file(app.store.artifacts.path(artifact.digest), artifact.media_type)
            _go_live(own, project, release)
            yield own
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _go_live(own: App, project: Project, release: Release) -> None:
    proposed = replace(release, state="proposed", signature=own.access.signatures.sign(release))
    store, at = own.store, own.clock.now()
    store.releases.add(proposed)
    waiting = delivery.move(store, release.id, "gates_passed")
    delivery.approve_by_policy(store, waiting, at)
    delivery.begin(store, project, delivery.move(store, release.id, "approve"), at)
    delivery.start(store, release.id, at)
    delivery.move(store, release.id, "start_rollout")
    delivery.finish(store, release.id)
    store.epoch.advance()


def _doors(http: httpx.Client, path: str, contract: Contract) -> Part:
    """Nobody is answered without an identity."""
    status = http.post(path, json=contract.interactions[0].request.body).status_code
    return Part("access", status == 401, f"a request without a token got {status}")


def _routed(release: Release, answers: Sequence[_Answer]) -> Part:
    others = sum(answer.release != release.id for answer in answers)
    return Part("route", bool(answers) and not others, f"{len(answers) - others} of {len(answers)} answers")


def _recorded(own: App, project: str, answers: Sequence[_Answer]) -> Part:
    """Every answer that was given is in the durable record."""
    stream, known = predictions_table(project), set()
    for segment in own.store.events.segments(stream):
        offset = 0
        while offset < segment.size_bytes:
            records, offset = own.store.events.read(stream, segment.name, offset, 10_000)
            known |= {decode_prediction(record).id for record in records}
            if not records:
                break
    found = sum(answer.id in known for answer in answers)
    return Part("record", 0 < found == len(answers), f"{found} of {len(answers)} answers found again")


def _label(http: httpx.Client, project: str, answers: Sequence[_Answer]) -> str | None:
    """Send a label for the first answer; returns the row that it is about, if there is one."""
    if not answers:
        return None
    label = {"subject": answers[0].subject, "value": answers[0].predicted}
    http.post(f"/api/v1/projects/{project}/labels", json={"labels": [label]})
    return answers[0].subject


def _joined(own: App, project: str, subject: str | None) -> Part:
    """A label finds the answer that it belongs to, in the tables that monitoring reads."""
    ingest(project, own.store.events, own.store.tables, numeric=frozenset())
    joined = [str(one) for one in labelled_rows(project, own.store.tables).subject]
    works = subject is not None and joined == [subject]
    return Part("labels", works, f"{len(joined)} of 1 label joined to its answer")


def _metrics(http: httpx.Client, release: Release, n_answers: int) -> Part:
    response = http.get("/metrics")
    counted = [
        float(line.rpartition(" ")[2])
        for line in response.text.splitlines()
        if line.startswith("headrace_predictions_total{") and f'release="{release.id}"' in line
    ]
    seen = f"{sum(counted):.0f} of {n_answers} answers counted"
    return Part("metrics", 0 < n_answers == round(sum(counted)), seen)
