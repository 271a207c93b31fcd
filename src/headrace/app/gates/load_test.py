"""Loads a release with its own test rows and says whether the declared service level holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil, isfinite
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np

from headrace.app.answers.open_loop import Arrived, Target, arrivals_s, send_load
from headrace.app.answers.trial import trial_server
from headrace.app.composition import App
from headrace.app.credentials import hand_out
from headrace.core.canonical import digest_of, plain
from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.project import ServiceLevel
from headrace.core.release import Outcome4, Release, Verdict
from headrace.data.frames import take
from headrace.serving.levels import Judgement, Plan, Step, judge, plan_replicas, quantile
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import load_rows, load_training_set

GATE = "load test"
SHARES = (0.25, 0.5, 1.0)
"""The rates that are tried, as shares of the declared one; the last decides."""
MAX_REQUESTS = 200_000
_WARM_UP_S = 1.0
_ROWS = 1_000
_FEW = 400
"""Requests that the 99th percentile needs, with its interval."""
_PATIENCE_S = 30.0
"""A step is made longer for their sake, up to this."""
_DATATYPES = {"number": "FP64", "boolean": "BOOL"}
OnProgress = Callable[[str, float], None]
"""Told what is being done, and the share of it that is done."""


@dataclass(frozen=True, kw_only=True)
class LoadTest:
    """What was tried and what came of it.

    Attributes:
        url: the server that was asked; none for one of the test's own.
        steps: by growing rate; the last is at the declared one.
        verdict: id of the verdict that keeps this as evidence on the release.
    """

    project: str
    release: str
    url: str | None
    level: ServiceLevel
    outcome: Outcome4
    reason: str
    steps: list[Step]
    plan: Plan
    n_rows: int
    verdict: str


class _Used(NamedTuple):
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What to try.

    Attributes:
        release_id: the live one unless given; before anything is live, the newest.
        url: a server that runs, whose answers are on record; a server of the test's own unless given.
        level: the project's own unless given.
        step_s: how long each step lasts; up to 30 s where the 99th percentile needs more requests.
        anywhere: whether ``url`` may be on another machine.
    """

    project: str
    release_id: str | None = None
    url: str | None = None
    level: ServiceLevel | None = None
    step_s: float = 5.0
    anywhere: bool = False


def run_load_test(
    app: App, me: Principal, plan: LoadPlan, on_progress: OnProgress = lambda _step, _share: None
) -> LoadTest:
    """Send the release's own test rows, one a request, at growing rates up to the declared one.

    Arrivals are a Poisson process that does not wait for answers, and time begins when a request was due.
    The first second is not counted. The result is kept as a verdict on the release.

    Raises:
        Denied: ``me`` may not run builds of the project, or not ask its models.
        NotFound: there is no release, or no server at ``url``.
        InvalidInput: no level is declared, or the address is another machine's.
    """
    resource = f"project:{plan.project}"
    app.gatekeeper.require(me, "project.run", resource)
    app.gatekeeper.require(me, "predict", resource)
    level = plan.level or app.access.charters.in_force(plan.project).serving.level
    if level is None:
        raise InvalidInput(
            f"Project {plan.project!r} declares no service level. Add to headrace.yaml, with your numbers:\n"
            "  serving:\n    level: {p99_ms: 50, requests_per_s: 100, availability: 0.999}\n"
            "and run 'headrace run', or give --p99-ms and --rate."
        )
    release = _release(app, plan)
    sizes = _sizes(level, plan.step_s)
    bodies = _bodies(app, release)
    token = hand_out(app, me.name, me).text
    with _server(app, plan, release) as url:
        target = Target(url=f"{url}/v2/models/{plan.project}/infer", token=token, bodies=bodies)
        steps = _run_steps(app, target, url, level, sizes, on_progress)
    judgement = judge(level, steps[-1])
    tested = LoadTest(
        project=plan.project,
        release=release.id,
        url=plan.url,
        level=level,
        outcome=judgement.outcome,
        reason=judgement.reason,
        steps=steps,
        plan=plan_replicas(level, steps[0], steps[-1]),
        n_rows=len(bodies),
        verdict=new_id(app.clock.now()),
    )
    _keep(app, me, tested, judgement)
    return tested


def _release(app: App, plan: LoadPlan) -> Release:
    route = app.store.rollouts.route(plan.project)
    if plan.release_id is None and route is not None:
        return app.store.releases.get(route.live)
    found = app.store.releases.list(plan.project)
    if plan.release_id is not None:
        found = [one for one in found if one.id == plan.release_id]
    if not found:
        wanted = plan.release_id or "to test"
        raise NotFound(f"Project {plan.project!r} has no release {wanted}. Make one with 'headrace run'.")
    if plan.url is not None and (route is None or found[0].id not in route.releases):
        raise InvalidInput(
            f"Release {found[0].id} does not answer at a server that runs. Leave --url out: the test then "
            "starts a server of its own."
        )
    return found[0]


def _sizes(level: ServiceLevel, step_s: float) -> list[int]:
    """Requests of each step: enough for the 99th percentile, and bounded."""
    rates = [share * level.requests_per_s for share in SHARES]
    sizes = [max(ceil(rate * step_s), min(_FEW, ceil(rate * _PATIENCE_S))) for rate in rates]
    if sum(sizes) > MAX_REQUESTS:
        raise InvalidInput(
            f"The test would send {sum(sizes):,} requests. Expected at most {MAX_REQUESTS:,}: give a smaller "
            "--seconds."
        )
    return sizes


def _bodies(app: App, release: Release) -> list[bytes]:
    """Test rows of the release's own data as requests of one row, as the model expects them."""
    run = app.store.runs.get(release.manifest.run_id)
    recipe = recipe_of(app.store, run)
    rows = load_rows(
        app.store, recipe.project, load_training_set(app.store.artifacts, recipe.training_set.digest)
    )
    inputs = [item for item in app.scorers.of_release(release.id).inputs if item.required]
    columns = take(rows.columns, rows.test[:_ROWS])
    values = {item.name: _plain(columns[item.name]) for item in inputs}
    return [
        msgspec.json.encode({
            "inputs": [
                {
                    "name": item.name,
                    "shape": [1],
                    "datatype": _DATATYPES.get(item.kind, "BYTES"),
                    "data": [values[item.name][row]],
                }
                for item in inputs
            ]
        })
        for row in range(len(columns[inputs[0].name]))
    ]  # fmt: skip


def _plain(column: Any) -> list[Any]:
    if column.dtype.kind == "M":
        return [str(value) for value in column.astype("datetime64[s]")]
    return [None if isinstance(v, float) and not isfinite(v) else v for v in np.asarray(column).tolist()]


@contextmanager
def _server(app: App, plan: LoadPlan, release: Release) -> Iterator[str]:
    if plan.url is None:
        with trial_server(app, release.id) as url:
            yield url
        return
    host = urlsplit(plan.url).hostname or ""
    if not plan.anywhere and not _is_loopback(host):
        raise InvalidInput(
            f"{plan.url!r} is another machine. A load test can bring a server down: if it is yours to load, "
            "add --anywhere."
        )
    yield plan.url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run_steps(
    app: App, target: Target, url: str, level: ServiceLevel, sizes: Sequence[int], on_progress: OnProgress
) -> list[Step]:
    clock, steps = app.clock, []
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {target.token}"}, trust_env=False
    ) as http:
        first = SHARES[0] * level.requests_per_s
        warm = arrivals_s(first, max(round(first * _WARM_UP_S), 20), seed=0)
        arrived = send_load(target, warm, clock, lambda n: on_progress("warm-up", n / len(warm)))
        if not arrived.latencies_ms:
            raise Unavailable(f"{target.url} gave no answer ({dict(arrived.errors)}). Nothing was tested.")
        for number, (share, n) in enumerate(zip(SHARES, sizes, strict=True)):
            rate = share * level.requests_per_s
            name = f"{rate:g} per second"
            before = _used(http)
            moments = arrivals_s(rate, n, seed=number + 1)
            arrived = send_load(target, moments, clock, lambda k, n=n, name=name: on_progress(name, k / n))  # type: ignore[misc]
            steps.append(_step(rate, n, arrived, before, _used(http)))
    return steps


def _step(rate: float, n: int, arrived: Arrived, before: _Used | None, after: _Used | None) -> Step:
    used_s = None if before is None or after is None else after.cpu_s - before.cpu_s
    p50, p95, p99 = (quantile(arrived.latencies_ms, q) for q in (0.5, 0.95, 0.99))
    return Step(
        offered_per_s=rate,
        answered_per_s=len(arrived.latencies_ms) / arrived.took_s,
        sent=n,
        failed=n - len(arrived.latencies_ms),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_share=None if used_s is None else used_s / arrived.took_s,
        cpu_ms=None if used_s is None else 1000 * used_s / n,
        memory_bytes=None if after is None else after.memory_bytes,
        generator_share=arrived.sender_share,
        errors=dict(arrived.errors),
    )


def _used(http: httpx.Client) -> _Used | None:
    """What the server says that it uses; none where it says nothing, such as behind a proxy of many."""
    try:
        answer = http.get("/metrics")
    except httpx.HTTPError:
        return None
    found = dict(line.split(" ")[:2] for line in answer.text.splitlines() if line.startswith("process_"))
    if answer.status_code != 200 or "process_cpu_seconds_total" not in found:
        return None
    return _Used(
        float(found["process_cpu_seconds_total"]), int(float(found.get("process_resident_memory_bytes", 0)))
    )


def _keep(app: App, me: Principal, tested: LoadTest, judgement: Judgement) -> None:
    """As evidence on the release, with an entry that says who tested."""
    evidence = {
        "declared": plain(tested.level),
        "server": tested.url or "of the test's own",
        "replicas": tested.plan.replicas,
        "why so many": tested.plan.reason,
        "level": {
            name: {"outcome": outcome, "measured": text} for name, (outcome, text) in judgement.parts.items()
        },
        "steps": [_row(step) for step in tested.steps],
    }
    verdict = Verdict(
        id=tested.verdict,
        subject_id=tested.release,
        gate=GATE,
        outcome=tested.outcome,
        reason=tested.reason,
        evidence=evidence,
        at=app.clock.now(),
    )
    detail = {
        "gate": GATE,
        "outcome": verdict.outcome,
        "verdict": verdict.id,
        "evidence": digest_of(verdict),
    }
    with app.store.transaction():
        app.store.audit.append(me.name, "gate.judge", f"release:{tested.release}", detail)
        app.store.evidence.add_verdict(verdict)


def _row(step: Step) -> dict[str, Any]:
    """A step as a line of a table; what is unbounded has no number."""
    p99 = step.p99_ms
    return {
        "offered per s": round(step.offered_per_s, 1),
        "answered per s": round(step.answered_per_s, 1),
        "sent": step.sent,
        "failed": step.failed,
        "p50 ms": _finite(step.p50_ms.value),
        "p95 ms": _finite(step.p95_ms.value),
        "p99 ms": _finite(p99.value),
        "p99 ms between": [round(p99.low, 3), round(p99.high, 3)] if isfinite(p99.high) else None,
        "processors": None if step.cpu_share is None else round(step.cpu_share, 3),
        "memory MiB": None if step.memory_bytes is None else round(step.memory_bytes / 2**20, 1),
    }


def _finite(value: float) -> float | None:
    return round(value, 3) if isfinite(value) else None
