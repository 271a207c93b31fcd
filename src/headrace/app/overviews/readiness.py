"""How ready a project is for production: what its charter says, and what is on record about its model.

Evaluation and observability are judged from the record alone: what ran, was measured and was decided. No
answer of a person raises their score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.app.overviews.glance import Glance
from headrace.core.identity import Principal, Resource
from headrace.core.project import Project
from headrace.core.release import Approval, Release, Verdict
from headrace.monitoring.kpis import NAME as KPI
from headrace.projects.intake import StageName
from headrace.projects.readiness import AREAS, Area, Aspect, Score, Status, gap, said, score, there
from headrace.projects.stages import Stage, stages_of

_GATES = (
    ("data", "data gate", "run it: headrace run", "MEASURE 2.1"),
    ("baseline", "better than the baseline", "a baseline has to be a variant", "MEASURE 2.3"),
    ("champion", "held against the live model", "run it: headrace run", "MEASURE 2.3"),
    ("package", "package answers as the model did", "run it: headrace run", "MEASURE 2.5"),
)
_ACTIONS: dict[StageName, str] = {
    "build": "project.run", "approve": "release.approve", "roll out": "release.rollback",
    "operate": "alert.answer",
}  # fmt: skip
"""What somebody must be allowed to do to be able to do a stage."""


@dataclass(frozen=True, kw_only=True)
class StageAble(Stage):
    """A stage, and who has the rights that it takes.

    Attributes:
        n_able: people here who may do it; None where it takes no right of its own.
        able: their names, for who may see what rights people have; for others none.
    """

    n_able: int | None
    able: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """One project's.

    Attributes:
        release: the subject that was looked at: what is live, else the newest; None before the first.
        scores: by area; ``total`` of all areas.
        aspects: in the order of the areas.
        stages: of its life, with their owners, the criteria of each hand-off, and who is able to do it.
    """

    project: str
    release: str | None
    total: Score
    scores: dict[Area, Score]
    aspects: list[Aspect]
    stages: list[StageAble]

    @property
    def gaps(self) -> list[Aspect]:
        """What is not wholly there."""
        return [one for one in self.aspects if one.status != "there"]


def readiness(app: App, me: Principal, name: str) -> Readiness:
    """How ready a project is, with each gap named.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    report = reading.project_report(app, me, name)
    released = [one for one in app.store.releases.list(name) if not one.manifest.stands_in]
    looked_at = report.live or (released[0] if released else None)
    stages = _able(app, me, report.project, looked_at)
    found = [
        *_with_able(said(report.project), stages),
        *_evaluated(app, report.project, looked_at),
        *_observed(app, report.project, report.glance),
    ]
    return Readiness(
        project=name,
        release=None if looked_at is None else looked_at.manifest.subject.ref,
        total=score(found),
        scores={area: score([one for one in found if one.area == area]) for area in AREAS},
        aspects=found,
        stages=stages,
    )


def _able(app: App, me: Principal, project: Project, release: Release | None) -> list[StageAble]:
    """Who may do each stage, without a second factor, which they can still show."""
    now, workspace = app.clock.now(), app.store.projects.workspace(project.name)
    people = [
        one
        for one in app.store.principals.list()
        if one.kind == "person" and one.workspace == workspace and one.may_act(now)
    ]
    authors = () if release is None else (release.author,)
    shown = app.gatekeeper.allows(me, "access.read", f"workspace:{workspace}")
    found = []
    for stage in stages_of(project):
        action = _ACTIONS.get(stage.name)
        able: tuple[str, ...] = ()
        if action is not None:
            on = Resource(kind="project", name=project.name, workspace=workspace)
            if action == "release.approve":
                on = replace(on, kind="release", name="next", project=project.name, authors=authors)
            able = tuple(one.name for one in people if app.gatekeeper.allows(one, action, on))
        n_able = None if action is None else len(able)
        found.append(StageAble(**vars(stage), n_able=n_able, able=able if shown else ()))
    return found


def _with_able(aspects: list[Aspect], stages: list[StageAble]) -> Iterator[Aspect]:
    """Stages for which nobody able is here are gaps, whoever is named."""
    lacking = {stage.name for stage in stages if stage.n_able == 0}
    for one in aspects:
        if one.area == "owners" and one.name in lacking:
            text = f"{one.evidence}; nobody here has the rights that it takes"
            step = "headrace access user add NAME --role ROLE; headrace access policy show says which"
            yield replace(one, status="missing", evidence=text, next_step=step)
        else:
            yield one


def _evaluated(app: App, project: Project, release: Release | None) -> Iterator[Aspect]:
    """How well its model was judged before it went live, and since."""
    verdicts: dict[str, Verdict] = {}
    approvals: list[Approval] = []
    if release is not None:
        verdicts = {one.gate: one for one in app.store.evidence.verdicts(release.id)}
        approvals = app.store.evidence.approvals(release.id)
    tested = {} if release is None else release.manifest.evaluation
    metric = project.gates.model.metric
    if metric in tested:
        yield there("evaluation", "held-out test", f"{metric} {tested[metric]:.4g}", "MEASURE 2.3")
    else:
        text = "no release was tested here"
        yield gap("evaluation", "held-out test", "missing", text, "headrace run", "MEASURE 2.3")
    for gate, name, step, rmf in _GATES:
        verdict = verdicts.get(gate)
        if verdict is None:
            yield gap("evaluation", name, "missing", "no verdict on record", step, rmf)
        elif verdict.outcome == "passed":
            yield there("evaluation", name, verdict.reason, rmf)
        else:
            partly: Status = "partly" if verdict.outcome == "inconclusive" else "missing"
            yield gap("evaluation", name, partly, f"{verdict.outcome}: {verdict.reason}", "mend it", rmf)
    others = [one.approver for one in approvals if one.decision == "approved" and ":" not in one.approver]
    if others:
        text = f"approved by {', '.join(others)}"
        yield there("evaluation", "seen by a second person", text, "MEASURE 1.3")
    else:
        step = "set approval: manual; somebody else approves"
        yield gap(
            "evaluation", "seen by a second person", "missing", "no person decided", step, "MEASURE 1.3"
        )
    if project.task == "classification":
        yield _fairness(verdicts)
    yield _worth(app, project)


def _fairness(verdicts: dict[str, Verdict]) -> Aspect:
    verdict = verdicts.get("fairness")
    if verdict is not None and verdict.outcome == "passed":
        return there("evaluation", "fairness", verdict.reason, "MEASURE 2.11")
    if verdict is not None:
        return gap("evaluation", "fairness", "partly", verdict.reason, "look into it", "MEASURE 2.11")
    return gap(
        "evaluation", "fairness", "missing", "no groups are compared", "declare fairness", "MEASURE 2.11"
    )


def _worth(app: App, project: Project) -> Aspect:
    brought = sorted({one.feature or "" for one in app.store.evidence.newest([project.name], (KPI,), 1)})
    if brought:
        return there("evaluation", "business KPI measured", ", ".join(brought), "MEASURE 4.3")
    step = "declare kpis and send feedback; see 'Measure what answers bring'"
    return gap("evaluation", "business KPI measured", "missing", "no feedback has come", step, "MEASURE 4.3")


def _observed(app: App, project: Project, glance: Glance) -> Iterator[Aspect]:
    """What would be seen of it, were it to go wrong."""
    area: Area = "observability"
    if glance.calls is not None:
        yield there(area, "answers recorded", f"{glance.calls.last_day:,} in the last day", "MEASURE 2.4")
    elif glance.live is not None and app.store.evidence.newest([project.name], ("window",), 1):
        yield there(area, "answers recorded", "windows of answers are on record", "MEASURE 2.4")
    else:
        yield gap(area, "answers recorded", "missing", "none is on record", "let it answer", "MEASURE 2.4")
    if glance.drift is not None:
        text = f"{glance.drift.compared} inputs compared in the newest window"
        yield there(area, "inputs watched", text, "MEASURE 2.4")
    else:
        step = "headrace monitor run, once a window has closed"
        yield gap(area, "inputs watched", "missing", "no window was compared", step, "MEASURE 2.4")
    if glance.loss is not None:
        text = f"{glance.loss.n_rows:,} labels in the newest window that has any"
        late = any(one.why == "labels" for one in glance.reasons)
        if late:
            yield gap(area, "labels come back", "partly", f"{text}; none since", "send labels", "MEASURE 2.4")
        else:
            yield there(area, "labels come back", text, "MEASURE 2.4")
    else:
        yield gap(area, "labels come back", "missing", "none has come", "send labels", "MEASURE 2.4")
    yield _told(app, project)
    yield _triggered(project)
    yield _answered(glance)
    yield _way_back(app, project, glance)
    if project.serving.level is not None:
        yield there(area, "service level", f"{project.serving.level.availability:.2%} promised", "MANAGE 4.1")
    else:
        step = "declare serving.level, then headrace serve test"
        yield gap(area, "service level", "missing", "nothing is promised to callers", step, "MANAGE 4.1")


def _told(app: App, project: Project) -> Aspect:
    wanted = {*project.alerts.channels, *(name for one in project.alerts.routes for name in one.channels)}
    open_ones = sorted(wanted & set(app.channels))
    if open_ones:
        return there("observability", "somebody is told", f"by {', '.join(open_ones)}", "MANAGE 4.3")
    text = f"no channel {' or '.join(sorted(wanted)) or 'at all'} is set up here"
    step = "set HEADRACE_CHANNEL_NAME; headrace monitor channel try NAME"
    return gap("observability", "somebody is told", "missing", text, step, "MANAGE 4.3")


def _triggered(project: Project) -> Aspect:
    declared = {one.when for one in project.triggers}
    missing = [name for name in ("performance", "drift") if name not in declared]
    if not missing:
        return there("observability", "drift and decay alert", ", ".join(sorted(declared)), "MANAGE 4.1")
    step = f"declare a trigger {{when: {missing[0]}, do: warn}}"
    text = f"no trigger for {', '.join(missing)}"
    status: Status = "partly" if len(missing) == 1 else "missing"
    return gap("observability", "drift and decay alert", status, text, step, "MANAGE 4.1")


def _answered(glance: Glance) -> Aspect:
    if glance.drift is None and glance.loss is None:
        text = "nothing is measured that could raise one"
        step = "let it answer, then headrace monitor run"
        return gap("observability", "alerts are answered", "missing", text, step, "MANAGE 2.3")
    urgent = [one.text for one in glance.reasons if one.acts and one.why in ("alert", "overdue", "review")]
    if urgent:
        step = "answer them: headrace monitor alert ls"
        return gap("observability", "alerts are answered", "missing", urgent[0], step, "MANAGE 2.3")
    if glance.open_alerts:
        text = f"{glance.open_alerts} open, none critical and unanswered"
        return there("observability", "alerts are answered", text, "MANAGE 2.3")
    return there("observability", "alerts are answered", "none asks for anybody", "MANAGE 2.3")


def _way_back(app: App, project: Project, glance: Glance) -> Aspect:
    states = {one.state for one in app.store.releases.list(project.name)}
    if "superseded" in states:
        return there("observability", "way back", "an earlier release is kept", "MANAGE 2.4")
    if "standing_by" in states:
        return there("observability", "way back", "a fallback stands by", "MANAGE 2.4")
    step = "declare fallback, then headrace run --fallback"
    text = "nothing was live before" if glance.live else "nothing is live"
    return gap("observability", "way back", "missing", text, step, "MANAGE 2.4")
