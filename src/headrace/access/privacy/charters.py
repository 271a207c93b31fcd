"""Which charter holds: the settings of the live release, and rules of privacy as tight as anybody said since.

A project may be declared anew by whoever builds it, before anybody has approved anything. So a declaration
changes no setting of a live release: that waits until a release which carries it is approved and live. Rules
for what is kept it tightens at once, and loosens none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from headrace.access.privacy.fields import handling_of, key_of
from headrace.core.ports import ProjectStore, ReleaseStore, RolloutStore
from headrace.core.project import Basis, Handling, PrivacySpec, Project, Risk, Terms
from headrace.core.release import Release

_NO_LOOSER: Mapping[Handling, frozenset[Handling]] = {
    "keep": frozenset({"keep"}),
    "redact": frozenset({"keep", "redact"}),
    "measure": frozenset({"keep", "measure"}),
    # A mask shows the shape of a value, a hash which values are equal: neither says less than the other.
    "mask": frozenset({"keep", "redact", "mask"}),
    "hash": frozenset({"keep", "redact", "hash"}),
    "drop": frozenset({"keep", "redact", "measure", "mask", "hash", "drop"}),
}
SETTINGS = (
    "value",
    "gates",
    "risk",
    "approval",
    "rollout",
    "monitors",
    "outputs",
    "triggers",
    "serving",
    "metrics",
    "kpis",
    "fairness",
    "alerts",
    "review",
    "fallback",
    "online",
    "delivery",
    "proofs",
)
"""Sections of a charter that decide how a model is held to account once it is made: they are released."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A rule that is declared looser than what holds, until a release with it is approved and answers."""

    rule: str
    declared: str
    holds: str

    def __str__(self) -> str:
        return f"{self.rule}: declared {self.declared}, {self.holds} holds"


class Charters:
    """Finds what holds for a project.

    Example::

        Charters(store.projects, store.releases, store.rollouts).in_force("cars").privacy.encrypted
    """

    def __init__(self, projects: ProjectStore, releases: ReleaseStore, rollouts: RolloutStore) -> None:
        self._projects = projects
        self._releases = releases
        self._rollouts = rollouts

    def in_force(self, name: str) -> Project:
        """The project as it was declared last, with the settings and rules that hold for what answers.

        Raises:
            NotFound: there is no such project.
        """
        return self.bound(self._projects.get(name))

    def bound(self, project: Project) -> Project:
        """``project``, declared or about to be, with the settings and rules that would hold."""
        return settled(in_force(project, self.approved(project.name)), self.live(project.name))

    def live(self, name: str) -> Project | None:
        """The charter of the live release; of the one that it stands in for, where it is a fallback."""
        route = self._rollouts.route(name)
        if route is None:
            return None
        replaced = self._rollouts.get(route.live).champion_id if route.stands_in else None
        return self._releases.get(replaced or route.live).manifest.charter

    def waiting(self, project: Project) -> list[Waiting]:
        """What ``project``, declared or about to be, would loosen and does not yet."""
        return list(waiting(project, self.bound(project)))

    def loosened_by(self, release: Release) -> list[Waiting]:
        """What would be looser than it is now, were ``release`` live; its terms are what is declared."""
        terms = release.manifest.terms
        if terms is None:
            return []
        held = self.in_force(release.project)
        data = replace(held.data, key=terms.key, columns=())
        review = replace(held.review, every_days=terms.review_days)
        said = replace(held, data=data, privacy=terms.privacy, serving=terms.serving, review=review)
        privacy = replace(said.privacy, fields={**terms.privacy.fields, key_of(said): terms.keys})
        said = replace(said, privacy=privacy)
        return list(waiting(said, in_force(said, [terms_of(held)])))

    def approved(self, name: str) -> list[Terms]:
        """The terms of what answers: of releases on trial, if there are any, then of the live one."""
        route = self._rollouts.route(name)
        answering = () if route is None else reversed(route.releases)
        found = (self._releases.get(release_id).manifest.terms for release_id in answering)
        return [terms for terms in found if terms is not None]


def terms_of(project: Project) -> Terms:
    """What a release of ``project`` answers under; what nobody declared is written out as it is handled."""
    names = dict.fromkeys([*(c.name for c in project.data.columns), *project.privacy.fields])
    fields = {name: handling_of(project, name) for name in names}
    return Terms(
        privacy=replace(project.privacy, fields=fields, encrypt=project.privacy.encrypted),
        serving=project.serving,
        key=project.data.key,
        keys=handling_of(project, key_of(project)),
        review_days=project.review.every_days,
    )


def in_force(declared: Project, approved: Iterable[Terms]) -> Project:
    """``declared`` with each rule as tight as it is there, and as each of ``approved`` has it."""
    for terms in approved:
        declared = _bound(declared, terms)
    return declared


def settled(declared: Project, live: Project | None) -> Project:
    """``declared`` with the settings of ``live``, but for what is stricter already."""
    if live is None:
        return declared
    durability, refusal = declared.serving.durability, declared.serving.on_record_failure
    stricter: dict[str, Any] = {
        "risk": max(declared.risk, live.risk, key=get_args(Risk).index),
        "approval": "manual" if "manual" in (declared.approval, live.approval) else "automatic",
        "serving": replace(live.serving, durability=durability, on_record_failure=refusal),
        "review": replace(live.review, every_days=declared.review.every_days),
    }
    return replace(declared, **{name: getattr(live, name) for name in SETTINGS} | stricter)


def waiting(declared: Project, held: Project) -> Iterator[Waiting]:
    """Where ``held``, which :func:`in_force` made of ``declared``, is not as that says."""
    said, holds = terms_of(declared), terms_of(held)
    pairs: dict[str, tuple[object, object]] = {
        "privacy.basis": (said.privacy.basis, holds.privacy.basis),
        "privacy.retention_days": (said.privacy.retention_days, holds.privacy.retention_days),
        "privacy.encrypt": (said.privacy.encrypt, holds.privacy.encrypt),
        "privacy.recognisers": (said.privacy.recognisers, holds.privacy.recognisers),
        "serving.durability": (said.serving.durability, holds.serving.durability),
        "serving.on_record_failure": (said.serving.on_record_failure, holds.serving.on_record_failure),
        "review.every_days": (said.review_days, holds.review_days),
    }
    for name, handling in holds.privacy.fields.items():
        if name in said.privacy.fields:
            pairs[f"privacy.fields.{name}"] = (said.privacy.fields[name], handling)
    pairs[f"privacy.fields.{key_of(declared)}"] = (said.keys, holds.keys)
    for rule, (before, after) in pairs.items():
        if before != after:
            yield Waiting(rule=rule, declared=_word(before), holds=_word(after))


def tightest(*handlings: Handling) -> Handling:
    """The least that says nothing which one of ``handlings`` would not.

    >>> tightest("keep", "hash"), tightest("mask", "hash")
    ('hash', 'drop')
    """
    return next(one for one, covers in _NO_LOOSER.items() if covers.issuperset(handlings))


def _bound(declared: Project, terms: Terms) -> Project:
    said, held = declared.privacy, terms.privacy
    names = dict.fromkeys([*(c.name for c in declared.data.columns), *said.fields, *held.fields])
    fields = {name: tightest(handling_of(declared, name), held.fields.get(name, "keep")) for name in names}
    privacy = PrivacySpec(
        basis=_basis(said, held),
        purpose=held.purpose,
        retention_days=min(said.retention_days, held.retention_days),
        fields=fields,
        encrypt=said.encrypted or held.encrypted,
        recognisers=tuple(dict.fromkeys((*said.recognisers, *held.recognisers))),
    )
    both = (declared.serving, terms.serving)
    serving = replace(
        declared.serving,
        durability="stored" if any(one.durability == "stored" for one in both) else "best_effort",
        on_record_failure="refuse" if any(one.on_record_failure == "refuse" for one in both) else "serve",
    )
    asked = [days for days in (declared.review.every_days, terms.review_days) if days is not None]
    review = replace(declared.review, every_days=min(asked, default=None))
    bound = replace(declared, privacy=privacy, serving=serving, review=review)
    now = handling_of(bound, key_of(bound))
    keys = tightest(now, terms.keys)
    if now == keys:
        return bound  # what is not named needs no look into each answer
    return replace(bound, privacy=replace(privacy, fields={**fields, key_of(bound): keys}))


def _basis(said: PrivacySpec, held: PrivacySpec) -> Basis | None:
    """The ground that was approved; only whether the data is about people at all is a matter of degree."""
    if held.personal and (held.basis is not None or not said.personal):
        return held.basis
    return said.basis


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
