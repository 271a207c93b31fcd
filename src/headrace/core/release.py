"""The release: what was proved, who approved it, and how it went live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headrace.core.canonical import ADDED
from headrace.core.data import Artifact
from headrace.core.project import Project, Terms

Outcome4 = Literal["passed", "failed", "inconclusive", "error"]
ReleaseState = Literal[
    "proposed", "refused", "waiting", "approved", "rejected", "rolling_out", "live", "aborted", "rolled_back",
    "superseded", "external", "standing_by",
]  # fmt: skip
"""``external`` answers elsewhere: it is watched here, and never gets traffic from here. A fallback that is
``standing_by`` is approved to stand in for a live release that fails."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A declared measurement and its limit; the same object serves gates, canaries and monitors."""

    name: str
    measure: str
    limit: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured value.

    Attributes:
        interval: lower and upper bound at ``confidence``; none where there is none.
        window: start and end of the rows it was measured on, in event time; none at a gate.
    """

    id: str
    project: str
    name: str
    value: float | None
    n_rows: int
    at: datetime
    release_id: str | None = None
    feature: str | None = None
    segment: str | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None
    window: tuple[datetime, datetime] | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate or a look at a canary concluded, with all it was concluded from.

    ``error`` means it could not be measured: never good, never bad. ``inconclusive`` is for a person.
    """

    id: str
    subject_id: str
    gate: str
    outcome: Outcome4
    reason: str
    evidence: dict[str, Any]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is released, such as ``model:cars@3``, and its deployable artefact."""

    ref: str
    package: Artifact


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a release consists of. Its digest is what people approve.

    Attributes:
        code: archive of the project's code; ``commit`` names the git state it came from, if any.
        environment: lock of the environment it was made in.
        snapshots: ids and content digests of the data, and the versions of its ``features``.
        evaluation: metric name to value on the test rows.
        baseline: what monitoring compares with: profiles and losses of the training data.
        checks: gates with their limits as they stood.
        parent: id of the release that was live when this one was made.
        terms: what it answers under while it is live; none in a release from before there were any.
        stands_in: it is no candidate: it answers only for a live release that fails, once that has failed.
        charter: the project as it was declared; what it says of gates, rollout, monitors, triggers and KPIs
            holds while this release is live. None in a release from before there was any.
    """

    project: str
    subject: Subject
    run_id: str
    code: Artifact
    commit: str | None
    environment: Artifact
    snapshots: tuple[dict[str, str], ...]
    features: tuple[str, ...]
    params: dict[str, Any]
    seed: int
    evaluation: dict[str, float]
    baseline: Artifact
    checks: tuple[Check, ...]
    guardrails: tuple[str, ...]
    owner: str
    contact: str
    risk: str
    kpi: str
    approval: str
    cause: str
    parent: str | None
    author: str
    terms: Terms | None = field(default=None, metadata=ADDED)
    stands_in: bool = field(default=False, metadata=ADDED)
    charter: Project | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest on its way. ``digest`` is the SHA-256 of the manifest's canonical JSON.

    Attributes:
        signature: of id and digest, by the home's key for releases.
    """

    id: str
    project: str
    digest: str
    manifest: Manifest
    state: ReleaseState
    author: str
    created_at: datetime
    reason: str = ""
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A person's (or the policy's) decision, bound to one digest."""

    id: str
    release_id: str
    digest: str
    decision: Literal["approved", "rejected"]
    author: str
    approver: str
    at: datetime
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How far a release has got.

    Attributes:
        step: index into the steps of the project's rollout; -1 before the first.
        looks: how often the controller has looked.
        step_started_at: when the present step began, in wall-clock time.
        revision: grows by one with each change; a write names the revision it saw.
        stands_in: it has the traffic because its champion cannot be trusted, and not for being better.
    """

    release_id: str
    project: str
    champion_id: str | None
    state: Literal["pending", "canary", "promoted", "aborted"]
    steps: tuple[int, ...]
    step: int
    started_at: datetime
    step_started_at: datetime
    looks: int = 0
    revision: int = 0
    reason: str = ""
    stands_in: bool = field(default=False, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Share:
    """One arm of a split: ``name`` is what its answers are recorded under, ``share`` between 0 and 1."""

    name: str
    release_id: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Split:
    """An A/B test: releases that share the traffic for as long as a person wants. ``since`` it has had these
    shares."""

    arms: tuple[Share, ...]
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Route:
    """Who answers for a project. ``canary_weight`` is a share between 0 and 1.

    While there is a ``split``, its arms answer; the live release is one of them, and nothing is a canary.
    What is live ``stands_in`` where it is the fallback: its arm says so.
    """

    project: str
    live: str
    canary: str | None = None
    canary_weight: float = 0.0
    revision: int = 0
    split: Split | None = field(default=None, metadata=ADDED)
    stands_in: bool = field(default=False, metadata=ADDED)

    @property
    def arms(self) -> tuple[tuple[str, str], ...]:
        """Arm and release id of all that the route names: what is live first."""
        if self.split is not None:
            named = sorted(self.split.arms, key=lambda arm: arm.release_id != self.live)
            return tuple((arm.name, arm.release_id) for arm in named)
        live = (("fallback" if self.stands_in else "live", self.live),)
        return live if self.canary is None else (*live, ("canary", self.canary))

    @property
    def releases(self) -> tuple[str, ...]:
        """Ids of the releases that the route names: what is live first."""
        return tuple(release_id for _, release_id in self.arms)

    @property
    def shadow(self) -> str | None:
        """A canary without a share: it is asked what the live release is asked, for the record only."""
        return self.canary if self.canary_weight <= 0.0 else None


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Leave to deviate from a rule for a while: recorded, decided by somebody else, over by itself.

    Attributes:
        subject: the project.
        rule: the gate or control that is not met, such as ``gate:model`` or ``control:bias-review``.
        size: how far it deviates; how many and which people must agree depends on it.
    """

    id: str
    workspace: str
    subject: str
    rule: str
    reason: str
    size: Literal["small", "medium", "large"]
    asked_by: str
    asked_at: datetime
    ends_at: datetime
    state: Literal["asked", "granted", "refused", "ended"] = "asked"
    revision: int = 0
    decisions: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a person who looked at a live release again has found: whether it is still fit for its use.

    Attributes:
        subject: the project; ``digest``: of the release, as it was looked at.
        looked_at: what they looked at and concluded, in words.
        state: ``fit``: it stays as it is; ``unfit``: it has to be replaced or rolled back.
        findings: ids of what was found about its drift, bias and performance, the newest last.
        measurements: ids of what was measured of them in the newest windows.
    """

    id: str
    workspace: str
    subject: str
    release_id: str
    digest: str
    looked_at: str
    by: str
    at: datetime
    state: Literal["fit", "unfit"] = "fit"
    revision: int = 0
    findings: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
