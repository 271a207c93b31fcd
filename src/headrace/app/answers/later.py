"""Requests that are answered later: accepting them, looking after them, trying again what failed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import isfinite

import msgspec

from headrace.access.key_ring import KeyRing, PublicKey
from headrace.access.privacy.fields import KEY
from headrace.app.composition import CALLBACKS, App
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import derived_id, new_id
from headrace.core.jobs import Job
from headrace.core.ports import JobStore
from headrace.serving.claims import CLAIM_S
from headrace.serving.handler import Handler
from headrace.serving.later import Accepted, Kept, Later, Question, place_of, told

MAX_WAITING = 100_000
"""Requests that may wait in one workspace."""
KEPT_S = 86_400.0
"""How long an answer waits to be fetched, and what failed to be tried again."""
_TOGETHER = 500
"""Requests that are put back in one transaction: others want to write meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A workspace's queue: requests that are not answered yet, and those that were set aside."""

    workspace: str
    waiting: int
    buried: int


def kept_of(app: App) -> Kept:
    """Where requests and their answers are."""
    return Kept(jobs=app.store.jobs, queue=app.queue, events=app.store.events, payloads=app.payloads)


def later_of(app: App, handler: Handler, *, claim_s: float = CLAIM_S) -> Later:
    """What answers the requests that wait, by ``handler``.

    Args:
        claim_s: for how long what a killed process was answering stays its own; the same for all replicas.
    """
    return Later(
        kept_of(app),
        handler,
        app.callbacks,
        app.clock,
        resolve=app.identities.resolve,
        rules_of=app.access.privacy.rules,
        claim_s=claim_s,
    )


def delete_old_answers(app: App) -> int:
    """Delete answers that nobody has fetched in time, and what failed long ago."""
    return app.store.jobs.clean(app.clock.now() - timedelta(seconds=KEPT_S))


def accept(
    app: App,
    me: Principal,
    project: str,
    question: Question,
    key: str | None = None,
    *,
    callback: str | None = None,
) -> Job:
    """Keep a request to be answered later; it is stored when this returns.

    Args:
        key: the caller's own name for this request: under it, the same request is accepted once.
        callback: the address that is told of its end.

    Raises:
        Denied: ``me`` may not predict with the project.
        NotFound: nothing of it is live.
        InvalidInput: ``callback`` may not be told, or a value has no form in which it could be kept.
        Conflict: another request was accepted under ``key``.
        Unavailable: too many wait, or it cannot be stored now.
    """
    app.gatekeeper.require(me, "predict", f"project:{project}")
    if app.store.rollouts.route(project) is None:
        raise NotFound(f"Nothing of {project!r} is live. Make a release live first: headrace run.")
    if callback is not None:
        app.callbacks.check(callback)
    workspace = app.store.projects.workspace(project)
    text = _text(question)
    digest = hashlib.sha256(f"{text}\n{callback or ''}".encode()).hexdigest()
    now = app.clock.now()
    job_id = new_id(now) if key is None else derived_id("prediction", project, me.name, key)
    if key is not None and (standing := _find(app, job_id)) is not None:
        return _same(standing, digest)
    if app.queue.waiting().get(workspace, 0) >= MAX_WAITING:
        raise Unavailable(
            f"{MAX_WAITING} requests wait in this workspace and no more is accepted. Try again later."
        )
    job = Job(
        id=job_id,
        project=project,
        workspace=workspace,
        principal=me.name,
        at=now,
        digest=digest,
        request=app.payloads.seal(project, place_of(job_id), text),
        subjects=_subjects(app, project, question),
        callback=None if callback is None else app.payloads.seal(project, place_of(job_id), callback),
    )
    # Put before the request is durable: an item without one is dropped, a request without an item would wait
    # for ever.
    with app.store.transaction():
        standing = app.store.jobs.add(job)
        if standing.at == job.at and standing.digest == digest:
            app.queue.put(workspace, job_id)
    return _same(standing, digest)


class StoredSubmissions:
    """Implements ``Submissions`` by the database and the queue."""

    def __init__(self, app: App) -> None:
        self._app = app

    def accept(
        self, me: Principal, project: str, question: Question, key: str | None, *, callback: str | None
    ) -> Accepted:
        """As :func:`accept`."""
        return told(accept(self._app, me, project, question, key, callback=callback), self._app.payloads)

    def find(self, me: Principal, job_id: str) -> Accepted:
        """As :func:`find_job`."""
        return told(find_job(self._app, me, job_id), self._app.payloads)


def find_job(app: App, me: Principal, job_id: str) -> Job:
    """The request with its answer, if there is one yet, to who asked it or who may read the project's data.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    job = app.store.jobs.get(job_id)
    action = "predict" if job.principal == me.name else "data.read"
    if not app.gatekeeper.allows(me, action, f"project:{job.project}"):
        raise NotFound(f"There is no prediction {job_id!r} here. Answers are kept for a day.")
    return job


def queues(app: App, me: Principal) -> list[Waiting]:
    """How many requests wait in each workspace."""
    app.gatekeeper.require(me, "release.rollback", f"workspace:{me.workspace}")
    waiting, buried = app.queue.waiting(), app.queue.buried()
    return [
        Waiting(workspace=name, waiting=waiting.get(name, 0), buried=buried.get(name, 0))
        for name in sorted(waiting.keys() | buried.keys())
        if name == me.workspace
    ]


def callback_keys(app: App) -> list[PublicKey]:
    """The public keys by which receivers verify what they are told, the one that signs first."""
    return KeyRing(app.settings.home / "keys", CALLBACKS).public_keys()


def failed(app: App, me: Principal, project: str) -> list[Job]:
    """Requests of a project that were given up, oldest first.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    return app.store.jobs.list(project=app.store.projects.get(project).name, state="failed")


def try_again(app: App, me: Principal, project: str, ids: Sequence[str] = ()) -> list[Job]:
    """Put requests that were given up back into the queue: those with these ids, or all.

    Raises:
        Denied: ``me`` does not operate the project.
        NotFound: one of ``ids`` was not given up.
    """
    app.gatekeeper.require(me, "release.rollback", f"project:{project}")
    name, workspace = app.store.projects.get(project).name, app.store.projects.workspace(project)
    if ids:
        chosen = [_given_up(app, name, job_id) for job_id in ids]
    else:
        chosen = app.store.jobs.list(project=name, state="failed", limit=MAX_WAITING)
    again: list[Job] = []
    for start in range(0, len(chosen), _TOGETHER):
        some = chosen[start : start + _TOGETHER]
        with app.store.transaction():
            again += [app.store.jobs.change(_as_new(job)) for job in some]
            app.queue.revive(workspace, [job.id for job in some])
    if again:
        detail = {"requests": [job.id for job in again][:100], "count": len(again)}
        app.store.audit.append(me.name, "queue.retry", f"project:{project}", detail)
    return again


def _text(question: Question) -> str:
    """A request as it is kept. JSON would turn a number that it has no form for into a gap."""
    for name, column in question.columns.items():
        for row, value in enumerate(column):
            if isinstance(value, float) and not isfinite(value):
                raise InvalidInput(
                    f"Input {name[:80]!r}, row {row}: got {value}. Expected a finite number or null."
                )
    try:
        return msgspec.json.encode(question, order="sorted").decode()
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(f"The rows hold a value that JSON has no form for: {error}.") from error


def _given_up(app: App, project: str, job_id: str) -> Job:
    job = _find(app, job_id)
    if job is None or (job.project, job.state) != (project, "failed"):
        raise NotFound(
            f"No request {job_id!r} of {project!r} has failed. See: headrace serve queue failed {project}."
        )
    return job


def _as_new(job: Job) -> Job:
    return replace(
        job,
        state="pending",
        attempts=0,
        error=None,
        kind=None,
        ended_at=None,
        callback_state=None,
        revision=job.revision + 1,
    )


def erase_requests(jobs: JobStore, project: str, names: Collection[str]) -> int:
    """Delete requests and answers about a subject; returns how many.

    Args:
        names: the hash of its key, beside what else it is called by.
    """
    return sum(jobs.remove(job.id) for name in names for job in jobs.about(project, name))


def _subjects(app: App, project: str, question: Question) -> list[str]:
    """Hashes of the keys that a request names, by which an erasure finds it."""
    rules = app.access.privacy.rules(project)
    approved = (terms.key for terms in app.access.charters.approved(project))
    columns = {KEY, rules.project.data.key, *approved} & question.columns.keys()
    named = [*(question.keys or ()), *(key for name in columns for key in question.columns[name or KEY])]
    return sorted({rules.hashed(key) for key in named if key is not None})


def _find(app: App, job_id: str) -> Job | None:
    try:
        return app.store.jobs.get(job_id)
    except NotFound:
        return None


def _same(standing: Job, digest: str) -> Job:
    if standing.digest != digest:
        raise Conflict(
            "Another request was accepted under this Idempotency-Key. Expected the same body. "
            "Use another key for another request."
        )
    return standing
