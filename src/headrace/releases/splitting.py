"""A/B tests: approved releases share the traffic by name until a person ends it; how their losses compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np

from headrace.checks.metrics import row_losses
from headrace.checks.sequential import AlwaysValid
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.project import Project
from headrace.core.release import Release, Rollout, Route, Share, Split
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.joining import labelled_rows
from headrace.releases import delivery
from headrace.releases.observing import count_failures
from headrace.releases.rollout import Begin, Stop
from headrace.store import Store

RESERVED_ARMS = frozenset({"live", "canary", "shadow", "fallback"})
"""Names that no arm of an A/B test may have."""
_MAY_SHARE = ("live", "approved", "superseded")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,19}")
_ROUNDING = 1e-6


def start(store: Store, project: str, arms: Sequence[Share], at: datetime, *, by: str) -> Route:
    """Let ``arms`` share the traffic from now on, in one transaction with the entry that says so.

    A split that stands gets these arms and shares instead, and is compared anew.

    Raises:
        InvalidInput: the shares do not add up, names are not usable, or the live release is not among them.
        NotFound: nothing is live.
        Conflict: a rollout is under way, or a release was never approved or has been withdrawn.
    """
    _check_arms(arms)
    with store.transaction():
        before = _route(store, project)
        if before.live not in {arm.release_id for arm in arms}:
            raise InvalidInput(
                f"The live release {before.live} of {project!r} is not among the arms. Give it a share, "
                "too: it is what the others are compared with, and what a rollback goes back to."
            )
        for arm in arms:
            _check_release(store.releases.get(arm.release_id), project)
        split = Split(arms=tuple(arms), since=at)
        route = Route(project=project, live=before.live, revision=before.revision + 1, split=split)
        store.rollouts.set_route(route)
        active = store.rollouts.find_active(project)  # nobody can begin one from here on
        if active is not None:
            raise Conflict(
                f"Release {active.release_id} of {project!r} is still rolling out. Wait for it, or stop it "
                f"with 'headrace release rollback {project}'."
            )
        detail = {"before": _shares(before), "after": _shares(route)}
        store.audit.append(by, "route.split", f"project:{project}", detail)
        store.epoch.advance()
    return route


def end(store: Store, project: str, keep: str, at: datetime, *, by: str) -> Release:
    """Give all traffic to the release ``keep``, in one transaction with what becomes of the others.

    An arm that never was live and is not kept has lost: its rollout is aborted before it begins.

    Raises:
        NotFound: there is no split, or ``keep`` is not one of its arms.
    """
    with store.transaction():
        route = _route(store, project)
        if route.split is None:
            raise NotFound(
                f"No A/B test of {project!r} is under way. Begin one with 'headrace release split {project}'."
            )
        if keep not in route.releases:
            arms = ", ".join(f"{name} ({release_id})" for name, release_id in route.arms)
            raise NotFound(f"Release {keep} is not in the A/B test of {project!r}. Its arms: {arms}.")
        store.rollouts.set_route(replace(route, split=None, revision=route.revision + 1))
        store.audit.append(
            by, "route.split", f"project:{project}", {"before": _shares(route), "after": {}, "keep": keep}
        )
        store.epoch.advance()
        for arm in route.split.arms:
            if arm.release_id != keep and store.releases.get(arm.release_id).state == "approved":
                _roll_out(store, arm.release_id, route, Stop(reason="lost an A/B test", at=at), by=by)
        if keep != route.live:
            _promote(store, keep, route, at, by=by)
        return store.releases.get(keep)


def _promote(store: Store, keep: str, route: Route, at: datetime, *, by: str) -> None:
    if store.releases.get(keep).state == "approved":
        _roll_out(store, keep, route, Begin(at=at), by=by)
        return
    present = _route(store, route.project)
    known = store.rollouts.get(keep)
    moved = replace(present, live=keep, revision=present.revision + 1, stands_in=known.stands_in)
    store.rollouts.set_route(moved)
    store.audit.append(by, "route.move", f"project:{route.project}", {"from": route.live, "to": keep})
    # A rollback goes back to what answered until now, not to what did when this was live before.
    store.rollouts.save(replace(known, champion_id=route.live, revision=known.revision + 1))
    delivery.step_down(store, route.live, "supersede", f"by {keep} in an A/B test", by=by)
    delivery.move(store, keep, "restore", "won an A/B test", by=by)


def _roll_out(store: Store, release_id: str, route: Route, event: Begin | Stop, *, by: str) -> None:
    """The whole rollout of an approved arm: the test was its canary."""
    rollout = Rollout(
        release_id=release_id,
        project=route.project,
        champion_id=route.live,
        state="pending",
        steps=(),
        step=-1,
        started_at=event.at,
        step_started_at=event.at,
    )
    store.rollouts.save(rollout)
    done = delivery.apply(store, release_id, event, by=by)
    delivery.move(store, release_id, "start_rollout", done.reason, by=by)
    delivery.finish(store, release_id, by=by)


def _route(store: Store, project: str) -> Route:
    route = store.rollouts.route(project)
    if route is None:
        raise NotFound(f"Nothing of {project!r} is live. List releases with 'headrace release ls {project}'.")
    return route


def _shares(route: Route) -> dict[str, dict[str, str | float]]:
    arms = () if route.split is None else route.split.arms
    return {arm.name: {"release": arm.release_id, "share": arm.share} for arm in arms}


def _check_arms(arms: Sequence[Share]) -> None:
    if len(arms) < 2:
        raise InvalidInput(f"An A/B test has two or more arms, got {len(arms)}. Name each with its share.")
    for arm in arms:
        if not _NAME.fullmatch(arm.name) or arm.name in RESERVED_ARMS:
            raise InvalidInput(
                f"An arm cannot be named {arm.name!r}. Expected up to 20 small letters, digits, _ or -, a "
                f"letter first, and none of {', '.join(sorted(RESERVED_ARMS))}."
            )
        if not 0 < arm.share < 1:
            raise InvalidInput(f"The share of {arm.name!r} is {arm.share}. Expected one between 0 and 1.")
    for what, values in (("name", [a.name for a in arms]), ("release", [a.release_id for a in arms])):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise InvalidInput(f"Two arms have the same {what}: {', '.join(twice)}. Give each its own.")
    total = sum(arm.share for arm in arms)
    if abs(total - 1) > _ROUNDING:
        raise InvalidInput(f"The shares add up to {total:.6g}. Expected 1.")


def _check_release(release: Release, project: str) -> None:
    if release.project != project:
        raise InvalidInput(f"Release {release.id} is one of {release.project!r}, not of {project!r}.")
    if release.state not in _MAY_SHARE:
        raise Conflict(
            f"Release {release.id} is {release.state.replace('_', ' ')}: only releases that are approved and "
            f"not withdrawn share traffic ({', '.join(_MAY_SHARE)})."
        )


@dataclass(frozen=True, kw_only=True)
class ArmReport:
    """How one arm does, by what it answered itself since the split has these shares.

    Attributes:
        answered, failed: requests, and those that it could not answer: they have no loss.
        n_labels: its rows whose truth is known; ``loss`` is their mean loss by the project's metric.
        unmeasured: rows of them of which no loss can be measured; no difference is told while there are any.
        difference: its mean loss minus the live arm's, an interval that holds at every look at
            ``confidence``; none for the live arm, and while there is too little to tell.
        conclusion: ``better`` or ``worse`` than the live arm, or ``undecided``; none for the live arm.
    """

    name: str
    release_id: str
    share: float
    answered: int
    failed: int
    n_labels: int
    unmeasured: int
    loss: float | None
    metric: str
    difference: tuple[float, float] | None
    confidence: float
    conclusion: Literal["better", "worse", "undecided"] | None


def compare(
    store: Store, project: Project, route: Route, classes_of: Callable[[str], Sequence[object] | None]
) -> list[ArmReport]:
    """Compare the arms of a split by outcome; the live release's comes first.

    Each arm is judged on the rows that it answered itself, by a confidence sequence at half of ``alpha``
    for its own mean loss; the difference of two such intervals holds at every look at once (Bonferroni).
    Rows are taken as independent: of a caller who asks again and again, they are not quite.
    """
    if route.split is None:
        return []
    confidence = project.gates.model.confidence
    metric = project.gates.model.metric
    arms = sorted(route.split.arms, key=lambda arm: arm.release_id != route.live)
    found: list[ArmReport] = []
    reference: AlwaysValid | None = None
    for arm in arms:
        losses = _losses(store, project, arm, route.split.since, classes_of(arm.release_id))
        n_labels, losses = losses.size, losses[np.isfinite(losses)]
        sequence = AlwaysValid(alpha=(1 - confidence) / 2)
        sequence.update(losses)
        own = sequence if n_labels == losses.size else None
        is_live = arm.release_id == route.live
        reference = own if is_live else reference
        difference = None
        if not is_live and own is not None and reference is not None:
            difference = difference_of(own, reference)
        found.append(
            ArmReport(
                name=arm.name,
                release_id=arm.release_id,
                share=arm.share,
                answered=_answered(store, project.name, arm, route.split.since),
                failed=count_failures(store, project.name, arm.release_id, route.split.since),
                n_labels=n_labels,
                unmeasured=n_labels - losses.size,
                loss=float(losses.mean()) if losses.size else None,
                metric=metric,
                difference=difference,
                confidence=confidence,
                conclusion=None if is_live else _conclusion(difference),
            )
        )
    return found


def difference_of(arm: AlwaysValid, live: AlwaysValid) -> tuple[float, float] | None:
    """How much larger the mean of ``arm`` is than ``live``'s, at both levels; None before both tell."""
    mine, other = arm.interval(), live.interval()
    if mine is None or other is None:
        return None
    return float(mine.low - other.high), float(mine.high - other.low)


def _conclusion(difference: tuple[float, float] | None) -> Literal["better", "worse", "undecided"]:
    if difference is None or difference[0] <= 0 <= difference[1]:
        return "undecided"
    return "better" if difference[1] < 0 else "worse"


def _losses(
    store: Store, project: Project, arm: Share, since: datetime, classes: Sequence[object] | None
) -> np.ndarray:
    """Loss of each labelled row that the arm answered, shape ``(n_rows,)``, in the order of the labels."""
    labelled = labelled_rows(project.name, store.tables, release_id=arm.release_id, arm=(arm.name, since))
    if not len(labelled):
        return np.empty(0)
    losses = row_losses(project.gates.model.metric, labelled.truth, labelled.outputs, classes=classes)
    return np.asarray(losses, dtype=np.float64)


def _answered(store: Store, project: str, arm: Share, since: datetime) -> int:
    table = predictions_table(project)
    if store.tables.version(table) is None:
        return 0
    rows = store.tables.query(
        'select count(distinct prediction_id) as n from p where release_id = ? and arm = ? and "at" >= ?',
        {"p": (table, None)},
        [arm.release_id, arm.name, since.replace(tzinfo=None)],
    )
    return int(rows["n"][0])
