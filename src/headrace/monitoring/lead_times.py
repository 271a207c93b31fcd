"""How long it takes from data to a live version, step by step, and from an alert to its replacement.

Derived from what is kept anyway: runs, verdicts, approvals, rollouts and alerts; in wall-clock time.
The names follow Forsgren, Humble and Kim, Accelerate (2018): lead time for a change, time to restore.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from headrace.core.project import Delivery
from headrace.core.record import Alert
from headrace.core.release import Approval, Release, Rollout, Verdict

StepName = Literal["data", "train", "prove", "decide", "queue", "roll out"]
STEPS: tuple[StepName, ...] = ("data", "train", "prove", "decide", "queue", "roll out")
"""In their order: gather and check data; train the variants; pass the gates; wait for a decision; wait for
another rollout to end; canary."""
_WORKED: frozenset[StepName] = frozenset(("train", "prove"))
"""Steps in which a machine works for the release all the time; in the others it waits, or answers as it would
anyway. A step "data" that an alert began has waited for its build."""
LOOK = "canary look"
_OPEN: dict[str, StepName] = {
    "proposed": "prove",
    "waiting": "decide",
    "approved": "queue",
    "rolling_out": "roll out",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a release's way; each begins where the one before has ended.

    Attributes:
        ended_at: None while it goes on.
        by: the people without whom it would not have been taken; empty where it went by itself.
    """

    name: StepName
    started_at: datetime
    ended_at: datetime | None
    took_s: float
    by: tuple[str, ...] = ()

    @property
    def manual(self) -> bool:
        """Whether a person had, or has, to do something."""
        return bool(self.by)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one release.

    Attributes:
        begun_at: when its build was asked for; None where nothing says so.
        trained: start of the first run and end of the last one of its build; None if it was not built here.
        automatic: whether its build was started by a trigger or schedule, by nobody.
    """

    release: Release
    begun_at: datetime | None
    trained: tuple[datetime, datetime] | None
    automatic: bool
    verdicts: Sequence[Verdict]
    approvals: Sequence[Approval]
    rollout: Rollout | None


@dataclass(frozen=True, kw_only=True)
class LeadTime:
    """A release's way from data to where it is.

    Attributes:
        live_at: when it got all the traffic; None if it has not, or did so without a rollout.
        took_s: from the first step to ``live_at``, or to where it ended; of one on its way, up to now.
    """

    release_id: str
    subject: str
    state: str
    cause: str
    steps: tuple[Step, ...]
    live_at: datetime | None
    took_s: float

    @property
    def manual(self) -> tuple[Step, ...]:
        """The steps that a person had, or has, to take."""
        return tuple(step for step in self.steps if step.manual)


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """What a retraining that an alert has caused came to.

    Attributes:
        release_id: None where the build has ended without one, or goes on.
        live_at: when it had replaced the failing model; None if it has not.
        took_s: from the alert to ``live_at``; None without it.
    """

    alert_id: str
    alerted_at: datetime
    build_id: str
    release_id: str | None
    subject: str | None
    state: str | None
    live_at: datetime | None
    took_s: float | None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step over the releases of a project.

    Attributes:
        n_releases: those that have been through it, or are in it.
        median_s: of those that have been through it; None if none has.
        total_s: of all, up to now.
        cost: hours of machines and steps of people at their declared prices; None without any price.
    """

    name: StepName
    n_releases: int
    median_s: float | None
    total_s: float
    cost: float | None


def lead_time(facts: Facts, now: datetime) -> LeadTime:
    """The steps of one release up to ``now``; they add up to what all of it took."""
    steps = tuple(_steps(facts, now))
    promoted = facts.rollout is not None and facts.rollout.state == "promoted"
    live_at = facts.rollout.step_started_at if promoted and facts.rollout else None
    return LeadTime(
        release_id=facts.release.id,
        subject=facts.release.manifest.subject.ref.partition(":")[2],
        state=facts.release.state,
        cause=facts.release.manifest.cause,
        steps=steps,
        live_at=live_at,
        took_s=sum(step.took_s for step in steps),
    )


def replacements(
    alerts: Sequence[Alert], builds: dict[str, str], times: Sequence[LeadTime]
) -> list[Replacement]:
    """One for each build that alerts have caused, from the first of its alerts on; the newest last.

    Args:
        builds: id of the build of each release.
    """
    by_build = {builds[one.release_id]: one for one in times if one.release_id in builds}
    found: dict[str, Replacement] = {}
    for alert in sorted(alerts, key=lambda one: (one.at, one.id)):
        if alert.build_id is None or alert.build_id in found:
            continue
        made = by_build.get(alert.build_id)
        live_at = None if made is None else made.live_at
        found[alert.build_id] = Replacement(
            alert_id=alert.id,
            alerted_at=alert.at,
            build_id=alert.build_id,
            release_id=None if made is None else made.release_id,
            subject=None if made is None else made.subject,
            state=None if made is None else made.state,
            live_at=live_at,
            took_s=None if live_at is None else max(0.0, (live_at - alert.at).total_seconds()),
        )
    return list(found.values())


def typical(times: Sequence[LeadTime]) -> dict[str, float]:
    """Median seconds of each step, and of the whole way as ``total``, over the releases that went live."""
    live = [one for one in times if one.live_at is not None]
    took: dict[str, list[float]] = {"total": [one.took_s for one in live]}
    for one in live:
        for step in one.steps:
            took.setdefault(step.name, []).append(step.took_s)
    return {name: median(took[name]) for name in (*STEPS, "total") if took.get(name)}


def stages(times: Sequence[LeadTime], delivery: Mapping[Delivery, float]) -> list[Stage]:
    """What each step has taken and cost, in their order; those that no release has begun are left out.

    Args:
        delivery: its prices: of an hour of a machine while it trains and proves, and of each
            person's part in a step. A person's waiting is no work, and costs nothing.
    """
    by_name: defaultdict[StepName, list[Step]] = defaultdict(list)
    for time in times:
        for step in time.steps:
            by_name[step.name].append(step)
    return [_stage(name, by_name[name], delivery) for name in STEPS if name in by_name]


def _stage(name: StepName, steps: Sequence[Step], delivery: Mapping[Delivery, float]) -> Stage:
    ended = [step.took_s for step in steps if step.ended_at is not None]
    total_s = sum(step.took_s for step in steps)
    cost = None
    if "machine_hour_price" in delivery or "person_step_price" in delivery:
        hours = total_s / 3600 if name in _WORKED else 0.0
        cost = hours * delivery.get("machine_hour_price", 0.0)
        cost += sum(len(step.by) for step in steps) * delivery.get("person_step_price", 0.0)
    return Stage(
        name=name,
        n_releases=len(steps),
        median_s=median(ended) if ended else None,
        total_s=total_s,
        cost=cost,
    )


def people(time: LeadTime) -> str:
    """Every manual step and whose it was, such as ``train: ada, decide: bob``."""
    return ", ".join(f"{step.name}: {' and '.join(step.by)}" for step in time.manual)


def stalled(times: Sequence[LeadTime], now: datetime, after: timedelta) -> LeadTime | None:
    """The first release whose present step has gone on for longer than ``after``; None if none has."""
    for one in times:
        if one.steps and one.steps[-1].ended_at is None and now - one.steps[-1].started_at > after:
            return one
    return None


def _steps(facts: Facts, now: datetime) -> Iterator[Step]:
    for name, start, end, by in _bounds(facts):
        until = now if end is None else end
        yield Step(
            name=name, started_at=start, ended_at=end, took_s=max(0.0, (until - start).total_seconds()), by=by
        )


def _bounds(facts: Facts) -> Iterator[tuple[StepName, datetime, datetime | None, tuple[str, ...]]]:
    """Name, start, end and people of each step that has begun; who started the build belongs to the first.

    A clock that was put back makes none negative: what was noted before the last step ended takes no time.
    """
    release, rollout = facts.release, facts.rollout
    if release.state == "external":
        return  # nothing of its way was ours
    decided = max((one.at for one in facts.approvals), default=None)
    gates = [one.at for one in facts.verdicts if not one.gate.startswith(LOOK)]
    proved = max((at for at in gates if decided is None or at <= decided), default=release.created_at)
    ends: dict[StepName, tuple[datetime | None, tuple[str, ...]]] = {}
    began = facts.begun_at
    if facts.trained is not None:
        first, last = facts.trained
        if began is not None:
            ends["data"] = (first, ())
        ends["train"] = (last, ())
        began = first if began is None else began
    ends["prove"] = (max(proved, release.created_at), ())
    people = tuple(one.approver for one in facts.approvals if not one.approver.startswith("policy:"))
    if decided is not None or release.state == "waiting":
        ends["decide"] = (decided, people)
    if rollout is not None:
        ends["queue"] = (rollout.started_at, ())
        over = rollout.state in ("promoted", "aborted")
        ends["roll out"] = (rollout.step_started_at if over else None, ())
    present = _OPEN.get(release.state)
    if present is not None:
        waits = ("a person",) if present == "decide" and release.manifest.approval == "manual" else ()
        ends[present] = (None, (*ends.get(present, (None, ()))[1], *waits))
    at = release.created_at if began is None else began
    starter = () if facts.automatic else (release.author,)
    for name in STEPS:
        if name not in ends:
            continue
        end, by = ends[name]
        by, starter = (*starter, *by), ()
        end = None if end is None else max(at, end)
        yield name, at, end, by
        if end is None:
            return
        at = end
