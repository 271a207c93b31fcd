"""How one model is doing, in a line: its health, why it needs somebody, its traffic and performance. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from headrace.checks.tasks import GENERATIVE
from headrace.core.alerts import Case
from headrace.core.project import MonitorSpec, Project
from headrace.core.record import Alert, Finding
from headrace.core.release import Measurement, Release, Review, Rollout, Route
from headrace.monitoring.calls import NAME as CALLS
from headrace.monitoring.cases import is_overdue
from headrace.monitoring.notices import severity_of
from headrace.monitoring.review import KIND as REVIEW
from headrace.monitoring.review import due_at, every_days
from headrace.monitoring.service import NAME as AVAILABILITY
from headrace.monitoring.service import Standing, standing
from headrace.monitoring.shifts import NAME as SHIFT
from headrace.monitoring.wording import in_words
from headrace.store.backlog import Backlog, WaitingKind

Health = Literal["idle", "unmeasured", "healthy", "drifting", "degraded"]
State = Literal["act", "watch", "fine", "idle"]
STATES: tuple[State, ...] = ("act", "watch", "fine", "idle")
"""From the most urgent on: needs somebody, is watched, is fine, is not live."""
Why = Literal[
    "overdue",
    "down",
    "alert",
    "review",
    "decision",
    "handoff",
    "draft",
    "answered",
    "warning",
    "health",
    "registration",
    "traffic",
    "labels",
    "rollout",
]
_RANKS: tuple[Why, ...] = get_args(Why)
"""The most urgent first."""
_ACT = frozenset({"overdue", "down", "alert", "review", "decision", "handoff", "draft"})
"""Why somebody is needed; for all else the model is watched."""
WINDOWS = "window"
"""Name of the measurements that count the rows of each window."""
_DAY = timedelta(days=1)
_LATE_WINDOWS = 4
"""So many windows without a label, after some that had them, and the labels are stale."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a model needs somebody, or is watched.

    Attributes:
        why: ``overdue``: a violation is open for too long; ``down``: a service level is declared, and no
            server is there; ``alert``: a critical one nobody has answered; ``review``: the periodic review of
            the live release is overdue; ``decision``: a release waits for a person; ``handoff``, ``draft``:
            conversations or answers of a language model do; ``answered``: somebody looks into an alert, or a
            retraining answers it; ``warning``: an alert that is not critical; ``health``: what was found
            before, and still holds; ``registration``: a model that was registered elsewhere became no
            release, and no later one answers or waits; ``traffic``: nobody calls any more, or nobody ever
            has; ``labels``: none have come for some windows; ``rollout``: one is under way.
        at: since when.
        page: where to look.
    """

    why: Why
    text: str
    at: datetime
    page: str

    @property
    def acts(self) -> bool:
        """Whether it needs somebody."""
        return self.why in _ACT


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Calls of the last day, by full hour, the oldest first.

    Attributes:
        week_before: those of the same hours of the week before; None if there are none to compare with.
        so_far: it has been called for less than a day: ``last_day`` has all calls, also of hours that are not
            over.
    """

    hours: list[int]
    last_day: int
    week_before: int | None
    so_far: bool = False


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How many inputs have shifted in the newest window, of those that were compared."""

    shifted: int
    compared: int


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One project in a line.

    Attributes:
        live, canary: subjects such as ``model:cars@2``.
        waiting: ids of releases that a person has to decide.
        health: ``idle`` (nothing is live), ``unmeasured``, ``healthy``, ``drifting`` or ``degraded``.
        loss: the newest window of the live release, of which labels have come.
        last_finding: the newest finding, about whichever release.
        open_alerts: how many alerts about the live release ask for action; those about releases before it
            ask for nothing any more.
        state: ``act``: somebody is needed; ``watch``, ``fine``, or ``idle``: nothing is live.
        reasons: of the state, the most urgent first.
        live_since: when the live release got all traffic.
        calls: None where none were counted in the last day.
        drift: None before a window of the live release was compared.
        uncompared: in words, that its inputs are not compared yet, and from when on; empty once they are. It
            is no reason: nobody is needed, but "fine" says nothing of them.
        losses: the loss of its newest windows, the oldest first.
        service: how it was there over 30 days, downtime counted, and what is left of its error budget.
        backlog: how many drafts wait for a person, and how many conversations that were handed over.
    """

    name: str
    live: str | None
    live_id: str | None
    canary: str | None
    waiting: list[str]
    health: Health
    loss: Measurement | None
    last_finding: Finding | None
    open_alerts: int
    owner: str = ""
    task: str = ""
    risk: str = ""
    tags: tuple[str, ...] = ()
    state: State = "idle"
    reasons: list[Reason] = field(default_factory=list)
    live_since: datetime | None = None
    calls: Calls | None = None
    drift: Drift | None = None
    uncompared: str = ""
    losses: list[float] = field(default_factory=list)
    service: Standing | None = None
    backlog: dict[WaitingKind, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is recorded about one project.

    Attributes:
        found: the newest findings of each kind about the live release, the oldest first.
        last: the newest finding of each kind, about whichever release.
        alerts: those that ask for action or wait for somebody, with what they were raised on, about any
            release.
        cases: what people do about alerts that still wait for somebody.
        measured: calls by hour, availability of the last one, and loss, shifts and rows of the newest
            windows, in the order of windows.
        asked: whether anybody has ever asked the model.
        n_asked: how often, where that began within a day; None where it is longer ago, or not known.
        window_at: where the window begins that is under way; None where it is not known.
        last_review: of the live release.
        backlog: drafts and hand-offs that wait for a person.
        last_heard: when the last server was heard of, if none is there now and any ever was.
    """

    project: Project
    route: Route | None
    releases: dict[str, Release]
    rollout: Rollout | None
    waiting: Sequence[Release]
    found: Sequence[Finding]
    last: Sequence[Finding]
    alerts: Sequence[tuple[Alert, Finding]]
    cases: Sequence[Case]
    measured: Sequence[Measurement]
    backlog: Sequence[Backlog]
    asked: bool
    n_asked: int | None
    window_at: datetime | None
    last_heard: datetime | None
    last_review: Review | None
    now: datetime

    @property
    def live(self) -> str | None:
        """Id of the live release."""
        return None if self.route is None else self.route.live


def glance(facts: Facts) -> Glance:
    """One project in a line."""
    project, route = facts.project, facts.route
    losses = _losses(facts)
    health = _health(facts.found, losses, project.monitors) if route is not None else "idle"
    calls = _calls(facts)
    reasons = sorted(_reasons(facts, health, losses, calls), key=lambda one: (_RANKS.index(one.why), one.at))
    state: State = "idle" if route is None else "watch" if reasons else "fine"
    return Glance(
        name=project.name,
        live=None if route is None else _subject(facts, route.live),
        live_id=facts.live,
        canary=None if route is None or route.canary is None else _subject(facts, route.canary),
        waiting=[release.id for release in facts.waiting],
        health=health,
        loss=losses[-1] if losses else None,
        last_finding=max(facts.last, key=lambda one: one.at, default=None),
        open_alerts=sum(
            alert.state != "closed" and finding.release_id == facts.live for alert, finding in facts.alerts
        ),
        owner=project.owner.name,
        task=project.task,
        risk=project.risk,
        tags=project.tags,
        state="act" if any(one.acts for one in reasons) else state,
        reasons=reasons,
        live_since=None if facts.rollout is None else facts.rollout.step_started_at,
        calls=calls,
        drift=_drift(facts),
        uncompared=_uncompared(facts),
        losses=[m.value for m in losses if m.value is not None],
        service=next((standing(project, m) for m in facts.measured if m.name == AVAILABILITY), None),
        backlog={one.kind: one.n for one in facts.backlog},
    )


def by_urgency(glances: Iterable[Glance]) -> list[Glance]:
    """What needs somebody first: by state, the most urgent reason, and how long it has held."""

    def key(one: Glance) -> tuple[int, int, float, str]:
        first = one.reasons[0] if one.reasons else None
        rank, at = (len(_RANKS), 0.0) if first is None else (_RANKS.index(first.why), first.at.timestamp())
        return STATES.index(one.state), rank, at, one.name

    return sorted(glances, key=key)


def matches(one: Glance, words: str, state: State | None) -> bool:
    """Whether every word occurs in what is said of a project: its name, owner, tags, health or reasons."""
    said = [one.name, one.owner, *one.tags, one.task, f"{one.risk} risk", one.health, one.live or ""]
    text = " ".join(
        [*said, one.uncompared, *(f"{reason.why} {reason.text}" for reason in one.reasons)]
    ).casefold()
    return state in (None, one.state) and all(word in text for word in words.casefold().split())


def present(measured: Iterable[Measurement]) -> list[Measurement]:
    """Of each window, release and part, the newest with the most labels."""
    found: dict[tuple[object, ...], Measurement] = {}
    for one in measured:
        key = one.window, one.release_id, one.feature, one.segment, one.detail.get("metric")
        if key not in found or one.n_rows >= found[key].n_rows:
            found[key] = one
    return list(found.values())


def _losses(facts: Facts) -> list[Measurement]:
    metric = facts.project.gates.model.metric
    return present(m for m in facts.measured if m.name == metric and m.release_id == facts.live)


def _subject(facts: Facts, release_id: str) -> str | None:
    release = facts.releases.get(release_id)
    return None if release is None else release.manifest.subject.ref


def _health(found: Sequence[Finding], losses: Sequence[Measurement], monitors: MonitorSpec) -> Health:
    """The gravest finding about the live release. A loss that has recovered since is no longer grave.

    Args:
        found: findings about the live release.
        losses: its loss by window.
        monitors: from which ratio on performance counts as degraded, and how many labels say anything.
    """
    worse = [finding.window[0] for finding in found if finding.kind == "performance"]
    since = [m for m in losses if worse and m.window is not None and m.window[0] >= min(worse)]
    reference = next((m.detail["reference"] for m in since if m.detail.get("reference")), None)
    if worse and (reference is None or _mean(since) >= monitors.loss_ratio * reference):
        return "degraded"
    if any(finding.kind in ("data_drift", "prediction_drift") for finding in found):
        return "drifting"
    return "healthy" if sum(m.n_rows for m in losses) >= monitors.min_rows else "unmeasured"


def _mean(losses: Sequence[Measurement]) -> float:
    """The loss over all rows of these windows."""
    n_rows = sum(m.n_rows for m in losses) or 1
    return sum((m.value or 0.0) * m.n_rows for m in losses) / n_rows


def _calls(facts: Facts) -> Calls | None:
    since = facts.now - _DAY - timedelta(hours=1)
    hours = [m for m in facts.measured if m.name == CALLS and m.window is not None and m.window[0] > since]
    if not hours and not facts.n_asked:
        return None
    before = [m.detail["week_before"] for m in hours]
    known = [int(n) for n in before if n is not None]
    counted = [int(m.value or 0) for m in hours]
    week_before = sum(known) if before and len(known) == len(before) else None
    if facts.n_asked is not None:
        return Calls(hours=counted, last_day=facts.n_asked, week_before=week_before, so_far=True)
    return Calls(hours=counted, last_day=sum(counted), week_before=week_before)


def _drift(facts: Facts) -> Drift | None:
    compared = [
        m
        for m in facts.measured
        if m.name == SHIFT and m.release_id == facts.live and m.detail.get("kind") == "data_drift"
    ]
    # What goes on is measured, not found again: of a shift that is one, how it came is measured as well.
    shifted = {m.feature for m in compared if m.detail.get("course")}
    return Drift(shifted=len(shifted), compared=len(compared)) if compared else None


def _uncompared(facts: Facts) -> str:
    """That no window of the live release was compared yet, in words."""
    compared = any(m.name == SHIFT and m.release_id == facts.live for m in facts.measured)
    if facts.route is None or compared or facts.project.task in GENERATIVE:
        return ""
    length = timedelta(seconds=facts.project.monitors.window_s)
    ends = None if facts.window_at is None else facts.window_at + length
    if ends is None or ends <= facts.now:  # rows may come about any time: it may end any moment
        return "inputs are not compared yet: none of its windows has closed"
    day = ends.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"inputs are not compared before {ends:%Y-%m-%d}" + ("" if ends == day else f" {ends:%H:%M} UTC")


def _reasons(
    facts: Facts, health: Health, losses: Sequence[Measurement], calls: Calls | None
) -> Iterator[Reason]:
    name, page = facts.project.name, f"/projects/{facts.project.name}"
    for release in facts.waiting:
        text = f"{release.manifest.subject.ref.partition(':')[2]} waits for a decision"
        yield Reason(why="decision", text=text, at=release.created_at, page=f"/releases/{release.id}")
    yield from _handed(facts)
    told = list(_alerted(facts))
    yield from told
    since = max((one.created_at for one in (*_answering(facts), *facts.waiting)), default=None)
    for one in facts.last:
        if one.kind == "registration" and (since is None or since <= one.at):
            yield Reason(why="registration", text=one.title, at=one.at, page=page)
    if facts.route is None:
        return
    if facts.last_heard is not None and facts.project.serving.level is not None:
        text = f"no server is there since {facts.last_heard:%Y-%m-%d %H:%M} UTC"
        yield Reason(why="down", text=text, at=facts.last_heard, page=page)
    due = _review_due(facts)
    if due is not None:
        yield Reason(why="review", text=due[1], at=due[0], page=f"{page}#review")
    kinds = {"degraded": ("performance",), "drifting": ("data_drift", "prediction_drift")}.get(health, ())
    standing = [one for one in facts.found if one.kind in kinds]
    if standing and not any(one.why in ("alert", "answered", "warning") for one in told):
        last = standing[-1]
        yield Reason(why="health", text=last.title, at=last.at, page=f"{page}#finding-{last.id}")
    if not facts.asked:
        yield Reason(why="traffic", text="nobody has asked it yet", at=_since(facts), page=page)
    elif calls is not None and not calls.last_day and calls.week_before:
        text = f"no call in 24 hours, {calls.week_before:,} in those of the week before"
        yield Reason(why="traffic", text=text, at=facts.now - _DAY, page=page)
    late = _late(facts, losses)
    if late is not None:
        yield Reason(why="labels", text=f"no label since {late:%Y-%m-%d}", at=late, page=page)
    if facts.route.canary is not None and facts.rollout is not None:
        subject = (_subject(facts, facts.route.canary) or name).partition(":")[2]
        text = f"{subject} is a canary with {facts.route.canary_weight:.0%} of the calls"
        yield Reason(why="rollout", text=text, at=facts.rollout.started_at, page=page)


def _handed(facts: Facts) -> Iterator[Reason]:
    """What a language model has left to people."""
    for one in facts.backlog:
        page = f"/projects/{facts.project.name}/{one.kind}s"
        yield Reason(why=one.kind, text=in_words(one), at=one.since or facts.now, page=page)


def _alerted(facts: Facts) -> Iterator[Reason]:
    cases = {case.id: case for case in facts.cases}
    answering = {release.id for release in _answering(facts)}
    for alert, finding in facts.alerts:
        severity, case = severity_of(finding.kind), cases.get(alert.id)
        page, answered = f"/alerts/{alert.id}", case is not None and case.state == "acknowledged"
        if finding.kind == REVIEW:
            continue  # it is a reason of its own, also before a round has told of it
        if case is not None and is_overdue(case, facts.now):
            yield Reason(why="overdue", text=f"overdue: {finding.title}", at=alert.at, page=page)
        elif severity == "info" or finding.release_id not in answering:
            continue
        elif alert.state == "acting":
            text = f"a retraining answers it: {finding.title}"
            yield Reason(why="answered", text=text, at=alert.at, page=page)
        elif answered:
            text = f"acknowledged: {finding.title}"
            yield Reason(why="answered", text=text, at=alert.at, page=page)
        else:
            why: Why = "alert" if severity == "critical" else "warning"
            yield Reason(why=why, text=finding.title, at=alert.at, page=page)


def _answering(facts: Facts) -> list[Release]:
    named = () if facts.route is None else facts.route.releases
    return [facts.releases[release_id] for release_id in named if release_id in facts.releases]


def _review_due(facts: Facts) -> tuple[datetime, str] | None:
    """Since when the review of the live release is overdue, and in words."""
    release, last = facts.releases.get(facts.live or ""), facts.last_review
    if release is None:
        return None
    due = due_at(every_days(facts.project, release), _since(facts), last)
    if due is None or due > facts.now:
        return None
    if last is not None and last.state == "unfit":
        return due, f"{last.by} found it unfit on {due:%Y-%m-%d}"
    return due, f"its review was due on {due:%Y-%m-%d}"


def _since(facts: Facts) -> datetime:
    """Since when the live release has all traffic."""
    release = facts.releases.get(facts.live or "")
    made = facts.now if release is None else release.created_at
    return made if facts.rollout is None else facts.rollout.step_started_at


def _late(facts: Facts, losses: Sequence[Measurement]) -> datetime | None:
    """Until when labels have come, if that is long ago beside what was answered."""
    ends = [
        m.window[1] for m in facts.measured if m.name == WINDOWS and m.window and m.release_id == facts.live
    ]
    known = [m.window[1] for m in losses if m.window is not None]
    if not ends or not known:
        return None
    allowed = timedelta(seconds=_LATE_WINDOWS * facts.project.monitors.window_s)
    return max(known) if max(ends) - max(known) >= allowed else None
