"""Times that people name: silences, events that explain what is found, and maintenance windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from headrace.access.identities import required_text
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.core.alerts import Period
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.record import FINDING_KINDS

LONGEST = timedelta(days=90)
"""For how long alerts may be silenced at once."""
LONGEST_MAINTENANCE = timedelta(days=7)


def silence(
    app: App,
    me: Principal,
    project: str,
    *,
    until: datetime,
    why: str,
    finding: str = "",
    feature: str = "",
) -> Period:
    """Tell nobody of a project's alerts until a moment; they are raised and listed all the same.

    Args:
        finding: only this kind of finding; ``feature``: only this input, metric or group.

    Raises:
        Denied: ``me`` does not answer alerts of the project.
        InvalidInput: the moment has passed or is too far away, the kind is unknown, or there is no reason.
    """
    now = app.clock.now()
    if not now < until <= now + LONGEST:
        raise InvalidInput(
            f"A silence ends at {until:%Y-%m-%d %H:%M} UTC. Expected a moment from now on, within "
            f"{LONGEST.days} days."
        )
    if finding and finding not in FINDING_KINDS:
        raise InvalidInput(f"{finding!r} is no kind of finding. Expected one of {', '.join(FINDING_KINDS)}.")
    period = Period(
        id=new_id(now), workspace="", subject=project, kind="silence", title=why, starts_at=now,
        ends_at=until, by=me.name, at=now, finding=finding, feature=feature,
    )  # fmt: skip
    return _named(app, me, period, "A silence needs a reason")


def add_event(
    app: App, me: Principal, project: str, title: str, *, starts_at: datetime, ends_at: datetime
) -> Period:
    """Say that something known happened, such as a promotion or a holiday (event time).

    An alert of which it covers at least half the window is told to nobody and starts no retraining.

    Raises:
        Denied: ``me`` does not answer alerts of the project.
        InvalidInput: it ends before it begins, or has no title.
    """
    if ends_at <= starts_at:
        raise InvalidInput(f"The event begins at {starts_at} and ends at {ends_at}. Expected a later end.")
    now = app.clock.now()
    period = Period(
        id=new_id(now), workspace="", subject=project, kind="event", title=title, starts_at=starts_at,
        ends_at=ends_at, by=me.name, at=now,
    )  # fmt: skip
    return _named(app, me, period, "An event needs a title")


def add_maintenance(
    app: App, me: Principal, project: str, why: str, *, starts_at: datetime, ends_at: datetime
) -> Period:
    """Announce a maintenance window: its downtime and failures are not held against the service level.

    Raises:
        Denied: ``me`` does not answer alerts of the project.
        InvalidInput: it has begun already, ends before it begins, is too long, or has no reason.
    """
    now = app.clock.now()
    if not now <= starts_at < ends_at <= starts_at + LONGEST_MAINTENANCE:
        raise InvalidInput(
            f"The maintenance window is from {starts_at:%Y-%m-%d %H:%M} to {ends_at:%Y-%m-%d %H:%M} UTC. "
            f"Expected one that is still to come, of at most {LONGEST_MAINTENANCE.days} days: what has "
            "happened already counts."
        )
    period = Period(
        id=new_id(now), workspace="", subject=project, kind="maintenance", title=why, starts_at=starts_at,
        ends_at=ends_at, by=me.name, at=now,
    )  # fmt: skip
    return _named(app, me, period, "A maintenance window needs a reason")


def periods(app: App, me: Principal, project: str) -> list[Period]:
    """Known events, and silences and maintenance that have not ended, the oldest first.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    app.gatekeeper.require(me, "project.read", f"project:{project}")
    found = app.store.periods.list(subject=app.store.projects.get(project).name, state="named")
    now = app.clock.now()
    return [one for one in found if one.kind == "event" or one.ends_at > now]


def withdraw(app: App, me: Principal, project: str, period_id: str) -> Period:
    """End a silence before its time, or take an event or a maintenance window back.

    What was ignored because of an event stays so.

    Raises:
        NotFound: there is no such period.
        Denied: ``me`` does not answer alerts of the project.
    """
    permitted = app.gatekeeper.require(me, "alert.answer", f"project:{project}")
    found = find_one(
        periods(app, me, project),
        period_id,
        lambda one: (one.id,),
        what="silence, event or maintenance window",
        how=f"headrace monitor event ls {project}",
    )
    detail = {"period": found.id, "kind": found.kind, "title": found.title} | permitted.basis
    with app.store.transaction():
        app.store.audit.append(me.name, "period.remove", f"project:{project}", detail)
        return app.store.periods.change(replace(found, state="withdrawn", revision=found.revision + 1))


def _named(app: App, me: Principal, period: Period, what: str) -> Period:
    permitted = app.gatekeeper.require(me, "alert.answer", f"project:{period.subject}")
    app.store.projects.get(period.subject)
    title = required_text(period.title, what)
    workspace = app.store.projects.workspace(period.subject)
    kept = replace(period, title=title, workspace=workspace)
    detail = {
        "period": kept.id,
        "kind": kept.kind,
        "title": kept.title,
        "from": kept.starts_at.isoformat(),
        "until": kept.ends_at.isoformat(),
        "finding": kept.finding,
        "feature": kept.feature,
    }
    with app.store.transaction():
        app.store.audit.append(me.name, "period.add", f"project:{period.subject}", detail | permitted.basis)
        return app.store.periods.add(kept)
