"""Where a project stands on the loop: declare, build, prove, approve, roll out, answer, watch, decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headrace.app.reading import ProjectReport
from headrace.core.data import Run
from headrace.core.record import Alert
from headrace.core.release import Approval, Release, Verdict
from headrace.web.pages.formats import percent, subject, words

State = Literal["done", "now", "on", "stopped", "next"]
_PAST_APPROVAL = (
    "approved",
    "rolling_out",
    "live",
    "aborted",
    "superseded",
    "rolled_back",
    "standing_by",
)


class Stage(NamedTuple):
    """One step of the loop; ``on`` goes on all the time, ``now`` is where something has to happen."""

    name: str
    state: State
    detail: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the line is drawn from; ``newest`` is the newest release, whatever became of it."""

    report: ProjectReport
    newest: Release | None
    verdicts: Sequence[Verdict]
    approvals: Sequence[Approval]
    runs: Sequence[Run]
    alerts: Sequence[Alert]
    n_requests: int
    n_windows: int


def lifecycle(facts: Facts) -> list[Stage]:
    """The eight stages, at least one of them ``now``."""
    stages = [stage(facts) for stage in _STAGES]
    if not any(stage.state in ("now", "stopped") for stage in stages):
        place = 6 if facts.n_windows else 5 if facts.report.live or _elsewhere(facts) else 1
        stages[place] = stages[place]._replace(state="now")
    return stages


def _elsewhere(facts: Facts) -> bool:
    """Whether the newest release answers where nothing is proved, decided or given traffic by us."""
    return facts.newest is not None and facts.newest.state == "external"


def _declare(facts: Facts) -> Stage:
    project = facts.report.project
    return Stage("declare", "done", f"{project.risk} risk")


def _build(facts: Facts) -> Stage:
    running = sum(run.state == "running" for run in facts.runs)
    if running:
        return Stage("build", "now", f"{running} training")
    finished = sum(run.state == "finished" for run in facts.runs)
    if facts.runs and not finished:
        return Stage("build", "stopped", "every run failed")
    detail = f"{finished} run{'' if finished == 1 else 's'}"
    return Stage("build", "done" if finished or facts.newest else "next", detail if finished else "")


def _prove(facts: Facts) -> Stage:
    newest = facts.newest
    if newest is None or newest.state == "external":
        return Stage("prove", "next", "elsewhere" if newest else "")
    gates = [verdict for verdict in facts.verdicts if not verdict.gate.startswith("canary look")]
    detail = f"{sum(v.outcome == 'passed' for v in gates)} of {len(gates)} gates passed"
    if newest.state == "refused":
        return Stage("prove", "stopped", detail)
    return Stage("prove", "now" if newest.state == "proposed" else "done", detail)


def _approve(facts: Facts) -> Stage:
    newest = facts.newest
    if newest is None or newest.state in ("proposed", "refused", "external"):
        return Stage("approve", "next", "elsewhere" if _elsewhere(facts) else "")
    if newest.state == "waiting":
        return Stage("approve", "now", "waits for a person")
    who = facts.approvals[-1].approver if facts.approvals else "somebody"
    who = "the gates" if who.startswith("policy:") else who
    if newest.state == "rejected":
        return Stage("approve", "stopped", f"rejected by {who}")
    return Stage("approve", "done", f"by {who}")


def _roll_out(facts: Facts) -> Stage:
    newest, route = facts.newest, facts.report.route
    if newest is None or newest.state not in _PAST_APPROVAL:
        return Stage("roll out", "next", "elsewhere" if _elsewhere(facts) else "")
    if newest.state in ("approved", "rolling_out"):
        if route is not None and route.split is not None:
            arm = next((arm for arm in route.split.arms if arm.release_id == newest.id), None)
            return Stage(
                "roll out", "now", f"{arm.name} at {percent(arm.share)}" if arm else "waits for a test"
            )
        if route is None or route.canary != newest.id:
            return Stage("roll out", "now", "canary at 0 %")
        detail = "shadow" if route.shadow else f"canary at {percent(route.canary_weight)}"
        return Stage("roll out", "now", detail)
    if newest.state in ("aborted", "rolled_back"):
        return Stage("roll out", "stopped", f"{subject(newest.manifest.subject.ref)} {words(newest.state)}")
    return Stage("roll out", "done", "stands by" if newest.state == "standing_by" else "promoted")


def _answer(facts: Facts) -> Stage:
    if facts.report.live is None and not _elsewhere(facts):
        return Stage("answer", "next", "")
    return Stage("answer", "on", f"{facts.n_requests:,} request{'' if facts.n_requests == 1 else 's'}")


def _watch(facts: Facts) -> Stage:
    if not facts.n_windows:
        return Stage("watch", "next", "")
    return Stage("watch", "on", f"{facts.n_windows:,} window{'' if facts.n_windows == 1 else 's'}")


def _decide(facts: Facts) -> Stage:
    unsettled = facts.report.glance.open_alerts
    if unsettled:
        return Stage("decide", "now", f"{unsettled} open alert{'' if unsettled == 1 else 's'}")
    retrained = len({alert.build_id for alert in facts.alerts} - {None})
    if retrained:
        return Stage("decide", "done", f"{retrained} retraining{'' if retrained == 1 else 's'}")
    return Stage(
        "decide", "on" if facts.n_windows else "next", "nothing to decide" if facts.n_windows else ""
    )


_STAGES: tuple[Callable[[Facts], Stage], ...] = (
    _declare, _build, _prove, _approve, _roll_out, _answer, _watch, _decide,
)  # fmt: skip
