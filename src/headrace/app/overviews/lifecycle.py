"""Where a project stands on the loop: declare, build, prove, approve, roll out, answer, watch, decide.

One line for all roles: each stage says whose work it is, so that nobody has to ask the other team.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.app.overviews.reading import ProjectReport
from headrace.core.alerts import Case
from headrace.core.data import Run
from headrace.core.identity import Principal
from headrace.core.record import Alert
from headrace.core.release import Approval, Release, Verdict
from headrace.projects.stages import stages_of

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


@dataclass(frozen=True)
class Stage:
    """One step of the loop; ``on`` goes on all the time, ``now`` is where something has to happen.

    ``people`` did what was done there, or answer for it where nobody has done anything yet.
    """

    name: str
    state: State
    detail: str
    people: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the line is drawn from; ``newest`` is the newest release, whatever became of it."""

    report: ProjectReport
    newest: Release | None
    verdicts: Sequence[Verdict]
    approvals: Sequence[Approval]
    runs: Sequence[Run]
    alerts: Sequence[Alert]
    cases: Sequence[Case]
    n_requests: int
    n_windows: int


def lifecycle(facts: Facts) -> list[Stage]:
    """The eight stages, at least one of them ``now``."""
    stages = [stage(facts) for stage in _STAGES]
    if not any(stage.state in ("now", "stopped") for stage in stages):
        place = 6 if facts.n_windows else 5 if facts.report.live or _elsewhere(facts) else 1
        stages[place] = replace(stages[place], state="now")
    at_work = _at_work(facts)
    return [replace(stage, people=at_work[stage.name]) for stage in stages]


def stages(app: App, me: Principal, name: str) -> list[Stage]:
    """The line of a project, the same for everybody who may see it.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    report = reading.project_report(app, me, name)
    releases = reading.releases(app, me, name)
    newest = reading.release_report(app, me, releases[0].id) if releases else None
    windows = reading.measurements(app, me, name, "window")
    return lifecycle(
        Facts(
            report=report,
            newest=releases[0] if releases else None,
            verdicts=newest.verdicts if newest else [],
            approvals=newest.approvals if newest else [],
            runs=reading.runs(app, me, name, 50),
            alerts=reading.alerts(app, me, name),
            cases=app.store.cases.list(subject=name),
            n_requests=reading.predictions_count(app, me, name).requests,
            n_windows=len({one.window for one in windows}),
        )
    )


def _at_work(facts: Facts) -> dict[str, tuple[str, ...]]:
    """By stage who did its work on the newest release; before that, who the charter says answers for it."""
    named = {
        stage.name: tuple(dict.fromkeys((stage.business, stage.engineering)))
        for stage in stages_of(facts.report.project)
    }
    did = {
        "declare": (),
        "build": [run.author for run in facts.runs[:1]],
        "prove": [facts.newest.author] if facts.newest else [],
        "approve": [one.approver for one in facts.approvals if not one.approver.startswith("policy:")],
        "roll out": (),
        "answer": (),
        "watch": (),
        "decide": [note["by"] for case in facts.cases for note in case.notes if "by" in note],
    }
    operate = named["operate"]
    return {
        stage: tuple(dict.fromkeys(people)) or named.get(stage, operate)  # type: ignore[call-overload]
        for stage, people in did.items()
    }


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
                "roll out", "now", f"{arm.name} at {_percent(arm.share)}" if arm else "waits for a test"
            )
        if route is None or route.canary != newest.id:
            return Stage("roll out", "now", "canary at 0 %")
        detail = "shadow" if route.shadow else f"canary at {_percent(route.canary_weight)}"
        return Stage("roll out", "now", detail)
    if newest.state in ("aborted", "rolled_back"):
        called = newest.manifest.subject.ref.partition(":")[2]
        return Stage("roll out", "stopped", f"{called} {newest.state.replace('_', ' ')}")
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


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


_STAGES: tuple[Callable[[Facts], Stage], ...] = (
    _declare, _build, _prove, _approve, _roll_out, _answer, _watch, _decide,
)  # fmt: skip
